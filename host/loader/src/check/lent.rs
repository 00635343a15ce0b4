//! What the kit lends to a plugin: hosts, frames, sinks and error buffers of any size.
//!
//! Every struct that is lent here is followed by a pattern that tells whether the plugin wrote past
//! the size it was given, and that is no valid pointer where the plugin reads past it.
#![allow(unsafe_code, reason = "makes structs that end before their fields do")]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

use fusebox_plugin_api::abi::{
    self, FB_ABI_MAJOR, FB_ABI_MINOR, FB_OK, fb_buf, fb_error, fb_frame, fb_host, fb_sink,
    fb_status, fb_str,
};
use fusebox_plugin_api::frame::{Frame, FrameShape};

/// What follows a lent struct: no valid pointer, no small number.
const PATTERN: u8 = 0xA5;

/// Longest answer that a sink takes.
const MOST_ANSWER_BYTES: usize = 512 << 20;

/// The host table that a plugin is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostSpec {
    pub(super) size: u32,
    pub(super) major: u16,
    pub(super) minor: u16,
    pub(super) has_log: bool,
    pub(super) has_extensions: bool,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            size: abi::size::<fb_host>(),
            major: FB_ABI_MAJOR,
            minor: FB_ABI_MINOR,
            has_log: true,
            has_extensions: true,
        }
    }
}

impl HostSpec {
    /// The table, alive for ever. What lies beyond its size is the pattern.
    pub(super) fn leak(self) -> *const fb_host {
        let table = fb_host {
            size: self.size,
            abi_major: self.major,
            abi_minor: self.minor,
            generation: 1,
            ctx: ptr::null_mut(),
            log: self.has_log.then_some(ignore_log as _),
            get_extension: self.has_extensions.then_some(no_extension as _),
        };
        let words: &'static mut Padded<fb_host> = Box::leak(Box::new(Padded::new(table)));
        words.forget_after(self.size);
        words.as_ptr()
    }
}

unsafe extern "C" fn ignore_log(_: *mut c_void, _: i32, _: fb_str) {}

unsafe extern "C" fn no_extension(_: *mut c_void, _: fb_str) -> *const c_void {
    ptr::null()
}

/// A struct with room behind it for what a newer version would append.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Padded<T: Copy> {
    value: T,
    room: [u8; 256],
}

impl<T: Copy> Padded<T> {
    fn new(value: T) -> Self {
        let room = [PATTERN; 256];
        Self { value, room }
    }

    fn as_ptr(&self) -> *const T {
        ptr::from_ref(self).cast()
    }

    /// Writes the pattern over everything from byte `size` on.
    fn forget_after(&mut self, size: u32) {
        let from = (size as usize).min(size_of::<T>());
        let bytes: *mut u8 = ptr::from_mut(self).cast();
        // SAFETY: `from` is inside the value, which is followed by the room.
        let start = unsafe { bytes.add(from) };
        // SAFETY: the bytes are this value's own; the other side alone reads them as fields.
        unsafe { start.write_bytes(PATTERN, size_of::<T>() - from) };
    }

    /// The first byte at or after `size` that is not the pattern.
    fn changed_after(&self, size: u32) -> Option<usize> {
        let bytes: *const u8 = ptr::from_ref(self).cast();
        let end = size_of::<T>() + self.room.len();
        (size as usize..end).find(|at| {
            // SAFETY: `at` lies inside this value and its room.
            let byte = unsafe { bytes.add(*at) };
            // SAFETY: every byte was written when the value was made.
            unsafe { byte.read() != PATTERN }
        })
    }
}

/// An error buffer of any size, or none.
#[derive(Debug)]
pub(super) struct ErrorBuffer {
    bytes: Box<Padded<fb_error>>,
    size: Option<u32>,
}

impl ErrorBuffer {
    pub(super) fn new() -> Self {
        Self::of_size(abi::size::<fb_error>())
    }

    pub(super) fn of_size(size: u32) -> Self {
        let bytes = Box::new(Padded::new(fb_error::new()));
        Self {
            bytes,
            size: Some(size),
        }
    }

    /// NULL.
    pub(super) fn none() -> Self {
        Self {
            size: None,
            ..Self::new()
        }
    }

    /// What is lent for a call.
    pub(super) fn lend(&mut self) -> *mut fb_error {
        let Some(size) = self.size else {
            return ptr::null_mut();
        };
        self.bytes.value.code = FB_OK;
        self.bytes.value.length = 0;
        self.bytes.value.reserved = 0;
        self.bytes.value.size = size;
        self.bytes.forget_after(size.max(16));
        ptr::from_mut(&mut *self.bytes).cast()
    }

    /// The first byte that was written past the size.
    pub(super) fn overrun(&self) -> Option<usize> {
        self.bytes.changed_after(self.size?.max(16))
    }

    /// The message the plugin left, as one line.
    pub(super) fn message(&self) -> String {
        let length = (self.bytes.value.length as usize).min(1007);
        let text = String::from_utf8_lossy(&self.bytes.value.message[..length]);
        text.replace(char::is_control, " ").trim().to_owned()
    }

    /// Leaves words of the host's own.
    pub(super) fn say(&mut self, words: &str) {
        self.bytes.value.length = words.len() as u32;
        self.bytes.value.message[..words.len()].copy_from_slice(words.as_bytes());
    }

    /// What failed, in words.
    pub(super) fn told(&self, what: &str, code: fb_status) -> String {
        format!("{what}: {}", self.bytes.value.to_error(code))
    }
}

/// A sink that collects, and fails when it is told to.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) bytes: Vec<u8>,
    /// Fails from this piece on.
    fails_at: Option<usize>,
    pieces: usize,
    /// Whether the plugin wrote again after a failure.
    pub(super) was_pressed: bool,
}

impl Sink {
    pub(super) fn whole() -> Self {
        Self::default()
    }

    pub(super) fn failing_at(piece: usize) -> Self {
        Self {
            fails_at: Some(piece),
            ..Self::default()
        }
    }

    pub(super) fn pieces(&self) -> usize {
        self.pieces
    }

    /// The sink to lend, for as long as this borrow.
    pub(super) fn table(&mut self) -> fb_sink {
        let ctx: *mut Self = self;
        fb_sink {
            size: abi::size::<fb_sink>(),
            reserved: 0,
            ctx: ctx.cast(),
            write: Some(take_piece),
        }
    }
}

unsafe extern "C" fn take_piece(ctx: *mut c_void, piece: fb_buf) -> fb_status {
    // SAFETY: the plugin passes the context of the sink, used by nobody else meanwhile.
    let Some(sink) = (unsafe { ctx.cast::<Sink>().as_mut() }) else {
        return -1;
    };
    sink.pieces += 1;
    if let Some(fails_at) = sink.fails_at
        && sink.pieces > fails_at
    {
        sink.was_pressed |= sink.pieces > fails_at + 1;
        return -6;
    }
    let room = MOST_ANSWER_BYTES.saturating_sub(sink.bytes.len()) as u64;
    if piece.len > room {
        return -6;
    }
    // SAFETY: the plugin lends the bytes for the call.
    sink.bytes.extend_from_slice(unsafe { piece.bytes() });
    FB_OK
}

/// A frame of any size over borrowed memory.
#[derive(Debug)]
pub(super) struct FrameBytes<'a> {
    bytes: Padded<fb_frame>,
    memory: PhantomData<&'a mut [f32]>,
}

impl<'a> FrameBytes<'a> {
    /// A frame of this version's size. Refused where the memory does not hold the shape.
    pub(super) fn new(
        input: &'a [f32],
        output: &'a mut [f32],
        shape: FrameShape,
    ) -> Result<Self, String> {
        Frame::new(input, output, shape).map_err(|error| error.to_string())?;
        let bytes = Padded::new(fb_frame {
            size: abi::size::<fb_frame>(),
            flags: 0,
            event_ns: 0,
            deadline_ns: 0,
            rows: shape.rows as u64,
            window: shape.window as u64,
            cols: shape.columns as u64,
            row_stride: shape.row_stride as u64,
            step_stride: shape.step_stride as u64,
            input: input.as_ptr(),
            output_cols: shape.output_columns as u64,
            output_stride: shape.output_stride as u64,
            output: output.as_mut_ptr(),
            row_event_ns: ptr::null(),
            symbols: ptr::null(),
        });
        Ok(Self {
            bytes,
            memory: PhantomData,
        })
    }

    pub(super) fn as_ptr(&self) -> *const fb_frame {
        self.bytes.as_ptr()
    }

    /// The frame as a host of another version would lend it.
    pub(super) fn of_size(mut self, size: u32) -> Self {
        self.bytes.value.size = size;
        self.bytes.forget_after(size);
        self
    }

    pub(super) fn with_flags(mut self, flags: u32) -> Self {
        self.bytes.value.flags = flags;
        self
    }

    /// With the optional columns, which outlive the frame.
    pub(super) fn with_columns(mut self, times: &'a [i64], symbols: &'a [u32]) -> Self {
        self.bytes.value.event_ns = times.last().copied().unwrap_or(0);
        self.bytes.value.row_event_ns = times.as_ptr();
        self.bytes.value.symbols = symbols.as_ptr();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_tells_what_was_written_past_its_size() {
        let mut buffer = ErrorBuffer::of_size(20);
        assert!(!buffer.lend().is_null());
        assert_eq!(buffer.overrun(), None);
        buffer.bytes.value.message[4] = 0;
        assert_eq!(buffer.overrun(), Some(20));
        assert!(ErrorBuffer::none().lend().is_null());
    }

    #[test]
    fn a_short_host_ends_in_the_pattern() {
        let mut host = Padded::new([1_u8; 40]);
        host.forget_after(24);
        assert_eq!(host.value[23], 1);
        assert_eq!(host.value[24], PATTERN);
        assert_eq!(host.changed_after(24), None);
    }
}
