//! How a long piece of work tells what it has done.
//!
//! Services report through [`Progress`]; the command line draws bars from it, a run without a
//! terminal passes [`Silent`]. Progress is for people only: no result ever depends on it.

/// Receiver of progress. Calls come in the order `start`, any number of `advance`, `finish`;
/// pieces of work do not nest. One receiver may serve several threads.
pub trait Progress: Send + Sync {
    /// A piece of work begins: its name for a person, and its length in steps (0 = not known).
    fn start(&self, what: &str, total: u64);

    /// `by` more steps are done.
    fn advance(&self, by: u64);

    /// The piece of work is over, whether or not every step was needed.
    fn finish(&self);

    /// Something worth a glance between two steps, such as a metric after a round. It may come
    /// often; `words` is asked only where somebody looks.
    fn note(&self, words: &dyn Fn() -> String) {
        let _ = words;
    }
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _what: &str, _total: u64) {}

    fn advance(&self, _by: u64) {}

    fn finish(&self) {}
}
