//! What a person sees on the standard error while a command works: progress bars where it is a
//! terminal, and logs, which never tear a bar.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fusebox_services::progress::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;

use crate::config::raw::RawLogLevel;

/// How often a bar moves while nothing is reported.
const TICK: Duration = Duration::from_millis(120);

/// The standard error of a command.
#[derive(Debug)]
pub(crate) struct Terminal {
    bars: MultiProgress,
    current: Mutex<Option<ProgressBar>>,
    level: Option<reload::Handle<LevelFilter, Registry>>,
    is_level_chosen: bool,
}

impl Terminal {
    /// Starts logging. Each `verbose` tells more than warnings, `quiet` errors only and no bars.
    pub(crate) fn start(quiet: bool, verbose: u8) -> Self {
        let shows_bars = io::stderr().is_terminal() && !quiet;
        let target = if shows_bars {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bars = MultiProgress::with_draw_target(target);
        let level = match (quiet, verbose) {
            (true, _) => LevelFilter::ERROR,
            (false, 0) => LevelFilter::WARN,
            (false, 1) => LevelFilter::INFO,
            (false, 2) => LevelFilter::DEBUG,
            (false, _) => LevelFilter::TRACE,
        };
        let (filter, handle) = reload::Layer::new(level);
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(LogWriter { bars: bars.clone() })
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .without_time();
        let subscriber = Registry::default().with(filter).with(lines);
        let is_first = tracing::subscriber::set_global_default(subscriber).is_ok();
        Self {
            bars,
            current: Mutex::new(None),
            level: is_first.then_some(handle),
            is_level_chosen: quiet || verbose > 0,
        }
    }

    /// Takes the level of the configuration, unless the command line chose one.
    pub(crate) fn use_level(&self, level: RawLogLevel) {
        let level = match level {
            RawLogLevel::Error => LevelFilter::ERROR,
            RawLogLevel::Warn => LevelFilter::WARN,
            RawLogLevel::Info => LevelFilter::INFO,
            RawLogLevel::Debug => LevelFilter::DEBUG,
            RawLogLevel::Trace => LevelFilter::TRACE,
        };
        if let Some(handle) = self.level.as_ref().filter(|_| !self.is_level_chosen)
            && let Err(error) = handle.modify(|current| *current = level)
        {
            tracing::warn!("the log level stays as it was: {error}");
        }
    }

    fn replace(&self, bar: Option<ProgressBar>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = std::mem::replace(&mut *current, bar) {
            before.finish_and_clear();
        }
    }
}

impl Progress for Terminal {
    fn start(&self, what: &str, total: u64) {
        if self.bars.is_hidden() {
            return;
        }
        let (bar, form) = match total {
            0 => (ProgressBar::new_spinner(), "{spinner} {msg} ({elapsed})"),
            _ => (
                ProgressBar::new(total),
                "{msg:28!} {wide_bar} {human_pos}/{human_len} ({eta}) {prefix}",
            ),
        };
        // The forms above are constants; an unreadable one falls back to the library's own.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        let bar = self.bars.add(bar);
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(TICK);
        self.replace(Some(bar));
    }

    fn advance(&self, by: u64) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = current.as_ref() {
            bar.inc(by);
        }
    }

    fn finish(&self) {
        self.replace(None);
    }

    fn note(&self, words: &dyn Fn() -> String) {
        if self.bars.is_hidden() {
            return;
        }
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = current.as_ref() {
            bar.set_prefix(words());
        }
    }
}

/// Writes log lines above the bars.
#[derive(Debug, Clone)]
struct LogWriter {
    bars: MultiProgress,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars
            .suspend(|| io::stderr().lock().write_all(bytes))
            .map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
