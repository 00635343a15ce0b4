//! Charts as inline SVG: bars, lines, points, fans, reliability curves, a waterfall. Colours are
//! classes that the style sheet resolves for light, dark and print. A chart shows numbers, it never
//! computes them.

mod axis;
mod bars;
mod calibration;
mod canvas;
mod curves;
mod fan;
mod lines;
mod points;
mod swarm;
mod waterfall;

pub(super) use bars::{Bar, BarChart, range_bar};
pub(super) use calibration::reliability;
pub(super) use curves::{Curve, CurveChart};
pub(super) use fan::FanChart;
pub(super) use lines::{Line, LineChart};
pub(super) use points::{Point, PointChart};
pub(super) use swarm::swarm;
pub(super) use waterfall::waterfall;
