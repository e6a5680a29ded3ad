//! From a pipeline and what was observed to the objects that should exist:
//! pure, and it cannot fail. One file for each kind of child.

pub mod config_map;
pub mod cron_job;
pub mod deployment;
pub mod grafana_dashboard;
pub mod network_policy;
pub mod pod;
pub mod pod_disruption_budget;
pub mod pod_monitor;
pub mod producer;
pub mod prometheus_rule;
pub mod provision_job;
pub mod role_file;
pub mod run_job;
#[cfg(test)]
pub(crate) mod samples;
pub mod service_account;
pub mod services;
#[cfg(test)]
mod stable;
pub mod task;
pub mod teardown;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::pipeline::{Pipeline, Provisioning};

use self::task::{Task, TaskId};
use crate::child_kind::ChildKind;
use crate::labels::{self, Role};
use crate::resources::{Desired, KubernetesResources, Prepared};
use crate::settings::WorkerDefaults;

/// Everything that the objects of a pipeline follow from.
pub struct Blueprint<'a> {
    /// The pipeline as written.
    pub resource: &'a StockPipeline,
    /// The pipeline with every default filled in.
    pub pipeline: &'a Pipeline,
    /// What the command line says of worker pods.
    pub defaults: &'a WorkerDefaults,
    /// Which cluster the workers say they are of.
    pub cluster_id: &'a str,
    /// Image of the workers.
    pub image: &'a str,
    /// Landers, as `spec` or the autoscaler wants them.
    pub landers: i32,
    /// Whether topic, bucket and table are there, so that workers may run.
    pub provisioned: bool,
    /// Which optional kinds can be made.
    pub monitoring: Monitoring,
    /// Runs that were asked for, or are replayed.
    pub runs: &'a [Run],
}

/// Which optional definitions are on the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Monitoring {
    /// PodMonitor.
    pub pod_monitor: Definition,
    /// PrometheusRule.
    pub prometheus_rule: Definition,
}

impl Monitoring {
    /// Whether objects of `kind` may be written: of one that is not optional, always.
    #[must_use]
    pub fn may_write(self, kind: ChildKind) -> bool {
        match kind {
            ChildKind::PodMonitor => self.pod_monitor == Definition::There,
            ChildKind::PrometheusRule => self.prometheus_rule == Definition::There,
            _ => true,
        }
    }
}

/// Whether objects of an optional kind can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Definition {
    /// The cluster does not know the kind.
    #[default]
    Missing,
    /// It does, and the operator may not write it.
    Forbidden,
    /// They can.
    There,
}

/// A run that the operator starts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// By annotation.
    Now {
        /// What runs.
        task: TaskId,
        /// `<run key>#<attempt>`.
        run: String,
    },
    /// In its CronJob's stead, because it was missed.
    Missed {
        /// What runs.
        task: TaskId,
        /// Its schedule time.
        at: Timestamp,
        /// UID of the CronJob, which owns the Job.
        cron_job_uid: String,
    },
}

impl Run {
    /// What runs.
    #[must_use]
    pub fn task(&self) -> &TaskId {
        match self {
            Self::Now { task, .. } | Self::Missed { task, .. } => task,
        }
    }
}

impl Blueprint<'_> {
    /// Namespace of the pipeline.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.pipeline.namespace
    }

    /// Name of the pipeline.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.pipeline.name
    }

    /// Metadata of a child that is owned by the pipeline.
    #[must_use]
    pub fn meta(&self, name: impl Into<String>, role: Option<Role>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some(self.namespace().to_owned()),
            labels: Some(labels::of(self.name(), role)),
            owner_references: self.owner().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        }
    }

    /// The pipeline as owner; `None` where no cluster gave it a UID.
    #[must_use]
    pub fn owner(&self) -> Option<OwnerReference> {
        self.resource.controller_owner_ref(&())
    }
}

/// The objects that should exist.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> KubernetesResources<Prepared> {
    let mut objects = Vec::new();
    objects.extend(service_account::build(blueprint).iter().map(Desired::new));
    objects.push(Desired::new(network_policy::build(blueprint)));
    if blueprint.pipeline.provisioning != Provisioning::None {
        let (file, job) = provision_job::build(blueprint);
        objects.push(Desired::new(file));
        objects.push(Desired::new(job));
    }
    if blueprint.provisioned {
        objects.extend(workers(blueprint));
    }
    KubernetesResources::new(objects)
}

/// What runs once topic, bucket and table are there.
fn workers(blueprint: &Blueprint<'_>) -> Vec<Desired> {
    let mut objects = Vec::new();
    let (file, stateful_set) = producer::build(blueprint);
    objects.push(Desired::new(file));
    objects.push(Desired::new(stateful_set));
    objects.push(Desired::new(services::producers(blueprint)));
    let (file, lander) = deployment::lander(blueprint);
    objects.push(Desired::new(file));
    objects.push(Desired::new(lander));
    if blueprint.pipeline.monitoring.dashboard {
        let (file, analyzer) = deployment::analyzer(blueprint);
        objects.push(Desired::new(file));
        objects.push(Desired::new(analyzer));
        objects.push(Desired::new(services::page(blueprint)));
    }
    objects.extend(
        pod_disruption_budget::build(blueprint)
            .iter()
            .map(Desired::new),
    );
    for task in Task::all(blueprint.pipeline) {
        let file = task.file(blueprint);
        if task.schedule().is_some() {
            objects.push(Desired::new(cron_job::build(blueprint, task, &file)));
        }
        let id = task.id();
        for run in blueprint.runs.iter().filter(|run| *run.task() == id) {
            objects.push(Desired::new(run_job::build(blueprint, task, &file, run)));
        }
        objects.push(Desired::new(file));
    }
    objects.extend(pod_monitor::build(blueprint).map(Desired::new));
    objects.extend(prometheus_rule::build(blueprint).map(Desired::new));
    objects.extend(grafana_dashboard::build(blueprint).map(Desired::new));
    objects
}
