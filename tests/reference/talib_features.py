"""Reference values for every kind of feature: TA-Lib where it has the indicator, NumPy and SciPy
written from the definition elsewhere.

Writes data/talib_features.json: bars from a small deterministic generator, and for each feature
expression its values, null before the warm-up. Run with the versions of requirements.txt:

    python talib_features.py
"""

import json
import math
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
    yield "dema_ratio(20)", np.log(c / talib.DEMA(c, 20))
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


def main():
    bars = make_bars()
    families = (returns_family, trend_family, momentum_family, volatility_family, volume_family,
                calendar_family)
    cases = [(name, values) for family in families for name, values in family(bars)]
    number = lambda value: None if math.isnan(value) else float(value)
    document = {
        "generated_by": "talib_features.py",
        "versions": {"TA-Lib": talib.__version__, "numpy": np.__version__,
                     "scipy": scipy.__version__},
        "first_open_ms": FIRST_OPEN_MS,
        "bars": {name: values.tolist() for name, values in bars.items()},
        "features": {name: [number(value) for value in values] for name, values in cases},
    }
    path = Path(__file__).parent / "data" / "talib_features.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(document, separators=(",", ":")).replace("],", "],\n")
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: {len(cases)} features over {BARS} bars")


if __name__ == "__main__":
    main()
