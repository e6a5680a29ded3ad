//! What a synthetic market is made from.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::disorder::Disorder;
use super::model::Model;
use super::scenario::{Scenario, ScenarioKind};
use crate::calendar::Calendar;
use crate::tick::Symbol;

/// How many ticks there are: means over sessions, a second of continuous trading, of all kinds.
/// Calm sessions have fewer and wild ones more.
///
/// Activity falls as one over the rank (G. K. Zipf, 1949): the r-th symbol of the universe has 1/r
/// of what the first one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Of all symbols of the universe together. Another symbol has its share of the same whole, so
    /// that the others have fewer.
    Total(u64),
    /// Of the universe's first symbol. Another symbol at the end of the list adds its ticks and
    /// changes no other's.
    Top(u64),
}

/// What a synthetic market is made from: equal settings make equal markets.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The symbols to make, unique; at least one.
    pub symbols: Vec<Symbol>,
    /// All symbols of the market, most active first, where `symbols` are only some of them (one
    /// producer's share, say); empty: `symbols` are all. A symbol's ticks depend on its place
    /// here (with [`Rate::Total`] also on the number of symbols here), not on which are made.
    pub universe: Vec<Symbol>,
    /// When the market is open.
    pub calendar: Calendar,
    /// Which of all such markets it is.
    pub seed: u64,
    /// How many ticks there are.
    pub rate: Rate,
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
        let (Rate::Total(rate) | Rate::Top(rate)) = self.rate;
        if rate == 0 || rate > Settings::MAX_TICKS_PER_SECOND {
            return Err(SettingsError::Rate(rate));
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

    /// Mean ticks a second of the universe's first symbol.
    fn top(&self) -> f64 {
        match self.rate {
            Rate::Total(total) => total as f64 / shares(self.all().len()),
            Rate::Top(top) => top as f64,
        }
    }

    /// Mean ticks a second of the whole universe, rounded up.
    pub fn ticks_per_second(&self) -> u64 {
        match self.rate {
            Rate::Total(total) => total,
            Rate::Top(top) => libm::ceil(top as f64 * shares(self.all().len())) as u64,
        }
    }

    /// A hash of what the ticks of the universe's first `count` symbols depend on beside the seed,
    /// the calendar, scenarios and the like: their names in their order, and their rates. None where
    /// there are fewer.
    pub(super) fn listed(&self, count: usize) -> Option<u64> {
        let names = self.all().get(..count)?;
        let names = names.iter().flat_map(|name| [name.as_bytes(), b"\n"]);
        let rate = self.top().to_bits().to_le_bytes();
        let hash = names
            .chain([&rate[..]])
            .flatten()
            .fold(FNV_OFFSET, |hash, &byte| {
                (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
            });
        Some(hash)
    }

    /// Symbols of the whole market.
    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    /// The mean ticks a second of each of `symbols`.
    pub(super) fn rates(&self) -> Result<Vec<f64>, SettingsError> {
        let (all, top) = (self.all(), self.top());
        let ranks: HashMap<&str, usize> = all
            .iter()
            .enumerate()
            .map(|(rank, symbol)| (symbol.as_str(), rank))
            .collect();
        self.symbols
            .iter()
            .map(|symbol| match ranks.get(symbol.as_str()) {
                Some(&rank) => Ok(top / (rank + 1) as f64),
                None => Err(SettingsError::Outside(symbol.clone())),
            })
            .collect()
    }
}

/// What `count` symbols have together of the first one's rate: 1 + 1/2 + … + 1/count.
fn shares(count: usize) -> f64 {
    (1..=count).map(|rank| 1.0 / rank as f64).sum()
}

/// Fowler–Noll–Vo 1a, 64 bits (draft-eastlake-fnv).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
