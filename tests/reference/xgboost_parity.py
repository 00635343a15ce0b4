#!/usr/bin/env python3
r"""Records what the XGBoost Python package answers, for `tests/tests/xgboost.rs` to compare with.

    pip install --no-deps --only-binary=:all: --python-version 3.13 --ignore-requires-python \
        --target DIR xgboost-cpu==3.4.1
    PYTHONPATH=DIR python3 tests/reference/xgboost_parity.py    # writes data/xgboost.json
    PYTHONPATH=DIR python3 tests/reference/xgboost_parity.py --check

pip on Python 3.11 otherwise resolves an older version; the package runs there all the same, and
needs numpy and scipy.

Thirty configurations are drawn from a seeded generator, over every task, with and without weights,
class balance, monotone columns, sampling, early stopping and depth-wise growth. The data is made of
integer arithmetic alone, which the Rust test repeats bit by bit. For each case the file holds the
parameters as the plugin takes them, the best iteration, the sha256 of the JSON of the trees, and
the predictions for the test rows as the bits of their f32.
"""

import argparse
import hashlib
import json
import random
import sys
from pathlib import Path

import numpy as np
import xgboost

OUTPUT = Path(__file__).resolve().parent / "data" / "xgboost.json"
VERSION = "3.4.1"
CASES = 30
COLUMNS = 12
TRAIN_ROWS, VALID_ROWS, TEST_ROWS = 1_600, 400, 30
LEVELS = [0.1, 0.5, 0.9]
# The plugin's names and XGBoost's.
NAMES = {
    "learning_rate": "learning_rate",
    "num_leaves": "max_leaves",
    "grow_policy": "grow_policy",
    "min_sum_hessian_in_leaf": "min_child_weight",
    "min_gain_to_split": "gamma",
    "lambda_l1": "alpha",
    "lambda_l2": "lambda",
    "feature_fraction": "colsample_bytree",
    "feature_fraction_bynode": "colsample_bynode",
    "max_bin": "max_bin",
}
OBJECTIVES = {
    "multiclass": {"objective": "multi:softprob", "num_class": 3, "eval_metric": "mlogloss"},
    "binary": {"objective": "binary:logistic", "eval_metric": "logloss"},
    "regression": {"objective": "reg:squarederror", "eval_metric": "rmse"},
    "quantiles": {
        "objective": "reg:quantileerror",
        "quantile_alpha": LEVELS,
        "eval_metric": "quantile",
    },
}


def mix(value):
    """Murmur3's 32-bit finaliser."""
    value &= 0xFFFFFFFF
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return value ^ (value >> 16)


def noise(row, column):
    return mix(row * 64 + column + 1)


def feature(row, column):
    """A multiple of 1/256; columns 3 and 4 miss values, and column 11 is never there."""
    if column == 3 and noise(row, 40) % 7 == 0 or column == 4 and noise(row, 41) % 50 == 0:
        return float("nan")
    if column == 11:
        return float("nan")
    return (noise(row, column) >> 16) / 256.0


def label(row, task):
    a, b, c = (noise(row, column) >> 24 for column in range(3))
    value = 2 * a - b + (a * c) // 256 + noise(row, 50) % 300 - 300
    if task in ("regression", "quantiles"):
        return value / 64.0
    if task == "binary":
        return float(value > 90)
    return float(0 if value < -60 else 1 if value < 120 else 2)


def weight(row):
    return 0.5 + 0.25 * (noise(row, 60) % 4)


def rows(first, count, task):
    span = range(first, first + count)
    features = np.array([[feature(row, c) for c in range(COLUMNS)] for row in span], np.float32)
    labels = np.array([label(row, task) for row in span], np.float32)
    return features, labels, np.array([weight(row) for row in span], np.float32)


def balance(labels, weights):
    """Weights that give each class the same share, as the plugin computes them."""
    classes, counts = np.unique(labels, return_counts=True)
    share = len(labels) / len(classes)
    factor = dict(zip(classes, share / counts, strict=True))
    products = [factor[one] * float(w) for one, w in zip(labels, weights, strict=True)]
    return np.array(products, np.float32)


def draw(number, draws):
    """A configuration of the plugin's."""
    task = list(OBJECTIVES)[number % len(OBJECTIVES)]
    config = {
        "booster": "xgboost",
        "rounds": draws.choice([5, 12, 25]),
        "early_stopping_rounds": draws.choice([0, 0, 3]),
        "learning_rate": draws.choice([0.05, 0.1, 0.3, 1.0]),
        "num_leaves": draws.choice([4, 15, 31]),
        "max_depth": draws.choice([-1, 3, 6]),
        "min_sum_hessian_in_leaf": draws.choice([0.001, 1.0, 5.5]),
        "lambda_l1": draws.choice([0.0, 0.00001, 0.7]),
        "lambda_l2": draws.choice([0.0, 1.0, 10.0]),
        "min_gain_to_split": draws.choice([0.0, 0.0, 0.1]),
        "max_bin": draws.choice([15, 63, 255]),
    }
    if draws.random() < 0.5:
        config |= {"bagging_freq": 1, "bagging_fraction": draws.choice([0.5, 0.8])}
    if draws.random() < 0.5:
        config["feature_fraction"] = draws.choice([0.4, 0.75])
    if draws.random() < 0.3:
        config["feature_fraction_bynode"] = draws.choice([0.5, 0.9])
    if draws.random() < 0.3:
        config["grow_policy"] = "depthwise"
    if draws.random() < 0.4 and task != "multiclass":
        config |= {"monotone_increasing": "column 0", "monotone_decreasing": "column 1; column 7"}
    if draws.random() < 0.3 and task in ("binary", "multiclass"):
        config["class_weight"] = "balanced"
    return {
        "task": task,
        "weights": draws.random() < 0.5,
        "seed": draws.randrange(2**31),
        "config": config,
    }


def parameters(case):
    config = case["config"]
    given = {
        "learning_rate": 0.1,
        "num_leaves": 31,
        "grow_policy": "lossguide",
        "min_sum_hessian_in_leaf": 0.001,
        "min_gain_to_split": 0.0,
        "lambda_l1": 0.0,
        "lambda_l2": 0.0,
        "feature_fraction": 1.0,
        "feature_fraction_bynode": 1.0,
        "max_bin": 255,
    } | {name: value for name, value in config.items() if name in NAMES}
    translated = {NAMES[name]: value for name, value in given.items()}
    translated["max_depth"] = max(config["max_depth"], 0)
    translated["subsample"] = config.get("bagging_fraction", 1.0)
    if "monotone_increasing" in config:
        directions = [1 if c == 0 else -1 if c in (1, 7) else 0 for c in range(COLUMNS)]
        translated["monotone_constraints"] = tuple(directions)
    fixed = {"tree_method": "hist", "seed": case["seed"], "nthread": 1, "verbosity": 0}
    return OBJECTIVES[case["task"]] | translated | fixed


def record(case):
    task, config = case["task"], case["config"]
    features, labels, weights = rows(0, TRAIN_ROWS, task)
    valid_features, valid_labels, valid_weights = rows(TRAIN_ROWS, VALID_ROWS, task)
    balanced = config.get("class_weight") == "balanced"
    if not case["weights"]:
        # Ones are not the same as none: they change how quantiles of a leaf are interpolated. The
        # plugin passes no weights on where every row counts alike.
        weights, valid_weights = np.ones_like(weights) if balanced else None, None
    if balanced:
        weights = balance(labels, weights)
    patience = config["early_stopping_rounds"]
    booster = xgboost.train(
        parameters(case),
        xgboost.DMatrix(features, labels, weight=weights),
        num_boost_round=config["rounds"],
        evals=[(xgboost.DMatrix(valid_features, valid_labels, weight=valid_weights), "valid")],
        early_stopping_rounds=patience or None,
        verbose_eval=False,
    )
    best = None
    if patience:
        best = booster.best_iteration + 1
        booster = booster[:best]
    text = booster.save_raw("json").decode()
    start = text.index('"trees":[')
    trees = text[start : text.index('"name":"gbtree"', start)]
    test_features, _, _ = rows(TRAIN_ROWS + VALID_ROWS, TEST_ROWS, task)
    answers = np.asarray(booster.inplace_predict(test_features), np.float32)
    also = np.asarray(booster.predict(xgboost.DMatrix(test_features)), np.float32)
    assert np.array_equal(answers, also), "the package's two ways of predicting differ"
    return case | {
        "best_iteration": best,
        "trees_sha256": hashlib.sha256(trees.encode()).hexdigest(),
        "predictions": answers.ravel().view(np.uint32).tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    if xgboost.__version__ != VERSION:
        sys.exit(f"XGBoost {VERSION} is needed, found {xgboost.__version__}")
    draws = random.Random(20_260_815)
    reference = {
        "xgboost": VERSION,
        "columns": COLUMNS,
        "train_rows": TRAIN_ROWS,
        "valid_rows": VALID_ROWS,
        "test_rows": TEST_ROWS,
        "levels": LEVELS,
        "cases": [record(draw(number, draws)) for number in range(CASES)],
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
