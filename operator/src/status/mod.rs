//! The status of a pipeline, computed of what was applied, its children and
//! what its workers say: pure.

mod conditions;
mod live;
mod runs;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::status::{
    ConsumerStatus, Phase, ProducerStatus, ProvisionStatus, ScaleStatus, StockPipelineStatus,
    WorkersStatus,
};

pub use conditions::{CONDITION_TYPES, Transition, transitions};
pub use live::{LiveNumbers, Settled, numbers_differ, one_digit, settle};
pub use runs::{fold_runs, newest_run};
pub use write::{deleting, write};

use crate::build::task::TaskId;
use crate::build::{Monitoring, deployment, producer};
use crate::child_kind::ChildKind;
use crate::children::Children;
use crate::labels::{self, Role};
use crate::provision::Progress;
use crate::resources::{Applied, KubernetesResources};
use crate::worker_reports::WorkerReports;

/// Why nothing could be built or applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One word.
    pub reason: String,
    /// One sentence with the remedy.
    pub message: String,
}

/// Everything that a status follows from.
pub struct Observation<'a> {
    /// The pipeline, with its last status.
    pub resource: &'a StockPipeline,
    /// What is on the cluster; `None` where it could not be built or applied.
    pub applied: Option<&'a KubernetesResources<Applied>>,
    /// Why not.
    pub problem: Option<&'a Problem>,
    /// Whether applying is paused by annotation.
    pub paused: bool,
    /// The children, as the watches show them.
    pub children: &'a Children,
    /// What the workers say.
    pub reports: &'a WorkerReports,
    /// Partitions that the topic has.
    pub partitions: i32,
    /// Name of the provision Job that is wanted; `None` where nothing is
    /// provisioned by us.
    pub provision_job: Option<&'a str>,
    /// How far it is.
    pub provision: Progress,
    /// Which optional definitions are on the cluster.
    pub monitoring: Monitoring,
    /// Landers that are wanted.
    pub landers: i32,
    /// Why there are none, where the calendar says so.
    pub outside_session: bool,
    /// Where the market is closed: the age at which a file is closed.
    pub closed: Option<Duration>,
    /// What the autoscaler changed just now.
    pub scale: Option<ScaleStatus>,
    /// Cluster that the workers say they are of.
    pub cluster_id: &'a str,
    /// Image of the workers, and what it follows from.
    pub workers: Option<&'a WorkersStatus>,
    /// Run by annotation that has been handled.
    pub handled_run_now: Option<String>,
    /// Schedule times up to which runs are settled, of tasks that catch up;
    /// `None` of those that are suspended.
    pub settled: BTreeMap<TaskId, Option<Timestamp>>,
    /// Now.
    pub now: Timestamp,
}

impl Observation<'_> {
    /// The last status.
    fn last(&self) -> StockPipelineStatus {
        self.resource.status.clone().unwrap_or_default()
    }

    /// Whether the pipeline is suspended.
    fn suspended(&self) -> bool {
        self.resource.spec.suspend
    }

    /// The generation that this status is about: of a spec that is neither on
    /// the cluster nor known to be wrong, nothing is said yet.
    fn generation(&self) -> Option<i64> {
        let seen = self.applied.is_some()
            || self.problem.is_some()
            || self.paused
            || self.resource.metadata.deletion_timestamp.is_some();
        if seen {
            self.resource.metadata.generation
        } else {
            self.last().observed_generation
        }
    }

    /// Whether topic, bucket and table are there, or are not ours to make.
    fn provisioned(&self) -> bool {
        self.provision_job.is_none() || matches!(self.provision, Progress::Done { .. })
    }
}

/// The status that follows.
#[must_use]
pub fn compute(seen: &Observation<'_>) -> StockPipelineStatus {
    let last = seen.last();
    let name = seen.resource.metadata.name.as_deref().unwrap_or_default();
    let produce = producer::name(name);
    let land = deployment::name(name, Role::Land);
    let producers = seen.children.workload(ChildKind::StatefulSet, &produce);
    let landers = seen.children.workload(ChildKind::Deployment, &land);
    let mut reports = fold_runs(&last.reports, &seen.resource.spec.reports, seen.children);
    runs::settle(&mut reports, &seen.settled);
    let crawler = seen.resource.spec.catalog.crawler.as_ref();
    let catalog =
        crawler.and_then(|_| runs::fold_crawl(last.catalog.as_ref(), seen.children, &seen.settled));
    let live = LiveNumbers::of(seen.reports, seen.partitions, seen.closed);
    let consumer = last.consumer.unwrap_or_default();
    let scale = seen.scale.clone().or(consumer.last_scale.clone());
    let scales = seen.resource.spec.consumer.autoscaling.is_some();
    let mut status = StockPipelineStatus {
        observed_generation: seen.generation(),
        phase: None,
        conditions: Vec::new(),
        cluster_id: Some(seen.cluster_id.to_owned()),
        workers: seen.workers.cloned().or(last.workers),
        provision: provisioned(seen).or(last.provision),
        producer: Some(ProducerStatus {
            replicas: producers.map_or(0, |producers| producers.replicas),
            ready_replicas: producers.map_or(0, |producers| producers.ready),
            rate: last.producer.and_then(|producer| producer.rate),
        }),
        consumer: Some(ConsumerStatus {
            replicas: landers.map_or(0, |landers| landers.replicas),
            ready_replicas: landers.map_or(0, |landers| landers.ready),
            desired_replicas: Some(seen.landers),
            selector: Some(labels::selector_text(name, Role::Land)),
            last_scale: scale.filter(|_| scales),
            ..consumer
        }),
        catalog,
        last_report: newest_run(&reports, last.last_report.as_deref()),
        reports,
        last_handled_run_now: seen.handled_run_now.clone().or(last.last_handled_run_now),
    };
    live.write(&mut status, seen.suspended());
    status.conditions = conditions::compute(seen, &status);
    status.phase = Some(phase(seen, &status));
    status
}

fn provisioned(seen: &Observation<'_>) -> Option<ProvisionStatus> {
    match (seen.provision_job, &seen.provision) {
        (Some(job), Progress::Done { at }) => Some(ProvisionStatus {
            job: job.to_owned(),
            time: format!("{at:.0}"),
        }),
        _ => None,
    }
}

fn phase(seen: &Observation<'_>, status: &StockPipelineStatus) -> Phase {
    let is = |kind: &str, value: &str| {
        status
            .conditions
            .iter()
            .any(|condition| condition.type_ == kind && condition.status == value)
    };
    if seen.resource.metadata.deletion_timestamp.is_some() {
        Phase::Deleting
    } else if seen.paused {
        Phase::Paused
    } else if seen.problem.is_some() {
        Phase::Degraded
    } else if seen.suspended() {
        Phase::Suspended
    } else if !seen.provisioned() {
        match seen.provision {
            Progress::Failed { .. } => Phase::Degraded,
            _ => Phase::Provisioning,
        }
    } else if is("Ready", "True") {
        if is("Healthy", "False") || is("Reporting", "False") || runs::crawl_failed(status) {
            Phase::Degraded
        } else {
            Phase::Running
        }
    } else if status
        .conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.reason == conditions::ROLLING_OUT)
    {
        Phase::Pending
    } else {
        Phase::Degraded
    }
}

/// A condition of that type and status, for tests.
#[cfg(test)]
pub(crate) fn condition_of(
    kind: &str,
    status: &str,
) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: "Test".to_owned(),
        message: String::new(),
        observed_generation: Some(1),
        last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            Timestamp::UNIX_EPOCH,
        ),
    }
}

#[cfg(test)]
mod tests;
