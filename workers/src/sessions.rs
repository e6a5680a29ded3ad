//! The market's calendar as runs and reports need it.

use jiff::Timestamp;
use jiff::civil::Date;
use stockpipe_crds::pipeline::{Interval, Market};
use stockpipe_crds::run_key::{DataInterval, Sessions};
use stockpipe_market::calendar::Calendar;

pub use stockpipe_market::calendar::UnknownCalendar;

/// The sessions of a calendar.
#[derive(Clone, Copy, Debug)]
pub struct MarketSessions(Calendar);

impl MarketSessions {
    /// The sessions of a pipeline's market.
    ///
    /// # Panics
    /// Never for a resolved pipeline: `crds` refuses a calendar that is not known.
    #[must_use]
    pub fn of(market: &Market) -> Self {
        Self::parse(&market.calendar).expect("a resolved pipeline has a known calendar")
    }

    /// The sessions of the calendar `name`.
    ///
    /// # Errors
    /// Where there is no such calendar.
    pub fn parse(name: &str) -> Result<Self, UnknownCalendar> {
        Calendar::parse(name).map(Self)
    }

    /// The calendar.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        self.0
    }

    /// The least watermark that proves every row of `interval` landed.
    #[must_use]
    pub fn complete_at(&self, length: Interval, interval: &DataInterval) -> Timestamp {
        match length {
            Interval::Session => self
                .0
                .complete_at(interval.data_date)
                .map_or(interval.end, timestamp),
            Interval::Minute | Interval::Hour | Interval::Day => interval.end,
        }
    }

    /// The event times `first <= t < end` that rows of `interval` may have: for a session also
    /// those before its open and after its close.
    #[must_use]
    pub fn event_times(&self, length: Interval, interval: &DataInterval) -> (Timestamp, Timestamp) {
        match length {
            Interval::Session => self
                .0
                .window(interval.data_date)
                .map_or((interval.start, interval.end), |(first, end)| {
                    (timestamp(first), timestamp(end))
                }),
            Interval::Minute | Interval::Hour | Interval::Day => (interval.start, interval.end),
        }
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
    use jiff::civil::date;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_calendars_that_the_spec_takes_are_those_there_are() {
        let names = Calendar::ALL.map(Calendar::name);
        assert_eq!(stockpipe_crds::CALENDARS, names);
    }

    #[test]
    fn a_session_in_new_york_is_its_hours_and_a_holiday_has_none() {
        let sessions = MarketSessions::parse("XNYS").unwrap();
        assert_eq!(
            sessions.window(date(2026, 11, 20)),
            Some((at("2026-11-20T14:30:00Z"), at("2026-11-20T21:00:00Z")))
        );
        assert_eq!(sessions.window(date(2026, 11, 26)), None);
        assert_eq!(sessions.containing(at("2026-11-26T15:00:00Z")), None);
        // Before the open the exchange's day is the session's already.
        assert_eq!(
            sessions.containing(at("2026-11-20T10:00:00Z")),
            Some(date(2026, 11, 20))
        );
        assert_eq!(
            sessions.newest_closed(at("2026-11-20T21:00:00Z")),
            Some(date(2026, 11, 20))
        );
    }

    #[test]
    fn a_session_is_complete_only_after_its_closing_instant_and_is_looked_for_by_trade_date() {
        let sessions = MarketSessions::parse("XNYS").unwrap();
        let friday = DataInterval::of_key(
            stockpipe_crds::run_key::IntervalStart::Date(date(2026, 11, 20)),
            Interval::Session,
            &sessions,
        )
        .unwrap();
        let complete = sessions.complete_at(Interval::Session, &friday);
        assert!(complete > at("2026-11-20T21:00:00Z"));
        assert!(complete < at("2026-11-20T21:00:01Z"));
        let (first, end) = sessions.event_times(Interval::Session, &friday);
        assert!(first < friday.start && end > friday.end);
    }

    #[test]
    fn around_the_clock_the_days_are_the_sessions() {
        let sessions = MarketSessions::parse("24x7").unwrap();
        let window = (at("2026-11-21T00:00:00Z"), at("2026-11-22T00:00:00Z"));
        assert_eq!(sessions.window(date(2026, 11, 21)), Some(window));
        assert_eq!(
            sessions.newest_closed(at("2026-11-22T00:00:00Z")),
            Some(date(2026, 11, 21))
        );
    }
}
