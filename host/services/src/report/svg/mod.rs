//! Charts as inline SVG: bars, lines, reliability curves, a waterfall. Colours are classes that the
//! style sheet resolves for light, dark and print. A chart shows numbers, it never computes them.

mod axis;
mod bars;
mod calibration;
mod canvas;
mod lines;
mod waterfall;

pub(super) use bars::{Bar, BarChart, range_bar};
pub(super) use calibration::reliability;
pub(super) use lines::{Line, LineChart};
pub(super) use waterfall::waterfall;
