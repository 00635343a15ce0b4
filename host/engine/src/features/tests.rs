use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;
use crate::types::{BarSeries, Market, SymbolId, TimeFrame, Timestamp};

const OWN: SymbolId = SymbolId(1);

fn hour() -> TimeFrame {
    "1h".parse().unwrap()
}

/// A random walk of hourly bars at `hours`, every column filled.
fn walk(seed: u64, hours: impl Iterator<Item = i64>) -> Vec<Bar> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut uniform = move || rng.random::<f64>();
    let mut close = 100.0_f64;
    hours
        .map(|at| {
            let open = close * (0.002 * (uniform() - 0.5)).exp();
            close = open * (0.04 * (uniform() - 0.5)).exp();
            let volume = 50.0 + 100.0 * uniform();
            let opened_at = Timestamp::from_nanos(at * hour().nanos());
            Bar {
                opened_at,
                closed_at: opened_at.saturating_add_nanos(hour().nanos()),
                open,
                high: open.max(close) * (1.0 + 0.01 * uniform()),
                low: open.min(close) * (1.0 - 0.01 * uniform()),
                close,
                volume,
                quote_volume: Some(volume * close),
                trades: Some((1000.0 * uniform()).floor()),
                taker_buy_volume: Some(volume * uniform()),
            }
        })
        .collect()
}

fn market_of(all: Vec<Vec<Bar>>) -> Market {
    let series = all
        .into_iter()
        .enumerate()
        .map(|(position, bars)| BarSeries {
            name: ["LEAD", "OWN"][position].to_owned(),
            time_frame: hour(),
            bars,
        });
    Market::new(series.collect()).unwrap()
}

/// Two symbols with short gaps at different hours and one long gap in each.
fn gappy(bars: i64) -> Market {
    let lead = (0..bars).filter(|at| at % 37 != 5 && !(290..310).contains(at));
    let own = (2..bars).filter(|at| at % 41 != 3 && at % 4 != (at / 97) % 29);
    let own = own.filter(|at| !(400..421).contains(at));
    market_of(vec![walk(1, lead), walk(2, own)])
}

fn smooth(bars: i64) -> Market {
    market_of(vec![walk(1, 0..bars), walk(2, 0..bars)])
}

/// Small parameters, so that every kind is warm soon, also on higher bars.
fn short_form(kind: &FeatureKind) -> String {
    let numbers: Vec<String> = kind
        .parameters
        .iter()
        .enumerate()
        .map(|(position, parameter)| {
            let small = parameter.min + 1.0 + position as f64;
            small.min(parameter.default).max(parameter.min).to_string()
        })
        .collect();
    format!("{}({})", kind.name, numbers.join(","))
}

/// How a kind can be used in a market with the symbol LEAD.
fn suffixes(kind: &FeatureKind) -> &'static [&'static str] {
    match kind.reads {
        Reads::Bars => &["", "@4h", "#LEAD", "@4h#LEAD"],
        Reads::Pair(_) => &["#LEAD", "@4h#LEAD"],
        Reads::Market(_) => &["", "@4h"],
    }
}

/// Every kind, plain, on a higher time frame, of the lead, and both, as far as it goes.
fn every_expression() -> Vec<String> {
    let with_suffixes = |kind| {
        let suffixes = suffixes(kind).iter();
        suffixes.map(move |suffix| format!("{}{suffix}", short_form(kind)))
    };
    registry().flat_map(with_suffixes).collect()
}

/// A kind with its defaults, in a market with the symbol LEAD.
fn example(kind: &FeatureKind) -> String {
    kind.example().replace("#BTCUSDT", "#LEAD")
}

fn parse(expressions: &[String], market: &Market) -> FeatureSet {
    FeatureSet::parse(expressions, &FeatureContext::of(market)).unwrap()
}

fn cut(market: &Market, last: Timestamp) -> Market {
    let keep = |series: &BarSeries| {
        series
            .bars
            .iter()
            .filter(|bar| bar.closed_at <= last)
            .copied()
            .collect()
    };
    market_of(market.series().iter().map(keep).collect())
}

const OPTIONS: ExtractOptions = ExtractOptions { max_gap_bars: 12 };

/// Base bars; see [`short_memories`].
const SHORT_OVERLAP: usize = 1000;

/// The first rows in which two extractions differ in any bit, by column name.
fn differences(set: &FeatureSet, a: &[f64], b: &[f64]) -> Vec<String> {
    let pairs = a.iter().zip(b).enumerate();
    let changed = pairs.filter(|(_, (a, b))| a.to_bits() != b.to_bits());
    let names: Vec<&str> = set.names().collect();
    let told = |(position, (a, b)): (usize, (&f64, &f64))| {
        let (row, column) = (position / names.len(), position % names.len());
        format!("{} at row {row}: {a} against {b}", names[column])
    };
    changed.map(told).take(5).collect()
}

#[test]
fn no_feature_of_a_row_changes_when_later_bars_are_removed() {
    let market = gappy(700);
    let set = parse(&every_expression(), &market);
    let whole = extract_exact(&set, &market, OWN, OPTIONS).unwrap();
    assert!(whole.iter().filter(|value| value.is_finite()).count() > whole.len() / 2);
    let bars = &market.get(OWN).unwrap().bars;
    for rows in [1, 2, 63, 64, 65, 66, 67, 289, 305, 383, 400, 511] {
        let prefix = cut(&market, bars[rows - 1].closed_at);
        let part = extract_exact(&set, &prefix, OWN, OPTIONS).unwrap();
        assert_eq!(part.len(), rows * set.len());
        let changed = differences(&set, &part, &whole[..part.len()]);
        assert!(changed.is_empty(), "cut after {rows} rows: {changed:#?}");
    }
}

#[test]
fn no_feature_of_a_row_changes_when_later_bars_move() {
    let market = gappy(500);
    let set = parse(&every_expression(), &market);
    let whole = extract_exact(&set, &market, OWN, OPTIONS).unwrap();
    let rows = 333;
    let last = market.get(OWN).unwrap().bars[rows - 1].closed_at;
    let crash = |bar: &Bar| {
        let factor = if bar.closed_at > last { 0.25 } else { 1.0 };
        Bar {
            open: bar.open * factor,
            high: bar.high * factor,
            low: bar.low * factor,
            close: bar.close * factor,
            volume: bar.volume / factor,
            ..*bar
        }
    };
    let moved = market
        .series()
        .iter()
        .map(|series| series.bars.iter().map(crash).collect());
    let changed = extract_exact(&set, &market_of(moved.collect()), OWN, OPTIONS).unwrap();
    let kept = rows * set.len();
    let told = differences(&set, &changed[..kept], &whole[..kept]);
    assert!(told.is_empty(), "{told:#?}");
    assert!(
        !differences(&set, &changed, &whole).is_empty(),
        "the crash itself must show"
    );
}

#[test]
fn live_steps_give_the_bits_of_the_batch_also_from_a_copied_state() {
    let market = gappy(600);
    let set = parse(&every_expression(), &market);
    let context = FeatureContext::of(&market);
    let batch = extract(&set, &market, OPTIONS).unwrap();
    let mut live = FeatureExtractor::new(&set, &context, OPTIONS).unwrap();
    let mut next = [0_usize; 2];
    for (number, (closed_at, bars)) in market.steps().enumerate() {
        if number == 250 {
            let copy = live.clone();
            live.step(closed_at, &[None, None]).unwrap();
            live = copy;
        }
        for row in live.step(closed_at, &bars).unwrap().iter() {
            let matrix = &batch[row.symbol.index()];
            let at = &mut next[row.symbol.index()];
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(row.values), bits(matrix.row(*at)), "{closed_at}");
            let told = (row.closed_at, row.segment, row.is_valid);
            assert_eq!(
                told,
                (
                    matrix.closed_at[*at],
                    matrix.segment[*at],
                    matrix.is_valid[*at]
                )
            );
            *at += 1;
        }
    }
    assert_eq!(next, [batch[0].rows(), batch[1].rows()]);
}

/// The rows that an extractor gives over steps, with their symbols.
fn live_rows<'a>(
    live: &mut FeatureExtractor,
    steps: impl Iterator<Item = (Timestamp, Vec<Option<&'a Bar>>)>,
) -> Vec<(SymbolId, Timestamp, Vec<u32>)> {
    let mut rows = Vec::new();
    for (closed_at, bars) in steps {
        for row in live.step(closed_at, &bars).unwrap().iter() {
            let bits = row.values.iter().map(|value| value.to_bits()).collect();
            rows.push((row.symbol, row.closed_at, bits));
        }
    }
    rows
}

#[test]
fn a_restored_extractor_goes_on_with_the_same_bits_wherever_it_was_saved() {
    let market = gappy(700);
    let context = FeatureContext::of(&market);
    let set = parse(&every_expression(), &market);
    let fresh = || FeatureExtractor::new(&set, &context, OPTIONS).unwrap();
    let whole = live_rows(&mut fresh(), market.steps());
    for cut in [0, 1, 7, 64, 128, 129, 300, 301, 402, 430, 650] {
        let mut first = fresh();
        let mut rows = live_rows(&mut first, market.steps().take(cut));
        let bytes = first.save();
        drop(first);
        let mut second = FeatureExtractor::restore(&set, &context, OPTIONS, &bytes).unwrap();
        assert_eq!(second.save(), bytes, "saved again after {cut} steps");
        let last = second.last_step_at();
        let since = market
            .steps()
            .filter(|step| last.is_none_or(|last| step.0 > last));
        rows.extend(live_rows(&mut second, since));
        assert!(rows == whole, "cut after {cut} steps");
    }
}

#[test]
fn saved_state_is_refused_where_it_does_not_fit_or_is_damaged() {
    let market = gappy(100);
    let context = FeatureContext::of(&market);
    let set = parse(&["rsi(14)".to_owned(), "beta(5)#LEAD".to_owned()], &market);
    let mut live = FeatureExtractor::new(&set, &context, OPTIONS).unwrap();
    live_rows(&mut live, market.steps());
    let bytes = live.save();
    let other = parse(&["rsi(15)".to_owned()], &market);
    let mut renamed = context.clone();
    renamed.symbols[0].name = "ELSE".to_owned();
    let options = ExtractOptions { max_gap_bars: 3 };
    let refused = |set: &FeatureSet, context: &FeatureContext, options| {
        let error = FeatureExtractor::restore(set, context, options, &bytes).unwrap_err();
        error.to_string()
    };
    let told = refused(&other, &renamed, options);
    for part in [
        "its feature set is",
        "max_gap_bars is 12, here it is 3",
        "symbols is LEAD, OWN, here it is ELSE, OWN",
        "replay",
    ] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    assert!(!told.contains("time frame"), "{told}");
    for at in (0..bytes.len()).step_by(41) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let result = FeatureExtractor::restore(&set, &context, OPTIONS, &damaged);
        assert!(result.is_err(), "byte {at}");
        let cut = FeatureExtractor::restore(&set, &context, OPTIONS, &bytes[..at]);
        assert!(cut.is_err(), "cut at {at}");
    }
}

/// Every row of every symbol, from pieces that end at `cuts`.
fn in_pieces(
    set: &FeatureSet,
    market: &Market,
    symbol: SymbolId,
    cuts: &[usize],
) -> (Vec<u32>, Vec<u32>, Vec<bool>) {
    let (mut bits, mut segments, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    let mut state: Option<Checkpoint> = None;
    let mut begin = 0;
    for &end in cuts.iter().chain([&usize::MAX]) {
        let rows = begin..end;
        let piece = Partition { symbol, rows };
        let (matrix, next) =
            extract_partition(set, market, &piece, state.as_ref(), OPTIONS).unwrap();
        bits.extend(matrix.values.iter().map(|value| value.to_bits()));
        segments.extend_from_slice(&matrix.segment);
        valid.extend_from_slice(&matrix.is_valid);
        (state, begin) = (Some(Checkpoint::from_bytes(next.as_bytes().to_vec())), end);
    }
    (bits, segments, valid)
}

/// Every expression whose overlap is short, which is nearly all of them: a piece that begins far
/// into [`gappy`] is warmed up with a small part of what lies before it.
fn short_memories(market: &Market) -> FeatureSet {
    let every = every_expression();
    let is_short = |text: &&String| {
        let one = parse(std::slice::from_ref(*text), market);
        overlap_bars(&one, hour()) <= SHORT_OVERLAP
    };
    let short: Vec<String> = every.iter().filter(is_short).cloned().collect();
    assert!(
        short.len() * 10 > every.len() * 9,
        "{} of {}",
        short.len(),
        every.len()
    );
    parse(&short, market)
}

/// Values of a piece that was made apart, beginning with row `begin`, that are further from the
/// whole's than promised.
fn strangers(
    set: &FeatureSet,
    whole: &FeatureMatrix,
    part: &FeatureMatrix,
    begin: usize,
) -> Vec<String> {
    let names: Vec<&str> = set.names().collect();
    let column_of = |column: usize| whole.values.iter().skip(column).step_by(names.len());
    let finite = |column| column_of(column).filter(|value| value.is_finite());
    let largest = |column| finite(column).fold(0.0_f32, |scale, value| scale.max(value.abs()));
    let scales: Vec<f32> = (0..names.len()).map(largest).collect();
    let whole = &whole.values[begin * names.len()..][..part.values.len()];
    let pairs = whole.iter().zip(&*part.values).enumerate();
    let is_far = |(at, (a, b)): &(usize, (&f32, &f32))| {
        let allowed = APART_TOLERANCE * f64::from(scales[at % names.len()]);
        let is_near = (a.is_nan() && b.is_nan()) || f64::from((*a - *b).abs()) <= allowed;
        !is_near
    };
    let told = |(at, (a, b)): (usize, (&f32, &f32))| {
        let row = begin + at / names.len();
        format!("{} at row {row}: {a} against {b}", names[at % names.len()])
    };
    pairs.filter(is_far).map(told).take(8).collect()
}

#[test]
fn pieces_on_their_own_do_not_read_the_whole_history() {
    let market = gappy(2600);
    let set = short_memories(&market);
    // What lies further back than the overlap may be anything.
    let mut series = market.series().to_vec();
    for one in &mut series {
        for bar in one.bars.iter_mut().take(200) {
            let scale = 3.0;
            (bar.open, bar.high) = (bar.open * scale, bar.high * scale);
            (bar.low, bar.close) = (bar.low * scale, bar.close * scale);
        }
    }
    let other = market_of(series.into_iter().map(|one| one.bars).collect());
    let rows = market.get(OWN).unwrap().bars.len();
    let piece = Partition {
        symbol: OWN,
        rows: rows - 50..rows,
    };
    let [one, two] = [&market, &other].map(|market| {
        let part = extract_apart(&set, market, &piece, OPTIONS).unwrap();
        part.values
            .iter()
            .map(|value| value.to_bits())
            .collect::<Vec<_>>()
    });
    assert!(one == two, "the bars before the overlap were read");
}

#[test]
fn many_bars_at_once_give_the_bits_of_one_after_the_other() {
    for bars in [walk(8, 0..900), rough(900)] {
        for kind in registry().filter(|kind| matches!(kind.reads, Reads::Bars)) {
            let mut single = (kind.operator)(&Arguments::defaults(kind));
            let mut many = single.clone();
            let expected = bars
                .iter()
                .map(|bar| single.update(bar).unwrap_or(f64::NAN).to_bits());
            let expected: Vec<u64> = expected.collect();
            let mut values = vec![0.0; bars.len()];
            let columns: BarColumns = bars.iter().collect();
            let mut begin = 0;
            for length in [1, 0, 2, 128, 17, 255, 64, 433] {
                let end = begin + length;
                many.update_all(columns.bars().slice(begin..end), &mut values[begin..end]);
                begin = end;
            }
            assert_eq!(begin, bars.len());
            let got: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
            assert!(got == expected, "{}", kind.name);
            assert_eq!(saved(&*many), saved(&*single), "{}", kind.name);
        }
    }
}

/// Bars with everything that carried sums do not bear: prices that stand still for longer than any
/// window, that repeat now and then, and that fall to a thousandth and come back.
fn rough(bars: i64) -> Vec<Bar> {
    let mut bars = walk(9, 0..bars);
    let still = bars[300];
    for (at, bar) in bars.iter_mut().enumerate() {
        let scale = if (520..523).contains(&at) { 1e-3 } else { 1.0 };
        let source = match at {
            300..480 => still,
            _ if at % 7 < 3 => Bar {
                close: 100.0,
                ..*bar
            },
            _ => *bar,
        };
        *bar = Bar {
            open: source.open * scale,
            high: source.high.max(source.close) * scale,
            low: source.low.min(source.close) * scale,
            close: source.close * scale,
            volume: source.volume * f64::from(u8::from(at % 11 != 0)),
            ..*bar
        };
    }
    bars
}

#[test]
fn a_piece_refuses_the_state_of_another_cut() {
    let market = gappy(200);
    let set = parse(&["rsi(14)".to_owned()], &market);
    let piece = |symbol, rows| Partition { symbol, rows };
    let take = |piece: &Partition, start: Option<&Checkpoint>| {
        extract_partition(&set, &market, piece, start, OPTIONS)
    };
    let (_, state) = take(&piece(OWN, 0..50), None).unwrap();
    assert!(take(&piece(OWN, 50..60), Some(&state)).is_ok());
    let missing = take(&piece(OWN, 50..60), None).unwrap_err().to_string();
    assert!(
        missing.contains("row 50") && missing.contains("the beginning"),
        "{missing}"
    );
    let later = take(&piece(OWN, 51..60), Some(&state)).unwrap_err();
    assert!(
        matches!(later, RestoreError::OtherCut { row: 51, .. }),
        "{later}"
    );
    let other = take(&piece(SymbolId(0), 50..60), Some(&state)).unwrap_err();
    assert!(matches!(other, RestoreError::OtherSymbol { .. }), "{other}");
}

#[test]
fn a_piece_that_begins_a_segment_needs_no_predecessor() {
    let market = gappy(700);
    let texts: Vec<String> = registry()
        .filter(|kind| matches!(kind.reads, Reads::Bars))
        .flat_map(|kind| ["", "@4h"].map(|suffix| format!("{}{suffix}", short_form(kind))))
        .collect();
    let set = parse(&texts, &market);
    let whole = extract_symbol(&set, &market, OWN, OPTIONS).unwrap();
    let row = (1..whole.rows())
        .find(|row| whole.segment[*row] != whole.segment[row - 1])
        .unwrap();
    let at = |row| Checkpoint::at_gap(&set, &market, (OWN, row), OPTIONS).unwrap();
    assert!(at(row - 1).is_none() && at(row + 1).is_none());
    let piece = Partition {
        symbol: OWN,
        rows: row..whole.rows(),
    };
    let (part, _) = extract_partition(&set, &market, &piece, at(row).as_ref(), OPTIONS).unwrap();
    assert_eq!(part.segment, whole.segment[row..]);
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!(bits(&part.values) == bits(&whole.values[row * set.len()..]));
    let crossed = parse(&["log_return(1)#LEAD".to_owned()], &market);
    let crossed = Checkpoint::at_gap(&crossed, &market, (OWN, row), OPTIONS).unwrap();
    assert!(
        crossed.is_none(),
        "the lead's bars are not forgotten at an own gap"
    );
}

/// A kind's operators with its defaults and with small parameters.
fn operators(kind: &FeatureKind) -> [(String, Box<dyn Operator>); 2] {
    let market = smooth(1);
    [kind.example(), short_form(kind)].map(|text| {
        let set = parse(std::slice::from_ref(&text), &market);
        let operator = set.features()[0].operator();
        (text, operator)
    })
}

fn saved(operator: &dyn Operator) -> Vec<u8> {
    let mut writer = StateWriter::default();
    operator.save(&mut writer);
    writer.into_bytes()
}

#[test]
fn every_operator_goes_on_from_its_saved_state_bit_by_bit() {
    let bars = walk(8, 0..420);
    for kind in registry().filter(|kind| matches!(kind.reads, Reads::Bars)) {
        for (text, fresh) in operators(kind) {
            let mut whole = fresh.clone();
            let mut restored = fresh.clone();
            for (row, bar) in bars.iter().enumerate() {
                // Restored after every bar, so that nothing lives on outside the saved state.
                let bytes = saved(restored.as_ref());
                restored = fresh.clone();
                let mut reader = StateReader::new(&bytes);
                restored.load(&mut reader).unwrap();
                assert!(reader.is_at_end(), "{text} leaves state unread");
                let (a, b) = (whole.update(bar), restored.update(bar));
                assert_eq!(a.map(f64::to_bits), b.map(f64::to_bits), "{text} at {row}");
            }
        }
    }
}

#[test]
fn a_damaged_state_is_refused_or_harmless() {
    let bars = walk(9, 0..140);
    let mut rng = ChaCha8Rng::seed_from_u64(10);
    for kind in registry().filter(|kind| matches!(kind.reads, Reads::Bars)) {
        let (text, fresh) = operators(kind).into_iter().next_back().unwrap();
        let mut whole = fresh.clone();
        for bar in &bars[..60] {
            whole.update(bar);
        }
        let bytes = saved(whole.as_ref());
        for _ in 0..40 {
            let mut damaged = bytes.clone();
            if let Some(byte) = damaged.get_mut(rng.random_range(0..bytes.len().max(1))) {
                *byte = rng.random();
            }
            let mut other = fresh.clone();
            // A load that succeeds must leave a state that takes in bars without a panic.
            if other.load(&mut StateReader::new(&damaged)).is_ok() {
                for bar in &bars[60..] {
                    other.update(bar);
                }
            }
            let cut = &bytes[..bytes.len().saturating_sub(1)];
            let refused = fresh.clone().load(&mut StateReader::new(cut)).is_err();
            assert!(
                refused || bytes.is_empty(),
                "{text} reads a state that is cut off"
            );
        }
    }
}

#[test]
fn the_first_value_comes_exactly_with_the_warm_up() {
    let market = smooth(700);
    for kind in registry() {
        let short = |suffix| format!("{}{suffix}", short_form(kind));
        let [plain, higher] = match kind.reads {
            Reads::Pair(_) => [short("#LEAD"), short("@4h#LEAD")],
            _ => [short(""), short("@4h")],
        };
        for text in [example(kind), plain, higher] {
            let set = parse(std::slice::from_ref(&text), &market);
            let values = extract_exact(&set, &market, OWN, OPTIONS).unwrap();
            let first = values.iter().position(|value| value.is_finite()).unwrap();
            // History begins with a higher bar here, so its warm-up needs no alignment.
            let alignment = if text.contains("@4h") { 3 } else { 0 };
            assert_eq!(first + 1 + alignment, set.warmup_bars() as usize, "{text}");
            assert!(
                values[first..].iter().all(|value| value.is_finite()),
                "{text}"
            );
        }
    }
}

#[test]
fn where_the_history_begins_fades_as_each_kind_declares() {
    let bars = walk(5, 0..4200);
    let lead = walk(6, 0..4200);
    let late = 311;
    for kind in registry() {
        let arguments = Arguments::defaults(kind);
        let run = |bars: &[Bar]| {
            let lead = lead[lead.len() - bars.len()..].to_vec();
            let market = market_of(vec![lead, bars.to_vec()]);
            let set = parse(&[example(kind)], &market);
            (extract_exact(&set, &market, OWN, OPTIONS).unwrap(), set)
        };
        let ((whole, set), (part, _)) = (run(&bars), run(&bars[late..]));
        let settled = (set.warmup_bars() + kind.settling_bars(&arguments)) as usize;
        assert!(settled < part.len(), "{} never settles", kind.name);
        let scale = part
            .iter()
            .filter(|v| v.is_finite())
            .map(|v| v.abs())
            .fold(0.0, f64::max);
        // Windows agree up to the rounding of carried sums.
        let tolerance = if kind.settling_bars(&arguments) > 0 {
            1e-5
        } else {
            1e-9
        };
        for row in settled..part.len() {
            let difference = (part[row] - whole[row + late]).abs();
            assert!(
                difference <= tolerance * scale,
                "{} at {row}: {difference}",
                kind.name
            );
        }
    }
}

#[test]
fn every_feature_survives_a_market_without_movement_and_volume() {
    let flat = |bar| Bar {
        open: 7.3,
        high: 7.3,
        low: 7.3,
        close: 7.3,
        volume: 0.0,
        quote_volume: Some(0.0),
        trades: Some(0.0),
        taker_buy_volume: Some(0.0),
        ..bar
    };
    let flat: Vec<Bar> = walk(1, 0..400).into_iter().map(flat).collect();
    let market = market_of(vec![flat.clone(), flat]);
    let expressions: Vec<String> = registry().map(example).collect();
    let set = parse(&expressions, &market);
    let values = extract_exact(&set, &market, OWN, OPTIONS).unwrap();
    let last = &values[values.len() - set.len()..];
    for (name, value) in set.names().zip(last) {
        assert!(value.is_finite(), "{name} is {value}");
    }
}

/// Crashes and rallies by whole factors, standing prices, bars without volume, trades or takers.
fn wild(seed: u64, bars: i64) -> Vec<Bar> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut close = 100.0_f64;
    let bars = walk(seed, 0..bars).into_iter();
    bars.map(|bar| {
        let mut pick = |chances: [f64; 3]| chances[rng.random_range(0..3)];
        let open = close * pick([1.0, 1.0, 0.5]);
        close = (open * pick([1.0, 0.05, 12.0])).clamp(1e-6, 1e9);
        let volume = bar.volume * pick([0.0, 1.0, 1e6]);
        Bar {
            open,
            high: open.max(close) * pick([1.0, 1.0, 1.7]),
            low: open.min(close) * pick([1.0, 1.0, 0.3]),
            close,
            volume,
            quote_volume: Some(volume * close),
            trades: Some(if volume > 0.0 { 3.0 } else { 0.0 }),
            taker_buy_volume: Some(volume * pick([0.0, 0.5, 1.0])),
            ..bar
        }
    })
    .collect()
}

#[test]
fn every_feature_stays_finite_in_a_wild_market() {
    let bars = wild(11, 500);
    let mut told = Vec::new();
    for kind in registry().filter(|kind| matches!(kind.reads, Reads::Bars)) {
        for (text, mut operator) in operators(kind) {
            let mut values = bars.iter().map(|bar| operator.update(bar)).enumerate();
            let wrong = values.find(|(_, value)| value.is_some_and(|one| !one.is_finite()));
            told.extend(wrong.map(|(row, value)| format!("{text} is {value:?} at {row}")));
        }
    }
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn a_long_gap_starts_over_and_a_short_one_is_passed_over() {
    let hours = (0..50).filter(|at| !(20..23).contains(at) && !(30..44).contains(at));
    let market = market_of(vec![walk(3, hours)]);
    let set = parse(
        &["log_return(1)".to_owned(), "sma_ratio(3)".to_owned()],
        &market,
    );
    let options = ExtractOptions { max_gap_bars: 3 };
    let matrix = extract_symbol(&set, &market, SymbolId(0), options).unwrap();
    let bars = &market.series()[0].bars;
    let after_short = (bars[20].close / bars[19].close).ln() as f32;
    assert_eq!(matrix.row(20)[0].to_bits(), after_short.to_bits());
    assert_eq!(matrix.segment, [vec![0; 27], vec![1; 6]].concat());
    let invalid: Vec<usize> = (0..33).filter(|row| !matrix.is_valid[*row]).collect();
    assert_eq!(invalid, [0, 1, 27, 28]);
    assert!(matrix.row(27).iter().all(|value| value.is_nan()));
}

#[test]
fn a_lead_that_falls_silent_gives_no_values_until_it_is_back_and_warm() {
    let lead = (0..40).filter(|at| !(10..20).contains(at));
    let market = market_of(vec![walk(1, lead), walk(2, 0..40)]);
    let set = parse(&["log_return(1)#LEAD".to_owned()], &market);
    let options = ExtractOptions { max_gap_bars: 3 };
    let matrix = extract_symbol(&set, &market, OWN, options).unwrap();
    let invalid: Vec<usize> = (0..40).filter(|row| !matrix.is_valid[*row]).collect();
    // Held for three bars, then silent; bar 20 is the first one of its new history.
    assert_eq!(invalid, [0, 13, 14, 15, 16, 17, 18, 19, 20]);
    assert!(matrix.segment.iter().all(|segment| *segment == 0));
}

#[test]
fn a_higher_time_frame_shows_its_last_closed_bar_only() {
    let market = market_of(vec![walk(1, 0..40)]);
    let set = parse(&["log_return(1)@4h".to_owned()], &market);
    let values = extract_exact(&set, &market, SymbolId(0), OPTIONS).unwrap();
    let bars = &market.series()[0].bars;
    for (row, value) in values.iter().enumerate() {
        let closed = (row + 1) / 4;
        if closed < 2 {
            assert!(value.is_nan(), "row {row}");
            continue;
        }
        let [newest, before] = [closed * 4 - 1, closed * 4 - 5].map(|at| bars[at].close);
        let expected = parts::log_ratio(newest, before);
        assert_eq!(value.to_bits(), expected.to_bits(), "row {row}");
    }
}

#[test]
fn an_unusable_bar_gives_an_invalid_row_and_leaves_the_state_alone() {
    let good = walk(4, 0..30);
    let mut bad = good.clone();
    bad[15].close = 0.0;
    let market = market_of(vec![bad]);
    let set = parse(&["rsi(5)".to_owned()], &market);
    let matrix = extract_symbol(&set, &market, SymbolId(0), OPTIONS).unwrap();
    assert!(!matrix.is_valid[15]);
    assert!(matrix.is_valid[16..].iter().all(|valid| *valid));
    let without = [&good[..15], &good[16..]].concat();
    let other = extract_symbol(&set, &market_of(vec![without]), SymbolId(0), OPTIONS).unwrap();
    assert_eq!(matrix.row(20), other.row(19));
}

#[test]
fn bars_that_do_not_fit_are_refused_and_change_nothing() {
    let market = market_of(vec![walk(1, 0..5), walk(2, 0..5)]);
    let set = parse(&["log_return(1)".to_owned()], &market);
    let context = FeatureContext::of(&market);
    let mut live = FeatureExtractor::new(&set, &context, OPTIONS).unwrap();
    let bars: Vec<&Bar> = market.series()[0].bars.iter().collect();
    live.step(bars[1].closed_at, &[Some(bars[1]), None])
        .unwrap();
    let before = format!("{live:?}");
    for (at, step) in [
        (bars[0].closed_at, vec![Some(bars[0]), None]),
        (bars[1].closed_at, vec![Some(bars[1]), None]),
        (bars[3].closed_at, vec![Some(bars[2]), None]),
        (bars[2].closed_at, vec![Some(bars[2])]),
    ] {
        assert!(live.step(at, &step).is_err());
    }
    assert_eq!(format!("{live:?}"), before);
    let doubled = vec![*bars[0], *bars[0]];
    let error = extract(&set, &market_of(vec![doubled]), OPTIONS).unwrap_err();
    assert!(error.to_string().contains("drop duplicates"), "{error}");
}

#[test]
fn parsing_reports_every_problem_of_every_expression() {
    let mut market = gappy(50);
    let mut series = market.series().to_vec();
    series[1].bars[7].taker_buy_volume = None;
    market = Market::new(series).unwrap();
    let texts = [
        "rsi(14)",
        "rs1(14)",
        "rsi(1)@7m#NOPE",
        "macd(30, 20)",
        "sma_ratio(period=5, period=6)",
        "roc(1, 2)",
        "roc(span=2)",
        "roc(2.5)",
        "taker_buy_imbalance",
        "taker_buy_imbalance(2)#LEAD",
        "log_return(24)@1h",
        "rsi",
        "rsi(",
        "beta(24)",
        "market_rank(24)#LEAD",
        "lead_lag_correlation(5, 5)#LEAD",
    ];
    let texts = texts.map(str::to_owned);
    let error = FeatureSet::parse(&texts, &FeatureContext::of(&market)).unwrap_err();
    let told = error.to_string();
    for part in [
        "16 problem(s)",
        "there is no feature `rs1`; did you mean `rsi`?",
        "`period` is 1; it must be a whole number from 2 to 20000",
        "7m does not hold a whole number of the run's 1h bars",
        "the run has no symbol NOPE; it has LEAD, OWN",
        "`fast` must be below `slow`",
        "`period` is given twice",
        "too many parameters; `roc` takes (period)",
        "no parameter `span`",
        "`period` is 2.5",
        "needs the column `taker_buy_volume`, which OWN lacks",
        "the bars are 1h already",
        "`rsi` is the same feature as `rsi(14)`",
        "the closing `)` is missing",
        "`beta` compares two symbols; name the other one, as in `beta(72)#BTCUSDT`",
        "`market_rank` is about all symbols of the run; leave `#LEAD` out",
        "`lag` must be below `period`",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    let alone = FeatureContext::of(&market_of(vec![walk(1, 0..9)]));
    let texts = ["beta(24)#LEAD", "market_rank(24)"].map(str::to_owned);
    let told = FeatureSet::parse(&texts, &alone).unwrap_err().to_string();
    for part in ["compared with itself", "which has one only"] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    let empty = FeatureSet::parse(&[], &FeatureContext::of(&market)).unwrap_err();
    assert_eq!(empty.problems, [FeatureProblem::Empty]);
}

#[test]
fn the_digest_stands_for_meaning_not_for_spelling() {
    let market = smooth(10);
    let digest = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        parse(&texts, &market).digest().to_owned()
    };
    assert_eq!(
        digest(&["rsi", "roc(10)"]),
        digest(&["rsi( period = 14 )", "roc"])
    );
    assert_ne!(digest(&["rsi", "roc"]), digest(&["roc", "rsi"]));
    assert_ne!(digest(&["rsi"]), digest(&["rsi@4h"]));
    assert_eq!(digest(&["rsi"]).len(), 64);
}

#[test]
fn declarations_are_complete_and_names_unique() {
    let mut seen = std::collections::BTreeSet::new();
    for kind in registry() {
        assert!(seen.insert(kind.name), "{} is declared twice", kind.name);
        for text in [kind.summary, kind.formula, kind.source, kind.units] {
            assert!(!text.is_empty(), "{} lacks a text", kind.name);
        }
        for one in kind.parameters {
            assert!(
                one.min <= one.default && one.default <= one.max,
                "{}",
                kind.name
            );
            assert!(!one.doc.is_empty(), "{}", kind.name);
        }
        assert!((1..=5).contains(&kind.tier()));
        assert_eq!(find(kind.name).map(|found| found.name), Some(kind.name));
    }
    assert!(seen.len() >= 150, "{} kinds", seen.len());
}

#[test]
fn calendar_features_are_points_on_a_circle() {
    // 1970-01-05 was a Monday; the bar that opens 95 hours after the epoch closes at its midnight.
    let market = market_of(vec![walk(1, 95..(95 + 24 * 7))]);
    let texts = ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos"].map(str::to_owned);
    let set = parse(&texts, &market);
    let rows = extract_exact(&set, &market, SymbolId(0), OPTIONS).unwrap();
    let near = |row: usize, expected: [f64; 4]| {
        let got = &rows[row * 4..row * 4 + 4];
        assert!(
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
            "{row}: {got:?}"
        );
    };
    near(0, [0.0, 1.0, 0.0, 1.0]);
    near(84, [0.0, -1.0, 0.0, -1.0]);
    near(
        6,
        [
            1.0,
            0.0,
            (std::f64::consts::TAU / 28.0).sin(),
            (std::f64::consts::TAU / 28.0).cos(),
        ],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn results_do_not_depend_on_how_the_work_is_cut(
        mut cuts in proptest::collection::vec(0_usize..420, 0..6),
    ) {
        cuts.sort_unstable();
        let market = gappy(420);
        let set = parse(&every_expression(), &market);
        for symbol in [SymbolId(0), OWN] {
            let whole = in_pieces(&set, &market, symbol, &[]);
            prop_assert!(in_pieces(&set, &market, symbol, &cuts) == whole, "{:?}", cuts);
        }
    }

    #[test]
    fn a_piece_on_its_own_agrees_with_the_whole(begin in 0_usize..2600, length in 1_usize..300) {
        let market = gappy(2600);
        let set = short_memories(&market);
        for symbol in [SymbolId(0), OWN] {
            let whole = extract_symbol(&set, &market, symbol, OPTIONS).unwrap();
            let rows = begin.min(whole.rows())..(begin + length).min(whole.rows());
            let piece = Partition { symbol, rows: rows.clone() };
            let part = extract_apart(&set, &market, &piece, OPTIONS).unwrap();
            prop_assert_eq!(&part.closed_at, &whole.closed_at[rows.clone()]);
            prop_assert_eq!(&part.segment, &whole.segment[rows.clone()]);
            prop_assert_eq!(&part.is_valid, &whole.is_valid[rows.clone()]);
            let strangers = strangers(&set, &whole, &part, rows.start);
            prop_assert!(strangers.is_empty(), "{:#?}", strangers);
        }
    }

    #[test]
    fn truncation_holds_for_any_gaps(seed: u64, keep in 0.5_f64..1.0, rows in 1_usize..150) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let hours = |rng: &mut ChaCha8Rng| -> Vec<i64> {
            (0..200).filter(|_| rng.random::<f64>() < keep).collect()
        };
        let (lead, own) = (hours(&mut rng), hours(&mut rng));
        let market = market_of(vec![walk(seed, lead.into_iter()), walk(!seed, own.into_iter())]);
        let bars = &market.get(OWN).unwrap().bars;
        prop_assume!(rows <= bars.len());
        let set = parse(&every_expression(), &market);
        let options = ExtractOptions { max_gap_bars: 2 };
        let whole = extract_exact(&set, &market, OWN, options).unwrap();
        let prefix = cut(&market, bars[rows - 1].closed_at);
        let part = extract_exact(&set, &prefix, OWN, options).unwrap();
        let changed = differences(&set, &part, &whole[..part.len()]);
        prop_assert!(changed.is_empty(), "{:#?}", changed);
    }
}
