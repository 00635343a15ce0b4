//! From exact amounts to the report's table of costs.

use fusebox_engine::backtest::Flows;

use crate::report::Costs;

/// The amounts as the report shows them.
pub(super) fn costs_of(flows: &Flows) -> Costs {
    Costs {
        gross_profit: flows.gross.to_f64(),
        fees: flows.fees.to_f64(),
        spread: flows.spread.to_f64(),
        impact: flows.impact.to_f64(),
        liquidation: flows.liquidation.to_f64(),
        funding: flows.funding.to_f64(),
        interest: flows.interest.to_f64(),
        insurance: flows.insurance.to_f64(),
        currency_effect: flows.currency.to_f64(),
        net_profit: flows.net().to_f64(),
        traded_value: flows.turnover.to_f64(),
        fills: flows.fills,
    }
}
