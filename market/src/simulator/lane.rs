//! One symbol of a synthetic market.

use super::checkpoint::SymbolState;
use super::draws::{BELL_SD, Draws, Key, Purpose};
use super::settings::Settings;
use super::{MINUTE, SECOND};
use crate::calendar::Calendar;
use crate::tick::{Side, Symbol};

/// Steps of a logarithm in 1.
const LOG_STEPS: f64 = 1e12;
/// Price ticks in a dollar.
const TICKS: f64 = 100.0;
/// Three of ten ticks are trades, in 65536ths.
const TRADES: u64 = 19_661;
/// The mid stays within a factor of e⁴ of where it began.
const RANGE: f64 = 4.0;

/// An event of a minute, not yet numbered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// Nanoseconds into the minute, then the lane: what events are ordered by.
    order: u64,
    /// From the event to its receipt.
    pub(super) latency_ns: u32,
    pub(super) what: What,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Bid and ask in price ticks, sizes in shares.
    Quote {
        bid: u32,
        ask: u32,
        bid_size: u32,
        ask_size: u32,
    },
    /// Price in price ticks, size in shares.
    Trade { price: u32, size: u32, side: Side },
    /// The session opens.
    Open,
    /// The session closes.
    Close,
}

const LANE_BITS: u32 = 24;

// Room for every lane, and for a minute of nanoseconds above it.
const _: () = assert!(Settings::MAX_SYMBOLS <= 1 << LANE_BITS);
const _: () = assert!((MINUTE as u64) < 1 << (64 - LANE_BITS));

impl Event {
    pub(super) fn new(after_ns: i64, lane: usize, latency_ns: u32, what: What) -> Event {
        Event {
            order: (after_ns as u64) << LANE_BITS | lane as u64,
            latency_ns,
            what,
        }
    }

    #[inline]
    pub(super) fn order(&self) -> u64 {
        self.order
    }

    /// Nanoseconds since the minute began.
    #[inline]
    pub(super) fn after_ns(&self) -> i64 {
        (self.order >> LANE_BITS) as i64
    }

    #[inline]
    pub(super) fn lane(&self) -> usize {
        (self.order & ((1 << LANE_BITS) - 1)) as usize
    }
}

/// One symbol: what it keeps, and where it stands within the minute.
pub(super) struct Lane {
    key: Key,
    /// Mean time between two ticks.
    gap_ns: f64,
    /// Standard deviation of a second's step of the log mid, per unit of a bell draw.
    second_step: i64,
    /// Of the step over night, likewise.
    night_step: i64,
    /// Least and greatest log mid.
    range: (i64, i64),
    /// Spread as a part of the mid.
    spread: f64,
    /// State when the minute began.
    log_mid: i64,
    bid_then: u32,
    ask_then: u32,
    /// Log mid at every second of the minute.
    walk: [i64; 61],
    ticks: Draws,
    /// Nanoseconds into the minute of the next tick; at or beyond its end: none.
    next_ns: i64,
    /// The quote now, in price ticks; 0: none yet.
    bid: u32,
    ask: u32,
}

impl Lane {
    /// A symbol in a checkpoint's state, or in its first.
    pub(super) fn new(
        settings: &Settings,
        symbol: &Symbol,
        gap_ns: f64,
        state: Option<SymbolState>,
    ) -> Lane {
        let key = Key::new(settings.seed, symbol);
        let mut draws = key.draws(Purpose::Constants, 0);
        let usual = libm::exp(libm::log(15.0) + draws.uniform() * libm::log(400.0 / 15.0));
        let volatility = 0.010 + 0.015 * draws.uniform();
        let spread = (1.0 + 3.0 * draws.uniform()) * 1e-4;
        let price = known_price(symbol).unwrap_or(usual);
        let seconds: f64 = match settings.calendar {
            Calendar::Xnys => 23_400.0,
            Calendar::AlwaysOpen => 86_400.0,
        };
        let steps = |sd: f64| libm::rint(sd * LOG_STEPS / BELL_SD) as i64;
        let log_price = libm::rint(libm::log(price) * LOG_STEPS) as i64;
        let reach = (RANGE * LOG_STEPS) as i64;
        let state = state.unwrap_or(SymbolState {
            log_mid: log_price,
            bid: 0,
            ask: 0,
            seq: 0,
        });
        Lane {
            ticks: draws,
            key,
            gap_ns,
            second_step: steps(volatility / libm::sqrt(seconds)),
            night_step: steps(volatility / 2.0),
            range: (log_price - reach, log_price + reach),
            spread,
            log_mid: state.log_mid,
            bid_then: state.bid,
            ask_then: state.ask,
            walk: [0; 61],
            next_ns: MINUTE,
            bid: state.bid,
            ask: state.ask,
        }
    }

    /// What a checkpoint keeps of it.
    pub(super) fn state(&self, seq: u64) -> SymbolState {
        SymbolState {
            log_mid: self.log_mid,
            bid: self.bid_then,
            ask: self.ask_then,
            seq,
        }
    }

    /// Goes on from the end of a minute to the beginning of the next; over a night, to the
    /// session of the day of that number, which begins without a quote.
    pub(super) fn go_on(&mut self, over_night_to: Option<u64>) {
        self.log_mid = self.walk[60];
        if let Some(day) = over_night_to {
            let step = self.key.draws(Purpose::Overnight, day).bell() * self.night_step;
            self.log_mid = self.within_range(self.log_mid + step);
            self.bid = 0;
            self.ask = 0;
        }
        self.bid_then = self.bid;
        self.ask_then = self.ask;
    }

    /// Prepares the draws of a minute, or of a session's close, which has none.
    pub(super) fn begin(&mut self, minute: u64, closing: bool) {
        self.walk[0] = self.log_mid;
        if closing {
            self.walk[60] = self.log_mid;
            self.next_ns = MINUTE;
            return;
        }
        let mut draws = self.key.draws(Purpose::Walk, minute);
        for second in 0..60 {
            let step = draws.bell() * self.second_step;
            self.walk[second + 1] = self.within_range(self.walk[second] + step);
        }
        self.ticks = self.key.draws(Purpose::Ticks, minute);
        self.next_ns = self.gap();
    }

    /// Makes the ticks of the minute up to `until` nanoseconds into it.
    #[inline]
    pub(super) fn make(&mut self, index: usize, until: i64, events: &mut Vec<Event>) {
        while self.next_ns < until {
            let bits = self.ticks.bits();
            // 50 to 312 microseconds.
            let latency_ns = 50_000 + (bits >> 46) as u32;
            let what = if self.bid != 0 && (bits & 0xffff) < TRADES {
                self.trade(bits >> 16)
            } else {
                self.quote(bits >> 16)
            };
            events.push(Event::new(self.next_ns, index, latency_ns, what));
            self.next_ns += self.gap();
        }
    }

    #[inline]
    fn gap(&mut self) -> i64 {
        (libm::rint(self.ticks.exponential() * self.gap_ns) as i64).max(1)
    }

    /// A new bid and ask around the mid of this instant.
    #[inline]
    fn quote(&mut self, bits: u64) -> What {
        let second = (self.next_ns / SECOND) as usize;
        let (from, to) = (self.walk[second], self.walk[second + 1]);
        let microsecond = self.next_ns % SECOND / 1000;
        let log_mid = from + (to - from) * microsecond / 1_000_000;
        let mid = libm::exp(log_mid as f64 / LOG_STEPS) * TICKS;
        // A quarter of the quotes is one tick wider.
        let wider = f64::from(u8::from(bits & 3 == 0));
        let spread = libm::rint(mid * self.spread).max(1.0) + wider;
        self.bid = libm::floor(mid - (spread - 1.0) / 2.0).max(1.0) as u32;
        self.ask = self.bid + spread as u32;
        let lots = |bits: u64| 100 * (1 + (bits & 15) as u32);
        What::Quote {
            bid: self.bid,
            ask: self.ask,
            bid_size: lots(bits >> 2),
            ask_size: lots(bits >> 6),
        }
    }

    /// A trade within the quote of this instant.
    #[inline]
    fn trade(&mut self, bits: u64) -> What {
        let side = if bits & 1 == 0 { Side::Buy } else { Side::Sell };
        let price = match (bits >> 1 & 7, side) {
            // One of eight is between bid and ask, where there is room.
            (0, _) if self.ask - self.bid > 1 => self.bid + (self.ask - self.bid) / 2,
            (_, Side::Buy) => self.ask,
            (_, Side::Sell) => self.bid,
        };
        // Half of the trades are odd lots, the rest 1 to 9 round lots, each half as often.
        let size = if bits >> 4 & 1 == 0 {
            1 + (bits >> 5 & 127) as u32 * 99 / 128
        } else {
            100 * (1 + (bits >> 5 & 127 | 256).trailing_zeros())
        };
        What::Trade { price, size, side }
    }

    /// Reflects a log mid that left its range.
    #[inline]
    fn within_range(&self, log_mid: i64) -> i64 {
        let (least, greatest) = self.range;
        if log_mid < least {
            2 * least - log_mid
        } else if log_mid > greatest {
            2 * greatest - log_mid
        } else {
            log_mid
        }
    }
}

/// A first price in dollars, near what the symbol has been known for; not a quotation.
fn known_price(symbol: &str) -> Option<f64> {
    Some(match symbol {
        "AAPL" => 225.0,
        "MSFT" => 420.0,
        "NVDA" => 135.0,
        "AMZN" => 200.0,
        "GOOGL" | "GOOG" => 175.0,
        "META" => 560.0,
        "TSLA" => 320.0,
        "BRK.B" => 465.0,
        "JPM" => 240.0,
        "V" => 305.0,
        "XOM" => 120.0,
        "UNH" => 580.0,
        "JNJ" => 155.0,
        "WMT" => 85.0,
        "PG" => 168.0,
        "HD" => 400.0,
        "KO" => 63.0,
        "IBM" => 210.0,
        "INTC" => 25.0,
        "AMD" => 140.0,
        "NFLX" => 820.0,
        "DIS" => 110.0,
        "SPY" => 590.0,
        "QQQ" => 505.0,
        "BTC-USD" => 95_000.0,
        "ETH-USD" => 3_300.0,
        "SOL-USD" => 240.0,
        _ => return None,
    })
}
