//! The unit in which the market is made: a minute of a session, or the instant of its close.

use super::MINUTE;
use crate::calendar::{Calendar, Session};

/// A minute of a session, or the instant of its close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) session: Session,
    pub(super) start_ns: i64,
    pub(super) closing: bool,
}

impl Block {
    /// The first block that ends after an instant.
    pub(super) fn ending_after(calendar: Calendar, ns: i64) -> Option<Block> {
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
            start_ns: after_lunch(&session, start_ns),
            closing: false,
        })
    }

    pub(super) fn end_ns(&self) -> i64 {
        self.start_ns + if self.closing { 1 } else { MINUTE }
    }

    pub(super) fn next(&self, calendar: Calendar) -> Option<Block> {
        if !self.closing {
            let start_ns = after_lunch(&self.session, self.end_ns());
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

    pub(super) fn opens_session(&self) -> bool {
        !self.closing && self.start_ns == self.session.open_ns
    }

    /// The number that keys the draws of a minute: minutes since 1970.
    pub(super) fn minute(&self) -> u64 {
        self.start_ns.div_euclid(MINUTE) as u64
    }

    /// Minutes since the open.
    pub(super) fn minutes_in(&self) -> usize {
        ((self.start_ns - self.session.open_ns) / MINUTE) as usize
    }

    /// Minutes until the close.
    pub(super) fn minutes_left(&self) -> i64 {
        (self.session.close_ns - self.start_ns) / MINUTE
    }

    /// The number that keys the draws of a session: days since 1970 of its open.
    pub(super) fn day(&self) -> u64 {
        self.session.open_ns.div_euclid(24 * 60 * MINUTE) as u64
    }
}

/// The end of the break of the middle of the day for an instant in it; any other stays.
fn after_lunch(session: &Session, ns: i64) -> i64 {
    match session.lunch_ns {
        Some((start, end)) if (start..end).contains(&ns) => end,
        _ => ns,
    }
}

/// Minutes of a session, the last one perhaps not whole.
pub(super) fn minutes(session: &Session) -> usize {
    ((session.close_ns - session.open_ns + MINUTE - 1) / MINUTE).max(1) as usize
}

/// Minutes of a whole session of a calendar: of the longest in a week without holidays.
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
