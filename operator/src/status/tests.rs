//! The truth table of docs/reference/conditions.md.

use std::collections::BTreeSet;
use std::sync::Arc;

use stockpipe_crds::worker_status::{
    ProvisionStatus as ProvisionReport, RoleStatus, WorkerCondition,
};

use super::*;
use crate::build::Definition;
use crate::build::samples::Sample;
use crate::children::{Child, Detail, PodDetail, Termination, WorkloadDetail};
use crate::worker_reports::samples::{lander, producer, reports, status as worker};
use crate::worker_reports::{Answer, WorkerReport};

/// A pipeline in some state; the default is one that runs.
struct State {
    sample: Sample,
    children: Vec<Arc<Child>>,
    reports: WorkerReports,
    provision: Progress,
    provision_job: Option<&'static str>,
    problem: Option<Problem>,
    paused: bool,
    landers: i32,
    outside_session: bool,
    scale: Option<ScaleStatus>,
    monitoring: Monitoring,
}

fn child(kind: ChildKind, name: &str, role: Role, detail: Detail) -> Arc<Child> {
    Arc::new(Child {
        kind,
        namespace: "market".into(),
        name: name.into(),
        uid: name.into(),
        resource_version: "1".into(),
        generation: Some(1),
        labels: labels::of("us-equities", Some(role)),
        annotations: Default::default(),
        owners: Vec::new(),
        created: None,
        deleting: false,
        detail,
    })
}

fn workload(desired: i32, ready: i32) -> Detail {
    Detail::Workload(WorkloadDetail {
        desired,
        replicas: desired,
        ready,
        updated: desired,
        observed: true,
    })
}

fn workloads(desired: i32, ready: i32) -> Vec<Arc<Child>> {
    vec![
        child(
            ChildKind::StatefulSet,
            "us-equities-produce",
            Role::Produce,
            workload(desired, ready),
        ),
        child(
            ChildKind::Deployment,
            "us-equities-land",
            Role::Land,
            workload(desired, ready),
        ),
    ]
}

fn pod(role: Role, detail: PodDetail) -> Arc<Child> {
    child(ChildKind::Pod, "pod-0", role, Detail::Pod(detail))
}

fn failed(words: &str) -> PodDetail {
    PodDetail {
        terminated: Some(Termination {
            exit_code: 1,
            message: words.into(),
            at: None,
        }),
        ..PodDetail::default()
    }
}

fn done() -> Progress {
    Progress::Done {
        at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}

impl State {
    fn running() -> Self {
        let mut sample = Sample::full();
        sample.edit(|spec| spec.monitoring.prometheus = None);
        Self {
            sample,
            children: workloads(1, 1),
            reports: reports(vec![
                producer(100),
                lander(&[(0, 1, 1), (1, 2, 1), (2, 3, 1)]),
            ]),
            provision: done(),
            provision_job: Some("us-equities-provision-1"),
            problem: None,
            paused: false,
            landers: 1,
            outside_session: false,
            scale: None,
            monitoring: Monitoring::default(),
        }
    }

    fn status(&self) -> StockPipelineStatus {
        let applied = KubernetesResources::<crate::resources::Prepared>::new(Vec::new());
        self.status_of(Some(&applied.into_applied()))
    }

    fn status_of(&self, applied: Option<&KubernetesResources<Applied>>) -> StockPipelineStatus {
        compute(&Observation {
            resource: &self.sample.resource,
            applied,
            problem: self.problem.as_ref(),
            paused: self.paused,
            children: &Children::new(self.children.clone()),
            reports: &self.reports,
            partitions: 3,
            provision_job: self.provision_job,
            provision: self.provision.clone(),
            monitoring: self.monitoring,
            landers: self.landers,
            outside_session: self.outside_session,
            closed: None,
            scale: self.scale.clone(),
            cluster_id: "c1",
            workers: None,
            handled_run_now: None,
            settled: BTreeMap::new(),
            now: "2026-11-20T21:00:00.5Z".parse().unwrap(),
        })
    }
}

/// A worker that says that something is wrong.
fn trouble(kind: &str, reason: &str) -> WorkerReports {
    let mut status = lander(&[(0, 1, 1)]);
    status.conditions = says(kind, reason);
    reports(vec![status])
}

fn says(kind: &str, reason: &str) -> Vec<WorkerCondition> {
    vec![WorkerCondition {
        kind: kind.into(),
        ok: false,
        reason: reason.into(),
        message: "partition 0 stands still".into(),
        since: "2026-11-20T20:00:00Z".parse().unwrap(),
    }]
}

/// Each row: what it is, how it comes about, the phase, and conditions as
/// `Type=Status/Reason`.
#[allow(clippy::type_complexity)]
fn table() -> Vec<(&'static str, fn(&mut State), Phase, &'static [&'static str])> {
    vec![
        (
            "it runs",
            |_| (),
            Phase::Running,
            &[
                "Ready=True/Running",
                "Provisioned=True/Provisioned",
                "Producing=True/Producing",
                "Landing=True/Landing",
                "Cataloged=True/Cataloged",
                "Reporting=True/NoRunYet",
                "Healthy=True/AsExpected",
                "Paused=False/NotPaused",
                "WorkersReachable=True/Reachable",
            ],
        ),
        (
            "it is new",
            |state| {
                state.children.clear();
                state.reports = WorkerReports::default();
                state.provision = Progress::None;
            },
            Phase::Provisioning,
            &[
                "Ready=False/Provisioning",
                "Provisioned=False/Provisioning",
                "Producing=False/WaitingForProvision",
                "Landing=False/WaitingForProvision",
                "Cataloged=False/WaitingForProvision",
                "WorkersReachable=True/NoWorkers",
            ],
        ),
        (
            "provision failed once",
            |state| {
                state.provision = Progress::Running;
                state.children = vec![pod(Role::Provision, failed("stockpipe-worker: no bucket"))];
            },
            Phase::Provisioning,
            &[
                "Ready=False/ProvisionRetrying",
                "Provisioned=False/ProvisionRetrying",
            ],
        ),
        (
            "provision waits for a secret",
            |state| {
                state.provision = Progress::Running;
                state.children = vec![pod(Role::Provision, PodDetail::default())];
                let mut status = worker(RoleStatus::Provision(ProvisionReport::default()));
                status.conditions = says("Provisioned", "SecretMissing");
                state.reports = reports(vec![status]);
            },
            Phase::Provisioning,
            &[
                "Ready=False/SecretMissing",
                "Provisioned=False/SecretMissing",
                "WorkersReachable=True/NoWorkers",
            ],
        ),
        (
            "provision gave up",
            |state| {
                state.children.clear();
                state.provision = Progress::Failed {
                    at: "2026-11-20T10:00:00Z".parse().unwrap(),
                };
            },
            Phase::Degraded,
            &[
                "Ready=False/ProvisionFailed",
                "Provisioned=False/ProvisionFailed",
            ],
        ),
        (
            "nothing is provisioned by us",
            |state| {
                state.provision_job = None;
                state.provision = Progress::None;
            },
            Phase::Running,
            &["Ready=True/Running", "Provisioned=True/NotManaged"],
        ),
        (
            "workloads are not there yet",
            |state| state.children.clear(),
            Phase::Pending,
            &["Ready=False/RollingOut", "Producing=False/WorkloadMissing"],
        ),
        (
            "pods start",
            |state| state.children = workloads(1, 0),
            Phase::Pending,
            &[
                "Ready=False/RollingOut",
                "Producing=False/PodsNotReady",
                "Landing=False/PodsNotReady",
            ],
        ),
        (
            "one lander of two is ready",
            |state| {
                state.children[1] = child(
                    ChildKind::Deployment,
                    "us-equities-land",
                    Role::Land,
                    workload(2, 1),
                )
            },
            Phase::Pending,
            &["Ready=False/RollingOut", "Landing=True/Landing"],
        ),
        (
            "a lander crashes",
            |state| {
                state.children = workloads(1, 0);
                state.children[0] = workloads(1, 1)[0].clone();
                state.children.push(pod(
                    Role::Land,
                    PodDetail {
                        waiting: Some("CrashLoopBackOff".into()),
                        ..failed("cannot reach s3")
                    },
                ));
            },
            Phase::Degraded,
            &[
                "Ready=False/CrashLoopBackOff",
                "Landing=False/CrashLoopBackOff",
                "Healthy=False/CrashLoopBackOff",
                "Producing=True/Producing",
            ],
        ),
        (
            "a pod fits on no node",
            |state| {
                state.children = workloads(1, 0);
                state.children.push(pod(
                    Role::Produce,
                    PodDetail {
                        unschedulable: Some("0/3 nodes are available".into()),
                        ..PodDetail::default()
                    },
                ));
            },
            Phase::Degraded,
            &[
                "Producing=False/Unschedulable",
                "Healthy=False/Unschedulable",
            ],
        ),
        (
            "the log diverged",
            |state| state.reports = trouble("Landing", "LogDiverged"),
            Phase::Degraded,
            &["Ready=False/LogDiverged", "Landing=False/LogDiverged"],
        ),
        (
            "Glue takes no partitions",
            |state| state.reports = trouble("Cataloged", "PartitionsUnregistered"),
            Phase::Running,
            &[
                "Ready=True/Running",
                "Cataloged=False/PartitionsUnregistered",
            ],
        ),
        (
            "the source has ended",
            |state| {
                let mut finished = producer(0);
                if let RoleStatus::Produce(produce) = &mut finished.role {
                    produce.finished = true;
                }
                state.reports = reports(vec![finished]);
            },
            Phase::Running,
            &["Ready=True/Running", "Producing=True/SourceFinished"],
        ),
        (
            "a worker does not answer",
            |state| {
                state.reports = WorkerReports::new([(
                    "u".to_owned(),
                    WorkerReport {
                        pod: "pod-0".into(),
                        at: "2026-11-20T21:00:00Z".parse().unwrap(),
                        answer: Answer::Silent("no answer within 2 s".into()),
                    },
                )]);
            },
            Phase::Running,
            &[
                "Ready=True/Running",
                "WorkersReachable=Unknown/WorkersUnreachable",
            ],
        ),
        (
            "the market is closed",
            |state| {
                state.landers = 0;
                state.outside_session = true;
                state.children[1] = child(
                    ChildKind::Deployment,
                    "us-equities-land",
                    Role::Land,
                    workload(0, 0),
                );
            },
            Phase::Running,
            &["Ready=True/Running", "Landing=True/OutsideSession"],
        ),
        (
            "it has no landers",
            |state| {
                state.landers = 0;
                state.children[1] = child(
                    ChildKind::Deployment,
                    "us-equities-land",
                    Role::Land,
                    workload(0, 0),
                );
            },
            Phase::Degraded,
            &["Ready=False/ScaledToZero", "Landing=False/ScaledToZero"],
        ),
        (
            "it is being suspended",
            |state| state.sample.edit(|spec| spec.suspend = true),
            Phase::Suspended,
            &["Ready=False/Suspending", "Producing=False/Suspended"],
        ),
        (
            "it is suspended",
            |state| {
                state.sample.edit(|spec| spec.suspend = true);
                state.children = workloads(0, 0);
                state.reports = WorkerReports::default();
            },
            Phase::Suspended,
            &[
                "Ready=True/Suspended",
                "Producing=False/Suspended",
                "Landing=False/Suspended",
            ],
        ),
        (
            "it is paused",
            |state| state.paused = true,
            Phase::Paused,
            &["Ready=True/Paused", "Paused=True/PausedByAnnotation"],
        ),
        (
            "its spec cannot be run",
            |state| {
                state.problem = Some(Problem {
                    reason: "KafkaAddressMissing".into(),
                    message: "write host:port".into(),
                });
            },
            Phase::Degraded,
            &["Ready=False/KafkaAddressMissing"],
        ),
        (
            "it is being deleted",
            |state| {
                state.sample.resource.metadata.deletion_timestamp =
                    serde_json::from_value(serde_json::json!("2026-11-20T20:00:00Z")).unwrap();
            },
            Phase::Deleting,
            &["Ready=False/Deleting"],
        ),
        (
            "a report failed",
            |state| {
                state.sample.resource.status = Some(StockPipelineStatus {
                    reports: serde_json::from_value(serde_json::json!([{
                        "name": "rates", "lastKey": "report/rates@2026-11-20T1500Z", "state": "Failed"
                    }]))
                    .unwrap(),
                    ..StockPipelineStatus::default()
                });
            },
            Phase::Degraded,
            &["Ready=True/Running", "Reporting=False/RunFailed"],
        ),
        (
            "reports ran",
            |state| {
                state.sample.resource.status = Some(StockPipelineStatus {
                    reports: serde_json::from_value(serde_json::json!([{
                        "name": "rates", "lastKey": "report/rates@2026-11-20T1500Z", "state": "Succeeded"
                    }]))
                    .unwrap(),
                    ..StockPipelineStatus::default()
                });
            },
            Phase::Running,
            &["Reporting=True/LastRunsSucceeded"],
        ),
        (
            "a crawl failed",
            |state| {
                state.sample.resource.status = Some(StockPipelineStatus {
                    catalog: serde_json::from_value(serde_json::json!({"lastCrawl": {
                        "key": "crawl/ticks@2026-11-20T1505Z", "time": "2026-11-20T15:06:00Z",
                        "state": "Failed", "message": "crawler x was stopped before its end"
                    }}))
                    .unwrap(),
                    ..StockPipelineStatus::default()
                });
            },
            Phase::Degraded,
            &["Ready=True/Running", "Cataloged=False/CrawlFailed"],
        ),
        (
            "Prometheus' definitions are missing",
            |state| {
                state.sample.edit(|spec| {
                    spec.monitoring.prometheus = serde_json::from_value(
                        serde_json::json!({"podMonitor": true, "rules": true}),
                    )
                    .unwrap();
                });
            },
            Phase::Running,
            &["Ready=True/Running", "Monitored=False/DefinitionMissing"],
        ),
        (
            "the operator may not write for Prometheus",
            |state| {
                state.sample.edit(|spec| {
                    spec.monitoring.prometheus = serde_json::from_value(
                        serde_json::json!({"podMonitor": true, "rules": true}),
                    )
                    .unwrap();
                });
                state.monitoring.pod_monitor = Definition::There;
                state.monitoring.prometheus_rule = Definition::Forbidden;
            },
            Phase::Running,
            &["Ready=True/Running", "Monitored=False/Forbidden"],
        ),
        (
            "Prometheus' definitions are there",
            |state| {
                state.sample.edit(|spec| {
                    spec.monitoring.prometheus =
                        serde_json::from_value(serde_json::json!({"podMonitor": true})).unwrap();
                });
                state.monitoring.pod_monitor = Definition::There;
            },
            Phase::Running,
            &["Monitored=True/Applied"],
        ),
        (
            "Prometheus is asked for nothing",
            |state| {
                state.sample.edit(|spec| {
                    spec.monitoring.prometheus =
                        serde_json::from_value(serde_json::json!({})).unwrap();
                });
            },
            Phase::Running,
            &["Monitored=True/NothingAsked"],
        ),
    ]
}

#[test]
fn each_state_has_its_phase_and_conditions() {
    for (what, arrange, phase, conditions) in table() {
        let mut state = State::running();
        arrange(&mut state);
        let status = state.status();
        let found: Vec<String> = status
            .conditions
            .iter()
            .map(|condition| {
                format!(
                    "{}={}/{}",
                    condition.type_, condition.status, condition.reason
                )
            })
            .collect();
        for condition in conditions {
            assert!(
                found.iter().any(|found| found == condition),
                "{what}: {condition} is not among {found:#?}"
            );
        }
        assert_eq!(status.phase, Some(phase), "{what}");
        for condition in &status.conditions {
            assert_eq!(condition.observed_generation, Some(1), "{what}");
        }
    }
}

#[test]
fn the_documentation_has_every_row_of_the_table_and_every_reason() {
    let text = include_str!("../../../docs/reference/conditions.md");
    let documented: BTreeSet<&str> = text.split('`').skip(1).step_by(2).collect();
    for kind in CONDITION_TYPES {
        assert!(documented.contains(kind), "{kind}");
    }
    for (what, arrange, _, _) in table() {
        let mut state = State::running();
        arrange(&mut state);
        for condition in state.status().conditions {
            let reason = condition.reason.as_str();
            assert!(documented.contains(reason), "{what}: {reason}");
        }
    }
}

#[test]
fn the_time_of_a_condition_is_that_of_its_last_change() {
    let mut state = State::running();
    let mut first = state.status();
    for condition in &mut first.conditions {
        condition.last_transition_time.0 = "2026-11-20T09:00:00Z".parse().unwrap();
    }
    state.sample.resource.status = Some(first.clone());
    assert_eq!(state.status(), first, "nothing changed, nothing is written");
    state.paused = true;
    for condition in state.status().conditions {
        let changed = condition.type_ == "Paused";
        let time = condition.last_transition_time.0.to_string();
        let expected = if changed {
            "2026-11-20T21:00:00Z"
        } else {
            "2026-11-20T09:00:00Z"
        };
        assert_eq!(time, expected, "{}", condition.type_);
    }
}

#[test]
fn of_a_spec_that_is_not_on_the_cluster_yet_nothing_is_said() {
    let mut state = State::running();
    assert_eq!(state.status_of(None).observed_generation, None);
    state.sample.resource.status = Some(state.status());
    state.sample.resource.metadata.generation = Some(2);
    assert_eq!(state.status_of(None).observed_generation, Some(1));
    assert_eq!(state.status().observed_generation, Some(2));
}

#[test]
fn a_status_with_everything_stays_under_ten_kilobytes() {
    let mut state = State::running();
    state.children.push(pod(
        Role::Land,
        PodDetail {
            waiting: Some("CrashLoopBackOff".into()),
            ..failed(&"x".repeat(5_000))
        },
    ));
    state.reports = trouble("Landing", &"R".repeat(500));
    let length = serde_json::to_string(&state.status()).unwrap().len();
    assert!(length < 10_000, "{length}");
}

#[test]
fn what_prometheus_lacks_and_what_the_operator_may_not_are_told_apart() {
    let told = |pod_monitor, prometheus_rule| {
        let mut state = State::running();
        state.sample.edit(|spec| {
            spec.monitoring.prometheus =
                serde_json::from_value(serde_json::json!({"podMonitor": true, "rules": true}))
                    .unwrap();
        });
        state.monitoring = Monitoring {
            pod_monitor,
            prometheus_rule,
        };
        let conditions = state.status().conditions;
        let found = conditions.into_iter().find(|c| c.type_ == "Monitored");
        found.unwrap().message
    };
    let (missing, forbidden) = (Definition::Missing, Definition::Forbidden);
    for (pod_monitor, rule, start) in [
        (
            missing,
            missing,
            "the cluster has no PodMonitor and no PrometheusRule: install the Prometheus operator",
        ),
        (
            Definition::There,
            missing,
            "the cluster has no PrometheusRule: ",
        ),
        (missing, forbidden, "the cluster has no PodMonitor: "),
        (
            forbidden,
            forbidden,
            "the operator may write no PodMonitor and no PrometheusRule: set rbac.prometheusOperator",
        ),
    ] {
        let message = told(pod_monitor, rule);
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn a_change_of_the_autoscaler_is_told_and_kept_while_it_decides() {
    let mut state = State::running();
    let scaling = |status: StockPipelineStatus| status.consumer.unwrap().last_scale;
    state.sample.edit(|spec| {
        spec.consumer.autoscaling =
            Some(serde_json::from_value(serde_json::json!({"maxReplicas": 3})).unwrap());
    });
    assert_eq!(scaling(state.status()), None);
    let scale = ScaleStatus {
        time: "2026-11-20T21:00:00Z".into(),
        from: 2,
        to: 1,
    };
    state.scale = Some(scale.clone());
    let status = state.status();
    state.scale = None;
    state.sample.resource.status = Some(status);
    assert_eq!(scaling(state.status()), Some(scale));
    state.sample.edit(|spec| spec.consumer.autoscaling = None);
    assert_eq!(scaling(state.status()), None);
}
