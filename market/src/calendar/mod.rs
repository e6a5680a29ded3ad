//! Exchange sessions: on which dates a market trades, from when to when.
//!
//! Two calendars: `XNYS` (New York Stock Exchange, 1990 and later) and `24x7` (every UTC day
//! is a session). Time-zone rules come from the database built into the binary.

mod xnys;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// A market's calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Calendar {
    /// New York Stock Exchange (MIC `XNYS`): 09:30–16:00 America/New_York.
    Xnys,
    /// `24x7`: a session is a UTC day, and there is one every day.
    AlwaysOpen,
}

/// A name that is no calendar's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown calendar `{0}`; write XNYS (New York Stock Exchange) or 24x7")]
pub struct UnknownCalendar(String);

/// One session of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The exchange's date: the trade date of what happens in it.
    pub date: Date,
    /// Its first instant, nanoseconds since 1970-01-01T00:00:00Z.
    pub open_ns: i64,
    /// The instant it ends, which no longer belongs to it.
    pub close_ns: i64,
}

impl Session {
    /// Whether the instant lies in the session.
    pub fn contains(&self, ns: i64) -> bool {
        (self.open_ns..self.close_ns).contains(&ns)
    }
}

/// The last year for which sessions are computed: nanoseconds in 64 bits end in 2262.
const LAST_YEAR: i16 = 2199;

impl Calendar {
    /// Every calendar.
    pub const ALL: [Calendar; 2] = [Calendar::Xnys, Calendar::AlwaysOpen];

    /// The calendar of that name: `XNYS` or `24x7`.
    ///
    /// # Errors
    /// Where no calendar has that name.
    pub fn parse(name: &str) -> Result<Calendar, UnknownCalendar> {
        Calendar::ALL
            .into_iter()
            .find(|calendar| calendar.name() == name)
            .ok_or_else(|| UnknownCalendar(name.chars().take(32).collect()))
    }

    /// The calendar's name.
    pub const fn name(self) -> &'static str {
        match self {
            Calendar::Xnys => "XNYS",
            Calendar::AlwaysOpen => "24x7",
        }
    }

    /// The MIC of the exchange (ISO 10383), if the calendar is one's.
    pub const fn mic(self) -> Option<&'static str> {
        match self {
            Calendar::Xnys => Some("XNYS"),
            Calendar::AlwaysOpen => None,
        }
    }

    /// The zone in which the exchange's clocks and dates are.
    pub fn time_zone(self) -> TimeZone {
        static NEW_YORK: LazyLock<TimeZone> = LazyLock::new(|| {
            TimeZoneDatabase::bundled()
                .get("America/New_York")
                .expect("the bundled database has every zone")
        });
        match self {
            Calendar::Xnys => NEW_YORK.clone(),
            Calendar::AlwaysOpen => TimeZone::UTC,
        }
    }

    /// The first date that the calendar knows. Dates before it, and after the year 2199, have no
    /// session.
    pub fn first_date(self) -> Date {
        match self {
            Calendar::Xnys => Date::constant(xnys::FIRST_YEAR, 1, 1),
            Calendar::AlwaysOpen => Date::constant(1700, 1, 1),
        }
    }

    /// The last date that the calendar knows.
    pub fn last_date(self) -> Date {
        Date::constant(LAST_YEAR, 12, 31)
    }

    /// The session of a date; `None` where the market is closed all day, or the calendar does
    /// not reach.
    pub fn session(self, date: Date) -> Option<Session> {
        if date < self.first_date() || date > self.last_date() {
            return None;
        }
        let (open, close) = match self {
            Calendar::Xnys => {
                let close = xnys::close(date)?;
                (date.at(9, 30, 0, 0), date.to_datetime(close))
            }
            Calendar::AlwaysOpen => (start_of(date), start_of(next(date))),
        };
        Some(Session {
            date,
            open_ns: self.instant(open),
            close_ns: self.instant(close),
        })
    }

    /// The first session after a date.
    pub fn next_session(self, after: Date) -> Option<Session> {
        let mut date = after.max(previous(self.first_date()));
        while date < self.last_date() {
            date = next(date);
            if let Some(session) = self.session(date) {
                return Some(session);
            }
        }
        None
    }

    /// The last session before a date.
    pub fn previous_session(self, before: Date) -> Option<Session> {
        let mut date = before.min(next(self.last_date()));
        while date > self.first_date() {
            date = previous(date);
            if let Some(session) = self.session(date) {
                return Some(session);
            }
        }
        None
    }

    /// The exchange's date at an instant, session or not.
    pub fn local_date(self, ns: i64) -> Date {
        self.time_zone().to_datetime(timestamp(ns)).date()
    }

    /// The date that an instant counts for: the exchange's date if that has a session (before
    /// its open and after its close, too), else the next session's.
    ///
    /// Outside the dates that the calendar knows, it is the exchange's date.
    pub fn trade_date_at(self, ns: i64) -> Date {
        let date = self.local_date(ns);
        if date < self.first_date() || self.session(date).is_some() {
            return date;
        }
        self.next_session(date).map_or(date, |session| session.date)
    }

    /// The session that is open at an instant.
    pub fn session_at(self, ns: i64) -> Option<Session> {
        self.session(self.local_date(ns))
            .filter(|session| session.contains(ns))
    }

    /// The first session that closes after an instant: the one that is open, or the next.
    pub fn session_closing_after(self, ns: i64) -> Option<Session> {
        let date = self.local_date(ns);
        match self.session(date) {
            Some(session) if ns < session.close_ns => Some(session),
            _ => self.next_session(date),
        }
    }

    /// The newest session that had closed at an instant (closing just then counts).
    pub fn newest_closed_session(self, before_ns: i64) -> Option<Date> {
        let date = self.local_date(before_ns);
        match self.session(date) {
            Some(session) if session.close_ns <= before_ns => Some(date),
            _ => self.previous_session(date).map(|session| session.date),
        }
    }

    /// The half-open UTC range `(start_ns, end_ns)` of all instants whose
    /// [trade date](Self::trade_date_at) is the session's; `None` where the date has no session.
    ///
    /// It is what a query prunes by: from the midnight after the previous session's date to the
    /// midnight after this date, in the exchange's zone.
    pub fn window(self, date: Date) -> Option<(i64, i64)> {
        self.session(date)?;
        let first = self
            .previous_session(date)
            .map_or_else(|| self.first_date(), |session| next(session.date));
        Some((
            self.instant(start_of(first)),
            self.instant(start_of(next(date))),
        ))
    }

    /// The watermark that proves a session complete: when no tick with an event time before it
    /// is still to come, all of the session has. `None` where the date has no session.
    ///
    /// An exchange's closing status and its daily bars carry the instant of the close itself, so
    /// that it must have passed; a UTC day ends before the next begins.
    pub fn complete_at(self, date: Date) -> Option<i64> {
        let session = self.session(date)?;
        Some(match self {
            Calendar::Xnys => session.close_ns + 1,
            Calendar::AlwaysOpen => session.close_ns,
        })
    }

    /// The event time of a session's daily bar: its close, or the last nanosecond of a UTC day.
    pub fn daily_bar_at(self, date: Date) -> Option<i64> {
        self.complete_at(date).map(|ns| ns - 1)
    }

    /// The instant of a date and time of the exchange's clock. Of two instants (clocks set
    /// back) the first; for none (clocks set forward) as far after the gap.
    pub fn instant(self, local: DateTime) -> i64 {
        self.time_zone()
            .to_timestamp(local)
            .ok()
            .and_then(|instant| i64::try_from(instant.as_nanosecond()).ok())
            .unwrap_or(if local.year() < 1970 {
                i64::MIN
            } else {
                i64::MAX
            })
    }
}

impl FromStr for Calendar {
    type Err = UnknownCalendar;

    fn from_str(name: &str) -> Result<Self, UnknownCalendar> {
        Calendar::parse(name)
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn timestamp(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns)).expect("64 bits of nanoseconds are years 1677–2262")
}

fn start_of(date: Date) -> DateTime {
    date.at(0, 0, 0, 0)
}

fn next(date: Date) -> Date {
    date.tomorrow().unwrap_or(date)
}

fn previous(date: Date) -> Date {
    date.yesterday().unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    fn ns(text: &str) -> i64 {
        let instant: Timestamp = text.parse().expect("an instant");
        i64::try_from(instant.as_nanosecond()).expect("within 64 bits")
    }

    #[test]
    fn names_are_parsed_and_others_refused_with_a_sentence() {
        assert_eq!(Calendar::parse("XNYS"), Ok(Calendar::Xnys));
        assert_eq!("24x7".parse(), Ok(Calendar::AlwaysOpen));
        assert_eq!(
            Calendar::parse("XLON").map_err(|e| e.to_string()),
            Err("unknown calendar `XLON`; write XNYS (New York Stock Exchange) or 24x7".to_owned())
        );
    }

    #[test]
    fn new_york_sessions_follow_daylight_saving() {
        let winter = Calendar::Xnys
            .session(date(2026, 11, 20))
            .expect("a session");
        assert_eq!(winter.open_ns, ns("2026-11-20T14:30:00Z"));
        assert_eq!(winter.close_ns, ns("2026-11-20T21:00:00Z"));
        let summer = Calendar::Xnys.session(date(2026, 7, 1)).expect("a session");
        assert_eq!(summer.open_ns, ns("2026-07-01T13:30:00Z"));
        assert_eq!(summer.close_ns, ns("2026-07-01T20:00:00Z"));
        let half = Calendar::Xnys
            .session(date(2026, 11, 27))
            .expect("a session");
        assert_eq!(half.close_ns, ns("2026-11-27T18:00:00Z"));
    }

    #[test]
    fn a_round_the_clock_session_is_the_utc_day() {
        let day = Calendar::AlwaysOpen
            .session(date(2026, 11, 22))
            .expect("a session");
        assert_eq!(day.open_ns, ns("2026-11-22T00:00:00Z"));
        assert_eq!(day.close_ns, ns("2026-11-23T00:00:00Z"));
        assert_eq!(
            Calendar::AlwaysOpen.window(day.date),
            Some((day.open_ns, day.close_ns))
        );
        assert_eq!(
            Calendar::AlwaysOpen.complete_at(day.date),
            Some(day.close_ns)
        );
    }

    #[test]
    fn the_weekend_counts_for_monday() {
        let calendar = Calendar::Xnys;
        for (instant, trade_date) in [
            ("2026-11-20T05:00:00Z", date(2026, 11, 20)),
            ("2026-11-21T04:59:59Z", date(2026, 11, 20)),
            ("2026-11-21T05:00:00Z", date(2026, 11, 23)),
            ("2026-11-22T12:00:00Z", date(2026, 11, 23)),
            ("2026-11-26T15:00:00Z", date(2026, 11, 27)),
        ] {
            assert_eq!(calendar.trade_date_at(ns(instant)), trade_date, "{instant}");
        }
        assert_eq!(
            calendar.window(date(2026, 11, 23)),
            Some((ns("2026-11-21T05:00:00Z"), ns("2026-11-24T05:00:00Z")))
        );
        assert_eq!(calendar.window(date(2026, 11, 22)), None);
    }

    #[test]
    fn a_session_counts_as_closed_from_its_close_on() {
        let calendar = Calendar::Xnys;
        for (instant, newest) in [
            ("2026-11-20T20:59:59.999999999Z", date(2026, 11, 19)),
            ("2026-11-20T21:00:00Z", date(2026, 11, 20)),
            ("2026-11-23T14:00:00Z", date(2026, 11, 20)),
            ("2026-11-26T22:00:00Z", date(2026, 11, 25)),
        ] {
            assert_eq!(
                calendar.newest_closed_session(ns(instant)),
                Some(newest),
                "{instant}"
            );
        }
        assert_eq!(
            Calendar::AlwaysOpen.newest_closed_session(ns("2026-11-22T00:00:00Z")),
            Some(date(2026, 11, 21))
        );
    }

    #[test]
    fn the_next_session_to_close_is_the_open_one_or_the_next() {
        let calendar = Calendar::Xnys;
        for (instant, session) in [
            ("2026-11-20T12:00:00Z", date(2026, 11, 20)),
            ("2026-11-20T20:59:59Z", date(2026, 11, 20)),
            ("2026-11-20T21:00:00Z", date(2026, 11, 23)),
            ("2026-11-22T12:00:00Z", date(2026, 11, 23)),
        ] {
            let found = calendar
                .session_closing_after(ns(instant))
                .expect("a session");
            assert_eq!(found.date, session, "{instant}");
        }
    }

    #[test]
    fn dates_beyond_the_calendar_have_no_session() {
        for calendar in Calendar::ALL {
            for date in [Date::MIN, date(1699, 12, 31), date(2200, 1, 3), Date::MAX] {
                assert_eq!(calendar.session(date), None);
                assert_eq!(calendar.window(date), None);
            }
            assert_eq!(calendar.next_session(Date::MAX), None);
            assert_eq!(calendar.previous_session(Date::MIN), None);
            assert!(calendar.next_session(Date::MIN).is_some());
            assert!(calendar.previous_session(Date::MAX).is_some());
            calendar.trade_date_at(i64::MIN);
            calendar.trade_date_at(i64::MAX);
        }
        assert_eq!(Calendar::Xnys.session(date(1989, 12, 29)), None);
    }

    proptest! {
        #[test]
        fn windows_tile_time_and_hold_exactly_their_trade_date(
            at in 631_152_000_i64..2_082_758_400, nanosecond in 0_i64..1_000_000_000,
        ) {
            let ns = at * 1_000_000_000 + nanosecond;
            for calendar in Calendar::ALL {
                let date = calendar.trade_date_at(ns);
                let (start, end) = calendar.window(date).expect("a trade date has a session");
                prop_assert!(start <= ns && ns < end);
                prop_assert_eq!(calendar.trade_date_at(start), date);
                prop_assert_eq!(calendar.trade_date_at(end - 1), date);
                let following = calendar.next_session(date).expect("a session");
                prop_assert_eq!(calendar.trade_date_at(end), following.date);
                prop_assert_eq!(calendar.window(following.date).expect("a session").0, end);
                let session = calendar.session(date).expect("a session");
                prop_assert!(start <= session.open_ns && session.close_ns <= end);
                prop_assert_eq!(calendar.session_at(session.open_ns), Some(session));
                prop_assert_eq!(
                    calendar.previous_session(following.date).expect("a session"), session
                );
            }
        }
    }
}
