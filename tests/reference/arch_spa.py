"""Reference values for resampling: the automatic block length, White's reality check and Hansen's
test for superior predictive ability, by the package arch.

Writes data/arch_spa.json. Run with the versions of requirements.txt:

    python arch_spa.py

The p-values depend on the resampled histories, so arch's own are written down, as ranges of steps,
and both sides use the same. arch 8.0.0 has a flag to studentize, but never divides a mean by its
deviation, so its p-values are those of the test without; Hansen's studentized statistic (2005,
section 2.2) is computed here with NumPy, from arch's histories and arch's variances.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from arch.bootstrap import SPA, StationaryBootstrap, optimal_block_length


def ticks(values):
    """Numbers in whole 1e-4, so that they are short to write and the same everywhere."""
    return np.round(np.asarray(values) * 1e4).astype(int)


def ranges(index, steps):
    """Steps that follow each other, as [first, end) pairs."""
    found = []
    for step in index.tolist():
        if found and found[-1][1] == step and step < steps:
            found[-1][1] = step + 1
        else:
            found.append([step, step + 1])
    return found


def spa_case(name, excess, block, repetitions):
    whole = ticks(excess).T
    excess = whole.T / 1e4
    steps = len(excess)
    # arch takes losses: the benchmark's less the strategy's is the excess return.
    test = SPA(np.zeros(steps), -excess, block_size=block, reps=repetitions, seed=17)
    test.compute()
    plain = test.pvalues
    histories = StationaryBootstrap(block, excess, seed=17)
    means, drawn = [], []
    for data, _ in histories.bootstrap(repetitions):
        means.append(data[0].mean(axis=0))
        drawn.append(ranges(np.asarray(histories.index), steps))
    means, own = np.array(means), excess.mean(axis=0)
    deviation = np.sqrt(test._loss_diff_var)
    bound = -deviation / np.sqrt(steps) * np.sqrt(2 * np.log(np.log(steps)))
    centres = {"lower": np.maximum(own, 0), "consistent": np.where(own >= bound, own, 0),
               "upper": own}
    best = max(0, (np.sqrt(steps) * own / deviation).max())
    studentized = {}
    for kind, centre in centres.items():
        # The same histories and centres give arch's p-values, so nothing else differs.
        assert plain[kind] == ((means - centre).max(axis=1) > own.max()).mean(), kind
        largest = np.maximum(0, (np.sqrt(steps) * (means - centre) / deviation).max(axis=1))
        # Where no strategy is better than the benchmark there is nothing to explain.
        studentized[kind] = (largest > best).mean() if best > 0 else 1.0
    many = SPA(np.zeros(steps), -excess, block_size=block, reps=20_000, seed=3)
    many.compute()
    return {
        "name": name, "ticks": whole.tolist(), "block": block, "histories": drawn,
        "plain": {**dict(plain), "statistic": np.sqrt(steps) * own.max()},
        "studentized": {**studentized, "statistic": best},
        "plain_of_20000": dict(many.pvalues),
    }


def spa_cases():
    draw = np.random.default_rng(1)
    noise = draw.normal(0, 0.01, (120, 6)) + draw.normal(0, 0.004, (120, 1))
    good = noise + np.array([0.0, 0.0035, 0, 0, 0, 0])
    poor = noise * np.array([1, 1, 1, 1, 4, 1]) - np.array([0, 0, 0, 0.004, 0, 0.006])
    worse = noise - 0.005
    return [
        spa_case("noise", noise, 4, 60),
        spa_case("one good", good, 6, 60),
        spa_case("poor and noisy ones", poor, 5, 60),
        spa_case("none is better", worse, 4, 60),
    ]


def block_cases():
    draw = np.random.default_rng(4)

    def autoregression(share, count):
        values = [0.0]
        for shock in draw.normal(0, 1, count + 50):
            values.append(share * values[-1] + shock)
        return np.round(values[51:], 3)

    series = {
        "independent": np.round(draw.normal(0, 1, 200), 3),
        "persistent": autoregression(0.6, 300),
        "very persistent": autoregression(0.95, 150),
        "reverting": autoregression(-0.5, 120),
        "moving average": np.round(np.convolve(draw.normal(0, 1, 260), np.ones(12), "valid"), 3),
        "short": np.round(np.cumsum(draw.normal(0, 1, 12)), 3),
    }
    cases = []
    for name, values in series.items():
        row = optimal_block_length(values).iloc[0]
        cases.append({"name": name, "values": values.tolist(),
                      "stationary": row["stationary"], "circular": row["circular"]})
    return cases


def main():
    document = {
        "generated_by": "arch_spa.py",
        "versions": {"arch": version("arch"), "numpy": np.__version__},
        "tests": spa_cases(),
        "block_lengths": block_cases(),
    }
    path = Path(__file__).parent / "data" / "arch_spa.json"
    text = json.dumps(document, separators=(",", ":"), default=float).replace("]],", "]],\n")
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: written")


if __name__ == "__main__":
    main()
