//! Predictions through the plugin `ai.fusebox.onnx` take no memory on this side, and leak none in
//! the runtime.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "an allocator is unsafe by its trait, and a test fails by panicking"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use fusebox_onnx::OnnxModel;
use fusebox_plugin_api::model::CreateModel;
use fusebox_plugin_api::prelude::*;
use fusebox_tests::onnx::{onnx_answers, onnx_model, onnx_runtime};

/// Allocations so far.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the rules of the trait, which are those of the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Predictions in the test; 1,000,000 where `FUSEBOX_ONNX_PREDICTIONS` says so.
fn predictions() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a longer test on request")]
    let wanted = std::env::var("FUSEBOX_ONNX_PREDICTIONS").ok();
    wanted.map_or(100_000, |text| text.parse().unwrap())
}

fn resident_kib() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn create() -> OnnxModel {
    let config = Config::new().with("library", onnx_runtime().to_str().unwrap());
    OnnxModel::create(&config, &onnx_model("perceptron")).unwrap()
}

#[test]
fn predictions_take_no_memory_here_and_leak_none_there() {
    let mut model = create();
    model.warmup().unwrap();
    let (rows, _) = onnx_answers("perceptron");
    let mut output = [0.0; 9 * 3];
    let mut predict = |model: &mut OnnxModel, count: usize| {
        let (input, output) = (&rows[..count * 4], &mut output[..count * 3]);
        let shape = FrameShape::dense(count, 4, 3);
        model
            .predict(&mut Frame::new(input, output, shape).unwrap())
            .unwrap();
    };
    // Every number of rows that follows has its buffers now.
    (1..=9).for_each(|count| predict(&mut model, count));
    let before = TAKEN.load(Ordering::Relaxed);
    (1..=9).for_each(|count| predict(&mut model, count));
    assert_eq!(
        TAKEN.load(Ordering::Relaxed),
        before,
        "a prediction took memory"
    );

    let settle = predictions() / 10;
    (0..settle).for_each(|_| predict(&mut model, 1));
    let start = resident_kib();
    (0..predictions()).for_each(|_| predict(&mut model, 1));
    let grown = resident_kib().saturating_sub(start);
    assert!(
        grown < 512,
        "{grown} KiB more after {} predictions",
        predictions()
    );
    println!("{} predictions: {grown} KiB more", predictions());

    // Models that come and go give back what they took.
    (0..40).for_each(|_| drop(create()));
    let start = resident_kib();
    for _ in 0..200 {
        let mut model = create();
        predict(&mut model, 1);
        model.quiesce(0).unwrap();
    }
    let grown = resident_kib().saturating_sub(start);
    assert!(grown < 4_096, "{grown} KiB more after 200 models");
    println!("200 models: {grown} KiB more");
}
