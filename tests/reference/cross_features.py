"""Features that compare symbols, computed by definition with NumPy.

Three random walks with holes at different hours. Every value is made anew from the whole window:
nothing is carried along, unlike in the engine. Writes data/cross_features.json.
"""

import json
import math
from pathlib import Path

import numpy as np

HOURS = 150
HOLES = {"LEAD": {20, 21, 60, 100}, "OWN": {33, 34, 90, 100}, "THIRD": {50, 51, 52, 120}}


def walks():
    random = np.random.default_rng(20240501)
    common = random.normal(0.0, 0.01, HOURS)
    closes = {}
    for number, (name, holes) in enumerate(HOLES.items()):
        steps = (0.4 + 0.3 * number) * common + random.normal(0.0, 0.006, HOURS)
        walk = 50.0 * (number + 1) * np.exp(np.cumsum(steps))
        closes[name] = {h: round(float(walk[h]), 6) for h in range(HOURS) if h not in holes}
    # A stretch in which nothing moves.
    for h in range(70, 80):
        if h in closes["LEAD"]:
            closes["LEAD"][h] = closes["LEAD"][69]
    return closes


CLOSES = walks()


def common_hours(hour):
    return [h for h in sorted(CLOSES["OWN"]) if h <= hour and h in CLOSES["LEAD"]]


def pairs(hour, count, lag=0):
    """The newest `count` common returns, the lead's `lag` returns earlier."""
    hours = common_hours(hour)
    own = np.diff(np.log([CLOSES["OWN"][h] for h in hours]))
    lead = np.diff(np.log([CLOSES["LEAD"][h] for h in hours]))
    if lag:
        own, lead = own[lag:], lead[:-lag]
    return (own[-count:], lead[-count:]) if len(own) >= count else (None, None)


def beta_of(own, lead):
    variance = np.var(lead)
    return float(np.mean((own - own.mean()) * (lead - lead.mean())) / variance) if variance > 0 else 0.0


def correlation_of(own, lead):
    if np.ptp(own) == 0 or np.ptp(lead) == 0:
        return 0.0
    return float(np.corrcoef(own, lead)[0, 1])


def beta(hour, period):
    own, lead = pairs(hour, period)
    return None if own is None else beta_of(own, lead)


def correlation(hour, period, lag=0):
    own, lead = pairs(hour, period, lag)
    return None if own is None else correlation_of(own, lead)


def residual_return(hour, period):
    own, lead = pairs(hour, period)
    return None if own is None else float(own[-1] - beta_of(own, lead) * lead[-1])


def residual_volatility(hour, period):
    """Deviation of what a least-squares line leaves over."""
    own, lead = pairs(hour, period)
    if own is None:
        return None
    left = own - own.mean() - beta_of(own, lead) * (lead - lead.mean())
    return float(np.sqrt(np.mean(left**2)))


def ratios(hour):
    hours = common_hours(hour)
    return [math.log(CLOSES["OWN"][h] / CLOSES["LEAD"][h]) for h in hours]


def relative_strength(hour, bars):
    known = ratios(hour)
    return known[-1] - known[-1 - bars] if len(known) > bars else None


def spread_zscore(hour, period):
    known = np.array(ratios(hour)[-period:])
    return float((known[-1] - known.mean()) / known.std()) if len(known) == period else None


def market(hour, bars):
    """The newest return of every symbol, by name."""
    found = {}
    for name, closes in CLOSES.items():
        known = [closes[h] for h in sorted(closes) if h <= hour]
        if len(known) > bars:
            found[name] = math.log(known[-1] / known[-1 - bars])
    return found if "OWN" in found and len(found) > 1 else None


def over_market(statistic):
    def value(hour, bars):
        returns = market(hour, bars)
        return None if returns is None else float(statistic(returns["OWN"], list(returns.values())))

    return value


def rank(own, returns):
    below = sum(one < own for one in returns)
    equal = sum(one == own for one in returns) - 1
    return (below + 0.5 * equal) / (len(returns) - 1)


FEATURES = {
    "beta(12)#LEAD": lambda h: beta(h, 12),
    "beta(5)#LEAD": lambda h: beta(h, 5),
    "correlation(12)#LEAD": lambda h: correlation(h, 12),
    "correlation(5)#LEAD": lambda h: correlation(h, 5),
    "lead_lag_correlation(10,2)#LEAD": lambda h: correlation(h, 10, 2),
    "residual_return(12)#LEAD": lambda h: residual_return(h, 12),
    "residual_volatility(12)#LEAD": lambda h: residual_volatility(h, 12),
    "relative_strength(6)#LEAD": lambda h: relative_strength(h, 6),
    "spread_zscore(12)#LEAD": lambda h: spread_zscore(h, 12),
    "market_return(6)": lambda h: over_market(lambda own, all: np.mean(all))(h, 6),
    "market_excess(6)": lambda h: over_market(lambda own, all: own - np.mean(all))(h, 6),
    "market_dispersion(6)": lambda h: over_market(lambda own, all: np.std(all))(h, 6),
    "market_rank(6)": lambda h: over_market(rank)(h, 6),
    "market_breadth(6)": lambda h: over_market(lambda own, all: np.mean(np.array(all) > 0))(h, 6),
}


def main():
    hours = sorted(CLOSES["OWN"])
    document = {
        "closes": {name: [[h, close] for h, close in sorted(c.items())] for name, c in CLOSES.items()},
        "features": {name: [value(h) for h in hours] for name, value in FEATURES.items()},
    }
    path = Path(__file__).parent / "data" / "cross_features.json"
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
