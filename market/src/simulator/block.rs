//! The unit in which the market is made: a minute of a session, or the instant of its end.
//!
//! After the minutes of continuous trading come those of the closing auction's call, where the
//! exchange has one, and then the instant at which it crosses: in New York at the close, in London
//! five minutes after it, in Hong Kong within the last two of ten.

use super::draws::{Key, Purpose};
use super::{MINUTE, SECOND};
use crate::calendar::{Calendar, Session};

/// What a block is of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A minute of continuous trading.
    Trading,
    /// A minute of the closing auction's call, the last one perhaps not whole: nothing trades.
    Call,
    /// The instant of the session's end, with its closing auction where it has one.
    End,
}

/// A minute of a session, or the instant of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) session: Session,
    pub(super) start_ns: i64,
    pub(super) part: Part,
    /// The instant of the session's end.
    session_end_ns: i64,
}

/// Seconds within which Hong Kong's closing auction ends, as chance will have it (HKEX, "Closing
/// Auction Session", since 25 July 2016: 16:08 to 16:10).
const RANDOM_SECONDS: u64 = 120;

impl Block {
    /// The first block that ends after an instant.
    pub(super) fn ending_after(calendar: Calendar, ns: i64) -> Option<Block> {
        let date = calendar.local_date(ns);
        let today = calendar
            .session(date)
            .filter(|session| ns < after_end(calendar, session));
        let session = today.or_else(|| calendar.next_session(date))?;
        let session_end_ns = end_ns(calendar, &session);
        let trading_end_ns = session.trading_end_ns();
        let (start_ns, part) = if ns >= session_end_ns {
            (session_end_ns, Part::End)
        } else if ns >= trading_end_ns {
            let into = (ns - trading_end_ns) / MINUTE * MINUTE;
            (trading_end_ns + into, Part::Call)
        } else {
            let into = (ns - session.open_ns).max(0) / MINUTE * MINUTE;
            (after_lunch(&session, session.open_ns + into), Part::Trading)
        };
        Some(Block {
            session,
            start_ns,
            part,
            session_end_ns,
        })
    }

    pub(super) fn end_ns(&self) -> i64 {
        match self.part {
            Part::Trading => self.start_ns + MINUTE,
            Part::Call => self.session_end_ns.min(self.start_ns + MINUTE),
            Part::End => self.start_ns + 1,
        }
    }

    pub(super) fn next(&self, calendar: Calendar) -> Option<Block> {
        if self.part == Part::End {
            return Block::first(calendar, calendar.next_session(self.session.date)?);
        }
        let start_ns = after_lunch(&self.session, self.end_ns());
        let part = if start_ns < self.session.trading_end_ns() {
            Part::Trading
        } else if !has_status(calendar) {
            return Block::first(calendar, calendar.next_session(self.session.date)?);
        } else if start_ns < self.session_end_ns {
            Part::Call
        } else {
            Part::End
        };
        Some(Block {
            start_ns,
            part,
            ..*self
        })
    }

    fn first(calendar: Calendar, session: Session) -> Option<Block> {
        Some(Block {
            session,
            start_ns: session.open_ns,
            part: Part::Trading,
            session_end_ns: end_ns(calendar, &session),
        })
    }

    pub(super) fn is_trading(&self) -> bool {
        self.part == Part::Trading
    }

    pub(super) fn opens_session(&self) -> bool {
        self.is_trading() && self.start_ns == self.session.open_ns
    }

    /// The number that keys the draws of a minute: minutes since 1970.
    pub(super) fn minute(&self) -> u64 {
        self.start_ns.div_euclid(MINUTE) as u64
    }

    /// Minutes since the open, on the clock.
    pub(super) fn minutes_in(&self) -> usize {
        ((self.start_ns - self.session.open_ns) / MINUTE) as usize
    }

    /// Minutes of trading since the open: lunch does not count.
    pub(super) fn trading_minute(&self) -> usize {
        let lunch_ns = match self.session.lunch_ns {
            Some((from, to)) if self.start_ns >= to => to - from,
            _ => 0,
        };
        ((self.start_ns - self.session.open_ns - lunch_ns) / MINUTE) as usize
    }

    /// Minutes until continuous trading ends.
    pub(super) fn minutes_left(&self) -> i64 {
        (self.session.trading_end_ns() - self.start_ns) / MINUTE
    }

    /// Minutes of the closing auction's call that are to come, this one included, of how many;
    /// none where its orders are gathered beside continuous trading.
    pub(super) fn call(&self) -> Option<(i64, i64)> {
        let minutes = |from_ns: i64| (self.session_end_ns - from_ns + MINUTE - 1) / MINUTE;
        (self.part == Part::Call).then(|| {
            (
                minutes(self.start_ns),
                minutes(self.session.trading_end_ns()),
            )
        })
    }

    /// The number that keys the draws of a session: days since 1970 of its open.
    pub(super) fn day(&self) -> u64 {
        self.session.open_ns.div_euclid(24 * 60 * MINUTE) as u64
    }
}

/// The instant of a session's end: of its closing auction, or of its close.
fn end_ns(calendar: Calendar, session: &Session) -> i64 {
    match session.closing_call_ns {
        Some(call_ns) if calendar == Calendar::Xhkg && call_ns < session.last_trade_ns => {
            let day = session.open_ns.div_euclid(24 * 60 * MINUTE) as u64;
            let mut draws = Key::new(0, "\u{1}random close").draws(Purpose::Auction, day);
            let early = draws.bits() % RANDOM_SECONDS;
            session.last_trade_ns - early as i64 * SECOND
        }
        Some(_) => session.last_trade_ns,
        None => session.close_ns,
    }
}

/// The first instant that no longer belongs to a session.
fn after_end(calendar: Calendar, session: &Session) -> i64 {
    end_ns(calendar, session) + i64::from(has_status(calendar))
}

/// The end of the break of the middle of the day for an instant in it; any other stays.
fn after_lunch(session: &Session, ns: i64) -> i64 {
    match session.lunch_ns {
        Some((start, end)) if (start..end).contains(&ns) => end,
        _ => ns,
    }
}

/// Minutes of continuous trading of a session, the last one perhaps not whole.
pub(super) fn minutes(session: &Session) -> usize {
    let lunch_ns = session.lunch_ns.map_or(0, |(from, to)| to - from);
    let trading_ns = session.trading_end_ns() - session.open_ns - lunch_ns;
    ((trading_ns + MINUTE - 1) / MINUTE).max(1) as usize
}

/// Minutes of continuous trading of a calendar's whole session: of the longest in a week without
/// holidays.
pub(super) fn usual_minutes(calendar: Calendar) -> usize {
    let mut date = jiff::civil::date(2026, 2, 27);
    let mut longest = 1;
    for _ in 0..5 {
        let Some(session) = calendar.next_session(date) else {
            break;
        };
        date = session.date;
        longest = longest.max(minutes(&session));
    }
    longest
}

/// Whether the market opens and closes, and says so.
pub(super) fn has_status(calendar: Calendar) -> bool {
    calendar != Calendar::AlwaysOpen
}
