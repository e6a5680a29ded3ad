//! The market's sessions, as run keys and the autoscaler need them.

use jiff::Timestamp;
use jiff::civil::Date;
use stockpipe_crds::run_key::Sessions;
use stockpipe_market::calendar::{Calendar, UnknownCalendar};

/// The sessions of a calendar.
#[derive(Clone, Copy, Debug)]
pub struct MarketSessions(Calendar);

impl MarketSessions {
    /// The sessions of the calendar `name`.
    ///
    /// # Errors
    /// Where there is no such calendar.
    pub fn parse(name: &str) -> Result<Self, UnknownCalendar> {
        Calendar::parse(name).map(Self)
    }

    /// Whether a session holds `at`, its closing auction included.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.containing(at)
            .and_then(|date| self.trading(date))
            .is_some_and(|(open, complete)| open <= at && at < complete)
    }

    /// From the open to the first instant after the last trade, which may come
    /// minutes after the close.
    #[must_use]
    pub fn trading(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        let session = self.0.session(date)?;
        let complete = self.0.complete_at(date)?;
        Some((timestamp(session.open_ns), timestamp(complete)))
    }
}

impl Sessions for MarketSessions {
    fn newest_closed(&self, at: Timestamp) -> Option<Date> {
        self.0.newest_closed_session(nanos(at)?)
    }

    fn containing(&self, at: Timestamp) -> Option<Date> {
        let date = self.0.local_date(nanos(at)?);
        self.0.session(date).map(|session| session.date)
    }

    fn window(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        let session = self.0.session(date)?;
        Some((timestamp(session.open_ns), timestamp(session.close_ns)))
    }
}

fn nanos(at: Timestamp) -> Option<i64> {
    i64::try_from(at.as_nanosecond()).ok()
}

fn timestamp(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns))
        .expect("64 bits of nanoseconds are the years 1677 to 2262")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_is_open_in_its_session_and_one_that_never_closes_always() {
        let new_york = MarketSessions::parse("XNYS").unwrap();
        let always = MarketSessions::parse("24x7").unwrap();
        for (at, open) in [
            ("2026-11-20T14:29:59Z", false),
            ("2026-11-20T14:30:00Z", true),
            ("2026-11-20T21:00:01Z", false),
            ("2026-11-22T15:00:00Z", false),
            // Thanksgiving.
            ("2026-11-26T15:00:00Z", false),
        ] {
            let at = at.parse().unwrap();
            assert_eq!(new_york.is_open(at), open, "{at}");
            assert!(always.is_open(at), "{at}");
        }
        // The close is at 16:30, the closing auction at 16:35.
        let london = MarketSessions::parse("XLON").unwrap();
        assert!(london.is_open("2026-11-20T16:34:00Z".parse().unwrap()));
        assert!(!london.is_open("2026-11-20T16:36:00Z".parse().unwrap()));
    }
}
