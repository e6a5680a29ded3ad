//! What it takes to go on with a market in another process.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::halt::Halt;
use super::settings::{Settings, SettingsError};
use crate::calendar::Calendar;
use crate::tick::Symbol;

/// The version of the model: raised whenever equal settings make other ticks.
pub(super) const MODEL: u32 = 4;

/// A market at an instant: per symbol the state at the beginning of the minute (from which the
/// minute is made again), and the next `seq`. About 80 bytes a symbol as JSON.
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
    /// States of the market's log-volatility.
    pub(super) volatility: [i32; 3],
    /// Symbols of the whole market, and a hash of their names and rates.
    listed: (usize, u64),
    pub(super) symbols: BTreeMap<Symbol, SymbolState>,
}

/// One symbol's part of a checkpoint: whole numbers, so that nothing is lost; as JSON an array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub(super) struct SymbolState {
    /// Logarithm of the mid in units of currency, in steps of 1e-10, when the minute began.
    pub(super) log_mid: i64,
    /// The bid when the minute began, in steps of 1e-9; 0: no quote yet.
    pub(super) bid: i64,
    /// The ask, likewise.
    pub(super) ask: i64,
    /// Its own log-volatility, in steps of 1e-5.
    pub(super) volatility: [i32; 2],
    /// What events have excited of its rate, fast and slow, in steps of 1e-4 a second.
    pub(super) excited: [i64; 2],
    /// Trades left of the order that is being worked; negative if it sells.
    pub(super) order: i32,
    /// Where it stands between trading and halt.
    pub(super) halt: Halt,
    /// Units of a round lot.
    pub(super) lot: u32,
    /// The next `seq`.
    pub(super) seq: u64,
    /// The next number of the feed; `seq` but for what the feed lost or gave twice.
    pub(super) source_seq: u64,
    /// Numbers of the feed that were lost since the last tick that came.
    pub(super) lost: u64,
}

/// Mid, bid and spread (in 1e-4), volatility, excitement, order, halt and lot, `seq`, `source_seq −
/// seq` and how many of it were lost.
type Row = (
    i64,
    i64,
    i64,
    [i32; 2],
    [i64; 2],
    i32,
    (i32, i32, u32),
    u64,
    (i64, u64),
);

/// The finest price step of all ladders.
const FINEST: i64 = 100_000;

impl From<Row> for SymbolState {
    fn from(
        (log_mid, bid, spread, volatility, excited, order, halt, seq, (ahead, lost)): Row,
    ) -> Self {
        SymbolState {
            log_mid,
            bid: bid.saturating_mul(FINEST),
            ask: bid.saturating_add(spread).saturating_mul(FINEST),
            volatility,
            excited,
            order,
            halt: Halt {
                deviation: halt.0,
                phase: halt.1,
            },
            lot: halt.2,
            seq,
            source_seq: seq.saturating_add_signed(ahead),
            lost,
        }
    }
}

impl From<SymbolState> for Row {
    fn from(state: SymbolState) -> Self {
        (
            state.log_mid,
            state.bid / FINEST,
            (state.ask - state.bid) / FINEST,
            state.volatility,
            state.excited,
            state.order,
            (state.halt.deviation, state.halt.phase, state.lot),
            state.seq,
            (state.source_seq as i64 - state.seq as i64, state.lost),
        )
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
        volatility: [i32; 3],
        symbols: BTreeMap<Symbol, SymbolState>,
    ) -> Checkpoint {
        Checkpoint {
            model: MODEL,
            seed: settings.seed,
            run: Arc::clone(&settings.run),
            calendar: settings.calendar.name().to_owned(),
            until_ns,
            block_ns,
            volatility,
            listed: (
                settings.count(),
                settings.listed(settings.count()).unwrap_or_default(),
            ),
            symbols,
        }
    }

    /// Whether the symbols of its market go on in these settings just as they were: the same ones
    /// in the same order with the same rates, whatever follows them in the list.
    pub fn continues(&self, settings: &Settings) -> bool {
        let (count, hash) = self.listed;
        settings.listed(count) == Some(hash)
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
