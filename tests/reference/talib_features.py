"""Reference values of features that are made of TA-Lib's indicators, and the bars and helpers that
feature_formulas.py shares, which has the rest.

Writes data/talib_features.json: bars from a small deterministic generator, and for each feature
expression its values at some rows, null before the warm-up. Run with the versions of
requirements.txt:

    python talib_features.py

Nothing needs settling here: averages are seeded as TA-Lib seeds them, so values agree from the
first one on.

With recorded candles it writes no numbers of them into the tree; tests/reference_talib_candles.rs
calls it with a file of little-endian f64 (open, high, low, close and volume, one array after the
other) and with the lengths of the unbroken stretches in it:

    python talib_features.py --candles FILE LENGTH...

It then writes FILE.values, one array of f64 for each feature, NaN before each stretch's warm-up, and
prints their names as JSON.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import scipy
import talib
from scipy import stats

BARS = 260
HOUR_MS = 3_600_000
FIRST_OPEN_MS = 1_700_006_400_000  # 2023-11-15 00:00 UTC


class Generator:
    """A linear congruential generator, so that no library's stream matters."""

    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2**53


def make_bars():
    """Prices with two decimals, so that equal highs and lows occur, and a short flat stretch."""
    draw = Generator(20231115).uniform
    columns = {name: [] for name in ("open", "high", "low", "close", "volume", "quote_volume",
                                     "trades", "taker_buy_volume")}
    close = 50.0
    for number in range(BARS):
        open_ = round(close * (1 + 0.002 * (draw() - 0.5)), 2)
        close = round(open_ * (1 + 0.03 * (draw() - 0.5) + 0.004 * math.sin(number / 15)), 2)
        high = round(max(open_, close) * (1 + 0.006 * draw()), 2)
        low = round(min(open_, close) * (1 - 0.006 * draw()), 2)
        volume = round(100 + 400 * draw(), 3)
        if 150 <= number < 154:
            open_ = high = low = close = columns["close"][149]
            volume = 0.0
        columns["open"].append(open_)
        columns["high"].append(high)
        columns["low"].append(low)
        columns["close"].append(close)
        columns["volume"].append(volume)
        columns["quote_volume"].append(round(volume * close, 2))
        columns["trades"].append(float(int(volume * (2 + 3 * draw()))))
        columns["taker_buy_volume"].append(round(volume * draw(), 3))
    return {name: np.array(values) for name, values in columns.items()}


def windows(values, period):
    """Each full window, oldest first; NaN rows before the first one."""
    view = np.lib.stride_tricks.sliding_window_view(values, period)
    return np.vstack([np.full((period - 1, period), np.nan), view])


def over_windows(function, values, period):
    return np.array([function(row) if np.isfinite(row).all() else np.nan
                     for row in windows(values, period)])


def rolling_mean(values, period):
    return over_windows(np.mean, values, period)


def shifted(values, count=1):
    return np.concatenate([np.full(count, np.nan), values[:-count]])


def returns(bars):
    return np.log(bars["close"] / shifted(bars["close"]))


def divide(a, b, otherwise):
    """a / b, and `otherwise` where b is zero; NaN stays NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b == 0, otherwise, a / np.where(b == 0, 1, b))


def rank(row):
    others = row[:-1]
    return ((others < row[-1]).sum() + 0.5 * (others == row[-1]).sum()) / len(others)


def close_location(b):
    return divide(2 * b["close"] - b["high"] - b["low"], b["high"] - b["low"], 0.0)


def amihud(b, period):
    millions = b["quote_volume"] / 1e6
    impact = divide(np.abs(returns(b)), millions, 0.0)
    traded = (millions > 0).astype(float)
    values = [np.nan] * period
    for end in range(period, BARS):
        part = slice(end - period + 1, end + 1)
        values.append(impact[part].sum() / max(traded[part].sum(), 1))
    return np.array(values)


def angles(period_ms, offset_ms=0):
    closed = FIRST_OPEN_MS + HOUR_MS * (np.arange(BARS) + 1) + offset_ms
    return 2 * np.pi * (closed % period_ms) / period_ms


def returns_family(b):
    c, o, h, l = b["close"], b["open"], b["high"], b["low"]
    yield "log_return(1)", np.log(talib.ROCR(c, 1))
    yield "log_return(24)", np.log(talib.ROCR(c, 24))
    yield "body", np.log(c / o)
    yield "upper_wick", (h - np.maximum(o, c)) / c
    yield "lower_wick", (np.minimum(o, c) - l) / c
    yield "close_location", close_location(b)
    yield "gap", np.log(o / shifted(c))
    yield "zscore(24)", (c - talib.SMA(c, 24)) / talib.STDDEV(c, 24, 1)
    yield "rank(24)", over_windows(rank, c, 24)
    yield "distance_to_high(24)", np.log(c / talib.MAX(h, 24))
    yield "distance_to_low(24)", np.log(c / talib.MIN(l, 24))
    yield "drawdown(24)", c / talib.MAX(c, 24) - 1


def trend_family(b):
    c, h, l = b["close"], b["high"], b["low"]
    yield "sma_ratio(20)", np.log(c / talib.SMA(c, 20))
    yield "ema_ratio(20)", np.log(c / talib.EMA(c, 20))
    yield "dema_ratio(20)", 1 - talib.DEMA(c, 20) / c
    line, signal, histogram = talib.MACD(c, 12, 26, 9)
    yield "macd(12,26,9)", line / c
    yield "macd_signal(12,26,9)", signal / c
    yield "macd_histogram(12,26,9)", histogram / c
    yield "macd(5,8,4)", talib.MACD(c, 5, 8, 4)[0] / c
    yield "adx(14)", talib.ADX(h, l, c, 14)
    yield "adx(3)", talib.ADX(h, l, c, 3)
    yield "di_difference(14)", talib.PLUS_DI(h, l, c, 14) - talib.MINUS_DI(h, l, c, 14)
    yield "aroon_oscillator(14)", talib.AROONOSC(h, l, 14)
    yield "aroon_oscillator(3)", talib.AROONOSC(h, l, 3)
    yield "trix(15)", talib.TRIX(c, 15)
    yield "linear_slope(14)", talib.LINEARREG_SLOPE(c, 14) / c
    yield "linear_r2(14)", talib.CORREL(c, np.arange(BARS, dtype=float), 14) ** 2


def momentum_family(b):
    c, h, l = b["close"], b["high"], b["low"]
    yield "rsi(14)", talib.RSI(c, 14)
    yield "rsi(2)", talib.RSI(c, 2)
    k, d = talib.STOCH(h, l, c, fastk_period=14, slowk_period=3, slowd_period=3)
    # TA-Lib withholds %K until %D is there; the fast version has it two bars earlier.
    fast_k = talib.STOCHF(h, l, c, fastk_period=14, fastd_period=1)[0]
    full_k = talib.SMA(fast_k, 3)
    assert np.allclose(full_k[np.isfinite(k)], k[np.isfinite(k)], rtol=1e-12, atol=1e-12)
    yield "stochastic_k(14,3)", full_k
    yield "stochastic_d(14,3,3)", d
    yield "cci(20)", talib.CCI(h, l, c, 20)
    yield "roc(10)", talib.ROC(c, 10)
    yield "williams_r(14)", talib.WILLR(h, l, c, 14)
    yield "williams_r(3)", talib.WILLR(h, l, c, 3)
    fast, slow = np.log(c / shifted(c, 6)) / 6, np.log(c / shifted(c, 48)) / 48
    yield "momentum_difference(6,48)", fast - slow


def volatility_family(b):
    c, o, h, l = b["close"], b["open"], b["high"], b["low"]
    realized = lambda period: np.sqrt(rolling_mean(returns(b) ** 2, period))
    yield "realized_volatility(24)", realized(24)
    log = np.log
    yield "parkinson(24)", np.sqrt(rolling_mean(log(h / l) ** 2 / (4 * math.log(2)), 24))
    garman_klass = 0.5 * log(h / l) ** 2 - (2 * math.log(2) - 1) * log(c / o) ** 2
    yield "garman_klass(24)", np.sqrt(rolling_mean(garman_klass, 24))
    rogers_satchell = log(h / c) * log(h / o) + log(l / c) * log(l / o)
    yield "rogers_satchell(24)", np.sqrt(rolling_mean(rogers_satchell, 24))
    yield "atr(14)", talib.ATR(h, l, c, 14)
    yield "natr(14)", talib.NATR(h, l, c, 14)
    upper, middle, lower = talib.BBANDS(c, 20, 2, 2)
    yield "bollinger_percent_b(20,2)", (c - lower) / (upper - lower)
    yield "bollinger_width(20,2)", (upper - lower) / middle
    yield "volatility_ratio(6,48)", log(realized(6) / realized(48))
    yield "return_skew(48)", over_windows(stats.skew, returns(b), 48)


def volume_family(b):
    c, h, l, v = b["close"], b["high"], b["low"], b["volume"]
    typical = talib.TYPPRICE(h, l, c)
    total = lambda values, period: over_windows(np.sum, values, period)
    yield "volume_zscore(24)", (v - talib.SMA(v, 24)) / talib.STDDEV(v, 24, 1)
    yield "relative_volume(24)", v / talib.SMA(v, 24)
    yield "obv_slope(24)", talib.LINEARREG_SLOPE(talib.OBV(c, v), 24) / talib.SMA(v, 24)
    yield "mfi(14)", talib.MFI(h, l, c, v, 14)
    yield "cmf(20)", total(close_location(b) * v, 20) / total(v, 20)
    yield "vwap_distance(24)", np.log(c / (total(typical * v, 24) / total(v, 24)))
    bought = b["taker_buy_volume"]
    yield "taker_buy_imbalance(1)", divide(2 * bought - v, v, 0.0)
    yield "taker_buy_imbalance(24)", (2 * total(bought, 24) - total(v, 24)) / total(v, 24)
    yield "amihud(24)", amihud(b, 24)
    trades = b["trades"]
    yield "trades_zscore(24)", (trades - talib.SMA(trades, 24)) / talib.STDDEV(trades, 24, 1)


def calendar_family(_):
    day, week = angles(24 * HOUR_MS), angles(7 * 24 * HOUR_MS, 3 * 24 * HOUR_MS)
    yield "hour_sin", np.sin(day)
    yield "hour_cos", np.cos(day)
    yield "weekday_sin", np.sin(week)
    yield "weekday_cos", np.cos(week)


def more_price_family(b):
    c, o, h, l = b["close"], b["open"], b["high"], b["low"]
    yield "bop", talib.BOP(o, h, l, c)
    # One bar more at the front, as TA-Lib withholds the first pattern.
    padded = [np.concatenate([column[:1], column]) for column in (o, h, l, c)]
    engulfing = talib.CDLENGULFING(*padded)[1:] / 100
    yield "engulfing", np.where(np.arange(BARS) < 1, np.nan, engulfing)
    place = np.arange(BARS)
    age = lambda index, period: np.where(place < period - 1, np.nan, (place - index) / (period - 1))
    yield "drawdown_age(48)", age(latest(c, 48, np.argmax), 48)
    yield "runup_age(48)", age(latest(c, 48, np.argmin), 48)
    yield "runup(48)", c / talib.MIN(c, 48) - 1
    yield "close_location_mean(14)", talib.SMA(close_location(b), 14)


def latest(values, period, function):
    """Index of the window's extreme, the latest of equals (MAXINDEX gives it at times)."""
    index = np.zeros(len(values))
    for end in range(period - 1, len(values)):
        row = values[end - period + 1 : end + 1][::-1]
        index[end] = end - function(row)
    return index


def later(function, values, *arguments):
    """A TA-Lib function of a column that begins with NaN."""
    start = int(np.argmax(np.isfinite(values)))
    return np.concatenate([np.full(start, np.nan), function(values[start:], *arguments)])


def moving_average_family(b):
    c = b["close"]
    yield "wma_ratio(20)", np.log(c / talib.WMA(c, 20))
    yield "wma_ratio(5)", np.log(c / talib.WMA(c, 5))
    yield "trima_ratio(20)", np.log(c / talib.TRIMA(c, 20))
    yield "trima_ratio(7)", np.log(c / talib.TRIMA(c, 7))
    yield "tema_ratio(20)", 1 - talib.TEMA(c, 20) / c
    yield "t3_ratio(5,0.7)", 1 - talib.T3(c, 5, 0.7) / c
    yield "kama_ratio(10)", np.log(c / talib.KAMA(c, 10))
    hull = later(talib.WMA, 2 * talib.WMA(c, 10) - talib.WMA(c, 20), 4)
    yield "hma_ratio(20)", 1 - hull / c
    yield "hma_slope(20)", (hull - shifted(hull)) / c
    yield "zlema_ratio(20)", 1 - later(talib.EMA, 2 * c - shifted(c, 9), 20) / c
    yield "sma_cross(20,50)", np.log(talib.SMA(c, 20) / talib.SMA(c, 50))


def directional_family(b):
    c, o, h, l = b["close"], b["open"], b["high"], b["low"]
    yield "plus_di(14)", talib.PLUS_DI(h, l, c, 14)
    yield "minus_di(14)", talib.MINUS_DI(h, l, c, 14)
    yield "dx(14)", talib.DX(h, l, c, 14)
    yield "dx(3)", talib.DX(h, l, c, 3)
    yield "adxr(14)", talib.ADXR(h, l, c, 14)
    down, up = talib.AROON(h, l, 14)
    yield "aroon_up(14)", up
    yield "aroon_down(14)", down
    yield "parabolic_sar(0.02,0.2)", np.log(c / talib.SAR(h, l, 0.02, 0.2))
    yield "parabolic_sar(0.1,0.3)", np.log(c / talib.SAR(h, l, 0.1, 0.3))
    total_range = later(talib.SUM, talib.TRANGE(h, l, c), 14)
    flow = np.abs(h - shifted(l)) - np.abs(l - shifted(h))
    yield "vortex(14)", later(talib.SUM, flow, 14) / total_range
    yield "linear_residual(14)", (c - talib.LINEARREG(c, 14)) / c
    yield "forecast_oscillator(14)", (c - shifted(talib.TSF(c, 14))) / c
    middle = lambda period: talib.MIDPRICE(h, l, period)
    yield "midprice_ratio(26)", np.log(c / middle(26))
    yield "ichimoku_cross(9,26)", (middle(9) - middle(26)) / c
    first, second = (middle(9) + middle(26)) / 2, middle(52)
    # The first edge is there earlier; the cloud needs both.
    first[np.isnan(second)] = np.nan
    yield "ichimoku_cloud_width(9,26,52)", (first - second) / c
    first, second = shifted(first, 26), shifted(second, 26)
    above, below = np.maximum(first, second), np.minimum(first, second)
    cloud = np.where(c > above, c - above, np.where(c < below, c - below, 0 * above))
    yield "ichimoku_cloud(9,26,52)", cloud / c
    path = later(talib.SUM, np.abs(c - shifted(c)), 28)
    yield "vhf(28)", (talib.MAX(c, 29) - talib.MIN(c, 29)) / path
    yield "qstick(14)", talib.SMA(c - o, 14) / talib.SMA(c, 14)
    yield "dpo(20)", (shifted(c, 11) - talib.SMA(c, 20)) / c


def more_momentum_family(b):
    c, o, h, l = b["close"], b["open"], b["high"], b["low"]
    rsi = lambda values, period: later(talib.RSI, values, period)
    yield "stoch_rsi(14,14)", talib.STOCHRSI(c, 14, 14, 1, 0)[0]
    yield "stoch_rsi_d(14,14,3)", talib.STOCHRSI(c, 14, 14, 3, 0)[1]
    yield "imi(14)", 100 * talib.SUM(np.maximum(c - o, 0), 14) / talib.SUM(np.abs(c - o), 14)
    assert np.allclose(talib.IMI(o, c, 14)[20:140], (100 * talib.SUM(np.maximum(c - o, 0), 14)
                       / talib.SUM(np.abs(c - o), 14))[20:140])
    yield "ultimate(7,14,28)", talib.ULTOSC(h, l, c, 7, 14, 28)
    yield "ppo(12,26)", talib.PPO(c, 12, 26, matype=1)
    yield "coppock(14,11,10)", later(talib.WMA, talib.ROC(c, 14) + talib.ROC(c, 11), 10)
    rates = [(10, 10), (15, 10), (20, 10), (30, 15)]
    parts = [later(talib.SMA, talib.ROC(c, back), mean) for back, mean in rates]
    yield "kst", sum(weight * part for weight, part in enumerate(parts, 1))
    yield "elder_bull(13)", (h - talib.EMA(c, 13)) / c
    yield "elder_bear(13)", (l - talib.EMA(c, 13)) / c
    ema = lambda values, period: later(talib.EMA, values, period)
    change = c - shifted(c)
    yield "tsi(25,13)", 100 * ema(ema(change, 25), 13) / ema(ema(np.abs(change), 25), 13)
    middle, width = talib.MIDPRICE(h, l, 13), talib.MAX(h, 13) - talib.MIN(l, 13)
    smooth = lambda values: ema(ema(values, 25), 2)
    yield "smi(13,25,2)", 100 * smooth(c - middle) / (smooth(width) / 2)
    median = talib.MEDPRICE(h, l)
    awesome = talib.SMA(median, 5) - talib.SMA(median, 34)
    yield "awesome(5,34)", awesome / c
    yield "accelerator(5,34,5)", (awesome - later(talib.SMA, awesome, 5)) / c
    yield "pgo(14)", (c - talib.SMA(c, 14)) / ema(talib.TRANGE(h, l, c), 14)
    streak = np.zeros(BARS)
    for row in range(1, BARS):
        sign = np.sign(c[row] - c[row - 1])
        streak[row] = streak[row - 1] + sign if streak[row - 1] * sign > 0 else sign
    below = over_windows(lambda row: (row[:-1] < row[-1]).mean(), returns(b), 101)
    yield "connors_rsi(3,2,100)", (talib.RSI(c, 3) + talib.RSI(streak, 2) + 100 * below) / 3


def band_family(b):
    c, h, l = b["close"], b["high"], b["low"]
    true_range = talib.TRANGE(h, l, c)
    yield "true_range", true_range / c
    yield "keltner_position(20,10,2)", (c - talib.EMA(c, 20)) / (2 * talib.ATR(h, l, c, 10))
    highest, lowest = shifted(talib.MAX(h, 20)), shifted(talib.MIN(l, 20))
    yield "donchian_breakout(20)", (c - (highest + lowest) / 2) / ((highest - lowest) / 2)
    yield "donchian_width(20)", np.log(talib.MAX(h, 20) / talib.MIN(l, 20))
    upper, _, lower = talib.ACCBANDS(h, l, c, 20)
    yield "acceleration_position(20)", (c - lower) / (upper - lower)
    mean_range = later(talib.SMA, true_range, 20)
    yield "squeeze(20,2,1.5)", 2 * talib.STDDEV(c, 20, 1) / (1.5 * mean_range)
    ratio = later(talib.SUM, true_range, 14) / (talib.MAX(h, 14) - talib.MIN(l, 14))
    yield "choppiness(14)", 100 * np.log(ratio) / np.log(14)
    first = talib.EMA(h - l, 9)
    yield "mass_index(9,25)", later(talib.SMA, first / later(talib.EMA, first, 9), 25)
    yield "chaikin_volatility(10,10)", later(talib.ROC, talib.EMA(h - l, 10), 10)
    fall = 100 * (c / talib.MAX(c, 14) - 1)
    yield "ulcer(14)", np.sqrt(later(talib.SMA, fall**2, 14))


def flow_family(b):
    c, h, l, v = b["close"], b["high"], b["low"], b["volume"]
    slope = lambda flow, period: later(talib.LINEARREG_SLOPE, flow, period)
    mean = lambda period: talib.SMA(v, period)
    yield "ad_slope(24)", slope(talib.AD(h, l, c, v), 24) / mean(24)
    yield "adosc(3,10)", talib.ADOSC(h, l, c, v, 3, 10) / mean(10)
    yield "volume_oscillator(12,26)", talib.PPO(v, 12, 26, matype=1)
    ema = lambda values, period: later(talib.EMA, values, period)
    yield "force_index(13)", ema((c - shifted(c)) * v, 13) / (c * later(talib.SMA, v + 0 *
                                                                        shifted(c), 13))
    change, past = returns(b), shifted(v)
    for name, counts in (("nvi_distance(50)", v < past), ("pvi_distance(50)", v > past)):
        total = np.concatenate([[np.nan], np.cumsum(np.where(counts, change, 0)[1:])])
        yield name, total - ema(total, 50)
    trend = np.concatenate([[np.nan], np.cumsum((v * (c / shifted(c) - 1))[1:])])
    yield "pvt_slope(24)", slope(trend, 24) / mean(24)
    yield "volume_slope(24)", slope(v, 24) / mean(24)
    yield "cvd_slope(24)", slope(np.cumsum(2 * b["taker_buy_volume"] - v), 24) / mean(24)


# Some rows are enough: every fifth, the flat stretch with its neighbourhood, and each first value.
ROWS = sorted(set(range(0, BARS, 5)) | set(range(148, 157)))


def write(name, cases, bars=None):
    """Writes the cases, twelve digits each, as their first row and the values at ROWS."""
    short = lambda value: None if math.isnan(value) else float(f"{value:.12g}")
    features = {}
    for case, values in cases:
        assert len(values) == BARS and case not in features, case
        first = int(np.argmax(np.isfinite(values)))
        assert np.isfinite(values[first:]).all(), f"{case} has holes"
        features[case] = {"first": [first, short(values[first])],
                          "values": [short(values[row]) for row in ROWS]}
    document = {
        "generated_by": f"{name}.py",
        "versions": {"TA-Lib": talib.__version__, "numpy": np.__version__,
                     "scipy": scipy.__version__},
        "first_open_ms": FIRST_OPEN_MS,
        "rows": ROWS,
        "features": features,
    }
    if bars is not None:
        document["bars"] = {name: values.tolist() for name, values in bars.items()}
    path = Path(__file__).parent / "data" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(document, separators=(",", ":")).replace("]}", "]}\n").replace("],", "],\n")
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: {len(features)} features over {BARS} bars")


# Those that see prices and volume alone.
FAMILIES = (returns_family, trend_family, momentum_family, volatility_family, volume_family,
            more_price_family, moving_average_family, directional_family, more_momentum_family,
            band_family, flow_family)


def cases_of(bars, families):
    return [case for family in families for case in family(bars)]


def afresh(bars):
    """The few features for which TA-Lib's sums lose digits on recorded candles, from each window by
    itself instead: a triangular average of an odd period drifts (by 1e-7 of the distance from it
    after two weeks of minutes); a sum of squares keeps what large ones leave behind when nothing
    falls any more; a deviation of prices that hardly move, and a line through a long total, are
    differences of large numbers (1e-8 and 1.4e-9 at single bars)."""
    c, v = bars["close"], bars["volume"]
    weights = np.array([1, 2, 3, 4, 3, 2, 1]) / 16
    away = over_windows(lambda row: (row - row[-1]) @ weights, c, 7)
    fall = c / talib.MAX(c, 14) - 1
    flow = v * (c - shifted(c)) / shifted(c)
    places = np.arange(24) - 11.5
    trend = over_windows(lambda row: np.cumsum(row) @ places, flow, 24) / (places @ places)

    def score(row):
        distances = row - row[-1]
        return divide(-distances.mean(), distances.std(), 0.0)

    return {
        "trima_ratio(7)": -np.log1p(away / c),
        "ulcer(14)": 100 * np.sqrt(rolling_mean(fall**2, 14)),
        "zscore(24)": over_windows(score, c, 24),
        "pvt_slope(24)": trend / rolling_mean(v, 24),
    }


def from_candles(path, lengths):
    """The features of recorded candles, each unbroken stretch by itself."""
    global BARS
    columns = np.fromfile(path, dtype="<f8").reshape(5, -1)
    values, begin = {}, 0
    for length in lengths:
        BARS = length
        open_, high, low, close, volume = columns[:, begin : begin + length].copy()
        # Not recorded: what is made of the stand-ins below is compared with nothing.
        bars = {"open": open_, "high": high, "low": low, "close": close, "volume": volume,
                "quote_volume": volume * close, "trades": volume, "taker_buy_volume": volume / 2}
        with np.errstate(divide="ignore", invalid="ignore"):
            for name, found in (dict(cases_of(bars, FAMILIES)) | afresh(bars)).items():
                values.setdefault(name, []).append(found)
        begin += length
    with open(f"{path}.values", "wb") as out:
        for parts in values.values():
            np.concatenate(parts).astype("<f8").tofile(out)
    print(json.dumps(list(values)))


def main():
    if sys.argv[1:2] == ["--candles"]:
        from_candles(sys.argv[2], [int(length) for length in sys.argv[3:]])
        return
    bars = make_bars()
    before, after = FAMILIES[:5], FAMILIES[5:]
    write("talib_features", cases_of(bars, (*before, calendar_family, *after)), bars)


if __name__ == "__main__":
    main()
