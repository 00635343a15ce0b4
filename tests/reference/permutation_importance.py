"""Permutation importance by scikit-learn, with the very shuffles that it drew.

A linear model with fixed weights is scored by R2 and by accuracy of the sign, so that the Rust test
can repeat both; features are whole 64ths, exact in f32. The shuffles are read off the matrices that
scikit-learn hands to the scorer, and are the same for every column.

Writes data/permutation_importance.json. Run with the versions of requirements.txt:

    python permutation_importance.py
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, r2_score

ROWS, COLUMNS, REPEATS, SEED = 120, 4, 5, 11
WEIGHTS = np.array([1.5, -0.75, 0.25, 0.0])


class Linear:
    """What scikit-learn asks of an estimator, and no more."""

    def fit(self, features, target):
        return self

    def predict(self, features):
        return np.asarray(features, float) @ WEIGHTS


def main():
    draw = np.random.default_rng(20_261_126)
    # Each column's values differ from each other, so that a shuffle can be read off.
    values = np.stack([draw.permutation(ROWS) - ROWS // 2 for _ in range(COLUMNS)], axis=1) / 64.0
    target = values @ WEIGHTS + draw.integers(-64, 65, ROWS) / 64.0
    seen = []

    def r2(model, features, truth):
        seen.append(features.copy())
        return r2_score(truth, model.predict(features))

    def accuracy(model, features, truth):
        return accuracy_score(truth > 0, model.predict(features) > 0)

    found = {}
    for name, scorer in [("r2", r2), ("accuracy", accuracy)]:
        result = permutation_importance(
            Linear(), values, target, scoring=scorer, n_repeats=REPEATS, random_state=SEED, n_jobs=1
        )
        found[name] = {
            "baseline": float(scorer(Linear(), values, target)),
            "losses": result.importances.tolist(),
            "mean": result.importances_mean.tolist(),
            "standard_deviation": result.importances_std.tolist(),
        }
    orders = []
    for column in range(COLUMNS):
        shuffled = seen[1 + column * REPEATS : 1 + (column + 1) * REPEATS]
        position = {value: row for row, value in enumerate(values[:, column])}
        orders.append([[position[value] for value in one[:, column]] for one in shuffled])
    assert all(one == orders[0] for one in orders), "columns were shuffled differently"
    output = {
        "sklearn": sklearn.__version__,
        "weights": WEIGHTS.tolist(),
        "columns": COLUMNS,
        "values": values.ravel().tolist(),
        "target": target.tolist(),
        "orders": orders[0],
        "expected": found,
    }
    path = Path(__file__).parent / "data" / "permutation_importance.json"
    path.write_text(json.dumps(output, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
