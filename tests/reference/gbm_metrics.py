"""Reference values for the metrics that early stopping of the gradient-boosting plugin may watch:
NumPy and SciPy on answers in 64ths.

Writes data/gbm_metrics.json. Run with the versions of requirements.txt:

    python gbm_metrics.py
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats


def coefficient(kind, score, returns):
    if len(score) < 2 or len(set(score)) < 2 or len(set(returns)) < 2:
        return None
    return float((stats.pearsonr if kind == "ic" else stats.spearmanr)(score, returns)[0])


def across(kind, times, score, returns):
    """Per moment where one has three rows, else over all rows."""
    moments = [times == one for one in np.unique(times)]
    if not any(rows.sum() >= 3 for rows in moments):
        return coefficient(kind, score, returns)
    each = [coefficient(kind, score[rows], returns[rows]) for rows in moments if rows.sum() >= 3]
    defined = [one for one in each if one is not None]
    return float(np.mean(defined)) if defined else None


def sharpe(position, times, score, returns, cost):
    held = np.sign(score) if position == "sign" else score
    earned = held * returns - cost * np.abs(held)
    moments = np.array([earned[times == one].mean() for one in np.unique(times)])
    if len(moments) < 2 or len(set(moments)) < 2:
        return None
    return float(moments.mean() / moments.std(ddof=1))


def case(name, task, answers, times, returns, cost=0.0):
    answers = np.asarray(answers, float).reshape(len(times), -1)
    outputs = answers.shape[1]
    if task["kind"] == "regression":
        score = answers[:, 0]
    elif task["kind"] == "quantiles":
        score = answers[:, np.argmin(np.abs(np.array(task["levels"]) - 0.5))]
    elif outputs == 1:
        score = 2 * answers[:, 0] - 1
    else:
        score = answers @ (np.arange(outputs) - (outputs - 1) / 2)
    times = np.asarray(times)
    wide = np.array([np.nan if one is None else np.float32(one) for one in returns], float)
    known = ~np.isnan(wide)
    given = times[known], score[known], wide[known]
    return {
        "name": name,
        "task": task,
        "outputs": outputs,
        "times": times.tolist(),
        "returns": returns,
        "answers": answers.ravel().tolist(),
        "cost": cost,
        "ic": across("ic", *given),
        "rank_ic": across("rank_ic", *given),
        "sharpe_sign": sharpe("sign", *given, cost),
        "sharpe_score": sharpe("score", *given, cost),
    }


def main():
    draw = np.random.default_rng(5)
    whole = lambda low, high, size: draw.integers(low, high, size) / 64.0
    returns = lambda size: [float(one) for one in whole(-9, 10, size)]
    regression = {"kind": "regression"}
    three = {"kind": "classification", "classes": ["down", "flat", "up"]}
    two = {"kind": "classification", "classes": ["down", "up"]}
    levels = {"kind": "quantiles", "levels": [0.1, 0.45, 0.9]}
    parts = draw.integers(1, 9, (40, 3))
    gaps = [None if place % 7 == 0 else one for place, one in enumerate(returns(40))]
    cases = [
        case("pooled, with ties", regression, whole(-20, 20, 60), range(60), returns(60)),
        case("five symbols", regression, whole(-20, 20, 60), np.arange(60) // 5, returns(60), 0.01),
        case("two symbols are pooled", regression, whole(-9, 9, 40), np.arange(40) // 2, returns(40)),
        case("uneven moments", regression, whole(-3, 3, 30), [0] * 2 + [1] * 5 + [2] * 23, returns(30)),
        case("three classes", three, parts / parts.sum(1, keepdims=True), range(40), gaps, 0.002),
        case("two classes", two, whole(1, 64, 40), range(40), returns(40)),
        case("quantiles", levels, np.sort(whole(-20, 20, (40, 3)), axis=1), range(40), returns(40)),
        case("a constant score", regression, [0.25] * 20, range(20), returns(20)),
        case("no position", regression, [0.0] * 20, range(20), returns(20)),
        case("constant returns", regression, whole(-9, 9, 20), range(20), [0.5] * 20),
        case("one row", regression, [0.25], [3], [0.5]),
        case("no row", regression, whole(-9, 9, 3), [3, 4, 5], [None] * 3),
    ]
    path = Path(__file__).parent / "data" / "gbm_metrics.json"
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
