//! The trading half of a page: figures, months, costs, trades, and what lies behind them. A run's
//! page and a backtest's share it.

use fusebox_engine::eval::trading::{TRADE_PERCENTILES, TradeDraw, TradeOrder};
use fusebox_engine::types::Timestamp;
use serde::Serialize;

use super::charts::{self, CurveCharts};
use super::data::{
    Analysis, Balance, CapacityPoint, Costs, NamedCount, Period, SymbolSummary, TradeRow, Trading,
};
use super::figures::{FigureRow, figure_rows};
use super::svg::{Bar, BarChart, FanChart, Point, PointChart, waterfall};
use super::{ReportError, format};

/// Most trades listed on the page; totals are over all of them.
pub(super) const LISTED_TRADES: usize = 2_000;

/// What the templates see of the trading.
#[derive(Debug, Serialize)]
pub(super) struct TradingPage<'a> {
    trading: TradingPart<'a>,
    figures: Vec<FigureRow>,
    monthly: Vec<MonthlyTable>,
    curve: CurveCharts,
}

/// Arranges the trading half; `marks` are times of vertical lines in the charts.
pub(super) fn trading_page<'a>(
    trading: &'a Trading,
    marks: &[Timestamp],
) -> Result<TradingPage<'a>, ReportError> {
    Ok(TradingPage {
        trading: trading_part(trading),
        figures: figure_rows(trading),
        monthly: monthly(trading),
        curve: charts::curve_charts(trading, marks)?,
    })
}

/// A kind of money that moved without a trade.
#[derive(Debug, Serialize)]
struct PaymentColumn {
    title: &'static str,
    key: &'static str,
}

/// One Monte Carlo of the trades.
#[derive(Debug, Serialize)]
struct Fan<'a> {
    shuffled: bool,
    order: &'a TradeOrder,
    chart: Option<String>,
    rows: Vec<FanRow>,
}

/// One percentile of it.
#[derive(Debug, Serialize)]
struct FanRow {
    percentile: String,
    final_return: f64,
    max_drawdown: f64,
}

#[derive(Debug, Serialize)]
struct MonthlyTable {
    name: &'static str,
    /// Size of the largest monthly return of all tables, for the colours.
    most: f64,
    years: Vec<YearRow>,
}

#[derive(Debug, Serialize)]
struct YearRow {
    year: i16,
    months: Vec<MonthCell>,
    total: Option<f64>,
}

/// A month inside or outside the traded range.
#[derive(Debug, Clone, Serialize)]
struct MonthCell {
    traded: bool,
    value: Option<f64>,
}

#[derive(Debug, Serialize)]
struct TradingPart<'a> {
    currency: &'a str,
    initial_cash: f64,
    period: Period,
    trials: u32,
    costs: &'a Costs,
    balances: &'a [Balance],
    waterfall: Option<String>,
    refusals: &'a [NamedCount],
    refused_orders: u64,
    expired_orders: u64,
    symbols: &'a [SymbolSummary],
    analysis: &'a Analysis,
    payments: Vec<PaymentColumn>,
    regime_chart: Option<String>,
    fans: Vec<Fan<'a>>,
    capacity_return: Option<String>,
    capacity_sharpe: Option<String>,
    trades: Vec<ListedTrade<'a>>,
    totals: TradeTotals,
}

#[derive(Debug, Serialize)]
struct ListedTrade<'a> {
    number: u64,
    trade: &'a TradeRow,
}

#[derive(Debug, Serialize)]
struct TradeTotals {
    trades: u64,
    open: u64,
    gross_profit: f64,
    fees: f64,
    slippage: f64,
    net_profit: f64,
}

fn monthly(trading: &Trading) -> Vec<MonthlyTable> {
    let months = &trading.monthly_returns;
    let sizes = months
        .iter()
        .flat_map(|month| [month.strategy, month.buy_and_hold]);
    let most = sizes
        .flatten()
        .map(f64::abs)
        .filter(|size| size.is_finite())
        .fold(0.0, f64::max);
    let table = |name, read: fn(&super::data::MonthReturn) -> Option<f64>| {
        let mut years: Vec<YearRow> = Vec::new();
        for month in months {
            if years.last().is_none_or(|row| row.year != month.year) {
                years.push(YearRow {
                    year: month.year,
                    months: vec![
                        MonthCell {
                            traded: false,
                            value: None
                        };
                        12
                    ],
                    total: Some(0.0),
                });
            }
            let value = read(month).filter(|value| value.is_finite());
            if let Some(row) = years.last_mut() {
                row.total = row
                    .total
                    .zip(value)
                    .map(|(sum, one)| (1.0 + sum) * (1.0 + one) - 1.0);
                if let Some(cell) = row
                    .months
                    .get_mut(usize::from(month.month.saturating_sub(1)))
                {
                    *cell = MonthCell {
                        traded: true,
                        value,
                    };
                }
            }
        }
        MonthlyTable { name, most, years }
    };
    vec![
        table("Strategy", |month| month.strategy),
        table("Buy and hold", |month| month.buy_and_hold),
    ]
}

fn trading_part(trading: &Trading) -> TradingPart<'_> {
    let all = &trading.trades;
    let skipped = all.len().saturating_sub(LISTED_TRADES);
    let listed = (1..).zip(all).skip(skipped);
    let mut listed: Vec<ListedTrade<'_>> = listed
        .map(|(number, trade)| ListedTrade { number, trade })
        .collect();
    listed.reverse();
    let sum = |read: fn(&TradeRow) -> f64| all.iter().map(|one| read(one) * one.rate).sum();
    TradingPart {
        currency: &trading.currency,
        initial_cash: trading.initial_cash,
        period: trading.period,
        trials: trading.trials,
        costs: &trading.costs,
        balances: &trading.balances,
        waterfall: waterfall(&trading.costs, &trading.currency),
        refusals: &trading.refusals,
        refused_orders: trading.refusals.iter().map(|refusal| refusal.count).sum(),
        expired_orders: trading.expired_orders,
        symbols: &trading.symbols,
        analysis: &trading.analysis,
        payments: payments(&trading.analysis),
        regime_chart: regime_chart(&trading.analysis),
        fans: trading.analysis.trade_orders.iter().map(fan).collect(),
        capacity_return: capacity_chart(&trading.analysis, Axis::Return),
        capacity_sharpe: capacity_chart(&trading.analysis, Axis::Sharpe),
        trades: listed,
        totals: TradeTotals {
            trades: all.len() as u64,
            open: all.iter().filter(|trade| trade.exited_at.is_none()).count() as u64,
            gross_profit: sum(|trade| trade.gross_profit),
            fees: sum(|trade| trade.fees),
            slippage: sum(|trade| trade.slippage),
            net_profit: sum(|trade| trade.net_profit),
        },
    }
}

/// The columns of payments and liquidations that anybody who is compared has an amount in.
fn payments(analysis: &Analysis) -> Vec<PaymentColumn> {
    type Column = (&'static str, &'static str, fn(&Costs) -> f64);
    let all: [Column; 5] = [
        ("Liquidation", "liquidation", |costs| costs.liquidation),
        ("Funding", "funding", |costs| costs.funding),
        ("Interest", "interest", |costs| costs.interest),
        ("Insurance", "insurance", |costs| costs.insurance),
        ("Currencies", "currency_effect", |costs| {
            costs.currency_effect
        }),
    ];
    let occurred = |read: fn(&Costs) -> f64| {
        let mut rows = analysis.compared.iter();
        rows.any(|row| read(&row.costs) != 0.0)
    };
    let columns = all.into_iter().filter(|(.., read)| occurred(*read));
    columns
        .map(|(title, key, _)| PaymentColumn { title, key })
        .collect()
}

fn regime_chart(analysis: &Analysis) -> Option<String> {
    let rows = analysis.regimes.rows.iter();
    let bars = rows.filter(|row| row.group == "both").map(|row| {
        let value = row.contribution * 100.0;
        let text = format::signed(value, 2).unwrap_or_default();
        Bar {
            label: row.regime.clone(),
            value: Some(value),
            whisker: None,
            hint: format!(
                "{}: {text}\u{a0}%, {} bars",
                row.regime,
                format::count(row.bars)
            ),
        }
    });
    BarChart {
        label: "part of the total return by kind of market".to_owned(),
        x_title: "volatility, trend; part of the total return".to_owned(),
        suffix: "\u{a0}%",
        signed: true,
        bars: bars.collect(),
    }
    .draw()
}

fn fan(order: &TradeOrder) -> Fan<'_> {
    let shuffled = order.draw == TradeDraw::Shuffled;
    let rows = TRADE_PERCENTILES
        .iter()
        .enumerate()
        .map(|(at, share)| FanRow {
            percentile: format::percent(*share, 0).unwrap_or_default(),
            final_return: order.final_growth[at] - 1.0,
            max_drawdown: order.max_drawdown[at],
        });
    let label = match shuffled {
        true => "the same trades in random order",
        false => "as many trades drawn anew from the same ones",
    };
    Fan {
        shuffled,
        order,
        chart: FanChart {
            label,
            points: &order.fan,
        }
        .draw(),
        rows: rows.collect(),
    }
}

/// What a capacity chart shows against capital.
#[derive(Debug, Clone, Copy)]
enum Axis {
    Return,
    Sharpe,
}

fn capacity_chart(analysis: &Analysis, axis: Axis) -> Option<String> {
    let value = |point: &CapacityPoint| match axis {
        Axis::Return => point.annual_growth_rate.map(|value| value * 100.0),
        Axis::Sharpe => point.sharpe_ratio,
    };
    let (label, suffix, decimals) = match axis {
        Axis::Return => ("annual growth by capital", "\u{a0}%", 1),
        Axis::Sharpe => ("Sharpe ratio by capital", "", 2),
    };
    let points = analysis.capacity.points.iter().map(|point| {
        let text = value(point).and_then(|value| format::signed(value, decimals));
        Point {
            x: point.capital,
            y: value(point),
            hint: format!(
                "{}: {}{suffix}",
                format::money(point.capital).unwrap_or_default(),
                text.unwrap_or_else(|| "undefined".to_owned())
            ),
        }
    });
    PointChart {
        label,
        x_title: "capital, logarithmic",
        suffix,
        points: points.collect(),
    }
    .draw()
}

#[cfg(test)]
mod tests {
    use super::super::data::MonthReturn;
    use super::super::sample;
    use super::*;

    #[test]
    fn a_year_compounds_its_months_and_is_undefined_where_a_month_is() {
        let mut data = sample::report();
        let month = |year, month, strategy| MonthReturn {
            year,
            month,
            strategy,
            buy_and_hold: Some(0.0),
        };
        data.trading.monthly_returns = vec![
            month(2023, 12, Some(0.1)),
            month(2024, 1, Some(0.5)),
            month(2024, 3, Some(-0.5)),
            month(2025, 1, None),
            month(2025, 2, Some(0.2)),
        ];
        let tables = monthly(&data.trading);
        let totals: Vec<Option<f64>> = tables[0].years.iter().map(|year| year.total).collect();
        assert!((totals[0].unwrap() - 0.1).abs() < 1e-12);
        assert!((totals[1].unwrap() + 0.25).abs() < 1e-12);
        assert_eq!(totals[2], None);
        assert!((tables[0].most - 0.5).abs() < 1e-12);
        let year = &tables[0].years[1];
        let traded: Vec<bool> = year.months.iter().map(|month| month.traded).collect();
        assert_eq!(traded[..4], [true, false, true, false]);
    }

    #[test]
    fn totals_cover_all_trades_and_the_list_only_the_last() {
        let mut data = sample::report();
        let one = data.trading.trades[0].clone();
        data.trading.trades = vec![
            TradeRow {
                net_profit: 1.0,
                ..one
            };
            LISTED_TRADES + 50
        ];
        let part = trading_part(&data.trading);
        assert_eq!(part.trades.len(), LISTED_TRADES);
        assert_eq!(part.trades[0].number, 2_050);
        assert_eq!(part.trades[LISTED_TRADES - 1].number, 51);
        assert_eq!(part.totals.trades, 2_050);
        assert!((part.totals.net_profit - 2_050.0).abs() < 1e-9);
    }

    #[test]
    fn every_percentile_has_a_row_and_every_kind_of_market_a_bar() {
        let data = sample::report();
        let part = trading_part(&data.trading);
        assert_eq!(part.fans.len(), 2);
        assert!(part.fans[0].shuffled && !part.fans[1].shuffled);
        assert_eq!(part.fans[0].rows.len(), TRADE_PERCENTILES.len());
        let chart = part.regime_chart.unwrap();
        assert_eq!(chart.matches("<rect").count(), 6);
        assert!(part.capacity_return.is_some() && part.capacity_sharpe.is_some());
        let keys: Vec<&str> = part.payments.iter().map(|one| one.key).collect();
        assert_eq!(keys, ["funding", "interest"]);
        let mut data = sample::report();
        data.trading.analysis = Analysis::default();
        let part = trading_part(&data.trading);
        assert!(part.regime_chart.is_none() && part.capacity_return.is_none());
        assert!(part.fans.is_empty() && part.payments.is_empty());
    }
}
