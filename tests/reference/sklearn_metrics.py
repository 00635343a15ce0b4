"""Reference values for the metrics: scikit-learn and SciPy, and the definitions in NumPy for what
they do not have.

Writes data/sklearn_metrics.json. Run with the versions of requirements.txt:

    python sklearn_metrics.py
"""

import json
import math
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import metrics

DAY_MS = 86_400_000
FIRST_MS = 1_640_995_200_000  # 2022-01-01


def predictions(seed, count, classes):
    """Labels among `classes` and probabilities in 64ths, exact in f32, that know a little."""
    draw = np.random.default_rng(seed)
    labels = draw.choice(classes, count)
    scores = draw.integers(1, 20, (count, 3)) + 8 * np.eye(3, dtype=int)[labels]
    parts = np.floor(64 * scores / scores.sum(axis=1, keepdims=True)).astype(int)
    parts[np.arange(count), parts.argmax(axis=1)] += 64 - parts.sum(axis=1)
    return labels, parts / 64


def calibration_error(labels, probabilities, bins=10):
    confidence = probabilities.max(axis=1)
    hits = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    error = 0.0
    for one in range(bins):
        inside = place == one
        if inside.any():
            error += inside.sum() * abs(confidence[inside].mean() - hits[inside].mean())
    return error / len(labels)


def classification_case(name, seed, count, classes):
    labels, probabilities = predictions(seed, count, classes)
    predicted = probabilities.argmax(axis=1)
    areas = [None] * 3
    for one in range(3):
        if 0 < (labels == one).sum() < count:
            areas[one] = metrics.roc_auc_score(labels == one, probabilities[:, one])
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": np.mean(metrics.recall_score(
            labels, predicted, labels=np.unique(labels), average=None)),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "matthews": metrics.matthews_corrcoef(labels, predicted),
        "log_loss": metrics.log_loss(labels, probabilities, labels=[0, 1, 2]),
        "brier": metrics.brier_score_loss(labels, probabilities, labels=[0, 1, 2]),
        "calibration_error": calibration_error(labels, probabilities),
        "roc_auc": None if None in areas else metrics.roc_auc_score(
            labels, probabilities, multi_class="ovr", average="macro"),
    }
    return {
        "name": name,
        "labels": labels.tolist(),
        "probabilities": probabilities.tolist(),
        "expected": expected,
        "roc_auc_by_class": areas,
        "confusion": metrics.confusion_matrix(labels, predicted, labels=[0, 1, 2]).tolist(),
    }


def ranking_case():
    draw = np.random.default_rng(8)
    scores = draw.integers(-10, 11, 200) / 8
    returns = np.round(0.01 * scores + draw.normal(0, 0.05, 200), 2)
    return {
        "scores": scores.tolist(),
        "returns": returns.tolist(),
        "expected": {
            "information_coefficient": stats.pearsonr(scores, returns).statistic,
            "rank_information_coefficient": stats.spearmanr(scores, returns).statistic,
        },
    }


def trading_case():
    """A daily curve over 400 days with 60 trades."""
    draw = np.random.default_rng(21)
    equity = np.round(10_000 * np.cumprod(np.r_[1, 1 + draw.normal(4e-4, 0.012, 400)]), 2)
    profits = np.round(draw.normal(5, 80, 60), 2)
    exposure = draw.integers(0, 5, len(equity)) / 4
    notional = 123_456.78
    returns = np.diff(equity) / equity[:-1]
    years = 400 / 365
    peaks = np.maximum.accumulate(equity)
    depth = ((peaks - equity) / peaks).max()
    growth = (equity[-1] / equity[0]) ** (1 / years) - 1
    downside = math.sqrt(np.mean(np.minimum(returns, 0) ** 2))
    # A step that ends at midnight belongs to the day, and month, before.
    days = (np.array([FIRST_MS], dtype="datetime64[ms]") + np.arange(401) * DAY_MS
            - np.timedelta64(1, "ms"))
    keys = days.astype("datetime64[M]").astype(str)
    monthly, opening = [], equity[0]
    for key in sorted(set(keys[1:])):
        last = equity[1:][keys[1:] == key][-1]
        monthly.append([key, last / opening - 1])
        opening = last
    return {
        "first_ms": FIRST_MS,
        "step_ms": DAY_MS,
        "steps_per_year": 365.0,
        "equity": equity.tolist(),
        "profits": profits.tolist(),
        "gross_exposure": exposure.tolist(),
        "traded_notional": notional,
        "expected": {
            "total_return": equity[-1] / equity[0] - 1,
            "annual_growth": growth,
            "annual_volatility": returns.std(ddof=1) * math.sqrt(365),
            "sharpe": returns.mean() / returns.std(ddof=1) * math.sqrt(365),
            "sortino": returns.mean() / downside * math.sqrt(365),
            "calmar": growth / depth,
            "max_drawdown": depth,
            "win_rate": float((profits > 0).mean()),
            "profit_factor": profits[profits > 0].sum() / -profits[profits < 0].sum(),
            "average_trade": profits.mean(),
            "annual_turnover": notional / equity.mean() / years,
            "exposure": exposure.mean(),
            "time_in_market": float((exposure > 0).mean()),
        },
        "monthly": monthly,
    }


def sharpe_case():
    """Probabilistic and deflated Sharpe ratio (Bailey and Lopez de Prado) of normal returns."""
    returns = np.random.default_rng(42).normal(5e-4, 0.01, 1250)
    sharpe = returns.mean() / returns.std()
    skewness = stats.skew(returns, bias=False)
    kurtosis = stats.kurtosis(returns, fisher=False, bias=False)

    def probabilistic(threshold):
        variance = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
        root = math.sqrt(len(returns) - 1)
        return stats.norm.cdf((sharpe - threshold) * root / math.sqrt(variance))

    trials, variance = 100, 0.5 / 252
    most, following = stats.norm.ppf([1 - 1 / trials, 1 - 1 / (trials * math.e)])
    best = math.sqrt(variance) * ((1 - np.euler_gamma) * most + np.euler_gamma * following)
    expected = {"probabilistic": probabilistic(0), "deflated": probabilistic(best),
                "skewness": skewness, "kurtosis": kurtosis, "expected_best": best}
    # The values that the package purgedcv 0.1.11 gives for the same returns.
    assert abs(expected["probabilistic"] - 0.7798739750) < 1e-10, expected
    assert abs(expected["deflated"] - 0.0006635850) < 1e-10, expected
    return {"returns": returns.tolist(), "trials": trials, "trials_variance": variance,
            "expected": expected}


def plain(value):
    """NumPy numbers as Python's own."""
    return value.item() if isinstance(value, np.generic) else str(value)


def main():
    document = {
        "generated_by": "sklearn_metrics.py",
        "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__,
                     "scipy": scipy.__version__},
        "classification": [
            classification_case("three classes", 3, 300, [0, 1, 2]),
            classification_case("one class never comes", 4, 60, [0, 2]),
        ],
        "ranking": ranking_case(),
        "trading": trading_case(),
        "sharpe": sharpe_case(),
    }
    path = Path(__file__).parent / "data" / "sklearn_metrics.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(document, separators=(",", ":"), default=plain).replace("],", "],\n")
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: written")


if __name__ == "__main__":
    main()
