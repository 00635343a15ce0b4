"""Reference values for the tests that compare two models on the same rows.

Diebold-Mariano with the long-run variance of statsmodels' HAC regression on a constant (uniform and
Bartlett kernels), corrected as Harvey, Leybourne and Newbold (1997) give it and judged by scipy's
Student t; McNemar and Holm from statsmodels.

Writes data/model_comparison.json. Run with the versions of requirements.txt:

    python tests/reference/model_comparison.py
"""

import json
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests


def hac_error(values, lags, kernel):
    """Standard error of the mean, with `lags` autocovariances and no small-sample correction."""
    options = {"maxlags": lags, "kernel": kernel, "use_correction": False}
    with np.errstate(invalid="ignore"):
        fit = sm.OLS(values, np.ones_like(values)).fit(cov_type="HAC", cov_kwds=options)
        return float(fit.bse[0])


def diebold_mariano(values, overlap):
    count = len(values)
    lags = overlap - 1
    kernel = "uniform"
    error = hac_error(values, lags, kernel)
    if not error > 0:
        kernel = "bartlett"
        error = hac_error(values, lags, kernel)
    h = lags + 1
    correction = np.sqrt((count + 1 - 2 * h + h * (h - 1) / count) / count)
    statistic = values.mean() / error * correction
    p = 2 * stats.t.sf(abs(statistic), count - 1)
    return {
        "values": [round(float(value), 12) for value in values],
        "overlap": overlap,
        "kernel": "rectangular" if kernel == "uniform" else kernel,
        "statistic": float(statistic),
        "p": float(p),
    }


def series():
    generator = np.random.default_rng(20)
    noise = lambda count: np.round(generator.normal(0, 1, count), 6)
    plain = noise(60) + 0.2
    moving = np.convolve(noise(140), np.ones(6), "valid") / 6 + 0.1
    heavy = np.round(generator.standard_t(3, 200), 6) * 0.01
    # Neighbours that undo each other: the uniform kernel gives no positive variance.
    alternating = np.round((-1.0) ** np.arange(30) + generator.normal(0, 0.01, 30), 6) + 0.01
    for values, overlap in [
        (plain, 1),
        (plain, 4),
        (np.round(moving, 12), 6),
        (heavy, 3),
        (alternating, 2),
    ]:
        yield diebold_mariano(values, overlap)


def tables():
    for only_first, only_second in [(0, 4), (3, 9), (12, 12), (13, 11), (30, 14), (140, 171)]:
        exact = only_first + only_second < 25
        table = [[50, only_first], [only_second, 60]]
        found = mcnemar(table, exact=exact, correction=True)
        yield [only_first, only_second, float(found.pvalue)]


def main():
    p_values = [0.003, 0.2, 0.021, 0.021, 0.74, 0.049, 0.0004]
    holm = multipletests(p_values, method="holm")[1]
    document = {
        "diebold_mariano": list(series()),
        "mcnemar": list(tables()),
        "p_values": p_values,
        "holm": [float(value) for value in holm],
    }
    path = Path(__file__).parent / "data" / "model_comparison.json"
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
