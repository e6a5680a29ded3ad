//! What the workers of a pipeline last said of themselves.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stockpipe_crds::worker_status::{
    LandStatus, PartitionStatus, ProduceStatus, RoleStatus, WorkerCondition, WorkerStatus,
};

/// What came of the last poll of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It answered; `None` while it has nothing to say yet.
    Status(Option<Box<WorkerStatus>>),
    /// It did not answer.
    Silent(String),
}

/// The last poll of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerReport {
    /// Name of its pod.
    pub pod: String,
    /// When it was polled.
    pub at: Timestamp,
    /// What came of it.
    pub answer: Answer,
}

/// The last polls of a pipeline's workers, by UID of the pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerReports {
    by_pod: BTreeMap<String, WorkerReport>,
}

impl WorkerReports {
    /// These reports.
    #[must_use]
    pub fn new(reports: impl IntoIterator<Item = (String, WorkerReport)>) -> Self {
        Self {
            by_pod: reports.into_iter().collect(),
        }
    }

    /// The last report of the pod with that UID.
    #[must_use]
    pub fn of_pod(&self, uid: &str) -> Option<&WorkerReport> {
        self.by_pod.get(uid)
    }

    /// What each worker that answered says.
    pub fn statuses(&self) -> impl Iterator<Item = &WorkerStatus> {
        self.by_pod
            .values()
            .filter_map(|report| match &report.answer {
                Answer::Status(Some(status)) => Some(status.as_ref()),
                _ => None,
            })
    }

    /// Pods that did not answer, with why.
    pub fn silent(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_pod
            .values()
            .filter_map(|report| match &report.answer {
                Answer::Silent(why) => Some((report.pod.as_str(), why.as_str())),
                Answer::Status(_) => None,
            })
    }

    /// What the landers say.
    pub fn landers(&self) -> impl Iterator<Item = &LandStatus> {
        self.statuses().filter_map(|status| match &status.role {
            RoleStatus::Land(land) => Some(land),
            _ => None,
        })
    }

    /// What the landers say, by UID of the pod.
    pub fn landers_by_pod(&self) -> impl Iterator<Item = (&str, &LandStatus)> {
        self.by_pod
            .iter()
            .filter_map(|(uid, report)| match &report.answer {
                Answer::Status(Some(status)) => match &status.role {
                    RoleStatus::Land(land) => Some((uid.as_str(), land)),
                    _ => None,
                },
                _ => None,
            })
    }

    /// What the producers say.
    pub fn producers(&self) -> impl Iterator<Item = &ProduceStatus> {
        self.statuses().filter_map(|status| match &status.role {
            RoleStatus::Produce(produce) => Some(produce),
            _ => None,
        })
    }

    /// Whether a worker that lasts has answered.
    #[must_use]
    pub fn any_lasting(&self) -> bool {
        self.statuses()
            .any(|status| !matches!(status.role, RoleStatus::Provision(_)))
    }

    /// What is wrong, of that type: the worst that a worker says.
    #[must_use]
    pub fn trouble(&self, kind: &str) -> Option<&WorkerCondition> {
        self.statuses()
            .flat_map(|status| &status.conditions)
            .find(|condition| condition.kind == kind && !condition.ok)
    }

    /// Each partition once, by number: what its owner says, which is the one
    /// with the highest epoch.
    #[must_use]
    pub fn partitions(&self) -> BTreeMap<i32, &PartitionStatus> {
        let mut partitions: BTreeMap<i32, &PartitionStatus> = BTreeMap::new();
        for partition in self.landers().flat_map(|land| &land.partitions) {
            let known = partitions.entry(partition.partition).or_insert(partition);
            if partition.epoch > known.epoch {
                *known = partition;
            }
        }
        partitions
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use stockpipe_crds::worker_status::WorkerState;

    /// A worker of that role that runs.
    pub(crate) fn status(role: RoleStatus) -> WorkerStatus {
        WorkerStatus {
            version: "0.1.0".into(),
            pipeline: "market/us-equities".into(),
            instance: "host/1".into(),
            started_at: "2026-11-20T15:00:00Z".parse().unwrap(),
            state: WorkerState::Running,
            conditions: Vec::new(),
            role,
        }
    }

    /// A lander's partitions: number, lag, epoch.
    pub(crate) fn lander(partitions: &[(i32, i64, u64)]) -> WorkerStatus {
        status(RoleStatus::Land(LandStatus {
            partitions: partitions
                .iter()
                .map(|(partition, lag, epoch)| PartitionStatus {
                    partition: *partition,
                    lag: *lag,
                    epoch: *epoch,
                    watermark: Some("2026-11-20T20:59:31Z".parse().unwrap()),
                    ..PartitionStatus::default()
                })
                .collect(),
            freshness_ms: Some(23_400),
            ..LandStatus::default()
        }))
    }

    /// A producer that makes `rate` ticks a second.
    pub(crate) fn producer(rate: u64) -> WorkerStatus {
        status(RoleStatus::Produce(ProduceStatus {
            rate,
            ..ProduceStatus::default()
        }))
    }

    /// Reports of pods named after their place in the list.
    pub(crate) fn reports(statuses: Vec<WorkerStatus>) -> WorkerReports {
        WorkerReports::new(statuses.into_iter().enumerate().map(|(index, status)| {
            (
                format!("uid-{index}"),
                WorkerReport {
                    pod: format!("pod-{index}"),
                    at: "2026-11-20T21:00:00Z".parse().unwrap(),
                    answer: Answer::Status(Some(Box::new(status))),
                },
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{lander, reports};

    #[test]
    fn a_partition_that_two_claim_is_the_later_owners() {
        let reports = reports(vec![
            lander(&[(0, 100, 1), (1, 5, 1)]),
            lander(&[(0, 7, 2)]),
        ]);
        let partitions = reports.partitions();
        assert_eq!(partitions.len(), 2);
        assert_eq!(partitions[&0].lag, 7);
        assert_eq!(partitions[&1].lag, 5);
    }
}
