//! A plugin as a shared library inside this process, mapped for good.
//!
//! Symbols are bound at once, kept local, and the library is never unloaded: code that may still be
//! referred to by a thread, a thread-local or a table must not go away.
#![allow(unsafe_code, reason = "maps a library and calls its entry")]

use std::error::Error;

use fusebox_plugin_api::abi::{ENTRY_SYMBOL, fb_entry_v1_fn};
use fusebox_plugin_api::import::{HostServices, ImportedPlugin, LentHost};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::{Backend, OpenPlugin, Prepared};
use crate::error::LoadError;

/// `RTLD_NODELETE` of this platform: the library stays even where somebody closes it.
#[cfg(target_os = "linux")]
const RTLD_NODELETE: std::ffi::c_int = 0x1000;
#[cfg(not(target_os = "linux"))]
const RTLD_NODELETE: std::ffi::c_int = 0x80;

/// Opens a prepared library.
#[derive(Debug, Clone)]
pub struct DylibBackend {
    prepared: Prepared,
}

impl DylibBackend {
    /// The backend of a library that was verified and copied for this load alone.
    #[must_use]
    pub fn new(prepared: Prepared) -> Self {
        Self { prepared }
    }

    fn entry(&self) -> Result<fb_entry_v1_fn, LoadError> {
        let refuse = |error: libloading::Error| LoadError::Map {
            path: self.prepared.origin.clone(),
            // What the linker says, such as which symbol is missing, stands in the source.
            reason: error
                .source()
                .map_or_else(|| error.to_string(), ToString::to_string),
        };
        let flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
        // SAFETY: the operator installed this library to have its code run, and its digest is the
        // one of the manifest.
        let library = unsafe { Library::open(Some(&self.prepared.path), flags) }.map_err(refuse)?;
        // SAFETY: the contract gives the symbol of this name this type.
        let symbol = unsafe { library.get::<fb_entry_v1_fn>(ENTRY_SYMBOL) };
        let entry = *symbol.map_err(refuse)?;
        std::mem::forget(library);
        Ok(entry)
    }
}

impl Backend for DylibBackend {
    fn open(&self, services: HostServices) -> Result<Box<dyn OpenPlugin>, LoadError> {
        let entry = self.entry()?;
        let host = LentHost::leak(services);
        // SAFETY: the library carries the note of this contract version and is never unloaded.
        let imported = unsafe { ImportedPlugin::from_entry(entry, host) };
        let plugin = imported.map_err(|source| LoadError::Import {
            plugin: self.prepared.origin.display().to_string(),
            source,
        })?;
        Ok(Box::new(plugin))
    }
}
