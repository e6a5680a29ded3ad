//! Stories of users, on real processes.
//!
//! `up`, `prices` and `bad_input` run with `make test`; `destruction` and `real`
//! are tiers of their own (`make test-destruction`, `make test-real`) and say
//! loudly when they are skipped.

mod bad_input;
mod destruction;
mod prices;
mod real;
mod tier;
mod up;
