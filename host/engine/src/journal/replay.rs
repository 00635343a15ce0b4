//! Rebuilds fills, trades and the portfolio from a journal, and checks that they are consistent.
//!
//! Nothing is decided again: replay follows the recorded fills only. What cannot follow from the
//! journal, such as an order that fills twice or cash that does not add up, is a problem, and all
//! problems are reported together.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::{
    AccountCurrencies, Event, FORMAT, FORMAT_OF_ONE, JournalEntry, JournalError, read_entries,
};
use crate::execution::{Fill, Order, OrderId};
use crate::fusion::ModelInfo;
use crate::portfolio::{Currencies, Portfolio, Trade, TradeBook};
use crate::types::{Cash, CurrencyId, Quantity, Rate, TimeFrame, Timestamp};

/// Problems that are listed at most; a broken journal has one per line.
const MAX_PROBLEMS: usize = 100;

/// Why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A line cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal does not begin with the start of a session.
    #[error("the journal does not begin with `session_started`; its first lines are missing")]
    NotStarted,
    /// The journal is of another format.
    #[error("the journal has format {found}, this program reads {FORMAT_OF_ONE} and {FORMAT}")]
    Format {
        /// The format found.
        found: u32,
    },
    /// The journal contradicts itself.
    #[error("the journal is not consistent: {}", .0.join("; "))]
    Inconsistent(Vec<String>),
}

/// What a journal says.
#[derive(Debug)]
pub struct Replayed {
    /// Names in the order of symbol ids.
    pub symbols: Vec<String>,
    /// Length of every bar.
    pub time_frame: TimeFrame,
    /// The models in the order of their references.
    pub models: Vec<ModelInfo>,
    /// The currencies, where there are several.
    pub currencies: Option<AccountCurrencies>,
    /// What the cash at the start was worth.
    pub initial_cash: Cash,
    /// The portfolio after the last fill; positions are marked at their last fills.
    pub portfolio: Portfolio,
    /// All fills.
    pub fills: Vec<Fill>,
    /// All round trips.
    pub trades: Vec<Trade>,
    /// Equity at each closing time, as recorded.
    pub equity: Vec<(Timestamp, Cash)>,
    /// Whether the session came to its end.
    pub ended: bool,
    /// SHA-256 of the journal, lower-case hexadecimal.
    pub digest: String,
}

/// Reads a journal and checks it, against `digest` too where one is given.
///
/// # Errors
/// [`ReplayError`] where a line is broken or the journal contradicts itself.
pub fn replay(reader: impl BufRead, digest: Option<&str>) -> Result<Replayed, ReplayError> {
    let mut entries = read_entries(reader);
    let first = entries.next().transpose()?;
    let mut replayer = Replayer::start(first)?;
    for entry in entries.by_ref() {
        replayer.take(&entry?);
    }
    let found = entries.digest();
    if let Some(expected) = digest.filter(|&expected| expected != found) {
        replayer.problem(format!("its digest is {found}, expected {expected}"));
    }
    if replayer.problems.is_empty() {
        replayer.replayed.digest = found;
        return Ok(replayer.replayed);
    }
    Err(ReplayError::Inconsistent(replayer.problems))
}

/// What the first line says of currencies that cannot be so.
fn head_problems(
    format: u32,
    currencies: Option<&AccountCurrencies>,
    symbols: usize,
) -> Vec<String> {
    let mut problems = Vec::new();
    if (format == FORMAT) != currencies.is_some() {
        problems.push(format!(
            "entry 0 has format {format}, which is that of journals {} currencies",
            if format == FORMAT { "with" } else { "without" }
        ));
    }
    let Some(all) = currencies else {
        return problems;
    };
    let count = all.names.len();
    if count == 0 || all.balances.len() != count || all.rates.len() != count {
        problems.push("entry 0 does not tell of every currency".to_owned());
    }
    if all.quotes.len() != symbols || all.quotes.iter().any(|one| one.index() >= count) {
        problems.push("entry 0 does not say what every symbol is quoted in".to_owned());
    }
    problems
}

struct Replayer {
    replayed: Replayed,
    book: TradeBook,
    open: BTreeMap<OrderId, (Order, Quantity)>,
    next_seq: u64,
    next_order: u64,
    at: Timestamp,
    problems: Vec<String>,
}

impl Replayer {
    fn start(first: Option<JournalEntry>) -> Result<Self, ReplayError> {
        let Some(JournalEntry {
            seq: 0,
            at,
            event:
                Event::SessionStarted {
                    format,
                    config_digest: _,
                    symbols,
                    time_frame,
                    initial_cash,
                    models,
                    currencies,
                },
        }) = first
        else {
            return Err(ReplayError::NotStarted);
        };
        if format != FORMAT && format != FORMAT_OF_ONE {
            return Err(ReplayError::Format { found: format });
        }
        let problems = head_problems(format, currencies.as_ref(), symbols.len());
        if !problems.is_empty() {
            return Err(ReplayError::Inconsistent(problems));
        }
        let several = currencies.as_ref().map(|all| {
            let AccountCurrencies {
                names,
                quotes,
                balances,
                ..
            } = all.clone();
            Currencies::recorded(names, quotes, balances)
        });
        let single = || Currencies::single("", initial_cash, symbols.len());
        let account = several.unwrap_or_else(single);
        Ok(Self {
            book: TradeBook::new(time_frame, symbols.len()),
            open: BTreeMap::new(),
            next_seq: 1,
            next_order: 0,
            at,
            problems: Vec::new(),
            replayed: Replayed {
                portfolio: Portfolio::with(&account),
                currencies,
                initial_cash,
                symbols,
                time_frame,
                models,
                fills: Vec::new(),
                trades: Vec::new(),
                equity: Vec::new(),
                ended: false,
                digest: String::new(),
            },
        })
    }

    fn problem(&mut self, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(message);
        }
    }

    fn take(&mut self, entry: &JournalEntry) {
        let seq = entry.seq;
        if seq != self.next_seq {
            self.problem(format!("entry {} is followed by {seq}", self.next_seq - 1));
        }
        self.next_seq = seq.saturating_add(1);
        if entry.at < self.at {
            self.problem(format!("entry {seq} goes back in time to {}", entry.at));
        }
        self.at = entry.at;
        if self.replayed.ended {
            self.problem(format!("entry {seq} comes after `session_ended`"));
        }
        match &entry.event {
            Event::SessionStarted { .. } => self.problem(format!("entry {seq} starts again")),
            Event::ModelAdded { model, info } => {
                if model.index() != self.replayed.models.len() {
                    self.problem(format!("entry {seq} adds model {}, not the next", model.0));
                }
                self.replayed.models.push(info.clone());
            }
            Event::PredictionFailed { symbol, .. } if symbol.index() >= self.symbols() => {
                self.problem(format!("entry {seq} names symbol {}", symbol.0));
            }
            Event::ModelActivated { model }
            | Event::Predicted { model, .. }
            | Event::PredictionFailed { model, .. }
                if model.index() >= self.replayed.models.len() =>
            {
                self.problem(format!("entry {seq} names model {}, unknown", model.0));
            }
            Event::OrderApproved(order) => self.approved(seq, order),
            Event::OrderFilled(fill) => self.filled(seq, fill),
            Event::PositionLiquidated(order) => {
                self.open.insert(order.id, (*order, order.quantity));
            }
            Event::Paid(payment) => {
                if let Err(error) = self.replayed.portfolio.pay(payment) {
                    self.problem(format!("entry {seq}: {error}"));
                }
            }
            Event::CancelRequested { order } if !self.open.contains_key(order) => {
                self.problem(format!("entry {seq} cancels order {}, not open", order.0));
            }
            Event::OrderExpired { order, .. } if self.open.remove(order).is_none() => {
                self.problem(format!("entry {seq} expires order {}, not open", order.0));
            }
            Event::Marked {
                equity,
                cash,
                balances,
                rates,
                ..
            } => {
                self.valued(seq, balances, rates);
                self.marked(seq, *equity, *cash);
            }
            Event::SessionEnded {
                fills,
                without_rate,
                ..
            } => self.ended(seq, *fills, without_rate),
            _ => {}
        }
    }

    fn symbols(&self) -> usize {
        self.replayed.symbols.len()
    }

    fn approved(&mut self, seq: u64, order: &Order) {
        if order.id.0 != self.next_order {
            self.problem(format!(
                "entry {seq} approves order {}, expected {}",
                order.id.0, self.next_order
            ));
        }
        self.next_order = order.id.0.saturating_add(1);
        if order.decided_at != self.at {
            self.problem(format!("entry {seq} is not decided at its own time"));
        }
        if order.symbol.index() >= self.symbols() {
            self.problem(format!("entry {seq} names symbol {}", order.symbol.0));
        }
        if let Some(model) = order.model
            && model.index() >= self.replayed.models.len()
        {
            self.problem(format!("entry {seq} names model {}, unknown", model.0));
        }
        self.open.insert(order.id, (*order, order.quantity));
    }

    fn filled(&mut self, seq: u64, fill: &Fill) {
        let Some((order, waiting)) = self.open.remove(&fill.order) else {
            let order = fill.order.0;
            self.problem(format!(
                "entry {seq} fills order {order}, which is not open"
            ));
            return;
        };
        if let Err(message) = fill.check_against(&order, waiting, self.at) {
            self.problem(format!("entry {seq}: {message}"));
            return;
        }
        if let Err(error) = self.replayed.portfolio.apply(fill) {
            self.problem(format!("entry {seq}: {error}"));
            return;
        }
        if !fill.remaining.is_zero() {
            self.open
                .insert(fill.order, (order, waiting - fill.quantity));
        }
        self.replayed.fills.push(*fill);
        let ended = self.book.apply(fill, &order);
        self.replayed.trades.extend(ended);
    }

    /// Takes the rates of a step in, and compares what there is of each currency.
    fn valued(&mut self, seq: u64, balances: &[Cash], rates: &[Option<Rate>]) {
        let Some(names) = self
            .replayed
            .currencies
            .as_ref()
            .map(|all| all.names.clone())
        else {
            return;
        };
        if balances.len() != names.len() || rates.len() != names.len() {
            return self.problem(format!("entry {seq} does not tell of every currency"));
        }
        if self.replayed.equity.is_empty() {
            self.replayed.portfolio.begin(rates);
            let (begun, told) = (
                self.replayed.portfolio.initial_cash(),
                self.replayed.initial_cash,
            );
            if begun != told {
                self.problem(format!(
                    "the account begins with {told}, its balances are worth {begun}"
                ));
            }
        }
        self.replayed.portfolio.revalue(rates);
        let books = self.replayed.portfolio.books().iter();
        let rebuilt: Vec<Cash> = books.map(|book| book.cash).collect();
        for ((name, told), rebuilt) in names.iter().zip(balances).zip(rebuilt) {
            if *told != rebuilt {
                self.problem(format!(
                    "entry {seq} has {told} {name}, fills leave {rebuilt}"
                ));
            }
        }
    }

    fn marked(&mut self, seq: u64, equity: Cash, cash: Cash) {
        let rebuilt = self.replayed.portfolio.cash();
        if cash != rebuilt {
            self.problem(format!(
                "entry {seq} has cash {cash}, fills leave {rebuilt}"
            ));
        }
        let flat = self
            .replayed
            .portfolio
            .positions()
            .iter()
            .all(|position| position.quantity().is_zero());
        if flat && equity != cash {
            self.problem(format!(
                "entry {seq} has equity {equity} but cash {cash} only"
            ));
        }
        self.replayed.equity.push((self.at, equity));
    }

    fn ended(&mut self, seq: u64, fills: u64, without_rate: &[CurrencyId]) {
        self.replayed.ended = true;
        let books = self.replayed.portfolio.books();
        let is_known = |one: &CurrencyId| {
            let book = books.get(one.index());
            book.is_none_or(|book| book.rate.is_some())
        };
        if let Some(known) = without_rate.iter().find(|one| is_known(one)) {
            let number = known.0;
            self.problem(format!(
                "entry {seq} says that currency {number} had no rate, which is not so"
            ));
        }
        let rebuilt = self.replayed.fills.len() as u64;
        if fills != rebuilt {
            self.problem(format!(
                "entry {seq} counts {fills} fills, there are {rebuilt}"
            ));
        }
        if let Some(order) = self.open.keys().next() {
            let order = order.0;
            self.problem(format!("order {order} is open when the session ends"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::OrderReason;
    use crate::fusion::{FailureReason, ModelRef};
    use crate::types::{Quantity, SymbolId};

    const HOUR: i64 = 3_600_000_000_000;

    fn entry(seq: u64, hour: i64, event: Event) -> JournalEntry {
        JournalEntry {
            seq,
            at: Timestamp::from_nanos(hour * HOUR),
            event,
        }
    }

    fn cash(text: &str) -> Cash {
        text.parse().unwrap()
    }

    fn marked(equity: &str, left: &str) -> Event {
        Event::Marked {
            equity: cash(equity),
            cash: cash(left),
            gross_exposure: cash("0"),
            balances: Vec::new(),
            rates: Vec::new(),
        }
    }

    fn sound() -> Vec<JournalEntry> {
        let order = Order {
            id: OrderId(0),
            symbol: SymbolId(0),
            quantity: Quantity::from_units(200_000_000),
            decided_at: Timestamp::from_nanos(HOUR),
            reason: OrderReason::Entry,
            model: None,
            terms: crate::execution::OrderTerms::default(),
        };
        let fill = Fill {
            order: order.id,
            symbol: order.symbol,
            quantity: order.quantity,
            price: "10".parse().unwrap(),
            fee: cash("0.5"),
            slippage: Cash::ZERO,
            filled_at: order.decided_at,
            spread: Cash::ZERO,
            remaining: crate::types::Quantity::ZERO,
            is_maker: false,
            currency: CurrencyId::REPORTING,
        };
        let started = Event::SessionStarted {
            format: FORMAT_OF_ONE,
            config_digest: String::new(),
            symbols: vec!["A".to_owned()],
            time_frame: "1h".parse().unwrap(),
            initial_cash: cash("100"),
            models: Vec::new(),
            currencies: None,
        };
        let ended = Event::SessionEnded {
            equity: cash("99"),
            steps: 2,
            fills: 1,
            without_rate: Vec::new(),
        };
        vec![
            entry(0, 1, started),
            entry(1, 1, marked("100", "100")),
            entry(2, 1, Event::OrderApproved(order)),
            entry(3, 2, Event::OrderFilled(fill)),
            entry(4, 2, marked("101", "79.5")),
            entry(5, 2, ended),
        ]
    }

    fn replayed(entries: &[JournalEntry], digest: Option<&str>) -> Result<Replayed, ReplayError> {
        // Without links, which would find some of this before.
        let lines = entries.iter().map(|entry| {
            let line = serde_json::to_string(entry).unwrap();
            line + "\n"
        });
        replay(lines.collect::<String>().as_bytes(), digest)
    }

    fn problems(entries: &[JournalEntry]) -> String {
        replayed(entries, None).unwrap_err().to_string()
    }

    #[test]
    fn a_sound_journal_gives_its_portfolio() {
        let found = replayed(&sound(), None).unwrap();
        assert_eq!(found.portfolio.cash(), cash("79.5"));
        assert_eq!(found.fills.len(), 1);
        assert!(found.ended);
        assert_eq!(found.equity[1].1, cash("101"));
        let again = replayed(&sound(), Some(&found.digest)).unwrap();
        assert_eq!(again.portfolio, found.portfolio);
    }

    #[test]
    fn another_digest_is_found() {
        let error = replayed(&sound(), Some("00")).unwrap_err();
        assert!(error.to_string().contains("expected 00"), "{error}");
    }

    #[test]
    fn gaps_and_double_fills_are_found_together() {
        let mut entries = sound();
        entries[4] = entries[3].clone();
        let text = problems(&entries);
        assert!(text.contains("entry 3 is followed by 3"), "{text}");
        assert!(text.contains("fills order 0, which is not open"), "{text}");
    }

    #[test]
    fn fills_before_their_decision_are_found() {
        let mut entries = sound();
        if let Event::OrderFilled(fill) = &mut entries[3].event {
            fill.filled_at = Timestamp::from_nanos(HOUR - 1);
        }
        let text = problems(&entries);
        assert!(text.contains("earlier than the decision"), "{text}");
    }

    #[test]
    fn money_from_nowhere_is_found() {
        let mut entries = sound();
        entries[4].event = marked("101", "80");
        assert!(problems(&entries).contains("fills leave 79.5"));
        entries = sound();
        entries[1].event = marked("101", "100");
        assert!(problems(&entries).contains("equity 101 but cash 100 only"));
    }

    #[test]
    fn models_that_appear_are_known_from_then_on() {
        let info = ModelInfo {
            name: "m".to_owned(),
            version: "1.0.0".to_owned(),
            digest: String::new(),
            generation: 2,
            fold: None,
        };
        let failed = |model| Event::PredictionFailed {
            symbol: SymbolId(0),
            model: ModelRef(model),
            reason: FailureReason::Crash,
            stand_in_at_ns: None,
        };
        let added = |model| Event::ModelAdded {
            model: ModelRef(model),
            info: info.clone(),
        };
        let with = |events: [Event; 2]| {
            let mut entries = sound();
            for event in events {
                entries.insert(2, entry(0, 1, event));
            }
            for (seq, entry) in (0..).zip(&mut entries) {
                entry.seq = seq;
            }
            entries
        };
        // The later event comes first here, because each goes before the one inserted last.
        let found = replayed(&with([failed(0), added(0)]), None).unwrap();
        assert_eq!(found.models, std::slice::from_ref(&info));
        let text = problems(&with([added(0), failed(0)]));
        assert!(text.contains("names model 0, unknown"), "{text}");
        let text = problems(&with([failed(0), added(1)]));
        assert!(text.contains("adds model 1, not the next"), "{text}");
        let mut entries = sound();
        if let Event::OrderApproved(order) = &mut entries[2].event {
            order.model = Some(ModelRef(0));
        }
        let text = problems(&entries);
        assert!(text.contains("names model 0, unknown"), "{text}");
    }

    #[test]
    fn a_journal_without_its_start_is_refused() {
        let error = replayed(&sound()[1..], None).unwrap_err();
        assert!(matches!(error, ReplayError::NotStarted));
        assert!(matches!(replayed(&[], None), Err(ReplayError::NotStarted)));
    }
}
