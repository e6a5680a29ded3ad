//! What a lander shows on `/status`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::Claim;

/// `/status` of the role `land`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LanderStatus {
    /// Topic.
    pub topic: String,
    /// Its id, once Kafka has told.
    pub topic_id: Option<Uuid>,
    /// Name of this lander in the claims that it writes.
    pub owner: String,
    /// Bytes held: gathered, being encoded and being uploaded.
    pub memory_bytes: u64,
    /// The budget of those bytes and of librdkafka's queue.
    pub memory_budget_bytes: u64,
    /// Whether reading pauses until something is uploaded.
    pub paused: bool,
    /// Records behind the end of the assigned partitions.
    pub lag: u64,
    /// The least watermark of the assigned partitions (event time, ns); `None` while any has none.
    pub watermark: Option<i64>,
    /// Assigned partitions.
    pub partitions: Vec<PartitionStatus>,
    /// What is wrong, in sentences.
    pub conditions: Vec<Condition>,
}

/// One assigned partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// Partition.
    pub partition: i32,
    /// Next offset to be read.
    pub position: i64,
    /// One after the last offset of the log that may be read.
    pub end: i64,
    /// `end` − `position`, and 0 at the end of the partition whatever markers lie between.
    pub lag: u64,
    /// Watermark of the newest published claim whose periods are registered (event time, ns).
    pub watermark: Option<i64>,
    /// Epoch of this assignment.
    pub epoch: u64,
    /// Last offset of the newest published claim.
    pub landed: Option<i64>,
    /// Claims published since the assignment.
    pub claims: u64,
    /// Kafka records in them.
    pub records: u64,
    /// Rows in them.
    pub rows: u64,
    /// Undecodable records in them.
    pub quarantined: u64,
    /// Late rows in them.
    pub late: u64,
    /// Files in them.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
}

/// Something that needs eyes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// The partition, where it concerns one.
    pub partition: Option<i32>,
    /// A sentence: what happened and what to do.
    pub message: String,
}

/// Kinds of [`Condition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConditionKind {
    /// The log is not the one that was landed; the partition stands still until it is repaired.
    LogDiverged,
    /// Records were dropped by Kafka before they were landed.
    RecordsLost,
    /// A file of a claim cannot be made visible, because something else is at its key.
    FileTaken,
    /// A range cannot be written as files.
    EncodingFailed,
    /// Glue takes no partitions; reports wait.
    PartitionsUnregistered,
    /// The store is not reachable.
    StoreLost,
}

/// The status while it is put together. Cheap to clone.
#[derive(Clone, Default)]
pub struct Board {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    partitions: BTreeMap<i32, PartitionStatus>,
    conditions: BTreeMap<(ConditionKind, Option<i32>), String>,
}

impl Board {
    /// Changes what is shown of `partition`, which appears with the first change.
    pub fn update(&self, partition: i32, change: impl FnOnce(&mut PartitionStatus)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = state.partitions.entry(partition).or_default();
        entry.partition = partition;
        change(entry);
    }

    /// Adds a published claim.
    pub fn published(&self, partition: i32, claim: &Claim) {
        self.update(partition, |p| {
            p.landed = Some(claim.end);
            p.claims += 1;
            p.records += claim.records;
            p.rows += claim.rows;
            p.quarantined += claim.quarantined;
            p.late += claim.late;
            p.files += claim.files.len() as u64;
            p.bytes += claim.files.iter().map(|f| f.bytes).sum::<u64>();
        });
    }

    /// Takes `partition` away.
    pub fn remove(&self, partition: i32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.partitions.remove(&partition);
        state.conditions.retain(|(_, p), _| *p != Some(partition));
    }

    /// Says that something is wrong; the log gets the sentence when it is new.
    pub fn raise(&self, kind: ConditionKind, partition: Option<i32>, message: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.conditions.get(&(kind, partition)) != Some(&message) {
            tracing::error!(condition = ?kind, "{message}");
            state.conditions.insert((kind, partition), message);
        }
    }

    /// Shows `message` under `kind` without logging it, or takes it away.
    pub fn show(&self, kind: ConditionKind, message: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            Some(message) => state.conditions.insert((kind, None), message),
            None => state.conditions.remove(&(kind, None)),
        };
    }

    /// Fills partitions, conditions, lag and watermark of `status`.
    #[must_use]
    pub fn complete(&self, mut status: LanderStatus) -> LanderStatus {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        status.partitions = state.partitions.values().cloned().collect();
        status.conditions = state
            .conditions
            .iter()
            .map(|((kind, partition), message)| Condition {
                kind: *kind,
                partition: *partition,
                message: message.clone(),
            })
            .collect();
        status.lag = status.partitions.iter().map(|p| p.lag).sum();
        let watermarks: Option<Vec<i64>> = status.partitions.iter().map(|p| p.watermark).collect();
        status.watermark = watermarks.and_then(|w| w.into_iter().min());
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_the_least_and_absent_while_any_partition_has_none() {
        let board = Board::default();
        board.update(0, |p| (p.watermark, p.lag) = (Some(5), 2));
        board.update(1, |p| p.lag = 3);
        let status = board.complete(LanderStatus::default());
        assert_eq!((status.watermark, status.lag), (None, 5));
        board.update(1, |p| p.watermark = Some(4));
        assert_eq!(board.complete(LanderStatus::default()).watermark, Some(4));
        board.raise(ConditionKind::LogDiverged, Some(1), "look".into());
        assert_eq!(board.complete(LanderStatus::default()).conditions.len(), 1);
        board.remove(1);
        let status = board.complete(LanderStatus::default());
        assert_eq!((status.partitions.len(), status.conditions.len()), (1, 0));
    }
}
