//! The C shapes, as the header declares them, and the few ways to read them.
//!
//! `include/fusebox_plugin.h` is the source of truth and documents every field; this file is its
//! transcript, frozen in `frozen.rs`, and checked in `tests/tests/contract.rs` and `layout.rs`.
//! Names are the header's. A struct from the other side is copied by [`read`], which honours its
//! size: what lies outside reads as zero, that is NULL or absent.
#![allow(
    unsafe_code,
    reason = "reads and writes memory that the other side of the C line lends"
)]
#![allow(missing_docs, reason = "the header documents every field")]
#![allow(
    non_camel_case_types,
    reason = "the names are the header's, so that both can be compared"
)]

use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::slice;

pub const FB_ABI_MAJOR: u16 = 1;
pub const FB_ABI_MINOR: u16 = 0;
pub const FB_OK: i32 = 0;
pub const FB_FRAME_REPLAY: u32 = 1;
pub const FB_MODEL_REALTIME: u32 = 1;
pub const FB_SPACE_BOX: u32 = 0;
pub const FB_SPACE_DISCRETE: u32 = 1;
pub const FB_SPACE_MULTI_DISCRETE: u32 = 2;
pub const FB_AUTORESET_SAME_STEP: u32 = 0;
pub const FB_AUTORESET_NEXT_STEP: u32 = 1;
pub const FB_AUTORESET_DISABLED: u32 = 2;
pub const FB_ENV_ACTION_MASK: u32 = 1;
pub const FB_CAP_THREADS: u64 = 1;
pub const FB_CAP_GUARDED: u64 = 2;
pub const FB_CAP_GPU: u64 = 4;

/// Id of the model factory.
pub const MODEL_ID: &str = "fb.model/1";
/// Id of the learner factory.
pub const LEARNER_ID: &str = "fb.learner/1";
/// Name of the one exported symbol.
pub const ENTRY_SYMBOL: &str = "fusebox_plugin_entry_v1";

pub type fb_status = i32;

/// Opaque, the plugin's.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug)]
pub struct fb_instance {
    _opaque: [u8; 0],
}

/// Opaque, the host's.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug)]
pub struct fb_env {
    _opaque: [u8; 0],
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_str {
    pub ptr: *const c_char,
    pub len: u64,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_buf {
    pub ptr: *const u8,
    pub len: u64,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_error {
    pub size: u32,
    pub code: fb_status,
    pub length: u32,
    pub reserved: u32,
    pub message: [u8; 1008],
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_sink {
    pub size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub write: Option<unsafe extern "C" fn(*mut c_void, fb_buf) -> fb_status>,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug)]
pub struct ArrowSchema {
    pub format: *const c_char,
    pub name: *const c_char,
    pub metadata: *const c_char,
    pub flags: i64,
    pub n_children: i64,
    pub children: *mut *mut ArrowSchema,
    pub dictionary: *mut ArrowSchema,
    pub release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    pub private_data: *mut c_void,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug)]
pub struct ArrowArray {
    pub length: i64,
    pub null_count: i64,
    pub offset: i64,
    pub n_buffers: i64,
    pub n_children: i64,
    pub buffers: *mut *const c_void,
    pub children: *mut *mut ArrowArray,
    pub dictionary: *mut ArrowArray,
    pub release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    pub private_data: *mut c_void,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug)]
pub struct ArrowArrayStream {
    pub get_schema: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowSchema) -> c_int>,
    pub get_next: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowArray) -> c_int>,
    pub get_last_error: Option<unsafe extern "C" fn(*mut ArrowArrayStream) -> *const c_char>,
    pub release: Option<unsafe extern "C" fn(*mut ArrowArrayStream)>,
    pub private_data: *mut c_void,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_host {
    pub size: u32,
    pub abi_major: u16,
    pub abi_minor: u16,
    pub generation: u64,
    pub ctx: *mut c_void,
    pub log: Option<unsafe extern "C" fn(*mut c_void, i32, fb_str)>,
    pub get_extension: Option<unsafe extern "C" fn(*mut c_void, fb_str) -> *const c_void>,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_frame {
    pub size: u32,
    pub flags: u32,
    pub event_ns: i64,
    pub deadline_ns: u64,
    pub rows: u64,
    pub window: u64,
    pub cols: u64,
    pub row_stride: u64,
    pub step_stride: u64,
    pub input: *const f32,
    pub output_cols: u64,
    pub output_stride: u64,
    pub output: *mut f32,
    pub row_event_ns: *const i64,
    pub symbols: *const u32,
}

type Instance = *mut fb_instance;
pub type WriteSlot = unsafe extern "C" fn(Instance, *const fb_sink, *mut fb_error) -> fb_status;
pub type FrameSlot = unsafe extern "C" fn(Instance, *const fb_frame, *mut fb_error) -> fb_status;

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_model_vt {
    pub size: u32,
    pub flags: u32,
    pub create: Option<
        unsafe extern "C" fn(
            *const fb_host,
            fb_buf,
            fb_buf,
            *mut Instance,
            *mut fb_error,
        ) -> fb_status,
    >,
    pub info: Option<unsafe extern "C" fn(Instance, *const fb_sink, *mut fb_error) -> fb_status>,
    pub warmup: Option<unsafe extern "C" fn(Instance, *mut fb_error) -> fb_status>,
    pub predict:
        Option<unsafe extern "C" fn(Instance, *const fb_frame, *mut fb_error) -> fb_status>,
    pub save: Option<unsafe extern "C" fn(Instance, *const fb_sink, *mut fb_error) -> fb_status>,
    pub snapshot: Option<
        unsafe extern "C" fn(Instance, *const fb_sink, *mut u32, *mut fb_error) -> fb_status,
    >,
    pub restore: Option<unsafe extern "C" fn(Instance, fb_buf, u32, *mut fb_error) -> fb_status>,
    pub quiesce: Option<unsafe extern "C" fn(Instance, u64, *mut fb_error) -> fb_status>,
    pub destroy: Option<unsafe extern "C" fn(Instance)>,
    pub get_extension: Option<unsafe extern "C" fn(Instance, fb_str) -> *const c_void>,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_space {
    pub size: u32,
    pub kind: u32,
    pub rank: u64,
    pub elements: u64,
    pub shape: *const u64,
    pub low: *const f32,
    pub high: *const f32,
    pub counts: *const i64,
    pub start: i64,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_env_spec {
    pub size: u32,
    pub autoreset: u32,
    pub n_envs: u64,
    pub observation: *const fb_space,
    pub action: *const fb_space,
    pub info_names: *const fb_str,
    pub info_count: u64,
    pub reward_low: f64,
    pub reward_high: f64,
    pub max_episode_steps: u64,
    pub flags: u32,
    pub reserved: u32,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_env_reset {
    pub size: u32,
    pub reserved: u32,
    pub seeds: *const u64,
    pub mask: *const u8,
    pub observations: *mut f32,
    pub action_mask: *mut u8,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_env_step {
    pub size: u32,
    pub reserved: u32,
    pub actions: *const f32,
    pub discrete_actions: *const i64,
    pub observations: *mut f32,
    pub rewards: *mut f32,
    pub terminated: *mut u8,
    pub truncated: *mut u8,
    pub final_observations: *mut f32,
    pub infos: *mut f64,
    pub action_mask: *mut u8,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_env_vt {
    pub size: u32,
    pub flags: u32,
    pub describe: Option<unsafe extern "C" fn(*mut fb_env) -> *const fb_env_spec>,
    pub reset:
        Option<unsafe extern "C" fn(*mut fb_env, *const fb_env_reset, *mut fb_error) -> fb_status>,
    pub step:
        Option<unsafe extern "C" fn(*mut fb_env, *const fb_env_step, *mut fb_error) -> fb_status>,
    pub close: Option<unsafe extern "C" fn(*mut fb_env, *mut fb_error) -> fb_status>,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_metric {
    pub name: fb_str,
    pub value: f64,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_progress {
    pub size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    pub report:
        Option<unsafe extern "C" fn(*mut c_void, u64, u64, *const fb_metric, u64) -> fb_status>,
    pub cancelled: Option<unsafe extern "C" fn(*mut c_void) -> i32>,
    pub checkpoint: Option<unsafe extern "C" fn(*mut c_void, u64, fb_buf) -> fb_status>,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_fit_request {
    pub size: u32,
    pub flags: u32,
    pub seed: u64,
    pub max_threads: u32,
    pub reserved: u32,
    pub task_json: fb_buf,
    pub config_json: fb_buf,
    pub train: *mut ArrowArrayStream,
    pub valid: *mut ArrowArrayStream,
    pub env_vt: *const fb_env_vt,
    pub env: *mut fb_env,
    pub progress: *const fb_progress,
    pub checkpoint: fb_buf,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_learner_vt {
    pub size: u32,
    pub flags: u32,
    pub describe:
        Option<unsafe extern "C" fn(*const fb_host, *const fb_sink, *mut fb_error) -> fb_status>,
    pub fit: Option<
        unsafe extern "C" fn(
            *const fb_host,
            *const fb_fit_request,
            *mut Instance,
            *mut fb_error,
        ) -> fb_status,
    >,
    pub get_extension: Option<unsafe extern "C" fn(fb_str) -> *const c_void>,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_explain_vt {
    pub size: u32,
    pub flags: u32,
    pub kinds: Option<unsafe extern "C" fn(Instance, *const fb_sink, *mut fb_error) -> fb_status>,
    pub importance:
        Option<unsafe extern "C" fn(Instance, fb_str, *mut f64, u64, *mut fb_error) -> fb_status>,
    pub contributions:
        Option<unsafe extern "C" fn(Instance, *const fb_frame, *mut fb_error) -> fb_status>,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_incremental_vt {
    pub size: u32,
    pub flags: u32,
    pub update: Option<
        unsafe extern "C" fn(
            Instance,
            *mut ArrowArrayStream,
            *const fb_progress,
            *mut fb_error,
        ) -> fb_status,
    >,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_quantiles_vt {
    pub size: u32,
    pub flags: u32,
    pub levels:
        Option<unsafe extern "C" fn(Instance, *mut f64, u64, *mut u64, *mut fb_error) -> fb_status>,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_onnx_export_vt {
    pub size: u32,
    pub flags: u32,
    pub write_onnx:
        Option<unsafe extern "C" fn(Instance, u32, *const fb_sink, *mut fb_error) -> fb_status>,
}

#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Debug, Clone, Copy)]
pub struct fb_entry {
    pub size: u32,
    pub abi_major: u16,
    pub abi_minor: u16,
    pub id: fb_str,
    pub version: fb_str,
    pub sdk: fb_str,
    pub caps: u64,
    pub get_factory: Option<unsafe extern "C" fn(fb_str) -> *const c_void>,
}

/// The exported symbol.
pub type fb_entry_v1_fn = unsafe extern "C" fn(*const fb_host) -> *const fb_entry;

/// The value of a struct's `size` field as this side knows it.
#[must_use]
pub const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// Copies a struct of the other side, as far as it reaches; the rest is zero. `None` for NULL and
/// for a size that does not even hold the size. A word that is there in part is not there: half of
/// a pointer would be another pointer.
///
/// # Safety
/// `T` is a struct of this file that begins with its size: made of integers, floats, raw pointers,
/// optional functions and byte arrays, for all of which zero is valid. `from` is NULL, or points to
/// such a struct as large as its first field says.
#[must_use]
pub unsafe fn read<T: Copy>(from: *const T) -> Option<T> {
    if from.is_null() {
        return None;
    }
    // SAFETY: the caller's struct begins with its size.
    let size = unsafe { from.cast::<u32>().read_unaligned() };
    if size < 4 {
        return None;
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    let whole = if size < 8 { 4 } else { size & !7 };
    let bytes = size_of::<T>().min(whole as usize);
    // SAFETY: the caller's struct is at least `size` bytes, and `copy` at least as many as taken.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), copy.as_mut_ptr().cast(), bytes) };
    // SAFETY: zero is valid for every such struct, also for whatever was not copied.
    Some(unsafe { copy.assume_init() })
}

/// A struct of the other side: itself where it reaches as far as this side knows, else its copy by
/// [`read`] in `room`. What a prediction reads passes here, because a copy of what was written a
/// moment ago waits for the writes.
///
/// # Safety
/// As for [`read`]; the struct stays unchanged for `'a`.
#[must_use]
#[inline]
pub unsafe fn view<T: Copy>(from: *const T, room: &mut Option<T>) -> Option<&T> {
    if from.is_null() {
        return None;
    }
    // SAFETY: the caller's struct begins with its size.
    let size = unsafe { from.cast::<u32>().read_unaligned() };
    if size as usize >= size_of::<T>() && from.is_aligned() {
        // SAFETY: the caller's struct is as large as `T`, made of what any bits are valid for, and
        // stays unchanged.
        return Some(unsafe { &*from });
    }
    // SAFETY: as the caller guarantees.
    *room = unsafe { read(from) };
    room.as_ref()
}

/// Whether `len` elements at `ptr` can exist at all: none do at NULL, at an address that is not
/// aligned to their type, and beyond what memory can hold.
#[inline]
fn can_exist<T>(ptr: *const T, len: u64) -> bool {
    let most = isize::MAX as usize / size_of::<T>().max(1);
    len != 0 && len <= most as u64 && !ptr.is_null() && ptr.is_aligned()
}

/// The elements at `ptr`; none for NULL, a length of 0, an address that is not aligned, or more
/// than memory can hold. Whoever needs them all compares the length.
///
/// # Safety
/// `ptr` is NULL or points to `len` elements that live and stay unchanged for `'a`.
#[must_use]
#[inline]
pub unsafe fn elements<'a, T>(ptr: *const T, len: u64) -> &'a [T] {
    if !can_exist(ptr, len) {
        return &[];
    }
    // SAFETY: the caller guarantees `len` live elements.
    unsafe { slice::from_raw_parts(ptr, len as usize) }
}

/// All `len` elements at `ptr`; `None` where they cannot exist. Unlike [`elements`], whose answer
/// has two lengths, this leaves the caller one path on which the length is `len`.
///
/// # Safety
/// `ptr` is NULL or points to `len` elements that live and stay unchanged for `'a`.
#[must_use]
#[inline]
pub unsafe fn all<'a, T>(ptr: *const T, len: u64) -> Option<&'a [T]> {
    if len == 0 {
        return Some(&[]);
    }
    if !can_exist(ptr, len) {
        return None;
    }
    // SAFETY: the caller guarantees `len` live elements.
    Some(unsafe { slice::from_raw_parts(ptr, len as usize) })
}

/// All `len` elements at `ptr`, writable; `None` where [`all`] gives none.
///
/// # Safety
/// `ptr` is NULL or points to `len` elements that live for `'a` and are used by nobody else.
#[must_use]
#[inline]
pub unsafe fn all_mut<'a, T>(ptr: *mut T, len: u64) -> Option<&'a mut [T]> {
    if len == 0 {
        return Some(&mut []);
    }
    if !can_exist(ptr.cast_const(), len) {
        return None;
    }
    // SAFETY: the caller guarantees `len` live elements without another user.
    Some(unsafe { slice::from_raw_parts_mut(ptr, len as usize) })
}

/// The elements at `ptr`, writable; none where [`elements`] gives none.
///
/// # Safety
/// `ptr` is NULL or points to `len` elements that live for `'a` and are used by nobody else.
#[must_use]
#[inline]
pub unsafe fn elements_mut<'a, T>(ptr: *mut T, len: u64) -> &'a mut [T] {
    if !can_exist(ptr.cast_const(), len) {
        return &mut [];
    }
    // SAFETY: the caller guarantees `len` live elements without another user.
    unsafe { slice::from_raw_parts_mut(ptr, len as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_that_is_there_in_part_is_not_there() {
        let sink = |size| fb_sink {
            size,
            reserved: 7,
            ctx: std::ptr::without_provenance_mut(usize::MAX),
            write: None,
        };
        for size in 0..40 {
            // SAFETY: the struct is larger than its size says.
            let copy = unsafe { read(&sink(size)) };
            let ctx = copy.map(|copy| (copy.reserved, copy.ctx.addr()));
            let expected = match size {
                0..4 => None,
                4..8 => Some((0, 0)),
                8..16 => Some((7, 0)),
                _ => Some((7, usize::MAX)),
            };
            assert_eq!(ctx, expected, "{size}");
        }
    }

    #[test]
    fn elements_that_cannot_exist_are_none() {
        let values = [1.0_f32, 2.0];
        let (whole, bytes) = (values.as_ptr(), values.as_ptr().cast::<u8>());
        // SAFETY: both values are live.
        assert_eq!(unsafe { elements(whole, 2) }, values);
        // SAFETY: no element is taken where the length cannot be true.
        assert!(unsafe { elements(whole, u64::MAX) }.is_empty());
        // SAFETY: as above.
        assert!(unsafe { elements(whole, 1 << 62) }.is_empty());
        // SAFETY: no element is taken from an address that is not aligned.
        assert!(unsafe { elements(bytes.wrapping_add(1).cast::<f32>(), 1) }.is_empty());
        // SAFETY: NULL has no elements.
        assert!(unsafe { elements_mut(std::ptr::null_mut::<u8>(), 3) }.is_empty());
        // SAFETY: both values are live.
        assert_eq!(unsafe { all(whole, 2) }, Some(&values[..]));
        // SAFETY: no element is taken.
        assert_eq!(unsafe { all::<f32>(std::ptr::null(), 0) }, Some(&[][..]));
        // SAFETY: no element is taken where the length cannot be true.
        assert!(unsafe { all(whole, u64::MAX) }.is_none());
        // SAFETY: NULL has no elements.
        assert!(unsafe { all_mut(std::ptr::null_mut::<u8>(), 3) }.is_none());
    }

    #[test]
    fn a_struct_is_borrowed_where_it_is_whole_and_copied_where_it_is_not() {
        let mut sink = fb_sink {
            size: size::<fb_sink>(),
            reserved: 7,
            ctx: std::ptr::dangling_mut(),
            write: None,
        };
        let (mut room, place) = (None, &raw const sink);
        // SAFETY: the struct is live and as large as it says.
        let seen = unsafe { view(place, &mut room) }.unwrap();
        assert!(std::ptr::eq(seen, place) && seen.reserved == 7);
        sink.size = 8;
        // SAFETY: the struct is live and larger than it says.
        let seen = unsafe { view(&raw const sink, &mut room) }.unwrap();
        assert!(seen.reserved == 7 && seen.ctx.is_null());
        // SAFETY: NULL is no struct.
        assert!(unsafe { view::<fb_sink>(std::ptr::null(), &mut room) }.is_none());
        sink.size = 3;
        // SAFETY: the struct is live and larger than it says.
        assert!(unsafe { view(&raw const sink, &mut room) }.is_none());
    }
}
