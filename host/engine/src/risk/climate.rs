//! Volatility of every symbol, for sizing, and how long symbols have been silent.

use crate::types::{Price, Timestamp};

/// What is known of one symbol.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    close: Option<Price>,
    at: Option<Timestamp>,
    variance: f64,
    returns: u64,
}

/// Volatilities; see the head of the file.
#[derive(Debug, Clone)]
pub(crate) struct Climate {
    /// Weight of the newest return; `None` where nobody asks for volatility.
    weight: Option<f64>,
    span: u64,
    symbols: Vec<Known>,
}

impl Climate {
    pub(crate) fn new(span_bars: Option<u32>, symbols: usize) -> Self {
        Self {
            weight: span_bars.map(|span| 2.0 / (f64::from(span) + 1.0)),
            span: span_bars.map_or(0, u64::from),
            symbols: vec![Known::default(); symbols],
        }
    }

    /// Takes in the close of a symbol's bar.
    pub(crate) fn observe(&mut self, symbol: usize, close: Price, at: Timestamp) {
        let Some(known) = self.symbols.get_mut(symbol) else {
            return;
        };
        known.at = Some(at);
        let before = known.close.replace(close);
        let (Some(weight), Some(before)) = (self.weight, before) else {
            return;
        };
        let change = (close.to_f64() / before.to_f64()).ln();
        let square = change * change;
        known.variance = if known.returns == 0 {
            square
        } else {
            known.variance + weight * (square - known.variance)
        };
        known.returns += 1;
    }

    /// Standard deviation of one bar's log return; `None` before as many returns as the span.
    pub(crate) fn volatility(&self, symbol: usize) -> Option<f64> {
        let known = self.symbols.get(symbol)?;
        (self.weight.is_some() && known.returns >= self.span).then(|| known.variance.sqrt())
    }

    /// Harmonic mean of the volatilities that are known and not zero.
    pub(crate) fn typical_volatility(&self) -> Option<f64> {
        let all = (0..self.symbols.len()).filter_map(|symbol| self.volatility(symbol));
        let (count, sum) = all
            .filter(|volatility| *volatility > 0.0)
            .fold((0.0, 0.0), |(count, sum), volatility| {
                (count + 1.0, sum + 1.0 / volatility)
            });
        (count > 0.0).then(|| count / sum)
    }

    /// Nanoseconds since the newest bar of the symbol that has been silent for longest, of those
    /// that were seen.
    pub(crate) fn silent_nanos(&self, now: Timestamp) -> i64 {
        let seen = self.symbols.iter().filter_map(|known| known.at);
        seen.map(|at| now.nanos_since(at)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volatility_appears_after_its_span_and_silence_is_the_longest() {
        let mut climate = Climate::new(Some(2), 2);
        let at = Timestamp::from_nanos;
        let price = |value: f64| Price::from_f64(value).unwrap();
        climate.observe(0, price(100.0), at(1));
        climate.observe(0, price(110.0), at(2));
        assert_eq!(climate.volatility(0), None);
        climate.observe(0, price(100.0), at(3));
        let found = climate.volatility(0).unwrap();
        assert!((found - 1.1_f64.ln()).abs() < 1e-12, "{found}");
        climate.observe(1, price(5.0), at(9));
        assert_eq!(climate.silent_nanos(at(10)), 7);
        assert_eq!(climate.typical_volatility(), climate.volatility(0));
        assert_eq!(Climate::new(None, 1).typical_volatility(), None);
    }
}
