"""Reference values for scalers: scikit-learn.

Writes data/sklearn_scalers.json. Run with the versions of requirements.txt:

    python sklearn_scalers.py

Each is fitted on the first rows and applied to all, so that values outside the fit's range occur.
QuantileTransformer sets values within 1e-7 of its smallest or largest training value to the ends of
the normal, 5.2 deviations away, ties included, and whatever the unit of the column. The engine ranks
ties in their middle and knows no such unit, so no column here has ties at its ends; ties between
are there. With as many quantiles as rows they are the sorted values, but scikit-learn interpolates
at places that are off by rounding, so that of equal values some quantiles miss the last bit and
their ranks are no longer those of a tie. The exact ones are put in before it transforms.
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

ROWS, FITTED = 160, 120


def columns():
    """f32 values: a skewed one, one with ties, one with outliers, one of large level."""
    draw = np.random.default_rng(20240301)
    skewed = np.exp(draw.normal(0, 1, ROWS))
    ties = np.round(draw.normal(0, 1, ROWS), 1)
    ties[[3, 77]] = [-9.5, 9.5]
    spiky = draw.normal(0, 1, ROWS) * np.where(draw.random(ROWS) < 0.05, 40, 1)
    level = 30_000 + 50 * draw.normal(0, 1, ROWS)
    return np.column_stack([skewed, ties, spiky, level]).astype(np.float32).astype(np.float64)


def main():
    values = columns()
    scalers = {
        "standard": StandardScaler(),
        "robust": RobustScaler(),
        "rank_gauss": QuantileTransformer(
            n_quantiles=FITTED, output_distribution="normal", subsample=None),
    }
    for scaler in scalers.values():
        scaler.fit(values[:FITTED])
    exact = np.sort(values[:FITTED], axis=0)
    assert np.allclose(scalers["rank_gauss"].quantiles_, exact, rtol=1e-12)
    scalers["rank_gauss"].quantiles_ = exact
    expected = {name: scaler.transform(values).ravel().tolist()
                for name, scaler in scalers.items()}
    data = {
        "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
        "fitted_rows": FITTED,
        "columns": values.shape[1],
        "values": values.ravel().tolist(),
        "expected": expected,
    }
    path = Path(__file__).parent / "data" / "sklearn_scalers.json"
    path.write_text(json.dumps(data, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
