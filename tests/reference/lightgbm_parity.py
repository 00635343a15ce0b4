#!/usr/bin/env python3
"""Records what the LightGBM Python package answers, for `tests/tests/gbm_parity.rs` to compare
with.

    python3 tests/reference/lightgbm_parity.py            # writes tests/reference/data/lightgbm.json
    python3 tests/reference/lightgbm_parity.py --check    # fails where a new run differs from it

Beside five cases written down by hand, thirty configurations are drawn from a seeded generator,
over every task, with and without weights, class balance, monotone and categorical columns, sampling
and early stopping by the loss and by the metrics of `gbm_data.py`; and fitted models take in new
rows by more rounds and by a refit. For each case the file holds the parameters as the plugin takes
them, the best iteration, the sha256 of the model text up to `end of trees`, and the predictions for
the test rows as shortest decimals that read back to the same f64. Quantiles are one model for each
level, stopped together by the mean of their losses; the answers of a row are put in order.
"""

import argparse
import hashlib
import json
import random
import sys
from pathlib import Path

import lightgbm
import numpy as np

from gbm_data import COLUMNS, Data, balance, blunt, metric

OUTPUT = Path(__file__).resolve().parent / "data" / "lightgbm.json"
VERSION = "4.7.0"
CASES = 30
TRAIN_ROWS, VALID_ROWS, TEST_ROWS, UPDATE_ROWS = 2_400, 600, 12, 500
LEVELS = [0.1, 0.5, 0.9]

WRITTEN = {
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
    "quantiles": {"objective": "quantile", "metric": "quantile"},
}
OURS = {
    "rounds",
    "early_stopping_rounds",
    "class_weight",
    "monotone_increasing",
    "monotone_decreasing",
    "categorical",
    "metric",
    "update",
    "update_rounds",
}


def draw(number, draws):
    """A case with a configuration of the plugin's."""
    task = list(OBJECTIVES)[number % len(OBJECTIVES)]
    config = {
        "rounds": draws.choice([5, 12, 25]),
        "early_stopping_rounds": draws.choice([0, 3, 3]),
        "learning_rate": draws.choice([0.05, 0.1, 0.3, 1.0]),
        "num_leaves": draws.choice([4, 15, 31]),
        "max_depth": draws.choice([-1, 3, 6]),
        "min_data_in_leaf": draws.choice([5, 20, 60]),
        "min_sum_hessian_in_leaf": draws.choice([0.001, 1.0]),
        "lambda_l1": draws.choice([0.0, 0.00001, 0.7]),
        "lambda_l2": draws.choice([0.0, 1.0, 10.0]),
        "min_gain_to_split": draws.choice([0.0, 0.0, 0.1]),
        "max_bin": draws.choice([15, 63, 255]),
    }
    if draws.random() < 0.5:
        config |= {
            "bagging_freq": draws.choice([1, 3]),
            "bagging_fraction": draws.choice([0.5, 0.8]),
        }
    if draws.random() < 0.5:
        config["feature_fraction"] = draws.choice([0.4, 0.75])
    if draws.random() < 0.3:
        config["feature_fraction_bynode"] = draws.choice([0.5, 0.9])
    if draws.random() < 0.3:
        config["extra_trees"] = True
    if draws.random() < 0.4 and task in ("binary", "regression"):
        # LightGBM knows no monotone columns for several classes, and none with quantiles.
        config |= {
            "monotone_increasing": "feature [0], \"1h\"",
            "monotone_decreasing": "feature [1], \"1h\"; feature [7], \"1h\"",
        }
    if draws.random() < 0.3 and task in ("binary", "multiclass"):
        config["class_weight"] = "balanced"
    categories = draws.random() < 0.5
    if categories:
        config |= {
            "categorical": "feature [9], \"1h\"; feature [10], \"1h\"",
            "max_cat_threshold": draws.choice([4, 32]),
            "max_cat_to_onehot": draws.choice([1, 4, 40]),
            "cat_smooth": draws.choice([0.5, 10.0]),
            "cat_l2": draws.choice([0.0, 10.0]),
            "min_data_per_group": draws.choice([10, 100]),
        }
    if draws.random() < 0.5:
        config["metric"] = draws.choice(["ic", "rank_ic", "sharpe"])
    return {
        "task": task,
        "weights": draws.random() < 0.5,
        "categories": categories,
        "per_moment": draws.choice([1, 5]),
        "seed": draws.randrange(2**31),
        "config": config,
    }


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
            config = config | {"categorical": "feature [9], \"1h\"; feature [10], \"1h\""}
        base = {"rounds": 12, "early_stopping_rounds": 0, "num_leaves": 9, "learning_rate": 0.2}
        more = {"update": kind} | ({"update_rounds": 5} if kind == "continue" else {})
        yield {
            "name": f"{kind}, {task}",
            "task": task,
            "weights": number % 3 == 0,
            "categories": categories,
            "seed": 11 + number,
            "config": base | config | more,
        }


def parameters(case, level=None):
    config = case["config"]
    given = {name: value for name, value in config.items() if name not in OURS}
    given |= OBJECTIVES[case["task"]] | ({} if level is None else {"alpha": level})
    if "monotone_increasing" in config:
        given["monotone_constraints"] = [
            1 if c == 0 else -1 if c in (1, 7) else 0 for c in range(COLUMNS)
        ]
    fixed = {"seed": case["seed"], "deterministic": True, "force_row_wise": True}
    return given | fixed | {"num_threads": 1, "verbosity": -1}


def data(case):
    names = ("weights", "categories", "per_moment")
    return Data(infinite=True, **{name: case[name] for name in names if name in case})


def dataset(case, first, count, reference=None):
    features, labels, weights = data(case).rows(first, count, case["task"])
    if reference is None and case["config"].get("class_weight") == "balanced":
        weights = balance(labels, weights)
    marked = [9, 10] if case.get("categories") else "auto"
    return lightgbm.Dataset(
        features,
        labels,
        weight=weights,
        reference=reference,
        categorical_feature=marked,
        free_raw_data=False,
    )


def grow(case, level, rounds):
    """A booster with every round, and the losses and answers on the validation rows."""
    train = dataset(case, 0, TRAIN_ROWS)
    valid = dataset(case, TRAIN_ROWS, VALID_ROWS, train)
    losses = {}
    answers = []

    def watch(predictions, _):
        answers.append(np.array(predictions))
        return "watched", 0.0, True

    booster = lightgbm.train(
        parameters(case, level),
        train,
        num_boost_round=rounds,
        valid_sets=[valid],
        feval=watch,
        callbacks=[lightgbm.record_evaluation(losses)],
        keep_training_booster=True,
    )
    return booster, list(losses["valid_0"].values())[0], answers


def best_round(case, losses, answers):
    """The rule of the Python callback: the best round, where `patience` rounds brought none."""
    config, task = case["config"], case["task"]
    patience = config["early_stopping_rounds"]
    if not patience:
        return None
    kind = config.get("metric", "default")
    times, _ = data(case).outcomes(TRAIN_ROWS, VALID_ROWS)
    _, labels, _ = data(case).rows(TRAIN_ROWS, VALID_ROWS, task)
    middle = {"binary": 0.5, "multiclass": 1.0}.get(task, 0.0)
    returns = np.asarray(labels, float) - middle
    best = None
    for round_, loss in enumerate(losses):
        value = -blunt(loss) if kind == "default" else metric(
            kind, task, answers[round_], times, returns
        )
        if best is None or value > best[1]:
            best = (round_, value)
        if round_ - best[0] >= patience:
            break
    return best[0] + 1


def record(case):
    task, config = case["task"], case["config"]
    levels = LEVELS if task == "quantiles" else [None]
    grown = [grow(case, level, config["rounds"]) for level in levels]
    losses = np.mean([one[1] for one in grown], axis=0)
    answers = grown[0][2]
    if task == "quantiles":
        answers = [np.sort(np.stack(each, axis=1)) for each in zip(*(one[2] for one in grown))]
    best = best_round(case, losses, answers)
    boosters = [one[0] for one in grown]
    return case | {"best_iteration": best} | outcome(case, boosters, best)


def outcome(case, boosters, kept=None):
    texts = [one.model_to_string(num_iteration=kept, importance_type="gain") for one in boosters]
    trees = "".join(text[: text.index("end of trees")] for text in texts)
    first = TRAIN_ROWS + VALID_ROWS + UPDATE_ROWS
    test, _, _ = data(case).rows(first, TEST_ROWS, case["task"])
    answers = [one.predict(test, num_iteration=kept) for one in boosters]
    shap = [one.predict(test[:1], num_iteration=kept, pred_contrib=True) for one in boosters]
    if len(boosters) > 1:
        answers = np.sort(np.stack(answers, axis=1))
    return {
        "trees_sha256": hashlib.sha256(trees.encode()).hexdigest(),
        "predictions": np.asarray(answers).ravel().tolist(),
        "contributions": np.concatenate(shap, axis=1).astype(np.float32).ravel().tolist(),
    }


def record_update(case):
    """A model of the training rows that takes in the rows after the validation rows."""
    task, config = case["task"], case["config"]
    levels = LEVELS if task == "quantiles" else [None]
    first = TRAIN_ROWS + VALID_ROWS
    updated = []
    for level in levels:
        booster, _, _ = grow(case, level, config["rounds"])
        # As the plugin has it: read back from its text.
        booster = lightgbm.Booster(model_str=booster.model_to_string())
        fresh = dataset(case, first, UPDATE_ROWS)
        if config["update"] == "continue":
            # A fit that goes on draws anew.
            given = parameters(case, level) | {"seed": case["seed"] + config["rounds"]}
            booster = lightgbm.train(
                given, fresh, num_boost_round=config["update_rounds"], init_model=booster
            )
        else:
            given = parameters(case, level) | {"seed": case["seed"] + config["rounds"]}
            booster.params = given
            booster = booster.refit(
                fresh.data,
                fresh.label,
                decay_rate=config["refit_decay_rate"],
                weight=fresh.weight,
                categorical_feature=fresh.categorical_feature,
            )
        updated.append(booster)
    return case | outcome(case, updated)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    if lightgbm.__version__ != VERSION:
        sys.exit(f"LightGBM {VERSION} is needed, found {lightgbm.__version__}")
    draws = random.Random(20_261_126)
    cases = [{"name": name, "seed": 7} | case for name, case in WRITTEN.items()]
    cases += [{"name": f"drawn {number}"} | draw(number, draws) for number in range(CASES)]
    reference = {
        "lightgbm": VERSION,
        "columns": COLUMNS,
        "train_rows": TRAIN_ROWS,
        "valid_rows": VALID_ROWS,
        "update_rows": UPDATE_ROWS,
        "test_rows": TEST_ROWS,
        "levels": LEVELS,
        "cases": [record(case) for case in cases],
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
