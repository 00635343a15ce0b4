//! Everything that a session did, as numbered events.
//!
//! The session records an event before it acts on it, so a journal that ends early ends with the
//! last thing that was about to happen. Events are immutable; money in them is decimal text, exact
//! to the last unit, and time is in nanoseconds since the epoch.

mod codec;
mod event;
mod replay;

pub use codec::{Entries, JournalError, JsonLines, NullJournal, read_entries};
pub use event::{AccountCurrencies, Event, FORMAT, FORMAT_OF_ONE, JournalEntry};
pub use replay::{ReplayError, Replayed, replay};
