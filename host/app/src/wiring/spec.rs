//! From the raw configuration to the specification of a run: what the values mean together.
//!
//! Every problem of every section is reported at once, those of the layers included. Nothing here
//! reads a file.

mod learning;
mod records;
mod trading;

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use fusebox_engine::features::{ExtractOptions, FeatureContext, FeatureSet};
use fusebox_engine::fusion::FusionConfig;
use fusebox_engine::labels::LabelConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{FailSafe, StrategyConfig};
use fusebox_engine::types::{TimeFrame, Timestamp};
use fusebox_services::data::DataRequest;
use fusebox_services::training::{
    EvaluationSpec, FitScopeSpec, ModelSpec, PipelineSpec, Provenance,
};
use serde_json::Value;

use crate::config::raw::{RawData, RawFailSafe, RawSource};
use crate::config::{ConfigError, Loaded, Problem, RawConfig, to_toml};

/// The specification of a run without what only the machine knows: its host settings and versions
/// are empty.
///
/// # Errors
/// [`ConfigError::Problems`] with `found`, which the layers had, and everything found here.
pub(super) fn pipeline(
    loaded: &Loaded,
    found: Vec<Problem>,
    command_line: String,
) -> Result<PipelineSpec, ConfigError> {
    let mut check = Check {
        loaded,
        problems: found,
    };
    let raw = &loaded.raw;
    let data = check.data(&raw.data);
    check.features(raw, data.as_ref());
    let labels = check.labels(&raw.labels);
    let split = check.split();
    let (session, is_whole) = check.session(raw);
    let session = is_whole.then_some(session);
    let records = check.records((&raw.data, &raw.execution), data.as_ref());
    check.model();
    check.evaluation();
    let problems = check.problems;
    let (Some(data), Some(split), Some(session), true) =
        (data, split, session, problems.is_empty())
    else {
        return Err(ConfigError::Problems(problems));
    };
    Ok(PipelineSpec {
        name: raw.run.name.clone(),
        seed: raw.run.seed,
        threads: threads(raw.run.threads),
        data,
        records,
        features: raw.features.set.clone(),
        extract: ExtractOptions {
            max_gap_bars: raw.features.max_gap_bars,
        },
        labels,
        split,
        model: ModelSpec {
            scaler: learning::scaler(raw.model.scaler),
            params: raw.model.params.clone().into_iter().collect(),
            final_model: learning::final_model(raw.train.final_model),
            explain: learning::explain(&raw.train),
            host_settings: std::collections::BTreeMap::new(),
        },
        session,
        evaluation: EvaluationSpec {
            confidence: raw.evaluation.confidence,
            bootstrap_samples: raw.evaluation.bootstrap_samples,
            trials: raw.evaluation.trials,
            calibration_bins: raw.evaluation.calibration_bins as usize,
            random_runs: raw.evaluation.random_runs,
            trade_simulations: raw.evaluation.trade_simulations,
            capacity_multiples: raw.evaluation.capacity_multiples.clone(),
        },
        provenance: Provenance {
            config_toml: to_toml(loaded)?,
            config_sha256: digest(raw)?,
            command_line,
            versions: Vec::new(),
        },
    })
}

/// How `loaded` trades as far as it is told, with stand-ins for what is missing or wrong.
pub(super) fn session_in_part(loaded: &Loaded) -> SessionConfig {
    let mut check = Check {
        loaded,
        problems: Vec::new(),
    };
    check.session(&loaded.raw).0
}

/// The bars that `[data]` asks for; what is wrong with it goes to `problems`.
pub(super) fn data_request(loaded: &Loaded, problems: &mut Vec<Problem>) -> Option<DataRequest> {
    let mut check = Check {
        loaded,
        problems: Vec::new(),
    };
    let request = check.data(&loaded.raw.data);
    problems.append(&mut check.problems);
    request
}

/// The parts of a pipeline that decide what is fitted on which rows; what is wrong with them goes
/// to `problems`.
pub(super) fn fit_scope(loaded: &Loaded, problems: &mut Vec<Problem>) -> Option<FitScopeSpec> {
    let mut check = Check {
        loaded,
        problems: Vec::new(),
    };
    let raw = &loaded.raw;
    let labels = check.labels(&raw.labels);
    let split = check.split();
    problems.append(&mut check.problems);
    Some(FitScopeSpec {
        features: raw.features.set.clone(),
        extract: ExtractOptions {
            max_gap_bars: raw.features.max_gap_bars,
        },
        labels,
        split: split?,
        scaler: learning::scaler(raw.model.scaler),
    })
}

/// The labels as they are asked for, whatever is wrong with them.
pub(super) fn labels(loaded: &Loaded) -> LabelConfig {
    let mut check = Check {
        loaded,
        problems: Vec::new(),
    };
    check.labels(&loaded.raw.labels)
}

/// 0 stands for one thread per core.
fn threads(wanted: u32) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        wanted => wanted as usize,
    }
}

/// SHA-256 of everything that the result of a run depends on: not the number of threads, the place
/// of the data or the machine's own settings.
fn digest(raw: &RawConfig) -> Result<String, ConfigError> {
    let internal = |error: serde_json::Error| ConfigError::Internal(error.to_string());
    let mut values = serde_json::to_value(raw).map_err(internal)?;
    for pointer in ["/engine", "/run/threads", "/data/dir"] {
        if let Some(value) = values.pointer_mut(pointer) {
            *value = Value::Null;
        }
    }
    // Whether there is a file counts, not where it lies; what is in it, the run's own digest says.
    for pointer in ["/execution/funding_file", "/execution/slippage/file"] {
        if let Some(value) = values.pointer_mut(pointer).filter(|value| !value.is_null()) {
            *value = Value::Bool(true);
        }
    }
    if raw.data.source == RawSource::Files
        && let Some(simulated) = values.pointer_mut("/data/simulated")
    {
        *simulated = Value::Null;
    }
    let text = serde_json::to_vec(&values).map_err(internal)?;
    Ok(super::sha256(&text))
}

/// Most amounts of capital that a run is traded with.
const MOST_CAPACITIES: usize = 50;

/// Collects problems while it converts. A section that has any is `None`.
struct Check<'a> {
    loaded: &'a Loaded,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Reports a problem, unless the key itself has been reported already.
    fn report(&mut self, key: &str, message: impl Display) {
        if !self.loaded.is_refused(key) {
            self.problems.push(self.loaded.problem(key, message));
        }
    }

    fn required<T: Clone>(&mut self, key: &str, value: Option<&T>, example: &str) -> Option<T> {
        if value.is_none() {
            self.report(key, format!("is not set; set it, such as `{example}`"));
        }
        value.cloned()
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(key, format!("cannot be read: {error}"));
                None
            }
        }
    }

    fn parsed_if_set<T: FromStr<Err: Display>>(
        &mut self,
        key: &str,
        text: Option<&String>,
    ) -> Option<T> {
        text.and_then(|text| self.parsed(key, text))
    }

    fn data(&mut self, data: &RawData) -> Option<DataRequest> {
        let is_files = data.source == RawSource::Files;
        if is_files && data.dir.is_none() {
            self.report(
                "data.dir",
                "is not set; add --data DIR, or --set data.source=simulated for the simulated \
                 market",
            );
        }
        if is_files {
            self.required(
                "data.exchange",
                data.exchange.as_ref(),
                "exchange = \"BINANCE\"",
            );
        }
        if data.symbols.is_empty() {
            self.report(
                "data.symbols",
                "is empty; name at least one, such as [\"BTCUSDT\"]",
            );
        }
        for (position, symbol) in data.symbols.iter().enumerate() {
            if data.symbols[..position].contains(symbol) {
                self.report("data.symbols", format!("names {symbol} twice"));
            }
        }
        let time_frame: Option<TimeFrame> = self
            .required(
                "data.time_frame",
                data.time_frame.as_ref(),
                "time_frame = \"1h\"",
            )
            .and_then(|text| self.parsed("data.time_frame", &text));
        let from: Option<Timestamp> = self.parsed_if_set("data.from", data.from.as_ref());
        let to: Option<Timestamp> = self.parsed_if_set("data.to", data.to.as_ref());
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            self.report(
                "data.to",
                format!("is {to}, which is not after `data.from` ({from})"),
            );
        }
        if !is_files && !self.loaded.is_refused("data.source") {
            self.simulated_range(data);
        }
        Some(DataRequest {
            dir: data.dir.as_ref().map(PathBuf::from).unwrap_or_default(),
            exchange: data.exchange.clone().unwrap_or_default(),
            symbols: data.symbols.clone(),
            time_frame: time_frame?,
            from,
            to,
        })
    }

    /// A simulated market has no range of its own.
    fn simulated_range(&mut self, data: &RawData) {
        for (key, value) in [("data.from", &data.from), ("data.to", &data.to)] {
            if value.is_none() {
                self.report(key, "is not set; the simulated market needs its range");
            }
        }
    }

    /// Reads the feature list against what the market is said to be, so that a wrong expression is
    /// found before any data is read. Columns count as there; the data has the last word on them.
    fn features(&mut self, raw: &RawConfig, data: Option<&DataRequest>) {
        let key = "features.set";
        let Some(data) = data else {
            return;
        };
        let context = FeatureContext::before_data(data.time_frame, &data.symbols);
        if let Err(error) = FeatureSet::parse(&raw.features.set, &context) {
            for problem in error.problems {
                self.report(key, format!("is wrong: {problem}"));
            }
        }
    }

    /// The session, and whether nothing in it is a stand-in for what is missing.
    fn session(&mut self, raw: &RawConfig) -> (SessionConfig, bool) {
        let (strategy, risk) = (&raw.strategy, &raw.risk);
        let (execution, portfolio) = (&raw.execution, &raw.portfolio);
        let mut number = |key: &str, value: Option<f64>, example: &str| {
            self.required(key, value.as_ref(), example)
        };
        let entry = number("strategy.entry_threshold", strategy.entry_threshold, "0.1");
        let exit = number("strategy.exit_threshold", strategy.exit_threshold, "0.0");
        let fee = number("execution.fee_bps", execution.fee_bps, "10.0");
        let slippage = number("execution.slippage_bps", execution.slippage_bps, "2.0");
        let risk = trading::risk(risk);
        let fail_safe = self.fail_safe();
        for key in risk.missing() {
            let message = "is not set; without it every order is refused";
            self.report(&format!("risk.{key}"), message);
        }
        // What is missing or was refused has a stand-in here, so that it hides no other problem.
        let is_strategy_whole = entry.is_some() && exit.is_some() && fail_safe.is_some();
        let is_whole = is_strategy_whole && fee.is_some() && slippage.is_some();
        let session = SessionConfig {
            strategy: StrategyConfig {
                entry_threshold: entry.unwrap_or(0.1),
                exit_threshold: exit.unwrap_or(0.0),
                minimum_holding_bars: strategy.minimum_holding_bars,
                minimum_confidence: strategy.minimum_confidence,
                allow_short: strategy.allow_short,
                fail_safe: fail_safe.unwrap_or(FailSafe::Flatten),
                entry: trading::entry(strategy),
                protection: trading::protection(strategy),
            },
            fusion: FusionConfig::default(),
            risk,
            execution: trading::execution(execution, fee.unwrap_or(10.0), slippage.unwrap_or(2.0)),
            portfolio: trading::portfolio(portfolio),
        };
        let names: Vec<&str> = raw.data.symbols.iter().map(String::as_str).collect();
        for problem in session.validate_for(&names) {
            if is_strategy_whole || !problem.key.starts_with("strategy.") {
                self.report(&problem.key, problem.message);
            }
        }
        (session, is_whole)
    }

    fn fail_safe(&mut self) -> Option<FailSafe> {
        let key = "strategy.last_good_max_bars";
        let strategy = &self.loaded.raw.strategy;
        match (strategy.fail_safe, strategy.last_good_max_bars) {
            (RawFailSafe::Flatten, None) => Some(FailSafe::Flatten),
            (RawFailSafe::Hold, None) => Some(FailSafe::Hold),
            (RawFailSafe::LastGood, max_bars) => {
                let max_bars = self.required(key, max_bars.as_ref(), "last_good_max_bars = 1")?;
                Some(FailSafe::LastGood { max_bars })
            }
            (RawFailSafe::Flatten | RawFailSafe::Hold, Some(_)) => {
                self.report(key, "is for `fail_safe = \"last_good\"` only; remove it");
                None
            }
        }
    }

    fn model(&mut self) {
        let plugin = self.loaded.raw.model.plugin.as_ref();
        self.required("model.plugin", plugin, "plugin = \"ai.fusebox.gbm\"");
    }

    fn capacity(&mut self) {
        let key = "evaluation.capacity_multiples";
        let multiples = self.loaded.raw.evaluation.capacity_multiples.clone();
        if multiples.len() > MOST_CAPACITIES {
            let count = multiples.len();
            self.report(
                key,
                format!("has {count} values; {MOST_CAPACITIES} are the most"),
            );
        }
        for (at, multiple) in multiples.iter().enumerate() {
            if !(*multiple > 0.0 && *multiple <= 1e6) {
                self.report(
                    key,
                    format!("has {multiple}; each must be above 0, at most 1000000"),
                );
            }
            if multiples[..at].contains(multiple) {
                self.report(key, format!("names {multiple} twice"));
            }
        }
    }

    fn evaluation(&mut self) {
        self.capacity();
        let name = self.loaded.raw.run.name.trim();
        if name.is_empty() {
            self.report("run.name", "is empty; the report needs a title");
        }
    }
}
