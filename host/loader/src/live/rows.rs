//! What a host says of the rows that it gives to a live model, and what happens to a row between
//! the host and the code of the model.
//!
//! The history and the shadow keep rows as the host makes them, so that a generation with another
//! scaler can be shown them too; each instance scales for itself. Nothing here knows what a scaler
//! or a readout is: the host that serves the model reads those files.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use fusebox_plugin_api::error::Result as PluginResult;
use fusebox_plugin_api::ext::{Explain, OnnxExport, Quantiles};
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{Model, ModelInfo, Snapshot};

use super::model_package::{AuditState, PackedAudit, TrainedBars};
use super::state::{Reason, Rejection};

/// A change of every row before a model sees it, such as scaling.
pub trait RowTransform: fmt::Debug + Send + Sync {
    /// Changes whole steps, row-major, in place. It takes no memory and no lock.
    ///
    /// # Errors
    /// Where the values are no whole steps of the rows that it was made for.
    fn apply(&self, steps: &mut [f32]) -> PluginResult<()>;
}

/// What lies beside the weights of a model and only the host can read; empty where it has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Companions<'a> {
    /// The scaler of the rows.
    pub scaler: &'a [u8],
    /// How the answers are read.
    pub readout: &'a [u8],
    /// The bars that it was trained on.
    pub bars: Option<&'a TrainedBars>,
    /// What its package records of the audit of its features.
    pub audit: Option<&'a PackedAudit>,
}

/// What a host made of the companions of a model.
#[derive(Debug, Clone, Default)]
pub struct Dressing {
    /// What happens to the rows.
    pub rows: Option<Arc<dyn RowTransform>>,
    /// How the host reads the answers; the host's own.
    pub readout: Option<Arc<dyn Any + Send + Sync>>,
}

/// What a host says of the rows that it gives to a model.
pub trait RowContract: fmt::Debug + Send + Sync {
    /// SHA-256 of the feature set of the rows in hexadecimal; `None` while they are not chosen.
    fn feature_set(&self) -> Option<String>;

    /// Reads what lies beside the weights of a model package, or, for `None`, what belongs to a
    /// model that comes from no package.
    ///
    /// # Errors
    /// Why a model with them cannot be served, in words.
    fn dress(&self, companions: Option<Companions<'_>>) -> Result<Dressing, String>;
}

/// Judges a model package by the rows that it would get, and gives what it is dressed with and
/// what an operator should hear.
///
/// # Errors
/// [`Reason::Features`] where it was trained on another feature set, or its companions cannot be
/// used.
pub(super) fn judge(
    contract: Option<&dyn RowContract>,
    package: &str,
    feature_set: Option<&str>,
    companions: Companions<'_>,
) -> Result<(Dressing, Option<String>), Rejection> {
    let refuse = |words: String| Rejection::new(Reason::Features, words);
    let Some(contract) = contract else {
        if companions.scaler.is_empty() && companions.readout.is_empty() {
            return Ok((Dressing::default(), None));
        }
        return Err(refuse(format!(
            "{package} has a scaler or a readout, and this host applies none; serve it with \
             `fusebox plugin serve`"
        )));
    };
    let warning = match (contract.feature_set(), feature_set) {
        (Some(given), Some(trained)) if !given.eq_ignore_ascii_case(trained) => {
            return Err(refuse(format!(
                "{package} was trained on the feature set {trained}, the rows here are of {given}; \
                 serve it with the features of its training, or train it on these"
            )));
        }
        (Some(_), None) => Some(format!(
            "{package} does not say which feature set it was trained on; whether it fits these \
             rows is not known"
        )),
        _ => unaudited(package, companions.audit),
    };
    let dressing = contract.dress(Some(companions));
    let dressing = dressing.map_err(|words| refuse(format!("{package}: {words}")))?;
    Ok((dressing, warning))
}

/// What an operator should hear of a package that was let through without an audit.
fn unaudited(package: &str, audit: Option<&PackedAudit>) -> Option<String> {
    let is_unaudited = audit.is_some_and(|audit| audit.state == AuditState::Unaudited);
    is_unaudited.then(|| {
        format!(
            "{package} was packaged with --allow-unaudited: nobody knows whether its features look \
             ahead"
        )
    })
}

/// A model that is shown changed rows.
pub(super) struct Transformed {
    model: Box<dyn Model>,
    rows: Arc<dyn RowTransform>,
    /// The changed rows of one frame; kept, so that only the largest frame takes memory.
    values: Vec<f32>,
}

impl Transformed {
    pub(super) fn new(model: Box<dyn Model>, rows: Arc<dyn RowTransform>) -> Self {
        let values = Vec::new();
        Self {
            model,
            rows,
            values,
        }
    }
}

impl Model for Transformed {
    fn info(&self) -> PluginResult<ModelInfo> {
        self.model.info()
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> PluginResult<()> {
        self.values.clear();
        for row in 0..frame.rows() {
            let window = frame.row(row);
            for step in 0..window.steps() {
                self.values.extend_from_slice(window.step(step));
            }
        }
        if !self.values.is_empty() {
            self.rows.apply(&mut self.values)?;
        }
        let shape = frame.shape();
        let packed = FrameShape {
            row_stride: shape.window * shape.columns,
            step_stride: shape.columns,
            ..shape
        };
        let (event_ns, deadline_ns) = (frame.event_ns(), frame.deadline_ns());
        let (times, symbols) = (frame.row_event_ns(), frame.symbols());
        let is_replay = frame.is_replay();
        let mut changed =
            Frame::new(&self.values, frame.output_mut(), packed)?.with_replay(is_replay);
        changed.set_deadline_ns(deadline_ns);
        if let Some(event_ns) = event_ns {
            changed = changed.with_event_ns(event_ns);
        }
        if let Some(times) = times {
            changed = changed.with_row_event_ns(times)?;
        }
        if let Some(symbols) = symbols {
            changed = changed.with_symbols(symbols)?;
        }
        self.model.predict(&mut changed)
    }

    fn warmup(&mut self) -> PluginResult<()> {
        self.model.warmup()
    }

    fn save(&self) -> PluginResult<Vec<u8>> {
        self.model.save()
    }

    fn snapshot(&self) -> PluginResult<Snapshot> {
        self.model.snapshot()
    }

    fn restore(&mut self, snapshot: &Snapshot) -> PluginResult<()> {
        self.model.restore(snapshot)
    }

    fn quiesce(&mut self, deadline_ns: u64) -> PluginResult<()> {
        self.model.quiesce(deadline_ns)
    }

    fn explain(&self) -> Option<&dyn Explain> {
        self.model.explain()
    }

    // Learning goes on from rows that nobody changes here, so it is not offered.

    fn quantiles(&self) -> Option<&dyn Quantiles> {
        self.model.quantiles()
    }

    fn onnx_export(&self) -> Option<&dyn OnnxExport> {
        self.model.onnx_export()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_plugin_api::model::Task;

    #[derive(Debug)]
    struct Rows(Option<&'static str>);

    #[derive(Debug)]
    struct Halves;

    impl RowTransform for Halves {
        fn apply(&self, steps: &mut [f32]) -> PluginResult<()> {
            steps.iter_mut().for_each(|value| *value /= 2.0);
            Ok(())
        }
    }

    impl RowContract for Rows {
        fn feature_set(&self) -> Option<String> {
            self.0.map(str::to_owned)
        }

        fn dress(&self, companions: Option<Companions<'_>>) -> Result<Dressing, String> {
            match companions.unwrap_or_default().scaler {
                [] => Ok(Dressing::default()),
                b"halves" => Ok(Dressing {
                    rows: Some(Arc::new(Halves)),
                    readout: None,
                }),
                _ => Err("its scaler is damaged".to_owned()),
            }
        }
    }

    #[test]
    fn another_feature_set_is_refused_and_an_unknown_one_is_told() {
        let none = Companions::default();
        let judged = |rows: &Rows, set| judge(Some(rows), "ema 1.0.0", set, none);
        let rows = Rows(Some("ab"));
        let refused = judged(&rows, Some("cd")).unwrap_err();
        assert_eq!(refused.reason, Reason::Features);
        assert!(!refused.may_be_unfinished() && !refused.reason.is_skip());
        for part in ["ema 1.0.0", "cd", "ab"] {
            assert!(refused.message.contains(part), "{refused}");
        }
        assert_eq!(judged(&rows, Some("AB")).unwrap().1, None);
        let told = judged(&rows, None).unwrap().1.unwrap();
        assert!(told.contains("does not say which feature set"), "{told}");
        // Rows that are not chosen yet fit everything.
        assert_eq!(judged(&Rows(None), Some("cd")).unwrap().1, None);
        assert_eq!(judged(&Rows(None), None).unwrap().1, None);
    }

    #[test]
    fn companions_are_read_by_the_host_or_the_package_is_refused() {
        let with = |scaler| Companions {
            scaler,
            ..Companions::default()
        };
        let rows = Rows(None);
        let read = judge(Some(&rows), "ema 1.0.0", None, with(b"halves")).unwrap();
        assert!(read.0.rows.is_some());
        let damaged = judge(Some(&rows), "ema 1.0.0", None, with(b"x")).unwrap_err();
        assert!(damaged.message.contains("is damaged"), "{damaged}");
        let alone = judge(None, "ema 1.0.0", None, with(b"halves")).unwrap_err();
        assert!(alone.message.contains("this host applies none"), "{alone}");
        judge(None, "ema 1.0.0", Some("cd"), with(b"")).unwrap();
    }

    /// Adds up a window.
    struct Sum;

    impl Model for Sum {
        fn info(&self) -> PluginResult<ModelInfo> {
            Ok(ModelInfo::new(Task::Regression, &["sum"]))
        }

        fn predict(&mut self, frame: &mut Frame<'_>) -> PluginResult<()> {
            assert_eq!(frame.symbols(), Some(&[7, 9][..]));
            assert_eq!((frame.event_ns(), frame.deadline_ns()), (Some(5), Some(6)));
            assert_eq!(frame.row_event_ns(), Some(&[4, 5][..]));
            assert!(frame.is_replay());
            for row in 0..frame.rows() {
                let window = frame.row(row);
                let steps = (0..window.steps()).flat_map(|step| window.step(step));
                frame.output_row_mut(row)[0] = steps.sum();
            }
            Ok(())
        }
    }

    #[test]
    fn windows_that_overlap_are_changed_once_and_nothing_else_is() {
        let mut model = Transformed::new(Box::new(Sum), Arc::new(Halves));
        let input = [2.0, 4.0, 8.0];
        let mut output = [0.0; 2];
        let shape = FrameShape::sliding(2, 2, 1, 1);
        let frame = Frame::new(&input, &mut output, shape).unwrap();
        let frame = frame.with_symbols(&[7, 9]).unwrap().with_event_ns(5);
        let frame = frame.with_deadline_ns(6).with_replay(true);
        let mut frame = frame.with_row_event_ns(&[4, 5]).unwrap();
        model.predict(&mut frame).unwrap();
        assert_eq!(output.map(f32::to_bits), [3.0_f32, 6.0].map(f32::to_bits));
    }
}
