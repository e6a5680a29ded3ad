//! An event of a minute, before it becomes a tick.

use super::MINUTE;
use super::corporate::Action;
use super::settings::Settings;
use crate::tick::Side;

/// An event of a minute, not yet numbered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// Nanoseconds into the minute at which it arrives, then the lane, then the place among a
    /// lane's events of one instant: what events are ordered by.
    order: u64,
    /// From the arrival to the receipt's stamp, nanoseconds; with [`LATE`], from the event to its
    /// arrival, microseconds.
    delay: u32,
    pub(super) what: What,
}

/// What happens. Prices in steps of 1e-9, sizes in the ladder's units.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Quote {
        bid: i64,
        ask: i64,
        bid_size: u32,
        ask_size: u32,
    },
    Trade {
        price: i64,
        size: u32,
        side: Side,
        /// The number of the trade in the minute.
        number: u32,
        /// Whether it is below a lot, and told apart for that.
        odd: bool,
    },
    /// The print of an auction: at the open, at the close, or after a halt.
    Auction {
        price: i64,
        size: u32,
        at: Auction,
        number: u32,
    },
    /// What an auction does, or would do now.
    Cross {
        price: i64,
        size: u32,
        /// What is left of buyers; of sellers, if negative.
        imbalance: i32,
        at: Auction,
        indicative: bool,
    },
    /// A trade of the minute is taken back or told anew.
    Correction {
        number: u32,
        price: i64,
        size: u32,
        cancel: bool,
    },
    /// Something happens to the company.
    Corporate(Action),
    /// The market's or the symbol's new state.
    Status(Status),
}

/// Which auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auction {
    Opening,
    Closing,
    Reopening,
}

/// Which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Open,
    Close,
    Halt,
    Resume,
}

/// Bit of a late event's delay.
const LATE: u32 = 1 << 31;
/// From a late event's arrival to the receipt's stamp.
const LATE_LATENCY_NS: i64 = 100_000;

const LANE_BITS: u32 = 20;
const PLACE_BITS: u32 = 3;

// Room for every lane, and for a minute of nanoseconds above it.
const _: () = assert!(Settings::MAX_SYMBOLS <= 1 << LANE_BITS);
const _: () = assert!((MINUTE as u64) < 1 << (64 - LANE_BITS - PLACE_BITS));

impl Event {
    /// The only event of its lane at that instant.
    #[inline]
    pub(super) fn new(after_ns: i64, lane: usize, latency_ns: u32, what: What) -> Event {
        Event {
            order: ((after_ns as u64) << LANE_BITS | lane as u64) << PLACE_BITS,
            delay: latency_ns,
            what,
        }
    }

    /// An event that arrives later than others that happened after it: at `at_ns` of the minute.
    pub(super) fn arriving_at(self, at_ns: i64) -> Event {
        let late_us = ((at_ns - self.after_ns()) / 1000).max(1);
        // To the whole microsecond after the event, so that its time is exact.
        let late = Event::new(
            self.after_ns() + late_us * 1000,
            self.lane(),
            LATE | late_us as u32,
            self.what,
        );
        Event {
            order: late.order | 1,
            ..late
        }
    }

    /// Nanoseconds from the event to its arrival.
    #[inline]
    pub(super) fn late_ns(&self) -> i64 {
        if self.delay & LATE == 0 {
            0
        } else {
            i64::from(self.delay & !LATE) * 1000
        }
    }

    /// Nanoseconds from the arrival to the receipt's stamp.
    #[inline]
    pub(super) fn latency_ns(&self) -> i64 {
        if self.delay & LATE == 0 {
            i64::from(self.delay)
        } else {
            LATE_LATENCY_NS
        }
    }

    /// One of the events of a lane at the minute's beginning, in that place.
    pub(super) fn at_start(place: u64, lane: usize, what: What) -> Event {
        let event = Event::new(0, lane, 0, what);
        Event {
            order: event.order | place,
            ..event
        }
    }

    #[inline]
    pub(super) fn order(&self) -> u64 {
        self.order
    }

    /// Nanoseconds since the minute began, of the arrival.
    #[inline]
    pub(super) fn after_ns(&self) -> i64 {
        (self.order >> (LANE_BITS + PLACE_BITS)) as i64
    }

    #[inline]
    pub(super) fn lane(&self) -> usize {
        (self.order >> PLACE_BITS & ((1 << LANE_BITS) - 1)) as usize
    }
}
