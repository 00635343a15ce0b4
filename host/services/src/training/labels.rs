//! How the labels of all symbols came out, for the report.

use fusebox_engine::labels::{
    CLASSES, EventFilter, Label, LabelConfig, LabelKind, LabelReport as Counts, PrimaryKind,
    ReturnUnit,
};

use super::prepare::Prepared;
use super::spec::PipelineSpec;
use crate::report::{ClassCount, HorizonBucket, LabelReport, LagCorrelation};

/// Buckets of the label horizon.
const HORIZON_BUCKETS: u32 = 12;

/// How the labels of all symbols came out.
pub(super) fn label_report(spec: &PipelineSpec, prepared: &Prepared) -> LabelReport {
    let per_symbol: Vec<Counts> = prepared
        .samples
        .symbols()
        .map(|symbol| Counts::of(&symbol.labels.labels))
        .collect();
    let sum = |count: &dyn Fn(&Counts) -> usize| -> u64 {
        per_symbol.iter().map(|one| count(one) as u64).sum()
    };
    let weighted = |value: &dyn Fn(&Counts) -> Option<f64>| -> Option<f64> {
        let total: usize = per_symbol.iter().map(|one| one.labelled).sum();
        let values = per_symbol
            .iter()
            .filter_map(|one| Some(value(one)? * one.labelled as f64));
        (total > 0).then(|| values.sum::<f64>() / total as f64)
    };
    let named = |name: &str, rows: u64| ClassCount {
        name: name.to_owned(),
        rows,
    };
    let symbols = prepared.samples.symbols();
    LabelReport {
        description: description(&spec.labels),
        labelled_rows: sum(&|one| one.labelled),
        unlabelled_rows: sum(&|one| one.bars - one.labelled),
        event_rows: symbols.map(|symbol| symbol.labels.events as u64).sum(),
        ambiguous_rows: sum(&|one| one.ambiguous),
        balance: (0..CLASSES.len())
            .map(|class| named(CLASSES[class], sum(&|one| one.class_counts[class])))
            .collect(),
        reasons: vec![
            named("upper", sum(&|one| one.upper)),
            named("lower", sum(&|one| one.lower)),
            named("vertical", sum(&|one| one.vertical)),
            named("ambiguous", sum(&|one| one.ambiguous)),
        ],
        horizon: horizon(spec, prepared),
        mean_horizon_bars: weighted(&|one| one.mean_duration_bars),
        mean_uniqueness: weighted(&|one| one.average_uniqueness),
        effective_rows: per_symbol.iter().map(|one| one.effective_samples).sum(),
        mean_concurrency: weighted(&|one| one.mean_concurrency),
        largest_concurrency: per_symbol
            .iter()
            .map(|one| one.largest_concurrency as u64)
            .max()
            .unwrap_or(0),
        autocorrelation: autocorrelation(&per_symbol),
    }
}

/// The mean over symbols at each lag that any has, by pairs.
fn autocorrelation(per_symbol: &[Counts]) -> Vec<LagCorrelation> {
    let longest = per_symbol.iter().map(|one| one.autocorrelation.len()).max();
    let at = |position: usize| {
        let found = per_symbol
            .iter()
            .filter_map(|one| one.autocorrelation.get(position));
        let lag = found.clone().next().map_or(0, |one| one.lag_bars);
        let (mut pairs, mut sum) = (0.0_f64, 0.0_f64);
        for (count, value) in found.filter_map(|one| Some((one.pairs, one.value?))) {
            pairs += count as f64;
            sum += count as f64 * value;
        }
        LagCorrelation {
            lag_bars: lag as u64,
            value: (pairs > 0.0).then(|| sum / pairs),
        }
    };
    (0..longest.unwrap_or(0)).map(at).collect()
}

fn description(labels: &LabelConfig) -> String {
    let horizon = labels.horizon_bars;
    let thresholds = format!(
        "{} sigma up, {} sigma down, volatility span {} bars",
        labels.upper_sigmas, labels.lower_sigmas, labels.volatility_span_bars
    );
    let scheme = match labels.kind {
        LabelKind::TripleBarrier => format!("triple barrier, {horizon} bars, {thresholds}"),
        LabelKind::FixedHorizon => format!("fixed horizon, {horizon} bars, {thresholds}"),
        LabelKind::FixedThreshold => format!(
            "fixed threshold, {horizon} bars, log return {} up, {} down",
            labels.upper_return, labels.lower_return
        ),
        LabelKind::TrendScanning => format!(
            "trend scanning, {} to {horizon} bars, flat below a t-value of {}",
            labels.trend_min_bars, labels.trend_min_t_value
        ),
        LabelKind::ForwardReturns => {
            let horizons = labels.horizons_bars();
            let horizons: Vec<String> = horizons.iter().map(usize::to_string).collect();
            let unit = match labels.target_unit {
                ReturnUnit::Sigmas => "volatilities of the horizon",
                ReturnUnit::LogReturn => "log returns",
            };
            format!(
                "forward returns in {unit}, {} bars; classes at {thresholds}",
                horizons.join(", ")
            )
        }
        LabelKind::MetaLabels => format!(
            "meta-labels of {}, {horizon} bars, profit at {} sigma, loss at {} sigma, paid above \
             {} bps",
            primary(labels),
            labels.upper_sigmas,
            labels.lower_sigmas,
            labels.minimum_profit_bps
        ),
    };
    match labels.events {
        EventFilter::All => scheme,
        EventFilter::Cusum => {
            let unit = match labels.cusum_unit {
                ReturnUnit::Sigmas => "sigma",
                ReturnUnit::LogReturn => "log return",
            };
            format!(
                "{scheme}; CUSUM events of {} {unit}",
                labels.cusum_threshold
            )
        }
    }
}

fn primary(labels: &LabelConfig) -> String {
    let (fast, slow) = (labels.primary_fast_bars, labels.primary_slow_bars);
    match labels.primary {
        PrimaryKind::Momentum => format!("momentum over {slow} bars"),
        PrimaryKind::Reversal => format!("reversal over {slow} bars"),
        PrimaryKind::Crossover => format!("the crossover of means over {fast} and {slow} bars"),
    }
}

fn horizon(spec: &PipelineSpec, prepared: &Prepared) -> Vec<HorizonBucket> {
    let longest = spec.labels.longest_horizon_bars().max(1);
    let width = longest.div_ceil(HORIZON_BUCKETS);
    let mut rows = vec![0u64; longest.div_ceil(width) as usize];
    for symbol in prepared.samples.symbols() {
        for (bar, label) in symbol.labels.labels.iter().enumerate() {
            let Some(Label { end_bar, .. }) = label else {
                continue;
            };
            let bars = end_bar.saturating_sub(bar).max(1);
            if let Some(rows) = rows.get_mut((bars - 1) / width as usize) {
                *rows += 1;
            }
        }
    }
    (0..)
        .zip(rows)
        .map(|(bucket, rows)| HorizonBucket {
            from_bars: bucket * width + 1,
            to_bars: ((bucket + 1) * width).min(longest),
            rows,
        })
        .collect()
}
