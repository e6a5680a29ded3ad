//! A synthetic market: a pure function of its settings and of time.
//!
//! # The model
//! Per symbol, the logarithm of the mid is a random walk on a grid of seconds (linear within a
//! second) with constant volatility: σ between 1 % and 2.5 % a session, steps that are the sum
//! of four uniforms (Irwin–Hall, close to normal), and over the night a step of σ/2. Ticks
//! arrive as a Poisson process of rate `ticks_per_second / symbols` a symbol; three of ten are
//! trades, the rest quotes. A quote sets bid and ask around the mid, 1 to 4 basis points and at
//! least one tick (0.01) apart; a trade prints at the bid, at the ask, or between them, of the
//! quote that came before it. Where the calendar has opens and closes, each symbol has a status
//! tick at both and nothing in between sessions. Real markets have fat tails, clustered
//! volatility, bursts and an intraday shape; this one does not yet.
//!
//! # What holds
//! - Every draw is keyed by (seed, symbol's name, minute): the mids of a symbol do not depend
//!   on which other symbols there are, nor on the rate.
//! - Ticks come out ordered by event time (then by the order of the symbols), each symbol's
//!   times strictly increase, and `seq` counts from 0 per (run, symbol).
//! - What comes out does not depend on the steps in which [`Simulator::emit`] is called, nor on
//!   a restart from a [`Checkpoint`].
//! - The arithmetic is integers, IEEE basic operations and `libm`, so that all machines agree.

mod checkpoint;
mod draws;
mod lane;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::calendar::{Calendar, Session};
use crate::tick::{self, Kind, Price, Size, Symbol, Tick};

pub use checkpoint::{Checkpoint, RestoreError};
pub use settings::{Settings, SettingsError};

use checkpoint::SymbolState;
use lane::{Event, Lane, What};

/// Prices are whole numbers of 0.01.
const TICK_STEPS: i64 = 10_000_000;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

/// Ticks that a slot should hold at least, so that a visit to every symbol pays.
const SLOT_TICKS: u64 = 8192;

/// The unit in which the market is made: a minute of a session, or the instant of its close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    session: Session,
    start_ns: i64,
    closing: bool,
}

impl Block {
    /// The first block that ends after an instant.
    fn ending_after(calendar: Calendar, ns: i64) -> Option<Block> {
        let date = calendar.local_date(ns);
        if let Some(session) = calendar.session(date)
            && session.close_ns == ns
            && has_status(calendar)
        {
            return Some(Block {
                session,
                start_ns: ns,
                closing: true,
            });
        }
        let session = calendar.session_closing_after(ns)?;
        let into = (ns - session.open_ns).max(0);
        let start_ns = session.open_ns + into / MINUTE * MINUTE;
        Some(Block {
            session,
            start_ns,
            closing: false,
        })
    }

    fn end_ns(&self) -> i64 {
        self.start_ns + if self.closing { 1 } else { MINUTE }
    }

    fn next(&self, calendar: Calendar) -> Option<Block> {
        if !self.closing {
            let start_ns = self.end_ns();
            if start_ns < self.session.close_ns {
                return Some(Block { start_ns, ..*self });
            }
            if has_status(calendar) {
                return Some(Block {
                    start_ns,
                    closing: true,
                    ..*self
                });
            }
        }
        let session = calendar.next_session(self.session.date)?;
        Some(Block {
            session,
            start_ns: session.open_ns,
            closing: false,
        })
    }

    fn opens_session(&self) -> bool {
        !self.closing && self.start_ns == self.session.open_ns
    }

    /// The number that keys the draws of a minute: minutes since 1970.
    fn minute(&self) -> u64 {
        self.start_ns.div_euclid(MINUTE) as u64
    }
}

/// Whether the market opens and closes, and says so.
fn has_status(calendar: Calendar) -> bool {
    calendar != Calendar::AlwaysOpen
}

/// A synthetic market that has been played up to some instant.
pub struct Simulator {
    settings: Settings,
    /// One a symbol, in the order of the settings.
    lanes: Vec<Lane>,
    /// The next `seq` of each symbol.
    seqs: Vec<u64>,
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
    /// The tick that each kind begins as.
    trade: Tick,
    quote: Tick,
    status: Tick,
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
        Ok(Simulator::at(settings, block, start_ns, BTreeMap::new()))
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
            checkpoint.symbols,
        ))
    }

    fn at(
        settings: Settings,
        block: Option<Block>,
        until_ns: i64,
        mut states: BTreeMap<Symbol, SymbolState>,
    ) -> Simulator {
        let gap_ns = settings.symbols.len() as f64 * 1e9 / settings.ticks_per_second as f64;
        let mut lanes = Vec::with_capacity(settings.symbols.len());
        let mut seqs = Vec::with_capacity(settings.symbols.len());
        for symbol in &settings.symbols {
            let state = states.remove(symbol);
            seqs.push(state.as_ref().map_or(0, |state| state.seq));
            lanes.push(Lane::new(&settings, symbol, gap_ns, state));
        }
        let slot_ticks = SLOT_TICKS.max(lanes.len() as u64);
        let slot_ns = (slot_ticks as f64 * 1e9 / settings.ticks_per_second as f64) as i64;
        let template = |kind| {
            let first = settings.symbols[0].clone();
            let run = Arc::clone(&settings.run);
            let date = jiff::civil::Date::ZERO;
            let mut tick = Tick::new(first, tick::SIMULATED.into(), kind, run, 0, 0, date);
            tick.venue = settings.calendar.mic().map(Arc::from);
            tick.session = Some(tick::Session::Regular);
            tick
        };
        let priced = |kind| Tick {
            currency: Some("USD".into()),
            ..template(kind)
        };
        let mut simulator = Simulator {
            trade: priced(Kind::Trade),
            quote: priced(Kind::Quote),
            status: template(Kind::Status),
            settings,
            lanes,
            seqs,
            retired: states,
            block,
            made_ns: i64::MIN,
            until_ns,
            slot_ns: slot_ns.clamp(SECOND / 1000, MINUTE),
            slot: Vec::new(),
            next: 0,
        };
        if let Some(block) = block {
            simulator.begin(block);
        }
        simulator
    }

    /// Everything with an event time before this has been given out.
    pub fn until_ns(&self) -> i64 {
        self.until_ns
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Gives out every tick with an event time before `until_ns` that has not been given out,
    /// ordered by event time. `ts_ingest_ns` is left to whoever sends it.
    pub fn emit(&mut self, until_ns: i64, sink: &mut dyn FnMut(&Tick)) {
        while let Some(block) = self.block {
            while let Some(&event) = self.slot.get(self.next) {
                let ts_event_ns = block.start_ns + event.after_ns();
                if ts_event_ns >= until_ns {
                    break;
                }
                self.next += 1;
                // Made again after a restart, and given out before it.
                if ts_event_ns >= self.until_ns {
                    self.give_out(block, ts_event_ns, event, sink);
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
        for ((symbol, lane), &seq) in self
            .settings
            .symbols
            .iter()
            .zip(&self.lanes)
            .zip(&self.seqs)
        {
            symbols.insert(symbol.clone(), lane.state(seq));
        }
        Checkpoint::new(
            &self.settings,
            self.until_ns,
            self.block.map(|block| block.start_ns),
            symbols,
        )
    }

    /// Goes on to the block that follows.
    fn enter(&mut self, block: Block) {
        self.block = Some(block);
        let overnight = block.opens_session() && has_status(self.settings.calendar);
        let day = overnight.then(|| block.start_ns.div_euclid(24 * 60 * MINUTE) as u64);
        for lane in &mut self.lanes {
            lane.go_on(day);
        }
        self.begin(block);
    }

    /// Prepares the block's draws.
    fn begin(&mut self, block: Block) {
        self.made_ns = block.start_ns;
        self.slot.clear();
        self.next = 0;
        for lane in &mut self.lanes {
            lane.begin(block.minute(), block.closing);
        }
    }

    /// Makes the ticks of the next slot of the block.
    fn make_slot(&mut self, block: Block) {
        self.slot.clear();
        self.next = 0;
        let end_ns = block.end_ns().min(self.made_ns + self.slot_ns);
        let status = match (block.closing, block.opens_session()) {
            (true, _) => Some(What::Close),
            (false, true) if has_status(self.settings.calendar) => Some(What::Open),
            _ => None,
        };
        let begins = self.made_ns == block.start_ns;
        let until = end_ns - block.start_ns;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(status) = status.filter(|_| begins) {
                self.slot.push(Event::new(0, index, 0, status));
            }
            lane.make(index, until, &mut self.slot);
        }
        self.slot.sort_unstable_by_key(Event::order);
        self.made_ns = end_ns;
    }

    /// Hands an event out as a tick.
    #[inline]
    fn give_out(
        &mut self,
        block: Block,
        ts_event_ns: i64,
        event: Event,
        sink: &mut dyn FnMut(&Tick),
    ) {
        let lane = event.lane();
        let seq = self.seqs[lane];
        self.seqs[lane] = seq + 1;
        let price = |ticks: u32| Price::from_steps(i64::from(ticks) * TICK_STEPS);
        let tick = match event.what {
            What::Quote {
                bid,
                ask,
                bid_size,
                ask_size,
            } => {
                let tick = &mut self.quote;
                tick.bid_price = price(bid);
                tick.ask_price = price(ask);
                tick.bid_size = Some(Size::whole(bid_size));
                tick.ask_size = Some(Size::whole(ask_size));
                tick
            }
            What::Trade {
                price: at,
                size,
                side,
            } => {
                let tick = &mut self.trade;
                tick.price = price(at);
                tick.size = Some(Size::whole(size));
                tick.side = Some(side);
                tick.trade_id = Some(itoa::Buffer::new().format(seq).into());
                tick
            }
            What::Open | What::Close => {
                let open = matches!(event.what, What::Open);
                let tick = &mut self.status;
                tick.status = Some(if open { tick::OPEN } else { tick::CLOSE }.into());
                tick
            }
        };
        tick.symbol.clone_from(&self.settings.symbols[lane]);
        tick.seq = seq;
        tick.ts_event_ns = ts_event_ns;
        tick.ts_recv_ns = Some(ts_event_ns + i64::from(event.latency_ns));
        tick.trade_date = block.session.date;
        sink(tick);
    }
}

#[cfg(test)]
mod tests;
