//! What one prediction costs on the way to a plugin that does next to nothing, an exponential
//! moving average of 64 features' first: through the author's trait alone, through the bare table
//! of the plugin in C, through the loader's proxy to it and to the same plugin in Rust, with the
//! guard that every loaded model has around it, and with the guard that a live session asks for.
//!
//! Both plugins are built as an author would ship them, optimised. What a boundary adds is the
//! difference of two lines.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use criterion::Criterion;
use fusebox_loader::backend::{Backend, DylibBackend, Prepared};
use fusebox_loader::guard::{BreakerConfig, GuardPolicy};
use fusebox_loader::{GuardedModel, SystemClock};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::Result;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::import::HostServices;
use fusebox_plugin_api::model::{Model, ModelInfo, Task};
use fusebox_tests::fixtures::{build_dir, compile, run, source_dir};

use crate::c_table::CTable;

const COLUMNS: usize = 64;

/// The fixture's arithmetic, called without any boundary.
struct Ema(f32, f32);

impl Model for Ema {
    fn info(&self) -> Result<ModelInfo> {
        Ok(ModelInfo::new(Task::Regression, &["ema"]))
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        for row in 0..frame.rows() {
            self.1 += self.0 * (frame.features(row)[0] - self.1);
            frame.output_row_mut(row)[0] = self.1;
        }
        Ok(())
    }
}

/// The fixture in Rust, as `cargo build --release` makes it.
fn rust_library(build: &Path) -> PathBuf {
    let target = build.join("rust-release");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--offline",
        "--locked",
        "--release",
        "-p",
        "fixture-ema-rust",
    ]);
    cargo.current_dir(source_dir());
    cargo
        .env_remove("RUSTFLAGS")
        .env("CARGO_TARGET_DIR", &target);
    run(&mut cargo);
    target.join("release").join("libfixture_ema_rust.so")
}

fn open(library: &Path) -> Box<dyn Model> {
    let backend = DylibBackend::new(Prepared {
        path: library.to_owned(),
        origin: library.to_owned(),
    });
    let plugin = backend.open(HostServices::new(0, |_, _| {})).unwrap();
    let config = Config::new().with("alpha", 0.1);
    plugin.create_model(&config, &[]).unwrap()
}

fn guarded(library: &Path) -> GuardedModel {
    GuardedModel::new("com.example.ema", open(library)).unwrap()
}

fn live(library: &Path, canaries: bool) -> Box<dyn Model> {
    let policy = GuardPolicy {
        deadline_us: Some(1_000_000),
        breaker: Some(BreakerConfig::default()),
        canaries,
    };
    let (metrics, clock) = (Arc::default(), Arc::new(SystemClock));
    Box::new(guarded(library).with_policy(&policy, metrics, clock))
}

pub(crate) fn plugin_call(criterion: &mut Criterion) {
    let build = build_dir();
    std::fs::create_dir_all(&build).unwrap();
    let rust = rust_library(&build);
    let c = compile("ema-c/ema.c", &[], &build);
    let models: [(&str, Box<dyn Model>); 7] = [
        ("trait", Box::new(Ema(0.1, 0.0))),
        ("c-dylib", open(&c)),
        ("c-guarded", Box::new(guarded(&c))),
        ("dylib", open(&rust)),
        ("guarded", Box::new(guarded(&rust))),
        ("live-guard-no-canaries", live(&c, false)),
        ("live-guard", live(&c, true)),
    ];
    let input = vec![0.5_f32; COLUMNS];
    let mut output = [0.0_f32];
    let mut group = criterion.benchmark_group("plugin_call");
    let mut table = CTable::open(&c, b"{\"alpha\":0.1}");
    group.bench_function("c-table", |bencher| {
        bencher.iter(|| table.predict(black_box(&input), &mut output));
    });
    for (name, mut model) in models {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let shape = FrameShape::dense(1, COLUMNS, 1);
                let mut frame = Frame::new(black_box(&input), &mut output, shape).unwrap();
                model.predict(&mut frame).unwrap();
            });
        });
    }
    group.finish();
}
