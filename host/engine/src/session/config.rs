//! The settings of a session: those of its parts, and what must hold between them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::execution::{ExecutionConfig, SlippageConfig};
use crate::fusion::FusionConfig;
use crate::portfolio::{Currencies, PortfolioConfig};
use crate::problem::{Problem, Problems};
use crate::risk::RiskConfig;
use crate::strategy::StrategyConfig;
use crate::types::{VenueRecords, pair_of};

/// Settings of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionConfig {
    /// When to be on which side.
    pub strategy: StrategyConfig,
    /// How several models become one.
    #[serde(default)]
    pub fusion: FusionConfig,
    /// What may be risked.
    #[serde(default)]
    pub risk: RiskConfig,
    /// What trading costs.
    pub execution: ExecutionConfig,
    /// What the account is.
    pub portfolio: PortfolioConfig,
}

impl SessionConfig {
    /// Every problem of every section, keys below their sections' names.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        problems.extend("strategy", self.strategy.validate());
        problems.extend("fusion", self.fusion.validate());
        problems.extend("risk", self.risk.validate());
        problems.extend("execution", self.execution.validate());
        problems.extend("portfolio", self.portfolio.validate());
        problems.require(
            !self.strategy.allow_short || self.portfolio.allow_short,
            "strategy.allow_short",
            "is true, but the account may not sell short; set `portfolio.allow_short` too",
        );
        let (strategy, risk) = (&self.strategy, &self.risk);
        strategy
            .fail_safe
            .validate(risk.max_data_age_bars, &mut problems);
        let collar = self.risk.price_collar_bps;
        if let Some((trigger, collar)) = self.strategy.entry.trigger_bps().zip(collar) {
            problems.require(
                // What is no number is told where it is set.
                trigger.is_nan() || collar.is_nan() || trigger <= collar,
                "strategy.entry.offset_bps",
                format!(
                    "is {trigger}, beyond `risk.price_collar_bps` ({collar}): an entry that is \
                     triggered there may not fill; bring it nearer or widen the collar"
                ),
            );
        }
        self.validate_sizes(&mut problems);
        problems.into_vec()
    }

    /// Every problem of these settings for a run of the symbols called `names`.
    #[must_use]
    pub fn validate_for(&self, names: &[&str]) -> Vec<Problem> {
        let mut problems = Problems::default();
        problems.extend("execution", self.execution.unknown_symbols(names));
        let mut all = self.validate();
        all.extend(problems.into_vec());
        // What is wrong with a setting by itself is told once.
        let mut more = self.currencies(names).err().unwrap_or_default();
        more.retain(|one| all.iter().all(|known| known.key != one.key));
        all.extend(more);
        all
    }

    /// The currencies of a run of the symbols called `names`.
    ///
    /// # Errors
    /// Every problem of them.
    pub fn currencies(&self, names: &[&str]) -> Result<Currencies, Vec<Problem>> {
        Currencies::resolve(&self.portfolio, &self.execution, names)
    }

    /// What of the venue's records and these settings does not belong together.
    #[must_use]
    pub fn validate_records(&self, records: &VenueRecords) -> Vec<Problem> {
        let mut problems = Problems::default();
        let needs_books = matches!(self.execution.slippage, SlippageConfig::Book { .. });
        problems.require(
            !needs_books || !records.books.is_empty(),
            "execution.slippage",
            "is by order books, but there are none; name the file with the snapshots",
        );
        problems.require(
            self.execution.funding.is_none() || records.funding.is_empty(),
            "execution.funding",
            "is a constant rate beside recorded ones; leave one of them out",
        );
        problems.into_vec()
    }

    /// Value of what may be held per cash of the account.
    pub(crate) fn leverage(&self) -> f64 {
        match self.portfolio.margin {
            Some(margin) => margin.leverage,
            None if self.portfolio.allow_short => self
                .risk
                .position_fraction
                .map_or(1.0, |most| most.max(1.0)),
            None => 1.0,
        }
    }

    /// Sizes with which no order could ever be placed, and leverage without margin.
    fn validate_sizes(&self, problems: &mut Problems) {
        // What several balances are worth together, only their rates say.
        let own = self
            .portfolio
            .initial_cash
            .only_in(self.portfolio.currency.as_deref());
        let most = own.unwrap_or(f64::NAN) * self.leverage();
        let mut least = |key: &str, value: f64| {
            problems.require(
                // What is out of range by itself is told where it is set.
                !(most > 0.0 && value > most),
                key,
                format!("is {value}, more than the account can pay for ({most}): nothing trades"),
            );
        };
        least("execution.min_notional", self.execution.min_notional);
        for (name, own) in &self.execution.symbols {
            let quote = own.quote.as_deref().or(pair_of(name).map(|pair| pair.1));
            let currency = self.portfolio.currency.as_deref();
            let is_comparable = currency.is_none() || quote.is_none() || currency == quote;
            if let Some(value) = own.min_notional.filter(|_| is_comparable) {
                least(&format!("execution.symbols.{name}.min_notional"), value);
            }
        }
        for (name, own) in &self.execution.symbols {
            problems.require(
                own.max_leverage.is_none() || self.portfolio.margin.is_some(),
                &format!("execution.symbols.{name}.max_leverage"),
                "is for accounts with `portfolio.margin` only",
            );
        }
    }

    /// SHA-256 of the settings as JSON, lower-case hexadecimal; the same settings always have the
    /// same digest.
    #[must_use]
    pub fn digest(&self) -> String {
        // Settings are plain values, which JSON can always hold.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let digest = Sha256::digest(json);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
