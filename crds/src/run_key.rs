//! Run keys: the name of every scheduled run, and which data it covers.
//!
//! `<kind>/<name>@<interval start>`: `report/daily-ohlcv@2026-11-20` for a
//! session or day, `report/rates@2026-11-20T1500Z` for an hour or minute. Two
//! schedule times that map to one key are one run.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::names::ReportName;
use crate::pipeline::{DataDate, Interval};

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunKind {
    /// A report.
    Report,
    /// A transform.
    Transform,
    /// A crawl.
    Crawl,
}

impl RunKind {
    /// The word in a run key.
    pub fn as_str(self) -> &'static str {
        match self {
            RunKind::Report => "report",
            RunKind::Transform => "transform",
            RunKind::Crawl => "crawl",
        }
    }
}

/// Name of a pipeline's one crawl, in its run keys: `crawl/ticks@…`.
pub const CRAWL: &str = "ticks";

/// First instant of a run's data interval, as its key writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntervalStart {
    /// A session's or UTC day's date.
    Date(Date),
    /// A whole minute, UTC.
    Minute(Timestamp),
}

/// Names one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunKey {
    kind: RunKind,
    name: String,
    start: IntervalStart,
}

/// Text that is no run key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a run key; write for instance report/daily-ohlcv@2026-11-20 or report/rates@2026-11-20T1500Z"
)]
pub struct RunKeyError {
    text: String,
}

impl RunKey {
    /// Names the run of `name` over the interval that starts at `start`.
    ///
    /// # Errors
    /// `name` is not a report's name, or `start` is not a whole minute.
    pub fn new(kind: RunKind, name: &str, start: IntervalStart) -> Result<Self, RunKeyError> {
        let whole = match start {
            IntervalStart::Date(_) => true,
            IntervalStart::Minute(at) => at.as_nanosecond() % 60_000_000_000 == 0,
        };
        let key = RunKey {
            kind,
            name: name.to_owned(),
            start,
        };
        if whole && ReportName::new(name).is_ok() {
            Ok(key)
        } else {
            Err(RunKeyError {
                text: key.to_string(),
            })
        }
    }

    /// Names the crawl that was due at `at`: each minute is a run of its own, as
    /// a crawl covers no interval but all that has landed.
    ///
    /// # Panics
    /// Never: a minute's start is a whole minute.
    pub fn crawl(at: Timestamp) -> Self {
        let second = at.as_second();
        let minute = Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at);
        RunKey {
            kind: RunKind::Crawl,
            name: CRAWL.to_owned(),
            start: IntervalStart::Minute(minute),
        }
    }

    /// What runs.
    pub fn kind(&self) -> RunKind {
        self.kind
    }

    /// Name of the report or transform.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the data interval starts.
    pub fn start(&self) -> IntervalStart {
        self.start
    }
}

impl fmt::Display for IntervalStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntervalStart::Date(date) => write!(f, "{date}"),
            IntervalStart::Minute(at) => {
                let at = at.to_zoned(TimeZone::UTC);
                write!(f, "{}T{:02}{:02}Z", at.date(), at.hour(), at.minute())
            }
        }
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.kind.as_str(), self.name, self.start)
    }
}

impl FromStr for RunKey {
    type Err = RunKeyError;

    fn from_str(text: &str) -> Result<Self, RunKeyError> {
        let parse = || {
            let (kind, rest) = text.split_once('/')?;
            let (name, start) = rest.split_once('@')?;
            let kind = [RunKind::Report, RunKind::Transform, RunKind::Crawl]
                .into_iter()
                .find(|known| known.as_str() == kind)?;
            Some(RunKey::new(kind, name, parse_start(start)?))
        };
        match parse() {
            // Only one spelling of each key: it is also an object's name.
            Some(Ok(key)) if key.to_string() == text => Ok(key),
            _ => Err(RunKeyError {
                text: text.to_owned(),
            }),
        }
    }
}

fn parse_start(text: &str) -> Option<IntervalStart> {
    let Some((date, time)) = text.split_once('T') else {
        return text.parse().ok().map(IntervalStart::Date);
    };
    let digits = time.strip_suffix('Z').filter(|time| time.len() == 4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let date: Date = date.parse().ok()?;
    let hour = digits[..2].parse().ok()?;
    let minute = digits[2..].parse().ok()?;
    let at = jiff::civil::Time::new(hour, minute, 0, 0).ok()?;
    let zoned = TimeZone::UTC.to_zoned(date.to_datetime(at)).ok()?;
    Some(IntervalStart::Minute(zoned.timestamp()))
}

impl TryFrom<String> for RunKey {
    type Error = RunKeyError;

    fn try_from(text: String) -> Result<Self, RunKeyError> {
        text.parse()
    }
}

impl From<RunKey> for String {
    fn from(key: RunKey) -> String {
        key.to_string()
    }
}

/// The sessions of a market, as far as runs need them. A market that never
/// closes has the UTC days as its sessions.
pub trait Sessions {
    /// Trade date of the newest session that had closed at `at` (a session
    /// that closes at that instant has closed).
    fn newest_closed(&self, at: Timestamp) -> Option<Date>;

    /// The session of the exchange's local day that holds `at`, if that day has
    /// one.
    fn containing(&self, at: Timestamp) -> Option<Date>;

    /// First instant of the session of `date`, and the first instant after it.
    fn window(&self, date: Date) -> Option<(Timestamp, Timestamp)>;
}

/// The data that one run covers: instants `start <= t < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataInterval {
    /// As the run key writes it.
    pub key_start: IntervalStart,
    /// The data date: the session's, or the UTC date of the first instant.
    pub data_date: Date,
    /// First instant.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
}

impl DataInterval {
    /// The interval that a run scheduled for `at` covers, or `None` where the
    /// calendar knows no session before `at`.
    ///
    /// `DataDate::Session` is the newest session that had closed; for a `Day`
    /// its date, and for an `Hour` or `Minute` the previous full one. `SameDay`
    /// holds `at` (on a day without a session, the newest that had closed);
    /// `Previous` is the one before that.
    pub fn scheduled(
        at: Timestamp,
        length: Interval,
        rule: DataDate,
        sessions: &dyn Sessions,
    ) -> Option<Self> {
        let utc = at.to_zoned(TimeZone::UTC);
        match (length, rule) {
            (Interval::Session, DataDate::Session) => {
                Self::session(sessions.newest_closed(at)?, sessions)
            }
            (Interval::Session, _) => {
                let same = sessions
                    .containing(at)
                    .or_else(|| sessions.newest_closed(at))?;
                if rule == DataDate::SameDay {
                    return Self::session(same, sessions);
                }
                let (start, _) = sessions.window(same)?;
                Self::session(sessions.newest_closed(start)?, sessions)
            }
            (Interval::Day, DataDate::Session) => Self::day(sessions.newest_closed(at)?),
            (Interval::Day, DataDate::SameDay) => Self::day(utc.date()),
            (Interval::Day, DataDate::Previous) => Self::day(utc.date().yesterday().ok()?),
            (Interval::Hour, _) => Self::minutes(at, 60, rule),
            (Interval::Minute, _) => Self::minutes(at, 1, rule),
        }
    }

    /// The interval that a run key names, or `None` where `length` and the
    /// key's form differ or the calendar has no such session.
    pub fn of_key(start: IntervalStart, length: Interval, sessions: &dyn Sessions) -> Option<Self> {
        match (start, length) {
            (IntervalStart::Date(date), Interval::Session) => Self::session(date, sessions),
            (IntervalStart::Date(date), Interval::Day) => Self::day(date),
            (IntervalStart::Minute(at), Interval::Hour) if at.as_second() % 3_600 == 0 => {
                Self::minutes(at, 60, DataDate::SameDay)
            }
            (IntervalStart::Minute(at), Interval::Minute) => {
                Self::minutes(at, 1, DataDate::SameDay)
            }
            _ => None,
        }
    }

    fn session(date: Date, sessions: &dyn Sessions) -> Option<Self> {
        let (start, end) = sessions.window(date)?;
        Some(DataInterval {
            key_start: IntervalStart::Date(date),
            data_date: date,
            start,
            end,
        })
    }

    fn day(date: Date) -> Option<Self> {
        let midnight = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
        Some(DataInterval {
            key_start: IntervalStart::Date(date),
            data_date: date,
            start: midnight(date)?,
            end: midnight(date.checked_add(1.day()).ok()?)?,
        })
    }

    fn minutes(at: Timestamp, minutes: i64, rule: DataDate) -> Option<Self> {
        let length = minutes * 60;
        let second = at.as_second();
        let same = second - second.rem_euclid(length);
        let start = match rule {
            DataDate::SameDay => same,
            // The previous full interval is the one before that holds `at`.
            DataDate::Session | DataDate::Previous => same - length,
        };
        let start = Timestamp::from_second(start).ok()?;
        Some(DataInterval {
            key_start: IntervalStart::Minute(start),
            data_date: start.to_zoned(TimeZone::UTC).date(),
            start,
            end: start.checked_add(SignedDuration::from_secs(length)).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{Weekday, date};

    /// Weekdays but 2026-11-26, 09:30 to 16:00 in New York.
    struct NewYork;

    impl NewYork {
        fn trades(day: Date) -> bool {
            day != date(2026, 11, 26)
                && !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
        }

        fn zone() -> TimeZone {
            TimeZone::get("America/New_York").unwrap()
        }
    }

    impl Sessions for NewYork {
        fn newest_closed(&self, at: Timestamp) -> Option<Date> {
            let mut day = at.to_zoned(Self::zone()).date();
            for _ in 0..10 {
                if self.window(day).is_some_and(|(_, close)| close <= at) {
                    return Some(day);
                }
                day = day.yesterday().ok()?;
            }
            None
        }

        fn containing(&self, at: Timestamp) -> Option<Date> {
            Some(at.to_zoned(Self::zone()).date()).filter(|day| Self::trades(*day))
        }

        fn window(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
            let at = |hour, minute| {
                Some(
                    Self::zone()
                        .to_zoned(day.at(hour, minute, 0, 0))
                        .ok()?
                        .timestamp(),
                )
            };
            Self::trades(day).then_some((at(9, 30)?, at(16, 0)?))
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn keys_are_written_and_read_back() {
        for text in [
            "report/daily-ohlcv@2026-11-20",
            "transform/bars@2026-11-20T1500Z",
            "crawl/ticks@2026-11-20T0007Z",
        ] {
            let key: RunKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<RunKey>(&json).unwrap(), key);
        }
    }

    #[test]
    fn a_crawl_is_named_after_the_minute_in_which_it_was_due() {
        let key = RunKey::crawl(at("2026-11-20T00:07:59.5Z"));
        assert_eq!(key.to_string(), "crawl/ticks@2026-11-20T0007Z");
        assert_eq!("crawl/ticks@2026-11-20T0007Z".parse(), Ok(key));
    }

    #[test]
    fn other_spellings_are_no_keys() {
        for text in [
            "",
            "report",
            "report/daily-ohlcv",
            "report/daily-ohlcv@",
            "report/daily-ohlcv@20261120",
            "report/daily-ohlcv@2026-11-31",
            "report/daily-ohlcv@2026-11-20T15:00Z",
            "report/daily-ohlcv@2026-11-20T1560Z",
            "report/daily-ohlcv@2026-11-20T2500Z",
            "report/daily-ohlcv@2026-11-20T15é0Z",
            "query/daily-ohlcv@2026-11-20",
            "report/Daily@2026-11-20",
            "report/../x@2026-11-20",
        ] {
            let error = text.parse::<RunKey>().unwrap_err().to_string();
            assert!(error.contains("is not a run key; write"), "{text}: {error}");
        }
        assert!(
            RunKey::new(
                RunKind::Report,
                "x",
                IntervalStart::Minute(at("2026-11-20T15:00:30Z"))
            )
            .is_err()
        );
    }

    #[test]
    fn schedule_times_map_to_intervals() {
        use DataDate::{Previous, SameDay, Session};
        use Interval::{Day, Hour, Minute};
        let session = Interval::Session;
        for (when, length, rule, key, start, end) in [
            // Half an hour after Friday's close.
            (
                "2026-11-20T21:30:00Z",
                session,
                Session,
                "2026-11-20",
                "2026-11-20T14:30:00Z",
                "2026-11-20T21:00:00Z",
            ),
            // At the close itself.
            (
                "2026-11-20T21:00:00Z",
                session,
                Session,
                "2026-11-20",
                "2026-11-20T14:30:00Z",
                "2026-11-20T21:00:00Z",
            ),
            // Before Friday's close, Thursday's is the newest.
            (
                "2026-11-20T20:59:59Z",
                session,
                Session,
                "2026-11-19",
                "2026-11-19T14:30:00Z",
                "2026-11-19T21:00:00Z",
            ),
            // On a Sunday and on a holiday.
            (
                "2026-11-22T12:00:00Z",
                session,
                Session,
                "2026-11-20",
                "2026-11-20T14:30:00Z",
                "2026-11-20T21:00:00Z",
            ),
            (
                "2026-11-26T21:30:00Z",
                session,
                Session,
                "2026-11-25",
                "2026-11-25T14:30:00Z",
                "2026-11-25T21:00:00Z",
            ),
            (
                "2026-11-20T15:00:00Z",
                session,
                SameDay,
                "2026-11-20",
                "2026-11-20T14:30:00Z",
                "2026-11-20T21:00:00Z",
            ),
            (
                "2026-11-26T15:00:00Z",
                session,
                SameDay,
                "2026-11-25",
                "2026-11-25T14:30:00Z",
                "2026-11-25T21:00:00Z",
            ),
            (
                "2026-11-23T21:30:00Z",
                session,
                Previous,
                "2026-11-20",
                "2026-11-20T14:30:00Z",
                "2026-11-20T21:00:00Z",
            ),
            (
                "2026-11-22T12:00:00Z",
                Day,
                Session,
                "2026-11-20",
                "2026-11-20T00:00:00Z",
                "2026-11-21T00:00:00Z",
            ),
            (
                "2026-11-22T12:00:00Z",
                Day,
                SameDay,
                "2026-11-22",
                "2026-11-22T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
            (
                "2026-11-22T12:00:00Z",
                Day,
                Previous,
                "2026-11-21",
                "2026-11-21T00:00:00Z",
                "2026-11-22T00:00:00Z",
            ),
            (
                "2026-11-20T15:10:00Z",
                Hour,
                Session,
                "2026-11-20T1400Z",
                "2026-11-20T14:00:00Z",
                "2026-11-20T15:00:00Z",
            ),
            (
                "2026-11-20T15:10:00Z",
                Hour,
                SameDay,
                "2026-11-20T1500Z",
                "2026-11-20T15:00:00Z",
                "2026-11-20T16:00:00Z",
            ),
            (
                "2026-11-20T00:10:00Z",
                Hour,
                Previous,
                "2026-11-19T2300Z",
                "2026-11-19T23:00:00Z",
                "2026-11-20T00:00:00Z",
            ),
            (
                "2026-11-20T15:10:00Z",
                Minute,
                Session,
                "2026-11-20T1509Z",
                "2026-11-20T15:09:00Z",
                "2026-11-20T15:10:00Z",
            ),
        ] {
            let interval = DataInterval::scheduled(at(when), length, rule, &NewYork).unwrap();
            let seen = (
                interval.key_start.to_string(),
                interval.start.to_string(),
                interval.end.to_string(),
            );
            assert_eq!(
                seen,
                (key.to_owned(), start.to_owned(), end.to_owned()),
                "{when} {length:?} {rule:?}"
            );
            assert_eq!(
                DataInterval::of_key(interval.key_start, length, &NewYork),
                Some(interval)
            );
        }
    }

    #[test]
    fn a_key_of_another_form_or_of_a_holiday_has_no_interval() {
        let hour = IntervalStart::Minute(at("2026-11-20T15:00:00Z"));
        let half = IntervalStart::Minute(at("2026-11-20T15:30:00Z"));
        let holiday = IntervalStart::Date(date(2026, 11, 26));
        for (start, length) in [
            (hour, Interval::Day),
            (half, Interval::Hour),
            (holiday, Interval::Session),
            (holiday, Interval::Minute),
        ] {
            assert_eq!(DataInterval::of_key(start, length, &NewYork), None);
        }
    }

    #[test]
    fn two_firings_of_a_repeated_hour_are_one_run() {
        // 01:30 comes twice on 2026-11-01 in New York.
        let cron: crate::cron::Cron = "30 1 * * *".parse().unwrap();
        let first = cron
            .next(at("2026-11-01T04:00:00Z"), &NewYork::zone())
            .unwrap();
        let second = cron.next(first, &NewYork::zone()).unwrap();
        assert_eq!(second.duration_since(first).as_hours(), 1);
        let key = |when| {
            DataInterval::scheduled(when, Interval::Session, DataDate::Session, &NewYork)
                .unwrap()
                .key_start
        };
        assert_eq!(key(first), key(second));
    }
}
