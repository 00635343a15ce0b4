//! Level 7: what `FB_MODEL_REALTIME` claims, and the budget of the manifest.

use fusebox_plugin_api::frame::FrameShape;

use super::plugin;
use crate::check::lent::{ErrorBuffer, FrameBytes};
use crate::check::raw::Instance;
use crate::check::trap::{self, ALLOCATION};
use crate::check::{Bench, Case, Finding, Stop, Verdict, hold, process, skip};

/// Predictions before the claim counts: caches fill and pages are touched.
const WARM: usize = 64;
/// Page faults of this many predictions that may have other reasons.
const FAULTS_TOLERATED: u64 = 8;

pub(super) const CASES: &[Case] = &[
    plugin(
        7,
        "predict-no-allocation",
        "predict neither takes nor gives back memory, where it claims to be real-time",
        predict_no_allocation,
    ),
    plugin(
        7,
        "predict-no-system-call",
        "predict makes no system call, where it claims to be real-time",
        predict_no_system_call,
    ),
    plugin(
        7,
        "predict-no-page-fault",
        "predict touches no new pages after warm-up, where it claims to be real-time",
        predict_no_page_fault,
    ),
    plugin(
        7,
        "predict-inside-budget",
        "99 of 100 predictions of one row stay inside the budget of the manifest",
        predict_inside_budget,
    ),
];

/// An instance that was used, with the memory of one row.
struct Ready {
    instance: Instance,
    shape: FrameShape,
    input: Vec<f32>,
    output: Vec<f32>,
    error: ErrorBuffer,
}

impl Ready {
    fn new(bench: &Bench<'_>, claims_only: bool) -> Result<(Self, String), Stop> {
        let mapped = bench.map()?;
        let name = mapped
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let table = mapped.table(crate::check::lent::HostSpec::default())?;
        if claims_only && !table.is_realtime() {
            return skip("not claimed: the model does not state FB_MODEL_REALTIME");
        }
        let instance = bench.create(&table)?;
        let shape = Bench::shape(&bench.info(&instance)?, 1);
        let input = bench.rng(100).units(shape.input_len().unwrap_or(0));
        let output = vec![0.0; shape.output_len().unwrap_or(0)];
        let error = ErrorBuffer::new();
        let mut ready = Self {
            instance,
            shape,
            input,
            output,
            error,
        };
        ready.predict(WARM)?;
        // The kernel shows a removed file with this remark.
        Ok((ready, format!("{name} (deleted)")))
    }

    /// Makes `count` predictions of one row.
    fn predict(&mut self, count: usize) -> Result<(), Stop> {
        let frame = FrameBytes::new(&self.input, &mut self.output, self.shape)?;
        for _ in 0..count {
            if let Err(code) = self.instance.predict(&frame, &mut self.error) {
                return Err(Stop::Fail(self.error.told("predict", code)));
            }
        }
        Ok(())
    }
}

/// Predictions under a trap.
fn guarded_count(bench: &Bench<'_>) -> usize {
    bench.times(10_000, 1_000) as usize
}

fn predict_no_allocation(bench: &Bench<'_>) -> Finding {
    let (mut ready, library) = Ready::new(bench, true)?;
    let count = guarded_count(bench);
    trap::arm(
        &ALLOCATION,
        &library,
        "in predict, which claims to be real-time",
    )?;
    let predicted = ready.predict(count);
    trap::disarm();
    predicted?;
    Ok(Some(format!("{count} predictions")))
}

fn predict_no_system_call(bench: &Bench<'_>) -> Finding {
    let (mut ready, _) = Ready::new(bench, true)?;
    let count = guarded_count(bench);
    let passed = trap::prepare(&Verdict::Passed {
        note: Some(format!("{count} predictions")),
    });
    let failed = trap::prepare(&Verdict::Failed {
        found: "predict failed after warm-up".to_owned(),
    });
    trap::forbid_system_calls()?;
    // Nothing may be dropped or printed from here on; the process ends with the verdict.
    let predicted = ready.predict(count);
    trap::say_prepared_and_exit(if predicted.is_ok() { &passed } else { &failed })
}

fn predict_no_page_fault(bench: &Bench<'_>) -> Finding {
    let (mut ready, _) = Ready::new(bench, true)?;
    let count = guarded_count(bench);
    process::minor_faults();
    let before = process::minor_faults().ok_or_else(no_count)?;
    ready.predict(count)?;
    let faults = process::minor_faults()
        .ok_or_else(no_count)?
        .saturating_sub(before);
    hold(faults <= FAULTS_TOLERATED, || {
        format!(
            "{faults} page faults in {count} predictions; touch every buffer in create or warmup"
        )
    })?;
    Ok(Some(format!("{faults} in {count} predictions")))
}

fn no_count() -> Stop {
    Stop::Skip("this kernel does not tell the page faults of a thread".to_owned())
}

fn predict_inside_budget(bench: &Bench<'_>) -> Finding {
    const ROUNDS: usize = 5;
    let (mut ready, _) = Ready::new(bench, false)?;
    let count = bench.times(2_000, 400) as usize;
    let clock = &bench.settings.clock;
    // Other programs only ever make a round slower, so the best of some rounds is the plugin's own.
    let mut best = u64::MAX;
    for _ in 0..ROUNDS {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let started = clock.now_ns();
            ready.predict(1)?;
            times.push(clock.now_ns().saturating_sub(started));
        }
        times.sort_unstable();
        best = best.min(times.get(count * 99 / 100).copied().unwrap_or(u64::MAX));
    }
    let micros = best as f64 / 1000.0;
    let Some(budget) = bench.target.budget_us() else {
        return Ok(Some(format!(
            "p99 {micros:.2} us; the manifest states no predict_p99_us"
        )));
    };
    hold(micros <= budget as f64, || {
        format!("p99 is {micros:.2} us, the manifest promises {budget} us")
    })?;
    Ok(Some(format!("p99 {micros:.2} us of {budget} us")))
}
