//! Serving live models: bars come in as they close, rows go to the models, answers come out.
//!
//! | file | role |
//! |---|---|
//! | `contract` | what serving says of its rows; scalers and readouts of models |
//! | `kept` | the state of the rows' features, kept over a restart |
//! | `rows` | closed bars become the rows that a model takes |
//! | `server` | one live model, asked once for every closing time |
//! | `signals` | the same as a source of signals for a session |

mod contract;
mod kept;
mod rows;
mod server;
mod signals;

pub use contract::ServedRows;
pub use kept::{KeptState, KeptStateError};
pub use rows::{LiveRows, Ready};
pub use server::{MisfitError, ModelServer, Served};
pub use signals::LiveSignals;
