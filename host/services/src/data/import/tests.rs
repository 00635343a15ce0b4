use super::*;
use crate::data::{DataRequest, load_market};
use crate::progress::Silent;

const HEADER: &str = "time,open,high,low,close,volume\n";

struct Workplace(tempfile::TempDir);

impl Workplace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn options(&self, text: &str) -> ImportOptions {
        let source = self.0.path().join("download.csv");
        fs::write(&source, text).unwrap();
        let dir = self.0.path().join("data");
        ImportOptions::new(source, dir, "VENUE".to_owned(), "X".to_owned())
    }

    fn import(&self, text: &str) -> Result<ImportOutcome, DataError> {
        import(&self.options(text), &Silent)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("data/VENUE/X-1h.parquet")
    }
}

fn rows(range: std::ops::Range<i64>) -> String {
    let line = |row: i64| {
        format!(
            "{},10,12,9,{},5\n",
            1_640_995_200 + 3600 * row,
            10 + row % 2
        )
    };
    range.map(line).collect()
}

#[test]
fn a_csv_file_becomes_a_candle_file_that_loads() {
    let place = Workplace::new();
    let outcome = place.import(&format!("{HEADER}{}", rows(0..5))).unwrap();
    assert_eq!(
        (outcome.rows_read, outcome.rows_added, outcome.rows),
        (5, 5, 5)
    );
    assert_eq!(outcome.time_frame.to_string(), "1h");
    assert_eq!(outcome.path, place.file());
    let loaded = load_market(&DataRequest {
        dir: place.0.path().join("data"),
        exchange: "VENUE".to_owned(),
        symbols: vec!["X".to_owned()],
        time_frame: outcome.time_frame,
        from: None,
        to: None,
    })
    .unwrap();
    assert_eq!(loaded.files[0].sha256, outcome.sha256);
    assert_eq!(loaded.market.series()[0].bars.len(), 5);
}

#[test]
fn candles_that_agree_are_merged_in_order_of_time() {
    let place = Workplace::new();
    place
        .import(&format!("{HEADER}{}{}", rows(2..6), rows(9..12)))
        .unwrap();
    let outcome = place.import(&format!("{HEADER}{}", rows(0..10))).unwrap();
    assert_eq!(
        (outcome.rows_read, outcome.rows_added, outcome.rows),
        (10, 5, 12)
    );
    let again = place.import(&format!("{HEADER}{}", rows(3..8))).unwrap();
    assert_eq!((again.rows_added, again.rows), (0, 12));
    assert_eq!(again.sha256, outcome.sha256);
}

#[test]
fn candles_that_disagree_are_refused_and_the_first_is_shown() {
    let place = Workplace::new();
    place.import(&format!("{HEADER}{}", rows(0..5))).unwrap();
    let before = fs::read(place.file()).unwrap();
    let other = format!("{HEADER}{}", rows(2..8).replace(",5\n", ",6\n"));
    let error = place.import(&other).unwrap_err();
    let text = error.to_string();
    for part in [
        "candle of 2022-01-01T02:00:00Z has volume 5 there and 6 in the import",
        "3 of 3 shared candles differ",
        "--replace",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(fs::read(place.file()).unwrap(), before);
    let replacing = ImportOptions {
        replace: true,
        ..place.options(&other)
    };
    let outcome = import(&replacing, &Silent).unwrap();
    assert!(outcome.replaced);
    assert_eq!(outcome.rows, 6);
}

#[test]
fn every_error_of_the_source_is_told_and_nothing_is_written() {
    let place = Workplace::new();
    let text = format!(
        "{HEADER}{}1641009600,10,8,9,10,-5\n1641013200,x,12,9,10,5\n",
        rows(0..4)
    );
    let error = place.import(&text).unwrap_err();
    let text = error.to_string();
    for part in [
        "line 7 `x`",
        "high below low at line 6",
        "negative amount at line 6",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!place.file().exists());
}

#[test]
fn a_stated_time_frame_must_be_that_of_the_candles() {
    let place = Workplace::new();
    let mut options = place.options(&format!("{HEADER}{}", rows(0..5)));
    options.time_frame = "4h".parse().ok();
    let error = import(&options, &Silent).unwrap_err().to_string();
    assert!(
        error.contains("should be 4h apart, but are mostly 1h"),
        "{error}"
    );
}

#[test]
fn a_parquet_file_of_other_names_is_imported() {
    let place = Workplace::new();
    place.import(&format!("{HEADER}{}", rows(0..5))).unwrap();
    let mut options = place.options("");
    options.source = place.file();
    options.symbol = "Y".to_owned();
    let outcome = import(&options, &Silent).unwrap();
    assert!(outcome.path.ends_with("Y-1h.parquet"));
    assert_eq!(
        fs::read(outcome.path).unwrap(),
        fs::read(place.file()).unwrap()
    );
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let place = Workplace::new();
    let mut options = place.options(&format!("{HEADER}{}", rows(0..5)));
    options.symbol = "../X".to_owned();
    assert!(matches!(
        import(&options, &Silent),
        Err(DataError::BadName { .. })
    ));
    assert!(!place.0.path().join("data").exists());
}
