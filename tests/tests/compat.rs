//! Binaries of the first release work for ever: plugins that are compiled against a frozen copy of
//! the header of version 1.0 are loaded, conform and are used, and today's header is an append-only
//! successor of that copy.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]
#![expect(
    clippy::float_cmp,
    reason = "the answers are small whole numbers, which are exact"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fusebox_loader::generation::sha256_hex;
use fusebox_loader::{LoadOptions, LoadedPlugin, TrustPolicy, discover, find, load};
use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::env::{Actions, Autoreset, EnvReset, EnvSpec, EnvStep, Environment, Space};
use fusebox_plugin_api::error::{PluginError, Result, Status};
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{FitRequest, Metric, Model, NoProgress, Progress, Task};
use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};
use fusebox_plugin_api::testing::{self, Backend, Subject};
use fusebox_tests::fixtures::{
    build_dir, compile_against, include_dir, package, project_root, run,
};

/// SHA-256 of the frozen files. None of them ever changes: a plugin that was built then is out
/// there and cannot be built again. A new version gets a directory of its own.
const FROZEN: [(&str, &str); 5] = [
    (
        "fusebox_plugin.h",
        "b296515664f75b88cb506289e1695765f0d5d6d70d6ffbe7975d6cf3ce7e0ecc",
    ),
    (
        "shapes.rs",
        "67f3c0f7baea1de504ecf732106a29ba96b760fb3a4bf04ba60219cfb5b1f90a",
    ),
    (
        "everything.c",
        "7f4f2d131fc8e083257f47d70c658308245597e58d2753dd2c332d73921d9faf",
    ),
    (
        "mean.c",
        "0cb8848b2c64a55f576895b2eeec2ede5771a0b615c8430f8eb64b925866b182",
    ),
    (
        "ema.cpp",
        "c0e986f611718e3ddc2c17397b012d72218bc3a4903fb2192f361179504d6afc",
    ),
];

fn frozen_dir() -> PathBuf {
    project_root().join("tests/fixtures/frozen/v1.0")
}

#[test]
fn what_is_frozen_has_not_changed() {
    for (name, sha256) in FROZEN {
        let found = sha256_hex(&fs::read(frozen_dir().join(name)).unwrap());
        assert_eq!(found, sha256, "{name} of version 1.0 is frozen; restore it");
    }
}

// ---- the header ---------------------------------------------------------------------------------

/// A struct of a header: how C names it, and its fields as they are declared.
struct Struct {
    name: String,
    c_name: String,
    fields: Vec<(String, String)>,
}

fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut code = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    code + rest
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The name that a declaration gives: of a pointer to a function, else the last word.
fn declared_name(declaration: &str) -> String {
    let name = match declaration.split_once("(*") {
        Some((_, after)) => after.split(')').next().unwrap(),
        None => {
            let before_brackets = declaration.split('[').next().unwrap();
            before_brackets.rsplit([' ', '*']).next().unwrap()
        }
    };
    name.trim().to_owned()
}

/// Every struct with a body, in order. An opaque one has no fields to look at.
fn structs(header: &str) -> Vec<Struct> {
    let code = without_comments(header);
    let mut found = Vec::new();
    for part in code.split("struct ").skip(1) {
        let Some((name, body)) = part.split_once('{') else {
            continue;
        };
        let name = name.trim();
        let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if name.is_empty() || !is_name {
            continue;
        }
        // The body may name other structs, which `split` cut off; so it is taken from the text.
        let start = code.find(&format!("struct {name} {{")).unwrap();
        let body_and_rest = &code[start..];
        let (inside, after) = body_and_rest.split_once("\n}").unwrap();
        let inside = inside.split_once('{').unwrap().1;
        let is_typedef = !after.trim_start().starts_with(';');
        let fields = inside
            .split(';')
            .map(one_line)
            .filter(|line| !line.is_empty());
        found.push(Struct {
            name: name.to_owned(),
            c_name: if is_typedef {
                name.to_owned()
            } else {
                format!("struct {name}")
            },
            fields: fields.map(|line| (declared_name(&line), line)).collect(),
        });
        let _ = body;
    }
    found
}

/// The names of the numbers that a header defines.
fn constants(header: &str) -> Vec<String> {
    let code = without_comments(header);
    let lines = code
        .lines()
        .filter_map(|line| line.strip_prefix("#define "));
    lines
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, value)| {
            let value = value.trim().trim_start_matches("(-");
            !name.contains('(') && value.starts_with(|c: char| c.is_ascii_digit())
        })
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// What a program that is compiled against the header in `include` says about these names:
/// `struct`, `struct.field` (offset and size) and constants.
fn measured(include: &Path, structs: &[Struct], constants: &[String]) -> BTreeMap<String, String> {
    let mut program =
        String::from("#include <stdio.h>\n#include \"fusebox_plugin.h\"\nint main(void) {\n");
    for one in structs {
        let (name, c_name) = (&one.name, &one.c_name);
        writeln!(program, "printf(\"{name} %zu\\n\", sizeof({c_name}));").unwrap();
        for (field, _) in &one.fields {
            writeln!(
                program,
                "printf(\"{name}.{field} %zu+%zu\\n\", offsetof({c_name}, {field}), \
                 sizeof((({c_name} *)0)->{field}));"
            )
            .unwrap();
        }
    }
    for name in constants {
        writeln!(program, "printf(\"{name} %lld\\n\", (long long)({name}));").unwrap();
    }
    program.push_str("return 0;\n}\n");
    let dir = tempfile::tempdir().unwrap();
    let (source, binary) = (dir.path().join("measure.c"), dir.path().join("measure"));
    fs::write(&source, program).unwrap();
    let mut compiler = Command::new("gcc");
    compiler.args(["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-I"]);
    run(compiler.arg(include).arg(&source).arg("-o").arg(&binary));
    run(&mut Command::new(&binary))
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

struct Header {
    text: String,
    structs: Vec<Struct>,
    constants: Vec<String>,
    measured: BTreeMap<String, String>,
}

fn header(dir: &Path) -> Header {
    let text = fs::read_to_string(dir.join("fusebox_plugin.h")).unwrap();
    let (structs, constants) = (structs(&text), constants(&text));
    let measured = measured(dir, &structs, &constants);
    Header {
        text,
        structs,
        constants,
        measured,
    }
}

#[test]
fn the_parser_of_this_test_sees_the_whole_header() {
    let frozen = header(&frozen_dir());
    assert_eq!(frozen.structs.len(), 24);
    let fields: usize = frozen.structs.iter().map(|one| one.fields.len()).sum();
    assert_eq!(fields, 163);
    assert_eq!(frozen.constants.len(), 37);
    let model = frozen
        .structs
        .iter()
        .find(|one| one.name == "fb_model_vt")
        .unwrap();
    let names: Vec<&str> = model.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..4], ["size", "flags", "create", "info"]);
    assert_eq!(names[names.len() - 1], "get_extension");
}

#[test]
fn todays_header_only_appends() {
    let (frozen, today) = (header(&frozen_dir()), header(&include_dir()));
    let mut problems = Vec::new();
    for one in &frozen.structs {
        let name = &one.name;
        let Some(now) = today.structs.iter().find(|now| now.name == *name) else {
            problems.push(format!("{name} is gone"));
            continue;
        };
        for (position, (field, declaration)) in one.fields.iter().enumerate() {
            let key = format!("{name}.{field}");
            match now.fields.get(position) {
                Some((_, same)) if same == declaration => {}
                other => problems.push(format!("`{declaration}` of {name} is now {other:?}")),
            }
            if frozen.measured.get(&key) != today.measured.get(&key) {
                problems.push(format!("{key} lies elsewhere or has another size"));
            }
        }
        let size = |header: &Header| header.measured[name].parse::<usize>().unwrap();
        let is_sized = one.fields[0].0 == "size";
        if size(&today) < size(&frozen) || !is_sized && size(&today) != size(&frozen) {
            problems.push(format!(
                "{name} has another size, which nobody can see from outside"
            ));
        }
    }
    for name in frozen
        .constants
        .iter()
        .filter(|name| *name != "FB_ABI_MINOR")
    {
        if frozen.measured.get(name) != today.measured.get(name) {
            problems.push(format!("{name} has another value"));
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn every_field_is_frozen_by_an_assertion_in_c_and_in_rust() {
    let today = header(&include_dir());
    let rust = fs::read_to_string(project_root().join("plugin-api/src/frozen.rs")).unwrap();
    let (c, rust) = (one_line(&today.text), one_line(&rust));
    let mut missing = Vec::new();
    for Struct {
        name,
        c_name,
        fields,
    } in &today.structs
    {
        let size = &today.measured[name];
        if !c.contains(&format!("sizeof({c_name}) == {size}")) {
            missing.push(format!("the size of {name} in C"));
        }
        let start = rust.find(&format!("frozen!({name} is {size}:"));
        let line = start
            .and_then(|start| rust[start..].split(';').next())
            .unwrap_or_default();
        for (field, _) in fields {
            let offset = today.measured[&format!("{name}.{field}")]
                .split('+')
                .next()
                .unwrap();
            if !c.contains(&format!("FB_AT({c_name}, {field}, {offset})")) {
                missing.push(format!("{name}.{field} in C"));
            }
            let is_there = [",", ")", " )"]
                .iter()
                .any(|end| line.contains(&format!(" {field} {offset}{end}")));
            if !is_there {
                missing.push(format!("{name}.{field} in Rust"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

// ---- the plugins --------------------------------------------------------------------------------

/// Builds a frozen plugin against the frozen header alone, packages and loads it.
fn frozen_plugin(source: &str, kinds: &[&str]) -> LoadedPlugin {
    let work = tempfile::tempdir().unwrap();
    let out = work.path().join(source.replace('.', "-"));
    let library = compile_against(&frozen_dir(), &frozen_dir().join(source), &[], &out);
    package(work.path(), &library, kinds);
    let options = LoadOptions::new(build_dir().join("cache")).with_trust(TrustPolicy::trusting());
    let packages = discover(&[work.path().to_owned()]);
    let id = format!("com.example.frozen-{}", source.split('.').next().unwrap());
    let found = find(&packages, &id, None).unwrap();
    load(found, &options).unwrap_or_else(|error| panic!("{error}"))
}

struct Loaded(LoadedPlugin);

impl Backend for Loaded {
    fn create(&self, config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
        self.0.create_model(config, artifact)
    }

    fn has_factory(&self, id: &str) -> bool {
        self.0.has_factory(id)
    }
}

fn conforms(plugin: LoadedPlugin, config: &Config, artifact: &[u8]) {
    let id = plugin.id().to_owned();
    let backend = &Loaded(plugin);
    let subject = Subject {
        backend,
        config,
        artifact,
        columns: 2,
    };
    for case in testing::cases() {
        let outcome = (case.run)(&subject);
        assert_eq!(outcome, Ok(()), "{id}: {} ({})", case.name, case.about);
    }
}

fn everything() -> LoadedPlugin {
    frozen_plugin("everything.c", &[MODEL_ID])
}

fn predict(model: &mut dyn Model, input: &[f32], shape: FrameShape) -> Result<Vec<f32>> {
    let mut output = vec![0.0; shape.output_len().unwrap()];
    model.predict(&mut Frame::new(input, &mut output, shape)?)?;
    Ok(output)
}

#[test]
fn frozen_plugins_conform() {
    conforms(everything(), &Config::new().with("weight", 0.5), &[]);
    conforms(
        frozen_plugin("ema.cpp", &[MODEL_ID]),
        &Config::new().with("alpha", 0.5),
        &[],
    );
    let mean = frozen_plugin("mean.c", &[MODEL_ID, LEARNER_ID]);
    conforms(mean, &Config::new(), &2.5_f32.to_le_bytes());
}

#[test]
fn a_frozen_model_keeps_every_slot() {
    let plugin = everything();
    assert_eq!(plugin.version(), "1.0.0");
    let config = Config::new().with("weight", 2.0);
    let mut model = plugin.create_model(&config, &[]).unwrap();
    let info = model.info().unwrap();
    assert_eq!(info.features, ["a", "b"]);
    assert_eq!(info.outputs, ["q10", "q50", "q90"]);
    assert_eq!(
        info.task,
        Task::Quantiles {
            levels: vec![0.1, 0.5, 0.9]
        }
    );
    model.warmup().unwrap();
    let answers = predict(
        &mut *model,
        &[1.0, 2.0, 3.0, 4.0],
        FrameShape::dense(2, 2, 3),
    )
    .unwrap();
    assert_eq!(answers, [5.0, 6.0, 7.0, 19.0, 20.0, 21.0]);

    let state = model.snapshot().unwrap();
    assert_eq!((state.schema, state.bytes.len()), (7, 16));
    let artifact = model.save().unwrap();
    let mut copy = plugin.create_model(&Config::new(), &artifact).unwrap();
    copy.restore(&state).unwrap();
    let shape = FrameShape::dense(1, 2, 3);
    let answers = predict(&mut *copy, &[0.0, 1.0], shape).unwrap();
    assert_eq!(answers, [21.0, 22.0, 23.0]);
    model.quiesce(0).unwrap();
    let error = model.quiesce(1).unwrap_err();
    assert_eq!(error.status(), Status::Deadline);
    let words = "com.example.frozen-everything: the deadline passed";
    assert_eq!(error.message(), words);
}

#[test]
fn a_frozen_model_keeps_every_capability() {
    let plugin = everything();
    let mut model = plugin
        .create_model(&Config::new().with("weight", 2.0), &[])
        .unwrap();
    let explain = model.explain().unwrap();
    assert_eq!(explain.importance_kinds(), ["weight"]);
    assert_eq!(explain.importance("weight").unwrap(), [2.0, 2.0]);
    let error = explain.importance("gain").unwrap_err();
    assert_eq!(error.status(), Status::Unsupported);
    let mut output = [0.0; 9];
    let shape = FrameShape::dense(1, 2, 9);
    let mut frame = Frame::new(&[1.0, 3.0], &mut output, shape).unwrap();
    explain.contributions(&mut frame).unwrap();
    assert_eq!(output, [2.0, 6.0, -1.0, 2.0, 6.0, 0.0, 2.0, 6.0, 1.0]);
    assert_eq!(model.quantiles().unwrap().levels(), [0.1, 0.5, 0.9]);
    let onnx = model.onnx_export().unwrap().to_onnx(17).unwrap();
    assert_eq!(onnx, b"not really a ModelProto");
    let before = model.snapshot().unwrap().bytes;
    model
        .incremental()
        .unwrap()
        .update(&rows(&[1.0, 2.0]), &mut NoProgress)
        .unwrap();
    let after = model.snapshot().unwrap().bytes;
    assert_eq!(
        (before[8], after[8]),
        (0, 2),
        "the rows it learned are counted"
    );
}

#[test]
fn a_frozen_model_sees_the_whole_frame() {
    let config = Config::new().with("probe", true);
    let mut model = everything().create_model(&config, &[]).unwrap();
    let mut output = [0.0; 6];
    let mut frame = Frame::new(&[0.0; 4], &mut output, FrameShape::dense(2, 2, 3))
        .unwrap()
        .with_event_ns(1234)
        .with_deadline_ns(5678)
        .with_row_event_ns(&[100, 200])
        .unwrap()
        .with_symbols(&[3, 4])
        .unwrap();
    model.predict(&mut frame).unwrap();
    assert_eq!(output, [1234.0, 5678.0, 103.0, 1234.0, 5678.0, 204.0]);
}

fn rows(labels: &[f32]) -> Dataset {
    let schema = DatasetSchema {
        features: vec!["a".to_owned(), "b".to_owned()],
        labels: vec!["next".to_owned()],
        classes: Vec::new(),
    };
    let count = labels.len();
    let columns = BatchColumns {
        features: vec![1.0; 2 * count].into(),
        labels: labels.to_vec().into(),
        weight: vec![1.0; count].into(),
        event_ns: (0..count as i64).collect::<Vec<_>>().into(),
        label_end_ns: (0..count as i64).collect::<Vec<_>>().into(),
        symbol: vec![0; count].into(),
        segment: vec![0; count].into(),
        role: vec![1; count].into(),
    };
    let batch = DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

/// Remembers what it is told, and stops a fit where it should.
#[derive(Default)]
struct Listener {
    told: Vec<String>,
    checkpoint: Vec<u8>,
    stops: bool,
}

impl Progress for Listener {
    fn report(&mut self, step: u64, total: Option<u64>, metrics: &[Metric<'_>]) -> Result<()> {
        self.told.push(format!("{step}/{total:?} {metrics:?}"));
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        self.stops
    }

    fn checkpoint(&mut self, _: u64, bytes: &[u8]) -> Result<()> {
        self.checkpoint = bytes.to_vec();
        Ok(())
    }
}

struct Fit<'a> {
    labels: &'a [f32],
    config: Config,
    checkpoint: Option<&'a [u8]>,
    environment: Option<&'a mut dyn Environment>,
}

impl Fit<'_> {
    fn run(self, listener: &mut Listener) -> Result<f32> {
        let learner = frozen_plugin("mean.c", &[MODEL_ID, LEARNER_ID])
            .learner()
            .unwrap();
        let mut model = learner.fit(FitRequest {
            task: &Task::Regression,
            config: &self.config,
            train: &rows(self.labels),
            valid: Some(&rows(&[0.0])),
            environment: self.environment.map(|lent| lent as &mut dyn Environment),
            progress: listener,
            checkpoint: self.checkpoint,
            seed: 1,
            max_threads: 1,
        })?;
        Ok(predict(&mut *model, &[0.0, 0.0], FrameShape::dense(1, 2, 1))?[0])
    }
}

fn fit(labels: &[f32]) -> Fit<'_> {
    Fit {
        labels,
        config: Config::new(),
        checkpoint: None,
        environment: None,
    }
}

#[test]
fn a_frozen_learner_learns_reports_resumes_and_stops() {
    let learner = frozen_plugin("mean.c", &[MODEL_ID, LEARNER_ID])
        .learner()
        .unwrap();
    let described = learner.describe().unwrap();
    assert_eq!((described.name.as_str(), described.resumes), ("Mean", true));
    assert_eq!(described.params[0].name, "shift");

    let mut listener = Listener::default();
    assert_eq!(fit(&[1.0, 2.0, 6.0]).run(&mut listener).unwrap(), 3.0);
    assert_eq!(listener.told.len(), 1);
    assert!(
        listener.told[0].contains("rows_weight"),
        "{:?}",
        listener.told
    );
    let checkpoint = Some(listener.checkpoint.as_slice());
    let resumed = Fit {
        checkpoint,
        config: Config::new().with("shift", 1.0),
        ..fit(&[7.0])
    };
    assert_eq!(resumed.run(&mut Listener::default()).unwrap(), 5.0);

    let mut stopping = Listener {
        stops: true,
        ..Listener::default()
    };
    let error = fit(&[1.0]).run(&mut stopping).unwrap_err();
    assert_eq!(error.status(), Status::Cancelled);
    let error = fit(&[]).run(&mut Listener::default()).unwrap_err();
    assert_eq!(
        error.message(),
        "com.example.frozen-mean: there are no rows to learn from"
    );
}

/// Rewards each action with its number.
struct Choices(EnvSpec);

impl Environment for Choices {
    fn spec(&self) -> &EnvSpec {
        &self.0
    }

    fn reset(&mut self, reset: EnvReset<'_>) -> Result<()> {
        assert_eq!(reset.seeds, Some(&[1, 2][..]));
        reset.observations.fill(0.0);
        Ok(())
    }

    fn step(&mut self, step: EnvStep<'_>) -> Result<()> {
        let Actions::Discrete(actions) = step.actions else {
            return Err(PluginError::argument("the space is discrete"));
        };
        for (reward, action) in step.rewards.iter_mut().zip(actions) {
            *reward = *action as f32;
        }
        Ok(())
    }
}

#[test]
fn a_frozen_learner_plays_in_an_environment() {
    let mut environment = Choices(EnvSpec {
        environments: 2,
        observation: Space::Box {
            shape: vec![3],
            low: None,
            high: None,
        },
        action: Space::Discrete { count: 3, start: 4 },
        autoreset: Autoreset::NextStep,
        info_names: Vec::new(),
        action_mask: false,
        reward_range: (None, None),
        max_episode_steps: None,
    });
    let playing = Fit {
        environment: Some(&mut environment),
        ..fit(&[0.0])
    };
    assert_eq!(playing.run(&mut Listener::default()).unwrap(), 4.0);
}
