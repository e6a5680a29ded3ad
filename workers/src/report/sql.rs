//! The statement that a report asks: a built-in one, or a user's, with its placeholders filled.
//!
//! Placeholders of free SQL, each replaced by text as it stands:
//!
//! | placeholder | text |
//! |-|-|
//! | `{{database}}`, `{{table}}` | the names of `catalog` |
//! | `{{ticks}}` | the table with its types: its name, or in a lake of CSV a subquery that casts |
//! | `{{data_date}}` | the data date, `2026-11-20`: write `DATE '{{data_date}}'` |
//! | `{{start}}`, `{{end}}` | the interval in UTC, `2026-11-20 14:30:00.000`: write `TIMESTAMP '{{start}}'`; the end is exclusive |
//! | `{{where}}` | a condition that is true for exactly the interval's rows, and prunes partitions |
//!
//! Built-in reports have more of them: see [`super::builtin`].

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::pipeline::{
    BuiltinReport, Catalog, DataDate, Format, Interval, PartitionBy, Pipeline,
};
use stockpipe_crds::pipeline::{Report, ReportQuery, Source};
use stockpipe_crds::run_key::DataInterval;
use stockpipe_market::calendar::Calendar;
use stockpipe_market::simulator::universe;

use super::builtin::{self, ClaimedPeriod};
use super::condition::{self, EventTimes};
use super::relation;
use crate::ledger::Period;
use crate::sessions::MarketSessions;

/// Sessions a year of an exchange, as volatility is quoted; a market that never closes has days.
const SESSIONS_A_YEAR: u32 = 252;
const DAYS_A_YEAR: u32 = 365;

/// Why free SQL cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the SQL of report `{report}` has the placeholder {placeholder}: write one of {{{{database}}}}, {{{{table}}}}, \
     {{{{ticks}}}}, {{{{start}}}}, {{{{end}}}}, {{{{data_date}}}}, {{{{where}}}}"
)]
pub struct PlaceholderError {
    /// The report.
    pub report: String,
    /// The placeholder, as it stands.
    pub placeholder: String,
}

/// What a run asks, but for what only the ledger tells.
#[derive(Clone, Debug)]
pub(super) struct Question {
    name: String,
    query: ReportQuery,
    length: Interval,
    interval: DataInterval,
    /// The interval's rows have these event times.
    times: EventTimes,
    /// The interval before, and the event times of its rows.
    previous: Option<(DataInterval, EventTimes)>,
    catalog: Catalog,
    format: Format,
    partition_by: PartitionBy,
    /// How long after its event a tick may be told.
    beside: SignedDuration,
    /// Symbols of which ticks are expected.
    listed: Vec<String>,
    /// How many such intervals a year has.
    intervals_a_year: Option<u32>,
}

impl Question {
    /// The question of `report` for `interval`.
    pub(super) fn new(
        pipeline: &Pipeline,
        report: &Report,
        interval: DataInterval,
        sessions: &MarketSessions,
    ) -> Self {
        let length = report.interval;
        let previous = DataInterval::scheduled(interval.start, length, DataDate::Session, sessions)
            .map(|previous| (previous, sessions.event_times(length, &previous)));
        Self {
            name: report.name.clone(),
            query: report.query.clone(),
            length,
            interval,
            times: sessions.event_times(length, &interval),
            previous,
            catalog: pipeline.catalog.clone(),
            format: pipeline.lake.format,
            partition_by: pipeline.lake.partition_by,
            beside: condition::beside(&pipeline.source),
            listed: listed(pipeline),
            intervals_a_year: intervals_a_year(length, sessions.calendar()),
        }
    }

    /// Whether the statement needs what the ledger claims.
    pub(super) fn needs_the_ledger(&self) -> bool {
        self.query == ReportQuery::Builtin(BuiltinReport::Reconciliation)
    }

    /// The periods that the interval's rows lie in.
    pub(super) fn periods(&self) -> Vec<Period> {
        condition::periods(self.times, self.partition_by)
    }

    /// The statement, with what the ledger `claimed`.
    ///
    /// # Errors
    /// Where free SQL has a placeholder that there is not.
    pub(super) fn statement(&self, claimed: &[ClaimedPeriod]) -> Result<String, PlaceholderError> {
        let (template, is_builtin) = match &self.query {
            ReportQuery::Builtin(report) => (builtin::text(*report), true),
            ReportQuery::Sql(sql) => (sql.as_str(), false),
        };
        let mut filled = String::with_capacity(template.len() + 256);
        let mut rest = template;
        while let Some(open) = rest.find("{{") {
            let (before, from) = rest.split_at(open);
            filled.push_str(before);
            let unknown = |placeholder: &str| PlaceholderError {
                report: self.name.clone(),
                placeholder: placeholder.to_owned(),
            };
            let close = from
                .find("}}")
                .ok_or_else(|| unknown(from.lines().next().unwrap_or_default()))?;
            let (placeholder, after) = from.split_at(close + 2);
            let name = placeholder[2..close].trim();
            let text = self
                .common(name)
                .or_else(|| is_builtin.then(|| self.of_builtin(name, claimed)).flatten())
                .ok_or_else(|| unknown(placeholder))?;
            filled.push_str(&text);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// The placeholders of every statement.
    fn common(&self, name: &str) -> Option<String> {
        Some(match name {
            "database" => self.catalog.database.clone(),
            "table" => self.catalog.table.clone(),
            "ticks" => relation::ticks(&self.catalog, self.format, self.partition_by),
            "data_date" => self.interval.data_date.to_string(),
            "start" => utc_text(self.interval.start),
            "end" => utc_text(self.interval.end),
            "where" => {
                let rows =
                    condition::rows(self.length, &self.interval, self.times, self.partition_by);
                match self.format {
                    Format::Parquet | Format::Json => rows,
                    Format::Csv => condition::of_strings(&rows),
                }
            }
            _ => return None,
        })
    }

    /// Those of built-in reports.
    fn of_builtin(&self, name: &str, claimed: &[ClaimedPeriod]) -> Option<String> {
        let by = self.partition_by;
        Some(match name {
            "inside" => condition::inside(self.length, &self.interval),
            "rows" => match (&self.query, &self.previous) {
                (ReportQuery::Builtin(BuiltinReport::TopMovers), Some((previous, times))) => {
                    condition::rows_of_two(
                        self.length,
                        [&self.interval, previous],
                        [self.times, *times],
                        by,
                    )
                }
                _ => condition::rows(self.length, &self.interval, self.times, by),
            },
            "around" => {
                condition::rows_around(self.length, &self.interval, self.times, self.beside, by)
            }
            "periods_around" => condition::directories_around(self.times, self.beside, by),
            "period" => condition::period_of_row(by).to_owned(),
            "previous_date" => match &self.previous {
                Some((previous, _)) => format!("DATE '{}'", previous.data_date),
                None => "CAST(NULL AS date)".to_owned(),
            },
            "end_ns" => self.interval.end.as_nanosecond().to_string(),
            "intervals_a_year" => match self.intervals_a_year {
                Some(count) => count.to_string(),
                None => "CAST(NULL AS double)".to_owned(),
            },
            "listed" => builtin::listed(&self.listed),
            "claimed" => builtin::claimed(claimed),
            _ => return None,
        })
    }
}

/// The symbols of a market that is made: each has ticks on every day. What a file has is the file's affair.
fn listed(pipeline: &Pipeline) -> Vec<String> {
    match (&pipeline.source, pipeline.market.universe) {
        (Source::Simulated { .. }, Some(size)) => universe(size)
            .iter()
            .map(|symbol| symbol.as_str().to_owned())
            .collect(),
        (Source::Simulated { .. }, None) => pipeline.market.symbols.clone(),
        _ => Vec::new(),
    }
}

/// How many intervals of `length` a year of the market has; hours of an exchange are of unlike length.
fn intervals_a_year(length: Interval, calendar: Calendar) -> Option<u32> {
    let always_open = calendar.mic().is_none();
    match length {
        Interval::Session | Interval::Day if always_open => Some(DAYS_A_YEAR),
        Interval::Session | Interval::Day => Some(SESSIONS_A_YEAR),
        Interval::Hour => always_open.then_some(DAYS_A_YEAR * 24),
        Interval::Minute => always_open.then_some(DAYS_A_YEAR * 24 * 60),
    }
}

/// `2026-11-20 14:30:00.000`, as Athena's timestamps are written.
fn utc_text(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M:%S%.3f")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::claimed::Claimed;
    use super::*;
    use stockpipe_crds::run_key::RunKey;

    const PIPELINE: &str = "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: us}\nspec:\n  \
        market: {calendar: CALENDAR, symbols: [AAPL, BRK.B]}\n  lake: {bucket: lake, partitionBy: BY}\n  \
        catalog: {database: market, table: ticks}\n  \
        reports: [{name: r, interval: LENGTH, ASKED}]\n";

    fn question(calendar: &str, by: &str, length: &str, asked: &str, key: &str) -> Question {
        let yaml = PIPELINE
            .replace("CALENDAR", calendar)
            .replace("BY", by)
            .replace("LENGTH", length)
            .replace("ASKED", asked);
        self::asked(&yaml, key)
    }

    fn asked(yaml: &str, key: &str) -> Question {
        let pipeline = Pipeline::from_yaml(yaml, "us.yaml").unwrap();
        let sessions = MarketSessions::of(&pipeline.market);
        let key: RunKey = format!("report/r@{key}").parse().unwrap();
        let report = &pipeline.reports[0];
        let interval = DataInterval::of_key(key.start(), report.interval, &sessions).unwrap();
        Question::new(&pipeline, report, interval, &sessions)
    }

    fn free(sql: &str) -> Result<String, PlaceholderError> {
        let asked = format!("sql: {{query: {sql:?}}}");
        question("XNYS", "Month", "Session", &asked, "2026-11-20").statement(&[])
    }

    fn builtin(name: &str, by: &str, length: &str, key: &str) -> String {
        let claimed = [ClaimedPeriod {
            name: "dt=2026-11-20/hour=14".to_owned(),
            claimed: Claimed {
                files: 3,
                rows: 120,
            },
            is_closed: true,
        }];
        question("XNYS", by, length, &format!("builtin: {name}"), key)
            .statement(&claimed)
            .unwrap()
    }

    #[test]
    fn every_placeholder_is_filled() {
        let sql = "SELECT '{{database}}', '{{ table }}', DATE '{{data_date}}', TIMESTAMP '{{start}}', TIMESTAMP '{{end}}' WHERE {{where}}";
        assert_eq!(
            free(sql).unwrap(),
            "SELECT 'market', 'ticks', DATE '2026-11-20', TIMESTAMP '2026-11-20 14:30:00.000', \
             TIMESTAMP '2026-11-20 21:00:00.000' WHERE (month = '2026-11' AND trade_date = DATE '2026-11-20')"
        );
    }

    #[test]
    fn an_unknown_placeholder_is_named() {
        // `{{inside}}` is for built-in reports alone.
        for (sql, named) in [
            ("SELECT {{day}}", "{{day}}"),
            ("SELECT {{day\nx", "{{day"),
            ("SELECT {{inside}}", "{{inside}}"),
        ] {
            let error = free(sql).unwrap_err();
            assert_eq!(error.placeholder, named);
            assert!(error.to_string().contains("write one of {{database}}"));
        }
    }

    #[test]
    fn no_built_in_report_has_a_placeholder_left_in_any_layout() {
        for report in BuiltinReport::ALL {
            let name = serde_json::to_value(report).unwrap();
            let name = name.as_str().unwrap();
            for by in ["None", "Year", "Month", "Day", "Hour"] {
                for (length, key) in [
                    ("Session", "2026-11-20"),
                    ("Day", "2026-11-20"),
                    ("Hour", "2026-11-20T1500Z"),
                    ("Minute", "2026-11-20T1501Z"),
                ] {
                    let sql = builtin(name, by, length, key);
                    assert!(!sql.contains("{{"), "{name}: {sql}");
                    assert!(sql.contains(r#"FROM "market"."ticks""#), "{name}");
                    // Athena takes statements of 262,144 bytes.
                    assert!(sql.len() < 20_000, "{name}: {}", sql.len());
                }
            }
        }
    }

    #[test]
    fn a_lake_of_csv_is_read_with_its_types() {
        let yaml = |asked: &str| {
            PIPELINE
                .replace(
                    "partitionBy: BY",
                    "partitionBy: Day, format: Csv, compression: Gzip",
                )
                .replace("CALENDAR", "XNYS")
                .replace("LENGTH", "Session")
                .replace("ASKED", asked)
        };
        let sql = asked(&yaml("builtin: daily-ohlcv"), "2026-11-20")
            .statement(&[])
            .unwrap();
        let read = "CAST(NULLIF(price, '') AS decimal(18,9)) AS price";
        assert!(sql.contains(read), "{sql}");
        // Columns of a table of CSV are strings: cast, they are right in the table and in a query that has cast them.
        let free = "sql: {query: 'SELECT 1 FROM {{table}} WHERE {{where}}'}";
        let sql = asked(&yaml(free), "2026-11-20").statement(&[]).unwrap();
        let read = "(dt BETWEEN '2026-11-20' AND '2026-11-21' AND CAST(trade_date AS date) = DATE '2026-11-20')";
        assert!(sql.contains(read), "{sql}");
    }

    #[test]
    fn movers_read_the_session_before_and_mondays_is_fridays() {
        let monday = builtin("top-movers", "Day", "Session", "2026-11-23");
        assert!(
            monday.contains("(trade_date = DATE '2026-11-23' OR trade_date = DATE '2026-11-20'))")
        );
        assert!(monday.contains("DATE '2026-11-20' AS previous_date"));
        // After a holiday, and of an hour the hour before.
        let friday = builtin("top-movers", "Day", "Day", "2026-11-27");
        assert!(friday.contains("DATE '2026-11-25' AS previous_date"));
        let hour = builtin("top-movers", "Hour", "Hour", "2026-11-20T1500Z");
        assert!(hour.contains(
            "((dt = '2026-11-20' AND hour = '15') OR (dt = '2026-11-20' AND hour = '14'))"
        ));
    }

    #[test]
    fn volatility_is_annual_by_sessions_and_of_an_exchanges_hours_it_is_not() {
        let annual = |calendar, length, key| {
            let asked = question(calendar, "Day", length, "builtin: volatility", key);
            asked.of_builtin("intervals_a_year", &[]).unwrap()
        };
        assert_eq!(annual("XNYS", "Session", "2026-11-20"), "252");
        assert_eq!(annual("24x7", "Day", "2026-11-20"), "365");
        assert_eq!(annual("24x7", "Hour", "2026-11-20T1500Z"), "8760");
        assert_eq!(
            annual("XNYS", "Hour", "2026-11-20T1500Z"),
            "CAST(NULL AS double)"
        );
    }

    #[test]
    fn what_is_listed_and_claimed_is_written_as_values() {
        let quality = builtin("data-quality", "Hour", "Session", "2026-11-20");
        assert!(quality.contains("FROM (VALUES ('AAPL'), ('BRK.B')) AS names (symbol)"));
        let balance = builtin("reconciliation", "Hour", "Session", "2026-11-20");
        assert!(balance.contains("(VALUES ('dt=2026-11-20/hour=14', 3, 120, 1))"));
        let none = question(
            "XNYS",
            "Hour",
            "Session",
            "builtin: reconciliation",
            "2026-11-20",
        );
        assert!(none.needs_the_ledger());
        assert_eq!(none.periods().len(), 24);
    }
}
