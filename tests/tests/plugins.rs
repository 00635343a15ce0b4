//! Plugins as an operator meets them: found in a directory, loaded, used, and refused.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fusebox_loader::manifest::MANIFEST_FILE;
use fusebox_loader::{LoadError, LoadOptions, LoadedPlugin, TrustPolicy, discover, find, load};
use fusebox_plugin_api::abi::MODEL_ID;
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{FitRequest, Model, NoProgress, Task};
use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};
use fusebox_plugin_api::testing::{self, Backend, Subject};
use fusebox_tests::fixtures::{build_dir, compile, package, package_unchecked, plugin_dir};

fn options() -> LoadOptions {
    LoadOptions::new(build_dir().join("cache")).with_trust(TrustPolicy::trusting())
}

fn load_from(dir: &Path, id: &str) -> Result<LoadedPlugin, LoadError> {
    let packages = discover(&[dir.to_owned()]);
    load(find(&packages, id, None)?, &options())
}

fn plugin(id: &str) -> LoadedPlugin {
    load_from(plugin_dir(), id).unwrap_or_else(|error| panic!("{error}"))
}

fn alpha() -> Config {
    Config::new().with("alpha", 0.5)
}

fn predict(model: &mut dyn Model, input: &[f32], outputs: usize) -> Result<Vec<f32>, PluginError> {
    let mut output = vec![0.0; input.len() * outputs];
    let shape = FrameShape::dense(input.len(), 1, outputs);
    model.predict(&mut Frame::new(input, &mut output, shape)?)?;
    Ok(output)
}

/// A loaded plugin without the guard's refusal of NaN, as the conformance cases want it.
struct Loaded(LoadedPlugin);

impl Backend for Loaded {
    fn create(&self, config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>, PluginError> {
        self.0.create_model(config, artifact)
    }

    fn has_factory(&self, id: &str) -> bool {
        self.0.has_factory(id)
    }
}

#[test]
fn every_fixture_is_listed_and_sound() {
    let found = discover(&[plugin_dir().to_owned()]);
    let listed: Vec<(&str, bool)> = found
        .iter()
        .map(|package| (package.id.as_str(), package.state.is_ok()))
        .collect();
    let expected = [
        ("com.example.bad-learner", true),
        ("com.example.ema-c", true),
        ("com.example.ema-cpp", true),
        ("com.example.ema-rust", true),
        ("com.example.panics", true),
        ("com.example.returns-nan", true),
        ("com.example.small-struct", true),
    ];
    assert_eq!(listed, expected);
}

#[test]
fn the_same_model_in_three_languages_answers_the_same() {
    for id in [
        "com.example.ema-rust",
        "com.example.ema-c",
        "com.example.ema-cpp",
    ] {
        let plugin = plugin(id);
        assert_eq!(plugin.digest().map(str::len), Some(64));
        let mut model = plugin.create_model(&alpha(), &[]).unwrap();
        assert_eq!(
            predict(&mut *model, &[1.0, 1.0, 3.0], 1).unwrap(),
            [0.5, 0.75, 1.875],
            "{id}"
        );
        let state = model.snapshot().unwrap();
        let mut other = plugin.create_model(&alpha(), &[]).unwrap();
        other.restore(&state).unwrap();
        assert_eq!(predict(&mut *other, &[1.875], 1).unwrap(), [1.875], "{id}");
        let error = plugin.create_model(&Config::new(), &[]).err().unwrap();
        assert_eq!(error.status(), Status::Config, "{id}");
        let words = format!("{id}: key `alpha` is missing; add it");
        assert_eq!(error.message(), words);
    }
}

#[test]
fn the_examples_conform() {
    let config = alpha();
    for id in [
        "com.example.ema-rust",
        "com.example.ema-c",
        "com.example.ema-cpp",
    ] {
        let backend = &Loaded(plugin(id));
        let subject = Subject {
            backend,
            config: &config,
            artifact: &[],
            columns: 3,
        };
        for case in testing::cases() {
            let outcome = (case.run)(&subject);
            // A state of NaN is what an average of NaN is; the guard reports it ever after.
            let is_average_of_nan = case.name == "predict-nan-inf-denormal"
                && outcome
                    .as_ref()
                    .is_err_and(|problem| problem.contains("answered NaN"));
            let problem = if is_average_of_nan {
                None
            } else {
                outcome.err()
            };
            assert_eq!(problem, None, "{id}: {} ({})", case.name, case.about);
        }
    }
}

#[test]
fn an_answer_of_nan_names_plugin_row_and_column() {
    let mut model = plugin("com.example.returns-nan")
        .create_model(&Config::new(), &[])
        .unwrap();
    let error = predict(&mut *model, &[0.0; 3], 2).unwrap_err();
    assert_eq!(error.status(), Status::Data);
    let expected = "com.example.returns-nan: answered NaN in row 1, column 1 (`p_up`)";
    assert!(error.message().starts_with(expected), "{error}");
    assert_eq!(predict(&mut *model, &[0.0], 2).unwrap(), [0.25, 0.75]);
}

#[test]
fn a_panic_is_an_error_and_the_host_lives() {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&log);
    let mut options = options();
    options.log = Some(Arc::new(move |_, message: &str| {
        seen.lock().unwrap().push(message.into())
    }));
    let packages = discover(&[plugin_dir().to_owned()]);
    let plugin = load(
        find(&packages, "com.example.panics", None).unwrap(),
        &options,
    )
    .unwrap();
    let place = |place: &str| Config::new().with("place", place);

    let error = plugin.create_model(&place("create"), &[]).err().unwrap();
    assert_eq!(error.status(), Status::Panic);
    assert!(
        error
            .message()
            .contains("this model always panics in create"),
        "{error}"
    );

    let mut model = plugin.create_model(&place("predict"), &[]).unwrap();
    let error = predict(&mut *model, &[0.0], 1).unwrap_err();
    assert!(error.message().contains("panicked in predict"), "{error}");
    assert_eq!(
        predict(&mut *model, &[0.0], 1).unwrap_err().status(),
        Status::State
    );

    let train = one_row();
    let fit = |config: &Config| {
        plugin.learner().unwrap().fit(FitRequest {
            task: &Task::Regression,
            config,
            train: &train,
            valid: None,
            environment: None,
            progress: &mut NoProgress,
            checkpoint: None,
            seed: 1,
            max_threads: 1,
        })
    };
    let error = fit(&place("fit")).err().unwrap();
    assert!(
        error
            .message()
            .contains("this learner always panics in fit"),
        "{error}"
    );
    let mut model = fit(&place("nowhere")).unwrap();
    assert_eq!(predict(&mut *model, &[0.0], 1).unwrap(), [1.0]);
    let log = log.lock().unwrap().join("\n");
    for words in [
        "panics in create",
        "panics in predict",
        "panics in fit",
        "src/lib.rs:",
    ] {
        assert!(
            log.contains(words),
            "{words} is not in the host's log: {log}"
        );
    }
}

fn one_row() -> Dataset {
    let schema = DatasetSchema {
        features: vec!["a".to_owned()],
        labels: vec!["b".to_owned()],
        classes: Vec::new(),
    };
    let columns = BatchColumns {
        features: vec![1.0].into(),
        labels: vec![1.0].into(),
        weight: vec![1.0].into(),
        event_ns: vec![1].into(),
        label_end_ns: vec![1].into(),
        symbol: vec![0].into(),
        segment: vec![0].into(),
        role: vec![1].into(),
    };
    let batch = DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

#[test]
fn an_older_table_works_with_what_it_has() {
    let mut model = plugin("com.example.small-struct")
        .create_model(&Config::new(), &[])
        .unwrap();
    assert_eq!(predict(&mut *model, &[1.0, 2.0], 1).unwrap(), [2.0, 4.0]);
    assert!(
        model.explain().is_none(),
        "the garbage behind the table is not called"
    );
    assert!(model.save().unwrap().is_empty());
    model.quiesce(0).unwrap();
}

#[test]
fn another_major_version_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let id = "com.example.wrong-abi";
    let library = compile("wrong-abi/wrong_abi.c", &[], root.path());
    package_unchecked(root.path(), &library, id, "1.0.0");
    let error = load_from(root.path(), id).unwrap_err();
    assert!(matches!(error, LoadError::WrongAbi { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("exports `fusebox_plugin_entry_v2`"), "{text}");
    assert!(text.contains("needs `fusebox_plugin_entry_v1`"), "{text}");

    let library = compile("wrong-abi/wrong_abi.c", &["-DSTATES_MAJOR_2"], root.path());
    package_unchecked(root.path(), &library, id, "1.0.0");
    let text = load_from(root.path(), id).unwrap_err().to_string();
    assert!(
        text.contains("its entry states contract version 2"),
        "{text}"
    );
}

#[test]
fn a_replaced_package_gives_the_new_code() {
    let root = tempfile::tempdir().unwrap();
    let answer = |bias: &str| {
        let flag = format!("-DEMA_BIAS={bias}f");
        let library = compile("ema-c/ema.c", &[&flag], root.path());
        // The same path every time, as a build would write it.
        let fixed = root.path().join("libema.so");
        fs::rename(library, &fixed).unwrap();
        package(root.path(), &fixed, &[MODEL_ID]);
        let plugin = load_from(root.path(), "com.example.ema-c").unwrap();
        let mut model = plugin.create_model(&alpha(), &[]).unwrap();
        let answer = predict(&mut *model, &[0.0], 1).unwrap();
        (answer, plugin.generation(), model)
    };
    let (first, first_generation, mut first_model) = answer("1.0");
    let (second, second_generation, _) = answer("2.0");
    assert_eq!((first, second), (vec![1.0], vec![2.0]));
    assert!(second_generation > first_generation);
    assert_eq!(
        predict(&mut *first_model, &[0.0], 1).unwrap(),
        [1.0],
        "the old one is as it was"
    );
}

#[test]
fn a_changed_or_cut_off_library_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let library = compile("ema-c/ema.c", &[], root.path());
    let path = package(root.path(), &library, &[MODEL_ID]);
    let bytes = fs::read(&library).unwrap();
    let installed = installed_library(&path);
    fs::write(&installed, &bytes[..bytes.len() / 2]).unwrap();
    let error = load_from(root.path(), "com.example.ema-c").unwrap_err();
    assert!(matches!(error, LoadError::Digest { .. }), "{error}");

    for len in [0, 10, 64, 500, bytes.len() / 2] {
        let cut = root.path().join("cut.so");
        fs::write(&cut, &bytes[..len]).unwrap();
        package_unchecked(&root.path().join("cut"), &cut, "com.example.ema-c", "1.0.0");
        let error = load_from(&root.path().join("cut"), "com.example.ema-c").unwrap_err();
        let is_clear = matches!(
            error,
            LoadError::NotALibrary { .. } | LoadError::NoEntry { .. }
        );
        assert!(is_clear, "{len}: {error}");
    }
}

fn installed_library(package: &Path) -> PathBuf {
    let target = package.join(fusebox_loader::manifest::host_target());
    fs::read_dir(target)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
}

#[test]
fn a_half_written_package_is_passed_over_and_a_broken_one_says_why() {
    let root = tempfile::tempdir().unwrap();
    let library = compile("ema-c/ema.c", &[], root.path());
    let path = package(root.path(), &library, &[MODEL_ID]);
    let manifest = path.join(MANIFEST_FILE);
    let text = fs::read_to_string(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    assert!(discover(&[root.path().to_owned()]).is_empty());
    fs::write(&manifest, text.replace("abi =", "aib =")).unwrap();
    let error = load_from(root.path(), "com.example.ema-c")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("unknown key `aib`; did you mean `abi`?"),
        "{error}"
    );
    assert!(error.contains("key `abi` is missing"), "{error}");
}

#[test]
fn a_manifest_that_contradicts_the_library_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let library = compile("ema-c/ema.c", &[], root.path());
    package_unchecked(root.path(), &library, "com.example.other", "1.0.0");
    let text = load_from(root.path(), "com.example.other")
        .unwrap_err()
        .to_string();
    let expected = "id is `com.example.ema-c` in the note, but `com.example.other` in plugin.toml";
    assert!(text.contains(expected), "{text}");
    package(root.path(), &library, &["fb.model/1", "fb.learner/1"]);
    let text = load_from(root.path(), "com.example.ema-c")
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("kind is `without a learner` in the entry"),
        "{text}"
    );
}

#[test]
fn a_committed_package_is_not_replaced_unasked() {
    let root = tempfile::tempdir().unwrap();
    let library = compile("ema-c/ema.c", &[], root.path());
    let spec = fusebox_loader::PackageSpec::new(&library);
    let first = fusebox_loader::write_package(root.path(), &spec).unwrap();
    assert_eq!(
        fusebox_loader::write_package(root.path(), &spec).unwrap(),
        first
    );
    let other = compile("ema-c/ema.c", &["-DEMA_BIAS=3.0f"], root.path());
    let spec = fusebox_loader::PackageSpec::new(&other);
    let error = fusebox_loader::write_package(root.path(), &spec)
        .unwrap_err()
        .to_string();
    assert!(error.contains("holds another package already"), "{error}");
}

#[test]
fn a_missing_plugin_names_what_is_there() {
    let error = load_from(plugin_dir(), "com.example.ema-rst")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("did you mean `com.example.ema-rust`?"),
        "{error}"
    );
    assert!(error.contains("com.example.panics 1.0.0"), "{error}");
}
