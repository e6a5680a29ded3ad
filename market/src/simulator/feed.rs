//! From events to ticks, as the feed has them: numbered, stamped, lost or given twice.

use super::Simulator;
use super::block::Block;
use super::event::{Auction, Event, Status, What};
use crate::tick::{self, Price, Size, Tick};

impl Simulator {
    /// Hands an event out as a tick, as the feed has it.
    #[inline]
    pub(super) fn give_out(
        &mut self,
        block: Block,
        ts_event_ns: i64,
        event: Event,
        sink: &mut dyn FnMut(&Tick),
    ) {
        let lane = event.lane();
        let symbol = &self.settings.symbols[lane];
        let (seq, source_seq) = self.seqs[lane];
        let size_step = i128::from(self.rules.ladder.size_step);
        let size = |units: u32| Size::from_steps(i128::from(units) * size_step);
        let trade_id = || Some(itoa::Buffer::new().format(source_seq).into());
        let tick = match event.what {
            What::Quote {
                bid,
                ask,
                bid_size,
                ask_size,
            } => {
                let tick = &mut self.quote;
                tick.bid_price = Price::from_steps(bid);
                tick.ask_price = Price::from_steps(ask);
                tick.bid_size = size(bid_size);
                tick.ask_size = size(ask_size);
                tick
            }
            What::Trade {
                price,
                size: units,
                side,
            } => {
                let tick = &mut self.trade;
                tick.price = Price::from_steps(price);
                tick.size = size(units);
                tick.side = Some(side);
                tick.trade_id = trade_id();
                tick
            }
            What::Auction {
                price,
                size: units,
                at,
            } => {
                let tick = &mut self.auction;
                tick.price = Price::from_steps(price);
                tick.size = size(units);
                tick.trade_id = trade_id();
                tick.conditions = Some(conditions(at).into());
                tick
            }
            What::Status(status) => {
                let tick = &mut self.status;
                tick.status = Some(word(status).into());
                tick
            }
        };
        tick.symbol.clone_from(symbol);
        tick.seq = seq;
        tick.ts_event_ns = ts_event_ns;
        tick.ts_recv_ns = Some(ts_event_ns + i64::from(event.latency_ns));
        tick.trade_date = block.session.date;
        if !self.forecast.has_feed() {
            self.seqs[lane] = (seq + 1, source_seq + 1);
            return sink(tick);
        }
        let reception = self.forecast.reception(ts_event_ns, symbol);
        let recv_ns = ts_event_ns + i64::from(event.latency_ns) - reception.slow_ns;
        let copies = match (reception.lost, reception.twice) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        for copy in 0..copies {
            tick.seq = seq + copy;
            tick.source_seq = Some(source_seq);
            tick.ts_recv_ns = Some(recv_ns + copy as i64 * SECOND_PATH_NS);
            sink(tick);
        }
        self.seqs[lane] = (seq + copies, source_seq + 1);
    }
}

/// How much later the second of two equal ticks arrives.
const SECOND_PATH_NS: i64 = 1_000_000;

/// The condition codes of an auction's print, those of the US consolidated tape: opening print,
/// closing print, reopening print.
const fn conditions(at: Auction) -> &'static str {
    match at {
        Auction::Opening => tick::OPENING_PRINT,
        Auction::Closing => tick::CLOSING_PRINT,
        Auction::Reopening => tick::REOPENING_PRINT,
    }
}

const fn word(status: Status) -> &'static str {
    match status {
        Status::Open => tick::OPEN,
        Status::Close => tick::CLOSE,
        Status::Halt => tick::HALT,
        Status::Resume => tick::RESUME,
    }
}
