//! Starts a training: loads the plugins of all pipelines and hands everything over.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fusebox_services::progress::Progress;
use fusebox_services::training::{self, TrainEnvironment, TrainJob, TrainSummary, TrainingError};

use super::plugins::{Choice, RunPlugin, load_chosen};
use super::{CheckedRun, Target, add_machine, failure_without, libraries};
use crate::failure::Failure;

/// Trains every pipeline into one directory.
///
/// # Errors
/// [`Failure`] with exit code 2 where other settings are needed, 1 for everything else, an
/// interrupt included.
#[expect(
    clippy::disallowed_methods,
    reason = "the seam where the duration of a training is measured, for the reports only"
)]
pub(crate) fn start(
    mut runs: Vec<CheckedRun>,
    (target, fresh): (Target<'_>, bool),
    progress: &dyn Progress,
    interrupted: &AtomicBool,
) -> Result<TrainSummary, Failure> {
    let began = Instant::now();
    // Pipelines of one plugin share it, so that what is mapped does not depend on their number.
    let mut plugins: Vec<(Choice, RunPlugin)> = Vec::new();
    let (mut chosen, mut missing) = (Vec::new(), Vec::new());
    for run in &mut runs {
        let used = &run.spec.model.params;
        missing.extend(libraries::missing(&run.plugin.id, used, &run.settings));
        add_machine(&mut run.spec, &run.plugin.id, &run.settings);
        let is_it = |(other, _): &(Choice, RunPlugin)| *other == run.plugin;
        let at = match plugins.iter().position(is_it) {
            Some(at) => at,
            None => {
                let loaded = load_chosen(&run.plugin, &run.settings)?;
                plugins.push((run.plugin.clone(), loaded));
                plugins.len() - 1
            }
        };
        chosen.push(at);
    }
    let jobs: Vec<TrainJob<'_>> = runs
        .iter()
        .zip(&chosen)
        .map(|(run, at)| TrainJob {
            spec: run.spec.clone(),
            source: run.source.as_ref(),
            plugin: &plugins[*at].1,
        })
        .collect();
    let environment = TrainEnvironment {
        out: target.out,
        overwrite: target.overwrite,
        fresh,
        progress,
        interrupted,
        elapsed_s: &|| began.elapsed().as_secs_f64(),
    };
    training::train(&jobs, &environment).map_err(|error| match error {
        TrainingError::Interrupted => Failure::Failed(anyhow::anyhow!(
            "interrupted; what is done is kept in {}.partial, and the same command goes on from \
             there",
            target.out.display()
        )),
        error => failure_without(error, missing),
    })
}
