//! Work on columns with the widest registers that this processor has.
//!
//! The same code is compiled twice, for any processor and for those with AVX2, and chosen when it
//! runs. The order of the operations is the one that is written, so both give the same bits; no
//! operation is fused with another one.

/// Runs `work` in the version for this processor. What `work` calls comes along where the compiler
/// puts it inline.
#[inline(always)]
pub(super) fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
