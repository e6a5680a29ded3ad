//! The operator's binary against a real API server, with the workload
//! controllers running and no node: pods stay as the tests leave them.
//!
//! Skipped where there is no `testcluster` (`scripts/setup cluster` builds it),
//! unless `STOCKPIPE_ALL_TIERS=1` asks for everything.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bed;
mod children;
mod crawl;
mod deletion;
mod faults;
mod fence;
mod leadership;
mod numbers;
mod permissions;
mod proxy;
mod runs;
