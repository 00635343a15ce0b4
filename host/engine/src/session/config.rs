//! The settings of a session: those of its parts, and what must hold between them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::execution::ExecutionConfig;
use crate::fusion::FusionConfig;
use crate::portfolio::PortfolioConfig;
use crate::problem::{Problem, Problems};
use crate::risk::RiskConfig;
use crate::strategy::StrategyConfig;

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
        problems.into_vec()
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
