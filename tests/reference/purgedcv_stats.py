"""Reference values for the statistics of luck: purgedcv for the probabilistic and deflated Sharpe
ratio, the minimum track record and backtest length and the probability of backtest overfitting;
SciPy for clusters of trials.

Writes data/purgedcv_stats.json. Run with the versions of requirements.txt:

    python purgedcv_stats.py

purgedcv's `effective_n_trials` is not used: it reads the trials' order, not their returns.
"""

import json
import math
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
import purgedcv
import scipy
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform


def ticks(values):
    """Returns in whole 1e-4, so that they are short to write and the same everywhere."""
    return np.round(np.asarray(values) * 1e4).astype(int)


def sharpe_case(name, returns, trials, variance):
    whole = ticks(returns)
    values = whole / 1e4
    full = purgedcv.deflated_sharpe_ratio_full(values, trials, variance)
    length = purgedcv.min_track_record_length(full.observed_sr, 0.0, 0.05, full.skew, full.kurt)
    return {
        "name": name, "ticks": whole.tolist(), "trials": trials, "trials_variance": variance,
        "sharpe": full.observed_sr, "skewness": full.skew, "kurtosis": full.kurt,
        "probabilistic": purgedcv.probabilistic_sharpe_ratio(values, 0.0),
        "probabilistic_above": purgedcv.probabilistic_sharpe_ratio(values, 0.05),
        "expected_best": full.sr_star, "deflated": full.dsr,
        # No length is enough where the ratio is not positive: not defined, not infinite.
        "minimum_track_record": None if math.isinf(length) else int(length),
    }


def sharpe_cases():
    draw = np.random.default_rng(5)
    return [
        sharpe_case("normal", draw.normal(2.5e-3, 0.01, 150), 20, 0.01),
        sharpe_case("crashes", np.where(draw.uniform(size=150) < 0.05, -0.03, 0.003)
                    + draw.normal(0, 0.004, 150), 7, 0.004),
        sharpe_case("lottery", np.where(draw.uniform(size=150) < 0.03, 0.08, -0.001)
                    + draw.normal(0, 0.003, 150), 100, 0.002),
        sharpe_case("losing", draw.normal(-1e-3, 0.01, 150), 1, 0.01),
    ]


def overfitting_case(name, table, blocks):
    whole = ticks(table)
    strategies, steps = whole.shape
    found = purgedcv.probability_of_backtest_overfitting(whole / 1e4, n_splits=blocks)
    # purgedcv goes through the halves that judge; here halves are ordered by the number whose
    # binary digits are the blocks of the half that chooses.
    chosen = [sum(1 << block for block in range(blocks) if block not in half)
              for half in combinations(range(blocks), blocks // 2)]
    order = np.argsort(chosen)
    inside, outside = found.is_oos_performance[order].T
    return {
        "name": name, "blocks": blocks, "ticks": whole.tolist(),
        "probability": found.pbo, "slope": found.slope,
        "probability_of_loss": float((outside < 0).mean()),
        "logits": found.logits[order].tolist(),
        "in_sample": inside.tolist(), "out_of_sample": outside.tolist(),
    }


def overfitting_cases():
    draw = np.random.default_rng(77)
    noise = draw.normal(0, 0.01, (9, 150))
    real = noise.copy()
    real[4] += 0.006
    odd = noise.copy()
    odd[2] = odd[5]  # twins share their rank
    odd[7, 30:] = 0.0  # trades in the beginning only: idle in some halves
    return [
        overfitting_case("noise", noise, 6),
        overfitting_case("one real", real, 8),
        overfitting_case("twins and an idle one, uneven blocks", odd[:, :147], 6),
    ]


def cluster_case():
    draw = np.random.default_rng(9)
    shared = draw.normal(0, 1, (4, 60))
    table = ticks(0.01 * (1.2 * shared[np.arange(15) % 4] + draw.normal(0, 1, (15, 60))))
    correlations = np.corrcoef(table)
    tree = linkage(squareform(1 - correlations, checks=False), "average")
    groups = []
    for least in (0.2, 0.5, 0.65, 0.9):
        labels = fcluster(tree, 1 - least, "distance")
        names = {}
        groups.append([least, [names.setdefault(label, len(names)) for label in labels.tolist()]])
    mean = correlations[np.triu_indices(15, 1)].mean()
    ratios = table.mean(axis=1) / table.std(axis=1)
    return {"ticks": table.tolist(), "groups": groups, "effective": mean + (1 - mean) * 15,
            "trials_variance": ratios.var(ddof=1)}


def main():
    lengths = [[trials, sharpe, purgedcv.minimum_backtest_length(trials, sharpe)]
               for trials, sharpe in [(1, 1.0), (2, 1.0), (10, 1.0), (45, 1.0), (1000, 2.5)]]
    document = {
        "generated_by": "purgedcv_stats.py",
        "versions": {"purgedcv": version("purgedcv"), "numpy": np.__version__,
                     "scipy": scipy.__version__},
        "sharpe": sharpe_cases(),
        "minimum_backtest_length": lengths,
        "overfitting": overfitting_cases(),
        "clusters": cluster_case(),
    }
    path = Path(__file__).parent / "data" / "purgedcv_stats.json"
    text = json.dumps(document, separators=(",", ":"), default=float).replace("],", "],\n")
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: written")


if __name__ == "__main__":
    main()
