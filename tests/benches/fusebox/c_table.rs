//! A plugin's model called through its bare table, as a host in C would: what the proxy of the
//! loader is compared with.
#![allow(unsafe_code, reason = "maps a library and calls its table")]

use std::path::Path;
use std::ptr;

use fusebox_plugin_api::abi::{
    self, ENTRY_SYMBOL, FB_ABI_MAJOR, FB_ABI_MINOR, FB_OK, FrameSlot, MODEL_ID, fb_buf,
    fb_entry_v1_fn, fb_error, fb_frame, fb_host, fb_instance, fb_model_vt, fb_str,
};

/// An instance and its `predict`; lives as long as the process.
pub(crate) struct CTable {
    instance: *mut fb_instance,
    predict: FrameSlot,
    error: Box<fb_error>,
}

impl CTable {
    pub(crate) fn open(library: &Path, config: &[u8]) -> Self {
        // SAFETY: the fixture's constructors are the C compiler's, which do nothing.
        let library = unsafe { libloading::Library::new(library) }.unwrap();
        // SAFETY: the contract gives the symbol of this name this type.
        let entry = *unsafe { library.get::<fb_entry_v1_fn>(ENTRY_SYMBOL.as_bytes()) }.unwrap();
        std::mem::forget(library);
        let host: &'static fb_host = Box::leak(Box::new(fb_host {
            size: abi::size::<fb_host>(),
            abi_major: FB_ABI_MAJOR,
            abi_minor: FB_ABI_MINOR,
            generation: 0,
            ctx: ptr::null_mut(),
            log: None,
            get_extension: None,
        }));
        // SAFETY: the host table lives as long as the process.
        let entry = unsafe { entry(host) };
        // SAFETY: the fixture returns its static entry.
        let entry = unsafe { abi::read(entry) }.unwrap();
        // SAFETY: the id is lent for the call.
        let table = unsafe { entry.get_factory.unwrap()(fb_str::lend(MODEL_ID)) };
        // SAFETY: the fixture returns its static table of this id.
        let table = unsafe { abi::read(table.cast::<fb_model_vt>()) }.unwrap();
        let (mut instance, mut error) = (ptr::null_mut(), Box::new(fb_error::new()));
        let (create, config) = (table.create.unwrap(), fb_buf::lend(config));
        // SAFETY: everything is lent for the call.
        let code = unsafe { create(host, config, fb_buf::EMPTY, &mut instance, &mut *error) };
        assert_eq!(code, FB_OK);
        let predict = table.predict.unwrap();
        Self {
            instance,
            predict,
            error,
        }
    }

    pub(crate) fn predict(&mut self, input: &[f32], output: &mut [f32; 1]) {
        let columns = input.len() as u64;
        let frame = fb_frame {
            size: abi::size::<fb_frame>(),
            flags: 0,
            event_ns: 0,
            deadline_ns: 0,
            rows: 1,
            window: 1,
            cols: columns,
            row_stride: columns,
            step_stride: columns,
            input: input.as_ptr(),
            output_cols: 1,
            output_stride: 1,
            output: output.as_mut_ptr(),
            row_event_ns: ptr::null(),
            symbols: ptr::null(),
        };
        // SAFETY: the instance is live and used by nobody else, and the frame lives for the call.
        let code = unsafe { (self.predict)(self.instance, &frame, &mut *self.error) };
        assert_eq!(code, FB_OK);
    }
}
