//! The worker tier: the same plugins, in child processes, with the same answers; and what a plugin
//! can do there that would end a host.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests fail the test that calls them; one test measures time"
)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fusebox_loader::backend::Prepared;
use fusebox_loader::backend::worker::{ProbeError, ProbeFacts, RestartPolicy, probe};
use fusebox_loader::{Clock, LoadedPlugin, SystemClock, WorkerOptions};
use fusebox_plugin_api::abi::MODEL_ID;
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::env::{Actions, Autoreset, EnvReset, EnvSpec, EnvStep, Environment, Space};
use fusebox_plugin_api::error::{PluginError, Result, Status};
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{FitRequest, Metric, Model, NoProgress, Progress, Snapshot, Task};
use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};
use fusebox_plugin_api::testing::{self, Backend, Subject};
use fusebox_tests::fixtures::{compile_against, include_dir, package, plugin_dir};
use fusebox_tests::hostile::{self, HOSTILE, THROWS, fault};
use fusebox_tests::workers::{
    TRAINER, load_in_process, load_in_worker, pids_of, predict, trainer_dir, worker_options,
};

fn plugin(dir: &Path, id: &str) -> LoadedPlugin {
    plugin_with(dir, id, worker_options())
}

fn plugin_with(dir: &Path, id: &str, options: WorkerOptions) -> LoadedPlugin {
    load_in_worker(dir, id, options).unwrap_or_else(|error| panic!("{error}"))
}

fn alpha() -> Config {
    Config::new().with("alpha", 0.5)
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

#[test]
fn the_examples_conform_in_a_worker() {
    let config = alpha();
    for id in [
        "com.example.ema-rust",
        "com.example.ema-c",
        "com.example.ema-cpp",
    ] {
        let backend = &Loaded(plugin(plugin_dir(), id));
        let subject = Subject {
            backend,
            config: &config,
            artifact: &[],
            columns: 3,
        };
        for case in testing::cases() {
            // A thousand processes in one language tell as much as three thousand in three.
            if case.name == "create-destroy-1000" && id != "com.example.ema-c" {
                continue;
            }
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

fn dataset(labels: &[f32]) -> Dataset {
    let schema = DatasetSchema {
        features: vec!["a".to_owned(), "b".to_owned()],
        labels: vec!["next".to_owned()],
        classes: Vec::new(),
    };
    let rows = labels.len();
    let columns = BatchColumns {
        features: vec![0.5; 2 * rows].into(),
        labels: labels.to_vec().into(),
        weight: vec![1.0; rows].into(),
        event_ns: vec![1; rows].into(),
        label_end_ns: vec![2; rows].into(),
        symbol: vec![0; rows].into(),
        segment: vec![0; rows].into(),
        role: vec![1; rows].into(),
    };
    let batch = DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch.clone(), batch]).unwrap()
}

#[derive(Default, Debug, PartialEq)]
struct Recorder {
    seen: Vec<(u64, Option<u64>, String, u64)>,
    checkpoints: Vec<(u64, Vec<u8>)>,
    cancel_at: Option<u64>,
    panic_at: Option<u64>,
    is_cancelled: bool,
}

impl Progress for Recorder {
    fn report(&mut self, step: u64, total: Option<u64>, metrics: &[Metric<'_>]) -> Result<()> {
        assert_ne!(self.panic_at, Some(step), "the host panics");
        for metric in metrics {
            let (name, bits) = (metric.name.to_owned(), metric.value.to_bits());
            self.seen.push((step, total, name, bits));
        }
        match self.cancel_at {
            Some(at) if at == step => Err(PluginError::cancelled()),
            _ => Ok(()),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    fn checkpoint(&mut self, step: u64, bytes: &[u8]) -> Result<()> {
        self.checkpoints.push((step, bytes.to_vec()));
        Ok(())
    }
}

struct Corridor(EnvSpec);

impl Environment for Corridor {
    fn spec(&self) -> &EnvSpec {
        &self.0
    }

    fn reset(&mut self, reset: EnvReset<'_>) -> Result<()> {
        let seeds = reset.seeds.unwrap();
        assert_eq!(seeds[1], u64::MAX);
        for (row, is_reset) in reset.observations.chunks_mut(2).zip(reset.mask.unwrap()) {
            if *is_reset == 1 {
                row.fill(seeds[0] as f32);
            }
        }
        reset.action_mask.into_iter().for_each(|mask| mask.fill(1));
        Ok(())
    }

    fn step(&mut self, step: EnvStep<'_>) -> Result<()> {
        let Actions::Discrete(actions) = step.actions else {
            panic!("the space is discrete")
        };
        if let Some(action) = actions.iter().find(|action| **action > 2) {
            return Err(PluginError::argument(format!(
                "there is no action {action}"
            )));
        }
        for (reward, action) in step.rewards.iter_mut().zip(actions) {
            *reward = *action as f32;
        }
        step.terminated.copy_from_slice(&[1, 0]);
        step.truncated.copy_from_slice(&[0, 1]);
        step.infos.into_iter().for_each(|infos| infos.fill(0.5));
        Ok(())
    }
}

fn corridor() -> Corridor {
    Corridor(EnvSpec {
        environments: 2,
        observation: Space::Box {
            shape: vec![2],
            low: Some(vec![f32::NEG_INFINITY; 2]),
            high: None,
        },
        action: Space::Discrete { count: 3, start: 0 },
        autoreset: Autoreset::NextStep,
        info_names: vec!["equity".to_owned()],
        action_mask: true,
        reward_range: (Some(0.0), Some(f64::INFINITY)),
        max_episode_steps: Some(7),
    })
}

fn request<'a>(
    train: &'a Dataset,
    config: &'a Config,
    progress: &'a mut dyn Progress,
) -> FitRequest<'a> {
    FitRequest {
        task: &Task::Regression,
        config,
        train,
        valid: None,
        environment: None,
        progress,
        checkpoint: None,
        seed: 7,
        max_threads: 3,
    }
}

/// Everything that can be asked of a model, as text, so that two tiers can be compared.
fn everything_of(model: &mut dyn Model) -> Vec<String> {
    let mut told = vec![format!("{:?}", model.info())];
    model.warmup().unwrap();
    let input: Vec<f32> = (0..40).map(|value| value as f32 * 0.3).collect();
    let times: Vec<i64> = (0..5).map(|row| row * 1_000).collect();
    let mut output = vec![-1.0; 15];
    let shape = FrameShape {
        window: 1,
        row_stride: 7,
        step_stride: 3,
        output_stride: 3,
        ..FrameShape::dense(5, 2, 1)
    };
    let frame = Frame::new(&input, &mut output, shape).unwrap();
    let frame = frame
        .with_row_event_ns(&times)
        .unwrap()
        .with_symbols(&[1, 2, 3, 4, 5])
        .unwrap();
    told.push(format!("{:?}", model.predict(&mut frame.with_event_ns(12))));
    told.push(format!("{output:?}"));
    let mut answers = vec![0.0; 6];
    let shape = FrameShape::dense(2, 2, 3);
    let mut frame = Frame::new(&input, &mut answers, shape).unwrap();
    let explain = model.explain().unwrap();
    told.push(format!("{:?}", explain.importance_kinds()));
    told.push(format!(
        "{:?} {:?}",
        explain.importance("gain"),
        explain.importance("cover")
    ));
    told.push(format!("{:?}", explain.contributions(&mut frame)));
    told.push(format!("{answers:?}"));
    let levels = model.quantiles().unwrap().levels();
    told.push(format!(
        "{:?}",
        levels
            .iter()
            .map(|level| level.to_bits())
            .collect::<Vec<_>>()
    ));
    told.push(format!(
        "{:?}",
        model
            .onnx_export()
            .unwrap()
            .to_onnx(17)
            .map(|bytes| bytes.len())
    ));
    changed(model, &mut told);
    told
}

/// The weight of a model of the fixture, from its artifact.
fn learned_weight(model: &dyn Model) -> f32 {
    let saved = model.save().unwrap();
    f32::from_le_bytes(saved.as_slice().try_into().unwrap())
}

/// What becomes of a model that learns, takes over states, and rests.
fn changed(model: &mut dyn Model, told: &mut Vec<String>) {
    let mut recorder = Recorder::default();
    let rows = dataset(&[0.0; 5]);
    told.push(format!(
        "{:?}",
        model.incremental().unwrap().update(&rows, &mut recorder)
    ));
    told.push(format!("{recorder:?}"));
    told.push(format!("{:?}", model.info()));
    let notes = model.info().unwrap().notes;
    let thousandths = (learned_weight(model) * 1_000.0).round() as i64;
    assert_eq!(notes["weight_thousandths"], thousandths);
    told.push(format!("{:?} {:?}", model.save(), model.snapshot()));
    told.push(format!("{:?}", model.restore(&Snapshot::new(4, [0; 8]))));
    told.push(format!("{:?}", model.restore(&Snapshot::new(3, [0; 3]))));
    told.push(format!(
        "{:?}",
        model.restore(&Snapshot::new(3, 5.0_f64.to_le_bytes()))
    ));
    let mut output = [0.0];
    let mut frame = Frame::new(&[1.0, 0.0], &mut output, FrameShape::dense(1, 2, 1)).unwrap();
    told.push(format!(
        "{:?} {}",
        model.predict(&mut frame),
        frame.output_row(0)[0]
    ));
    let mut frame = Frame::new(&[13.0, 0.0], &mut output, FrameShape::dense(1, 2, 1)).unwrap();
    told.push(format!("{:?}", model.predict(&mut frame)));
    told.push(format!("{:?} {:?}", model.quiesce(1), model.quiesce(0)));
}

#[test]
fn everything_a_plugin_offers_is_the_same_in_a_worker() {
    let (near, far) = (
        load_in_process(trainer_dir(), TRAINER),
        plugin(trainer_dir(), TRAINER),
    );
    assert_eq!((near.id(), near.version()), (far.id(), far.version()));
    assert_eq!(near.capabilities(), far.capabilities());
    let config = Config::new().with("weight", 0.1);
    let made =
        |plugin: &LoadedPlugin| everything_of(&mut *plugin.create_model(&config, &[]).unwrap());
    assert_eq!(made(&near), made(&far));

    let fitted = |plugin: &LoadedPlugin| {
        let learner = plugin.learner().unwrap();
        let (train, valid) = (dataset(&[1.0, 3.0]), dataset(&[0.0; 4]));
        let mut recorder = Recorder::default();
        let config = Config::new().with("steps", 2);
        let mut model = learner
            .fit(FitRequest {
                valid: Some(&valid),
                ..request(&train, &config, &mut recorder)
            })
            .unwrap();
        let described = format!("{:?}", learner.describe());
        (described, recorder, everything_of(&mut *model))
    };
    assert_eq!(fitted(&near), fitted(&far));
}

#[test]
fn a_fit_can_be_cancelled_and_hears_what_its_host_says() {
    let learner = plugin(trainer_dir(), TRAINER).learner().unwrap();
    let (train, config) = (dataset(&[1.0]), Config::new());
    let mut recorder = Recorder {
        cancel_at: Some(2),
        ..Recorder::default()
    };
    let error = learner
        .fit(request(&train, &config, &mut recorder))
        .err()
        .unwrap();
    assert_eq!(error.status(), Status::Cancelled);
    assert_eq!(recorder.checkpoints, [(1, vec![1])]);

    let polling = Config::new().with("polls", true).with("steps", 0);
    let mut recorder = Recorder {
        is_cancelled: true,
        ..Recorder::default()
    };
    let error = learner
        .fit(request(&train, &polling, &mut recorder))
        .err()
        .unwrap();
    assert_eq!(error.status(), Status::Cancelled);

    let mut recorder = Recorder {
        panic_at: Some(1),
        ..Recorder::default()
    };
    let error = learner
        .fit(request(&train, &config, &mut recorder))
        .err()
        .unwrap();
    assert_eq!(error.status(), Status::Panic);

    let wrong = Config::new().with("stps", 2);
    let error = learner
        .fit(request(&train, &wrong, &mut NoProgress))
        .err()
        .unwrap();
    assert!(
        error
            .message()
            .starts_with("com.example.trainer: unknown key `stps`"),
        "{error}"
    );
}

#[test]
fn a_fit_can_be_resumed_be_lent_an_environment_and_die() {
    let learner = plugin(trainer_dir(), TRAINER).learner().unwrap();
    let (train, config) = (dataset(&[1.0]), Config::new());
    let answer = |model: &mut dyn Model| {
        let mut output = [0.0];
        let shape = FrameShape::dense(1, 2, 1);
        model
            .predict(&mut Frame::new(&[1.0, 0.0], &mut output, shape).unwrap())
            .unwrap();
        output[0]
    };
    let mut nobody = NoProgress;
    let resumed = FitRequest {
        checkpoint: Some(&[42]),
        ..request(&train, &config, &mut nobody)
    };
    assert_eq!(
        answer(&mut *learner.fit(resumed).unwrap()).to_bits(),
        42.0_f32.to_bits()
    );

    let mut corridor = corridor();
    let mut nobody = NoProgress;
    let playing = FitRequest {
        environment: Some(&mut corridor),
        ..request(&train, &config, &mut nobody)
    };
    assert_eq!(
        answer(&mut *learner.fit(playing).unwrap()).to_bits(),
        12.0_f32.to_bits()
    );

    let dying = Config::new().with("dies", true);
    let error = learner
        .fit(request(&train, &dying, &mut NoProgress))
        .err()
        .unwrap();
    assert_eq!(error.status(), Status::Crashed);
    let words = "was ended by signal 6 (SIGABRT, abort) during `fit`";
    assert!(error.message().contains(words), "{error}");
    assert!(
        learner.describe().is_ok(),
        "the next question gets a new process"
    );
}

#[test]
fn frames_larger_than_the_ring_go_in_pieces_and_a_row_that_is_too_large_says_so() {
    let options = WorkerOptions {
        ring_bytes: 256,
        ..worker_options()
    };
    let far = plugin_with(trainer_dir(), TRAINER, options.clone());
    let near = load_in_process(trainer_dir(), TRAINER);
    let input: Vec<f32> = (0..2_000).map(|value| (value % 7) as f32).collect();
    let answers = |plugin: &LoadedPlugin| {
        let mut model = plugin.create_model(&Config::new(), &[]).unwrap();
        let mut output = vec![0.0; 1_000];
        let shape = FrameShape::dense(1_000, 2, 1);
        model
            .predict(&mut Frame::new(&input, &mut output, shape).unwrap())
            .unwrap();
        output
    };
    assert_eq!(answers(&far), answers(&near));

    // Without state, two pieces are on their way at once.
    let echo = plugin_with(hostile::hostile_dir(), HOSTILE, options);
    let mut model = echo.create_model(&Config::new(), &[]).unwrap();
    let input: Vec<f32> = (0..5_000).map(|value| value as f32).collect();
    assert_eq!(predict(&mut *model, &input).unwrap(), input);

    let shape = FrameShape::dense(1, 64, 1);
    let mut output = [0.0];
    let mut frame = Frame::new(&[0.0; 64], &mut output, shape).unwrap();
    let error = model.predict(&mut frame).unwrap_err();
    assert_eq!(error.status(), Status::Argument);
    assert!(error.message().contains("raise `ring_bytes`"), "{error}");
    assert_eq!(predict(&mut *model, &[5.0]).unwrap(), [5.0]);
}

/// A restart policy that does not give up within a test.
fn stubborn() -> WorkerOptions {
    WorkerOptions {
        restart: RestartPolicy {
            least_ms: 1,
            most_ms: 50,
            most_deaths: 1_000,
            ..RestartPolicy::default()
        },
        ..worker_options()
    }
}

/// Predicts until it works again.
fn recover(model: &mut dyn Model, input: f32) -> f32 {
    for _ in 0..2_000 {
        match predict(model, &[input]) {
            Ok(output) => return output[0],
            Err(error) => assert_eq!(error.status(), Status::Crashed, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the model does not come back");
}

#[test]
fn whatever_a_plugin_does_to_its_process_costs_that_process_only() {
    let mut bystander = plugin(plugin_dir(), "com.example.ema-c")
        .create_model(&alpha(), &[])
        .unwrap();
    let mut average = 0.0_f32;
    let options = |predict_timeout_ms| WorkerOptions {
        predict_timeout_ms,
        memory_mb: 512,
        control_timeout_ms: 20_000,
        ..stubborn()
    };
    let hostile = plugin_with(hostile::hostile_dir(), HOSTILE, options(2_000));
    // Filling the memory that it may have takes its time on a busy machine.
    let patient = plugin_with(hostile::hostile_dir(), HOSTILE, options(60_000));
    let throws = plugin_with(hostile::hostile_dir(), THROWS, options(2_000));
    let timeout = "was killed because it did not come back in time";
    let cases = [
        ("segfault", "was ended by signal 11 (SIGSEGV"),
        ("abort", "was ended by signal 6 (SIGABRT, abort)"),
        ("exit", "ended by itself with exit code 0"),
        ("deadlock", timeout),
        ("spin", timeout),
        ("alloc-10gb", "was ended by signal 11 (SIGSEGV"),
        ("stack-overflow", "was ended by signal"),
        ("raise-sigkill", "was ended by signal 9"),
        ("throw", "was ended by signal 6 (SIGABRT, abort)"),
    ];
    for (what, how) in cases {
        let culprit = match what {
            "throw" => &throws,
            "alloc-10gb" => &patient,
            _ => &hostile,
        };
        let config = fault(what, "predict").with("after", 1);
        let mut model = culprit.create_model(&config, &[]).unwrap();
        if what != "throw" {
            assert_eq!(predict(&mut *model, &[1.5]).unwrap(), [1.5]);
        }
        let error = predict(&mut *model, &[2.5]).unwrap_err();
        assert_eq!(error.status(), Status::Crashed, "{what}: {error}");
        let message = error.message();
        assert!(message.starts_with(culprit.id()), "{what}: {message}");
        assert!(message.contains(how), "{what}: {message}");
        assert!(message.contains("during `predict`"), "{what}: {message}");
        // Its successor strikes one row later again.
        if what != "throw" {
            assert_eq!(
                recover(&mut *model, 3.5).to_bits(),
                3.5_f32.to_bits(),
                "{what}"
            );
        }
        average += 0.5 * (1.0 - average);
        assert_eq!(
            predict(&mut *bystander, &[1.0]).unwrap(),
            [average],
            "{what}"
        );
    }
    for what in ["segfault", "exit", "abort"] {
        let error = hostile
            .create_model(&fault(what, "create"), &[])
            .err()
            .unwrap();
        assert_eq!(error.status(), Status::Crashed, "{what}");
        assert!(error.message().contains("during `create`"), "{error}");
    }
    let mut model = hostile
        .create_model(&fault("segfault", "save"), &[])
        .unwrap();
    assert_eq!(model.save().unwrap_err().status(), Status::Crashed);
    recover(&mut *model, 1.0);
}

#[test]
fn damage_that_is_no_death_is_contained_or_told() {
    let hostile = plugin_with(hostile::hostile_dir(), HOSTILE, stubborn());
    let make = |what: &str, at: &str| hostile.create_model(&fault(what, at), &[]).unwrap();

    // The ring needs no descriptors; the next question on the socket finds out.
    let mut model = make("close-fds", "predict");
    assert_eq!(predict(&mut *model, &[1.0]).unwrap(), [1.0]);
    let error = model.save().unwrap_err();
    assert_eq!(error.status(), Status::Crashed, "{error}");
    assert_eq!(recover(&mut *model, 2.0).to_bits(), 2.0_f32.to_bits());

    let mut model = make("write-past-output", "predict");
    let error = predict(&mut *model, &[1.0]).unwrap_err();
    assert!(
        error.message().contains("wrote outside of its answers"),
        "{error}"
    );
    let error = predict(&mut *make("write-before-output", "predict"), &[1.0]).unwrap_err();
    assert!(
        error.message().contains("wrote outside of its answers"),
        "{error}"
    );
    for what in ["nan", "inf", "ok-without-writing"] {
        let error = predict(&mut *make(what, "predict"), &[1.0]).unwrap_err();
        assert_eq!(error.status(), Status::Data, "{what}: {error}");
    }

    let mut model = make("thread-outlives", "predict");
    assert_eq!(predict(&mut *model, &[1.0]).unwrap(), [1.0]);
    model.quiesce(0).unwrap();
    let mut model = make("bad-error-length", "predict");
    assert!(predict(&mut *model, &[1.0]).is_err());
    drop(make("deadlock", "destroy"));
}

#[test]
fn a_late_answer_is_an_error_and_never_anybody_elses_answer() {
    let options = WorkerOptions {
        grace_ms: 60_000,
        ..stubborn()
    };
    let hostile = plugin_with(hostile::hostile_dir(), HOSTILE, options);
    let config = fault("sleep", "predict").with("after", 1).with("ms", 300);
    let mut model = hostile.create_model(&config, &[]).unwrap();
    let mut ask = |value: f32, within_ms: u64| {
        let mut output = [0.0];
        let deadline = SystemClock.now_ns() + within_ms * 1_000_000;
        let frame = Frame::new(
            std::slice::from_ref(&value),
            &mut output,
            FrameShape::dense(1, 1, 1),
        );
        let answer = model.predict(&mut frame.unwrap().with_deadline_ns(deadline));
        answer.map(|()| output[0].to_bits())
    };
    assert_eq!(ask(1.0, 20_000).unwrap(), 1.0_f32.to_bits());
    // `sleep` strikes in every call from the second on.
    let error = ask(2.0, 20).unwrap_err();
    assert_eq!(error.status(), Status::Deadline, "{error}");
    assert_eq!(ask(3.0, 20_000).unwrap(), 3.0_f32.to_bits());
    for value in 4..8 {
        let error = ask(value as f32, 1).unwrap_err();
        assert_eq!(error.status(), Status::Deadline, "{error}");
    }
    assert_eq!(ask(9.0, 20_000).unwrap(), 9.0_f32.to_bits());
}

#[test]
fn a_worker_that_misses_its_deadline_for_good_is_replaced() {
    let options = WorkerOptions {
        grace_ms: 100,
        ..stubborn()
    };
    let hostile = plugin_with(hostile::hostile_dir(), HOSTILE, options);
    let config = fault("spin", "predict").with("after", 1);
    let mut model = hostile.create_model(&config, &[]).unwrap();
    assert_eq!(predict(&mut *model, &[1.0]).unwrap(), [1.0]);
    let mut output = [0.0];
    let deadline = SystemClock.now_ns() + 10_000_000;
    let frame = Frame::new(&[2.0], &mut output, FrameShape::dense(1, 1, 1)).unwrap();
    let error = model
        .predict(&mut frame.with_deadline_ns(deadline))
        .unwrap_err();
    assert_eq!(error.status(), Status::Deadline);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(recover(&mut *model, 3.0).to_bits(), 3.0_f32.to_bits());
}

fn sum(model: &mut dyn Model, value: f32) -> Result<f32> {
    let mut output = [0.0];
    let shape = FrameShape::dense(1, 2, 1);
    model.predict(&mut Frame::new(&[value, 0.0], &mut output, shape)?)?;
    Ok(output[0])
}

#[test]
fn a_row_that_kills_every_worker_is_dropped_and_the_state_goes_on() {
    let options = WorkerOptions {
        snapshot_rows: 8,
        history_rows: 16,
        ..stubborn()
    };
    let plugin = plugin_with(trainer_dir(), TRAINER, options);
    let mut model = plugin.create_model(&Config::new(), &[]).unwrap();
    let mut total = 0.0;
    for value in 21..=39 {
        total += value as f32;
        assert_eq!(
            sum(&mut *model, value as f32).unwrap().to_bits(),
            total.to_bits()
        );
    }
    let error = sum(&mut *model, 666.0).unwrap_err();
    assert_eq!(error.status(), Status::Crashed, "{error}");
    for _ in 0..2_000 {
        // Rows that are refused meanwhile belong to the history, too.
        total += 1.0;
        match sum(&mut *model, 1.0) {
            Ok(found) => {
                assert_eq!(found.to_bits(), total.to_bits());
                return;
            }
            Err(error) => assert_eq!(error.status(), Status::Crashed, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the model does not come back");
}

#[test]
fn a_model_whose_workers_die_again_and_again_is_given_up() {
    let options = WorkerOptions {
        restart: RestartPolicy {
            least_ms: 1,
            most_ms: 2,
            most_deaths: 3,
            ..RestartPolicy::default()
        },
        ..worker_options()
    };
    let hostile = plugin_with(hostile::hostile_dir(), HOSTILE, options);
    let mut model = hostile
        .create_model(&fault("abort", "predict"), &[])
        .unwrap();
    for _ in 0..2_000 {
        let error = predict(&mut *model, &[1.0]).unwrap_err();
        if error.status() == Status::State {
            assert!(
                error.message().contains("given up after 4 deaths"),
                "{error}"
            );
            assert!(error.message().contains("SIGABRT"), "{error}");
            return;
        }
        assert_eq!(error.status(), Status::Crashed, "{error}");
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nobody gives up");
}

#[test]
fn nothing_leads_out_of_the_jail() {
    let home = tempfile::tempdir().unwrap();
    let source = hostile::source_dir().join("escape.c");
    let library = compile_against(
        &include_dir(),
        &source,
        &["-pthread"],
        &home.path().join("escape"),
    );
    package(home.path(), &library, &[MODEL_ID]);
    std::fs::write("/tmp/fusebox-escape-victim", "still here").unwrap();
    let plugin = plugin(home.path(), "com.example.escape");
    let mut model = plugin.create_model(&Config::new(), &[]).unwrap();
    let mut output = [9.0; 13];
    let mut frame = Frame::new(&[0.0], &mut output, FrameShape::dense(1, 1, 13)).unwrap();
    model.predict(&mut frame).unwrap();
    let (shut, open) = output.split_at(11);
    assert_eq!(
        shut, [0.0; 11],
        "ways out that are open, in the order of `ways` in escape.c"
    );
    assert_eq!(open, [1.0; 2], "what a plugin needs is shut");
    assert!(!Path::new("/tmp/fusebox-escape-test").exists());
    std::fs::remove_file("/tmp/fusebox-escape-victim").unwrap();
}

#[test]
fn a_library_that_does_harm_while_it_is_mapped_costs_a_child() {
    let options = WorkerOptions {
        control_timeout_ms: 3_000,
        ..worker_options()
    };
    for (how, words) in [
        ("segfault", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("exit", "ended by itself with exit code 0"),
        ("spin", "was killed because it did not come back in time"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let package = hostile::constructor(home.path(), how);
        let error = load_in_worker(home.path(), hostile::CONSTRUCTOR, options.clone()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("com.example.constructor"), "{how}: {text}");
        assert!(text.contains(words), "{how}: {text}");

        let library = package.join("linux-x86_64/libconstructor-c.so");
        let library = if library.exists() {
            library
        } else {
            find_library(&package)
        };
        let prepared = Prepared {
            path: library.clone(),
            origin: library,
        };
        let facts = ProbeFacts {
            id: hostile::CONSTRUCTOR,
            version: "1.0.0",
            has_learner: false,
        };
        let error = probe(&prepared, facts, None, &options).unwrap_err();
        assert!(matches!(error, ProbeError::Died(_)), "{how}: {error}");
        assert!(error.to_string().contains(words), "{how}: {error}");
    }
}

fn find_library(dir: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = entries.filter_map(|path| match path.is_dir() {
        true => Some(find_library(&path)),
        false => path
            .extension()
            .is_some_and(|end| end == "so")
            .then_some(path),
    });
    found.next().unwrap()
}

#[test]
fn a_probe_tells_what_a_library_is_and_leaves_nothing() {
    let library = find_library(&trainer_dir().join(TRAINER));
    let prepared = Prepared {
        path: library.clone(),
        origin: library,
    };
    let facts = ProbeFacts {
        id: TRAINER,
        version: "1.0.0",
        has_learner: true,
    };
    let options = worker_options();
    let config = Config::new();
    let report = probe(&prepared, facts, Some((&config, &[])), &options).unwrap();
    assert_eq!(report.model.unwrap().outputs, ["sum"]);
    let wrong = Some((&config, &[1_u8, 2][..]));
    let error = probe(&prepared, facts, wrong, &options).unwrap_err();
    assert!(matches!(error, ProbeError::Refused(_)), "{error}");
    let other = ProbeFacts {
        version: "2.0.0",
        ..facts
    };
    let error = probe(&prepared, other, None, &options).unwrap_err();
    let words = "its version is `1.0.0` in the library, but `2.0.0` in plugin.toml";
    assert_eq!(error.to_string(), words);
}

#[test]
fn log_messages_of_a_worker_reach_the_host() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&seen);
    let mut options =
        fusebox_loader::LoadOptions::new(fusebox_tests::fixtures::build_dir().join("cache"))
            .with_trust(fusebox_loader::TrustPolicy {
                floor: fusebox_loader::Isolation::Worker,
                ..fusebox_loader::TrustPolicy::trusting()
            });
    options.worker = worker_options();
    options.log = Some(Arc::new(move |level, text: &str| {
        sink.lock().unwrap().push(format!("{level:?} {text}"));
    }));
    let packages = fusebox_loader::discover(&[trainer_dir().to_owned()]);
    let package = fusebox_loader::find(&packages, TRAINER, None).unwrap();
    let plugin = fusebox_loader::load(package, &options).unwrap();
    let mut model = plugin.create_model(&Config::new(), &[]).unwrap();
    model.warmup().unwrap();
    assert!(
        seen.lock().unwrap().contains(&"Info warm".to_owned()),
        "{seen:?}"
    );
    drop(model);
    assert!(!pids_of("nobody").contains(&1));
}

#[test]
fn the_binary_itself_is_a_worker() {
    let options = WorkerOptions {
        program: Some(fusebox_tests::binary::fusebox().to_owned()),
        ..WorkerOptions::default()
    };
    let plugin = plugin_with(plugin_dir(), "com.example.ema-rust", options);
    let mut model = plugin.create_model(&alpha(), &[]).unwrap();
    assert_eq!(predict(&mut *model, &[1.0, 1.0]).unwrap(), [0.5, 0.75]);
    let refused = std::process::Command::new(fusebox_tests::binary::fusebox())
        .arg("worker")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(words.contains("a worker is started by a host"), "{words}");
}

#[test]
fn round_trips_are_measured() {
    for (name, spin_us) in [("spinning", 1_000), ("sleeping", 0)] {
        let options = WorkerOptions {
            spin_us,
            hot_spare: false,
            ..worker_options()
        };
        let plugin = plugin_with(hostile::hostile_dir(), HOSTILE, options);
        let mut model = plugin.create_model(&Config::new(), &[]).unwrap();
        let mut times: Vec<Duration> = (0..5_000)
            .map(|call| {
                let mut input = [0.5; 64];
                input[0] = call as f32;
                let mut output = [0.0];
                let mut frame =
                    Frame::new(&input, &mut output, FrameShape::dense(1, 64, 1)).unwrap();
                let start = std::time::Instant::now();
                model.predict(&mut frame).unwrap();
                let took = start.elapsed();
                assert_eq!(output[0].to_bits(), (call as f32).to_bits());
                took
            })
            .collect();
        times.sort();
        println!("{name}: p50 {:?}, p99 {:?}", times[2_500], times[4_950]);
        assert!(
            times[2_500] < Duration::from_millis(5),
            "{name}: {:?}",
            times[2_500]
        );
    }
}
