//! Hostile plugins in the host's own process.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::path::Path;

use fusebox_loader::{LoadError, LoadOptions, LoadedPlugin, TrustPolicy, discover, find, load};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::Model;
use fusebox_tests::fixtures::build_dir;
use fusebox_tests::hostile::{self, HOSTILE, RUST_HOSTILE, THROWS};

fn options() -> LoadOptions {
    LoadOptions::new(build_dir().join("cache")).with_trust(TrustPolicy::trusting())
}

fn load_from(dir: &Path, id: &str) -> Result<LoadedPlugin, LoadError> {
    let packages = discover(&[dir.to_owned()]);
    load(find(&packages, id, None)?, &options())
}

fn plugin(id: &str) -> LoadedPlugin {
    load_from(hostile::hostile_dir(), id).unwrap_or_else(|error| panic!("{error}"))
}

fn predict(model: &mut dyn Model, input: &[f32]) -> Result<Vec<f32>, PluginError> {
    let mut output = vec![0.0; input.len()];
    let shape = FrameShape::dense(input.len(), 1, 1);
    model.predict(&mut Frame::new(input, &mut output, shape)?)?;
    Ok(output)
}

#[test]
fn without_a_fault_they_echo() {
    for id in [HOSTILE, THROWS, RUST_HOSTILE] {
        let mut model = plugin(id).create_model(&Config::new(), &[]).unwrap();
        assert_eq!(predict(&mut *model, &[1.0, 2.5]).unwrap(), [1.0, 2.5]);
    }
}
