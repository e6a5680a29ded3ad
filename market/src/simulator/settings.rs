//! What a synthetic market is made from.

use std::collections::HashSet;
use std::sync::Arc;

use crate::calendar::Calendar;
use crate::tick::Symbol;

/// What a synthetic market is made from: equal settings make equal markets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The symbols, unique; at least one.
    pub symbols: Vec<Symbol>,
    /// When the market is open.
    pub calendar: Calendar,
    /// Which of all such markets it is.
    pub seed: u64,
    /// Mean ticks a second over all symbols and kinds, while the market is open.
    pub ticks_per_second: u64,
    /// The first instant, nanoseconds since 1970-01-01T00:00:00Z.
    pub start_ns: i64,
    /// The `run` of every tick.
    pub run: Arc<str>,
}

/// Settings that describe no market.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No symbol, or more than the model is made for.
    #[error("a simulated market has 1 to {max} symbols, not {0}", max = Settings::MAX_SYMBOLS)]
    Symbols(usize),
    /// A symbol twice.
    #[error("symbol `{0}` appears twice; every symbol of a market is listed once")]
    Twice(Symbol),
    /// No rate, or more than the model is made for.
    #[error(
        "a simulated market has 1 to {max} ticks a second, not {0}",
        max = Settings::MAX_TICKS_PER_SECOND
    )]
    Rate(u64),
}

impl Settings {
    /// Most symbols of a market.
    pub const MAX_SYMBOLS: usize = 100_000;
    /// Most ticks a second of a market.
    pub const MAX_TICKS_PER_SECOND: u64 = 100_000_000;

    /// Whether the settings describe a market.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.symbols.is_empty() || self.symbols.len() > Settings::MAX_SYMBOLS {
            return Err(SettingsError::Symbols(self.symbols.len()));
        }
        if self.ticks_per_second == 0 || self.ticks_per_second > Settings::MAX_TICKS_PER_SECOND {
            return Err(SettingsError::Rate(self.ticks_per_second));
        }
        let mut seen = HashSet::with_capacity(self.symbols.len());
        match self
            .symbols
            .iter()
            .find(|symbol| !seen.insert(symbol.as_str()))
        {
            Some(symbol) => Err(SettingsError::Twice(symbol.clone())),
            None => Ok(()),
        }
    }
}
