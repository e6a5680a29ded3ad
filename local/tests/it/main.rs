//! The data plane's roles against the embedded servers, over the real protocols.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cloud;
mod crawl;
mod landing;
mod page;
mod produce;
mod provision;
mod replay;
mod report;
mod teardown;
mod topic;
