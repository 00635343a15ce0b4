//! The plugin through its bare C tables: mapped, entered, asked for instances, called slot by slot.
//!
//! The proxies of the contract crate lend what this version lends; the kit must also lend what an
//! older, a newer or a careless host would, which is made in `lent`.
#![allow(
    unsafe_code,
    reason = "calls the plugin through the C table, on purpose in odd ways"
)]

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

use fusebox_plugin_api::abi::{
    self, ENTRY_SYMBOL, FB_MODEL_REALTIME, FB_OK, LEARNER_ID, MODEL_ID, fb_buf, fb_entry,
    fb_entry_v1_fn, fb_host, fb_instance, fb_model_vt, fb_status, fb_str,
};
use fusebox_plugin_api::import::{HostServices, ImportedPlugin, LentHost};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::lent::{ErrorBuffer, FrameBytes, HostSpec, Sink};

/// A library that is mapped for good.
#[derive(Debug, Clone)]
pub(super) struct Mapped {
    /// Its path at the time of mapping.
    pub(super) path: PathBuf,
    entry: fb_entry_v1_fn,
}

impl Mapped {
    /// Maps `path` and finds the entry, without calling it.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        // SAFETY: the caller asked for this library's code to be tried; this process is for that.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|error| format!("cannot be mapped: {error}"))?;
        // SAFETY: the contract gives the symbol of this name this type.
        let symbol = unsafe { library.get::<fb_entry_v1_fn>(ENTRY_SYMBOL) };
        let entry = *symbol.map_err(|error| format!("has no entry: {error}"))?;
        std::mem::forget(library);
        let path = path.to_owned();
        Ok(Self { path, entry })
    }

    /// Calls the entry. `None` where it answers NULL.
    pub(super) fn enter(&self, host: Option<HostSpec>) -> Option<Entry> {
        let host = host.map_or(ptr::null(), HostSpec::leak);
        // SAFETY: the symbol is the entry, and a host table is leaked.
        let entry = unsafe { (self.entry)(host) };
        // SAFETY: the entry answers NULL or a struct that lives as long as the process.
        let table = unsafe { abi::read::<fb_entry>(entry) }?;
        let address = entry as usize;
        Some(Entry {
            table,
            address,
            host,
        })
    }

    /// The entry and the model table, for `host`.
    pub(super) fn table(&self, host: HostSpec) -> Result<Table, String> {
        let entry = self
            .enter(Some(host))
            .ok_or("its entry answers NULL to this host")?;
        entry.model()
    }

    /// The plugin as the proxies of the contract crate see it.
    pub(super) fn import(&self) -> Result<ImportedPlugin, String> {
        let host = LentHost::leak(HostServices::silent());
        // SAFETY: the symbol is the entry, and the library is never unloaded.
        let imported = unsafe { ImportedPlugin::from_entry(self.entry, host) };
        imported.map_err(|error| error.to_string())
    }
}

/// What the entry answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    table: fb_entry,
    /// Where it lies; the same on every call.
    pub(super) address: usize,
    host: *const fb_host,
}

impl Entry {
    pub(super) fn major(&self) -> u16 {
        self.table.abi_major
    }

    pub(super) fn capabilities(&self) -> u64 {
        self.table.caps
    }

    /// Id and version; empty where they are not UTF-8.
    pub(super) fn names(&self) -> (String, String) {
        let owned = |text: fb_str| {
            // SAFETY: the texts of the entry live as long as the process.
            unsafe { text.text() }.unwrap_or_default().to_owned()
        };
        (owned(self.table.id), owned(self.table.version))
    }

    /// Whether a factory id, which need not be text, is answered by a table.
    pub(super) fn has_factory(&self, id: &[u8]) -> bool {
        !self
            .factory(fb_str {
                ptr: id.as_ptr().cast(),
                len: id.len() as u64,
            })
            .is_null()
    }

    /// Whether an id of no bytes at NULL is answered by a table.
    pub(super) fn has_null_factory(&self) -> bool {
        !self
            .factory(fb_str {
                ptr: ptr::null(),
                len: 0,
            })
            .is_null()
    }

    pub(super) fn has_learner(&self) -> bool {
        self.has_factory(LEARNER_ID.as_bytes())
    }

    fn factory(&self, id: fb_str) -> *const c_void {
        // SAFETY: the slot may be called from any thread; the id is lent for the call.
        self.table
            .get_factory
            .map_or(ptr::null(), |get| unsafe { get(id) })
    }

    pub(super) fn model(self) -> Result<Table, String> {
        let model: *const c_void = self.factory(fb_str::lend(MODEL_ID));
        // SAFETY: the factory of this id is NULL or a model table that lives as long as the
        // process.
        let model = unsafe { abi::read::<fb_model_vt>(model.cast()) };
        let model = model.ok_or("it offers no models (`fb.model/1`)")?;
        for (slot, is_there) in [
            ("create", model.create.is_some()),
            ("info", model.info.is_some()),
            ("predict", model.predict.is_some()),
            ("destroy", model.destroy.is_some()),
        ] {
            if !is_there {
                return Err(format!(
                    "its model table has no `{slot}`, which every model needs"
                ));
            }
        }
        let (host, caps) = (self.host, self.table.caps);
        Ok(Table { model, host, caps })
    }
}

// SAFETY: tables live as long as the process, are never written, and may be read by any thread.
unsafe impl Send for Table {}
// SAFETY: as for `Send`.
unsafe impl Sync for Table {}
// SAFETY: as for `Table`.
unsafe impl Send for Entry {}
// SAFETY: as for `Table`; `get_factory` may be called from any thread.
unsafe impl Sync for Entry {}

/// A model table with the host it is called with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    model: fb_model_vt,
    host: *const fb_host,
    /// Bits of `FB_CAP_*`.
    pub(super) caps: u64,
}

impl Table {
    pub(super) fn is_realtime(&self) -> bool {
        self.model.flags & FB_MODEL_REALTIME != 0
    }

    pub(super) fn has_state(&self) -> bool {
        self.model.snapshot.is_some() && self.model.restore.is_some()
    }

    pub(super) fn has_save(&self) -> bool {
        self.model.save.is_some()
    }

    /// Makes an instance, which is destroyed with the value.
    pub(super) fn create(
        &self,
        config: &[u8],
        artifact: &[u8],
        error: &mut ErrorBuffer,
    ) -> Result<Instance, fb_status> {
        let Some(create) = self.model.create else {
            return Err(-3);
        };
        let mut instance: *mut fb_instance = ptr::null_mut();
        let (config, artifact) = (fb_buf::lend(config), fb_buf::lend(artifact));
        // SAFETY: [control] slot; everything is lent for the call, the host table for ever.
        let code = unsafe { create(self.host, config, artifact, &mut instance, error.lend()) };
        if code != FB_OK {
            return Err(code);
        }
        let instance = NonNull::new(instance).ok_or_else(|| {
            error.say("reported success without an instance");
            -7
        })?;
        Ok(Instance {
            table: *self,
            instance,
        })
    }
}

/// An instance of a model.
#[derive(Debug)]
pub(super) struct Instance {
    table: Table,
    instance: NonNull<fb_instance>,
}

// SAFETY: the contract lets an instance be used by any thread, one at a time.
unsafe impl Send for Instance {}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(destroy) = self.table.model.destroy {
            // SAFETY: [control] slot; the instance is live, and this is its last use.
            unsafe { destroy(self.instance.as_ptr()) };
        }
    }
}

type Code = Result<(), fb_status>;

fn ok(code: fb_status) -> Code {
    if code == FB_OK { Ok(()) } else { Err(code) }
}

impl Instance {
    pub(super) fn table(&self) -> Table {
        self.table
    }

    pub(super) fn info(&self, sink: &mut Sink, error: &mut ErrorBuffer) -> Code {
        // SAFETY: [control] slot; the instance is live, the rest is lent for the call.
        self.table.model.info.map_or(Err(-3), |slot| {
            // SAFETY: as above.
            ok(unsafe { slot(self.instance.as_ptr(), &sink.table(), error.lend()) })
        })
    }

    pub(super) fn save(&self, sink: &mut Sink, error: &mut ErrorBuffer) -> Code {
        self.table.model.save.map_or(Ok(()), |slot| {
            // SAFETY: [control] slot; the instance is live, the rest is lent for the call.
            ok(unsafe { slot(self.instance.as_ptr(), &sink.table(), error.lend()) })
        })
    }

    /// Writes the state into the sink and gives its schema number.
    pub(super) fn snapshot(
        &self,
        sink: &mut Sink,
        error: &mut ErrorBuffer,
    ) -> Result<u32, fb_status> {
        let Some(slot) = self.table.model.snapshot else {
            return Ok(0);
        };
        let mut schema = 0;
        // SAFETY: [control] slot; the instance is live, the rest is lent for the call.
        let code = unsafe {
            slot(
                self.instance.as_ptr(),
                &sink.table(),
                &mut schema,
                error.lend(),
            )
        };
        ok(code).map(|()| schema)
    }

    pub(super) fn restore(&mut self, state: &[u8], schema: u32, error: &mut ErrorBuffer) -> Code {
        let Some(slot) = self.table.model.restore else {
            return Err(-3);
        };
        // SAFETY: [control] slot; the instance is live, the rest is lent for the call.
        ok(unsafe {
            slot(
                self.instance.as_ptr(),
                fb_buf::lend(state),
                schema,
                error.lend(),
            )
        })
    }

    pub(super) fn warmup(&self, error: &mut ErrorBuffer) -> Code {
        self.table.model.warmup.map_or(Ok(()), |slot| {
            // SAFETY: [control] slot; the instance is live.
            ok(unsafe { slot(self.instance.as_ptr(), error.lend()) })
        })
    }

    pub(super) fn quiesce(&mut self, deadline_ns: u64, error: &mut ErrorBuffer) -> Code {
        self.table.model.quiesce.map_or(Ok(()), |slot| {
            // SAFETY: [control] slot; the instance is live.
            ok(unsafe { slot(self.instance.as_ptr(), deadline_ns, error.lend()) })
        })
    }

    /// Predicts; allocates nothing and makes no system call of its own.
    pub(super) fn predict(&mut self, frame: &FrameBytes<'_>, error: &mut ErrorBuffer) -> Code {
        self.table.model.predict.map_or(Err(-3), |slot| {
            // SAFETY: [infer] slot; `&mut self` is the only user, the rest is lent for the call.
            ok(unsafe { slot(self.instance.as_ptr(), frame.as_ptr(), error.lend()) })
        })
    }

    /// Whether an extension id is answered by a table.
    pub(super) fn has_extension(&self, id: &str) -> bool {
        self.table.model.get_extension.is_some_and(|get| {
            // SAFETY: [control] slot; the instance is live, the id is lent for the call.
            !unsafe { get(self.instance.as_ptr(), fb_str::lend(id)) }.is_null()
        })
    }
}
