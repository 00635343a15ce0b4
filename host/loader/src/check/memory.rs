//! Memory that ends where it says: a block of numbers against a page that nobody may touch.
//!
//! A read or write past its end is a segmentation fault in this process, which the report shows
//! with the name of the case. Read-only blocks catch a write into the input as well.
#![allow(
    unsafe_code,
    reason = "maps pages and takes the right to touch them away"
)]

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::param::page_size;

/// Numbers that end at a forbidden page, and begin after one.
#[derive(Debug)]
pub(super) struct GuardedBlock {
    start: NonNull<c_void>,
    bytes: usize,
    numbers: NonNull<f32>,
    len: usize,
}

impl GuardedBlock {
    /// A block with a copy of `values`.
    pub(super) fn new(values: &[f32]) -> Result<Self, String> {
        let page = page_size();
        let inner = size_of_val(values).next_multiple_of(page).max(page);
        let bytes = inner + 2 * page;
        let refuse = |error: rustix::io::Errno| format!("cannot map {bytes} bytes: {error}");
        // SAFETY: a new anonymous mapping aliases nothing.
        let start = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                bytes,
                ProtFlags::empty(),
                MapFlags::PRIVATE,
            )
        }
        .map_err(refuse)?;
        let start = NonNull::new(start).ok_or("the kernel mapped memory at NULL")?;
        // SAFETY: the inner pages lie inside the mapping.
        let pages = unsafe { start.add(page) };
        let rights = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the pages are this block's own and not in use yet.
        unsafe { mprotect(pages.as_ptr(), inner, rights) }.map_err(refuse)?;
        // SAFETY: the numbers end where the inner pages end.
        let numbers = unsafe { pages.add(inner - size_of_val(values)) }.cast::<f32>();
        let mut block = Self {
            start,
            bytes,
            numbers,
            len: values.len(),
        };
        block.numbers_mut().copy_from_slice(values);
        Ok(block)
    }

    pub(super) fn numbers(&self) -> &[f32] {
        // SAFETY: `len` numbers lie there, readable for as long as the block lives.
        unsafe { std::slice::from_raw_parts(self.numbers.as_ptr(), self.len) }
    }

    pub(super) fn numbers_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the block is borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.numbers.as_ptr(), self.len) }
    }

    /// Takes the right to write away. The block gives no further `&mut`.
    pub(super) fn read_only(self) -> Result<ReadOnlyBlock, String> {
        let page = page_size();
        // SAFETY: the inner pages lie inside the mapping.
        let pages = unsafe { self.start.add(page) };
        let inner = self.bytes - 2 * page;
        // SAFETY: the pages are this block's own, and nobody holds a reference that writes.
        unsafe { mprotect(pages.as_ptr(), inner, MprotectFlags::READ) }
            .map_err(|error| format!("cannot protect memory: {error}"))?;
        Ok(ReadOnlyBlock(self))
    }
}

impl Drop for GuardedBlock {
    fn drop(&mut self) {
        // SAFETY: the mapping is this block's own, and no reference into it outlives the block. A
        // failure leaves it mapped, which harms nobody.
        let _ = unsafe { munmap(self.start.as_ptr(), self.bytes) };
    }
}

/// A block that nobody can write.
#[derive(Debug)]
pub(super) struct ReadOnlyBlock(GuardedBlock);

impl ReadOnlyBlock {
    pub(super) fn numbers(&self) -> &[f32] {
        self.0.numbers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_numbers_and_ends_at_a_page() {
        let values: Vec<f32> = (0..1500).map(|i| i as f32).collect();
        let block = GuardedBlock::new(&values).unwrap();
        let end = block.numbers().as_ptr_range().end as usize;
        assert_eq!(end % page_size(), 0);
        let block = block.read_only().unwrap();
        assert_eq!(block.numbers(), values);
        assert!(GuardedBlock::new(&[]).unwrap().numbers().is_empty());
    }
}
