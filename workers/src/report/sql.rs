//! The statement that a report asks: the built-in one, or a user's with its placeholders filled.
//!
//! Placeholders of free SQL, each replaced by text as it stands:
//!
//! | placeholder | text |
//! |-|-|
//! | `{{database}}`, `{{table}}` | the names of `catalog` |
//! | `{{data_date}}` | the data date, `2026-11-20`: write `DATE '{{data_date}}'` |
//! | `{{start}}`, `{{end}}` | the interval in UTC, `2026-11-20 14:30:00.000`: write `TIMESTAMP '{{start}}'`; the end is exclusive |
//! | `{{where}}` | a condition that is true for exactly the interval's rows, and prunes partitions |

use jiff::Timestamp;
use jiff::tz::TimeZone;
use stockpipe_crds::pipeline::{Catalog, Interval, PartitionBy, Report, ReportQuery};
use stockpipe_crds::run_key::DataInterval;

/// Open, high, low, close, volume, VWAP and number of trades by symbol.
///
/// From the trades of the regular session where a symbol has any; else from
/// its bars, whose VWAP and number of trades are not known. The table is read once.
const DAILY_OHLCV: &str = r#"WITH ranked AS (
  SELECT symbol, kind, price, size, open, high, low, close, volume,
         row_number() OVER (PARTITION BY symbol, kind ORDER BY ts_event_ns, run, seq) AS from_first,
         row_number() OVER (PARTITION BY symbol, kind ORDER BY ts_event_ns DESC, run DESC, seq DESC) AS from_last
  FROM "{{database}}"."{{table}}"
  WHERE {{where}}
    AND (kind = 'bar' OR (kind = 'trade' AND coalesce(session, 'regular') = 'regular'))
), days AS (
  SELECT symbol,
         max(CASE WHEN from_first = 1 THEN coalesce(price, open) END) AS open,
         max(coalesce(price, high)) AS high,
         min(coalesce(price, low)) AS low,
         max(CASE WHEN from_last = 1 THEN coalesce(price, close) END) AS close,
         sum(coalesce(size, volume)) AS volume,
         sum(CASE WHEN kind = 'trade' THEN CAST(price AS double) * CAST(size AS double) END)
           / nullif(sum(CASE WHEN kind = 'trade' THEN CAST(size AS double) END), 0) AS vwap,
         sum(CASE WHEN kind = 'trade' THEN 1 END) AS trades,
         row_number() OVER (PARTITION BY symbol ORDER BY kind DESC) AS preference
  FROM ranked
  GROUP BY symbol, kind
)
SELECT symbol, open, high, low, close, volume, CAST(vwap AS decimal(18, 6)) AS vwap, trades
FROM days
WHERE preference = 1
ORDER BY symbol"#;

/// Why free SQL cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the SQL of report `{report}` has the placeholder {placeholder}: write one of {{{{database}}}}, {{{{table}}}}, \
     {{{{start}}}}, {{{{end}}}}, {{{{data_date}}}}, {{{{where}}}}"
)]
pub struct PlaceholderError {
    /// The report.
    pub report: String,
    /// The placeholder, as it stands.
    pub placeholder: String,
}

/// The statement of `report` for `interval`, whose rows have event times `event_times.0 <= t < event_times.1`.
///
/// # Errors
/// Where free SQL has a placeholder that there is not.
pub fn statement(
    report: &Report,
    interval: &DataInterval,
    event_times: (Timestamp, Timestamp),
    catalog: &Catalog,
    partition_by: PartitionBy,
) -> Result<String, PlaceholderError> {
    let pruning = pruning(event_times, partition_by);
    let template = match &report.query {
        ReportQuery::DailyOhlcv => DAILY_OHLCV,
        ReportQuery::Sql(sql) => sql,
    };
    let mut filled = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some(open) = rest.find("{{") {
        let (before, from) = rest.split_at(open);
        filled.push_str(before);
        let unknown = |placeholder: &str| PlaceholderError {
            report: report.name.clone(),
            placeholder: placeholder.to_owned(),
        };
        let close = from
            .find("}}")
            .ok_or_else(|| unknown(from.lines().next().unwrap_or_default()))?;
        let (placeholder, after) = from.split_at(close + 2);
        match placeholder[2..close].trim() {
            "database" => filled.push_str(&catalog.database),
            "table" => filled.push_str(&catalog.table),
            "data_date" => filled.push_str(&interval.data_date.to_string()),
            "start" => filled.push_str(&utc_text(interval.start)),
            "end" => filled.push_str(&utc_text(interval.end)),
            "where" => filled.push_str(&condition(report.interval, interval, pruning.as_deref())),
            _ => return Err(unknown(placeholder)),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// `2026-11-20 14:30:00.000`, as Athena's timestamps are written.
fn utc_text(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M:%S%.3f")
        .to_string()
}

/// True for exactly the rows of the interval; `pruning` reads partition keys only.
///
/// A session's rows carry its trade date, whatever their UTC day; a daily bar's
/// event time is the session's close, which no longer belongs to the interval.
fn condition(length: Interval, interval: &DataInterval, pruning: Option<&str>) -> String {
    let rows = match length {
        Interval::Session => format!("trade_date = DATE '{}'", interval.data_date),
        Interval::Day | Interval::Hour | Interval::Minute => format!(
            "ts_event_ns >= {} AND ts_event_ns < {}",
            interval.start.as_nanosecond(),
            interval.end.as_nanosecond()
        ),
    };
    match pruning {
        Some(pruning) => format!("({pruning} AND {rows})"),
        None => format!("({rows})"),
    }
}

/// A condition on the partition keys of every directory that rows of these event times may lie in.
fn pruning((first, end): (Timestamp, Timestamp), partition_by: PartitionBy) -> Option<String> {
    let last = end - jiff::SignedDuration::from_nanos(1);
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
    use std::time::Duration;
    use stockpipe_crds::pipeline::DataDate;
    use stockpipe_crds::run_key::IntervalStart;

    fn report(query: ReportQuery, interval: Interval) -> Report {
        Report {
            name: "r".into(),
            query,
            interval,
            data_date: DataDate::Session,
            schedule: None,
            deadline: Duration::from_secs(1),
            max_scanned_bytes: 1 << 30,
            catch_up: None,
        }
    }

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

    fn conditioned(length: Interval, interval: &DataInterval, partition_by: PartitionBy) -> String {
        let times = MarketSessions::parse("XNYS")
            .unwrap()
            .event_times(length, interval);
        condition(length, interval, pruning(times, partition_by).as_deref())
    }

    fn filled(report: &Report, partition_by: PartitionBy) -> Result<String, PlaceholderError> {
        let times = (session().start, session().end);
        statement(report, &session(), times, &catalog(), partition_by)
    }

    fn catalog() -> Catalog {
        Catalog {
            database: "market".into(),
            table: "ticks".into(),
        }
    }

    #[test]
    fn every_placeholder_is_filled() {
        let sql = "SELECT '{{database}}', '{{ table }}', DATE '{{data_date}}', TIMESTAMP '{{start}}', TIMESTAMP '{{end}}' WHERE {{where}}";
        let report = report(ReportQuery::Sql(sql.into()), Interval::Session);
        assert_eq!(
            filled(&report, PartitionBy::Month).unwrap(),
            "SELECT 'market', 'ticks', DATE '2026-11-20', TIMESTAMP '2026-11-20 14:30:00.000', \
             TIMESTAMP '2026-11-20 21:00:00.000' WHERE (month = '2026-11' AND trade_date = DATE '2026-11-20')"
        );
    }

    #[test]
    fn an_unknown_placeholder_is_named() {
        for (sql, named) in [("SELECT {{day}}", "{{day}}"), ("SELECT {{day\nx", "{{day")] {
            let report = report(ReportQuery::Sql(sql.into()), Interval::Day);
            let error = filled(&report, PartitionBy::Day).unwrap_err();
            assert_eq!(error.placeholder, named);
            assert!(error.to_string().contains("write one of {{database}}"));
        }
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
    fn the_built_in_report_has_no_placeholder_left() {
        let report = report(ReportQuery::DailyOhlcv, Interval::Session);
        let sql = filled(&report, PartitionBy::Hour).unwrap();
        assert!(!sql.contains("{{"));
        assert!(sql.contains(r#"FROM "market"."ticks""#));
        assert!(sql.contains("trade_date = DATE '2026-11-20'"));
    }
}
