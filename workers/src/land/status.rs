//! What a lander shows on `/status`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use stockpipe_crds::worker_status::{LandStatus, PartitionStatus, RoleStatus, WorkerCondition};

use crate::context::Context;
use crate::ledger::Claim;

/// Sentences of one condition that are shown; the others are counted.
const SENTENCES: usize = 3;

/// The end of a partition of which Kafka has not told it yet.
const END_UNKNOWN: i64 = -1;

/// Something that needs eyes, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The log is not the one that was landed; the partition stands still until it is repaired.
    LogDiverged,
    /// Records were dropped by Kafka before they were landed.
    RecordsLost,
    /// A file of a claim cannot be made visible, because something else is at its key.
    FileTaken,
    /// A range cannot be written as files.
    EncodingFailed,
    /// The store is not reachable.
    StoreUnreachable,
    /// Glue takes no partitions; reports wait.
    PartitionsUnregistered,
}

impl Reason {
    /// The condition of the pipeline that it is a reason of.
    fn kind(self) -> &'static str {
        match self {
            Self::PartitionsUnregistered => "Cataloged",
            _ => "Landing",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::LogDiverged => "LogDiverged",
            Self::RecordsLost => "RecordsLost",
            Self::FileTaken => "FileTaken",
            Self::EncodingFailed => "EncodingFailed",
            Self::StoreUnreachable => "StoreUnreachable",
            Self::PartitionsUnregistered => "PartitionsUnregistered",
        }
    }
}

/// The status while it is put together. Cheap to clone.
#[derive(Clone, Default)]
pub struct Board {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    totals: LandStatus,
    partitions: BTreeMap<i32, PartitionStatus>,
    conditions: BTreeMap<(Reason, Option<i32>), (String, Timestamp)>,
}

impl State {
    /// Partitions whose end in Kafka is known.
    fn known(&self) -> impl Iterator<Item = &PartitionStatus> {
        self.partitions.values().filter(|p| p.end != END_UNKNOWN)
    }
}

impl Board {
    /// Changes what is shown of `partition`, which appears once its end in Kafka is known: before, its lag is not 0
    /// but unknown.
    pub fn update(&self, partition: i32, change: impl FnOnce(&mut PartitionStatus)) {
        self.with(|state| {
            let entry = state
                .partitions
                .entry(partition)
                .or_insert_with(|| PartitionStatus {
                    partition,
                    end: END_UNKNOWN,
                    ..PartitionStatus::default()
                });
            change(entry);
        });
    }

    /// Everything of `partition` before the offset `next` is landed. The lag follows at once: while draining nothing is
    /// polled, and the last word of a lander is not to count what it has landed.
    pub fn landed_to(&self, partition: i32, next: i64) {
        self.update(partition, |p| {
            p.position = next;
            if p.end != END_UNKNOWN {
                p.end = p.end.max(next);
                p.lag = p.end - next;
            }
        });
    }

    /// Adds a claim of this process that is published; `ingested_ns` is when its first row entered Kafka.
    pub fn published(&self, partition: i32, claim: &Claim, ingested_ns: Option<i64>) {
        self.update(partition, |p| {
            p.claims += 1;
            p.rows += claim.rows;
            p.quarantined += claim.quarantined;
            p.late += claim.late;
            p.heartbeats += claim.heartbeats;
        });
        self.with(|state| {
            let totals = &mut state.totals;
            totals.rows_total += claim.rows;
            totals.files_total += claim.files.len() as u64;
            totals.bytes_total += claim.files.iter().map(|f| f.bytes).sum::<u64>();
            if let Some(ingested) = ingested_ns {
                let delay = Timestamp::now().as_nanosecond() - i128::from(ingested);
                totals.freshness_ms = u64::try_from(delay / 1_000_000).ok();
            }
        });
    }

    /// Takes `partition` away.
    pub fn remove(&self, partition: i32) {
        self.with(|state| {
            state.partitions.remove(&partition);
            // What is lost stays lost; the rest is the next owner's to say.
            state
                .conditions
                .retain(|(reason, p), _| *p != Some(partition) || *reason == Reason::RecordsLost);
        });
    }

    /// Says that something is wrong; the log gets the sentence when it is new.
    pub fn raise(&self, reason: Reason, partition: Option<i32>, message: String) {
        self.with(|state| {
            let known = state.conditions.get(&(reason, partition));
            if known.is_none_or(|(m, _)| *m != message) {
                tracing::error!(reason = reason.name(), "{message}");
                state
                    .conditions
                    .insert((reason, partition), (message, Timestamp::now()));
            }
        });
    }

    /// Shows `message` under `reason` without logging it, or takes it away.
    pub fn show(&self, reason: Reason, message: Option<String>) {
        self.with(|state| match message {
            Some(message) => {
                let entry = state.conditions.entry((reason, None));
                entry.or_insert((String::new(), Timestamp::now())).0 = message;
            }
            None => {
                state.conditions.remove(&(reason, None));
            }
        });
    }

    /// Takes a sentence about `partition` away.
    pub fn clear(&self, reason: Reason, partition: i32) {
        self.with(|state| state.conditions.remove(&(reason, Some(partition))));
    }

    /// Whether anything is wrong for `reason`.
    #[must_use]
    pub fn has(&self, reason: Reason) -> bool {
        self.with(|state| state.conditions.keys().any(|(r, _)| *r == reason))
    }

    /// What is wrong, and the figures.
    #[must_use]
    pub fn complete(
        &self,
        ctx: &Context,
        buffered_bytes: u64,
    ) -> (Vec<WorkerCondition>, RoleStatus) {
        let memory_budget = ctx.pipeline.consumer.memory_budget;
        self.with(|shown| {
            let role = RoleStatus::Land(LandStatus {
                partitions: shown.known().cloned().collect(),
                buffered_bytes,
                memory_budget,
                ..shown.totals.clone()
            });
            (conditions(&shown.conditions), role)
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One condition of each kind, with its worst reason and that reason's first sentences.
fn conditions(all: &BTreeMap<(Reason, Option<i32>), (String, Timestamp)>) -> Vec<WorkerCondition> {
    let mut shown: Vec<WorkerCondition> = Vec::new();
    for (reason, _) in all.keys() {
        if shown.iter().any(|c| c.kind == reason.kind()) {
            continue;
        }
        let same: Vec<_> = all
            .iter()
            .filter(|((r, _), _)| r == reason)
            .map(|(_, v)| v)
            .collect();
        let first: Vec<&str> = same
            .iter()
            .take(SENTENCES)
            .map(|(m, _)| m.as_str())
            .collect();
        let mut message = first.join("; ");
        if same.len() > SENTENCES {
            message.push_str(&format!("; and {} partitions more", same.len() - SENTENCES));
        }
        shown.push(WorkerCondition {
            kind: reason.kind().to_owned(),
            ok: false,
            reason: reason.name().to_owned(),
            message,
            since: same
                .iter()
                .map(|(_, since)| *since)
                .min()
                .unwrap_or(Timestamp::UNIX_EPOCH),
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_condition_of_each_kind_is_shown_with_its_worst_reason() {
        let board = Board::default();
        for partition in 0..5 {
            board.raise(
                Reason::LogDiverged,
                Some(partition),
                format!("sentence {partition}"),
            );
        }
        board.raise(Reason::RecordsLost, Some(1), "lost".into());
        board.show(Reason::PartitionsUnregistered, Some("Glue is away".into()));
        let shown = board.with(|state| conditions(&state.conditions));
        let heads: Vec<_> = shown
            .iter()
            .map(|c| (c.kind.as_str(), c.reason.as_str()))
            .collect();
        assert_eq!(
            heads,
            [
                ("Landing", "LogDiverged"),
                ("Cataloged", "PartitionsUnregistered")
            ]
        );
        assert_eq!(
            shown[0].message,
            "sentence 0; sentence 1; sentence 2; and 2 partitions more"
        );
        assert!(shown.iter().all(|c| !c.ok));
    }

    #[test]
    fn a_partition_appears_once_its_lag_is_known() {
        let board = Board::default();
        let shown = || board.with(|state| state.known().map(|p| p.lag).collect::<Vec<_>>());
        board.update(3, |p| p.position = 10);
        assert!(shown().is_empty(), "unknown is not 0");
        board.update(3, |p| {
            p.end = 17;
            p.lag = 7;
        });
        assert_eq!(shown(), [7]);
    }

    #[test]
    fn the_lag_follows_what_is_landed() {
        let board = Board::default();
        let lag = || board.with(|state| state.known().map(|p| p.lag).next());
        board.landed_to(3, 10);
        assert_eq!(lag(), None, "the end is still unknown");
        board.update(3, |p| p.end = 17);
        board.landed_to(3, 12);
        assert_eq!(lag(), Some(5));
        board.landed_to(3, 19);
        assert_eq!(lag(), Some(0), "landed beyond the end that was known");
    }

    #[test]
    fn what_is_lost_stays_told_when_the_partition_goes() {
        let board = Board::default();
        board.raise(Reason::LogDiverged, Some(1), "rewritten".into());
        board.raise(Reason::RecordsLost, Some(1), "lost".into());
        board.remove(1);
        assert!(!board.has(Reason::LogDiverged) && board.has(Reason::RecordsLost));
        board.show(Reason::StoreUnreachable, Some("away".into()));
        board.show(Reason::StoreUnreachable, None);
        assert!(!board.has(Reason::StoreUnreachable));
    }
}
