//! What one prediction costs on the way to a plugin that does next to nothing, an exponential
//! moving average: through the author's trait alone, through the C ABI of the loaded library, and
//! with the guard that every loaded model has around it.

use std::hint::black_box;

use criterion::Criterion;
use fusebox_loader::backend::{Backend, DylibBackend, Prepared};
use fusebox_loader::{LoadOptions, TrustPolicy, discover, find, load};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::Result;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::import::HostServices;
use fusebox_plugin_api::model::{Model, ModelInfo, Task};
use fusebox_tests::fixtures::plugin_dir;

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

pub(crate) fn plugin_call(criterion: &mut Criterion) {
    let packages = discover(&[plugin_dir().to_owned()]);
    let package = find(&packages, "com.example.ema-rust", None).unwrap();
    let config = Config::new().with("alpha", 0.1);
    let cache = tempfile::tempdir().unwrap();
    let guarded = load(
        package,
        &LoadOptions::new(cache.path()).with_trust(TrustPolicy::trusting()),
    )
    .unwrap();
    let manifest = package.state.as_ref().unwrap();
    let library = package
        .path
        .join(&manifest.artifact.values().next().unwrap().path);
    let bare = DylibBackend::new(Prepared {
        path: library.clone(),
        origin: library,
    })
    .open(HostServices::new(0, |_, _| {}))
    .unwrap();

    let models: [(&str, Box<dyn Model>); 3] = [
        ("trait", Box::new(Ema(0.1, 0.0))),
        ("dylib", bare.create_model(&config, &[]).unwrap()),
        ("guarded", guarded.create_model(&config, &[]).unwrap()),
    ];
    let input = vec![0.5_f32; COLUMNS];
    let mut output = [0.0_f32];
    let mut group = criterion.benchmark_group("plugin_call");
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
