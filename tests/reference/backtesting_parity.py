"""The same strategies, data and costs in other backtesters: backtesting.py and vectorbt.

Writes data/backtesting_parity.json, which the test `reference_backtesting` compares with sessions
of the engine, fill by fill. Two series are traded: one that is made by a formula (whole cents, so
that every program makes the same), whose fills are all committed, and the recorded BTCUSDT 1h
candles where they are at hand, of which only figures are committed: how many fills there are, a
digest of them, and equity at the end.

What is done to make the programs comparable, and where they differ by design:

* Decisions. Sides come from two simple moving averages, summed left to right in double precision
  here and there, or from a fixed table; they are decided at a bar's close and carried out at the
  next bar's open in all programs. backtesting.py does so unless `trade_on_close` is set; vectorbt
  is told, with the next bar's open as the price.
* Size. Positions are half of equity at the deciding close over that close, in whole coins. So that
  whole coins are fine enough, the account has a billion. backtesting.py knows whole units only, and
  would size a fraction at the fill's price, which a real order cannot know; it is given the number.
* Fees. Both charge a part of each fill's value, on entry and on exit, and never round. The engine
  rounds each fee to 1e-8; the difference stays below a cent.
* Slippage. backtesting.py's `spread` moves the price of entries only ("the adjustment was already
  made when buying"); vectorbt's `slippage` moves every fill, as the engine's does, so slippage is
  compared with vectorbt.
* Turns. backtesting.py books a turn as the end of one trade and the beginning of another, at one
  price; fills at one bar and price are one here.
* Stops and take-profits. backtesting.py looks at the stop first where a bar holds both, which is
  the worse of the two ways that the engine tries. A gap past either fills at the open in both.
* Limit orders. backtesting.py fills a limit order at its price on a touch, or at the open where
  that is better. The engine asks for a tick beyond by default; it is set to a touch without a queue.
  An order that was not filled waits one bar and ends as the next one opens, so the strategy does
  not decide while it waits.
* The end. What is held is valued at the last close and not sold; an order of the last bar is none.
* Gaps. Orders fill in the next bar that there is.
"""

import hashlib
import json
import warnings
from pathlib import Path

import backtesting
import numpy as np
import pandas as pd
import vectorbt as vbt
from backtesting import Backtest, Strategy
from numba import njit
from vectorbt.portfolio import nb

warnings.filterwarnings("ignore")
backtesting.backtesting._tqdm = lambda rows, **_: rows

HERE = Path(__file__).resolve().parent
CANDLES = HERE / "../../../shared/data/candles/BINANCE/BTCUSDT-1h.parquet"
OUT = HERE / "data/backtesting_parity.json"

BARS = 1_500
CASH = 1e9
FRACTION = 0.5
FEE_BPS = 10.0
SLIPPAGE_BPS = 5.0
STOP_LOSS, TAKE_PROFIT = 0.03, 0.05
LIMIT_OFFSET_BPS = 30.0
FAST, SLOW = 12, 48
UNITS = 100_000_000
TICK_UNITS = 1_000_000


def formula_series():
    """Open, high, low and close of a walk in whole cents, from a linear congruential generator."""
    state, close, rows = 20_240_501, 2_000_000, []

    def draw():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % 2001

    for _ in range(BARS):
        opened = close + draw() - 1000
        moved = opened * (98_000 + 2 * draw()) // 100_000
        high = max(opened, moved) + 10 * draw()
        low = min(opened, moved) - 10 * draw()
        close = moved
        rows.append([opened / 100.0, high / 100.0, low / 100.0, close / 100.0])
    return pd.DataFrame(rows, columns=["Open", "High", "Low", "Close"])


def recorded():
    if not CANDLES.exists():
        return None
    rows = pd.read_parquet(CANDLES).rename(columns=str.capitalize)
    return rows[["Open", "High", "Low", "Close"]].reset_index(drop=True)


def crossover(closes, allow_short):
    """Long where the fast average is above the slow one, else flat or short; 0 until both are."""
    sides = []
    for i in range(len(closes)):
        if i + 1 < SLOW:
            sides.append(0)
            continue
        fast = sum(closes[i + 1 - FAST : i + 1]) / FAST
        slow = sum(closes[i + 1 - SLOW : i + 1]) / SLOW
        sides.append(1 if fast > slow else (-1 if allow_short and fast < slow else 0))
    return sides


def coins(equity, close):
    return int(FRACTION * equity / close)


class Follow(Strategy):
    """Is on the side of the table, with what protects a position or a limit order to enter it."""

    sides, protects, enters_by_limit = (), False, False

    def init(self):
        pass

    def next(self):
        i = len(self.data) - 1
        close, held, side = float(self.data.Close[-1]), self.position.size, self.sides[i]
        waiting = [order for order in self.orders if not order.is_contingent]
        if waiting:
            # Its time is up as the next bar opens; until then nothing else is decided.
            for order in waiting:
                order.cancel()
            return
        if np.sign(held) == side:
            return
        if side == 0:
            return self.position.close()
        quantity = side * coins(self.equity, close) - held
        order = self.buy if quantity > 0 else self.sell
        mark = round(close * UNITS)
        more = {}
        if self.protects:
            away = lambda part: (mark * round(part * 1e10) + 5_000_000_000) // 10_000_000_000
            to_tick_above = lambda units: -(-units // TICK_UNITS) * TICK_UNITS / UNITS
            more = {
                "sl": to_tick_above(mark - away(STOP_LOSS)),
                "tp": to_tick_above(mark + away(TAKE_PROFIT)),
            }
        if self.enters_by_limit:
            away = (mark * round(LIMIT_OFFSET_BPS * 1e6) + 5_000_000_000) // 10_000_000_000
            more = {"limit": (mark - away) // TICK_UNITS * TICK_UNITS / UNITS}
        order(size=abs(quantity), **more)


def with_backtesting(data, sides, **how):
    how = {"sides": sides, **how}
    strategy = type("Follow", (Follow,), how)
    test = Backtest(data, strategy, cash=CASH, commission=FEE_BPS / 1e4, margin=1.0)
    stats = test.run()
    legs = []
    trades = list(stats._strategy._broker.closed_trades) + list(stats._strategy._broker.trades)
    for trade in trades:
        legs.append((trade.entry_bar, 0, trade.size, trade.entry_price))
        if trade.exit_bar is not None:
            # Within a bar a position opens before it is stopped; a turn closes before it opens.
            stage = 1 if trade.exit_bar == trade.entry_bar else -1
            legs.append((trade.exit_bar, stage, -trade.size, trade.exit_price))
    return merged(sorted(legs)), float(stats["_equity_curve"]["Equity"].iloc[-1])


def merged(legs):
    """Legs of one bar and price as one fill."""
    fills = []
    for bar, _, quantity, price in legs:
        if fills and fills[-1][0] == bar and fills[-1][2] == price:
            fills[-1][1] += quantity
        else:
            fills.append([int(bar), int(quantity), float(price)])
    return [fill for fill in fills if fill[1] != 0]


@njit
def follow_nb(c, sides, opens, closes, fraction, fees, slippage):
    if c.i == 0:
        return nb.order_nothing_nb()
    side, held = sides[c.i - 1], c.position_now
    if np.sign(held) == side:
        return nb.order_nothing_nb()
    close = closes[c.i - 1]
    equity = c.cash_now + held * close
    quantity = side * np.floor(fraction * equity / close) - held
    return nb.order_nb(size=quantity, price=opens[c.i], fees=fees, slippage=slippage)


def with_vectorbt(data, sides, slippage_bps):
    opens, closes = data.Open.to_numpy(), data.Close.to_numpy()
    portfolio = vbt.Portfolio.from_order_func(
        data.Close,
        follow_nb,
        np.array(sides, dtype=np.int64),
        opens,
        closes,
        FRACTION,
        FEE_BPS / 1e4,
        slippage_bps / 1e4,
        init_cash=CASH,
    )
    orders = portfolio.orders.records
    sign = np.where(orders["side"] == 0, 1, -1)
    rows = zip(orders["idx"], sign * orders["size"], orders["price"])
    fills = [[int(bar), round(quantity), float(price)] for bar, quantity, price in rows]
    return fills, float(portfolio.value().iloc[-1])


def digest(fills):
    lines = "".join(f"{bar},{quantity},{price:.8f}\n" for bar, quantity, price in fills)
    return hashlib.sha256(lines.encode()).hexdigest()


def cases(data):
    closes = data.Close.tolist()
    long_flat, long_short = crossover(closes, False), crossover(closes, True)
    first = {"sides": "long_flat", "slippage_bps": 0.0, "orders": "market"}
    short = {**first, "sides": "long_short"}
    slipped = {**short, "slippage_bps": SLIPPAGE_BPS}
    bt, vb = f"backtesting.py {backtesting.__version__}", f"vectorbt {vbt.__version__}"
    yield {**first, "by": bt}, with_backtesting(data, long_flat)
    yield {**first, "by": vb}, with_vectorbt(data, long_flat, 0.0)
    yield {**short, "by": bt}, with_backtesting(data, long_short)
    yield {**short, "by": vb}, with_vectorbt(data, long_short, 0.0)
    yield {**slipped, "by": vb}, with_vectorbt(data, long_short, SLIPPAGE_BPS)
    protected = with_backtesting(data, long_flat, protects=True)
    yield {**first, "orders": "protected", "by": bt}, protected
    limit = with_backtesting(data, long_flat, enters_by_limit=True)
    yield {**first, "orders": "limit", "by": bt}, limit


def main():
    document = {
        "bars": BARS,
        "cash": CASH,
        "fraction": FRACTION,
        "fee_bps": FEE_BPS,
        "stop_loss": STOP_LOSS,
        "take_profit": TAKE_PROFIT,
        "limit_offset_bps": LIMIT_OFFSET_BPS,
        "averages": [FAST, SLOW],
        "formula": [],
        "recorded": [],
    }
    for case, (fills, equity) in cases(formula_series()):
        document["formula"].append({**case, "fills": fills, "final_equity": round(equity, 6)})
    data = recorded()
    if data is None:
        # Their figures stay as they are.
        document["recorded"] = json.loads(OUT.read_text())["recorded"] if OUT.exists() else []
        print("recorded candles are not at hand; their figures are kept")
    else:
        for case, (fills, equity) in cases(data):
            figures = {"fills": len(fills), "digest": digest(fills)}
            equity = {"final_equity": round(equity, 6)}
            document["recorded"].append({**case, **figures, **equity})
    lines = [f'"{key}": {json.dumps(value)}' for key, value in document.items()]
    OUT.write_text("{\n" + ",\n".join(lines).replace('}, {"sides"', '},\n{"sides"') + "\n}\n")
    for part in ("formula", "recorded"):
        for case in document[part]:
            count = case["fills"] if part == "recorded" else len(case["fills"])
            print(part, case["by"], case["sides"], case["orders"], count, case["final_equity"])


if __name__ == "__main__":
    main()
