//! The key figures table: one row a figure, one column a portfolio.

use serde::Serialize;

use super::data::{Estimate, Interval, Performance, ReportData};
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

const FIGURES: [Figure; 19] = [
    Figure {
        name: "Final equity",
        definition: "cash and positions at the last close",
        write: format::money,
        read: |one| plain(one.final_equity),
    },
    Figure {
        name: "Total return",
        definition: "final equity over initial cash, minus 1",
        write: gain,
        read: |one| plain(one.total_return),
    },
    Figure {
        name: "Annual growth (CAGR)",
        definition: "constant yearly growth with the same end",
        write: gain,
        read: |one| plain(one.annual_growth_rate),
    },
    Figure {
        name: "Annual volatility",
        definition: "standard deviation of bar returns, annualised",
        write: share,
        read: |one| plain(one.annual_volatility),
    },
    Figure {
        name: "Sharpe ratio",
        definition: "mean over standard deviation of bar returns, annualised, risk-free rate 0",
        write: ratio,
        read: |one| one.sharpe_ratio,
    },
    Figure {
        name: "Sharpe ratio (Lo)",
        definition: "annualised with the autocorrelations of bar returns instead of without",
        write: ratio,
        read: |one| plain(one.autocorrelation_corrected_sharpe_ratio),
    },
    Figure {
        name: "Sortino ratio",
        definition: "mean return over downside deviation, annualised, target 0",
        write: ratio,
        read: |one| plain(one.sortino_ratio),
    },
    Figure {
        name: "Calmar ratio",
        definition: "annual growth over maximum drawdown",
        write: ratio,
        read: |one| plain(one.calmar_ratio),
    },
    Figure {
        name: "Maximum drawdown",
        definition: "largest fall from a peak",
        write: share,
        read: |one| plain(one.max_drawdown),
    },
    Figure {
        name: "Longest drawdown (days)",
        definition: "longest time below a peak",
        write: whole,
        read: |one| plain(one.longest_drawdown_days),
    },
    Figure {
        name: "Tail ratio",
        definition: "95th percentile of bar returns over the size of the 5th",
        write: ratio,
        read: |one| plain(one.tail_ratio),
    },
    Figure {
        name: "Trades",
        definition: "round trips",
        write: whole,
        read: |one| plain(one.trades.map(|trades| trades as f64)),
    },
    Figure {
        name: "Win rate",
        definition: "share of round trips with a net profit",
        write: share,
        read: |one| plain(one.win_rate),
    },
    Figure {
        name: "Profit factor",
        definition: "sum of profits over sum of losses, net",
        write: ratio,
        read: |one| plain(one.profit_factor),
    },
    Figure {
        name: "Mean trade",
        definition: "mean net return of a round trip",
        write: fine_gain,
        read: |one| plain(one.mean_trade_return),
    },
    Figure {
        name: "Mean holding time (bars)",
        definition: "from entry to exit of a round trip",
        write: tenths,
        read: |one| plain(one.mean_bars_held),
    },
    Figure {
        name: "Annual turnover",
        definition: "value traded a year over mean equity",
        write: times,
        read: |one| plain(one.annual_turnover),
    },
    Figure {
        name: "Time in market",
        definition: "share of bars with an open position",
        write: share,
        read: |one| plain(one.time_in_market),
    },
    Figure {
        name: "Mean exposure",
        definition: "gross position value over equity, mean over all bars",
        write: share,
        read: |one| plain(one.mean_exposure),
    },
];

/// The rows of the table.
pub(super) fn figure_rows(data: &ReportData) -> Vec<FigureRow> {
    let trading = &data.trading;
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

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn undefined_and_not_applicable_stay_apart() {
        let mut data = sample::report();
        data.trading.strategy.sortino_ratio = None;
        let rows = figure_rows(&data);
        let row = |name| rows.iter().find(|row| row.name == name).unwrap();
        let sortino = &row("Sortino ratio").cells[0];
        assert!(sortino.applies && sortino.text.is_none());
        assert!(!row("Deflated Sharpe ratio").cells[1].applies);
        let sharpe = &row("Sharpe ratio").cells[0];
        let interval = sharpe.interval.as_ref().unwrap().replace('\u{a0}', " ");
        assert!(interval.starts_with("95 %: "), "{interval}");
    }
}
