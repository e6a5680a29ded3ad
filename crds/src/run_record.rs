//! The durable record of a run, in S3.
//!
//! `_stockpipe/<lakeId>/runs/<run key>/<attempt>.json` is made by a conditional
//! write when a worker claims the run, and finished by another when it ends.
//! The record is the result; termination messages and status are copies.

use jiff::Timestamp;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run_key::RunKey;

/// State of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RunState {
    /// Claimed; waits for its data to be complete.
    Waiting,
    /// The query runs.
    Running,
    /// Ended with a result.
    Succeeded,
    /// Ended without one.
    Failed,
}

impl RunState {
    /// Whether the run has ended.
    pub fn is_final(self) -> bool {
        matches!(self, RunState::Succeeded | RunState::Failed)
    }
}

/// One attempt of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Which run.
    pub run_key: RunKey,
    /// Which attempt: 0 is the schedule's, run-now counts on.
    pub attempt: u32,
    /// How far it is.
    pub state: RunState,
    /// Who claimed it: host and process, for people.
    pub owner: String,
    /// When the schedule fired; `None` for a run by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Timestamp>,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When its query started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The data date: the exchange's trade date of the interval's start.
    pub data_date: Date,
    /// First instant of the data interval.
    pub interval_start: Timestamp,
    /// First instant after the data interval.
    pub interval_end: Timestamp,
    /// Whether it ran before the watermark had passed the interval, because its
    /// deadline had.
    #[serde(default)]
    pub partial: bool,
    /// The watermark when the query started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Timestamp>,
    /// `ClientRequestToken` of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_token: Option<String>,
    /// Workgroup that the query ran in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workgroup: Option<String>,
    /// Athena's id of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_execution_id: Option<String>,
    /// The statement that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Rows of the result, the header not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes that the query scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanned_bytes: Option<u64>,
    /// What the query cost at AWS's list price, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<String>,
    /// `s3://` address of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What a crawl came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crawl: Option<CrawlRecord>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// W3C `traceparent` of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// What a crawl came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CrawlRecord {
    /// Name of the crawler in Glue.
    pub crawler: String,
    /// When the crawl before this run had started: a crawl of another start is
    /// this run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_start: Option<Timestamp>,
    /// Whether a crawl was under way already, and was waited for.
    #[serde(default)]
    pub attached: bool,
    /// Tables that the crawl made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables_created: Option<u64>,
    /// Tables that it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables_updated: Option<u64>,
    /// Tables that it deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables_deleted: Option<u64>,
    /// Partitions that the table then had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u64>,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunError {
    /// One word for the kind of failure, as a Kubernetes reason: QueryFailed,
    /// ScanLimitExceeded, AccessDenied.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// Whether another attempt may succeed without a change.
    #[serde(default)]
    pub retryable: bool,
}

impl RunRecord {
    /// The record of an attempt that `owner` claims at `at`, for the data of `date` in `interval` (start, end): waiting,
    /// with nothing to tell yet.
    #[must_use]
    pub fn waiting(
        run_key: RunKey,
        attempt: u32,
        owner: String,
        at: Timestamp,
        date: Date,
        interval: (Timestamp, Timestamp),
    ) -> Self {
        Self {
            run_key,
            attempt,
            state: RunState::Waiting,
            owner,
            scheduled_at: None,
            claimed_at: at,
            started_at: None,
            finished_at: None,
            data_date: date,
            interval_start: interval.0,
            interval_end: interval.1,
            partial: false,
            watermark: None,
            request_token: None,
            workgroup: None,
            query_execution_id: None,
            query: None,
            rows: None,
            scanned_bytes: None,
            cost_usd: None,
            output: None,
            crawl: None,
            error: None,
            trace: None,
        }
    }

    /// Key of the record's object within its bucket.
    pub fn object_key(lake_id: &str, run_key: &RunKey, attempt: u32) -> String {
        format!("_stockpipe/{lake_id}/runs/{run_key}/{attempt}.json")
    }
}

/// What a query that scanned `bytes` costs at Athena's list price, in US
/// dollars with six digits: 5 dollars a tebibyte, counted in whole mebibytes,
/// at least ten (<https://aws.amazon.com/athena/pricing/>).
///
/// A query that scanned nothing, as DDL, costs nothing.
pub fn athena_cost_usd(bytes: u64) -> String {
    if bytes == 0 {
        return "0.000000".to_owned();
    }
    let mebibytes = u128::from(bytes).div_ceil(1 << 20).max(10);
    let micro_dollars = (mebibytes * 5_000_000 + (1 << 19)) >> 20;
    format!(
        "{}.{:06}",
        micro_dollars / 1_000_000,
        micro_dollars % 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_five_dollars_a_tebibyte_and_ten_mebibytes_at_least() {
        assert_eq!(athena_cost_usd(0), "0.000000");
        assert_eq!(athena_cost_usd(1), "0.000048");
        assert_eq!(athena_cost_usd(10 << 20), "0.000048");
        assert_eq!(athena_cost_usd(70 << 20), "0.000334");
        assert_eq!(athena_cost_usd(1 << 40), "5.000000");
        assert_eq!(athena_cost_usd(3 << 40), "15.000000");
    }

    #[test]
    fn a_record_round_trips_and_leaves_out_what_it_does_not_know() {
        let record = RunRecord::waiting(
            "report/daily-ohlcv@2026-11-20".parse().unwrap(),
            0,
            "host/1".into(),
            "2026-11-20T21:30:00Z".parse().unwrap(),
            jiff::civil::date(2026, 11, 20),
            (
                "2026-11-20T14:30:00Z".parse().unwrap(),
                "2026-11-20T21:00:00Z".parse().unwrap(),
            ),
        );
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["runKey"], "report/daily-ohlcv@2026-11-20");
        assert!(json.get("rows").is_none());
        assert_eq!(serde_json::from_value::<RunRecord>(json).unwrap(), record);
    }

    #[test]
    fn records_lie_under_their_run_key() {
        let key: RunKey = "report/daily-ohlcv@2026-11-20".parse().unwrap();
        assert_eq!(
            RunRecord::object_key("L1", &key, 2),
            "_stockpipe/L1/runs/report/daily-ohlcv@2026-11-20/2.json"
        );
    }
}
