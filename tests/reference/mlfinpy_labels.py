"""Reference values for labels and weights: mlfinpy, and the book's formulas where mlfinpy departs
from them.

Writes data/mlfinpy_labels.json. mlfinpy needs an older NumPy than the other references, so it has a
requirements file of its own:

    pip install -r requirements-mlfinpy.txt
    python mlfinpy_labels.py

Where mlfinpy is taken as it is, and where not (Lopez de Prado, Advances in Financial Machine
Learning, is "the book"):

* Daily volatility (snippet 3.1): the standard deviation of simple returns over a day and one bar,
  about a weighted mean, with pandas' bias correction. The engine's scale is another one by design:
  log returns per bar about zero (RiskMetrics). What mlfinpy computes is checked here by pandas; the
  engine's volatility is checked against the same `ewm` of squared log returns.
* First touch: mlfinpy compares closes, strictly, with simple cumulative returns, and times the side.
  The engine looks at high and low, touches at equality and puts barriers at `entry exp(+-m sigma)`.
  Bars whose high, low and open equal the close, and barriers given as `exp(m sigma) - 1` above and
  `1 - exp(-m sigma)` below, make both ask the same, so `triple_barriers` is called with those.
* The label: `get_bins` compares the log return to `log(1 + target)` times the multiple, which is
  neither of the two barriers unless the multiple is 1, and says 0 for a vertical touch, even for a
  profit in meta-labels; the book's snippet 3.7 pays by the sign of the return. Labels are therefore
  made here from mlfinpy's touches: which barrier was first for the triple barrier, the sign of
  side times return for meta-labels.
* `prices = close.reindex(..., method="bfill")` invents a price where a touch has no bar; every touch
  here is a bar, so it does nothing.
* CUSUM: `>` instead of the book's text's `>=`; no sum here meets its threshold exactly.
* Concurrency: mlfinpy counts the bar of the event itself as one of the label's, although the return
  of that bar was known before. The engine's spans begin one bar later, so mlfinpy is given events
  that begin one bar later.
* Trend scanning: mlfinpy never tries the longest window (`arange` ends before it) and fits prices;
  it is given one bar more and log prices. It states the end of the chosen trend as the label's end,
  although the choice needed all bars of the longest window; that is checked as the trend's length.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from mlfinpy.filters.filters import cusum_filter
from mlfinpy.labeling.labeling import triple_barriers
from mlfinpy.labeling.trend_scanning import trend_scanning_labels
from mlfinpy.sample_weights.attribution import get_weights_by_return, get_weights_by_time_decay
from mlfinpy.sampling.bootstrapping import _bootstrap_loop_run, get_ind_matrix
from mlfinpy.sampling.concurrent import get_av_uniqueness_from_triple_barrier
from mlfinpy.util.volatility import get_daily_vol

warnings.filterwarnings("ignore")

BARS = 400
SPAN = 40
HORIZON = 12
UPPER, LOWER = 2.5, 1.5
CUSUM = 1.8
CUSUM_RETURN = 0.013
FAST, SLOW = 5, 20
TREND = (4, 12)
DRAWN = [0, 3, 3, 17, 40, 41, 60]


class Generator:
    """A linear congruential generator, so that no library's stream matters."""

    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2**53


def make_closes():
    draw = Generator(20180202).uniform
    closes, level = [], 100.0
    for number in range(BARS):
        wild = 1.0 + 1.5 * (number // 80 % 2)
        level *= np.exp(0.01 * wild * (draw() + draw() + draw() - 1.5))
        closes.append(round(level, 4))
    index = pd.date_range("2024-01-01", periods=BARS, freq="h")
    return pd.Series(closes, index=index)


def volatility(close):
    """The engine's scale, by pandas: the root of the weighted mean of squared log returns."""
    squares = np.log(close).diff() ** 2
    sigma = np.sqrt(squares.ewm(span=SPAN, adjust=True, min_periods=SPAN).mean())
    return sigma.where(sigma > 0)


def touches(close, sigma, side):
    """The first touch of each event by mlfinpy, barriers at exp(+-m sigma) from the entry. The side
    is +1 throughout; a short position has its multiples mirrored."""
    start = sigma.dropna().index
    start = start[start <= close.index[-1 - HORIZON]]
    last = pd.Series(close.index[close.index.get_indexer(start) + HORIZON], index=start)
    upper_by, lower_by = (UPPER, LOWER), (LOWER, UPPER)
    frames = []
    for sign, (upper, lower) in ((1, upper_by), (-1, lower_by)):
        own = start[(side.loc[start] == sign).to_numpy()]
        # One call a barrier: the target is its simple return, the multiple is 1.
        top = pd.DataFrame({"t1": last, "trgt": np.exp(upper * sigma.loc[start]) - 1, "side": 1.0})
        low = pd.DataFrame({"t1": last, "trgt": 1 - np.exp(-lower * sigma.loc[start]), "side": 1.0})
        up = triple_barriers(close, top.loc[own], np.array([1, 0]), own)["pt"]
        down = triple_barriers(close, low.loc[own], np.array([0, 1]), own)["sl"]
        frames.append(pd.DataFrame({"up": up, "down": down, "last": last.loc[own]}))
    found = pd.concat(frames).sort_index()
    found["end"] = found.min(axis=1)
    reason = np.where(found["up"] == found["end"], "upper",
                      np.where(found["down"] == found["end"], "lower", "vertical"))
    return found["end"], pd.Series(reason, index=found.index)


def position(close, times):
    return [None if pd.isna(one) else int(close.index.get_loc(one)) for one in times]


def barrier_case(close, sigma):
    ends, reasons = touches(close, sigma, pd.Series(1, index=close.index))
    return {
        "start": position(close, ends.index),
        "end": position(close, ends),
        "reason": reasons.tolist(),
    }


def meta_case(close, sigma):
    fast, slow = close.rolling(FAST).mean(), close.rolling(SLOW).mean()
    side = np.sign(fast - slow).fillna(0).astype(int)
    ends, _ = touches(close, sigma, side)
    at_end = np.log(close.loc[ends.to_numpy()].to_numpy() / close.loc[ends.index].to_numpy())
    # The book's snippet 3.7: paid where side times return is above zero. The engine's return ends
    # at the barrier's price, which has the sign of the close that is beyond it.
    paid = (side.loc[ends.index].to_numpy() * at_end > 0).astype(int)
    return {
        "side": side.tolist(),
        "start": position(close, ends.index),
        "end": position(close, ends),
        "paid": paid.tolist(),
    }


def cusum_case(close, sigma):
    scaled = cusum_filter(close, (CUSUM * sigma).iloc[1:])
    return {
        "sigmas": position(close, scaled),
        "log_return": position(close, cusum_filter(close, CUSUM_RETURN)),
    }


def trend_case(close):
    least, most = TREND
    found = trend_scanning_labels(
        np.log(close), look_forward_window=most + 2, min_sample_length=least + 1)
    found = found.dropna()
    starts = position(close, found.index)
    ends = position(close, found["t1"])
    return {
        "start": starts,
        "bars": [end - start for start, end in zip(starts, ends)],
        "t_value": found["t_value"].astype(float).tolist(),
    }


def weight_case(close, barrier):
    """Weights of every third event of the triple barrier."""
    start, end = barrier["start"][::3], barrier["end"][::3]
    # Spans begin at the bar after the event.
    first = close.index[[one + 1 for one in start]]
    events = pd.DataFrame({"t1": close.index[end]}, index=first)
    unique = get_av_uniqueness_from_triple_barrier(events, close, 1, False)["tW"]
    by_return = get_weights_by_return(events, close, 1, False)
    decays = {str(last): get_weights_by_time_decay(events, close, 1, last, False).tolist()
              for last in (1.0, 0.4, 0.0, -0.3)}
    matrix = get_ind_matrix(events["t1"], close.to_frame())
    drawn = np.zeros(matrix.shape[0])
    for one in DRAWN:
        drawn += matrix[:, one]
    odds = _bootstrap_loop_run(matrix, drawn)
    return {
        "start": start,
        "end": end,
        "uniqueness": unique.tolist(),
        "return_attribution": by_return.tolist(),
        "time_decay": decays,
        "drawn": DRAWN,
        "sequential_probabilities": (odds / odds.sum()).tolist(),
    }


def main():
    close = make_closes()
    # What mlfinpy's daily volatility is on hourly bars: returns over 25 hours, not 24, because the
    # bar found a day ago is stepped back once more (as in the book's snippet).
    daily = get_daily_vol(close, lookback=SPAN).dropna()
    by_hand = (close / close.shift(25) - 1).dropna().ewm(span=SPAN).std().dropna()
    assert len(daily) == len(by_hand) == BARS - 26
    assert np.allclose(daily, by_hand, rtol=1e-12)
    sigma = volatility(close)
    barrier = barrier_case(close, sigma)
    data = {
        "versions": {"mlfinpy": "0.1.2", "numpy": np.__version__, "pandas": pd.__version__},
        "closes": close.tolist(),
        "volatility_span_bars": SPAN,
        "horizon_bars": HORIZON,
        "upper_sigmas": UPPER,
        "lower_sigmas": LOWER,
        "cusum_sigmas": CUSUM,
        "cusum_log_return": CUSUM_RETURN,
        "primary_bars": [FAST, SLOW],
        "trend_bars": list(TREND),
        "volatility": [None if np.isnan(one) else one for one in sigma],
        "triple_barrier": barrier,
        "meta_labels": meta_case(close, sigma),
        "cusum": cusum_case(close, sigma),
        "trend_scanning": trend_case(close),
        "weights": weight_case(close, barrier),
    }
    path = Path(__file__).parent / "data" / "mlfinpy_labels.json"
    path.write_text(json.dumps(data, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
