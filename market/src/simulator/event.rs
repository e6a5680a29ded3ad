//! An event of a minute, before it becomes a tick.

use super::MINUTE;
use super::settings::Settings;
use crate::tick::Side;

/// An event of a minute, not yet numbered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// Nanoseconds into the minute, then the lane, then the place among a lane's events of one
    /// instant: what events are ordered by.
    order: u64,
    /// From the event to its receipt.
    pub(super) latency_ns: u32,
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
    },
    /// The print of an auction: at the open, at the close, or after a halt.
    Auction {
        price: i64,
        size: u32,
        at: Auction,
    },
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
            latency_ns,
            what,
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

    /// Nanoseconds since the minute began.
    #[inline]
    pub(super) fn after_ns(&self) -> i64 {
        (self.order >> (LANE_BITS + PLACE_BITS)) as i64
    }

    #[inline]
    pub(super) fn lane(&self) -> usize {
        (self.order >> PLACE_BITS & ((1 << LANE_BITS) - 1)) as usize
    }
}
