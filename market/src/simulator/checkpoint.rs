//! What it takes to go on with a market in another process.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::settings::{Settings, SettingsError};
use crate::calendar::Calendar;
use crate::tick::Symbol;

/// The version of the model: raised whenever equal settings make other ticks.
pub(super) const MODEL: u32 = 1;

/// A market at an instant: per symbol the state at the beginning of the minute (from which the
/// minute is made again), and the next `seq`. About 50 bytes a symbol as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    model: u32,
    seed: u64,
    run: Arc<str>,
    calendar: String,
    /// Everything with an event time before this has been given out.
    pub until_ns: i64,
    /// Beginning of the minute that the states are of; none after the calendar's end.
    pub(super) block_ns: Option<i64>,
    pub(super) symbols: BTreeMap<Symbol, SymbolState>,
}

/// One symbol's part of a checkpoint; as JSON an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, u32, u32, u64)", into = "(i64, u32, u32, u64)")]
pub(super) struct SymbolState {
    /// Logarithm of the mid in dollars, in steps of 1e-12, when the minute began.
    pub(super) log_mid: i64,
    /// The bid when the minute began, in price ticks; 0: no quote yet.
    pub(super) bid: u32,
    /// The ask, likewise.
    pub(super) ask: u32,
    /// The next `seq`.
    pub(super) seq: u64,
}

impl From<(i64, u32, u32, u64)> for SymbolState {
    fn from((log_mid, bid, ask, seq): (i64, u32, u32, u64)) -> Self {
        SymbolState {
            log_mid,
            bid,
            ask,
            seq,
        }
    }
}

impl From<SymbolState> for (i64, u32, u32, u64) {
    fn from(state: SymbolState) -> Self {
        (state.log_mid, state.bid, state.ask, state.seq)
    }
}

/// A checkpoint that these settings cannot go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The settings describe no market.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Another version of the model made it.
    #[error(
        "the checkpoint is of model {0} and this version makes model {MODEL}; \
         begin a new run"
    )]
    Model(u32),
    /// It is of a market with another seed.
    #[error(
        "the checkpoint is of seed {checkpoint} and the settings have {settings}; begin a new run"
    )]
    Seed {
        /// The checkpoint's.
        checkpoint: u64,
        /// The settings'.
        settings: u64,
    },
    /// It is of another run.
    #[error("the checkpoint is of run `{checkpoint}` and the settings have `{settings}`")]
    Run {
        /// The checkpoint's.
        checkpoint: Arc<str>,
        /// The settings'.
        settings: Arc<str>,
    },
    /// It is of a market with another calendar.
    #[error(
        "the checkpoint is of calendar {checkpoint} and the settings have {settings}; \
         begin a new run"
    )]
    Calendar {
        /// The checkpoint's.
        checkpoint: String,
        /// The settings'.
        settings: Calendar,
    },
    /// It names an instant at which no minute of a session begins.
    #[error("the checkpoint is damaged: no minute of {calendar} begins at {block_ns} ns")]
    NoBlock {
        /// The instant.
        block_ns: i64,
        /// The calendar.
        calendar: Calendar,
    },
}

impl Checkpoint {
    pub(super) fn new(
        settings: &Settings,
        until_ns: i64,
        block_ns: Option<i64>,
        symbols: BTreeMap<Symbol, SymbolState>,
    ) -> Checkpoint {
        Checkpoint {
            model: MODEL,
            seed: settings.seed,
            run: Arc::clone(&settings.run),
            calendar: settings.calendar.name().to_owned(),
            until_ns,
            block_ns,
            symbols,
        }
    }

    /// The run that it is of.
    pub fn run(&self) -> &Arc<str> {
        &self.run
    }

    /// The next `seq` of a symbol: as many ticks of it have been given out.
    pub fn next_seq(&self, symbol: &str) -> u64 {
        self.symbols.get(symbol).map_or(0, |state| state.seq)
    }

    /// Whether the settings are of the same market.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), RestoreError> {
        if self.model != MODEL {
            return Err(RestoreError::Model(self.model));
        }
        if self.run != settings.run {
            return Err(RestoreError::Run {
                checkpoint: Arc::clone(&self.run),
                settings: Arc::clone(&settings.run),
            });
        }
        if self.seed != settings.seed {
            return Err(RestoreError::Seed {
                checkpoint: self.seed,
                settings: settings.seed,
            });
        }
        if self.calendar != settings.calendar.name() {
            return Err(RestoreError::Calendar {
                checkpoint: self.calendar.clone(),
                settings: settings.calendar,
            });
        }
        Ok(())
    }
}
