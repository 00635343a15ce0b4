//! `fusebox plugin audit`: what happened to every generation.

use clap::Args;
use fusebox_loader::live::AuditEvent;
use fusebox_loader::live::audit::read_events;
use fusebox_plugin_api::config::nearest;
use serde::Serialize;

use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::output::table;
use crate::wiring::Installed;

/// Show what happened to every generation: one line per transition, newest last
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox plugin audit --last 30
  fusebox plugin audit --model ema --json")]
pub(crate) struct AuditArgs {
    /// Events to show, counted from the newest
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    last: usize,
    /// Events of this live model only, or of the plugin of this id
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Debug, Serialize)]
struct Shown {
    state_dir: String,
    is_running: bool,
    events: Vec<AuditEvent>,
}

pub(crate) fn run(args: &AuditArgs, context: &Context) -> Result<(), Failure> {
    let settings = engine_settings(&args.engine, context)?;
    let state_dir = &settings.state_dir;
    let mut events = read_events(state_dir, 0).map_err(|error| {
        let place = format!("cannot read the audit log in {}", state_dir.display());
        Failure::Failed(anyhow::Error::from(error).context(place))
    })?;
    if let Some(name) = &args.model {
        let is_meant = |event: &AuditEvent| event.model == *name || event.plugin == *name;
        if !events.iter().any(is_meant) {
            return Err(unknown(name, &events, &Installed::read(&settings)?));
        }
        events.retain(is_meant);
    }
    events.drain(..events.len().saturating_sub(args.last));
    let shown = Shown {
        state_dir: state_dir.display().to_string(),
        is_running: fusebox_loader::live::control::is_running(state_dir),
        events,
    };
    context.output.show(&shown, || text(&shown))
}

/// Nothing ever happened to what is asked for: it does not exist, or it was never live.
fn unknown(name: &str, events: &[AuditEvent], installed: &Installed) -> Failure {
    let told = events.iter().flat_map(|one| [&*one.model, &*one.plugin]);
    let mut known: Vec<&str> = told.filter(|name| !name.is_empty()).collect();
    known.sort_unstable();
    known.dedup();
    let hint = match nearest(name, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if installed.check_name(name).is_ok() => "it was never live".to_owned(),
        None if known.is_empty() => "nothing was live here yet".to_owned(),
        None => format!("there is: {}", known.join(", ")),
    };
    Failure::Usage(format!(
        "no event is about a model or plugin `{name}`; {hint}"
    ))
}

fn text(shown: &Shown) -> String {
    if shown.events.is_empty() {
        return format!("nothing happened yet in {}", shown.state_dir);
    }
    let mut table = table(&[
        "#",
        "time (UTC)",
        "model",
        "event",
        "version",
        "generation",
        "ms",
        "reason",
    ]);
    for event in &shown.events {
        table.add_row(cells(event));
    }
    table.to_string()
}

fn cells(event: &AuditEvent) -> [String; 8] {
    let dash = || "-".to_owned();
    let words = |words: &String| shortened(words);
    let reason = match (&event.reason, &event.message) {
        (Some(reason), Some(message)) => format!("{reason}: {}", words(message)),
        (Some(reason), None) => reason.to_string(),
        (None, message) => message.as_ref().map(words).unwrap_or_default(),
    };
    [
        event.seq.to_string(),
        time(event.at_unix_ns),
        if event.model.is_empty() {
            dash()
        } else {
            event.model.clone()
        },
        event_name(event),
        version(event),
        event
            .generation
            .map_or_else(dash, |number| number.to_string()),
        format!("{:.1}", event.duration_us as f64 / 1e3),
        reason,
    ]
}

/// The version of the weights with that of the code, or of the code alone.
fn version(event: &AuditEvent) -> String {
    match &event.weights {
        Some(weights) if event.version.is_empty() => weights.clone(),
        Some(weights) => format!("{weights} (code {})", event.version),
        None if event.version.is_empty() => "-".to_owned(),
        None => event.version.clone(),
    }
}

/// A sentence as far as a table has room for it; `--json` has all of it.
fn shortened(words: &str) -> String {
    const MOST: usize = 100;
    match words.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

/// The event as one word, such as `promoted`.
pub(super) fn event_name(event: &AuditEvent) -> String {
    let text = serde_json::to_string(&event.event).unwrap_or_default();
    text.trim_matches('"').to_owned()
}

/// A moment to the millisecond, in as many characters whenever it is.
fn time(unix_ns: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    let past = unix_ns.rem_euclid(SECOND);
    let second = fusebox_engine::types::Timestamp::from_nanos(unix_ns - past).to_string();
    format!("{}.{:03}Z", second.trim_end_matches('Z'), past / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_as_many_digits_whenever_they_are() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_500_000_000), "1970-01-01T00:00:01.500Z");
        assert_eq!(time(1_002_999_999), "1970-01-01T00:00:01.002Z");
    }
}
