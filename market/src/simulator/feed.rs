//! From events to ticks, as the feed has them: numbered, stamped, lost or given twice.

use std::sync::Arc;

use super::Simulator;
use super::block::Block;
use super::corporate::Action;
use super::event::{Auction, Event, Status, What};
use super::settings::Settings;
use crate::tick::{self, Kind, Price, Size, Tick};

/// How far a symbol has been numbered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    /// The next `seq`.
    pub(super) seq: u64,
    /// The feed's next number.
    pub(super) source: u64,
    /// How many of the feed's were lost since the last tick that came.
    pub(super) lost: u64,
}

/// The ticks that each kind begins as.
pub(super) struct Templates {
    quote: Tick,
    trade: Tick,
    print: Tick,
    cross: Tick,
    correction: Tick,
    corporate: Tick,
    status: Tick,
    gap: Tick,
    /// Conditions and flags of a trade by what it is: bit 0 an odd lot, bit 1 late.
    told: [(Option<Arc<str>>, Option<i32>); 4],
    /// Which of them `trade` has.
    tells: usize,
}

impl Templates {
    pub(super) fn new(settings: &Settings, currency: &str) -> Templates {
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
            currency: Some(currency.into()),
            ..template(kind)
        };
        Templates {
            quote: priced(Kind::Quote),
            trade: priced(Kind::Trade),
            print: priced(Kind::Trade),
            cross: priced(Kind::Auction),
            correction: priced(Kind::Correction),
            corporate: priced(Kind::CorporateAction),
            status: template(Kind::Status),
            gap: template(Kind::Gap),
            told: [
                "",
                tick::ODD_LOT,
                tick::OUT_OF_SEQUENCE,
                ODD_AND_OUT_OF_SEQUENCE,
            ]
            .map(|codes| {
                let flags = tick::flags_of(codes);
                let codes = (!codes.is_empty()).then(|| codes.into());
                (codes, (flags != 0).then_some(flags))
            }),
            tells: 0,
        }
    }
}

impl Simulator {
    /// Hands an event that arrives at `at_ns` out as a tick, as the feed has it.
    #[inline]
    pub(super) fn give_out(
        &mut self,
        block: Block,
        at_ns: i64,
        event: Event,
        sink: &mut dyn FnMut(&Tick),
    ) {
        let lane = event.lane();
        let symbol = &self.settings.symbols[lane];
        let numbers = &mut self.numbers[lane];
        let tick = self.templates.fill(
            &event,
            i128::from(self.rules.ladder.size_step),
            block.minutes_in(),
        );
        tick.symbol.clone_from(symbol);
        tick.seq = numbers.seq;
        tick.ts_event_ns = at_ns - event.late_ns();
        tick.ts_recv_ns = Some(at_ns + event.latency_ns());
        tick.trade_date = block.session.date;
        if !self.numbered {
            numbers.seq += 1;
            numbers.source += 1;
            return sink(tick);
        }
        let reception = self.forecast.reception(at_ns, symbol);
        let recv_ns = at_ns + event.latency_ns() - reception.slow_ns;
        let copies = match (reception.lost, reception.twice) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        let source = numbers.source;
        numbers.source += 1;
        if copies == 0 {
            numbers.lost += 1;
            return;
        }
        tick.source_seq = Some(source);
        if numbers.lost > 0 {
            // The receiver sees by this tick's number that others are missing.
            let mut gap = self.templates.gap.clone();
            gap.symbol.clone_from(symbol);
            gap.seq = numbers.seq;
            gap.source_seq = Some(source - numbers.lost);
            gap.size = Size::from_steps(i128::from(numbers.lost) * Size::ONE.steps());
            gap.ts_event_ns = at_ns - event.late_ns();
            gap.ts_recv_ns = Some(recv_ns);
            gap.trade_date = block.session.date;
            sink(&gap);
            numbers.seq += 1;
            numbers.lost = 0;
        }
        let tick = self.templates.filled(&event);
        for copy in 0..copies {
            tick.seq = numbers.seq;
            tick.ts_recv_ns = Some(recv_ns + copy * SECOND_PATH_NS);
            sink(tick);
            numbers.seq += 1;
        }
    }
}

impl Templates {
    /// The tick that an event's kind begins as.
    #[inline]
    fn filled(&mut self, event: &Event) -> &mut Tick {
        match event.what {
            What::Quote { .. } => &mut self.quote,
            What::Trade { .. } => &mut self.trade,
            What::Auction { .. } => &mut self.print,
            What::Cross { .. } => &mut self.cross,
            What::Correction { .. } => &mut self.correction,
            What::Corporate(_) => &mut self.corporate,
            What::Status(_) => &mut self.status,
        }
    }

    /// What an event tells, in the tick of its kind. Sizes are in the ladder's steps.
    #[inline]
    fn fill(&mut self, event: &Event, size_step: i128, minute: usize) -> &mut Tick {
        let size = |units: u32| Size::from_steps(i128::from(units) * size_step);
        match event.what {
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
                number,
                odd,
            } => {
                let tells = usize::from(odd) | usize::from(event.late_ns() > 0) << 1;
                let tick = &mut self.trade;
                tick.price = Price::from_steps(price);
                tick.size = size(units);
                tick.side = Some(side);
                tick.trade_id = Some(trade_id(number, minute));
                if tells != self.tells {
                    (tick.conditions, tick.flags) = self.told[tells].clone();
                    self.tells = tells;
                }
                tick
            }
            What::Auction {
                price,
                size: units,
                at,
                number,
            } => {
                let tick = &mut self.print;
                tick.price = Price::from_steps(price);
                tick.size = size(units);
                tick.trade_id = Some(trade_id(number, minute));
                tick.conditions = Some(conditions(at).into());
                tick
            }
            What::Cross {
                price,
                size: units,
                imbalance,
                at,
                indicative,
            } => {
                let tick = &mut self.cross;
                tick.price = Price::from_steps(price);
                tick.size = size(units);
                tick.bid_size = size(imbalance.max(0).unsigned_abs());
                tick.ask_size = size(imbalance.min(0).unsigned_abs());
                tick.status = Some(auction(at).into());
                tick.flags = indicative.then_some(tick::INDICATIVE);
                tick
            }
            What::Correction {
                number,
                price,
                size: units,
                cancel,
            } => {
                let tick = &mut self.correction;
                tick.price = Price::from_steps(price);
                tick.size = size(units);
                tick.trade_id = Some(trade_id(number, minute));
                let word = if cancel { tick::CANCEL } else { tick::CORRECT };
                tick.status = Some(word.into());
                tick
            }
            What::Corporate(action) => {
                let tick = &mut self.corporate;
                let (word, price, ratio) = match action {
                    Action::Dividend(amount) => (tick::DIVIDEND, Price::from_steps(amount), None),
                    Action::Split { new, old } => {
                        let ratio = i128::from(new) * Size::ONE.steps() / i128::from(old);
                        (tick::SPLIT, None, Size::from_steps(ratio))
                    }
                };
                tick.status = Some(word.into());
                tick.price = price;
                tick.size = ratio;
                tick
            }
            What::Status(status) => {
                let tick = &mut self.status;
                tick.status = Some(word(status).into());
                tick
            }
        }
    }
}

/// A trade's name: unique to the symbol and its date, whatever was lost and given twice.
fn trade_id(number: u32, minute: usize) -> Arc<str> {
    let id = u64::from(number) * MINUTES_A_DAY + minute as u64;
    itoa::Buffer::new().format(id).into()
}

/// The conditions of a late odd lot.
const ODD_AND_OUT_OF_SEQUENCE: &str = "I,Z";

const MINUTES_A_DAY: u64 = 1440;

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

const fn auction(at: Auction) -> &'static str {
    match at {
        Auction::Opening => tick::OPENING,
        Auction::Closing => tick::CLOSING,
        Auction::Reopening => tick::REOPENING,
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
