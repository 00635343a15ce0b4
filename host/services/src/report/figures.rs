//! The key figures table: one row a figure, one column a portfolio.

use serde::Serialize;

use super::data::{CommonFigures, ComparedRun, Estimate, Interval, Performance, Trading};
use super::format;

/// One figure of the three compared portfolios.
#[derive(Debug, Serialize)]
pub(super) struct FigureRow {
    name: &'static str,
    definition: &'static str,
    /// Strategy, buy and hold, flat.
    cells: Vec<Cell>,
}

/// One number with its interval. `applies` is false where the figure has no meaning.
#[derive(Debug, Serialize)]
struct Cell {
    applies: bool,
    text: Option<String>,
    interval: Option<String>,
}

type Writer = fn(f64) -> Option<String>;

struct Figure {
    name: &'static str,
    definition: &'static str,
    write: Writer,
    read: fn(&Performance) -> Estimate,
    better: Better,
}

/// Which of several values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    Higher,
    Lower,
    /// Neither: it describes.
    Neither,
}

fn whole(value: f64) -> Option<String> {
    format::number(value, 0)
}

fn tenths(value: f64) -> Option<String> {
    format::number(value, 1)
}

fn ratio(value: f64) -> Option<String> {
    format::number(value, 2)
}

fn times(value: f64) -> Option<String> {
    format::number(value, 1).map(|text| format!("{text}\u{a0}×"))
}

fn share(value: f64) -> Option<String> {
    format::percent(value, 1)
}

fn probability(value: f64) -> Option<String> {
    format::percent(value, 1)
}

fn gain(value: f64) -> Option<String> {
    format::signed_percent(value, 1)
}

fn fine_gain(value: f64) -> Option<String> {
    format::signed_percent(value, 3)
}

fn plain(value: Option<f64>) -> Estimate {
    Estimate {
        value,
        interval: None,
    }
}

fn within(value: Option<f64>, interval: Option<Interval>) -> Estimate {
    Estimate { value, interval }
}

const FIGURES: [Figure; 19] = [
    Figure {
        name: "Final equity",
        definition: "cash and positions at the last close",
        write: format::money,
        read: |one| plain(one.final_equity),
        better: Better::Neither,
    },
    Figure {
        name: "Total return",
        definition: "final equity over initial cash, minus 1",
        write: gain,
        read: |one| within(one.total_return, one.intervals.total_return),
        better: Better::Higher,
    },
    Figure {
        name: "Annual growth (CAGR)",
        definition: "constant yearly growth with the same end",
        write: gain,
        read: |one| within(one.annual_growth_rate, one.intervals.annual_growth_rate),
        better: Better::Higher,
    },
    Figure {
        name: "Annual volatility",
        definition: "standard deviation of bar returns, annualised",
        write: share,
        read: |one| within(one.annual_volatility, one.intervals.annual_volatility),
        better: Better::Lower,
    },
    Figure {
        name: "Sharpe ratio",
        definition: "mean over standard deviation of bar returns, annualised, risk-free rate 0",
        write: ratio,
        read: |one| one.sharpe_ratio,
        better: Better::Higher,
    },
    Figure {
        name: "Sharpe ratio (Lo)",
        definition: "annualised with the autocorrelations of bar returns instead of without",
        write: ratio,
        read: |one| plain(one.autocorrelation_corrected_sharpe_ratio),
        better: Better::Higher,
    },
    Figure {
        name: "Sortino ratio",
        definition: "mean return over downside deviation, annualised, target 0",
        write: ratio,
        read: |one| plain(one.sortino_ratio),
        better: Better::Higher,
    },
    Figure {
        name: "Calmar ratio",
        definition: "annual growth over maximum drawdown",
        write: ratio,
        read: |one| plain(one.calmar_ratio),
        better: Better::Higher,
    },
    Figure {
        name: "Maximum drawdown",
        definition: "largest fall from a peak",
        write: share,
        read: |one| within(one.max_drawdown, one.intervals.max_drawdown),
        better: Better::Lower,
    },
    Figure {
        name: "Longest drawdown (days)",
        definition: "longest time below a peak",
        write: whole,
        read: |one| plain(one.longest_drawdown_days),
        better: Better::Lower,
    },
    Figure {
        name: "Tail ratio",
        definition: "95th percentile of bar returns over the size of the 5th",
        write: ratio,
        read: |one| plain(one.tail_ratio),
        better: Better::Higher,
    },
    Figure {
        name: "Trades",
        definition: "round trips",
        write: whole,
        read: |one| plain(one.trades.map(|trades| trades as f64)),
        better: Better::Neither,
    },
    Figure {
        name: "Win rate",
        definition: "share of round trips with a net profit",
        write: share,
        read: |one| within(one.win_rate, one.intervals.win_rate),
        better: Better::Higher,
    },
    Figure {
        name: "Profit factor",
        definition: "sum of profits over sum of losses, net",
        write: ratio,
        read: |one| plain(one.profit_factor),
        better: Better::Higher,
    },
    Figure {
        name: "Mean trade",
        definition: "mean net return of a round trip",
        write: fine_gain,
        read: |one| within(one.mean_trade_return, one.intervals.mean_trade_return),
        better: Better::Higher,
    },
    Figure {
        name: "Mean holding time (bars)",
        definition: "from entry to exit of a round trip",
        write: tenths,
        read: |one| plain(one.mean_bars_held),
        better: Better::Neither,
    },
    Figure {
        name: "Annual turnover",
        definition: "value traded a year over mean equity",
        write: times,
        read: |one| plain(one.annual_turnover),
        better: Better::Neither,
    },
    Figure {
        name: "Time in market",
        definition: "share of bars with an open position",
        write: share,
        read: |one| plain(one.time_in_market),
        better: Better::Neither,
    },
    Figure {
        name: "Mean exposure",
        definition: "gross position value over equity, mean over all bars",
        write: share,
        read: |one| plain(one.mean_exposure),
        better: Better::Neither,
    },
];

/// The rows of the table.
pub(super) fn figure_rows(trading: &Trading) -> Vec<FigureRow> {
    let portfolios = [&trading.strategy, &trading.buy_and_hold, &trading.flat];
    let mut rows: Vec<FigureRow> = FIGURES
        .iter()
        .map(|figure| FigureRow {
            name: figure.name,
            definition: figure.definition,
            cells: portfolios
                .map(|one| cell(&(figure.read)(one), figure.write))
                .into(),
        })
        .collect();
    rows.push(strategy_only(
        "Excess return a year",
        "annualised mean return minus that of buy and hold",
        cell(&trading.excess_return, gain),
    ));
    rows.push(strategy_only(
        "Probabilistic Sharpe ratio",
        "probability that the true Sharpe ratio is above 0, bar returns taken for independent",
        cell(&plain(trading.probabilistic_sharpe_ratio), probability),
    ));
    rows.push(strategy_only(
        "Minimum track record (bars)",
        "bars of such returns until that probability reaches the level of the intervals; \
         undefined where no number is enough",
        Cell {
            interval: Some(format!("{} here", format::count(trading.track_record_bars))),
            ..cell(
                &plain(trading.minimum_track_record_bars.map(|bars| bars as f64)),
                whole,
            )
        },
    ));
    rows.push(strategy_only(
        "Deflated Sharpe ratio",
        "the probability against the best Sharpe ratio that the trials would show by luck",
        Cell {
            interval: Some(trials_text(trading.trials)),
            ..cell(&plain(trading.deflated_sharpe_ratio), probability)
        },
    ));
    rows
}

/// The number of trials that the run knows of; with one, nothing was deflated.
fn trials_text(trials: u32) -> String {
    match trials {
        1 => "1 trial known: not deflated".to_owned(),
        trials => format!("{} trials", format::count(u64::from(trials))),
    }
}

fn strategy_only(name: &'static str, definition: &'static str, strategy: Cell) -> FigureRow {
    let blank = || Cell {
        applies: false,
        text: None,
        interval: None,
    };
    FigureRow {
        name,
        definition,
        cells: vec![strategy, blank(), blank()],
    }
}

fn cell(estimate: &Estimate, write: Writer) -> Cell {
    Cell {
        applies: true,
        text: estimate.value.and_then(write),
        interval: estimate
            .interval
            .and_then(|interval| interval_text(interval, write)),
    }
}

fn interval_text(interval: Interval, write: Writer) -> Option<String> {
    let level = format::percent(interval.level, 0)?;
    Some(format!(
        "{level}: {} to {}",
        write(interval.low)?,
        write(interval.high)?
    ))
}

/// One figure of several runs.
#[derive(Debug, Serialize)]
pub(super) struct ComparedFigure {
    name: &'static str,
    definition: &'static str,
    cells: Vec<ComparedCell>,
}

#[derive(Debug, Serialize)]
struct ComparedCell {
    text: Option<String>,
    interval: Option<String>,
    /// Whether no other run's value is better; never where the figure only describes.
    best: bool,
}

/// Every figure of each run, over its own period.
pub(super) fn compared_figures(runs: &[&ComparedRun]) -> Vec<ComparedFigure> {
    let of_run = |figure: &Figure| {
        let values = runs.iter().map(|run| (figure.read)(&run.performance));
        compared(
            (figure.name, figure.definition),
            values.collect(),
            (figure.write, figure.better),
        )
    };
    let mut rows: Vec<ComparedFigure> = FIGURES.iter().map(of_run).collect();
    type More = (
        &'static str,
        &'static str,
        fn(&ComparedRun) -> Estimate,
        Writer,
        Better,
    );
    let more: [More; 5] = [
        (
            "Excess return a year",
            "annualised mean return minus that of buy and hold",
            |run| run.excess_return,
            gain,
            Better::Higher,
        ),
        (
            "Probabilistic Sharpe ratio",
            "probability that the true Sharpe ratio is above 0",
            |run| plain(run.probabilistic_sharpe_ratio),
            probability,
            Better::Higher,
        ),
        (
            "Trials",
            "configurations tried, as the run says",
            |run| plain(Some(f64::from(run.trials))),
            whole,
            Better::Neither,
        ),
        (
            "Deflated Sharpe ratio",
            "the probability against the best of that many worthless trials",
            |run| plain(run.deflated_sharpe_ratio),
            probability,
            Better::Higher,
        ),
        (
            "Costs of trading (bps)",
            "fees, spread, impact and liquidations over the value traded",
            |run| plain(run.cost_bps),
            tenths,
            Better::Lower,
        ),
    ];
    rows.extend(
        more.into_iter()
            .map(|(name, definition, read, write, better)| {
                let values = runs.iter().map(|run| read(run));
                compared((name, definition), values.collect(), (write, better))
            }),
    );
    rows
}

/// The figures over the closing times that all runs share.
pub(super) fn common_figures(runs: &[&ComparedRun]) -> Vec<ComparedFigure> {
    type Row = (
        &'static str,
        fn(&CommonFigures) -> Option<f64>,
        Writer,
        Better,
    );
    let all: [Row; 4] = [
        ("Total return", |one| one.total_return, gain, Better::Higher),
        (
            "Annual volatility",
            |one| one.annual_volatility,
            share,
            Better::Lower,
        ),
        (
            "Sharpe ratio",
            |one| one.sharpe_ratio,
            ratio,
            Better::Higher,
        ),
        (
            "Maximum drawdown",
            |one| one.max_drawdown,
            share,
            Better::Lower,
        ),
    ];
    let rows = all.into_iter().map(|(name, read, write, better)| {
        let values = runs.iter().map(|run| plain(read(&run.common)));
        compared((name, ""), values.collect(), (write, better))
    });
    rows.collect()
}

fn compared(
    (name, definition): (&'static str, &'static str),
    values: Vec<Estimate>,
    (write, better): (Writer, Better),
) -> ComparedFigure {
    let known = || {
        let known = values.iter().filter_map(|one| one.value);
        known.filter(|value| value.is_finite())
    };
    let (low, high) = (
        known().min_by(f64::total_cmp),
        known().max_by(f64::total_cmp),
    );
    // Where all are alike, none is better.
    let differ = low.zip(high).is_some_and(|(low, high)| low < high);
    let best = match better {
        Better::Higher if differ => high,
        Better::Lower if differ => low,
        _ => None,
    };
    let is_best = |value: Option<f64>| {
        let pair = value.zip(best);
        pair.is_some_and(|(value, best)| value.total_cmp(&best).is_eq())
    };
    let cells = values.iter().map(|one| {
        let shown = cell(one, write);
        ComparedCell {
            text: shown.text,
            interval: shown.interval,
            best: is_best(one.value),
        }
    });
    ComparedFigure {
        name,
        definition,
        cells: cells.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn undefined_and_not_applicable_stay_apart() {
        let mut data = sample::report();
        data.trading.strategy.sortino_ratio = None;
        let rows = figure_rows(&data.trading);
        let row = |name| rows.iter().find(|row| row.name == name).unwrap();
        let sortino = &row("Sortino ratio").cells[0];
        assert!(sortino.applies && sortino.text.is_none());
        assert!(!row("Deflated Sharpe ratio").cells[1].applies);
        let sharpe = &row("Sharpe ratio").cells[0];
        let interval = sharpe.interval.as_ref().unwrap().replace('\u{a0}', " ");
        assert!(interval.starts_with("95 %: "), "{interval}");
    }

    #[test]
    fn the_best_run_of_a_figure_is_marked_and_a_description_has_none() {
        let data = sample::comparison();
        let runs: Vec<&ComparedRun> = data.runs.iter().collect();
        let rows = compared_figures(&runs);
        let best = |name: &str| -> Vec<usize> {
            let row = rows.iter().find(|row| row.name == name).unwrap();
            (0..runs.len()).filter(|at| row.cells[*at].best).collect()
        };
        let highest = |read: fn(&ComparedRun) -> f64| {
            let mut order: Vec<usize> = (0..runs.len()).collect();
            order.sort_by(|a, b| read(runs[*b]).total_cmp(&read(runs[*a])));
            order[0]
        };
        let sharpe = highest(|run| run.performance.sharpe_ratio.value.unwrap());
        assert_eq!(best("Sharpe ratio"), [sharpe]);
        let calm = highest(|run| -run.performance.max_drawdown.unwrap());
        assert_eq!(best("Maximum drawdown"), [calm]);
        assert_eq!(best("Annual turnover"), Vec::<usize>::new());
        let none = Estimate::default();
        let row = compared(("x", ""), vec![none, none], (ratio, Better::Higher));
        assert!(
            row.cells
                .iter()
                .all(|cell| !cell.best && cell.text.is_none())
        );
    }
}
