//! Text, bytes and errors on their way across the C line: how the contract's own small structs are
//! lent and read. Nothing here is kept beyond a call.
#![allow(
    unsafe_code,
    reason = "reads and writes memory that the other side of the C line lends"
)]

use std::mem::offset_of;

use crate::abi::{FB_OK, elements, fb_buf, fb_error, fb_status, fb_str, size};
use crate::error::{PluginError, Status};

impl fb_str {
    /// Lends text for a call.
    #[must_use]
    pub const fn lend(text: &str) -> Self {
        Self {
            ptr: text.as_ptr().cast(),
            len: text.len() as u64,
        }
    }

    /// The text; `None` where it is not UTF-8.
    ///
    /// # Safety
    /// The text lives and stays unchanged for `'a`.
    #[must_use]
    pub unsafe fn text<'a>(self) -> Option<&'a str> {
        // SAFETY: the caller guarantees the bytes.
        let bytes = unsafe { elements(self.ptr.cast::<u8>(), self.len) };
        std::str::from_utf8(bytes).ok()
    }
}

impl fb_buf {
    /// No bytes.
    pub const EMPTY: Self = Self {
        ptr: std::ptr::null(),
        len: 0,
    };

    /// Lends bytes for a call.
    #[must_use]
    pub const fn lend(bytes: &[u8]) -> Self {
        Self {
            ptr: bytes.as_ptr(),
            len: bytes.len() as u64,
        }
    }

    /// The bytes.
    ///
    /// # Safety
    /// The bytes live and stay unchanged for `'a`.
    #[must_use]
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: the caller guarantees the bytes.
        unsafe { elements(self.ptr, self.len) }
    }
}

impl fb_error {
    /// An empty buffer to lend.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: size::<Self>(),
            code: FB_OK,
            length: 0,
            reserved: 0,
            message: [0; 1008],
        }
    }

    /// The failure that `status` and this buffer tell of. A buffer that was not filled gives the
    /// status alone. The message becomes one line: control characters, which could also steer a
    /// terminal, turn into blanks.
    #[must_use]
    pub fn to_error(&self, status: fb_status) -> PluginError {
        let length = (self.length as usize).min(self.message.len() - 1);
        let text = String::from_utf8_lossy(&self.message[..length]);
        let text = text.replace(char::is_control, " ");
        let text = text.trim();
        let kind = Status::of_plugin(status);
        if text.is_empty() {
            return PluginError::new(kind, format!("failed with status {status}, without a word"));
        }
        PluginError::new(kind, text)
    }

    /// Writes `error` into the caller's buffer, cut where it is too long, and returns its code.
    ///
    /// # Safety
    /// `to` is NULL or points to a writable error buffer as large as its size says.
    pub unsafe fn write(to: *mut Self, error: &PluginError) -> fb_status {
        let code = error.status().code();
        if to.is_null() {
            return code;
        }
        // SAFETY: the caller's buffer begins with its size; the rest need not be initialised.
        let size = unsafe { to.cast::<u32>().read_unaligned() };
        let capacity = (size as usize).min(size_of::<Self>());
        let Some(room) = capacity.checked_sub(offset_of!(Self, message) + 1) else {
            return code;
        };
        let text = cut(error.message(), room);
        let mut filled = Self::new();
        filled.size = size;
        filled.code = code;
        filled.length = text.len() as u32;
        filled.message[..text.len()].copy_from_slice(text.as_bytes());
        let bytes = offset_of!(Self, message) + text.len() + 1;
        let from: *const Self = &filled;
        // SAFETY: `bytes` is at most the size the caller's buffer states, and NUL is included.
        unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), bytes) };
        code
    }
}

/// The longest beginning of `text` that has at most `room` bytes and splits no character.
fn cut(text: &str, room: usize) -> &str {
    let mut end = text.len().min(room);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Default for fb_error {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_a_plugin_writes() {
        let mut buffer = fb_error::new();
        let words = b"bad\nfile\x1b[31m\xff\0";
        buffer.message[..words.len()].copy_from_slice(words);
        buffer.length = words.len() as u32;
        assert_eq!(buffer.to_error(-10).message(), "bad file [31m\u{fffd}");
        buffer.length = u32::MAX;
        assert!(buffer.to_error(-10).message().starts_with("bad file"));
        buffer.message = [b' '; 1008];
        let silent = buffer.to_error(-10);
        assert_eq!(silent.message(), "failed with status -10, without a word");
    }
}
