//! The names in a data directory: `<DIR>/<EXCHANGE>/<SYMBOL>-<TF>.parquet`.

use std::path::{Path, PathBuf};

use fusebox_engine::types::TimeFrame;

use super::DataError;

const EXTENSION: &str = "parquet";

/// The name of the file with the bars of one symbol and length.
#[must_use]
pub fn file_name(symbol: &str, time_frame: TimeFrame) -> String {
    format!("{symbol}-{time_frame}.{EXTENSION}")
}

/// The symbol and bar length in a file's name; `None` where it is not the name of a candle file.
#[must_use]
pub fn parse_file_name(path: &Path) -> Option<(String, TimeFrame)> {
    let (symbol, time_frame) = path.file_stem()?.to_str()?.rsplit_once('-')?;
    let named = !symbol.is_empty() && !symbol.starts_with('.');
    let time_frame = time_frame.parse().ok()?;
    named.then(|| (symbol.to_owned(), time_frame))
}

/// Whether a directory entry may be a candle file: hidden ones are unfinished writes.
pub(super) fn is_candle_file(path: &Path) -> bool {
    let is_hidden = path
        .file_name()
        .is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !is_hidden && path.extension().is_some_and(|ending| ending == EXTENSION)
}

/// Where the bars of one symbol and length lie.
pub(super) fn path_of(
    dir: &Path,
    exchange: &str,
    symbol: &str,
    time_frame: TimeFrame,
) -> Result<PathBuf, DataError> {
    check_name(exchange, "an exchange")?;
    check_name(symbol, "a symbol")?;
    Ok(dir.join(exchange).join(file_name(symbol, time_frame)))
}

/// Refuses names that would lead out of the directory or hide the file.
pub(super) fn check_name(name: &str, what: &'static str) -> Result<(), DataError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.starts_with('.') {
        "it begins with a dot"
    } else if name.contains(['/', '\\']) {
        "it contains a path separator"
    } else if name.chars().any(char::is_control) {
        "it contains a control character"
    } else {
        return Ok(());
    };
    let name = name.to_owned();
    Err(DataError::BadName { name, what, reason })
}

/// `path` below `dir`, with `/` on every system.
pub(super) fn relative(dir: &Path, path: &Path) -> String {
    let inner = path.strip_prefix(dir).unwrap_or(path);
    let parts: Vec<_> = inner.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_names() {
        let hour: TimeFrame = "1h".parse().unwrap();
        let name = file_name("BTC-USDT", hour);
        let parsed = parse_file_name(Path::new(&name));
        assert_eq!(parsed, Some(("BTC-USDT".to_owned(), hour)));
    }

    #[test]
    fn other_names_are_no_candle_files() {
        for name in ["BTCUSDT.parquet", "-1h.parquet", "BTCUSDT-bbo.parquet", ""] {
            assert_eq!(parse_file_name(Path::new(name)), None, "{name}");
        }
        assert!(!is_candle_file(Path::new("a/.BTCUSDT-1h.parquet")));
        assert!(!is_candle_file(Path::new("a/BTCUSDT-1h.csv")));
        assert!(is_candle_file(Path::new("a/BTCUSDT-1h.parquet")));
    }

    #[test]
    fn names_cannot_lead_out_of_the_directory() {
        for name in ["", "..", ".hidden", "a/b", "a\\b", "a\nb"] {
            assert!(check_name(name, "a symbol").is_err(), "{name:?}");
        }
        assert!(check_name("BTC/USDT:USDT".replace('/', "-").as_str(), "a symbol").is_ok());
    }
}
