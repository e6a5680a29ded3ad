//! The data plane's roles against the embedded servers, over the real protocols.

mod cloud;
mod produce;
mod provision;
mod report;
mod topic;
