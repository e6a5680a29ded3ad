//! `GET /status`: what a worker says about itself. The page, `stockpipe up` and
//! the operator read it; it is a closed schema, small enough for 64 KiB.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::run_key::RunKey;
use crate::run_record::RunState;

/// Exit code of a worker that was refused: the same again would be refused again.
pub const REFUSED_EXIT_CODE: u8 = 3;

/// What a worker says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// Version of the worker.
    pub version: String,
    /// `namespace/name` of its pipeline.
    pub pipeline: String,
    /// The process, for people: host and process id.
    pub instance: String,
    /// When it started.
    pub started_at: Timestamp,
    /// What it is doing.
    pub state: WorkerState,
    /// What is wrong, or was; at most one of each kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<WorkerCondition>,
    /// What it says as the worker that it is.
    #[serde(flatten)]
    pub role: RoleStatus,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerState {
    /// Connecting.
    Starting,
    /// Waiting for something that the conditions name: Kafka, S3, a secret.
    Waiting,
    /// Doing its work.
    Running,
    /// Finishing what it holds, then it ends.
    Draining,
    /// Its work is done.
    Done,
    /// It cannot go on without help; the conditions say why.
    Stopped,
}

/// Something that a worker's reader should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerCondition {
    /// What it is about, as the conditions of a pipeline: Provisioned,
    /// Producing, Landing, Cataloged, Reporting.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether that is well.
    pub ok: bool,
    /// One word: LogDiverged, RecordsLost, KafkaUnreachable, StoreUnreachable,
    /// Suspended.
    pub reason: String,
    /// One sentence with the remedy.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// What each kind of worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum RoleStatus {
    /// Makes topic, bucket, database, table, workgroups.
    Provision(ProvisionStatus),
    /// Makes ticks.
    Produce(ProduceStatus),
    /// Lands ticks.
    Land(LandStatus),
    /// Serves the page.
    Analyze(AnalyzeStatus),
    /// Runs a report.
    Report(ReportRunStatus),
    /// Runs the crawler.
    Crawl(CrawlRunStatus),
    /// Deletes what provision made.
    Teardown(TeardownStatus),
}

/// What `provision` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionStatus {
    /// The lake's id: `_stockpipe/<lakeId>/…`; none with `provisioning: None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lake_id: Option<String>,
    /// What was made or altered, one phrase each.
    #[serde(default)]
    pub changes: Vec<String>,
    /// What a person should know, one phrase each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What `teardown` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TeardownStatus {
    /// What was deleted, one phrase each.
    #[serde(default)]
    pub deleted: Vec<String>,
    /// What stays, and why, one phrase each.
    #[serde(default)]
    pub stayed: Vec<String>,
}

/// What `produce` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProduceStatus {
    /// The run whose ticks it makes.
    pub run: String,
    /// Ticks a second over the last few seconds.
    pub rate: u64,
    /// Ticks that this process had acknowledged.
    pub ticks_total: u64,
    /// Ticks that are sent and not acknowledged yet.
    pub in_flight: u64,
    /// Market time that it has reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market_time: Option<Timestamp>,
    /// Whether history is still being made, as fast as it lands: ticks do not
    /// come with the clock yet.
    #[serde(default)]
    pub behind: bool,
    /// Whether the source has ended (a replayed file).
    #[serde(default)]
    pub finished: bool,
    /// Rows of replayed files, or messages of a live feed, that could not be
    /// read and went to quarantine.
    #[serde(default)]
    pub bad_rows: u64,
    /// Rows of replayed files, or trades of a live feed, that said what another
    /// said and were left out.
    #[serde(default)]
    pub duplicate_rows: u64,
    /// What it says of a live feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveStatus>,
}

/// What `produce` says of a live feed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveStatus {
    /// The feed's name.
    pub feed: String,
    /// Whether it is connected and subscribed.
    pub connected: bool,
    /// Connections that were lost or replaced.
    pub reconnects: u64,
    /// Messages that came.
    pub messages: u64,
    /// Messages of no known meaning, passed over.
    pub unknown: u64,
    /// Messages that were given up because Kafka was away for too long.
    pub overflow: u64,
    /// Gap records.
    pub gaps: u64,
    /// Trades that are known to be missing, by the feed's own numbers.
    pub missing: u64,
    /// When the last message came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Timestamp>,
}

/// What `land` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LandStatus {
    /// Partitions that are assigned to it.
    #[serde(default)]
    pub partitions: Vec<PartitionStatus>,
    /// Rows that this process landed.
    pub rows_total: u64,
    /// Files that this process published.
    pub files_total: u64,
    /// Bytes of those files.
    pub bytes_total: u64,
    /// Delay from ingestion to landing of the newest published range, in
    /// milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness_ms: Option<u64>,
    /// Bytes buffered, librdkafka's queue included.
    pub buffered_bytes: u64,
    /// Bytes that it may buffer.
    pub memory_budget: u64,
}

/// What `land` says about one partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// Partition of the topic.
    pub partition: i32,
    /// First offset that has not landed: one after the chain's tip.
    pub position: i64,
    /// First offset that Kafka has not got yet.
    pub end: i64,
    /// Records that have not landed: `end - position`.
    pub lag: i64,
    /// Event time up to which everything of this partition has landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Timestamp>,
    /// Epoch of the assignment, as its claims carry it.
    pub epoch: u64,
    /// Claims that this process made.
    pub claims: u64,
    /// Rows that this process landed.
    pub rows: u64,
    /// Records that this process put into quarantine.
    pub quarantined: u64,
    /// Rows that this process landed in a period that was closed.
    #[serde(default)]
    pub late: u64,
    /// Heartbeats that this process landed.
    #[serde(default)]
    pub heartbeats: u64,
}

/// What `analyze` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalyzeStatus {
    /// Ticks a second over the last few seconds.
    pub rate: u64,
    /// Ticks that this process has seen.
    pub ticks_total: u64,
    /// Symbols that this process has seen.
    pub symbols: u32,
    /// Records that were neither tick nor heartbeat.
    #[serde(default)]
    pub bad_records: u64,
    /// Readers of the live stream.
    pub streams: u32,
    /// Market time of the newest tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market_time: Option<Timestamp>,
}

/// What `report` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportRunStatus {
    /// Which run.
    pub run_key: RunKey,
    /// Which attempt.
    pub attempt: u32,
    /// How far it is.
    pub run_state: RunState,
    /// The watermark that it last saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Timestamp>,
    /// When it runs as partial at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Athena's id of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_execution_id: Option<String>,
}

/// What `crawl` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CrawlRunStatus {
    /// Which run.
    pub run_key: RunKey,
    /// Which attempt.
    pub attempt: u32,
    /// How far it is.
    pub run_state: RunState,
    /// Name of the crawler in Glue.
    pub crawler: String,
    /// When it has failed at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(role: RoleStatus) -> WorkerStatus {
        WorkerStatus {
            version: "0.1.0".into(),
            pipeline: "default/us-equities".into(),
            instance: "host/17".into(),
            started_at: "2026-11-20T21:00:00Z".parse().unwrap(),
            state: WorkerState::Running,
            conditions: Vec::new(),
            role,
        }
    }

    /// What workers of 0.1 said; it is read as long as they are supported.
    const OF_0_1: [&str; 4] = [
        r#"{"role": "provision"}"#,
        r#"{"role": "produce", "run": "us#1", "rate": 7, "ticksTotal": 9, "inFlight": 0}"#,
        r#"{"role": "land", "rowsTotal": 5, "filesTotal": 1, "bytesTotal": 99, "bufferedBytes": 0,
            "memoryBudget": 64, "partitions": [{"partition": 0, "position": 5, "end": 7, "lag": 2,
            "epoch": 1, "claims": 1, "rows": 5, "quarantined": 0}]}"#,
        r#"{"role": "analyze", "rate": 7, "ticksTotal": 9, "symbols": 2, "streams": 0}"#,
    ];

    #[test]
    fn what_older_and_newer_workers_say_is_read() {
        let about = r#"{"version": "0.1.0", "pipeline": "default/us", "instance": "host/17",
            "startedAt": "2026-11-20T21:00:00Z", "state": "Running"}"#;
        for role in OF_0_1 {
            let mut said: serde_json::Value = serde_json::from_str(about).unwrap();
            let role: serde_json::Value = serde_json::from_str(role).unwrap();
            let fields = said.as_object_mut().unwrap();
            fields.extend(role.as_object().unwrap().clone());
            let older: WorkerStatus = serde_json::from_value(said.clone()).unwrap();
            // A newer one says more, which is passed over.
            said["addedLater"] = serde_json::json!({"a": [1]});
            let newer: WorkerStatus = serde_json::from_value(said).unwrap();
            assert_eq!(older, newer);
        }
    }

    #[test]
    fn every_role_round_trips_under_its_name() {
        for (name, role) in [
            (
                "provision",
                RoleStatus::Provision(ProvisionStatus::default()),
            ),
            ("produce", RoleStatus::Produce(ProduceStatus::default())),
            ("land", RoleStatus::Land(LandStatus::default())),
            ("teardown", RoleStatus::Teardown(TeardownStatus::default())),
            ("analyze", RoleStatus::Analyze(AnalyzeStatus::default())),
            (
                "report",
                RoleStatus::Report(ReportRunStatus {
                    run_key: "report/x@2026-11-20".parse().unwrap(),
                    attempt: 0,
                    run_state: RunState::Waiting,
                    watermark: None,
                    deadline: None,
                    query_execution_id: None,
                }),
            ),
            (
                "crawl",
                RoleStatus::Crawl(CrawlRunStatus {
                    run_key: "crawl/ticks@2026-11-20T0007Z".parse().unwrap(),
                    attempt: 0,
                    run_state: RunState::Running,
                    crawler: "stockpipe-us".into(),
                    deadline: None,
                }),
            ),
        ] {
            let status = worker(role);
            let json = serde_json::to_value(&status).unwrap();
            assert_eq!(json["role"], name);
            assert_eq!(json["state"], "Running");
            assert_eq!(
                serde_json::from_value::<WorkerStatus>(json).unwrap(),
                status
            );
        }
    }

    #[test]
    fn a_lander_with_200_partitions_fits_the_operators_limit() {
        let partition = PartitionStatus {
            partition: 9_999,
            position: i64::MAX,
            end: i64::MAX,
            lag: i64::MAX,
            watermark: Some(Timestamp::MAX),
            epoch: 1_000_000,
            claims: u64::MAX,
            rows: u64::MAX,
            quarantined: 1_000_000,
            late: 1_000_000,
            heartbeats: 1_000_000,
        };
        let status = worker(RoleStatus::Land(LandStatus {
            partitions: vec![partition; 200],
            ..LandStatus::default()
        }));
        assert!(serde_json::to_vec(&status).unwrap().len() < 64 * 1024);
    }
}
