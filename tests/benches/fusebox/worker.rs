//! What one prediction costs through a worker process: one row of 64 features, one answer; with a
//! caller that spins for the answer, and with one that sleeps until it is woken.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use fusebox_loader::WorkerOptions;
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_tests::fixtures::plugin_dir;
use fusebox_tests::workers::{load_in_worker, worker_options};

const COLUMNS: usize = 64;

/// Calls whose times are sorted for the percentiles.
const CALLS: usize = 50_000;

pub(crate) fn worker(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("worker");
    for (name, spin_us) in [("spin", 1_000), ("futex", 0)] {
        let options = WorkerOptions {
            spin_us,
            hot_spare: false,
            ..worker_options()
        };
        let plugin = load_in_worker(plugin_dir(), "com.example.small-struct", options).unwrap();
        let mut model = plugin.create_model(&Config::new(), &[]).unwrap();
        let outputs = model.info().unwrap().outputs.len();
        let input = vec![0.5_f32; COLUMNS];
        let mut output = vec![0.0_f32; outputs];
        let mut call = || {
            let shape = FrameShape::dense(1, COLUMNS, outputs);
            let mut frame = Frame::new(black_box(&input), &mut output, shape).unwrap();
            model.predict(&mut frame).unwrap();
        };
        let mut times: Vec<Duration> = (0..CALLS)
            .map(|_| {
                let start = Instant::now();
                call();
                start.elapsed()
            })
            .collect();
        times.sort();
        println!(
            "worker/{name}: p50 {:?}, p99 {:?} of {CALLS} calls",
            times[CALLS / 2],
            times[CALLS * 99 / 100]
        );
        group.bench_function(name, |bencher| bencher.iter(&mut call));
    }
    group.finish();
}
