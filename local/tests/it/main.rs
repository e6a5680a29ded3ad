//! The data plane's roles against the embedded servers, over the real protocols.

mod cloud;
mod landing;
mod page;
mod produce;
mod provision;
mod report;
mod topic;
