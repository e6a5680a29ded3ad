//! A synthetic market: a pure function of its settings and of time.
//!
//! # The model
//! First a grid of minutes. A symbol's return in a minute is the market's, its sector's and its
//! own part ([`factors`], [`lane`]), each a Student t, times a volatility that all symbols share
//! in part, that changes on scales from minutes to weeks, and rises when the market falls; rare
//! jumps; a step over night. Within a minute, ticks come as a self-exciting process
//! ([`arrivals`]) whose rate follows volatility and the hour ([`shape`]), and the mid bridges to
//! the grid. Three of ten are trades, whose signs persist and push the mid by their surprise
//! ([`flow`]). Quotes are on the exchange's ladder of prices ([`ladder`]), their spread moves
//! with volatility. Auctions print at open, close and after halts ([`halt`]). Symbols' activity
//! falls with their rank. [`Scenario`]s change all this for a time. [`Model`] holds the
//! parameters; `examples/gates` holds it to what is known of real markets.
//!
//! # What holds
//! - Every draw is keyed by (seed, version of the model, name of symbol or factor, minute): the
//!   grid of a symbol does not depend on which other symbols there are, nor on the rate; its
//!   ticks depend on its own rate alone.
//! - Ticks come out ordered by event time (then by the order of the symbols), each symbol's
//!   times do not decrease, and `seq` counts from 0 per (run, symbol). Only where [`Disorder`]
//!   asks for it, some come seconds after ticks that happened later.
//! - What comes out does not depend on the steps in which [`Simulator::emit`] is called, nor on
//!   a restart from a [`Checkpoint`].
//! - The arithmetic is integers, IEEE basic operations and `libm`, so that all machines agree.

mod arrivals;
mod block;
mod checkpoint;
mod corporate;
mod disorder;
mod draws;
mod event;
mod factors;
mod feed;
mod flow;
mod halt;
mod ladder;
mod lane;
mod listing;
mod model;
mod scenario;
mod settings;
mod shape;

use std::collections::BTreeMap;

use crate::tick::{Symbol, Tick};

pub use checkpoint::{Checkpoint, RestoreError};
pub use disorder::Disorder;
pub(crate) use listing::sector;
pub use listing::{Listed, listing, universe};
pub use model::{Component, DayShape, Excitation, Model};
pub use scenario::{Scenario, ScenarioKind, UnknownScenario};
pub use settings::{Rate, Settings, SettingsError};

use block::{Block, Part, has_status};
use checkpoint::SymbolState;
use event::Event;
use factors::Factors;
use feed::{Numbers, Templates};
use lane::{Lane, Rules};
use scenario::Forecast;
use shape::Shape;

/// Draws for a purpose outside the market, the same each time.
pub(crate) fn draws(name: &str) -> draws::Draws {
    draws::Key::new(0, name).draws(draws::Purpose::Constants, 0)
}

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

/// Ticks that a slot should hold at least, so that a visit to every symbol pays.
const SLOT_TICKS: u64 = 16_384;

/// A synthetic market that has been played up to some instant.
pub struct Simulator {
    settings: Settings,
    rules: Rules,
    forecast: Forecast,
    shape: Shape,
    factors: Factors,
    /// One a symbol, in the order of the settings.
    lanes: Vec<Lane>,
    /// How far each symbol has been numbered.
    numbers: Vec<Numbers>,
    /// Whether ticks have the feed's numbers.
    numbered: bool,
    /// Symbols that the settings no longer have; kept, should they come back.
    retired: BTreeMap<Symbol, SymbolState>,
    /// `None` when the calendar has come to its end.
    block: Option<Block>,
    /// Ticks are made up to here, within the block.
    made_ns: i64,
    /// Ticks are given out up to here.
    until_ns: i64,
    slot_ns: i64,
    /// Ticks made and not yet given out: from `next` on.
    slot: Vec<Event>,
    next: usize,
    /// Ticks that arrive in a later slot of the minute than they happened in.
    held: Vec<Event>,
    templates: Templates,
}

impl Simulator {
    /// The market of these settings, about to begin at `start_ns`.
    ///
    /// # Errors
    /// Where the settings describe no market.
    pub fn new(settings: Settings) -> Result<Simulator, SettingsError> {
        settings.check()?;
        let start_ns = settings.start_ns;
        let block = Block::ending_after(settings.calendar, start_ns);
        Simulator::at(settings, block, start_ns, None, BTreeMap::new())
    }

    /// The market as it was when the checkpoint was taken. A symbol that the checkpoint does not
    /// have begins there. `start_ns` of the settings does not matter any more.
    ///
    /// Symbols and rate may differ from the checkpoint's: then the ticks to come are others than
    /// they would have been, and every `seq` still goes on without a gap.
    ///
    /// # Errors
    /// Where the settings describe no market, or another one than the checkpoint's (seed, run,
    /// calendar, version of the model).
    pub fn restore(settings: Settings, checkpoint: Checkpoint) -> Result<Simulator, RestoreError> {
        settings.check()?;
        checkpoint.check(&settings)?;
        let block = match checkpoint.block_ns {
            Some(ns) => {
                let block = Block::ending_after(settings.calendar, ns)
                    .filter(|block| block.start_ns == ns)
                    .ok_or(RestoreError::NoBlock {
                        block_ns: ns,
                        calendar: settings.calendar,
                    })?;
                Some(block)
            }
            None => None,
        };
        Ok(Simulator::at(
            settings,
            block,
            checkpoint.until_ns,
            Some(checkpoint.volatility),
            checkpoint.symbols,
        )?)
    }

    fn at(
        settings: Settings,
        block: Option<Block>,
        until_ns: i64,
        volatility: Option<[i32; 3]>,
        mut states: BTreeMap<Symbol, SymbolState>,
    ) -> Result<Simulator, SettingsError> {
        let rates = settings.rates()?;
        let rules = Rules::new(settings.model.clone(), settings.calendar, settings.disorder);
        let forecast = Forecast::new(&settings.scenarios);
        let factors = Factors::new(settings.seed, &rules.model, rules.minutes, volatility);
        let date = block.map_or(settings.calendar.last_date(), |block| block.session.date);
        let mut lanes = Vec::with_capacity(settings.symbols.len());
        let mut numbers = Vec::with_capacity(settings.symbols.len());
        for (symbol, &rate) in settings.symbols.iter().zip(&rates) {
            let state = states.remove(symbol);
            numbers.push(state.map_or_else(Numbers::default, |state| Numbers {
                seq: state.seq,
                source: state.source_seq,
                lost: state.lost,
            }));
            let mut lane = Lane::new(settings.seed, &rules, symbol, rate, date, state);
            if let (None, Some(block)) = (state, block)
                && forecast
                    .minute(block.start_ns, block.minutes_in(), Some(symbol))
                    .halted
            {
                lane.begin_halted();
            }
            lanes.push(lane);
        }
        let slot_ticks = SLOT_TICKS.max(8 * lanes.len() as u64);
        let slot_ns = slot_ticks as f64 * 1e9 / rates.iter().sum::<f64>();
        let mut simulator = Simulator {
            templates: Templates::new(&settings, rules.ladder.currency),
            numbered: forecast.has_feed() || !settings.disorder.is_none(),
            shape: Shape::new(rules.model.shape, 1, true),
            rules,
            forecast,
            factors,
            settings,
            lanes,
            numbers,
            retired: states,
            block,
            made_ns: i64::MIN,
            until_ns,
            slot_ns: (slot_ns.min(MINUTE as f64) as i64).max(SECOND / 1000),
            slot: Vec::new(),
            next: 0,
            held: Vec::new(),
        };
        if let Some(block) = block {
            simulator.begin(block);
        }
        Ok(simulator)
    }

    /// Everything that happened before this has been given out, but for what arrives late.
    pub fn until_ns(&self) -> i64 {
        self.until_ns
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Gives out every tick that arrives before `until_ns` and has not been given out, in order: at
    /// the instant of its event, but for those that [`Disorder`] makes late.
    /// `ts_ingest_ns` is left to whoever sends it.
    pub fn emit(&mut self, until_ns: i64, sink: &mut dyn FnMut(&Tick)) {
        while let Some(block) = self.block {
            while let Some(&event) = self.slot.get(self.next) {
                let at_ns = block.start_ns + event.after_ns();
                if at_ns >= until_ns {
                    break;
                }
                self.next += 1;
                // Made again after a restart, and given out before it.
                if at_ns >= self.until_ns {
                    self.give_out(block, at_ns, event, sink);
                }
            }
            if self.next < self.slot.len() || self.made_ns >= until_ns {
                break;
            }
            if self.made_ns < block.end_ns() {
                self.make_slot(block);
                continue;
            }
            match block.next(self.settings.calendar) {
                Some(next) if next.start_ns < until_ns => self.enter(next),
                Some(_) => break,
                None => self.block = None,
            }
        }
        self.until_ns = self.until_ns.max(until_ns);
    }

    /// What it takes to go on from [`until_ns`](Self::until_ns) in another process.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut symbols = self.retired.clone();
        for ((symbol, lane), numbers) in self
            .settings
            .symbols
            .iter()
            .zip(&self.lanes)
            .zip(&self.numbers)
        {
            let state = SymbolState {
                seq: numbers.seq,
                source_seq: numbers.source,
                lost: numbers.lost,
                ..lane.state()
            };
            symbols.insert(symbol.clone(), state);
        }
        Checkpoint::new(
            &self.settings,
            self.until_ns,
            self.block.map(|block| block.start_ns),
            self.factors.states,
            symbols,
        )
    }

    /// Goes on to the block that follows.
    fn enter(&mut self, next: Block) {
        let from = self.block.filter(|block| block.part != Part::End);
        let before = self.block.map_or(next.day(), |block| block.day());
        let opens = next.opens_session() && has_status(self.settings.calendar);
        if from.is_some_and(|block| block.is_trading()) {
            self.factors.go_on();
        }
        for (symbol, lane) in self.settings.symbols.iter().zip(&mut self.lanes) {
            let halted = self
                .forecast
                .minute(next.start_ns, next.minutes_in(), Some(symbol))
                .halted;
            if let Some(from) = &from {
                lane.go_on(from, &next, halted);
            }
            if opens {
                lane.open(&self.rules, &self.factors, before, &next, halted);
            }
        }
        self.block = Some(next);
        self.begin(next);
    }

    /// Prepares the block's draws.
    fn begin(&mut self, block: Block) {
        self.made_ns = block.start_ns;
        self.slot.clear();
        self.held.clear();
        self.next = 0;
        if !block.is_trading() {
            self.lanes.iter_mut().for_each(Lane::stand);
            return;
        }
        let minutes = block::minutes(&block.session);
        if self.shape.minutes() != minutes {
            let never_closes = !has_status(self.settings.calendar);
            self.shape = Shape::new(self.rules.model.shape, minutes, never_closes);
        }
        let (minute, into) = (block.minute(), block.minutes_in());
        let shape = self.shape.at(block.trading_minute());
        let market = self.forecast.minute(block.start_ns, into, None);
        self.factors
            .begin(&self.rules.model, minute, shape.0, &market);
        for (symbol, lane) in self.settings.symbols.iter().zip(&mut self.lanes) {
            let weather = self.forecast.minute(block.start_ns, into, Some(symbol));
            lane.begin(&self.rules, &self.factors, minute, shape, &market, &weather);
        }
    }

    /// Makes the ticks of the next slot of the block.
    fn make_slot(&mut self, block: Block) {
        self.slot.clear();
        self.next = 0;
        let end_ns = block.end_ns().min(self.made_ns + self.slot_ns);
        let begins = self.made_ns == block.start_ns;
        let until = end_ns - block.start_ns;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if begins {
                lane.start(&self.rules, index, &block, &mut self.slot);
            }
            lane.make(&self.rules, &self.factors, index, until, &mut self.slot);
        }
        if self.rules.disturbance.is_some() {
            self.slot.append(&mut self.held);
            let later = self.slot.extract_if(.., |event| event.after_ns() >= until);
            self.held.extend(later);
        }
        // Each lane's events are in order already, and a stable sort merges such runs.
        self.slot.sort_by_key(Event::order);
        self.made_ns = end_ns;
    }
}

#[cfg(test)]
mod determinism_tests;
#[cfg(test)]
mod disorder_tests;
#[cfg(test)]
mod phase_tests;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
mod tests;
