//! Stories of users, on real processes.
//!
//! `up`, `prices`, `bad_input` and `rotation` run with `make test`; `destruction` and `real`
//! are tiers of their own (`make test-destruction`, `make test-real`) and say
//! loudly when they are skipped.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_input;
mod destruction;
mod prices;
mod real;
mod rotation;
mod tier;
mod up;
