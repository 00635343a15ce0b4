//! What a reload costs: from the commit of a package to the first answer of the new code, and what
//! the predictions around the swap notice of it.
//!
//! One thread predicts without pause, as the owner of a live model does; packages of alternating
//! builds are committed beside it, one after the other.

use std::sync::Arc;
use std::time::Instant;

use fusebox_loader::live::WorkerProber;
use fusebox_tests::live::{Machine, commit, spec, value};
use fusebox_tests::workers::worker_options;

/// Reloads that are measured.
const RELOADS: usize = 40;

/// Predictions between two reloads.
const PREDICTIONS: usize = 20_000;

/// Lines for the table: what, and its figure.
pub(crate) fn reload() -> Vec<(String, String)> {
    let (trusting, _) = reloads(false);
    let (trying, mut calls) = reloads(true);
    let ms = |times: &[f64], share: f64| format!("{:.1} ms", at(times, share) / 1e6);
    let us = |times: &[f64], share: f64| format!("{:.1} us", at(times, share) / 1e3);
    calls.swaps.sort_by(f64::total_cmp);
    calls.others.sort_by(f64::total_cmp);
    let line = |what: &str, figure: String| (what.to_owned(), figure);
    vec![
        line("commit to live, median", ms(&trusting, 0.5)),
        line(
            "commit to live, tried in a child first, median",
            ms(&trying, 0.5),
        ),
        line(
            "commit to live, tried in a child first, p95",
            ms(&trying, 0.95),
        ),
        line("prediction that swaps, median", us(&calls.swaps, 0.5)),
        line("prediction that swaps, longest", us(&calls.swaps, 1.0)),
        line("prediction between swaps, median", us(&calls.others, 0.5)),
        line("prediction between swaps, p99.9", us(&calls.others, 0.999)),
    ]
}

/// Durations of single predictions, nanoseconds.
#[derive(Default)]
struct Calls {
    swaps: Vec<f64>,
    others: Vec<f64>,
}

/// Times from commit to the first answer of the new code, ascending, and the predictions meanwhile.
fn reloads(tries_first: bool) -> (Vec<f64>, Calls) {
    let machine = Machine::with(|options| {
        options.prober = tries_first.then(|| {
            let options = worker_options();
            Arc::new(WorkerProber { options }) as Arc<_>
        });
    });
    let builds = ["-DEMA_BIAS=0.0f", "-DEMA_BIAS=1.0f"];
    commit(&machine.plugins(), &[builds[1]]);
    let mut model = machine.add(spec());
    let (mut times, mut calls) = (Vec::new(), Calls::default());
    for reload in 0..RELOADS {
        for _ in 0..PREDICTIONS {
            calls.others.push(timed(&mut model).0);
        }
        commit(&machine.plugins(), &[builds[reload % 2]]);
        let committed = Instant::now();
        let before = model.generation().number;
        loop {
            let (nanos, generation) = timed(&mut model);
            if generation != before {
                times.push(committed.elapsed().as_nanos() as f64);
                calls.swaps.push(nanos);
                break;
            }
            calls.others.push(nanos);
            assert!(committed.elapsed().as_secs() < 60, "{}", machine.story());
        }
    }
    times.sort_by(f64::total_cmp);
    (times, calls)
}

fn timed(model: &mut fusebox_loader::live::LiveModel) -> (f64, u64) {
    let began = Instant::now();
    value(model, 1.0);
    (began.elapsed().as_nanos() as f64, model.generation().number)
}

/// The value below which `share` of the ascending `times` lie.
fn at(times: &[f64], share: f64) -> f64 {
    let position = ((times.len() - 1) as f64 * share).round() as usize;
    times[position]
}
