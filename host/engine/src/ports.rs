//! What the engine needs from outside, as traits: predictions, a broker, a place for the journal.
//!
//! Time needs no port: it arrives with the bars. Drivers choose the implementations; the session
//! knows these traits only.

use std::fmt;

use crate::execution::{OrderId, Outcome};
use crate::fusion::{ModelInfo, Prediction, PredictionFailure};
use crate::journal::{JournalEntry, JournalError};
use crate::risk::ApprovedOrder;
use crate::types::{Bar, Timestamp};

/// Why a signal source has no answer.
#[derive(Debug, thiserror::Error)]
#[error("no predictions at {closed_at}: {message}")]
pub struct SignalError {
    /// The closing time that was asked for.
    pub closed_at: Timestamp,
    /// What went wrong and what to do next.
    pub message: String,
}

/// What models made of one closing time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// The predictions, in any order.
    pub predictions: Vec<Option<Prediction>>,
    /// Who failed, for which symbol. A model that has nothing to say yet is in neither list.
    pub failures: Vec<PredictionFailure>,
}

impl Answers {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.predictions.clear();
        self.failures.clear();
    }
}

/// Where predictions come from: a table made before, or models that run now.
///
/// A source is shown the bars that close now. It may copy them, but it cannot keep a hold on where
/// they come from:
///
/// ```compile_fail
/// use fusebox_engine::fusion::ModelInfo;
/// use fusebox_engine::ports::{Answers, SignalError, SignalSource};
/// use fusebox_engine::types::{Bar, Timestamp};
///
/// struct Keeper<'a>(Vec<&'a Bar>);
///
/// impl<'a> SignalSource for Keeper<'a> {
///     fn models(&self) -> &[ModelInfo] {
///         &[]
///     }
///
///     fn predict(
///         &mut self,
///         _: Timestamp,
///         bars: &[Option<&Bar>],
///         _: &mut Answers,
///     ) -> Result<(), SignalError> {
///         self.0.extend(bars.iter().flatten());
///         Ok(())
///     }
/// }
/// ```
///
/// Nor does a session let anyone at its broker, who sees where orders would fill:
///
/// ```compile_fail,E0616
/// use fusebox_engine::session::Session;
///
/// fn peek(session: &Session) {
///     let _ = &session.broker;
/// }
/// ```
pub trait SignalSource {
    /// The models behind the predictions; a [`ModelRef`](crate::fusion::ModelRef) is a position
    /// here. Models may be added at the end while a session runs; none ever changes or goes.
    fn models(&self) -> &[ModelInfo];

    /// The first and the last closing time with predictions, both included; `None` where they are
    /// not known beforehand.
    fn range(&self) -> Option<(Timestamp, Timestamp)> {
        None
    }

    /// Appends the predictions made at `closed_at` from bars that have closed by then, and the
    /// failures of models, to `answers`.
    ///
    /// # Errors
    /// [`SignalError`] where the source itself is broken and the run cannot go on. A model that
    /// failed is in [`Answers::failures`], for the strategy's fail-safe; having no prediction is
    /// neither.
    fn predict(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError>;
}

/// What a broker may know when it is polled.
#[derive(Debug, Clone, Copy)]
pub struct BrokerTick<'a> {
    /// The moment of the step.
    pub closed_at: Timestamp,
    /// The bars that close now, one slot per symbol.
    pub bars: &'a [Option<&'a Bar>],
    /// The finer bars that lie in them, one slot per symbol, ascending; empty where there are none.
    pub fine: &'a [&'a [Bar]],
}

/// Carries out orders.
pub trait Broker: fmt::Debug + Send {
    /// Takes an order. Later [`poll`](Self::poll)s answer it, with fills and, where these leave
    /// something of it, its end.
    fn submit(&mut self, order: ApprovedOrder);

    /// Asks at `at` for the end of an order. Like an order, the request has a way to go, and what
    /// fills before it is there stands; a later poll says what came of it. A broker that cannot
    /// cancel does nothing.
    fn cancel(&mut self, order: OrderId, at: Timestamp) {
        let _ = (order, at);
    }

    /// Slices in which the unknown way inside a bar made a difference, and slices in all; a broker
    /// of real orders has neither.
    fn ambiguous_slices(&self) -> (u64, u64) {
        (0, 0)
    }

    /// The next outcome that is known at `tick`; `None` where there is none. The session books one
    /// outcome before it asks for the next.
    fn poll(&mut self, tick: &BrokerTick<'_>) -> Option<Outcome>;
}

/// Where journal entries go.
pub trait JournalSink {
    /// Takes the next entry; it has been kept when this returns.
    ///
    /// # Errors
    /// [`JournalError`] where the entry could not be kept. The session then stops for good.
    fn record(&mut self, entry: &JournalEntry) -> Result<(), JournalError>;

    /// Whether anything becomes of what is recorded. A session need not make entries that nobody
    /// keeps.
    fn keeps(&self) -> bool {
        true
    }

    /// SHA-256 of all that was recorded, lower-case hexadecimal; `None` where nothing is kept.
    fn digest(&self) -> Option<String>;
}
