"""How long TA-Lib on arrays and pandas take for features that both they and the engine have.

Called by `make bench` with a file of little-endian f64: open, high, low, close and volume, one array
after the other. Prints JSON: expression -> {"talib": ns per bar, "pandas": ns per bar}. The values
are the engine's: the ratio or logarithm around an indicator is part of the work on all sides.
"""

import json
import sys
import time

import numpy as np

try:
    import talib
except ImportError:
    talib = None
try:
    import pandas as pd
except ImportError:
    pd = None


def nanos_per_bar(compute, bars):
    """The best of at least three runs."""
    best = float("inf")
    began = time.perf_counter()
    runs = 0
    while runs < 3 or time.perf_counter() - began < 0.3:
        start = time.perf_counter()
        compute()
        best = min(best, time.perf_counter() - start)
        runs += 1
    return best / bars * 1e9


def with_talib(o, h, l, c, v):
    bands = lambda: talib.BBANDS(c, 20, 2, 2)

    def percent_b():
        upper, _, lower = bands()
        return (c - lower) / (upper - lower)

    def width():
        upper, middle, lower = bands()
        return (upper - lower) / middle

    return {
        "log_return(24)": lambda: np.log(talib.ROCR(c, 24)),
        "zscore(24)": lambda: (c - talib.SMA(c, 24)) / talib.STDDEV(c, 24, 1),
        "distance_to_high(24)": lambda: np.log(c / talib.MAX(h, 24)),
        "drawdown(24)": lambda: c / talib.MAX(c, 24) - 1,
        "sma_ratio(20)": lambda: np.log(c / talib.SMA(c, 20)),
        "ema_ratio(20)": lambda: np.log(c / talib.EMA(c, 20)),
        "dema_ratio(20)": lambda: np.log(c / talib.DEMA(c, 20)),
        "macd_histogram(12,26,9)": lambda: talib.MACD(c, 12, 26, 9)[2] / c,
        "adx(14)": lambda: talib.ADX(h, l, c, 14),
        "aroon_oscillator(25)": lambda: talib.AROONOSC(h, l, 25),
        "trix(15)": lambda: talib.TRIX(c, 15),
        "linear_slope(24)": lambda: talib.LINEARREG_SLOPE(c, 24) / c,
        "rsi(14)": lambda: talib.RSI(c, 14),
        "stochastic_k(14,3)": lambda: talib.STOCH(h, l, c, 14, 3, 0, 3, 0)[0],
        "cci(20)": lambda: talib.CCI(h, l, c, 20),
        "roc(10)": lambda: talib.ROC(c, 10),
        "williams_r(14)": lambda: talib.WILLR(h, l, c, 14),
        "natr(14)": lambda: talib.NATR(h, l, c, 14),
        "bollinger_percent_b(20,2)": percent_b,
        "bollinger_width(20,2)": width,
        "relative_volume(24)": lambda: v / talib.SMA(v, 24),
        "mfi(14)": lambda: talib.MFI(h, l, c, v, 14),
    }


def with_pandas(o, h, l, c, v):
    o, h, l, c, v = (pd.Series(one) for one in (o, h, l, c, v))
    ema = lambda s, n: s.ewm(span=n, adjust=False).mean()
    wilder = lambda s, n: s.ewm(alpha=1 / n, adjust=False).mean()

    def true_range():
        previous = c.shift()
        return np.maximum(h - l, np.maximum((h - previous).abs(), (l - previous).abs()))

    def rsi():
        change = c.diff()
        gain, loss = wilder(change.clip(lower=0), 14), wilder(-change.clip(upper=0), 14)
        return 100 * gain / (gain + loss)

    def adx():
        up, down = h.diff(), -l.diff()
        plus = up.where((up > down) & (up > 0), 0.0)
        minus = down.where((down > up) & (down > 0), 0.0)
        reach = wilder(true_range(), 14)
        plus, minus = wilder(plus, 14) / reach, wilder(minus, 14) / reach
        return wilder(100 * (plus - minus).abs() / (plus + minus), 14)

    def macd_histogram():
        line = ema(c, 12) - ema(c, 26)
        return (line - ema(line, 9)) / c

    def stochastic():
        low, high = l.rolling(14).min(), h.rolling(14).max()
        return (100 * (c - low) / (high - low)).rolling(3).mean()

    def williams():
        low, high = l.rolling(14).min(), h.rolling(14).max()
        return -100 * (high - c) / (high - low)

    def percent_b():
        mean, deviation = c.rolling(20).mean(), c.rolling(20).std(ddof=0)
        return (c - mean + 2 * deviation) / (4 * deviation)

    def mfi():
        typical = (h + l + c) / 3
        flow, change = typical * v, typical.diff()
        up = flow.where(change > 0, 0.0).rolling(14).sum()
        down = flow.where(change < 0, 0.0).rolling(14).sum()
        return 100 * up / (up + down)

    def trix():
        return ema(ema(ema(np.log(c), 15), 15), 15).pct_change() * 100

    return {
        "log_return(24)": lambda: np.log(c / c.shift(24)),
        "zscore(24)": lambda: (c - c.rolling(24).mean()) / c.rolling(24).std(ddof=0),
        "distance_to_high(24)": lambda: np.log(c / h.rolling(24).max()),
        "drawdown(24)": lambda: c / c.rolling(24).max() - 1,
        "sma_ratio(20)": lambda: np.log(c / c.rolling(20).mean()),
        "ema_ratio(20)": lambda: np.log(c / ema(c, 20)),
        "dema_ratio(20)": lambda: np.log(c / (2 * ema(c, 20) - ema(ema(c, 20), 20))),
        "macd_histogram(12,26,9)": macd_histogram,
        "adx(14)": adx,
        "trix(15)": trix,
        "rsi(14)": rsi,
        "stochastic_k(14,3)": stochastic,
        "roc(10)": lambda: 100 * (c / c.shift(10) - 1),
        "williams_r(14)": williams,
        "natr(14)": lambda: 100 * wilder(true_range(), 14) / c,
        "bollinger_percent_b(20,2)": percent_b,
        "bollinger_width(20,2)": lambda: 4 * c.rolling(20).std(ddof=0) / c.rolling(20).mean(),
        "relative_volume(24)": lambda: v / v.rolling(24).mean(),
        "mfi(14)": mfi,
    }


def main():
    columns = np.fromfile(sys.argv[1], dtype="<f8").reshape(5, -1)
    columns = [np.ascontiguousarray(one) for one in columns]
    bars = len(columns[0])
    found = {}
    with np.errstate(all="ignore"):
        for name, have, make in (("talib", talib, with_talib), ("pandas", pd, with_pandas)):
            if have is None:
                continue
            for expression, compute in make(*columns).items():
                found.setdefault(expression, {})[name] = nanos_per_bar(compute, bars)
    missing = [name for name, have in (("TA-Lib", talib), ("pandas", pd)) if have is None]
    print(json.dumps({"features": found, "missing": missing}))


if __name__ == "__main__":
    main()
