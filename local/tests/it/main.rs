//! The data plane's roles against the embedded servers, over the real protocols.

mod produce;
mod topic;
