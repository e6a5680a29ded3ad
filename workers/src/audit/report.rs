//! What an audit says.

use serde::Serialize;
use uuid::Uuid;

/// Findings kept; beyond them they are only counted.
const KEPT: usize = 1_000;

/// The result of an audit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// `s3://bucket/prefix`.
    pub location: String,
    /// Id of the lake.
    pub lake_id: String,
    /// One row for each chain.
    pub partitions: Vec<PartitionAudit>,
    /// The market's own numbering, for simulated sources.
    pub sequences: SequenceAudit,
    /// What is wrong; empty in a sound lake.
    pub findings: Findings,
}

impl AuditReport {
    /// Whether nothing is wrong. Losses that the ledger accounts for are shown, and are not findings.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.count == 0
    }

    /// The sum of a column.
    pub fn total(&self, column: impl Fn(&PartitionAudit) -> u64) -> u64 {
        self.partitions.iter().map(column).sum()
    }
}

/// What one chain holds, up to the tip at which the audit began.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionAudit {
    /// Topic.
    pub topic_id: Uuid,
    /// Partition.
    pub partition: i32,
    /// First offset.
    pub base: i64,
    /// Last offset.
    pub end: i64,
    /// Claims.
    pub claims: u64,
    /// Kafka records.
    pub records: u64,
    /// Rows in the files.
    pub rows: u64,
    /// Undecodable records in quarantine.
    pub quarantined: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Offsets without a record.
    pub skipped_offsets: u64,
    /// Rows of periods that were closed when they came.
    pub late: u64,
    /// Files of the table.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
    /// Files written again from Kafka.
    pub amended: u64,
    /// Ranges that are lost, as the ledger says.
    pub losses: Vec<Loss>,
    /// Offsets that were compared with Kafka.
    pub compared: u64,
}

/// Offsets whose records are lost for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// First offset.
    pub start: i64,
    /// Last offset.
    pub end: i64,
    /// Rows that are known to be lost; `None` where nobody knows what the offsets held.
    pub rows: Option<u64>,
}

/// What the ticks' own numbers say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SequenceAudit {
    /// Distinct (run, symbol).
    pub series: u64,
    /// Rows that were looked at.
    pub rows: u64,
    /// Numbers that are missing.
    pub missing: u64,
    /// Rows whose number had been seen.
    pub doubled: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Partition, where it concerns one.
    pub partition: Option<i32>,
    /// First and last offset, where it concerns some.
    pub offsets: Option<(i64, i64)>,
    /// A sentence.
    pub message: String,
}

/// What is wrong: the first thousand things in words, all of them counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// In words.
    pub list: Vec<Finding>,
    /// How many.
    pub count: u64,
}

impl Findings {
    /// Adds one.
    pub fn add(&mut self, partition: Option<i32>, offsets: Option<(i64, i64)>, message: String) {
        self.count += 1;
        if self.list.len() < KEPT {
            self.list.push(Finding {
                partition,
                offsets,
                message,
            });
        }
    }
}
