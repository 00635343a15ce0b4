"""Reference values for the statistics behind the reports of backtests.

Rolling Sharpe ratios from pandas; regimes of volatility and trend counted anew for every bar; the
exact distributions of shuffled and redrawn trades, by going through all of them; intervals and
p-values of the stationary bootstrap from arch, with the block length that arch gives for the
jackknife influences of the statistic.

Writes data/report_statistics.json. Run with the versions of requirements.txt:

    python tests/reference/report_statistics.py
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
from arch.bootstrap import StationaryBootstrap, optimal_block_length

STEPS_PER_YEAR = 8760.0
RESAMPLES = 20_000
PERCENTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]


def rounded(values, digits=8):
    return [round(float(value), digits) for value in values]


def curve(generator, count, drift):
    """An equity curve with changing volatility and some stretches without any position."""
    loud = 0.004 * (1 + np.sin(np.arange(count) / 40) ** 2)
    returns = generator.normal(drift, 1, count) * loud
    returns[50:110] = 0.0
    return np.concatenate([[10_000.0], 10_000.0 * np.cumprod(1 + returns)])


def rolling(equity, window):
    returns = pd.Series(equity).pct_change()
    found = returns.rolling(window).mean() / returns.rolling(window).std(ddof=1)
    # pandas takes a window of nothing but zeros for one of rounding errors or of zero deviation.
    still = returns.rolling(window).apply(lambda part: float(np.ptp(part) == 0), raw=True)
    found[still == 1] = np.nan
    return [None if not np.isfinite(one) else float(one) for one in found * np.sqrt(STEPS_PER_YEAR)]


def regimes(closes, volatility_bars, trend_bars, least):
    """What is said of each close, from nothing but the closes up to it."""
    logs = np.diff(np.log(closes))
    readings, found = [], []
    for at in range(len(closes)):
        kind = None
        if at >= volatility_bars:
            reading = np.sqrt(np.mean(logs[at - volatility_bars : at] ** 2))
            if len(readings) >= least:
                lower = sum(one < reading for one in readings) / len(readings)
                kind = "calm" if lower < 1 / 3 else "usual" if lower < 2 / 3 else "wild"
            readings.append(reading)
        trend = None
        if at >= trend_bars:
            trend = "up" if closes[at] > closes[at - trend_bars] else "down"
        found.append([kind, trend])
    return found


def walk(changes):
    growth = np.cumprod(1 + np.asarray(changes))
    whole = np.concatenate([[1.0], growth])
    return growth[-1], np.max(1 - whole / np.maximum.accumulate(whole))


def exact(histories):
    """Both figures of all equally likely histories, as values with the share at or below each."""
    ends, depths = zip(*(walk(one) for one in histories))
    out = {}
    for name, values in (("final_growth", ends), ("max_drawdown", depths)):
        values = np.round(np.sort(values), 12)
        atoms, counts = np.unique(values, return_counts=True)
        out[name] = [
            [float(value), float(share)] for value, share in zip(atoms, np.cumsum(counts) / len(values))
        ]
    return out


def sharpe(returns):
    return returns.mean() / returns.std(ddof=1) * np.sqrt(STEPS_PER_YEAR)


def influences(statistic, *columns):
    count = len(columns[0])
    full = statistic(*columns)
    keep = [np.arange(count) != at for at in range(count)]
    return np.array([(full - statistic(*(one[k] for one in columns))) * (count - 1) for k in keep])


def bootstrap(statistic, *columns, of=None, seed=1):
    """Interval at 95 % and two-sided p-value; `of` is what the block length is for."""
    series = influences(of or statistic, *columns)
    block = max(float(optimal_block_length(series)["stationary"].iloc[0]), 1.0)
    sampler = StationaryBootstrap(block, *columns, seed=seed)
    values = sampler.apply(lambda *data: np.atleast_1d(statistic(*data)), RESAMPLES)[:, 0]
    below, above = np.sum(values <= 0), np.sum(values >= 0)
    return {
        "estimate": float(statistic(*columns)),
        "low": float(np.quantile(values, 0.025)),
        "high": float(np.quantile(values, 0.975)),
        "p": float(min(1.0, 2 * (min(below, above) + 1) / (RESAMPLES + 1))),
        "block": block,
    }


def main():
    generator = np.random.default_rng(20240501)
    equity = np.round(curve(generator, 400, 0.05), 4)
    closes = np.round(100 * np.exp(np.cumsum(generator.normal(0, 0.01, 500) * (1 + np.arange(500) % 97 / 30))), 6)
    shared = generator.normal(0, 0.01, 500)
    own = np.round(shared + generator.normal(0.0006, 0.004, 500), 8)
    other = np.round(shared + generator.normal(0.0, 0.004, 500), 8)
    # A persistent part, so that blocks matter.
    slow = np.zeros(500)
    for at in range(1, 500):
        slow[at] = 0.7 * slow[at - 1] + generator.normal(0, 0.002)
    own = np.round(own + slow, 8)
    trades = [0.04, -0.025, 0.01, -0.06, 0.03, 0.02, -0.01]
    drawn = [0.05, -0.04, 0.02, -0.01, 0.03]
    total = lambda returns: np.prod(1 + returns) - 1
    logs = lambda returns: np.sum(np.log1p(returns))
    mean = lambda returns: returns.mean()
    data = {
        "equity": rounded(equity, 4),
        "rolling": {str(window): rolling(equity, window) for window in (2, 24, 90)},
        "closes": rounded(closes, 6),
        "regime_options": [12, 40, 30],
        "regimes": regimes(closes, 12, 40, 30),
        "trades": trades,
        "shuffled": exact(itertools.permutations(trades)),
        "drawn_from": drawn,
        "resampled": exact(itertools.product(drawn, repeat=len(drawn))),
        "returns": rounded(own),
        "others": rounded(other),
        "difference_of_means": bootstrap(lambda a, b: (a - b).mean() * STEPS_PER_YEAR, own, other),
        "difference_of_sharpe": bootstrap(lambda a, b: sharpe(a) - sharpe(b), own, other),
        "total_return": bootstrap(total, own, of=logs),
        "annual_volatility": bootstrap(lambda one: one.std(ddof=1) * np.sqrt(STEPS_PER_YEAR), own),
        "max_drawdown": bootstrap(lambda one: walk(one)[1], own, of=mean),
    }
    path = Path(__file__).parent / "data" / "report_statistics.json"
    path.write_text(json.dumps(data, indent=0) + "\n")


if __name__ == "__main__":
    main()
