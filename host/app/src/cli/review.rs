//! What `fusebox backtest` says at the end: the strategy beside everything that it has to beat, and
//! what lies behind its figures.

use std::path::Path;

use fusebox_services::backtesting::BacktestDone;
use fusebox_services::report::{ComparedRow, Costs, Estimate, Trading, strategy_verdict};
use fusebox_services::training::{JOURNAL_FILE, METRICS_FILE, REPORT_FILE};
use serde_json::{Value, json};

use crate::output::{grouped, table};

/// The summary for programs. `metrics.json` of `--out` holds everything.
pub(super) fn document(done: &BacktestDone, out: Option<&Path>) -> Value {
    let (result, trading) = (&done.result, &done.report.trading);
    let analysis = &trading.analysis;
    json!({
        "out": out,
        "warnings": done.report.market.warnings,
        "report": out.map(|out| out.join(REPORT_FILE)),
        "metrics": out.map(|out| out.join(METRICS_FILE)),
        "journal": out.map(|out| out.join(JOURNAL_FILE)),
        "strategy": trading.strategy,
        "buy_and_hold": trading.buy_and_hold,
        "excess_return": trading.excess_return,
        "probabilistic_sharpe_ratio": trading.probabilistic_sharpe_ratio,
        "deflated_sharpe_ratio": trading.deflated_sharpe_ratio,
        "minimum_track_record_bars": trading.minimum_track_record_bars,
        "track_record_bars": trading.track_record_bars,
        "trials": trading.trials,
        "comparison": {
            "lines": analysis.compared,
            "random_runs": analysis.random_runs,
            "random_turnover": analysis.random_turnover,
            "random_is_alike": analysis.random_is_alike,
            "beaten_by_random": analysis.beaten_by_random,
        },
        "costs": trading.costs,
        "currency": trading.currency,
        "balances": trading.balances,
        "symbols": trading.symbols,
        "regimes": analysis.regimes,
        "trade_orders": analysis.trade_orders,
        "capacity": analysis.capacity,
        "slices": analysis.slices,
        "ambiguous_slices": analysis.ambiguous_slices,
        "final_equity": result.final_equity().to_string(),
        "fills": result.fills.len(),
        "refusals": result.refusals,
        "ended_orders": trading.expired_orders,
        "journal_digest": result.journal_digest,
        "strategy_verdict": strategy_verdict(trading).headline,
    })
}

/// The summary for people.
pub(super) fn text(done: &BacktestDone, out: Option<&Path>) -> String {
    let trading = &done.report.trading;
    let verdict = strategy_verdict(trading);
    let mut text = format!(
        "{}\n  {}\n\n{}\n\n{}",
        verdict.headline,
        verdict.explanation,
        headline(trading),
        behind(trading)
    );
    text.push_str(&significance(trading));
    for warning in &done.report.market.warnings {
        text.push_str(&format!("note: {warning}\n"));
    }
    for refusal in &trading.refusals {
        let count = grouped(refusal.count);
        text.push_str(&format!("refused {count}: {}\n", refusal.name));
    }
    if let Some(digest) = &done.result.journal_digest {
        text.push_str(&format!("journal sha256 {digest}\n"));
    }
    if let Some(out) = out {
        text.push_str(&format!("report {}\n", out.join(REPORT_FILE).display()));
    }
    text
}

/// What lies behind the figures of a strategy, as tables.
pub(super) fn behind(trading: &Trading) -> String {
    let mut text = format!(
        "{}\n\n{}\n\n{}\n",
        compared(trading),
        costs(trading),
        regimes(trading)
    );
    if !trading.balances.is_empty() {
        text.push_str(&format!("\n{}\n", balances(trading)));
    }
    if !trading.analysis.capacity.points.is_empty() {
        text.push_str(&format!("\n{}\n", capacity(trading)));
    }
    text.push_str(&luck(trading));
    text
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.2} %", value * 100.0))
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn compared(trading: &Trading) -> String {
    let titles = [
        "",
        "return",
        "Sharpe",
        "drawdown",
        "trades",
        "traded, x cash",
    ];
    let mut lines = table(&titles);
    for row in &trading.analysis.compared {
        lines.add_row([
            row.name.clone(),
            percent(row.total_return),
            ratio(row.sharpe_ratio),
            percent(row.max_drawdown),
            grouped(row.trades),
            format!("{:.1}", row.costs.traded_value / trading.initial_cash),
        ]);
    }
    lines.to_string()
}

/// Costs of everything that is compared, in basis points of the traded value and, after the slash,
/// of the initial cash.
fn costs(trading: &Trading) -> String {
    let mut lines = table(&[
        "bps of traded value / of initial cash",
        "gross",
        "fees",
        "spread",
        "impact",
        "other",
        "net",
    ]);
    for row in &trading.analysis.compared {
        lines.add_row(cost_row(row, trading.initial_cash));
    }
    lines.to_string()
}

fn cost_row(row: &ComparedRow, initial: f64) -> [String; 7] {
    let costs = &row.costs;
    let bps = |amount: f64| {
        let traded = match costs.traded_value > 0.0 {
            true => rounded(amount / costs.traded_value * 1e4, 1),
            false => "-".to_owned(),
        };
        format!("{traded} / {}", rounded(amount / initial * 1e4, 0))
    };
    [
        row.name.clone(),
        bps(costs.gross_profit),
        bps(-costs.fees),
        bps(-costs.spread),
        bps(-costs.impact),
        bps(other(costs)),
        bps(costs.net_profit),
    ]
}

/// What there is of each currency at the end.
fn balances(trading: &Trading) -> String {
    let worth = format!("worth in {}", trading.currency);
    let mut lines = table(&[
        "currency",
        "at the start",
        "cash",
        "positions",
        "rate",
        &worth,
    ]);
    for one in &trading.balances {
        lines.add_row([
            one.currency.clone(),
            rounded(one.initial, 8),
            rounded(one.cash, 8),
            rounded(one.positions, 8),
            one.rate
                .map_or_else(|| "-".to_owned(), |rate| rate.to_string()),
            rounded(one.worth, 2),
        ]);
    }
    lines.to_string()
}

/// A number that is never a negative zero.
fn rounded(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.to_owned(),
        _ => text,
    }
}

/// Funding, interest, liquidations, what the exchange bore of them, and currencies.
fn other(costs: &Costs) -> f64 {
    costs.funding + costs.interest + costs.insurance + costs.currency_effect - costs.liquidation
}

fn regimes(trading: &Trading) -> String {
    let mut lines = table(&[
        "market",
        "",
        "bars",
        "part of return",
        "Sharpe",
        "trades",
        "wins",
    ]);
    let rows = trading.analysis.regimes.rows.iter();
    for row in rows.filter(|row| row.group != "both") {
        lines.add_row([
            row.group.clone(),
            row.regime.clone(),
            grouped(row.bars),
            percent(Some(row.contribution)),
            ratio(row.sharpe_ratio),
            grouped(row.trades),
            percent(row.win_rate),
        ]);
    }
    lines.to_string()
}

/// The figures that a reader looks at first, with their intervals.
fn headline(trading: &Trading) -> String {
    let own = &trading.strategy;
    let with = |value, interval| Estimate { value, interval };
    let mut lines = table(&["strategy", "value", "interval"]);
    let mut row = |name: &str, one: Estimate, show: &dyn Fn(Option<f64>) -> String| {
        let interval = one.interval.map_or_else(
            || "-".to_owned(),
            |interval| {
                let (low, high) = (show(Some(interval.low)), show(Some(interval.high)));
                format!("{:.0} %: {low} to {high}", interval.level * 100.0)
            },
        );
        lines.add_row([name.to_owned(), show(one.value), interval]);
    };
    let intervals = &own.intervals;
    row(
        "total return",
        with(own.total_return, intervals.total_return),
        &percent,
    );
    let growth = with(own.annual_growth_rate, intervals.annual_growth_rate);
    row("annual growth", growth, &percent);
    let spread = with(own.annual_volatility, intervals.annual_volatility);
    row("annual volatility", spread, &percent);
    row("Sharpe ratio", own.sharpe_ratio, &ratio);
    row(
        "max drawdown",
        with(own.max_drawdown, intervals.max_drawdown),
        &percent,
    );
    row("win rate", with(own.win_rate, intervals.win_rate), &percent);
    row("excess return a year", trading.excess_return, &percent);
    lines.to_string()
}

fn capacity(trading: &Trading) -> String {
    let mut lines = table(&[
        "capital",
        "growth a year",
        "Sharpe",
        "drawdown",
        "costs (bps)",
        "fills",
    ]);
    for point in &trading.analysis.capacity.points {
        lines.add_row([
            format!("{:.0}", point.capital),
            percent(point.annual_growth_rate),
            ratio(point.sharpe_ratio),
            percent(point.max_drawdown),
            ratio(point.cost_bps),
            grouped(point.fills),
        ]);
    }
    let says_nothing = match trading.analysis.capacity.size_matters {
        true => "",
        false => {
            "\nwithout impact and a limit of participation, size costs nothing at this exchange"
        }
    };
    format!("{lines}{says_nothing}")
}

/// How far luck explains the result, one line each.
fn luck(trading: &Trading) -> String {
    let analysis = &trading.analysis;
    let mut text = String::from("\n");
    if let Some(share) = analysis.beaten_by_random {
        let runs = grouped(analysis.random_runs);
        let times = analysis.random_turnover;
        let times = times.map_or_else(|| "-".to_owned(), |times| format!("{times:.2}"));
        text.push_str(&match analysis.random_is_alike {
            true => format!(
                "random sides with the same turnover ({times} times its own): p = {share:.3} \
                 ({runs} runs)\n"
            ),
            false => format!(
                "random sides: p = {share:.3} ({runs} runs), but their turnover is {times} times \
                 the strategy's, so the p-value compares unlike with unlike\n"
            ),
        });
    }
    text.push_str(&format!(
        "ambiguous slices: {} of {}\n",
        grouped(analysis.ambiguous_slices),
        grouped(analysis.slices)
    ));
    text
}

/// How far luck explains the Sharpe ratio.
fn significance(trading: &Trading) -> String {
    let mut text = String::new();
    text.push_str(&format!(
        "probabilistic Sharpe ratio {}, deflated {} ({})\n",
        percent(trading.probabilistic_sharpe_ratio),
        percent(trading.deflated_sharpe_ratio),
        match trading.trials {
            1 => "1 trial known: not deflated".to_owned(),
            trials => format!("{} trials", grouped(u64::from(trials))),
        }
    ));
    let least = trading.minimum_track_record_bars.map_or_else(
        || "no length is enough".to_owned(),
        |bars| format!("{} bars", grouped(bars)),
    );
    text.push_str(&format!(
        "minimum track record: {least}, {} here\n",
        grouped(trading.track_record_bars)
    ));
    text
}
