//! The way of LightGBM's messages to the host's log.
//!
//! LightGBM calls back with pieces of text on the thread that called it; they are collected there
//! and forwarded after the call. A fit can repeat one warning every round, so repeats are dropped
//! and the number of messages of one fit is bounded.

use std::cell::RefCell;
use std::collections::BTreeSet;

use fusebox_plugin_api::export::{LogLevel, log};

/// Longest text kept between a call of LightGBM and its forwarding.
const LIMIT_BYTES: usize = 16 * 1024;
/// Most messages forwarded by one fit.
const LIMIT: usize = 32;

thread_local! {
    static COLLECTED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Takes a piece of text (prefix, message or newline) from LightGBM's callback.
///
/// It never panics: a thread that is going down loses the message instead.
pub(super) fn collect(piece: &str) {
    let _ = COLLECTED.try_with(|collected| {
        if let Ok(mut collected) = collected.try_borrow_mut()
            && collected.len() < LIMIT_BYTES
        {
            collected.push_str(piece);
        }
    });
}

/// Forwards what is new.
#[derive(Debug, Default)]
pub(crate) struct LogRelay {
    forwarded: BTreeSet<String>,
}

impl LogRelay {
    /// Forwards what LightGBM said on this thread since the last call.
    pub(crate) fn forward(&mut self) {
        for line in COLLECTED.take().lines() {
            let message = line.trim_start_matches("[LightGBM] [Warning]").trim();
            if !message.is_empty() {
                self.warn(&format!("LightGBM: {message}"));
            }
        }
    }

    /// Forwards a message of this plugin.
    pub(crate) fn warn(&mut self, message: &str) {
        if self.is_new(message) {
            log(LogLevel::Warn, message);
        }
    }

    fn is_new(&mut self, message: &str) -> bool {
        self.forwarded.len() < LIMIT && self.forwarded.insert(message.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_floods_are_dropped() {
        let mut relay = LogRelay::default();
        assert!(relay.is_new("no more leaves"));
        assert!(!relay.is_new("no more leaves"));
        let forwarded = (0..100)
            .filter(|number| relay.is_new(&number.to_string()))
            .count();
        assert_eq!(forwarded, LIMIT - 1);
    }
}
