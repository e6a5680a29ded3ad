//! The market domain, pure: no I/O, and no clock (time comes in as an argument).
//!
//! - [`tick`]: one event of a market, with fixed-point [`Price`](tick::Price) and
//!   [`Size`](tick::Size).
//! - [`json`], [`csv`] and [`columns`]: its codecs, for the wire and for files.
//! - [`calendar`]: on which dates an exchange trades, and when.
//! - [`simulator`]: a synthetic market.
//! - [`calibration`]: which parameters of it given prices would have.
//! - [`bars`]: open, high, low, close, volume and VWAP.

#[cfg(feature = "arrow")]
pub mod bars;
pub mod calendar;
pub mod calibration;
#[cfg(feature = "arrow")]
pub mod columns;
pub mod csv;
mod date;
pub mod decimal;
pub mod field;
pub mod json;
#[cfg(test)]
mod samples;
pub mod simulator;
pub mod tick;
pub mod view;
