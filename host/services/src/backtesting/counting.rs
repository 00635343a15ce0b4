//! A journal that is kept elsewhere, with a count of what reports show of it.

use fusebox_engine::journal::{Event, JournalEntry, JournalError};
use fusebox_engine::ports::JournalSink;

/// Counts on the way into another journal.
pub(crate) struct Counting<'a> {
    journal: &'a mut dyn JournalSink,
    /// Events recorded.
    pub(crate) events: u64,
    /// Orders that ended unfilled or filled in part.
    pub(crate) ended_orders: u64,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(journal: &'a mut dyn JournalSink) -> Self {
        Self {
            journal,
            events: 0,
            ended_orders: 0,
        }
    }
}

impl JournalSink for Counting<'_> {
    fn record(&mut self, entry: &JournalEntry) -> Result<(), JournalError> {
        self.events += 1;
        self.ended_orders += u64::from(matches!(entry.event, Event::OrderExpired { .. }));
        self.journal.record(entry)
    }

    fn digest(&self) -> Option<String> {
        self.journal.digest()
    }
}
