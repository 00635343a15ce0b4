#!/usr/bin/env python3
"""Records what the LightGBM Python package answers, for `tests/tests/lightgbm.rs` to compare with.

    pip install lightgbm==4.7.0 numpy
    python3 tests/reference/lightgbm_parity.py            # writes tests/reference/data/lightgbm.json
    python3 tests/reference/lightgbm_parity.py --check    # fails where a new run differs from it

The data is made of integer arithmetic alone, which the Rust test repeats bit by bit; nothing is
drawn at random. For each case the file holds the parameters as the plugin takes them, the best
iteration, the sha256 of the model text up to `end of trees`, and the predictions for the test rows
as shortest decimals that read back to the same f64.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import lightgbm
import numpy as np

OUTPUT = Path(__file__).resolve().parent / "data" / "lightgbm.json"
VERSION = "4.7.0"
COLUMNS = 12
TRAIN_ROWS, VALID_ROWS, TEST_ROWS = 2_400, 600, 60
SEED = 7


def mix(value):
    """Murmur3's 32-bit finaliser."""
    value &= 0xFFFFFFFF
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return value ^ (value >> 16)


def noise(row, column):
    return mix(row * 64 + column + 1)


def feature(row, column):
    """A multiple of 1/256; column 3 misses values, column 4 has infinite ones."""
    if column == 3 and noise(row, 40) % 7 == 0:
        return float("nan")
    if column == 4 and noise(row, 41) % 50 == 0:
        return float("inf") if noise(row, 42) % 2 == 0 else float("-inf")
    return (noise(row, column) >> 16) / 256.0


def score(row):
    """The planted signal plus noise, a whole number."""
    a, b, c = (noise(row, column) >> 24 for column in range(3))
    return 2 * a - b + (a * c) // 256 + noise(row, 50) % 300 - 300


def label(row, task):
    value = score(row)
    if task == "regression":
        return value / 64.0
    if task == "binary":
        return float(value > 90)
    return float(0 if value < -60 else 1 if value < 120 else 2)


def weight(row):
    return 0.5 + 0.25 * (noise(row, 60) % 4)


CASES = {
    "three classes": {
        "task": "multiclass",
        "config": {"rounds": 20, "early_stopping_rounds": 0, "num_leaves": 7},
    },
    "three classes, weights, sampling, early stopping": {
        "task": "multiclass",
        "weights": True,
        "config": {
            "rounds": 200,
            "early_stopping_rounds": 10,
            "learning_rate": 0.2,
            "num_leaves": 15,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.6,
            "bagging_freq": 2,
            "lambda_l1": 0.00001,
            "lambda_l2": 0.5,
            "min_gain_to_split": 0.01,
        },
    },
    "two classes, balanced, early stopping": {
        "task": "binary",
        "config": {
            "rounds": 150,
            "early_stopping_rounds": 5,
            "num_leaves": 31,
            "max_depth": 4,
            "class_weight": "balanced",
            "max_bin": 63,
        },
    },
    "regression, weights, sampling, early stopping": {
        "task": "regression",
        "weights": True,
        "config": {
            "rounds": 150,
            "early_stopping_rounds": 8,
            "learning_rate": 0.15,
            "num_leaves": 12,
            "min_data_in_leaf": 40,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
        },
    },
    "three classes, extra trees, columns drawn per split": {
        "task": "multiclass",
        "config": {
            "rounds": 15,
            "early_stopping_rounds": 0,
            "num_leaves": 9,
            "extra_trees": True,
            "feature_fraction_bynode": 0.6,
            "min_sum_hessian_in_leaf": 0.01,
            "min_data_in_bin": 5,
        },
    },
}

OBJECTIVES = {
    "multiclass": {"objective": "multiclass", "num_class": 3, "metric": "multi_logloss"},
    "binary": {"objective": "binary", "metric": "binary_logloss"},
    "regression": {"objective": "regression", "metric": "l2"},
}


def rows(first, count, task):
    """Features, labels and weights of `count` rows."""
    span = range(first, first + count)
    features = np.array([[feature(row, c) for c in range(COLUMNS)] for row in span], np.float32)
    labels = np.array([label(row, task) for row in span], np.float32)
    weights = np.array([weight(row) for row in span], np.float32)
    return features, labels, weights


def balance(labels, weights):
    """Weights after which every class has the same total where rows weigh 1."""
    classes, counts = np.unique(labels, return_counts=True)
    share = len(labels) / len(classes)
    factor = {c: share / count for c, count in zip(classes, counts, strict=True)}
    products = [factor[c] * float(w) for c, w in zip(labels, weights, strict=True)]
    return np.array(products, np.float32)


def train(case):
    config = dict(case["config"])
    rounds = config.pop("rounds")
    patience = config.pop("early_stopping_rounds")
    balanced = config.pop("class_weight", "none") == "balanced"
    task = case["task"]
    features, labels, weights = rows(0, TRAIN_ROWS, task)
    valid_features, valid_labels, valid_weights = rows(TRAIN_ROWS, VALID_ROWS, task)
    if not case.get("weights"):
        weights, valid_weights = np.ones_like(weights), None
    if balanced:
        weights = balance(labels, weights)
    parameters = OBJECTIVES[task] | config
    parameters |= {"seed": SEED, "deterministic": True, "force_row_wise": True}
    parameters |= {"num_threads": 1, "verbosity": -1}
    train_set = lightgbm.Dataset(features, labels, weight=weights)
    valid_set = lightgbm.Dataset(valid_features, valid_labels, weight=valid_weights, reference=train_set)
    callbacks = [lightgbm.early_stopping(patience, verbose=False)] if patience else []
    return lightgbm.train(
        parameters,
        train_set,
        num_boost_round=rounds,
        valid_sets=[valid_set],
        callbacks=callbacks,
        keep_training_booster=True,
    )


def record(case):
    booster = train(case)
    kept = booster.best_iteration or None
    text = booster.model_to_string(num_iteration=kept, importance_type="gain")
    trees = text[: text.index("end of trees")]
    test_features, _, _ = rows(TRAIN_ROWS + VALID_ROWS, TEST_ROWS, case["task"])
    return case | {
        "best_iteration": kept,
        "trees_sha256": hashlib.sha256(trees.encode()).hexdigest(),
        "predictions": booster.predict(test_features, num_iteration=kept).ravel().tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    if lightgbm.__version__ != VERSION:
        sys.exit(f"LightGBM {VERSION} is needed, found {lightgbm.__version__}")
    reference = {
        "lightgbm": VERSION,
        "seed": SEED,
        "columns": COLUMNS,
        "train_rows": TRAIN_ROWS,
        "valid_rows": VALID_ROWS,
        "test_rows": TEST_ROWS,
        "cases": {name: record(case) for name, case in CASES.items()},
    }
    text = json.dumps(reference, separators=(",", ":"))
    if not arguments.check:
        OUTPUT.parent.mkdir(exist_ok=True)
        OUTPUT.write_text(text + "\n")
        return
    if OUTPUT.read_text() != text + "\n":
        sys.exit(f"{OUTPUT} differs from a new run")
    print(f"{OUTPUT} equals a new run")


if __name__ == "__main__":
    main()
