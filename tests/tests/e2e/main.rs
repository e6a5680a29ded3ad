//! Stories of users, on real processes.
//!
//! `up`, `crawl`, `market`, `prices`, `live`, `bad_input`, `rotation`, `scripts` and what a full disk does run with
//! `make test`; `destruction`, the other `faults`, `real`, `real_reports` and `clients` are tiers of their own
//! (`make test-destruction`, `make test-faults`, `make test-real`) and say loudly when they are skipped.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_input;
mod clients;
mod crawl;
mod destruction;
mod faults;
mod live;
mod market;
mod prices;
mod real;
mod real_reports;
mod rotation;
mod scripts;
mod tier;
mod up;
