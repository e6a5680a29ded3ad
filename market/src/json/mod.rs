//! The wire: one tick is one JSON object.
//!
//! Names are the table's columns (without `ts_event`, which `ts_event_ns` tells); an absent
//! field is left out; decimals are JSON numbers in plain notation; `trade_date` is
//! `"YYYY-MM-DD"`. A decoder takes fields in any order and ignores those it does not know.

mod decode;
mod encode;
mod scanner;

pub use decode::{DecodeError, decode, view};
pub use encode::encode;
