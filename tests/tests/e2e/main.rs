//! Stories of users, on real processes.
//!
//! `up`, `market`, `prices`, `live`, `bad_input`, `faults` and `rotation` run with `make test`; `destruction`, `real`,
//! `real_reports` and `clients` are tiers of their own (`make test-destruction`, `make test-real`) and say
//! loudly when they are skipped.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_input;
mod clients;
mod destruction;
mod faults;
mod live;
mod market;
mod prices;
mod real;
mod real_reports;
mod rotation;
mod tier;
mod up;
