"""Reference values of features that TA-Lib does not have: pandas, SciPy, statsmodels, arch and
antropy where they have the statistic, NumPy written from the definition over each whole window
elsewhere. TA-Lib's averages serve where a definition is made of them.

Writes data/feature_formulas.json over the bars of talib_features.py. Run with the versions of
requirements.txt:

    python feature_formulas.py
"""

import math

import antropy
import numpy as np
import pandas as pd
import statsmodels.api as sm
import talib
from arch.unitroot import VarianceRatio
from scipy import stats
from statsmodels.sandbox.stats.runs import runstest_1samp
from statsmodels.tsa.stattools import adfuller

from talib_features import (BARS, FIRST_OPEN_MS, HOUR_MS, divide, later, make_bars,
                            over_windows, rank, returns, rolling_mean, shifted, windows, write)


def total(values, period):
    return over_windows(np.sum, values, period)


def over_pairs(function, x, y, period):
    """`function` of each window of two columns, NaN while either is."""
    return np.array([function(a, b) if np.isfinite(a).all() and np.isfinite(b).all() else np.nan
                     for a, b in zip(windows(x, period), windows(y, period))])


def correlation(x, y, period):
    return over_pairs(lambda a, b: np.corrcoef(a, b)[0, 1], x, y, period)


def holds(condition, *columns):
    """A condition as a number, NaN where a column that it reads is."""
    known = np.all([np.isfinite(column) for column in columns], axis=0)
    return np.where(known, condition, np.nan).astype(float)


def candle_family(b):
    c, o, h, l = b["close"], b["open"], b["high"], b["low"]
    wicks = (np.minimum(o, c) - l) - (h - np.maximum(o, c))
    yield "bar_range", np.log(h / l)
    yield "wick_imbalance", divide(wicks, h - l, 0.0)
    yield "wick_pressure(14)", total(wicks, 14) / total(h - l, 14)
    high, low = shifted(h), shifted(l)
    inside, outside = (h < high) & (l > low), (h > high) & (l < low)
    yield "inside_outside", holds(outside, high) - holds(inside, high)
    common = np.maximum(np.minimum(h, high) - np.maximum(l, low), 0)
    yield "overlap", divide(common, np.maximum(h, high) - np.minimum(l, low), 1.0)
    streak = np.full(BARS, np.nan)
    for row in range(5, BARS):
        signs = np.sign(np.diff(c[row - 5 : row + 1]))[::-1]
        run = np.argmax(signs != signs[0]) if (signs != signs[0]).any() else 5
        streak[row] = signs[0] * run
    yield "streak(5)", streak
    day = (FIRST_OPEN_MS + HOUR_MS * np.arange(BARS)) // (24 * HOUR_MS)
    frame = pd.DataFrame({**b, "day": day})
    first_open = frame.groupby("day")["open"].transform("first").to_numpy()
    yield "day_return", np.log(c / first_open)
    last_close = frame.groupby("day")["close"].last().shift(1)
    gap = np.log(first_open / frame["day"].map(last_close).to_numpy())
    yield "day_gap", np.where(np.isnan(gap), 0, gap)
    highest = frame.groupby("day")["high"].cummax().to_numpy()
    lowest = frame.groupby("day")["low"].cummin().to_numpy()
    yield "day_range_position", divide(c - lowest, highest - lowest, 0.5)
    amount = (talib.TYPPRICE(h, l, c) * b["volume"])
    frame["amount"] = amount
    sums = frame.groupby("day")[["amount", "volume"]].cumsum()
    yield "session_vwap_distance", np.log(c / (sums["amount"] / sums["volume"]).to_numpy())


def position_family(b):
    c, r = b["close"], returns(b)
    fall = lambda row: max(1 - row[j] / row[: j + 1].max() for j in range(len(row)))
    yield "max_drawdown(48)", over_windows(fall, c, 48)
    spread = lambda row: np.subtract(*np.quantile(row, [0.75, 0.25]))
    yield "robust_zscore(48)", over_windows(lambda row: (row[-1] - np.median(row)) / spread(row), c,
                                            48)
    series = pd.Series(r)
    z = (series - series.rolling(48).mean()) / series.rolling(48).std(ddof=0)
    yield "return_zscore(48)", z.to_numpy()
    yield "return_rank(48)", over_windows(rank, r, 48)
    change = c - shifted(c)
    yield "up_share(48)", over_windows(lambda row: (row > 0).mean() + (row == 0).mean() / 2, change,
                                       48)
    yield "gain_share(48)", over_windows(lambda row: row[row > 0].sum() / np.abs(row).sum(), r, 48)
    yield "max_return(48)", over_windows(np.max, r, 48)
    yield "min_return(48)", over_windows(np.min, r, 48)


def trend_family(b):
    c, o, h, l = b["close"], b["open"], b["high"], b["low"]
    place = np.arange(9)
    weights = np.exp(-((place - 0.85 * 8) ** 2) / (2 * (9 / 6) ** 2))
    average = over_windows(lambda row: np.average(row, weights=weights), c, 9)
    yield "alma_ratio(9)", np.log(c / average)
    yield "linear_channel(20)", over_windows(channel, c, 20)
    heikin_close, heikin_open = (o + h + l + c) / 4, np.zeros(BARS)
    heikin_open[0] = (o[0] + c[0]) / 2
    for row in range(1, BARS):
        heikin_open[row] = (heikin_open[row - 1] + heikin_close[row - 1]) / 2
    yield "heikin_ashi_body", np.log(heikin_close / heikin_open)
    yield "supertrend(10,3)", 1 - supertrend(b, 10, 3.0) / c


def channel(row):
    fit = sm.OLS(row, sm.add_constant(np.arange(len(row)))).fit()
    return fit.resid[-1] / math.sqrt(fit.mse_resid)


def supertrend(b, period, multiplier):
    c, h, l = b["close"], b["high"], b["low"]
    width = multiplier * talib.ATR(h, l, c, period)
    lower, upper = (h + l) / 2 - width, (h + l) / 2 + width
    line, is_up = np.full(BARS, np.nan), True
    for row in range(period, BARS):
        if row > period:
            if not (lower[row] > lower[row - 1] or c[row - 1] < lower[row - 1]):
                lower[row] = lower[row - 1]
            if not (upper[row] < upper[row - 1] or c[row - 1] > upper[row - 1]):
                upper[row] = upper[row - 1]
        is_up = c[row] >= lower[row] if is_up else c[row] > upper[row]
        line[row] = lower[row] if is_up else upper[row]
    return line


def momentum_family(b):
    c, o, h, l = b["close"], b["open"], b["high"], b["low"]
    change = c - shifted(c)
    yield "cmo(14)", 100 * total(change, 14) / total(np.abs(change), 14)
    # TA-Lib smooths as Wilder does; its first value is the plain window's.
    assert np.isclose(talib.CMO(c, 14)[14], 100 * total(change, 14)[14] / total(np.abs(change),
                                                                              14)[14])
    four = lambda x: (x + 2 * shifted(x) + 2 * shifted(x, 2) + shifted(x, 3)) / 6
    yield "vigor(10)", total(four(c - o), 10) / total(four(h - l), 10)
    yield "laguerre_rsi(0.6)", laguerre_rsi(c, 0.6)
    middle = (h + l) / 2
    highest, lowest = talib.MAX(middle, 10), talib.MIN(middle, 10)
    fisher, x = np.full(BARS, np.nan), 0.0
    for row in range(9, BARS):
        place = (middle[row] - lowest[row]) / (highest[row] - lowest[row])
        x = min(max(0.33 * 2 * (place - 0.5) + 0.67 * x, -0.999), 0.999)
        past = 0.0 if row == 9 else fisher[row - 1]
        fisher[row] = 0.5 * math.log((1 + x) / (1 - x)) + 0.5 * past
    yield "fisher(10)", fisher
    line = talib.EMA(c, 23) - talib.EMA(c, 50)
    yield "schaff(23,50,10)", stage(stage(line, 10), 10)


def stage(values, period):
    """One of Schaff's smoothed stochastics."""
    highest, lowest = later(talib.MAX, values, period), later(talib.MIN, values, period)
    out, place = np.full(BARS, np.nan), 0.0
    for row in np.flatnonzero(np.isfinite(highest)):
        width = highest[row] - lowest[row]
        place = 100 * (values[row] - lowest[row]) / width if width > 0 else place
        past = out[row - 1] if np.isfinite(out[row - 1]) else place
        out[row] = past + 0.5 * (place - past)
    return out


def laguerre_rsi(c, gamma):
    out, last = np.full(BARS, np.nan), [c[0]] * 4
    for row in range(BARS):
        new = [(1 - gamma) * c[row] + gamma * last[0]]
        for i in range(1, 4):
            new.append(-gamma * new[i - 1] + last[i - 1] + gamma * last[i])
        up = sum(max(new[i] - new[i + 1], 0) for i in range(3))
        down = sum(max(new[i + 1] - new[i], 0) for i in range(3))
        last = new
        if row >= 3:
            out[row] = 100 * up / (up + down)
    return out


def variation_family(b):
    c, o, h, l, r = b["close"], b["open"], b["high"], b["low"], returns(b)
    n = 24
    variance = lambda values: pd.Series(values).rolling(n).var(ddof=1).to_numpy()
    rogers_satchell = np.log(h / c) * np.log(h / o) + np.log(l / c) * np.log(l / o)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    yield "yang_zhang(24)", np.sqrt(variance(np.log(o / shifted(c)))
                                    + k * over_windows(lambda row: np.var(row, ddof=1),
                                                       np.log(c / o) + 0 * r, n)
                                    + (1 - k) * rolling_mean(rogers_satchell, n))
    squares = pd.Series(r**2).ewm(alpha=0.06, adjust=False).mean().to_numpy()
    yield "ewma_volatility(0.94)", np.sqrt(squares)
    volatility = np.sqrt(rolling_mean(r**2, 12))
    yield "volatility_of_volatility(12,48)", over_windows(lambda row: row.std() / row.mean(),
                                                          volatility, 48)
    root = lambda values: np.sqrt(rolling_mean(values**2, 48))
    yield "up_semideviation(48)", root(np.maximum(r, 0))
    yield "down_semideviation(48)", root(np.minimum(r, 0))
    balance = lambda row: ((row[row > 0] ** 2).sum() - (row[row < 0] ** 2).sum()) / (row**2).sum()
    yield "semivariance_balance(48)", over_windows(balance, r, 48)
    yield "jump_share(48)", over_windows(jump_share, r, 48)
    yield "jump_share(3)", over_windows(jump_share, r, 3)
    yield "median_volatility(48)", over_windows(median_volatility, r, 48)
    yield "quarticity(48)", over_windows(lambda row: ((row**4).sum() / 3 / len(row)) ** 0.25, r, 48)
    parkinson = np.log(h / l) ** 2 / (4 * math.log(2))
    yield "range_return_ratio(48)", np.log(np.sqrt(rolling_mean(parkinson, 48)
                                                   / rolling_mean(r**2, 48)))
    deviation, change = talib.STDDEV(c, 10, 1), c - shifted(c)
    up = seeded(np.where(np.isnan(deviation), np.nan, np.where(change > 0, deviation, 0)), 14)
    down = seeded(np.where(np.isnan(deviation), np.nan, np.where(change < 0, deviation, 0)), 14)
    yield "relative_volatility(10,14)", 100 * up / (up + down)
    yield "leverage_correlation(48)", correlation(shifted(r), np.abs(r), 48)
    gap, body = np.log(o / shifted(c)), np.log(c / o)
    yield "gap_variance_share(48)", total(gap**2, 48) / total(gap**2 + body**2, 48)
    yield "return_kurtosis(48)", over_windows(stats.kurtosis, r, 48)
    yield "value_at_risk(100,0.05)", over_windows(lambda row: -np.quantile(row, 0.05), r, 100)
    yield "expected_shortfall(100,0.05)", over_windows(lambda row: -np.sort(row)[:5].mean(), r, 100)

    def skew(row):
        low, middle, high = np.quantile(row, [0.05, 0.5, 0.95])
        return (high + low - 2 * middle) / (high - low)

    yield "quantile_skew(100,0.05)", over_windows(skew, r, 100)


def seeded(values, period):
    """Wilder's average, begun with the mean of the first `period` values."""
    start = int(np.argmax(np.isfinite(values)))
    out = np.full(BARS, np.nan)
    out[start + period - 1] = values[start : start + period].mean()
    for row in range(start + period, BARS):
        out[row] = (out[row - 1] * (period - 1) + values[row]) / period
    return out


def jump_share(row):
    size, n = np.abs(row), len(row)
    bipower = np.pi / 2 * n / (n - 1) * (size[1:] * size[:-1]).sum()
    return max(0.0, 1 - bipower / (row**2).sum()) if row.any() else 0.0


def median_volatility(row):
    size, n = np.abs(row), len(row)
    medians = np.median([size[:-2], size[1:-1], size[2:]], axis=0)
    scale = np.pi / (6 - 4 * math.sqrt(3) + np.pi) * n / (n - 2)
    return math.sqrt(scale * (medians**2).sum() / n)


def volume_family(b):
    c, h, l, v, r = b["close"], b["high"], b["low"], b["volume"], returns(b)
    middle = (h + l) / 2
    ease = divide((middle - shifted(middle)) * (h - l) / middle**2, v, 0.0)
    ease[0] = np.nan
    yield "ease_of_movement(14)", rolling_mean(ease, 14) * rolling_mean(v, 14)
    high, low = np.maximum(h, shifted(c)), np.minimum(l, shifted(c))
    flow = divide(2 * c - high - low, high - low, 0.0) * v
    yield "twiggs_money_flow(21)", seeded(flow, 21) / seeded(v + 0 * flow, 21)
    change = c - shifted(c)
    up = np.where(change > 0, v, np.where(change == 0, v / 2, 0 * change))
    yield "up_volume_share(24)", total(up, 24) / total(v, 24)
    yield "volume_return_correlation(48)", correlation(r, v, 48)
    yield "volume_volatility_correlation(48)", correlation(np.abs(r), v, 48)
    yield "volume_rank(48)", over_windows(rank, v, 48)
    share = lambda row: (((row / row.sum()) ** 2).sum() - 1 / len(row)) / (1 - 1 / len(row))
    yield "volume_concentration(24)", over_windows(share, v, 24)


def microstructure_family(b):
    c, h, l, v, r = b["close"], b["high"], b["low"], b["volume"], returns(b)
    # Regressions through the origin over the bars that moved; the scale is over all bars.
    def impact(change, signed, scale):
        rows = change != 0
        return (change * signed)[rows].sum() / (signed[rows] ** 2).sum() * scale

    kyle, hasbrouck = np.full(BARS, np.nan), np.full(BARS, np.nan)
    for end in range(48, BARS):
        part = slice(end - 47, end + 1)
        change, volume, amount = r[part], v[part], (c * v)[part]
        kyle[end] = impact(change, np.sign(change) * volume, volume.mean())
        hasbrouck[end] = impact(change, np.sign(change) * np.sqrt(amount), math.sqrt(amount.mean()))
    yield "kyle_lambda(48)", kyle
    yield "hasbrouck_lambda(48)", hasbrouck
    surplus = 2 * b["taker_buy_volume"] - v
    side = divide(surplus, v, 0.0)
    yield "taker_impact(48)", over_pairs(lambda x, y: np.polyfit(x, y, 1)[0], side, r, 48)
    yield "taker_return_correlation(48)", correlation(side, r, 48)
    yield "taker_imbalance_zscore(48)", over_windows(lambda row: stats.zscore(row)[-1], side, 48)
    yield "taker_flow_autocorrelation(48)", correlation(shifted(side), side, 48)
    yield "taker_toxicity(48)", total(np.abs(surplus), 48) / total(v, 48)
    change = c - shifted(c)
    z = change / over_windows(np.std, change, 48)
    one_sided = v * np.abs(2 * stats.norm.cdf(z) - 1)
    yield "vpin(48)", total(one_sided, 48) / total(v + 0 * z, 48)
    covariance = over_pairs(lambda x, y: np.cov(x, y, ddof=0)[0, 1], shifted(r), r, 48)
    yield "roll_spread(48)", 2 * np.sqrt(np.maximum(-covariance, 0))
    beta = np.log(h / l) ** 2 + np.log(shifted(h) / shifted(l)) ** 2
    gamma = np.log(np.maximum(h, shifted(h)) / np.minimum(l, shifted(l))) ** 2
    k = 3 - 2 * math.sqrt(2)
    alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / k - np.sqrt(gamma / k)
    spread = np.maximum(2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha)), 0)
    yield "corwin_schultz(48)", rolling_mean(spread, 48)
    middle = (np.log(h) + np.log(l)) / 2
    product = (shifted(np.log(c)) - shifted(middle)) * (shifted(np.log(c)) - middle)
    yield "abdi_ranaldo(48)", np.sqrt(np.maximum(4 * rolling_mean(product, 48), 0))
    yield "zero_return_share(48)", over_windows(lambda row: (row == 0).mean(), change, 48)
    ratio = divide(r, c * v, 0.0)
    ratio[0] = np.nan
    yield "amihud_asymmetry(48)", total(ratio, 48) / total(np.abs(ratio), 48)
    size = v / np.where(v > 0, b["trades"], 1)
    mean_size = total(v, 24) / total(b["trades"], 24)
    yield "trade_size_ratio(24)", np.log(np.where(v > 0, size, mean_size) / mean_size)
    yield "volatility_per_trade(48)", np.sqrt(total(r**2, 48) / total(b["trades"], 48))
    traded = total(v, 24)
    per_volume = total(b["trades"], 24) / np.where(traded > 0, traded, 1)
    yield "trades_per_volume(24)", np.where(traded > 0, per_volume, 0 * traded)
    price = np.where(v > 0, b["quote_volume"] / np.where(v > 0, v, 1), c)
    yield "bar_vwap_distance", np.log(c / price)


def regime_family(b):
    c, r, x = b["close"], returns(b), np.log(b["close"])
    change = c - shifted(c)
    yield "efficiency_ratio(10)", np.abs(c - shifted(c, 10)) / total(np.abs(change), 10)
    slope_t = lambda row: sm.OLS(row, sm.add_constant(np.arange(len(row)))).fit().tvalues[1]
    yield "trend_t_value(48)", over_windows(slope_t, x, 48)
    yield "return_t_value(48)", over_windows(lambda row: stats.ttest_1samp(row, 0).statistic, r, 48)
    welch = lambda row: stats.ttest_ind(row[24:], row[:24], equal_var=False).statistic
    yield "mean_shift(48)", over_windows(welch, r, 48)
    volatility = np.sqrt(rolling_mean(r**2, 12))
    yield "volatility_percentile(12,100)", over_windows(rank, volatility, 100)
    for lag in (1, 3):
        yield f"return_autocorrelation(48,{lag})", correlation(shifted(r, lag), r, 48)
        yield f"volatility_clustering(48,{lag})", correlation(shifted(np.abs(r), lag), np.abs(r),
                                                              48)

    def half_life(row):
        slope = sm.OLS(np.diff(row), sm.add_constant(row[:-1])).fit().params[1]
        if slope >= 0:
            return len(row) - 1
        return 0.0 if slope <= -1 else min(-math.log(2) / math.log(1 + slope), len(row) - 1)

    yield "half_life(100)", over_windows(half_life, x, 101)
    test = lambda row: adfuller(row, maxlag=0, autolag=None, regression="c",
                                 result_object=False)[0]
    yield "dickey_fuller(100)", over_windows(test, x, 101)
    variance = pd.Series(r**2).ewm(alpha=0.06, adjust=False).mean().to_numpy()
    out, up, down = np.full(BARS, np.nan), 0.0, 0.0
    for row in range(2, BARS):
        z = min(max(r[row] / math.sqrt(variance[row - 1]), -10.0), 10.0)
        up, down = max(0.0, up + z - 0.5), max(0.0, down - z - 0.5)
        out[row] = up - down
    yield "cusum(0.5)", out
    weights = [1.0]
    for k in range(1, 100):
        weights.append(-weights[-1] * (0.4 - k + 1) / k)
    weights = np.array(weights[::-1])
    yield "fractional_difference(0.4,100)", over_windows(lambda row: weights @ row, x, 100)
    # arch warns of nothing here: the levels go in, the drift is taken out, bias is corrected.
    ratio = lambda lag: lambda row: VarianceRatio(row, lag, trend="c", debiased=True).vr
    yield "variance_ratio(100,4)", over_windows(ratio(4), x, 101)
    yield "variance_ratio(50,2)", over_windows(ratio(2), x, 51)


def complexity_family(b):
    c, r, x = b["close"], returns(b), np.log(b["close"])
    rises = holds(c > shifted(c), shifted(c))

    def words(row):
        words = row[:-2] * 4 + row[1:-1] * 2 + row[2:]
        return stats.entropy(np.unique(words, return_counts=True)[1], base=2) / 3

    yield "sign_entropy(48)", over_windows(words, rises, 50)
    order = lambda row: antropy.perm_entropy(row, order=3, delay=1, normalize=True)
    yield "permutation_entropy(48)", over_windows(order, c, 48)
    lags = np.array([1, 2, 4, 8, 16])
    hurst = np.full(BARS, np.nan)
    for row in range(115, BARS):
        moves = [np.sqrt(np.mean((x[row - 99 : row + 1] - x[row - 99 - k : row + 1 - k]) ** 2))
                 for k in lags]
        hurst[row] = np.polyfit(np.log(lags), np.log(moves), 1)[0]
    yield "hurst(100)", hurst

    def rescaled(row):
        path = np.concatenate([[0], np.cumsum(row - row.mean())])
        return math.log((path.max() - path.min()) / row.std()) / math.log(len(row))

    yield "rescaled_range(100)", over_windows(rescaled, r, 100)
    runs = lambda row: runstest_1samp(row, cutoff=0.5, correction=False)[0]
    yield "runs_z(48)", over_windows(runs, rises, 48)
    yield "hjorth_mobility(48)", over_windows(lambda row: antropy.hjorth_params(row)[0], c, 48)
    yield "hjorth_complexity(48)", over_windows(lambda row: antropy.hjorth_params(row)[1], c, 48)
    yield "petrosian(48)", over_windows(antropy.petrosian_fd, c, 48)


def calendar_family(_):
    closed = pd.to_datetime(FIRST_OPEN_MS + HOUR_MS * (np.arange(BARS) + 1), unit="ms")
    month = closed.to_period("M")
    past = (closed - month.start_time) / (month.end_time.ceil("D") - month.start_time)
    yield "month_sin", np.sin(2 * np.pi * past.to_numpy())
    yield "month_cos", np.cos(2 * np.pi * past.to_numpy())
    year = closed.to_period("Y")
    past = (closed - year.start_time) / (year.end_time.ceil("D") - year.start_time)
    yield "year_sin", np.sin(2 * np.pi * past.to_numpy())
    yield "year_cos", np.cos(2 * np.pi * past.to_numpy())
    funding = (closed.hour % 8).to_numpy() / 8
    yield "funding_sin", np.sin(2 * np.pi * funding)
    yield "funding_cos", np.cos(2 * np.pi * funding)
    working = (closed.day_of_week < 5)
    clock = (closed.hour + closed.minute / 60).to_numpy()
    for name, begin, end in (("asia", 0, 6.5), ("europe", 8, 16.5), ("us", 14.5, 21)):
        yield f"{name}_session", (working & (clock >= begin) & (clock < end)).astype(float)
    yield "weekend", (~working).astype(float)


def main():
    bars = make_bars()
    families = (candle_family, position_family, trend_family, momentum_family, variation_family,
                volume_family, microstructure_family, regime_family, complexity_family,
                calendar_family)
    write("feature_formulas", [case for family in families for case in family(bars)])


if __name__ == "__main__":
    main()
