"""How long TA-Lib on arrays and pandas take for features that both they and the engine have.

Called by `make bench` with a file of little-endian f64: open, high, low, close and volume, one array
after the other. Prints JSON: expression -> {"talib": ns per bar, "pandas": ns per bar}, and how long the
same columns take as one row-major f32 matrix with a flag for each row. The values are the engine's:
the ratio or logarithm around an indicator is part of the work on all sides.

pandas has no window for a mean absolute deviation or for the place of an extreme: the indicators in
APPLIED go through `rolling.apply` with NumPy, as everyone writes them, on fewer bars because they
take long. The bench shows the ratio without them beside the one with them.
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


# Written with `rolling.apply`, measured on APPLIED_BARS bars.
APPLIED = ("aroon_oscillator(25)", "cci(20)")
APPLIED_BARS = 50_000


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
        "dema_ratio(20)": lambda: 1 - talib.DEMA(c, 20) / c,
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

    def cci():
        typical = (h + l + c) / 3
        window = typical.rolling(20)
        deviation = window.apply(lambda one: np.abs(one - one.mean()).mean(), raw=True)
        return (typical - window.mean()) / (0.015 * deviation)

    def aroon_oscillator():
        high = h.rolling(26).apply(np.argmax, raw=True)
        low = l.rolling(26).apply(np.argmin, raw=True)
        return 100 / 25 * (high - low)

    def linear_slope():
        place = pd.Series(np.arange(float(len(c))))
        return c.rolling(24).cov(place, ddof=0) / ((24**2 - 1) / 12) / c

    def trix():
        return ema(ema(ema(np.log(c), 15), 15), 15).pct_change() * 100

    return {
        "log_return(24)": lambda: np.log(c / c.shift(24)),
        "zscore(24)": lambda: (c - c.rolling(24).mean()) / c.rolling(24).std(ddof=0),
        "distance_to_high(24)": lambda: np.log(c / h.rolling(24).max()),
        "drawdown(24)": lambda: c / c.rolling(24).max() - 1,
        "sma_ratio(20)": lambda: np.log(c / c.rolling(20).mean()),
        "ema_ratio(20)": lambda: np.log(c / ema(c, 20)),
        "dema_ratio(20)": lambda: 1 - (2 * ema(c, 20) - ema(ema(c, 20), 20)) / c,
        "macd_histogram(12,26,9)": macd_histogram,
        "adx(14)": adx,
        "aroon_oscillator(25)": aroon_oscillator,
        "trix(15)": trix,
        "linear_slope(24)": linear_slope,
        "cci(20)": cci,
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


def as_matrix(computed, bars):
    """Row-major f32 and whether each row is complete, as the engine hands its features over."""
    values = np.empty((bars, len(computed)), dtype=np.float32)
    for column, compute in enumerate(computed):
        values[:, column] = compute()
    return values, np.isfinite(values).all(axis=1)


def main():
    columns = np.fromfile(sys.argv[1], dtype="<f8").reshape(5, -1)
    columns = [np.ascontiguousarray(one) for one in columns]
    bars = len(columns[0])
    found, matrix = {}, {}
    with np.errstate(all="ignore"):
        for name, have, make in (("talib", talib, with_talib), ("pandas", pd, with_pandas)):
            if have is None:
                continue
            is_slow = lambda expression: name == "pandas" and expression in APPLIED
            computed = make(*columns)
            few = make(*(one[:APPLIED_BARS] for one in columns))
            for expression, compute in computed.items():
                compute = few[expression] if is_slow(expression) else compute
                shown = min(bars, APPLIED_BARS) if is_slow(expression) else bars
                found.setdefault(expression, {})[name] = nanos_per_bar(compute, shown)
            built_in = [one for key, one in computed.items() if not is_slow(key)]
            matrix[name] = nanos_per_bar(lambda: as_matrix(built_in, bars), bars)
    missing = [name for name, have in (("TA-Lib", talib), ("pandas", pd)) if have is None]
    shown = {"features": found, "matrix": matrix, "applied": APPLIED, "missing": missing}
    print(json.dumps(shown))


if __name__ == "__main__":
    main()
