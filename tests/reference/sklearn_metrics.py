"""Reference values for the metrics: scikit-learn, SciPy, statsmodels, properscoring and empyrical,
and the definitions in NumPy for what they do not have.

Where empyrical differs it is not used: its annual growth counts 252 days a year unless told, so
its Calmar ratio differs for a daily curve over 365, and it annualises the Sharpe ratio of
autocorrelated returns by the root of time like everyone else. Lo's factor is checked against the
closed form for an autoregression, which shares no line with the sum.

Writes data/sklearn_metrics.json. Run with the versions of requirements.txt:

    python sklearn_metrics.py
"""

import json
import math
from pathlib import Path

import empyrical
import numpy as np
import properscoring
import scipy
import sklearn
import statsmodels
import statsmodels.api as sm
from scipy import stats
from sklearn import metrics
from statsmodels.tsa.stattools import acf

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
        # scikit-learn calls the coefficient 0 where it is 0 over 0; here it is not defined.
        "matthews": metrics.matthews_corrcoef(labels, predicted)
        if len(set(labels)) > 1 and len(set(predicted)) > 1 else None,
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
    directed = (scores != 0) & (returns != 0)
    return {
        "scores": scores.tolist(),
        "returns": returns.tolist(),
        "expected": {
            "information_coefficient": stats.pearsonr(scores, returns).statistic,
            "rank_information_coefficient": stats.spearmanr(scores, returns).statistic,
            "directional_accuracy": metrics.accuracy_score(
                returns[directed] > 0, scores[directed] > 0),
        },
        "best_constant_direction": max((returns[directed] > 0).mean(),
                                       (returns[directed] < 0).mean()),
        "cross_sectional": coefficients(scores.reshape(40, 5), returns.reshape(40, 5)),
        "blocks": coefficients(np.array_split(scores[:196], 7), np.array_split(returns[:196], 7)),
    }


def coefficients(scores, returns):
    """Rank coefficients of periods, and what they come to."""
    values = np.array([stats.spearmanr(*pair).statistic for pair in zip(scores, returns)])
    spread = values.std(ddof=1)
    return {
        "periods": len(values),
        "mean": values.mean(),
        "deviation": spread,
        "information_ratio": values.mean() / spread,
        "t_statistic": newey_west(values),
        "positive_share": (values > 0).mean(),
    }


def usual_lags(count):
    return min(int(4 * (count / 100) ** (2 / 9)), count - 1)


def newey_west(values):
    """The t statistic of the mean by statsmodels."""
    cov = {"maxlags": usual_lags(len(values)), "use_correction": False}
    model = sm.OLS(values, np.ones(len(values)))
    return model.fit(cov_type="HAC", cov_kwds=cov).tvalues[0]


def autocorrelation_case():
    """Lo's Sharpe ratio and its standard error, and the t statistic of the mean."""
    draw = np.random.default_rng(31)
    values = [0.0]
    for shock in draw.normal(0.05, 1, 300):
        values.append(0.35 * values[-1] + shock)
    returns = np.round(np.array(values[1:]) / 100, 5)
    count, lags = len(returns), usual_lags(len(returns))
    sharpe = returns.mean() / returns.std()
    # The long-run covariance of mean and variance, and the gradient of the ratio in them.
    moments = np.column_stack([returns - returns.mean(),
                               (returns - returns.mean()) ** 2 - returns.var()])
    covariance = moments.T @ moments
    for lag in range(1, lags + 1):
        cross = moments[lag:].T @ moments[:-lag]
        covariance = covariance + (1 - lag / (lags + 1)) * (cross + cross.T)
    gradient = np.array([1 / returns.std(), -returns.mean() / (2 * returns.std() ** 3)])
    error = math.sqrt(gradient @ (covariance / count) @ gradient / count)
    # Of an autoregression the sum has a closed form (Lo 2002, equation 24).
    closed = []
    for rho, steps in [(0.3, 12), (-0.2, 12), (0.9, 52), (0.05, 365)]:
        shared = 2 * rho / (1 - rho) * (1 - (1 - rho**steps) / (steps * (1 - rho)))
        closed.append([rho, steps, math.sqrt(steps) / math.sqrt(1 + shared)])
    return {
        "returns": returns.tolist(),
        "lags": lags,
        "autocorrelations": acf(returns, nlags=lags, fft=False)[1:].tolist(),
        "t_statistic": newey_west(returns),
        "standard_error": error,
        "normal_standard_error": math.sqrt((1 + sharpe**2 / 2) / count),
        "sharpe": sharpe,
        "autoregressions": closed,
    }


def forecast_case():
    draw = np.random.default_rng(12)
    count = 40
    mean, spread = np.round(draw.normal(0, 1, count), 3), np.round(draw.uniform(0.5, 2, count), 3)
    outcomes = np.round(mean + spread * draw.normal(0, 1.2, count), 3)
    members = np.round(mean[:, None] + spread[:, None] * draw.normal(0, 1, (count, 9)), 3)
    lower, upper = np.round(mean - 1.3 * spread, 3), np.round(mean + 1.3 * spread, 3)
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    quantiles = np.round(stats.norm.ppf(levels, mean[:, None], spread[:, None]), 4)
    losses = np.array([metrics.mean_pinball_loss(outcomes, quantiles[:, at], alpha=level)
                       for at, level in enumerate(levels)])
    inside = (lower <= outcomes) & (outcomes <= upper)
    beyond = np.maximum(lower - outcomes, 0) + np.maximum(outcomes - upper, 0)
    # Trapezoids between the levels, and the outer losses for the tails.
    score = 2 * (np.trapezoid(losses, levels) + losses[0] * levels[0]
                 + losses[-1] * (1 - levels[-1]))
    return {
        "mean": mean.tolist(), "spread": spread.tolist(), "outcomes": outcomes.tolist(),
        "members": members.tolist(), "lower": lower.tolist(), "upper": upper.tolist(),
        "levels": levels.tolist(), "quantiles": quantiles.tolist(), "interval_level": 0.8,
        "expected": {
            "mean_squared_error": metrics.mean_squared_error(outcomes, mean),
            "mean_absolute_error": metrics.mean_absolute_error(outcomes, mean),
            "r_squared": metrics.r2_score(outcomes, mean),
        },
        "pinball": losses.tolist(),
        "crps_gaussian": properscoring.crps_gaussian(outcomes, mean, spread).mean(),
        "crps_ensemble": properscoring.crps_ensemble(outcomes, members).mean(),
        "crps_quantiles": score,
        "coverage": inside.mean(),
        "mean_width": (upper - lower).mean(),
        "winkler_score": (upper - lower + 2 / (1 - 0.8) * beyond).mean(),
    }


def trading_case():
    """A daily curve over 400 days with 60 trades."""
    draw = np.random.default_rng(21)
    equity = np.round(10_000 * np.cumprod(np.r_[1, 1 + draw.normal(4e-4, 0.012, 400)]), 2)
    profits = np.round(draw.normal(5, 80, 60), 2)
    held = (np.arange(60) * 7) % 23 + 1
    exposure = draw.integers(0, 5, len(equity)) / 4
    notional = 123_456.78
    returns = np.diff(equity) / equity[:-1]
    years = 400 / 365
    peaks = np.maximum.accumulate(equity)
    depth = ((peaks - equity) / peaks).max()
    growth = (equity[-1] / equity[0]) ** (1 / years) - 1
    downside = math.sqrt(np.mean(np.minimum(returns, 0) ** 2))
    known = acf(returns, nlags=usual_lags(len(returns)), fft=False)[1:]
    lags = np.arange(1, len(known) + 1)
    annual = 365 / math.sqrt(365 + 2 * ((365 - lags) * known).sum())
    # What empyrical defines the same way must be the same.
    for name, own in [
        ("sharpe_ratio", returns.mean() / returns.std(ddof=1) * math.sqrt(365)),
        ("sortino_ratio", returns.mean() / downside * math.sqrt(365)),
        ("annual_volatility", returns.std(ddof=1) * math.sqrt(365)),
    ]:
        assert abs(getattr(empyrical, name)(returns, annualization=365) / own - 1) < 1e-12, name
    assert abs(empyrical.max_drawdown(returns) + depth) < 1e-12
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
        "bars_held": held.tolist(),
        "gross_exposure": exposure.tolist(),
        "traded_notional": notional,
        "expected": {
            "total_return": equity[-1] / equity[0] - 1,
            "annual_growth": growth,
            "annual_volatility": returns.std(ddof=1) * math.sqrt(365),
            "sharpe": returns.mean() / returns.std(ddof=1) * math.sqrt(365),
            "sharpe_lo": returns.mean() / returns.std(ddof=1) * annual,
            "sortino": returns.mean() / downside * math.sqrt(365),
            "calmar": growth / depth,
            "max_drawdown": depth,
            "tail_ratio": empyrical.tail_ratio(returns),
            "win_rate": float((profits > 0).mean()),
            "profit_factor": profits[profits > 0].sum() / -profits[profits < 0].sum(),
            "average_trade": profits.mean(),
            "average_holding_bars": held.mean(),
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
                     "scipy": scipy.__version__, "statsmodels": statsmodels.__version__,
                     "properscoring": "0.1", "empyrical-reloaded": empyrical.__version__},
        "classification": [
            classification_case("three classes", 3, 300, [0, 1, 2]),
            classification_case("one class never comes", 4, 60, [0, 2]),
            classification_case("one class only", 5, 20, [1]),
        ],
        "ranking": ranking_case(),
        "forecast": forecast_case(),
        "autocorrelation": autocorrelation_case(),
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
