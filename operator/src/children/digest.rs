//! What is kept of a child: enough to see drift and to tell how it is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::child_kind::ChildKind;

/// Longest text of another's that is kept, in bytes: a termination message is
/// at most 2 KiB of ours.
const LONGEST_TEXT: usize = 4096;

/// A child, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its version in the store; grows with every write.
    pub resource_version: String,
    /// Counts changes of the spec, where the kind has it.
    pub generation: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Owners.
    pub owners: Vec<OwnerReference>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What its kind adds.
    pub detail: Detail,
}

/// What a child's kind adds.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// Nothing.
    None,
    /// A Deployment or StatefulSet.
    Workload(WorkloadDetail),
    /// A Job.
    Job(JobDetail),
    /// A CronJob.
    CronJob {
        /// Whether it is suspended.
        suspend: bool,
    },
    /// A pod.
    Pod(PodDetail),
}

/// A Deployment or StatefulSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkloadDetail {
    /// Pods that it should have.
    pub desired: i32,
    /// Pods that it has.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Whether its controller has seen the newest spec.
    pub observed: bool,
}

/// A Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobDetail {
    /// How it ended, if it has.
    pub outcome: Option<JobOutcome>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it failed, in the Job controller's words.
    pub message: String,
}

/// How a Job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// Its pod succeeded.
    Complete,
    /// It gave up.
    Failed,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodDetail {
    /// Where its worker serves `/status`.
    pub ip: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it shares the node's addresses; then it is not polled.
    pub host_network: bool,
    /// How often its worker was started again.
    pub restarts: i32,
    /// Why its worker waits to start: CrashLoopBackOff, ImagePullBackOff, ….
    pub waiting: Option<String>,
    /// How its worker last ended.
    pub terminated: Option<Termination>,
    /// Why it cannot be scheduled, in the scheduler's words.
    pub unschedulable: Option<String>,
}

/// How a worker ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Termination {
    /// Exit code.
    pub exit_code: i32,
    /// Its last words: a copy of the run's record, or why it failed.
    pub message: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// The digest of an object whose metadata alone is watched; `None` where it has
/// no name or UID, which no cluster serves.
#[must_use]
pub fn digest_metadata(kind: ChildKind, meta: &ObjectMeta) -> Option<Child> {
    Some(Child {
        kind,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone()?,
        uid: meta.uid.clone()?,
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        generation: meta.generation,
        labels: meta.labels.clone().unwrap_or_default(),
        annotations: meta.annotations.clone().unwrap_or_default(),
        owners: meta.owner_references.clone().unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().map(|time| time.0),
        deleting: meta.deletion_timestamp.is_some(),
        detail: Detail::None,
    })
}

/// The digest of an object as the API server answers it.
#[must_use]
pub fn digest(kind: ChildKind, object: &Value) -> Option<Child> {
    let meta: ObjectMeta = part(object, "metadata")?;
    let mut child = digest_metadata(kind, &meta)?;
    child.detail = match kind {
        ChildKind::Deployment => workload(&typed::<Deployment>(object)?),
        ChildKind::StatefulSet => stateful_set(&typed::<StatefulSet>(object)?),
        ChildKind::Job => job(&typed::<Job>(object)?),
        ChildKind::CronJob => {
            let cron_job: CronJob = typed(object)?;
            Detail::CronJob {
                suspend: cron_job.spec.suspend.unwrap_or_default(),
            }
        }
        ChildKind::Pod => pod(&typed::<Pod>(object)?),
        _ => Detail::None,
    };
    // The last-applied annotation of a client-side apply is a copy of the object.
    child
        .annotations
        .remove("kubectl.kubernetes.io/last-applied-configuration");
    Some(child)
}

fn typed<T: DeserializeOwned>(object: &Value) -> Option<T> {
    T::deserialize(object).ok()
}

fn part<T: DeserializeOwned>(object: &Value, field: &str) -> Option<T> {
    T::deserialize(object.get(field)?).ok()
}

fn workload(object: &Deployment) -> Detail {
    let status = object.status.clone().unwrap_or_default();
    Detail::Workload(WorkloadDetail {
        desired: object
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1),
        replicas: status.replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        observed: status.observed_generation >= object.metadata.generation,
    })
}

fn stateful_set(object: &StatefulSet) -> Detail {
    let status = object.status.clone().unwrap_or_default();
    Detail::Workload(WorkloadDetail {
        desired: object
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1),
        replicas: status.replicas,
        ready: status.ready_replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        observed: status.observed_generation >= object.metadata.generation,
    })
}

fn job(object: &Job) -> Detail {
    let status = object.status.clone().unwrap_or_default();
    let ended = status.conditions.iter().flatten().find_map(|condition| {
        let outcome = match (condition.type_.as_str(), condition.status.as_str()) {
            ("Complete", "True") => JobOutcome::Complete,
            ("Failed", "True") => JobOutcome::Failed,
            _ => return None,
        };
        let at = condition.last_transition_time.as_ref().map(|time| time.0);
        let message = clip(condition.message.as_deref().unwrap_or_default());
        Some((outcome, at, message))
    });
    let (outcome, at, message) = match ended {
        Some((outcome, at, message)) => (Some(outcome), at, message),
        None => (None, None, String::new()),
    };
    Detail::Job(JobDetail {
        outcome,
        ended: at,
        message,
    })
}

/// Name of the container that a worker runs in.
pub const CONTAINER: &str = "worker";

fn pod(object: &Pod) -> Detail {
    let spec = object.spec.as_ref();
    let status = object.status.clone().unwrap_or_default();
    let container = status
        .container_statuses
        .iter()
        .flatten()
        .find(|container| container.name == CONTAINER);
    let state = container.and_then(|container| container.state.clone());
    let terminated = state
        .as_ref()
        .and_then(|state| state.terminated.clone())
        .or_else(|| container?.last_state.clone()?.terminated);
    let true_condition = |kind: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.type_ == kind && condition.status == "True")
    };
    Detail::Pod(PodDetail {
        ip: status.pod_ip.clone(),
        running: status.phase.as_deref() == Some("Running"),
        ready: true_condition("Ready"),
        host_network: spec.and_then(|spec| spec.host_network).unwrap_or_default(),
        restarts: container.map_or(0, |container| container.restart_count),
        waiting: state
            .and_then(|state| state.waiting)
            .and_then(|waiting| waiting.reason)
            // Said of every pod while it starts.
            .filter(|reason| !matches!(reason.as_str(), "ContainerCreating" | "PodInitializing")),
        terminated: terminated.map(|terminated| Termination {
            exit_code: terminated.exit_code,
            message: clip(terminated.message.as_deref().unwrap_or_default()),
            at: terminated.finished_at.map(|time| time.0),
        }),
        unschedulable: status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
            .map(|condition| clip(condition.message.as_deref().unwrap_or_default())),
    })
}

fn clip(text: &str) -> String {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(kind: &str, api_version: &str, rest: Value) -> Value {
        let mut object = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2}
        });
        for (key, value) in rest.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    }

    #[test]
    fn a_deployment_is_observed_once_its_controller_saw_the_newest_spec() {
        for (seen, observed) in [(1, false), (2, true)] {
            let deployment = object(
                "Deployment",
                "apps/v1",
                json!({
                    "spec": {"replicas": 3, "selector": {}, "template": {}},
                    "status": {"observedGeneration": seen, "replicas": 3, "readyReplicas": 2}
                }),
            );
            let Some(Detail::Workload(workload)) =
                digest(ChildKind::Deployment, &deployment).map(|child| child.detail)
            else {
                panic!("a workload")
            };
            assert_eq!((workload.desired, workload.ready), (3, 2));
            assert_eq!(workload.observed, observed);
        }
    }

    #[test]
    fn a_job_has_ended_when_a_condition_says_so() {
        for (conditions, outcome) in [
            (json!([]), None),
            (json!([{"type": "Complete", "status": "False"}]), None),
            (
                json!([{"type": "Complete", "status": "True"}]),
                Some(JobOutcome::Complete),
            ),
            (
                json!([{"type": "SuccessCriteriaMet", "status": "True"}]),
                None,
            ),
            (
                json!([{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]),
                Some(JobOutcome::Failed),
            ),
        ] {
            let job = object(
                "Job",
                "batch/v1",
                json!({"status": {"conditions": conditions}}),
            );
            let Some(Detail::Job(job)) = digest(ChildKind::Job, &job).map(|child| child.detail)
            else {
                panic!("a job")
            };
            assert_eq!(job.outcome, outcome, "{conditions}");
        }
    }

    #[test]
    fn a_pods_last_words_are_those_of_its_worker_now_or_before() {
        let pod = object(
            "Pod",
            "v1",
            json!({
                "spec": {"containers": []},
                "status": {
                    "phase": "Running", "podIP": "10.0.0.7",
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [
                        {"name": "sidecar", "restartCount": 9, "image": "", "imageID": "", "ready": true},
                        {"name": "worker", "restartCount": 2, "image": "", "imageID": "", "ready": true,
                         "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                         "lastState": {"terminated": {"exitCode": 1, "message": "no bucket"}}}
                    ]
                }
            }),
        );
        let Some(Detail::Pod(pod)) = digest(ChildKind::Pod, &pod).map(|child| child.detail) else {
            panic!("a pod")
        };
        assert_eq!(pod.restarts, 2);
        assert_eq!(pod.waiting.as_deref(), Some("CrashLoopBackOff"));
        assert_eq!(pod.terminated.unwrap().message, "no bucket");
        assert!(pod.ready && pod.running && !pod.host_network);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "é".repeat(LONGEST_TEXT);
        assert!(clip(&text).len() <= LONGEST_TEXT);
        assert!(clip(&text).chars().all(|c| c == 'é'));
    }
}
