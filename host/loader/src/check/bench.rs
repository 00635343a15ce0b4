//! The work bench of a case: the target, the settings, and ways to map the plugin and use it.
//!
//! Every mapping is a private copy under a name of its own, as in a host.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::frame::FrameShape;
use fusebox_plugin_api::model::ModelInfo;

use super::child::Channel;
use super::fuzz::Call;
use super::lent::{ErrorBuffer, FrameBytes, HostSpec, Sink};
use super::raw::{Instance, Mapped, Table};
use super::rng::Rng;
use super::{Stop, Target, hold};
use crate::clock::Clock;

/// Columns to test with where a model takes any number.
const FREE_COLUMNS: usize = 3;
/// Most values per row that a check tries.
const MOST_VALUES: usize = 1 << 20;

/// How a plugin is checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A configuration that its `create` accepts.
    pub config: Config,
    /// An artifact that its `create` accepts; empty where it needs none.
    pub artifact: Vec<u8>,
    /// Drives everything random.
    pub seed: u64,
    /// Fewer repetitions, for the tests of the kit itself.
    pub quick: bool,
    /// A directory for private copies, which the caller removes.
    pub scratch: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Calls to make instead of random ones, to repeat a finding.
    pub replay: Option<Vec<Call>>,
}

/// What a case works with.
#[derive(Debug)]
pub struct Bench<'a> {
    /// What is checked.
    pub target: &'a Target,
    /// How.
    pub settings: &'a Settings,
    pub(super) channel: &'a Channel,
    copies: AtomicU64,
}

impl<'a> Bench<'a> {
    pub(super) fn new(target: &'a Target, settings: &'a Settings, channel: &'a Channel) -> Self {
        Self {
            target,
            settings,
            channel,
            copies: AtomicU64::new(0),
        }
    }

    /// `full` repetitions, or `quick` ones where the settings ask for fewer.
    pub(super) fn times(&self, full: u64, quick: u64) -> u64 {
        if self.settings.quick { quick } else { full }
    }

    pub(super) fn rng(&self, salt: u64) -> Rng {
        Rng::new(
            self.settings
                .seed
                .wrapping_mul(1_000_003)
                .wrapping_add(salt),
        )
    }

    /// A private copy of the library.
    pub(super) fn copy(&self) -> Result<PathBuf, Stop> {
        let number = self.copies.fetch_add(1, Ordering::Relaxed);
        let stem = self
            .target
            .library
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let name = format!("{stem}-{}-{number}.so", std::process::id());
        let path = self.settings.scratch.join(name);
        fs::copy(&self.target.library, &path).map_err(|error| {
            format!(
                "cannot copy {} to {}: {error}",
                self.target.library.display(),
                path.display()
            )
        })?;
        Ok(path)
    }

    /// Maps a new private copy, whose name is then removed.
    pub(super) fn map(&self) -> Result<Mapped, Stop> {
        let path = self.copy()?;
        let mapped = Mapped::open(&path);
        // The mapping lives on without the name; a name that stays is removed with the directory.
        let _ = fs::remove_file(&path);
        Ok(mapped?)
    }

    /// The model table of a new generation, entered with the host of this version.
    pub(super) fn table(&self) -> Result<Table, Stop> {
        Ok(self.map()?.table(HostSpec::default())?)
    }

    pub(super) fn config_json(&self) -> Vec<u8> {
        self.settings.config.to_json().into_bytes()
    }

    /// A new instance, warmed up as a host would.
    pub(super) fn create(&self, table: &Table) -> Result<Instance, Stop> {
        let mut error = ErrorBuffer::new();
        let instance = self.create_cold(table, &mut error)?;
        instance
            .warmup(&mut error)
            .map_err(|code| error.told("warmup", code))?;
        Ok(instance)
    }

    pub(super) fn create_cold(
        &self,
        table: &Table,
        error: &mut ErrorBuffer,
    ) -> Result<Instance, Stop> {
        let created = table.create(&self.config_json(), &self.settings.artifact, error);
        let hint = "; give a valid configuration with --config and an artifact with --artifact";
        Ok(created.map_err(|code| error.told("create", code) + hint)?)
    }

    /// What a model says of itself.
    pub(super) fn info(&self, instance: &Instance) -> Result<ModelInfo, Stop> {
        let (mut sink, mut error) = (Sink::whole(), ErrorBuffer::new());
        instance
            .info(&mut sink, &mut error)
            .map_err(|code| error.told("info", code))?;
        let info: ModelInfo = serde_json::from_slice(&sink.bytes)
            .map_err(|error| format!("info: not a MODEL as the header describes it: {error}"))?;
        let values = info
            .columns
            .unwrap_or(FREE_COLUMNS)
            .checked_mul(info.window);
        let is_sane = values.is_some_and(|values| (1..=MOST_VALUES).contains(&values));
        hold(
            is_sane && (1..=MOST_VALUES).contains(&info.outputs.len()),
            || {
                format!(
                    "info: {} steps of {:?} columns and {} outputs; at least one of each and at \
                     most \
                 {MOST_VALUES} values per row can be checked",
                    info.window,
                    info.columns,
                    info.outputs.len()
                )
            },
        )?;
        Ok(info)
    }

    /// The dense shape of `rows` rows for a model.
    pub(super) fn shape(info: &ModelInfo, rows: usize) -> FrameShape {
        let columns = info.columns.unwrap_or(FREE_COLUMNS);
        FrameShape {
            rows,
            window: info.window,
            columns,
            row_stride: columns * info.window,
            step_stride: columns,
            output_columns: info.outputs.len(),
            output_stride: info.outputs.len(),
        }
    }

    /// Answers of `rows` seeded rows, as bits.
    pub(super) fn answers(
        &self,
        instance: &mut Instance,
        rows: usize,
        salt: u64,
    ) -> Result<Vec<u32>, Stop> {
        let info = self.info(instance)?;
        let shape = Self::shape(&info, rows);
        let input = self.rng(salt).units(shape.input_len().unwrap_or(0));
        Ok(predict(instance, &input, shape)?)
    }

    pub(super) fn columns() -> usize {
        FREE_COLUMNS
    }
}

/// Predicts and returns the answers as bits.
pub(super) fn predict(
    instance: &mut Instance,
    input: &[f32],
    shape: FrameShape,
) -> Result<Vec<u32>, String> {
    let mut output = vec![f32::NAN; shape.output_len().unwrap_or(0)];
    let mut error = ErrorBuffer::new();
    let frame = FrameBytes::new(input, &mut output, shape)?;
    instance
        .predict(&frame, &mut error)
        .map_err(|code| error.told("predict", code))?;
    Ok(output.iter().map(|value| value.to_bits()).collect())
}
