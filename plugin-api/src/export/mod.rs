//! From the author's traits to the C tables: `export_plugin!` and what it needs.
//!
//! Each slot of a table is a guarded thunk: it checks NULL and sizes, turns the C structs into the
//! safe types, catches a panic, and writes status and message. After a panic the instance answers
//! nothing more. Nothing here knows what a model does.
#![allow(unsafe_code, reason = "is called by the host through the C table")]

mod lent;
mod thunks;

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{
    self, FB_ABI_MAJOR, FB_ABI_MINOR, FB_CAP_GUARDED, FB_OK, LEARNER_ID, MODEL_ID, fb_entry,
    fb_error, fb_host, fb_status, fb_str,
};
use crate::config::Config;
use crate::error::{PluginError, Result, Status};
use crate::model::{Learner, Model};

/// A plugin as a type; [`export_plugin!`](crate::export_plugin) writes the implementation.
pub trait Plugin: 'static {
    /// Reverse DNS, such as `com.example.ema`.
    const ID: &'static str;
    /// Three numbers, such as `1.4.2`.
    const VERSION: &'static str;
    /// Bits of `FB_CAP_*` beyond the guard that every plugin of this kit has.
    const CAPABILITIES: u64 = 0;
    /// Whether `predict` neither allocates, locks, logs nor makes system calls.
    const REALTIME: bool = false;

    /// Makes the plugin's model, as
    /// [`CreateModel::create`](crate::model::CreateModel::create) does.
    ///
    /// # Errors
    /// `E_CONFIG` for a wrong configuration, `E_DATA` for bytes that are not an artifact.
    fn create_model(config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>>;

    /// The learner, where the plugin trains.
    #[must_use]
    fn learner() -> Option<Box<dyn Learner>> {
        None
    }
}

/// Exports a plugin: the entry symbol and the note that a scan reads.
///
/// ```ignore
/// export_plugin! { id: "com.example.ema", version: "1.0.0", model: Ema }
/// export_plugin! { id: "com.example.gbm", version: "1.0.0", model: Booster, learner: Boosting }
/// ```
///
/// A learner must implement `Default`. After it may follow `capabilities: FB_CAP_THREADS` and
/// `realtime: true`. The macro also defines `FuseboxPlugin`, through which a host that links the
/// crate uses the plugin without loading it.
#[macro_export]
macro_rules! export_plugin {
    (
        id: $id:expr,
        version: $version:expr,
        model: $model:ty
        $(, learner: $learner:ty)?
        $(, capabilities: $capabilities:expr)?
        $(, realtime: $realtime:expr)?
        $(,)?
    ) => {
        /// The plugin of this crate.
        #[derive(Debug, Clone, Copy)]
        pub struct FuseboxPlugin;

        impl $crate::export::Plugin for FuseboxPlugin {
            const ID: &'static str = $id;
            const VERSION: &'static str = $version;
            $(const CAPABILITIES: u64 = $capabilities;)?
            $(const REALTIME: bool = $realtime;)?

            fn create_model(
                config: &$crate::config::Config,
                artifact: &[u8],
            ) -> $crate::error::Result<Box<dyn $crate::model::Model>> {
                let model = <$model as $crate::model::CreateModel>::create(config, artifact)?;
                Ok(Box::new(model))
            }

            $(
                fn learner() -> Option<Box<dyn $crate::model::Learner>> {
                    Some(Box::new(<$learner as ::core::default::Default>::default()))
                }
            )?
        }

        const _: () = {
            use $crate::export::{Note, Plugin};

            #[used]
            #[cfg_attr(
                not(any(target_vendor = "apple", windows)),
                unsafe(link_section = ".note.fusebox")
            )]
            static NOTE: Note<{ Note::<0>::room(FuseboxPlugin::ID, FuseboxPlugin::VERSION) }> =
                Note::new(FuseboxPlugin::ID, FuseboxPlugin::VERSION);

            /// # Safety
            /// `host` is a host table that lives as long as the process.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn fusebox_plugin_entry_v1(
                host: *const $crate::abi::fb_host,
            ) -> *const $crate::abi::fb_entry {
                // SAFETY: the host keeps the contract of the header.
                unsafe { $crate::export::exported_entry::<FuseboxPlugin>(host) }
            }
        };
    };
}

/// The ELF note, as `FB_PLUGIN_NOTE` of the header writes it.
#[repr(C, align(4))]
#[derive(Debug)]
pub struct Note<const ROOM: usize> {
    sizes_and_type: [u32; 3],
    owner: [u8; 8],
    text: [u8; ROOM],
}

impl<const ROOM: usize> Note<ROOM> {
    const PARTS: [&'static str; 4] = ["abi=1.0\nid=", "\nversion=", "\n", ""];

    const fn text_len(id: &str, version: &str) -> usize {
        Self::PARTS[0].len() + id.len() + Self::PARTS[1].len() + version.len() + 1
    }

    /// Bytes the text takes in the section: its length, rounded up to four.
    #[must_use]
    pub const fn room(id: &str, version: &str) -> usize {
        Self::text_len(id, version).next_multiple_of(4)
    }

    /// The note of a plugin; `ROOM` is [`Note::room`] of the same arguments.
    #[must_use]
    pub const fn new(id: &str, version: &str) -> Self {
        let mut text = [0; ROOM];
        let parts = [Self::PARTS[0], id, Self::PARTS[1], version, Self::PARTS[2]];
        let (mut at, mut part) = (0, 0);
        while part < parts.len() {
            let bytes = parts[part].as_bytes();
            let mut i = 0;
            while i < bytes.len() {
                text[at] = bytes[i];
                at += 1;
                i += 1;
            }
            part += 1;
        }
        Self {
            sizes_and_type: [8, Self::text_len(id, version) as u32, 1],
            owner: *b"Fusebox\0",
            text,
        }
    }

    /// The text of the note.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text[..(self.sizes_and_type[1] as usize).min(ROOM)]
    }
}

/// How important a log message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Something failed.
    Error = 1,
    /// Something is not as it should be.
    Warn = 2,
    /// Worth knowing.
    Info = 3,
    /// For finding faults.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

impl LogLevel {
    /// The level of a code of the header; an unknown code is the nearest level.
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        match code {
            ..=1 => Self::Error,
            2 => Self::Warn,
            3 => Self::Info,
            4 => Self::Debug,
            5.. => Self::Trace,
        }
    }
}

/// The host of this library's copy of the kit, for [`log`].
static HOST: AtomicPtr<fb_host> = AtomicPtr::new(ptr::null_mut());

/// Writes to the host's log, from any thread; does nothing before the host has called the entry.
/// Never call it from `predict` of a model that claims to be real-time.
pub fn log(level: LogLevel, message: &str) {
    let host = HOST.load(Ordering::Acquire);
    // SAFETY: the host table lives as long as the process and is as large as it says.
    let Some(host) = (unsafe { abi::read(host.cast_const()) }) else {
        return;
    };
    if let Some(log) = host.log {
        // SAFETY: the slot may be called from any thread; the message lives for the call.
        unsafe { log(host.ctx, level as i32, fb_str::lend(message)) };
    }
}

/// The entry behind the exported symbol: like [`linked_entry`], and panics of this library, which
/// has a standard library of its own, are sent to the host's log.
///
/// # Safety
/// `host` is NULL or a host table that lives as long as the process.
pub unsafe fn exported_entry<P: Plugin>(host: *const fb_host) -> *const fb_entry {
    static HOOK: Once = Once::new();
    // SAFETY: the caller keeps the same promise.
    let entry = unsafe { linked_entry::<P>(host) };
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            log(LogLevel::Error, &format!("plugin {}: {panic}", P::ID));
        }));
    });
    entry
}

/// The entry of a plugin that is linked into the host; it leaves the host's panic hook alone.
/// NULL where the host is NULL or of another major version.
///
/// # Safety
/// `host` is NULL or a host table that lives as long as the process.
pub unsafe extern "C" fn linked_entry<P: Plugin>(host: *const fb_host) -> *const fb_entry {
    // SAFETY: the caller guarantees NULL or a live host table.
    match unsafe { abi::read(host) } {
        Some(table) if table.abi_major == FB_ABI_MAJOR => {}
        _ => return ptr::null(),
    }
    HOST.store(host.cast_mut(), Ordering::Release);
    const {
        &fb_entry {
            size: abi::size::<fb_entry>(),
            abi_major: FB_ABI_MAJOR,
            abi_minor: FB_ABI_MINOR,
            id: fb_str::lend(P::ID),
            version: fb_str::lend(P::VERSION),
            sdk: fb_str::lend(concat!("fusebox-plugin-api ", env!("CARGO_PKG_VERSION"))),
            caps: P::CAPABILITIES
                | if cfg!(panic = "unwind") {
                    FB_CAP_GUARDED
                } else {
                    0
                },
            get_factory: Some(get_factory::<P>),
        }
    }
}

unsafe extern "C" fn get_factory<P: Plugin>(id: fb_str) -> *const c_void {
    // SAFETY: the host lends the id for the call.
    let id = unsafe { id.text() };
    let find = || match id {
        Some(MODEL_ID) => ptr::from_ref(thunks::model_table::<P>()).cast(),
        Some(LEARNER_ID) if P::learner().is_some() => {
            ptr::from_ref(thunks::learner_table::<P>()).cast()
        }
        _ => ptr::null(),
    };
    catch_unwind(find).unwrap_or_else(|payload| {
        log(LogLevel::Error, panicked("get_factory", payload).message());
        ptr::null()
    })
}

/// Runs `body` without letting a panic out; `what` names the slot in the message.
///
/// # Safety
/// `err` is NULL or a writable error buffer as large as it says.
unsafe fn guarded(what: &str, err: *mut fb_error, body: impl FnOnce() -> Result<()>) -> fb_status {
    let error = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return FB_OK,
        Ok(Err(error)) => error,
        Err(payload) => panicked(what, payload),
    };
    // SAFETY: the caller guarantees the buffer.
    unsafe { fb_error::write(err, &error) }
}

/// The error of a caught panic. The payload is forgotten, because dropping it might panic again.
pub(crate) fn panicked(what: &str, payload: Box<dyn Any + Send>) -> PluginError {
    let text = match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a value that is not text".to_owned(),
    };
    std::mem::forget(payload);
    PluginError::new(Status::Panic, format!("panicked in {what}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_the_one_of_the_header_macro() {
        const NOTE: Note<{ Note::<0>::room("com.example.t", "1.0.0") }> =
            Note::new("com.example.t", "1.0.0");
        assert_eq!(NOTE.text(), b"abi=1.0\nid=com.example.t\nversion=1.0.0\n");
        assert_eq!(NOTE.sizes_and_type, [8, 39, 1]);
        assert_eq!(size_of_val(&NOTE), 12 + 8 + 40);
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        let mut buffer = fb_error::new();
        // SAFETY: the buffer is our own.
        let status = unsafe { guarded("fit", &mut buffer, || panic!("no rows in {}", "train")) };
        let error = buffer.to_error(status);
        assert_eq!(error.status(), Status::Panic);
        assert_eq!(error.message(), "panicked in fit: no rows in train");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character_and_a_small_buffer_is_respected() {
        let mut buffer = fb_error::new();
        let long = PluginError::data("é".repeat(2000));
        // SAFETY: the buffer is our own.
        let status = unsafe { fb_error::write(&mut buffer, &long) };
        assert_eq!(buffer.to_error(status).message(), "é".repeat(503));
        let mut small = fb_error::new();
        small.size = 20;
        small.message = [7; 1008];
        // SAFETY: the buffer is our own.
        unsafe { fb_error::write(&mut small, &PluginError::data("abcdef")) };
        assert_eq!(small.message[..5], *b"abc\0\x07");
    }
}
