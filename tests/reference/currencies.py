"""An account of three currencies, worked out with exact fractions, and its books in NautilusTrader.

Writes data/currencies.json, which the test `reference_currencies` compares with a session of the
engine, to the last unit of 1e-8: every fill, equity after every step, every balance at the end.

The account begins with USDT, BTC and EUR, may borrow, and counts in USDT. It trades BTCUSDT and
ETHBTC, long and short, by a table of sides; EURUSDT only says what its euros are worth, and is
missing now and then. What happens is written here from docs/execution.md, with Python's fractions
and nothing of the engine's.

NautilusTrader (a margin account of several currencies) then books the same fills: quotes at the
fills' prices, market orders of their quantities, its own fee model. It says what is left of each
currency once all positions are closed. Where it differs by design: it has no interest on borrowed
cash, so the comparison is of an account without; it keeps only realised profits as cash, so it is
made when everything is flat; and it rounds the average price of a position, by which a realised
profit may differ in the eighth decimal of each fill. Without `nautilus_trader` (1.221.0, Python
3.11, which wants older libraries than the other references) its committed numbers are kept.
"""

import json
from fractions import Fraction
from pathlib import Path

OUT = Path(__file__).resolve().parent / "data/currencies.json"

ONE = 100_000_000
STEPS = 360
SYMBOLS = ["BTCUSDT", "ETHBTC", "EURUSDT"]
QUOTES = ["USDT", "BTC", "USDT"]
RATES = {"BTC": 0, "EUR": 2}
INITIAL = {"USDT": 1_000_000 * ONE, "BTC": 5 * ONE, "EUR": 20_000 * ONE}
# Of each symbol, in units of 1e-8.
TICKS = [1_000_000, 100, 10_000]
STARTS = [6_400_000, 50_000, 10_800]
LOT = 10_000
FEE = Fraction(10, 10_000)
SLIPPAGE = Fraction(5, 10_000)
FRACTION = Fraction(1, 4)
BORROW = Fraction(500, 10_000)


def nearest(value):
    """To the nearest whole number, half away from zero."""
    size = abs(value)
    whole = size.numerator // size.denominator
    whole += 2 * (size - whole) >= 1
    return whole if value >= 0 else -whole


def generator(seed):
    state = seed

    def draw():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % 2001

    return draw


def series(symbol):
    """Opens and closes in ticks; None is a missing bar."""
    draw, close, bars = generator(20_261_126 + symbol), STARTS[symbol], []
    for step in range(STEPS):
        opened = close * (999_000 + draw()) // 1_000_000
        close = opened * (98_000 + 2 * draw()) // 100_000
        gone = symbol == 2 and step % 11 in (4, 5)
        bars.append(None if gone else (opened, close))
    return bars


def sides(symbol):
    """-1, 0 or 1 for each step, changed now and then; flat at the end."""
    draw, side, table = generator(77 + symbol), 0, []
    for step in range(STEPS):
        if draw() < 300:
            side = draw() % 3 - 1
        table.append(side if step < STEPS - 5 else 0)
    return table


class Account:
    def __init__(self, borrow):
        self.cash = dict(INITIAL)
        self.held = [0, 0]
        self.close = [None, None, None]
        self.borrow = borrow

    def rate(self, currency):
        if currency == "USDT":
            return Fraction(1)
        return Fraction(self.close[RATES[currency]], ONE)

    def value(self, symbol):
        return nearest(Fraction(self.close[symbol] * self.held[symbol], ONE))

    def pool(self, currency):
        own = [symbol for symbol in (0, 1) if QUOTES[symbol] == currency]
        return self.cash[currency] + sum(self.value(symbol) for symbol in own)

    def equity(self):
        return sum(nearest(self.pool(one) * self.rate(one)) for one in self.cash)

    def fill(self, symbol, quantity, opened):
        away = nearest(opened * SLIPPAGE)
        tick = TICKS[symbol]
        if quantity > 0:
            price = -(-(opened + away) // tick) * tick
        else:
            price = (opened - away) // tick * tick
        value = nearest(Fraction(price * quantity, ONE))
        fee = nearest(abs(value) * FEE)
        self.cash[QUOTES[symbol]] -= value + fee
        self.held[symbol] += quantity
        return [symbol, str(quantity), str(price), str(fee)]

    def pay_interest(self):
        part = Fraction(nearest(self.borrow * Fraction(3_600, 365 * 86_400) * 10**10), 10**10)
        for currency, cash in self.cash.items():
            if cash < 0:
                self.cash[currency] += nearest(cash * part)
        for symbol in (0, 1):
            if self.held[symbol] < 0:
                self.cash[QUOTES[symbol]] += nearest(self.value(symbol) * part)

    def order(self, symbol, side):
        """What a side asks for at the close; nothing where it is held already."""
        held = self.held[symbol]
        if side == (held > 0) - (held < 0):
            return 0
        wanted = nearest(self.equity() * FRACTION) if side else 0
        quoted = nearest(wanted / self.rate(QUOTES[symbol]))
        quantity = quoted * ONE // self.close[symbol] // LOT * LOT
        return side * quantity - held


def run(borrow):
    bars = [series(symbol) for symbol in range(3)]
    tables = [sides(symbol) for symbol in range(2)]
    account, orders = Account(borrow), [0, 0]
    fills, equity = [], []
    for step in range(STEPS):
        now = [bars[symbol][step] for symbol in range(3)]
        for symbol in (0, 1):
            if orders[symbol]:
                opened = now[symbol][0] * TICKS[symbol]
                fills.append([step, *account.fill(symbol, orders[symbol], opened)])
        for symbol in range(3):
            if now[symbol]:
                account.close[symbol] = now[symbol][1] * TICKS[symbol]
        if step > 0:
            account.pay_interest()
        equity.append(str(account.equity()))
        orders = [account.order(symbol, tables[symbol][step]) for symbol in (0, 1)]
    balances = {currency: str(cash) for currency, cash in account.cash.items()}
    return {"fills": fills, "equity": equity, "balances": balances}


def in_nautilus(fills):
    """What NautilusTrader says is left of each currency after these fills."""
    from decimal import Decimal

    from nautilus_trader.backtest.config import BacktestEngineConfig
    from nautilus_trader.backtest.engine import BacktestEngine
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import BTC, ETH, EUR, USDT
    from nautilus_trader.model.data import QuoteTick
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, TraderId, Venue
    from nautilus_trader.model.instruments import CurrencyPair
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.trading.strategy import Strategy

    venue = Venue("SIM")
    pairs = [("BTCUSDT", BTC, USDT), ("ETHBTC", ETH, BTC)]
    instruments = [
        CurrencyPair(
            instrument_id=InstrumentId(Symbol(name), venue),
            raw_symbol=Symbol(name),
            base_currency=base,
            quote_currency=quote,
            price_precision=8,
            size_precision=8,
            price_increment=Price(1e-8, 8),
            size_increment=Quantity(1e-8, 8),
            lot_size=None,
            max_quantity=None,
            min_quantity=None,
            max_notional=None,
            min_notional=None,
            max_price=None,
            min_price=None,
            margin_init=Decimal("0"),
            margin_maint=Decimal("0"),
            maker_fee=Decimal("0.001"),
            taker_fee=Decimal("0.001"),
            ts_event=0,
            ts_init=0,
        )
        for name, base, quote in pairs
    ]

    class Follower(Strategy):
        def __init__(self, table):
            super().__init__()
            self.table = iter(table)

        def on_start(self):
            for one in instruments:
                self.subscribe_quote_ticks(one.id)

        def on_quote_tick(self, _):
            _, symbol, quantity, _, _ = next(self.table)
            side = OrderSide.BUY if int(quantity) > 0 else OrderSide.SELL
            size = Quantity.from_str(f"{Decimal(abs(int(quantity))) / ONE:.8f}")
            order = self.order_factory.market(instruments[symbol].id, side, size)
            self.submit_order(order)

    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("REFERENCE-001"), logging=LoggingConfig(bypass_logging=True)
        )
    )
    engine.add_venue(
        venue=venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=None,
        starting_balances=[Money(1_000_000, USDT), Money(5, BTC), Money(20_000, EUR)],
    )
    for one in instruments:
        engine.add_instrument(one)
    large = Quantity.from_str("1000000.00000000")
    ticks = []
    for number, (_, symbol, _, price, _) in enumerate(fills):
        price = Price.from_str(f"{Decimal(int(price)) / ONE:.8f}")
        at = (number + 1) * 1_000_000_000
        ticks.append(QuoteTick(instruments[symbol].id, price, price, large, large, at, at))
    engine.add_data(ticks)
    engine.add_strategy(Follower(fills))
    engine.run()
    account = engine.portfolio.account(venue)
    left = {str(one): str(account.balance_total(one).as_decimal()) for one in (USDT, BTC, EUR)}
    open_positions = engine.cache.positions_open()
    assert not open_positions, open_positions
    filled = sum(1 for order in engine.cache.orders() if order.is_closed)
    assert filled == len(fills), (filled, len(fills))
    engine.dispose()
    return left


def main():
    plain = run(Fraction(0))
    try:
        nautilus = in_nautilus(plain["fills"])
    except ImportError:
        nautilus = json.loads(OUT.read_text())["nautilus"]["balances"]
        print("nautilus_trader is not installed; its committed numbers are kept")
    document = {
        "steps": STEPS,
        "with_interest": run(BORROW),
        "without_interest": {"balances": plain["balances"], "fills": len(plain["fills"])},
        "nautilus": {"version": "1.221.0", "balances": nautilus},
    }
    OUT.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
