//! The conditions that a statement puts on rows and on the directories that they lie in.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::pipeline::{Interval, PartitionBy, Source};
use stockpipe_crds::run_key::DataInterval;

use crate::ledger::Period;

/// How long after its event a tick may be told: its number then stands among those of a later interval.
pub(super) fn beside(source: &Source) -> SignedDuration {
    match source {
        // Prints that a venue reports late, and what a feed sends again after a connection was lost.
        Source::Live(_) => SignedDuration::from_hours(24),
        // The simulator's are late by at most a minute, and files are told in their order.
        _ => SignedDuration::from_secs(60),
    }
}

/// Event times `first <= t < end`.
pub(super) type EventTimes = (Timestamp, Timestamp);

/// True for exactly the rows of the interval; reads no partition key.
///
/// A session's rows carry its trade date, whatever their UTC day; a daily bar's
/// event time is the session's close, which no longer belongs to the interval.
pub(super) fn inside(length: Interval, interval: &DataInterval) -> String {
    match length {
        Interval::Session => format!("trade_date = DATE '{}'", interval.data_date),
        Interval::Day | Interval::Hour | Interval::Minute => {
            event_times((interval.start, interval.end))
        }
    }
}

/// [`inside`], with a condition that prunes partitions.
pub(super) fn rows(
    length: Interval,
    interval: &DataInterval,
    times: EventTimes,
    by: PartitionBy,
) -> String {
    pruned(pruning(times, by), inside(length, interval))
}

/// A condition of this module on a table that has nothing but strings: cast, its columns are right there, and in a
/// query that has cast them.
pub(super) fn of_strings(condition: &str) -> String {
    condition
        .replace("trade_date", "CAST(trade_date AS date)")
        .replace("ts_event_ns", "CAST(ts_event_ns AS bigint)")
}

/// [`rows`], and those of the interval before, where there is one.
pub(super) fn rows_of_two(
    length: Interval,
    [interval, previous]: [&DataInterval; 2],
    [times, previous_times]: [EventTimes; 2],
    by: PartitionBy,
) -> String {
    let directories = pruning(times, by)
        .zip(pruning(previous_times, by))
        .map(|(now, before)| format!("(({now}) OR ({before}))"));
    let rows = format!(
        "({} OR {})",
        inside(length, interval),
        inside(length, previous)
    );
    pruned(directories, rows)
}

/// [`rows`], and those that are so near beside them.
pub(super) fn rows_around(
    length: Interval,
    interval: &DataInterval,
    times: EventTimes,
    beside: SignedDuration,
    by: PartitionBy,
) -> String {
    let wide = widened(times, beside);
    let rows = match length {
        Interval::Session => format!("({} OR ({}))", inside(length, interval), event_times(wide)),
        Interval::Day | Interval::Hour | Interval::Minute => event_times(wide),
    };
    pruned(pruning(wide, by), rows)
}

/// True for every row of the directories that the interval's rows lie in, and of those that are so near beside them.
pub(super) fn directories_around(
    times: EventTimes,
    beside: SignedDuration,
    by: PartitionBy,
) -> String {
    match pruning(widened(times, beside), by) {
        Some(directories) => format!("({directories})"),
        None => "(1 = 1)".to_owned(),
    }
}

/// The period of a row as [`periods`] names it, in SQL.
pub(super) fn period_of_row(by: PartitionBy) -> &'static str {
    match by {
        PartitionBy::None => "'all'",
        PartitionBy::Year => "'year=' || year",
        PartitionBy::Month => "'month=' || month",
        PartitionBy::Day => "'dt=' || dt",
        PartitionBy::Hour => "'dt=' || dt || '/hour=' || hour",
    }
}

/// The periods that hold these event times, oldest first; none where the table has no periods.
pub(super) fn periods((first, end): EventTimes, by: PartitionBy) -> Vec<Period> {
    let ns = |at: Timestamp| i64::try_from(at.as_nanosecond()).ok();
    let (Some(first), Some(end)) = (ns(first), ns(end)) else {
        return Vec::new();
    };
    let first = Period::of(by, first);
    std::iter::successors(first, |period| Some(period.next()))
        .take_while(|period| period.start_ns() < end)
        .collect()
}

fn widened((first, end): EventTimes, beside: SignedDuration) -> EventTimes {
    (
        first.checked_sub(beside).unwrap_or(first),
        end.checked_add(beside).unwrap_or(end),
    )
}

fn event_times((first, end): EventTimes) -> String {
    format!(
        "ts_event_ns >= {} AND ts_event_ns < {}",
        first.as_nanosecond(),
        end.as_nanosecond()
    )
}

fn pruned(directories: Option<String>, rows: String) -> String {
    match directories {
        Some(directories) => format!("({directories} AND {rows})"),
        None => format!("({rows})"),
    }
}

/// A condition on the partition keys of every directory that rows of these event times may lie in.
fn pruning((first, end): EventTimes, partition_by: PartitionBy) -> Option<String> {
    let last = end - SignedDuration::from_nanos(1);
    let text = |at: Timestamp, format: &str| -> String {
        at.to_zoned(TimeZone::UTC).strftime(format).to_string()
    };
    let between = |key: &str, format: &str| {
        let (from, to) = (text(first, format), text(last, format));
        if from == to {
            format!("{key} = '{from}'")
        } else {
            format!("{key} BETWEEN '{from}' AND '{to}'")
        }
    };
    match partition_by {
        PartitionBy::None => None,
        PartitionBy::Year => Some(between("year", "%Y")),
        PartitionBy::Month => Some(between("month", "%Y-%m")),
        PartitionBy::Day => Some(between("dt", "%Y-%m-%d")),
        PartitionBy::Hour => {
            let (day1, day2) = (text(first, "%Y-%m-%d"), text(last, "%Y-%m-%d"));
            let (hour1, hour2) = (text(first, "%H"), text(last, "%H"));
            Some(if day1 == day2 {
                format!("dt = '{day1}' AND {}", between("hour", "%H"))
            } else {
                format!(
                    "dt BETWEEN '{day1}' AND '{day2}' AND (dt > '{day1}' OR hour >= '{hour1}') \
                     AND (dt < '{day2}' OR hour <= '{hour2}')"
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::MarketSessions;
    use jiff::civil::date;
    use stockpipe_crds::run_key::IntervalStart;

    fn interval(start: &str, end: &str) -> DataInterval {
        DataInterval {
            key_start: IntervalStart::Date(date(2026, 11, 20)),
            data_date: date(2026, 11, 20),
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
        }
    }

    fn session() -> DataInterval {
        interval("2026-11-20T14:30:00Z", "2026-11-20T21:00:00Z")
    }

    fn times(length: Interval, interval: &DataInterval) -> EventTimes {
        MarketSessions::parse("XNYS")
            .unwrap()
            .event_times(length, interval)
    }

    fn conditioned(length: Interval, interval: &DataInterval, by: PartitionBy) -> String {
        rows(length, interval, times(length, interval), by)
    }

    #[test]
    fn a_session_is_its_trade_date_and_its_partitions_are_pruned_by_utc() {
        assert_eq!(
            conditioned(Interval::Session, &session(), PartitionBy::Hour),
            "(dt BETWEEN '2026-11-20' AND '2026-11-21' AND (dt > '2026-11-20' OR hour >= '05') \
             AND (dt < '2026-11-21' OR hour <= '04') AND trade_date = DATE '2026-11-20')"
        );
        assert_eq!(
            conditioned(Interval::Session, &session(), PartitionBy::None),
            "(trade_date = DATE '2026-11-20')"
        );
    }

    #[test]
    fn an_hour_is_one_directory_and_its_end_is_exclusive() {
        let hour = interval("2026-11-20T15:00:00Z", "2026-11-20T16:00:00Z");
        assert_eq!(
            conditioned(Interval::Hour, &hour, PartitionBy::Hour),
            "(dt = '2026-11-20' AND hour = '15' AND ts_event_ns >= 1795186800000000000 AND ts_event_ns < 1795190400000000000)"
        );
        let day = interval("2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z");
        assert!(
            conditioned(Interval::Day, &day, PartitionBy::Year).starts_with("(year = '2026' AND")
        );
    }

    #[test]
    fn what_lies_around_an_hour_is_a_minute_more_and_the_directories_that_hold_it() {
        let hour = interval("2026-11-20T15:00:00Z", "2026-11-20T16:00:00Z");
        let around = rows_around(
            Interval::Hour,
            &hour,
            times(Interval::Hour, &hour),
            SignedDuration::from_secs(60),
            PartitionBy::Hour,
        );
        assert_eq!(
            around,
            "(dt = '2026-11-20' AND hour BETWEEN '14' AND '16' AND ts_event_ns >= 1795186740000000000 \
             AND ts_event_ns < 1795190460000000000)"
        );
    }

    #[test]
    fn two_intervals_are_pruned_apart_from_their_rows() {
        let monday = DataInterval {
            data_date: date(2026, 11, 23),
            ..interval("2026-11-23T14:30:00Z", "2026-11-23T21:00:00Z")
        };
        let both = rows_of_two(
            Interval::Session,
            [&monday, &session()],
            [
                times(Interval::Session, &monday),
                times(Interval::Session, &session()),
            ],
            PartitionBy::Day,
        );
        assert_eq!(
            both,
            "(((dt BETWEEN '2026-11-21' AND '2026-11-24') OR (dt BETWEEN '2026-11-20' AND '2026-11-21')) \
             AND (trade_date = DATE '2026-11-23' OR trade_date = DATE '2026-11-20'))"
        );
    }

    #[test]
    fn the_periods_of_a_day_are_its_directories() {
        let day = interval("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
        let hours = periods((day.start, day.end), PartitionBy::Hour);
        assert_eq!(hours.len(), 24);
        assert_eq!(hours[23].to_string(), "dt=2026-11-20/hour=23");
        assert_eq!(periods((day.start, day.end), PartitionBy::Day).len(), 1);
        assert!(periods((day.start, day.end), PartitionBy::None).is_empty());
    }
}
