//! One candle file: Parquet with columns by name.
//!
//! `ts` is the open time (`timestamp[ms, UTC]`; other units and zones are read as well), `open`,
//! `high`, `low`, `close`, `volume` are `float64`; `quote_volume`, `trades` (`int64`) and
//! `taker_buy_volume` are optional. Narrower floats and integers are widened where that loses
//! nothing. Other columns are ignored. Nothing here judges values: that is the validator's part.

mod batches;
mod cells;
mod read;
mod table;
mod write;

pub use batches::Batches;
pub use read::{Content, Footer, ReadOptions, read, read_footer};
pub(super) use table::read_table;
pub(super) use write::value;
pub use write::write;

use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// SHA-256 of a file's bytes in hex, and how many there are.
pub(super) fn digest(mut file: &File) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 16];
    let mut bytes = 0_u64;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex(&hasher.finalize()), bytes));
        }
        hasher.update(&buffer[..count]);
        bytes += count as u64;
    }
}

/// Bytes as lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
