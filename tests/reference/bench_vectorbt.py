"""How long vectorbt takes for a sweep of thresholds, and for a million orders.

Called by `make bench` with a file of little-endian f64 (open, close and score of each bar, one array
after the other) and a task in JSON. Prints JSON: seconds of the processor for the simulation of all
combinations, and for that of an order at each bar of each column. Only the call that simulates is
measured, after one that compiles; the engine's sweep also finds drawdown, mean and variance of
returns in the time that it is measured in, vectorbt would take more for them.
"""

import json
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def best(simulate, runs=4):
    """Seconds of the processor of the fastest run; the first one compiles."""
    times = []
    for _ in range(runs):
        began = time.process_time()
        simulate()
        times.append(time.process_time() - began)
    return min(times[1:])


def sweep(vbt, columns, task):
    opened, closed, score = columns
    pairs = np.array([(entry, exit) for entry in task["entries"] for exit in task["exits"]])
    # Decided at a close, carried out at the next open.
    before = np.concatenate([[np.nan], score[:-1]])[:, None]
    entries, exits = before >= pairs[:, 0], before < pairs[:, 1]
    simulate = lambda: vbt.Portfolio.from_signals(
        closed[:, None],
        entries,
        exits,
        price=opened[:, None],
        size=0.5,
        size_type="percent",
        fees=task["fee_bps"] / 1e4,
        init_cash=1e6,
        freq="1min",
    )
    return best(simulate)


def orders(vbt, task):
    bars, columns = task["order_bars"], task["order_runs"]
    price = 30_000 + 3_000 * np.sin(np.arange(bars) / 500)[:, None] * np.ones((1, columns))
    turn = np.where(np.arange(bars) % 2 == 0, 10.0, -10.0)[:, None] * np.ones((1, columns))
    turn[0] /= 2
    simulate = lambda: vbt.Portfolio.from_orders(
        price,
        turn,
        fees=task["fee_bps"] / 1e4,
        init_cash=1e9,
        freq="1min",
    )
    count = len(simulate().order_records)
    assert count == bars * columns, f"{count} orders of {bars * columns}"
    return best(simulate)


def main():
    if len(sys.argv) < 3:
        sys.exit("give a file and a task, as `make bench` does")
    import vectorbt as vbt

    columns = np.fromfile(sys.argv[1], dtype="<f8").reshape(3, -1)
    task = json.loads(sys.argv[2])
    found = {"sweep_s": sweep(vbt, columns, task), "orders_s": orders(vbt, task)}
    print(json.dumps({**found, "version": vbt.__version__}))


if __name__ == "__main__":
    main()
