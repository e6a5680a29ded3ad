//! Asks the workers how they are: a loop of its own, which reconciles a pipeline
//! only when a rounded value changed.
//!
//! The operator dials nothing but `/status` at a fixed port, of pods whose
//! owners are ours and that have an address of their own; it follows no
//! redirect, waits two seconds and reads 64 KiB. A provision pod is asked too,
//! which may wait for a secret; that it does not answer says nothing, because
//! it comes and goes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::worker_status::{RoleStatus, WorkerStatus};
use tokio::net::TcpStream;

use crate::build::pod::STATUS_PORT;
use crate::child_kind::ChildKind;
use crate::children::{Child, Children, Detail};
use crate::context::Context;
use crate::labels::{self, Role};
use crate::pipeline_ref::PipelineRef;
use crate::scope::{Guarded, Scope};
use crate::status::LiveNumbers;
use crate::worker_reports::{Answer, WorkerReport, WorkerReports};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(15);
/// Time that a worker has to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Workers that are asked at once.
const AT_ONCE: usize = 32;

/// Asks every worker of every pipeline, for ever, while this process leads.
pub async fn run(context: Arc<Context>, scopes: Vec<Scope>) {
    loop {
        if context.leads() {
            round(&context, &scopes).await;
        }
        // Up to a tenth earlier, so that two installs fall out of step.
        let jitter = u64::from(Timestamp::now().subsec_nanosecond().unsigned_abs() % 1_500);
        tokio::time::sleep(ROUND - Duration::from_millis(jitter)).await;
    }
}

async fn round(context: &Context, scopes: &[Scope]) {
    let pipelines: Vec<(&Scope, Arc<Guarded>)> = scopes
        .iter()
        .flat_map(|scope| {
            scope
                .pipelines()
                .into_iter()
                .map(move |guard| (scope, guard))
        })
        .collect();
    let mut asked = Vec::new();
    let mut reports: BTreeMap<PipelineRef, Vec<(String, WorkerReport)>> = BTreeMap::new();
    for (_, guard) in &pipelines {
        let Ok(resource) = &guard.0 else { continue };
        let pipeline = PipelineRef::of(resource);
        if !context.claims.holds(&pipeline.namespace) {
            continue;
        }
        let children = context.cache.children(&pipeline);
        let uid = resource.metadata.uid.as_deref().unwrap_or_default();
        for pod in polled(&children, uid) {
            asked.push((pipeline.clone(), pod));
        }
        reports.insert(pipeline, Vec::new());
    }
    let answers = futures::stream::iter(asked)
        .map(|(pipeline, pod)| async move {
            let answer = ask(pod.address, &pipeline).await;
            (pipeline, pod, answer)
        })
        .buffer_unordered(AT_ONCE);
    let mut answers = std::pin::pin!(answers);
    while let Some((pipeline, pod, answer)) = answers.next().await {
        context.metrics.polled(match &answer {
            Answer::Status(_) => "Answered",
            Answer::Silent(_) => "Silent",
        });
        let report = WorkerReport {
            pod: pod.name,
            at: Timestamp::now(),
            answer,
        };
        if pod.passing && matches!(report.answer, Answer::Silent(_)) {
            continue;
        }
        reports.entry(pipeline).or_default().push((pod.uid, report));
    }
    for (scope, guard) in &pipelines {
        let Ok(resource) = &guard.0 else { continue };
        let pipeline = PipelineRef::of(resource);
        let next = WorkerReports::new(reports.remove(&pipeline).unwrap_or_default());
        if take_in(context, resource, &pipeline, next) {
            scope.enqueue(&pipeline);
        }
    }
}

/// Keeps what was said. Says whether the pipeline should be looked at.
fn take_in(
    context: &Context,
    resource: &StockPipeline,
    pipeline: &PipelineRef,
    next: WorkerReports,
) -> bool {
    let partitions = resource.spec.kafka.topic.partitions;
    context.known.update(pipeline, |known| {
        let changed = bucketed(&known.reports, partitions) != bucketed(&next, partitions);
        known.history.saw(&next, Timestamp::now());
        known.reports = Arc::new(next);
        // The autoscaler's decision follows the clock too.
        changed || resource.spec.consumer.autoscaling.is_some()
    })
}

/// What of the reports a status shows.
fn bucketed(reports: &WorkerReports, partitions: i32) -> impl PartialEq + use<> {
    let conditions: Vec<(String, bool, String)> = reports
        .statuses()
        .flat_map(|status| &status.conditions)
        .map(|condition| {
            (
                condition.kind.clone(),
                condition.ok,
                condition.reason.clone(),
            )
        })
        .collect();
    let silent: Vec<String> = reports.silent().map(|(pod, _)| pod.to_owned()).collect();
    let finished: Vec<bool> = reports
        .producers()
        .map(|producer| producer.finished)
        .collect();
    let answered = reports.statuses().count();
    (
        LiveNumbers::of(reports, partitions, None),
        conditions,
        silent,
        finished,
        answered,
    )
}

/// A worker that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Polled {
    uid: String,
    name: String,
    address: IpAddr,
    /// Whether it ends by itself.
    passing: bool,
}

/// The pods among `children` that run workers of the pipeline with `uid`: by
/// their chain of owners, because anybody may write a label.
fn polled(children: &Children, uid: &str) -> Vec<Polled> {
    [Role::Produce, Role::Land, Role::Analyze, Role::Provision]
        .into_iter()
        .flat_map(|role| {
            children
                .pods(role)
                .map(move |(child, pod)| (role, child, pod))
        })
        .filter(|(_, child, pod)| pod.running && !pod.host_network && is_ours(child, children, uid))
        .filter_map(|(role, child, pod)| {
            Some(Polled {
                passing: role == Role::Provision,
                uid: child.uid.clone(),
                name: child.name.clone(),
                address: pod.ip.as_deref()?.parse().ok()?,
            })
        })
        .collect()
}

fn is_ours(pod: &Child, children: &Children, uid: &str) -> bool {
    let owner = |child: &Child, kind: ChildKind| -> Option<Arc<Child>> {
        let owner = child
            .owners
            .iter()
            .find(|owner| owner.controller == Some(true) && owner.kind == kind.as_str())?;
        children
            .get(kind, &owner.name)
            .filter(|found| found.uid == owner.uid)
            .cloned()
    };
    let workload = match owner(pod, ChildKind::ReplicaSet) {
        Some(replica_set) => owner(&replica_set, ChildKind::Deployment),
        None => owner(pod, ChildKind::StatefulSet).or_else(|| owner(pod, ChildKind::Job)),
    };
    workload.is_some_and(|workload| {
        matches!(workload.detail, Detail::Workload(_) | Detail::Job(_))
            && workload.owners.iter().any(|owner| owner.uid == uid)
            && workload.labels.get(labels::MANAGED_BY).map(String::as_str) == Some(labels::MANAGER)
    })
}

async fn ask(address: IpAddr, pipeline: &PipelineRef) -> Answer {
    let answer = tokio::time::timeout(PATIENCE, get(address)).await;
    let body = match answer {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => return Answer::Status(None),
        Ok(Err(why)) => return Answer::Silent(why),
        Err(_) => return Answer::Silent(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    read(&body, pipeline)
}

/// The body of `/status`; nothing where the worker has nothing to say yet.
async fn get(address: IpAddr) -> Result<Option<Bytes>, String> {
    let port = u16::try_from(STATUS_PORT).unwrap_or_default();
    let stream = TcpStream::connect((address, port))
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
    // Ends with the sender, at the latest when the patience does.
    let connection = tokio::spawn(connection);
    let request = Request::get("/status")
        .header("host", address.to_string())
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let answered = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status()));
        }
        Limited::new(response.into_body(), LONGEST_ANSWER)
            .collect()
            .await
            .map(|body| Some(body.to_bytes()))
            .map_err(|error| error.to_string())
    }
    .await;
    connection.abort();
    answered
}

/// Reads an answer: of the closed schema, and of this pipeline.
fn read(body: &[u8], pipeline: &PipelineRef) -> Answer {
    match serde_json::from_slice::<WorkerStatus>(body) {
        Ok(status) => {
            if status.pipeline != pipeline.to_string() {
                return Answer::Silent("it says that it is another pipeline's".to_owned());
            }
            match status.role {
                RoleStatus::Produce(_)
                | RoleStatus::Land(_)
                | RoleStatus::Analyze(_)
                | RoleStatus::Provision(_) => Answer::Status(Some(Box::new(status))),
                _ => Answer::Silent("it says that it has another role".to_owned()),
            }
        }
        Err(error) => Answer::Silent(format!("its answer cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::{JobDetail, PodDetail, WorkloadDetail};
    use crate::worker_reports::samples::producer;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    fn child(kind: ChildKind, name: &str, owner: (&str, &str, &str), detail: Detail) -> Arc<Child> {
        let (owner_kind, owner_name, owner_uid) = owner;
        Arc::new(Child {
            kind,
            namespace: "n".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
            resource_version: "1".into(),
            generation: None,
            labels: labels::of("x", Some(Role::Land)),
            annotations: Default::default(),
            owners: vec![OwnerReference {
                kind: owner_kind.into(),
                name: owner_name.into(),
                uid: owner_uid.into(),
                controller: Some(true),
                ..OwnerReference::default()
            }],
            created: None,
            deleting: false,
            detail,
        })
    }

    fn chain(pod: PodDetail, pipeline: &str, replica_set: &str) -> Children {
        Children::new([
            child(
                ChildKind::Deployment,
                "land",
                ("StockPipeline", "x", pipeline),
                Detail::Workload(WorkloadDetail::default()),
            ),
            child(
                ChildKind::ReplicaSet,
                "land-1",
                ("Deployment", "land", "uid-land"),
                Detail::None,
            ),
            child(
                ChildKind::Pod,
                "land-1-a",
                ("ReplicaSet", "land-1", replica_set),
                Detail::Pod(pod),
            ),
        ])
    }

    fn running(ip: &str) -> PodDetail {
        PodDetail {
            ip: Some(ip.into()),
            running: true,
            ..PodDetail::default()
        }
    }

    #[test]
    fn only_pods_whose_owners_are_ours_are_asked() {
        let on_host = PodDetail {
            host_network: true,
            ..running("10.0.0.1")
        };
        let starting = PodDetail {
            running: false,
            ..running("10.0.0.1")
        };
        for (what, children, count) in [
            ("ours", chain(running("10.0.0.1"), "mine", "uid-land-1"), 1),
            ("IPv6", chain(running("fd00::1"), "mine", "uid-land-1"), 1),
            (
                "another pipeline's",
                chain(running("10.0.0.1"), "theirs", "uid-land-1"),
                0,
            ),
            (
                "a ReplicaSet's of that name",
                chain(running("10.0.0.1"), "mine", "other"),
                0,
            ),
            (
                "on the host's network",
                chain(on_host, "mine", "uid-land-1"),
                0,
            ),
            ("not running", chain(starting, "mine", "uid-land-1"), 0),
            (
                "no address",
                chain(running("example.com"), "mine", "uid-land-1"),
                0,
            ),
        ] {
            assert_eq!(polled(&children, "mine").len(), count, "{what}");
        }
    }

    #[test]
    fn a_provision_pod_is_asked_whose_job_is_ours() {
        let asked = |pipeline: &str| {
            let job = child(
                ChildKind::Job,
                "provision",
                ("StockPipeline", "x", pipeline),
                Detail::Job(JobDetail {
                    outcome: None,
                    ended: None,
                    message: String::new(),
                }),
            );
            let owner = ("Job", "provision", "uid-provision");
            let pod = child(
                ChildKind::Pod,
                "provision-a",
                owner,
                Detail::Pod(running("10.0.0.1")),
            );
            let mut pod = Arc::unwrap_or_clone(pod);
            pod.labels = labels::of("x", Some(Role::Provision));
            polled(&Children::new([job, Arc::new(pod)]), "mine")
        };
        assert!(asked("mine")[0].passing);
        assert!(asked("theirs").is_empty());
    }

    #[test]
    fn an_answer_is_of_the_schema_and_of_this_pipeline() {
        let pipeline = PipelineRef::new("market", "us-equities");
        // What a worker serves: `stockpipe_workers::status`.
        let status = serde_json::to_string(&producer(7)).unwrap();
        assert!(matches!(
            read(status.as_bytes(), &pipeline),
            Answer::Status(Some(_))
        ));
        for (body, says) in [
            (status.replace("us-equities", "other"), "another pipeline"),
            ("<html>".to_owned(), "cannot be read"),
            ("{\"role\": \"produce\"}".to_owned(), "cannot be read"),
            (
                format!("{{\"role\": \"produce\", \"status\": {status}}}"),
                "cannot be read",
            ),
        ] {
            let Answer::Silent(why) = read(body.as_bytes(), &pipeline) else {
                panic!("{body}")
            };
            assert!(why.contains(says), "{why}");
        }
    }
}
