//! Serving live models: bars come in as they close, rows go to the models, answers come out.
//!
//! | file | role |
//! |---|---|
//! | `rows` | closed bars become the rows that a model takes |

mod rows;

pub use rows::{LiveRows, Ready};
