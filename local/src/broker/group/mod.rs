//! Consumer groups of the classic protocol: membership and committed offsets.

pub(crate) mod coordinator;
pub(crate) mod membership;
pub(crate) mod offsets;
