//! What a synthetic market is made from.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::disorder::Disorder;
use super::model::Model;
use super::scenario::{Scenario, ScenarioKind};
use crate::calendar::Calendar;
use crate::tick::Symbol;

/// What a synthetic market is made from: equal settings make equal markets.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The symbols to make, unique; at least one.
    pub symbols: Vec<Symbol>,
    /// All symbols of the market, most active first, where `symbols` are only some of them (one
    /// producer's share, say); empty: `symbols` are all. A symbol's ticks depend on its place
    /// here and on the number of symbols here, and not on which others are made.
    pub universe: Vec<Symbol>,
    /// When the market is open.
    pub calendar: Calendar,
    /// Which of all such markets it is.
    pub seed: u64,
    /// Mean ticks a second over all symbols of the universe and all kinds, while the market is
    /// open: the mean over sessions, of which calm ones have fewer and wild ones more.
    pub ticks_per_second: u64,
    /// The first instant, nanoseconds since 1970-01-01T00:00:00Z.
    pub start_ns: i64,
    /// The `run` of every tick.
    pub run: Arc<str>,
    /// Parameters of the model.
    pub model: Model,
    /// What is to happen, and when.
    pub scenarios: Vec<Scenario>,
    /// What goes wrong all the time.
    pub disorder: Disorder,
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
    /// A symbol that the universe does not have.
    #[error("symbol `{0}` is not in the universe; list it there, or leave the universe empty")]
    Outside(Symbol),
    /// Parameters that are no model's.
    #[error("the model's {0}")]
    Model(&'static str),
    /// Shares that are none.
    #[error("the market's {0}")]
    Disorder(&'static str),
    /// A scenario that ends before it begins.
    #[error("scenario {0} ends before it begins; write an end after its beginning")]
    Backwards(ScenarioKind),
    /// A scenario of a symbol that the market does not have.
    #[error(
        "scenario {kind} is about `{symbol}`, which is not in the market; list it, or leave the symbol out"
    )]
    Stranger {
        /// The scenario.
        kind: ScenarioKind,
        /// Its symbol.
        symbol: Symbol,
    },
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
        for list in [&self.symbols, &self.universe] {
            let mut seen = HashSet::with_capacity(list.len());
            if let Some(twice) = list.iter().find(|symbol| !seen.insert(symbol.as_str())) {
                return Err(SettingsError::Twice(twice.clone()));
            }
        }
        self.model.check().map_err(SettingsError::Model)?;
        self.disorder.check().map_err(SettingsError::Disorder)?;
        for scenario in &self.scenarios {
            if scenario.until_ns < scenario.from_ns {
                return Err(SettingsError::Backwards(scenario.kind));
            }
            if let Some(symbol) = &scenario.symbol
                && !self.all().contains(symbol)
            {
                return Err(SettingsError::Stranger {
                    kind: scenario.kind,
                    symbol: symbol.clone(),
                });
            }
        }
        Ok(())
    }

    /// The symbols of the whole market, most active first.
    fn all(&self) -> &[Symbol] {
        if self.universe.is_empty() {
            &self.symbols
        } else {
            &self.universe
        }
    }

    /// The mean ticks a second of each of `symbols`: of the r-th of the universe a share of 1/r
    /// (G. K. Zipf, 1949), divided by the sum of all shares.
    pub(super) fn rates(&self) -> Result<Vec<f64>, SettingsError> {
        let all = self.all();
        let share = |rank: usize| 1.0 / (rank + 1) as f64;
        let sum: f64 = (0..all.len()).map(share).sum();
        let ranks: HashMap<&str, usize> = all
            .iter()
            .enumerate()
            .map(|(rank, symbol)| (symbol.as_str(), rank))
            .collect();
        self.symbols
            .iter()
            .map(|symbol| match ranks.get(symbol.as_str()) {
                Some(&rank) => Ok(self.ticks_per_second as f64 * share(rank) / sum),
                None => Err(SettingsError::Outside(symbol.clone())),
            })
            .collect()
    }
}
