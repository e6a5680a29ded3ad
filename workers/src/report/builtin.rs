//! The reports that come with stockpipe: their texts, and the rows that are written into them.
//!
//! | placeholder | text |
//! |-|-|
//! | `{{inside}}` | true for exactly the interval's rows; reads no partition key |
//! | `{{rows}}` | that and a condition that prunes; for `top-movers` also the interval before |
//! | `{{around}}` | the interval's rows and those within a minute beside them |
//! | `{{periods_around}}`, `{{period}}` | all rows of the directories of those, and a row's directory |
//! | `{{previous_date}}`, `{{end_ns}}` | an expression of type date; nanoseconds since 1970 |
//! | `{{intervals_a_year}}` | a number or a NULL |
//! | `{{listed}}`, `{{claimed}}` | a query of symbols; rows of what the ledger claims |

use std::fmt::Write as _;

use stockpipe_crds::pipeline::BuiltinReport;

use super::claimed::Claimed;

/// What the ledger claims in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimedPeriod {
    /// The directory, `dt=2026-11-20/hour=14`.
    pub(super) name: String,
    /// Files and rows.
    pub(super) claimed: Claimed,
    /// Whether the watermark has passed its end.
    pub(super) is_closed: bool,
}

macro_rules! of_trades {
    ($name:literal) => {
        concat!(include_str!("sql/trades.sql"), include_str!($name))
    };
}

/// The text of a report, with its placeholders.
pub(super) fn text(report: BuiltinReport) -> &'static str {
    match report {
        BuiltinReport::DailyOhlcv => of_trades!("sql/daily-ohlcv.sql"),
        BuiltinReport::Vwap => of_trades!("sql/vwap.sql"),
        BuiltinReport::TopMovers => of_trades!("sql/top-movers.sql"),
        BuiltinReport::Volatility => of_trades!("sql/volatility.sql"),
        BuiltinReport::DataQuality => include_str!("sql/data-quality.sql"),
        BuiltinReport::Reconciliation => include_str!("sql/reconciliation.sql"),
    }
}

/// A query of these symbols.
pub(super) fn listed(symbols: &[String]) -> String {
    if symbols.is_empty() {
        return "SELECT symbol FROM symbols WHERE 1 = 0".to_owned();
    }
    let mut values = String::new();
    for symbol in symbols {
        let comma = if values.is_empty() { "" } else { ", " };
        let _ = write!(values, "{comma}('{}')", symbol.replace('\'', "''"));
    }
    format!("SELECT symbol FROM (VALUES {values}) AS names (symbol)")
}

/// Rows of period, files, rows, and whether the period is closed.
pub(super) fn claimed(periods: &[ClaimedPeriod]) -> String {
    let mut values = String::new();
    for period in periods {
        let comma = if values.is_empty() { "" } else { ", " };
        let Claimed { files, rows } = period.claimed;
        let _ = write!(
            values,
            "{comma}('{}', {files}, {rows}, {})",
            period.name,
            u8::from(period.is_closed)
        );
    }
    if values.is_empty() {
        values.push_str("('', 0, 0, 0)");
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_quoted_and_none_are_a_query_all_the_same() {
        assert_eq!(
            listed(&["O'X".to_owned(), "A".to_owned()]),
            "SELECT symbol FROM (VALUES ('O''X'), ('A')) AS names (symbol)"
        );
        assert_eq!(listed(&[]), "SELECT symbol FROM symbols WHERE 1 = 0");
        // VALUES without a row is no SQL.
        assert_eq!(claimed(&[]), "('', 0, 0, 0)");
    }
}
