//! Who may run, and where: signatures, keys with roles, revocations and the isolation tier that
//! follows from them.

use crate::manifest::Isolation;

/// The operator's policy. Its default trusts nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustPolicy {
    /// The weakest tier in which an unsigned plugin runs; `None` refuses unsigned plugins.
    pub unsigned: Option<Isolation>,
    /// The weakest tier of every plugin, whatever its manifest and its signature allow.
    pub floor: Isolation,
}

impl TrustPolicy {
    /// A policy that lets unsigned plugins run in this process: for tests, and for tools that made
    /// the package themselves.
    #[must_use]
    pub fn trusting() -> Self {
        Self {
            unsigned: Some(Isolation::InProcess),
            ..Self::default()
        }
    }
}
