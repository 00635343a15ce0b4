//! The promises of the guard, held against models that break theirs.

use super::*;
use std::sync::Mutex;

use crate::clock::ManualClock;
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::frame::FrameShape;
use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::model::{FitRequest, InputShape, Learner, LearnerInfo, Task};
use fusebox_plugin_api::schema::{Dataset, DatasetSchema};

/// Answers its first feature; panics on 13.
struct Echo;

impl Model for Echo {
    fn info(&self) -> Result<ModelInfo> {
        let info = ModelInfo::new(Task::Regression, &["echo"]);
        Ok(info.with_features(&["a".to_owned()]))
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        for row in 0..frame.rows() {
            let value = frame.features(row)[0];
            assert!(value.is_nan() || value < 13.0, "thirteen");
            frame.output_row_mut(row)[0] = value;
        }
        Ok(())
    }
}

/// Reports success and writes nothing.
struct Silent(ModelInfo);

impl Model for Silent {
    fn info(&self) -> Result<ModelInfo> {
        Ok(self.0.clone())
    }

    fn predict(&mut self, _: &mut Frame<'_>) -> Result<()> {
        Ok(())
    }
}

/// Makes `Silent` models of fixed description, whatever it is asked for.
struct Stubborn(ModelInfo, InputShape);

impl Learner for Stubborn {
    fn describe(&self) -> Result<LearnerInfo> {
        Ok(LearnerInfo {
            name: "Stubborn".to_owned(),
            doc: String::new(),
            tasks: vec![self.0.task.kind()],
            input: self.1,
            params: Vec::new(),
            needs_environment: false,
            resumes: false,
        })
    }

    fn fit(&self, _: FitRequest<'_>) -> Result<Box<dyn Model>> {
        Ok(Box::new(Silent(self.0.clone())))
    }
}

fn stubborn(info: ModelInfo, input: InputShape) -> GuardedLearner {
    GuardedLearner {
        plugin: "a.b".to_owned(),
        learner: Box::new(Stubborn(info, input)),
    }
}

fn fit(info: ModelInfo) -> Result<Box<dyn Model>> {
    let schema = DatasetSchema {
        features: vec!["a".to_owned(), "b".to_owned()],
        labels: vec!["next".to_owned()],
        classes: Vec::new(),
    };
    let train = Dataset::new(schema, Vec::new()).unwrap();
    stubborn(info, InputShape::Row).fit(FitRequest {
        task: &Task::Regression,
        config: &Config::new(),
        train: &train,
        valid: None,
        environment: None,
        progress: &mut NoProgress,
        checkpoint: None,
        seed: 1,
        max_threads: 1,
    })
}

#[test]
fn a_model_that_writes_nothing_does_not_answer_what_lay_there_before() {
    let info = ModelInfo::new(Task::Regression, &["nothing"]);
    let mut model = GuardedModel::new("a.b", Box::new(Silent(info))).unwrap();
    let mut output = [7.0, 8.0, 9.0];
    let shape = FrameShape {
        output_stride: 2,
        ..FrameShape::dense(2, 1, 1)
    };
    let mut frame = Frame::new(&[1.0, 2.0], &mut output, shape).unwrap();
    let error = model.predict(&mut frame).unwrap_err();
    let words = "a.b: answered NaN in row 0, column 0 (`nothing`), or nothing at all";
    assert!(error.message().starts_with(words), "{error}");
    assert_eq!(
        output[1..2],
        [8.0],
        "what lies between the rows is nobody's"
    );
}

#[test]
fn probabilities_that_are_none_are_refused() {
    /// Answers its first features as they are.
    struct Copy;
    impl Model for Copy {
        fn info(&self) -> Result<ModelInfo> {
            let classes = ["down", "flat", "up"].map(str::to_owned).to_vec();
            let task = Task::Classification { classes };
            Ok(ModelInfo::new(task, &["p_down", "p_flat", "p_up"]))
        }

        fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
            let features = frame.features(0);
            frame.output_row_mut(0).copy_from_slice(features);
            Ok(())
        }
    }
    let mut model = GuardedModel::new("a.b", Box::new(Copy)).unwrap();
    let mut answer = |input: [f32; 3]| {
        let mut output = [0.0; 3];
        let shape = FrameShape::dense(1, 3, 3);
        model.predict(&mut Frame::new(&input, &mut output, shape)?)
    };
    assert!(answer([0.2, 0.3, 0.5]).is_ok());
    for wrong in [
        [2.0, -1.5, 0.5],
        [0.2, 0.2, 0.2],
        [0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0],
    ] {
        let error = answer(wrong).unwrap_err();
        assert!(error.message().contains("add up to 1"), "{error}");
    }
}

#[test]
fn a_fit_that_gives_another_model_is_refused() {
    let named = |features: [&str; 2]| {
        let info = ModelInfo::new(Task::Regression, &["next"]);
        info.with_features(&features.map(str::to_owned))
    };
    assert!(fit(named(["a", "b"])).is_ok());
    let error = fit(named(["b", "a"])).err().unwrap();
    assert!(error.message().contains("another order"), "{error}");
    let mut wide = ModelInfo::new(Task::Quantiles { levels: vec![0.5] }, &["x", "y"]);
    wide.columns = Some(9);
    let error = fit(wide).err().unwrap();
    for words in [
        "another task",
        "2 values instead of 1",
        "9 features instead of 2",
    ] {
        assert!(error.message().contains(words), "{words} not in {error}");
    }
}

#[test]
fn a_learner_with_windows_of_no_steps_is_refused() {
    let describe = |default_steps, max_steps| {
        let info = ModelInfo::new(Task::Regression, &["next"]);
        let input = InputShape::Window {
            default_steps,
            max_steps,
        };
        stubborn(info, input).describe()
    };
    assert!(describe(64, 256).is_ok());
    for (default_steps, max_steps) in [(0, 10), (11, 10), (u32::MAX, u32::MAX)] {
        let error = describe(default_steps, max_steps).unwrap_err();
        assert!(error.message().contains("makes no sense"), "{error}");
    }
}

fn predict(model: &mut GuardedModel, input: &[f32], columns: usize) -> Result<Vec<f32>> {
    let rows = input.len() / columns;
    let mut output = vec![0.0; rows];
    let shape = FrameShape::dense(rows, columns, 1);
    model.predict(&mut Frame::new(input, &mut output, shape)?)?;
    Ok(output)
}

#[test]
fn an_answer_that_is_no_number_names_plugin_row_and_column() {
    let mut model = GuardedModel::new("a.b", Box::new(Echo)).unwrap();
    let error = predict(&mut model, &[1.0, f32::NAN], 1).unwrap_err();
    assert_eq!(error.status(), Status::Data);
    let expected = "a.b: answered NaN in row 1, column 0 (`echo`)";
    assert!(error.message().starts_with(expected), "{error}");
    assert_eq!(
        predict(&mut model, &[2.0], 1).unwrap(),
        [2.0],
        "the model lives on"
    );
    assert_eq!(
        model.stats(),
        GuardStats {
            calls: 2,
            rows: 3,
            errors: 1
        }
    );
}

#[test]
fn a_frame_of_another_shape_does_not_reach_the_model() {
    let mut model = GuardedModel::new("a.b", Box::new(Echo)).unwrap();
    let error = predict(&mut model, &[13.0, 13.0], 2).unwrap_err();
    assert_eq!(error.status(), Status::Argument);
    assert!(!model.is_poisoned());
}

#[test]
fn a_panic_poisons_the_model() {
    let mut model = GuardedModel::new("a.b", Box::new(Echo)).unwrap();
    assert_eq!(
        predict(&mut model, &[14.0], 1).unwrap_err().status(),
        Status::Panic
    );
    assert_eq!(
        predict(&mut model, &[1.0], 1).unwrap_err().status(),
        Status::State
    );
    assert!(model.is_poisoned());
}

/// Takes as many nanoseconds as its first feature says, and answers whether it had a deadline; a
/// negative feature is an error.
struct Slow(Arc<ManualClock>);

impl Model for Slow {
    fn info(&self) -> Result<ModelInfo> {
        Ok(ModelInfo::new(Task::Regression, &["deadline"]))
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        let wait = frame.features(0)[0];
        if wait < 0.0 {
            return Err(PluginError::data("negative"));
        }
        self.0.advance_ns(wait as u64);
        frame.output_row_mut(0)[0] = frame.deadline_ns().map_or(-1.0, |due| due as f32);
        Ok(())
    }
}

fn slow(policy: &GuardPolicy) -> (GuardedModel, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    clock.advance_ns(1_000);
    let model = GuardedModel::new("a.b", Box::new(Slow(Arc::clone(&clock)))).unwrap();
    let model = model.with_policy(policy, Arc::default(), Arc::clone(&clock) as Arc<dyn Clock>);
    (model, clock)
}

#[test]
fn a_late_answer_is_none_and_the_earlier_deadline_counts() {
    let (mut model, _) = slow(&GuardPolicy {
        deadline_us: Some(5),
        ..GuardPolicy::default()
    });
    let mut ask = |wait: f32, due_ns: Option<u64>| {
        let mut output = [0.0];
        let input = [wait];
        let mut frame = Frame::new(&input, &mut output, FrameShape::dense(1, 1, 1)).unwrap();
        frame.set_deadline_ns(due_ns);
        let result = model.predict(&mut frame);
        assert_eq!(
            frame.deadline_ns(),
            due_ns,
            "the caller's frame is as it was"
        );
        (result, output[0], model.last_failure())
    };
    // At 1,000 ns; 5 us are due at 6,000 ns, which is in time.
    assert_eq!(ask(5_000.0, None), (Ok(()), 6_000.0, None));
    assert_eq!(ask(0.0, Some(7_000)), (Ok(()), 7_000.0, None));
    assert_eq!(ask(0.0, Some(90_000)), (Ok(()), 11_000.0, None));
    let (late, output, failure) = ask(5_001.0, None);
    let late = late.unwrap_err();
    assert_eq!(
        (late.status(), failure),
        (Status::Deadline, Some(FailureKind::Deadline))
    );
    let words = "a.b: answered 0.001 us after the deadline, having taken 5.001 us";
    assert!(late.message().starts_with(words), "{late}");
    assert!(output.is_nan(), "a late answer is wiped");
    let metrics = model.metrics().unwrap().snapshot();
    assert_eq!(metrics.failures_total[&FailureKind::Deadline], 1);
    assert_eq!((metrics.calls_total, metrics.latency_count), (4, 4));
    assert_eq!(metrics.latency_max_seconds, Some(5.001e-6));
}

#[test]
fn rows_of_history_pass_deadline_and_breaker() {
    let (mut model, _) = slow(&GuardPolicy {
        deadline_us: Some(1),
        breaker: Some(BreakerConfig {
            minimum_calls: 1,
            ..BreakerConfig::default()
        }),
        canaries: true,
    });
    assert!(predict(&mut model, &[-1.0], 1).is_err());
    assert_eq!(model.breaker_state(), BreakerState::Open);
    let mut output = [0.0];
    let frame = Frame::new(&[9_000.0], &mut output, FrameShape::dense(1, 1, 1)).unwrap();
    model.predict(&mut frame.with_replay(true)).unwrap();
    let metrics = model.metrics().unwrap().snapshot();
    assert_eq!((metrics.replayed_rows_total, metrics.calls_total), (1, 1));
}

#[test]
fn an_open_breaker_asks_nobody_and_says_since_when_why_and_until_when() {
    let (model, clock) = slow(&GuardPolicy {
        deadline_us: None,
        breaker: Some(BreakerConfig {
            window: 4,
            minimum_calls: 2,
            open_ms: 10,
            trial_calls: 2,
            ..BreakerConfig::default()
        }),
        canaries: false,
    });
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&heard);
    let mut model = model.with_observer(Arc::new(move |change: &BreakerTransition| {
        sink.lock().unwrap().push((change.from, change.to));
    }));
    assert_eq!(
        predict(&mut model, &[-1.0], 1).unwrap_err().status(),
        Status::Data
    );
    assert!(predict(&mut model, &[-1.0], 1).is_err());
    clock.advance_ns(3_000_000);
    let refused = predict(&mut model, &[1.0], 1).unwrap_err();
    assert_eq!(refused.status(), Status::State);
    assert_eq!(
        refused.message(),
        "a.b: the model is not asked: its breaker opened 3 ms ago because 2 of the newest 2 calls \
         failed, and lets trial calls through in 7 ms"
    );
    assert_eq!(model.last_failure(), Some(FailureKind::BreakerOpen));
    clock.advance_ns(7_000_000);
    assert!(predict(&mut model, &[1.0], 1).is_ok());
    assert_eq!(model.breaker_state(), BreakerState::HalfOpen);
    assert_eq!(
        predict(&mut model, &[-1.0], 1).unwrap_err().status(),
        Status::Data
    );
    assert_eq!(
        model.breaker_state(),
        BreakerState::Open,
        "a failing trial reopens it"
    );
    clock.advance_ns(10_000_000);
    for _ in 0..2 {
        assert!(predict(&mut model, &[1.0], 1).is_ok());
    }
    assert_eq!(model.breaker_state(), BreakerState::Closed);
    let expected = [
        (BreakerState::Closed, BreakerState::Open),
        (BreakerState::Open, BreakerState::HalfOpen),
        (BreakerState::HalfOpen, BreakerState::Open),
        (BreakerState::Open, BreakerState::HalfOpen),
        (BreakerState::HalfOpen, BreakerState::Closed),
    ];
    assert_eq!(*heard.lock().unwrap(), expected);
    let failures = model.metrics().unwrap().snapshot().failures_total;
    assert_eq!(failures[&FailureKind::BreakerOpen], 1);
    assert_eq!(failures[&FailureKind::Error], 3);
}

#[test]
fn a_wrong_frame_says_nothing_of_the_model() {
    let (mut model, _) = slow(&GuardPolicy {
        breaker: Some(BreakerConfig {
            minimum_calls: 1,
            ..BreakerConfig::default()
        }),
        ..GuardPolicy::default()
    });
    let mut output = [0.0; 2];
    let mut frame = Frame::new(&[1.0], &mut output, FrameShape::dense(1, 1, 2)).unwrap();
    assert!(model.predict(&mut frame).is_err());
    assert_eq!(model.last_failure(), Some(FailureKind::Shape));
    assert_eq!(model.breaker_state(), BreakerState::Closed);
}

/// Writes its rows as if they lay back to back, and says whether it liked that.
struct Dense(bool);

impl Model for Dense {
    fn info(&self) -> Result<ModelInfo> {
        Ok(ModelInfo::new(Task::Regression, &["dense"]))
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        let rows = frame.rows();
        for (row, cell) in frame.output_mut().iter_mut().take(rows).enumerate() {
            *cell = row as f32;
        }
        if self.0 {
            Ok(())
        } else {
            Err(PluginError::data("disliked"))
        }
    }
}

#[test]
fn a_model_that_writes_between_the_rows_is_found_out_and_poisoned() {
    for likes_it in [true, false] {
        let model = GuardedModel::new("a.b", Box::new(Dense(likes_it))).unwrap();
        let clock = Arc::new(ManualClock::default());
        let mut model = model.with_policy(&GuardPolicy::live(), Arc::default(), clock);
        if likes_it {
            assert_eq!(
                predict(&mut model, &[1.0], 1).unwrap(),
                [0.0],
                "one row is dense"
            );
        }
        let error = predict(&mut model, &[1.0, 1.0], 1).unwrap_err();
        let words = "a.b: wrote outside its cells, first at offset 1 from the beginning of row 0";
        assert!(error.message().starts_with(words), "{error}");
        assert_eq!(model.last_failure(), Some(FailureKind::OutOfBounds));
        assert!(model.is_poisoned());
        let error = predict(&mut model, &[1.0], 1).unwrap_err();
        assert!(
            error.message().contains("wrote outside its cells before"),
            "{error}"
        );
        assert_eq!(model.last_failure(), Some(FailureKind::Poisoned));
    }
}

#[test]
fn canaries_change_nothing_that_the_caller_sees() {
    let model = GuardedModel::new("a.b", Box::new(Echo)).unwrap();
    let clock = Arc::new(ManualClock::default());
    let mut model = model.with_policy(&GuardPolicy::live(), Arc::default(), clock);
    for rows in [3, 1, 0, 7] {
        let input: Vec<f32> = (0..rows).map(|row| row as f32).collect();
        let shape = FrameShape {
            output_stride: 3,
            ..FrameShape::dense(rows, 1, 1)
        };
        let mut output = vec![-1.0; rows * 3];
        model
            .predict(&mut Frame::new(&input, &mut output, shape).unwrap())
            .unwrap();
        let expected: Vec<f32> = (0..rows).flat_map(|row| [row as f32, -1.0, -1.0]).collect();
        assert_eq!(output, expected);
    }
    let error = predict(&mut model, &[1.0, f32::NAN], 1).unwrap_err();
    assert!(error.message().contains("answered NaN in row 1"), "{error}");
}

#[test]
fn what_a_model_notes_of_itself_follows_what_it_learned() {
    /// Counts its updates, and after the first claims another output.
    struct Learning(u32);
    impl Model for Learning {
        fn info(&self) -> Result<ModelInfo> {
            let output = if self.0 == 0 { "sum" } else { "product" };
            let mut info = ModelInfo::new(Task::Regression, &[output]);
            info.notes.insert("updates".to_owned(), self.0.into());
            Ok(info)
        }

        fn predict(&mut self, _: &mut Frame<'_>) -> Result<()> {
            Ok(())
        }

        fn incremental(&mut self) -> Option<&mut dyn Incremental> {
            Some(self)
        }
    }
    impl Incremental for Learning {
        fn update(&mut self, _: &Dataset, _: &mut dyn Progress) -> Result<()> {
            self.0 += 1;
            match self.0 {
                2 => Err(PluginError::data("no more")),
                _ => Ok(()),
            }
        }
    }
    let schema = DatasetSchema {
        features: vec!["a".to_owned()],
        labels: vec!["b".to_owned()],
        classes: Vec::new(),
    };
    let rows = Dataset::new(schema, Vec::new()).unwrap();
    let mut model = GuardedModel::new("a.b", Box::new(Learning(0))).unwrap();
    let update = |model: &mut GuardedModel| {
        let outcome = model.incremental().unwrap().update(&rows, &mut NoProgress);
        let info = model.info().unwrap();
        assert_eq!(info.outputs[0], "sum", "what it answers stays");
        assert_eq!(&info, model.known_info());
        (outcome.is_ok(), info.notes["updates"].clone())
    };
    assert_eq!(update(&mut model), (true, 1.into()));
    assert_eq!(update(&mut model), (false, 1.into()));
}
