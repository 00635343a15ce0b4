#!/usr/bin/env python3
r"""Records what the XGBoost Python package answers, for `tests/tests/gbm_parity.rs` to compare with.

    pip install --no-deps --only-binary=:all: --python-version 3.13 --ignore-requires-python \
        --target DIR xgboost-cpu==3.4.1
    PYTHONPATH=DIR python3 tests/reference/xgboost_parity.py    # writes data/xgboost.json
    PYTHONPATH=DIR python3 tests/reference/xgboost_parity.py --check

pip on Python 3.11 otherwise resolves an older version; the package runs there all the same, and
needs numpy and scipy.

Thirty configurations are drawn from a seeded generator, over every task, with and without weights,
class balance, monotone and categorical columns, sampling, depth-wise growth, and early stopping by
the loss and by the metrics of `gbm_data.py`; and fitted models take in new rows by more rounds and
by a refresh of their leaves, which is blended with the old ones here. For each case the file holds
the parameters as the plugin takes them, the best iteration, the sha256 of the JSON of the trees,
the predictions for the test rows as the bits of their f32, and SHAP values of one row.
"""

import argparse
import hashlib
import json
import random
import sys
from pathlib import Path

import numpy as np
import xgboost

from gbm_data import COLUMNS, Data, balance, metric

OUTPUT = Path(__file__).resolve().parent / "data" / "xgboost.json"
VERSION = "3.4.1"
CASES = 30
TRAIN_ROWS, VALID_ROWS, TEST_ROWS, UPDATE_ROWS = 1_600, 400, 12, 300
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
    "max_cat_threshold": "max_cat_threshold",
    "max_cat_to_onehot": "max_cat_to_onehot",
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
    categories = draws.random() < 0.5
    if categories:
        config |= {
            "categorical": "column 9; column 10",
            "max_cat_threshold": draws.choice([4, 32]),
            "max_cat_to_onehot": draws.choice([1, 4, 40]),
        }
    if draws.random() < 0.5:
        config["metric"] = draws.choice(["ic", "rank_ic", "sharpe"])
    return {
        "name": f"drawn {number}",
        "task": task,
        "weights": draws.random() < 0.5,
        "categories": categories,
        "per_moment": draws.choice([1, 5]),
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
        "max_cat_threshold": 32,
        "max_cat_to_onehot": 4,
    } | {name: value for name, value in config.items() if name in NAMES}
    translated = {NAMES[name]: value for name, value in given.items()}
    translated["max_depth"] = max(config.get("max_depth", -1), 0)
    translated["subsample"] = config.get("bagging_fraction", 1.0)
    if "monotone_increasing" in config:
        directions = [1 if c == 0 else -1 if c in (1, 7) else 0 for c in range(COLUMNS)]
        translated["monotone_constraints"] = tuple(directions)
    fixed = {"tree_method": "hist", "seed": case["seed"], "nthread": 1, "verbosity": 0}
    return OBJECTIVES[case["task"]] | translated | fixed


UPDATES = [
    ("continue", "multiclass", {}),
    ("continue", "binary", {"bagging_fraction": 0.6, "bagging_freq": 1, "class_weight": "balanced"}),
    ("continue", "regression", {"feature_fraction": 0.5}),
    ("continue", "quantiles", {}),
    ("refit", "multiclass", {"refit_decay_rate": 0.9}),
    ("refit", "binary", {"refit_decay_rate": 0.5, "class_weight": "balanced"}),
    ("refit", "regression", {"refit_decay_rate": 0.0, "lambda_l2": 1.5}),
]


def update_cases():
    for number, (kind, task, config) in enumerate(UPDATES):
        categories = number % 2 == 0
        if categories:
            config = config | {"categorical": "column 9; column 10"}
        base = {"booster": "xgboost", "rounds": 12, "early_stopping_rounds": 0, "num_leaves": 9}
        more = {"update": kind} | ({"update_rounds": 5} if kind == "continue" else {})
        yield {
            "name": f"{kind}, {task}",
            "task": task,
            "weights": number % 3 == 0,
            "categories": categories,
            "per_moment": 1,
            "seed": 11 + number,
            "config": base | {"learning_rate": 0.2} | config | more,
        }


def data(case):
    return Data(**{name: case[name] for name in ("weights", "categories", "per_moment")})


def matrix(case, first, count, learns=False):
    features, labels, weights = data(case).rows(first, count, case["task"])
    if learns and case["config"].get("class_weight") == "balanced":
        weights = balance(labels, weights)
    types = None
    if case["categories"]:
        types = ["c" if column in (9, 10) else "q" for column in range(COLUMNS)]
    return xgboost.DMatrix(
        features, labels, weight=weights, feature_types=types, enable_categorical=True
    )


def stopping(case):
    """A metric of the field and the rule that watches it, or the package's own loss."""
    config, task = case["config"], case["task"]
    patience, kind = config["early_stopping_rounds"], config.get("metric", "default")
    times, _ = data(case).outcomes(TRAIN_ROWS, VALID_ROWS)
    middle = {"binary": 0.5, "multiclass": 1.0}.get(task, 0.0)

    def watch(answers, rows):
        return kind, metric(kind, task, answers, times, rows.get_label().astype(float) - middle)

    if not patience:
        return None, []
    if kind == "default":
        return None, [xgboost.callback.EarlyStopping(rounds=patience)]
    rule = xgboost.callback.EarlyStopping(rounds=patience, metric_name=kind, maximize=True)
    return watch, [rule]


def record(case):
    watch, callbacks = stopping(case)
    booster = xgboost.train(
        parameters(case),
        matrix(case, 0, TRAIN_ROWS, learns=True),
        num_boost_round=case["config"]["rounds"],
        evals=[(matrix(case, TRAIN_ROWS, VALID_ROWS), "valid")],
        custom_metric=watch,
        callbacks=callbacks,
        verbose_eval=False,
    )
    best = None
    if callbacks:
        best = booster.best_iteration + 1
        booster = booster[:best]
    return case | {"best_iteration": best} | outcome(case, booster)


def outcome(case, booster):
    text = booster.save_raw("json").decode()
    start = text.index('"trees":[')
    trees = text[start : text.index('"name":"gbtree"', start)]
    first = TRAIN_ROWS + VALID_ROWS + UPDATE_ROWS
    features, _, _ = data(case).rows(first, TEST_ROWS, case["task"])
    answers = np.asarray(booster.inplace_predict(features), np.float32)
    also = np.asarray(booster.predict(matrix(case, first, TEST_ROWS)), np.float32)
    assert np.array_equal(answers, also), "the package's two ways of predicting differ"
    shap = booster.predict(matrix(case, first, 1), pred_contribs=True)
    return {
        "trees_sha256": hashlib.sha256(trees.encode()).hexdigest(),
        "predictions": answers.ravel().view(np.uint32).tolist(),
        "contributions": np.asarray(shap, np.float32).ravel().tolist(),
    }


def blend(old, new, decay):
    """The old model with leaves of `decay` x old + the rest of new, where rows reached them."""
    old, new = (json.loads(one.save_raw("json")) for one in (old, new))
    trees = [one["learner"]["gradient_booster"]["model"]["trees"] for one in (old, new)]
    for before, after in zip(*trees, strict=True):
        assert before["left_children"] == after["left_children"]
        for node, child in enumerate(before["left_children"]):
            if child < 0 and after["sum_hessian"][node] > 0:
                pair = [np.float32(one["split_conditions"][node]) for one in (before, after)]
                value = np.float32(decay * float(pair[0]) + (1 - decay) * float(pair[1]))
                before["split_conditions"][node] = float(value)
    booster = xgboost.Booster()
    booster.load_model(bytearray(json.dumps(old).encode()))
    return booster


def record_update(case):
    """A model of the training rows that takes in the rows after the validation rows."""
    config = case["config"]
    rounds = config["rounds"]
    booster = xgboost.train(
        parameters(case), matrix(case, 0, TRAIN_ROWS, learns=True), num_boost_round=rounds
    )
    fresh = matrix(case, TRAIN_ROWS + VALID_ROWS, UPDATE_ROWS, learns=True)
    # A fit that goes on draws anew.
    given = parameters(case) | {"seed": case["seed"] + rounds}
    if config["update"] == "continue":
        updated = xgboost.train(
            given, fresh, num_boost_round=config["update_rounds"], xgb_model=booster
        )
    else:
        refresh = {"process_type": "update", "updater": "refresh", "refresh_leaf": 1}
        refreshed = xgboost.train(given | refresh, fresh, num_boost_round=rounds, xgb_model=booster)
        updated = blend(booster, refreshed, config["refit_decay_rate"])
    return case | outcome(case, updated)


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
        "update_rows": UPDATE_ROWS,
        "test_rows": TEST_ROWS,
        "levels": LEVELS,
        "cases": [record(draw(number, draws)) for number in range(CASES)],
        "updates": [record_update(case) for case in update_cases()],
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
