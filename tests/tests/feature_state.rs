//! Batch, bar by bar, and restored from saved state at random places: the same bits for every kind,
//! on recorded candles with gaps; pieces that are made apart, each warmed up by itself, agree with
//! the whole. Skips with a printed reason where there are none; the same holds
//! on synthetic bars in the engine's own tests.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

use std::path::{Path, PathBuf};

use fusebox_engine::features::{
    APART_TOLERANCE, Checkpoint, ExtractOptions, FeatureContext, FeatureExtractor, FeatureKind,
    FeatureMatrix, FeatureSet, Partition, Reads, extract, extract_apart, extract_partition,
    extract_symbol, overlap_bars, registry,
};
use fusebox_engine::types::{Market, SymbolId, Timestamp};
use fusebox_services::data::{DataRequest, load_market};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The candle folder, or a printed reason why the test is skipped.
fn candles() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/candles");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there are no recorded candles in ../shared/data/candles");
    None
}

/// Bars of some symbols between two dates.
fn load(
    dir: PathBuf,
    (exchange, symbols, time_frame): (&str, &[&str], &str),
    range: [&str; 2],
) -> Market {
    let [from, to] = range.map(|text| Some(text.parse().unwrap()));
    let request = DataRequest {
        dir,
        exchange: exchange.to_owned(),
        symbols: symbols.iter().map(|one| (*one).to_owned()).collect(),
        time_frame: time_frame.parse().unwrap(),
        from,
        to,
    };
    load_market(&request).unwrap().market
}

/// Every use of every kind that the market allows: plain, on a higher time frame, of the first
/// symbol, and across symbols.
fn every_use(market: &Market, higher: &str) -> FeatureSet {
    let context = FeatureContext::of(market);
    let lead = context.symbols[0].name.clone();
    let texts = |kind: &'static FeatureKind| match kind.reads {
        Reads::Bars => vec![
            kind.example(),
            format!("{}@{higher}", kind.example()),
            format!("{}#{lead}", kind.example()),
        ],
        Reads::Pair(_) => vec![kind.example().replace("BTCUSDT", &lead)],
        Reads::Market(_) => vec![kind.example()],
    };
    let is_possible =
        |text: &String| FeatureSet::parse(std::slice::from_ref(text), &context).is_ok();
    let texts: Vec<String> = registry().flat_map(texts).filter(is_possible).collect();
    FeatureSet::parse(&texts, &context).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Steps through the market, saving and restoring at `cuts`, and compares every row.
fn require_live_equals_batch(
    (set, market): (&FeatureSet, &Market),
    options: ExtractOptions,
    batch: &[FeatureMatrix],
    cuts: &[Timestamp],
) {
    let context = FeatureContext::of(market);
    let mut live = FeatureExtractor::new(set, &context, options).unwrap();
    let mut next = vec![0_usize; batch.len()];
    for (closed_at, bars) in market.steps() {
        for row in live.step(closed_at, &bars).unwrap().iter() {
            let symbol = row.symbol.index();
            let expected = batch[symbol].row(next[symbol]);
            let is_same = row.values.iter().zip(expected);
            let differing = is_same
                .enumerate()
                .find(|(_, (a, b))| a.to_bits() != b.to_bits());
            let name = differing.and_then(|(column, _)| set.names().nth(column));
            assert_eq!(differing, None, "{name:?} at {closed_at}");
            next[symbol] += 1;
        }
        if cuts.contains(&closed_at) {
            let bytes = live.save();
            live = FeatureExtractor::restore(set, &context, options, &bytes).unwrap();
        }
    }
    let rows: Vec<usize> = batch.iter().map(FeatureMatrix::rows).collect();
    assert_eq!(next, rows);
}

/// Five rows to cut before, ascending.
fn random_cuts(whole: &FeatureMatrix, random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..5)
        .map(|_| random.random_range(0..whole.rows()))
        .collect();
    cuts.sort_unstable();
    cuts
}

fn require_pieces_equal_batch(
    (set, market): (&FeatureSet, &Market),
    options: ExtractOptions,
    whole: &FeatureMatrix,
    random: &mut ChaCha8Rng,
) {
    let cuts = random_cuts(whole, random);
    let (mut begin, mut state): (usize, Option<Checkpoint>) = (0, None);
    let (mut values, mut segments) = (Vec::new(), Vec::new());
    for &end in cuts.iter().chain([&whole.rows()]) {
        let piece = Partition {
            symbol: whole.symbol,
            rows: begin..end,
        };
        let (part, next) = extract_partition(set, market, &piece, state.as_ref(), options).unwrap();
        values.extend(bits(&part.values));
        segments.extend(part.segment);
        (begin, state) = (end, Some(next));
    }
    assert!(values == bits(&whole.values), "cut at {cuts:?}");
    assert_eq!(segments, whole.segment);
}

fn require_all_the_same(market: &Market, higher: &str, options: ExtractOptions) {
    let set = every_use(market, higher);
    assert!(set.len() > 100, "{} columns", set.len());
    let batch = extract(&set, market, options).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let times: Vec<Timestamp> = market.steps().map(|step| step.0).collect();
    let cuts: Vec<Timestamp> = (0..6)
        .map(|_| times[random.random_range(0..times.len())])
        .collect();
    require_live_equals_batch((&set, market), options, &batch, &cuts);
    for matrix in &batch {
        require_pieces_equal_batch((&set, market), options, matrix, &mut random);
    }
    for (id, matrix) in (0..).map(SymbolId).zip(&batch) {
        println!(
            "{:?}: {} rows of {} columns, {} valid, {} segments",
            market.get(id).map(|series| series.name.as_str()),
            matrix.rows(),
            set.len(),
            matrix.valid_rows(),
            matrix.segment.last().map_or(0, |last| last + 1)
        );
    }
}

#[test]
fn minutes_with_missing_months_give_the_same_bits_every_way() {
    let Some(dir) = candles() else { return };
    let what = ("BINANCE_UM", &["FILUSDT"][..], "1m");
    let market = load(dir, what, ["2023-02-24", "2023-04-04"]);
    require_all_the_same(&market, "15m", ExtractOptions { max_gap_bars: 60 });
}

#[test]
fn thin_minutes_of_two_symbols_give_the_same_bits_every_way() {
    let Some(dir) = candles() else { return };
    let what = ("BITFINEX", &["XRPUSD", "ETHUSD"][..], "1m");
    let market = load(dir, what, ["2019-01-06", "2019-01-09"]);
    let bars: Vec<usize> = market.series().iter().map(|one| one.bars.len()).collect();
    assert!(bars[0] != bars[1], "the recording has gaps: {bars:?}");
    require_all_the_same(&market, "15m", ExtractOptions { max_gap_bars: 5 });
}

/// Rows of one symbol in pieces between random cuts, each made apart from the others.
fn require_apart_agrees_with_batch(
    (set, market): (&FeatureSet, &Market),
    options: ExtractOptions,
    whole: &FeatureMatrix,
    random: &mut ChaCha8Rng,
) {
    let cuts = [vec![0], random_cuts(whole, random), vec![whole.rows()]].concat();
    let pieces: Vec<Partition> = cuts
        .windows(2)
        .map(|ends| Partition {
            symbol: whole.symbol,
            rows: ends[0]..ends[1],
        })
        .collect();
    // Nothing is handed on, so they may be made at the same time.
    let parts: Vec<FeatureMatrix> = std::thread::scope(|scope| {
        let make = |piece| move || extract_apart(set, market, piece, options).unwrap();
        let threads: Vec<_> = pieces
            .iter()
            .map(|piece| scope.spawn(make(piece)))
            .collect();
        threads.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let joined = |of: fn(&FeatureMatrix) -> Vec<u32>| parts.iter().flat_map(of).collect::<Vec<_>>();
    assert_eq!(joined(|one| one.segment.clone()), whole.segment);
    let valid: Vec<bool> = parts.iter().flat_map(|one| one.is_valid.clone()).collect();
    assert_eq!(valid, whole.is_valid, "cut at {cuts:?}");
    let width = set.len();
    let mut scales = vec![0.0_f32; width];
    for row in whole.values.chunks(width) {
        for (scale, value) in scales.iter_mut().zip(row).filter(|one| one.1.is_finite()) {
            *scale = scale.max(value.abs());
        }
    }
    let values = parts.iter().flat_map(|one| one.values.iter());
    let (mut equal, mut worst) = (0, 0.0_f64);
    for (at, (a, b)) in values.zip(&*whole.values).enumerate() {
        if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
            equal += 1;
            continue;
        }
        let share = f64::from((a - b).abs()) / f64::from(scales[at % width]);
        let name = set.names().nth(at % width);
        assert!(
            share <= APART_TOLERANCE,
            "{name:?} of row {}: {a}, {b}",
            at / width
        );
        worst = worst.max(share);
    }
    println!(
        "{equal} of {} values have the same bits, the others differ by at most {worst:.1e}",
        whole.values.len()
    );
}

#[test]
fn pieces_made_apart_agree_with_the_whole() {
    let Some(dir) = candles() else { return };
    let what = ("BITFINEX", &["ETHUSD", "XRPUSD"][..], "1m");
    let market = load(dir, what, ["2018-12-25", "2019-01-20"]);
    let context = FeatureContext::of(&market);
    let options = ExtractOptions { max_gap_bars: 60 };
    let is_wanted = |text: &String| {
        let one = FeatureSet::parse(std::slice::from_ref(text), &context);
        // The slowest are warm after weeks of minutes; a piece of these would begin at the start.
        one.is_ok_and(|one| overlap_bars(&one, market.time_frame()) <= 5000)
    };
    let every = registry().flat_map(|kind| {
        let text = kind.example().replace("BTCUSDT", "ETHUSD");
        match kind.reads {
            Reads::Bars => vec![format!("{text}@15m"), text],
            Reads::Pair(_) | Reads::Market(_) => vec![text],
        }
    });
    let texts: Vec<String> = every.filter(is_wanted).collect();
    let set = FeatureSet::parse(&texts, &context).unwrap();
    assert!(set.len() > 200, "{} columns", set.len());
    println!(
        "{} columns, {} bars of overlap",
        set.len(),
        overlap_bars(&set, market.time_frame())
    );
    let mut random = ChaCha8Rng::seed_from_u64(12);
    for symbol in [SymbolId(0), SymbolId(1)] {
        let whole = extract_symbol(&set, &market, symbol, options).unwrap();
        require_apart_agrees_with_batch((&set, &market), options, &whole, &mut random);
    }
}
