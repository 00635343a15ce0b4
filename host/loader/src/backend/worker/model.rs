//! A model in a worker process, behind the same trait as any other model.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use fusebox_plugin_api::error::{PluginError, Result, Status};
use fusebox_plugin_api::ext::{Explain, Incremental, OnnxExport, Quantiles};
use fusebox_plugin_api::frame::Frame;
use fusebox_plugin_api::model::{Model, ModelInfo, Progress, Snapshot};
use fusebox_plugin_api::schema::Dataset;
use serde_json::Value;

use super::frames::Passage;
use super::handle::{CallError, CallResult, Deaf, Question, Worker};
use super::keeper::Keeper;
use super::learner::FitListener;
use super::options::WorkerOptions;
use super::recipe::{Facts, Recipe};
use crate::clock::{Clock, SystemClock};
use crate::worker::data::DatasetHead;
use crate::worker::ring::{CONTRIBUTIONS, PREDICT};
use crate::worker::wire::{Ask, Blob};

/// A model whose plugin runs in another process.
#[derive(Debug)]
pub(super) struct WorkerModel {
    plugin: String,
    info: ModelInfo,
    importance_kinds: Option<Vec<String>>,
    is_incremental: bool,
    quantile_levels: Option<Vec<f64>>,
    exports_onnx: bool,
    seat: RefCell<Seat>,
}

impl WorkerModel {
    /// The model that `worker` just made. Without a recipe it ends with its worker.
    pub(super) fn new(
        plugin: &str,
        options: Arc<WorkerOptions>,
        worker: Worker,
        facts: Facts,
        recipe: Result<Recipe>,
    ) -> Self {
        let is_stateless = |state: &Snapshot| *state == Snapshot::default();
        let has_state = !facts.state.as_ref().is_ok_and(is_stateless);
        let snapshot = facts.state.ok().filter(|_| has_state);
        let takes_snapshots = snapshot.is_some();
        let keeper = Keeper::new(plugin, Arc::clone(&options), recipe, snapshot);
        Self {
            plugin: plugin.to_owned(),
            info: facts.info,
            importance_kinds: facts.importance_kinds,
            is_incremental: facts.is_incremental,
            quantile_levels: facts.quantile_levels,
            exports_onnx: facts.exports_onnx,
            seat: RefCell::new(Seat {
                keeper,
                active: Some(worker),
                options,
                has_state,
                takes_snapshots,
            }),
        }
    }

    /// Asks the worker for a value and the bytes behind it.
    fn ask<T: serde::de::DeserializeOwned>(
        &self,
        doing: &str,
        ask: &Ask,
        blobs: &[Blob<'_>],
    ) -> Result<(T, Vec<u8>)> {
        let mut seat = self.seat.borrow_mut();
        let (value, blobs) = seat.with_worker(doing, |worker| worker.ask(doing, ask, blobs))?;
        Ok((value, blobs.into_iter().next().unwrap_or_default()))
    }
}

/// Where the worker sits that serves the model. Fields drop in their order: the keeper first, so
/// that nobody replaces the worker that is ended next.
#[derive(Debug)]
struct Seat {
    keeper: Keeper,
    active: Option<Worker>,
    options: Arc<WorkerOptions>,
    has_state: bool,
    takes_snapshots: bool,
}

impl Seat {
    /// Makes sure that a living worker sits here.
    fn sit(&mut self, deadline_ns: Option<u64>) -> Result<&mut Worker> {
        if self.active.as_ref().is_some_and(Worker::is_dead) {
            self.lose("its wait for work", None);
        }
        match &mut self.active {
            Some(worker) => Ok(worker),
            place => Ok(place.insert(self.keeper.take(deadline_ns)?)),
        }
    }

    /// The worker died: has it replaced.
    #[cold]
    fn lose(&mut self, doing: &str, cause: Option<&PluginError>) {
        if let Some(worker) = self.active.take() {
            let lived = SystemClock
                .now_ns()
                .saturating_sub(worker.process.started_ns);
            let cause = cause.cloned();
            let cause = cause.unwrap_or_else(|| worker.process.obituary(doing));
            self.keeper.vacate(lived, cause);
        }
    }

    fn with_worker<T>(
        &mut self,
        doing: &str,
        call: impl FnOnce(&mut Worker) -> CallResult<T>,
    ) -> Result<T> {
        let outcome = call(self.sit(None)?);
        if let Err(CallError::Dead(error)) = &outcome {
            self.lose(doing, Some(error));
        }
        Ok(outcome?)
    }

    fn passage(&self, kind: u32) -> Passage {
        Passage::wide(kind, self.options.predict_timeout_ms, self.options.grace_ms)
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        if self.options.hot_spare {
            self.keeper.rouse();
        }
        let rows = 0..frame.rows();
        if self.has_state {
            return self.predict_with_state(frame, rows);
        }
        let passage = self.passage(PREDICT);
        let outcome = self
            .sit(frame.deadline_ns())?
            .pass(frame, rows, passage, "`predict`");
        if let Err(CallError::Dead(error)) = &outcome {
            self.lose("`predict`", Some(error));
        }
        Ok(outcome?)
    }

    /// Rows that change state go one piece at a time and are remembered, so that another process
    /// can be shown the same rows.
    fn predict_with_state(&mut self, frame: &mut Frame<'_>, rows: Range<usize>) -> Result<()> {
        if let Err(error) = self.sit(frame.deadline_ns()) {
            // The model has not seen them, but they happened: its successor is shown them.
            let mut state = self.keeper.state();
            let number = state.history.begin(frame.shape());
            state.history.record(number, frame, rows);
            return Err(error);
        }
        if !self.keeper.state().history.fits(frame.shape()) {
            self.take_snapshot();
        }
        let most_rows = self
            .options
            .snapshot_rows
            .clamp(1, self.options.history_rows.max(1));
        let passage = Passage {
            most_rows,
            depth: 1,
            ..self.passage(PREDICT)
        };
        let number = self.keeper.state().history.begin(frame.shape());
        let mut next = rows.start;
        loop {
            let piece = next..rows.end.min(next.saturating_add(most_rows));
            next = piece.end;
            self.keeper
                .state()
                .history
                .record(number, frame, piece.clone());
            let Some(worker) = &mut self.active else {
                break;
            };
            let outcome = worker.pass(frame, piece.clone(), passage, "`predict`");
            if let Err(error) = outcome {
                return Err(self.piece_failed(error, frame, (number, piece, rows.end)));
            }
            if self.keeper.state().history.unknown_rows() >= most_rows as u64 {
                self.take_snapshot();
            }
            if next >= rows.end {
                return Ok(());
            }
        }
        Err(PluginError::new(
            Status::Crashed,
            "the worker died between two pieces of a frame",
        ))
    }

    #[cold]
    fn piece_failed(
        &mut self,
        error: CallError,
        frame: &Frame<'_>,
        (number, piece, end): (u64, Range<usize>, usize),
    ) -> PluginError {
        match &error {
            CallError::Refused(refusal) if refusal.status() == Status::Argument => {
                self.keeper.state().history.take_back(piece.len());
            }
            CallError::Unsent(_) => self.keeper.state().history.take_back(piece.len()),
            CallError::Dead(cause) => {
                let mut state = self.keeper.state();
                state.history.record(number, frame, piece.end..end);
                state.history.strike(number);
                drop(state);
                self.lose("`predict`", Some(cause));
            }
            CallError::Refused(_) | CallError::Late(_) => {}
        }
        error.into()
    }

    /// Takes a snapshot, so that fewer rows need to be shown again. The rows stay where it fails.
    fn take_snapshot(&mut self) {
        if !self.takes_snapshots {
            return;
        }
        let taken = self.with_worker("`snapshot`", |worker| {
            worker.ask::<u32>("`snapshot`", &Ask::Snapshot, &[])
        });
        match taken {
            Ok((schema, blobs)) => {
                let bytes = blobs.into_iter().next().unwrap_or_default();
                self.remember(Snapshot { schema, bytes });
            }
            Err(error) => tracing::debug!("no snapshot: {error}"),
        }
    }

    fn remember(&self, snapshot: Snapshot) {
        let mut state = self.keeper.state();
        state.snapshot = Some(snapshot);
        state.history.snapshot_taken();
    }
}

impl Model for WorkerModel {
    fn info(&self) -> Result<ModelInfo> {
        Ok(self.info.clone())
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        self.seat.get_mut().predict(frame)
    }

    fn warmup(&mut self) -> Result<()> {
        let seat = self.seat.get_mut();
        if seat.options.hot_spare {
            seat.keeper.rouse();
        }
        self.ask::<Value>("`warmup`", &Ask::Warmup, &[]).map(drop)
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.ask::<Value>("`save`", &Ask::Save, &[])?.1)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let (schema, bytes) = self.ask("`snapshot`", &Ask::Snapshot, &[])?;
        let snapshot = Snapshot { schema, bytes };
        let seat = self.seat.borrow();
        if seat.takes_snapshots {
            seat.remember(snapshot.clone());
        }
        Ok(snapshot)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let ask = Ask::Restore {
            schema: snapshot.schema,
        };
        self.ask::<Value>("`restore`", &ask, &[Blob::Bytes(&snapshot.bytes)])?;
        let seat = self.seat.get_mut();
        let mut state = seat.keeper.state();
        state.history.clear();
        state.snapshot = (*snapshot != Snapshot::default()).then(|| snapshot.clone());
        Ok(())
    }

    fn quiesce(&mut self, deadline_ns: u64) -> Result<()> {
        let seat = self.seat.get_mut();
        let Some(worker) = seat.active.as_mut().filter(|worker| !worker.is_dead()) else {
            // A dead process has no threads.
            return Ok(());
        };
        let now = SystemClock.now_ns();
        let most = seat.options.control_timeout_ms;
        let left = deadline_ns.saturating_sub(now) / 1_000_000;
        let limit = match deadline_ns {
            0 => most,
            _ => left.saturating_add(seat.options.grace_ms).min(most),
        };
        let ask = Ask::Quiesce { deadline_ns };
        let doing = "`quiesce`";
        let question = Question {
            doing,
            ask: &ask,
            blobs: &[],
            limit_ms: Some(limit),
        };
        let outcome = worker.call(&question, &mut Deaf);
        if let Err(CallError::Dead(error)) = &outcome {
            seat.lose(doing, Some(error));
        }
        outcome?;
        Ok(())
    }

    fn explain(&self) -> Option<&dyn Explain> {
        self.importance_kinds
            .is_some()
            .then_some(self as &dyn Explain)
    }

    fn incremental(&mut self) -> Option<&mut dyn Incremental> {
        self.is_incremental.then_some(self as &mut dyn Incremental)
    }

    fn quantiles(&self) -> Option<&dyn Quantiles> {
        self.quantile_levels
            .is_some()
            .then_some(self as &dyn Quantiles)
    }

    fn onnx_export(&self) -> Option<&dyn OnnxExport> {
        self.exports_onnx.then_some(self as &dyn OnnxExport)
    }
}

impl Explain for WorkerModel {
    fn importance_kinds(&self) -> Vec<String> {
        self.importance_kinds.clone().unwrap_or_default()
    }

    fn importance(&self, kind: &str) -> Result<Vec<f64>> {
        let ask = Ask::Importance {
            kind: kind.to_owned(),
        };
        let (bits, _) = self.ask::<Vec<u64>>("`importance`", &ask, &[])?;
        Ok(bits.into_iter().map(f64::from_bits).collect())
    }

    fn contributions(&self, frame: &mut Frame<'_>) -> Result<()> {
        let mut seat = self.seat.borrow_mut();
        let (passage, rows) = (seat.passage(CONTRIBUTIONS), 0..frame.rows());
        let doing = "`contributions`";
        seat.with_worker(doing, |worker| worker.pass(frame, rows, passage, doing))
    }
}

impl Incremental for WorkerModel {
    fn update(&mut self, rows: &Dataset, progress: &mut dyn Progress) -> Result<()> {
        let seat = self.seat.get_mut();
        let mut blobs = Vec::new();
        let rows = DatasetHead::new(rows, &mut blobs);
        let mut listener = FitListener::new(&self.plugin, progress, None);
        let doing = "`update`";
        let question = Question {
            doing,
            ask: &Ask::Update { rows },
            blobs: &blobs,
            limit_ms: None,
        };
        let (info, _) = seat.with_worker(doing, |worker| worker.call(&question, &mut listener))?;
        if let Ok(Some(info)) = serde_json::from_value::<Option<ModelInfo>>(info) {
            self.info.notes = info.notes;
        }
        // A successor must know what was learned now.
        let saved = seat.with_worker("`save`", |worker| {
            worker.ask::<Value>("`save`", &Ask::Save, &[])
        });
        let saved = saved.map(|(_, blobs)| blobs.into_iter().next().unwrap_or_default());
        seat.keeper.renew(saved);
        seat.take_snapshot();
        Ok(())
    }
}

impl Quantiles for WorkerModel {
    fn levels(&self) -> Vec<f64> {
        self.quantile_levels.clone().unwrap_or_default()
    }
}

impl OnnxExport for WorkerModel {
    fn to_onnx(&self, opset: u32) -> Result<Vec<u8>> {
        Ok(self
            .ask::<Value>("`to_onnx`", &Ask::ToOnnx { opset }, &[])?
            .1)
    }
}
