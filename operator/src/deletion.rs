//! How a pipeline with a teardown ends: stop the workers, wait until their pods
//! are gone, tear down, release. What to do next is decided from what is there.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::child_kind::ChildKind;
use crate::children::{Child, Children, Detail, JobOutcome};
use crate::labels::{self, Role};

/// After this a pipeline is released although its teardown is not done.
pub const DEADLINE: SignedDuration = SignedDuration::from_mins(10);
/// Another deadline for one pipeline, as 90s, 10m, 2h.
pub const DEADLINE_ANNOTATION: &str = "stockpipe.dev/teardown-deadline";

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Delete these, which run workers or make Jobs.
    Stop(Vec<Arc<Child>>),
    /// Wait until the workers' pods are gone.
    WaitForPods {
        /// One of them.
        pod: String,
    },
    /// Make the teardown Job, or wait for it.
    TearDown {
        /// What its last pod said, if it failed.
        trouble: Option<String>,
    },
    /// All is gone: release the pipeline.
    Release,
    /// Release it although things stay behind.
    GiveUp {
        /// Why.
        why: String,
    },
}

/// What to do next about a pipeline that is being deleted since `since`.
#[must_use]
pub fn next(
    children: &Children,
    uid: &str,
    teardown_job: &str,
    since: Timestamp,
    deadline: SignedDuration,
    now: Timestamp,
) -> Next {
    let late = now.duration_since(since) >= deadline;
    let step = step(children, uid, teardown_job);
    match step {
        Next::Release | Next::GiveUp { .. } => step,
        _ if !late => step,
        Next::Stop(_) => Next::GiveUp {
            why: "its workers could not be stopped".to_owned(),
        },
        Next::WaitForPods { pod } => Next::GiveUp {
            why: format!("pod {pod} does not end"),
        },
        Next::TearDown { trouble } => Next::GiveUp {
            why: trouble.unwrap_or_else(|| "its teardown has not ended".to_owned()),
        },
    }
}

fn step(children: &Children, uid: &str, teardown_job: &str) -> Next {
    let running: Vec<Arc<Child>> = children
        .iter()
        .filter(|child| {
            matches!(
                child.kind,
                ChildKind::StatefulSet
                    | ChildKind::Deployment
                    | ChildKind::CronJob
                    | ChildKind::Job
            )
        })
        .filter(|child| !child.deleting && !is_teardown(child))
        // Jobs of CronJobs are the CronJobs'; they would be collected later.
        .filter(|child| {
            child.kind == ChildKind::Job || child.owners.iter().any(|owner| owner.uid == uid)
        })
        .cloned()
        .collect();
    if !running.is_empty() {
        return Next::Stop(running);
    }
    let pod = children
        .of_kind(ChildKind::Pod)
        .find(|child| !is_teardown(child) && !has_ended(child));
    if let Some(pod) = pod {
        return Next::WaitForPods {
            pod: pod.name.clone(),
        };
    }
    let job = children
        .jobs()
        .find(|(child, _)| child.name == teardown_job)
        .map(|(_, job)| job);
    match job.and_then(|job| job.outcome) {
        Some(JobOutcome::Complete) => Next::Release,
        Some(JobOutcome::Failed) => Next::GiveUp {
            why: last_words(children).unwrap_or_else(|| "its teardown failed".to_owned()),
        },
        None => Next::TearDown {
            trouble: last_words(children),
        },
    }
}

fn is_teardown(child: &Child) -> bool {
    child.labels.get(labels::COMPONENT).map(String::as_str) == Some(Role::Teardown.as_str())
}

/// Whether a pod's worker has ended, so that only its log is left.
fn has_ended(child: &Child) -> bool {
    match &child.detail {
        Detail::Pod(pod) => !pod.running && pod.terminated.is_some(),
        _ => false,
    }
}

fn last_words(children: &Children) -> Option<String> {
    children
        .pods(Role::Teardown)
        .filter_map(|(child, pod)| {
            let last = pod.terminated.as_ref().filter(|last| last.exit_code != 0)?;
            let line = last
                .message
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())?;
            Some((
                child.created,
                line.trim().chars().take(512).collect::<String>(),
            ))
        })
        .max_by_key(|(created, _)| *created)
        .map(|(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::{JobDetail, PodDetail, Termination};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    fn child(kind: ChildKind, name: &str, role: Role, detail: Detail) -> Arc<Child> {
        Arc::new(Child {
            kind,
            namespace: "n".into(),
            name: name.into(),
            uid: name.into(),
            resource_version: "1".into(),
            generation: None,
            labels: labels::of("x", Some(role)),
            annotations: Default::default(),
            owners: vec![OwnerReference {
                uid: "mine".into(),
                ..OwnerReference::default()
            }],
            created: None,
            deleting: false,
            detail,
        })
    }

    fn pod(role: Role, running: bool, words: Option<&str>) -> Arc<Child> {
        let detail = Detail::Pod(PodDetail {
            running,
            terminated: words.map(|message| Termination {
                exit_code: 1,
                message: message.into(),
                at: None,
            }),
            ..PodDetail::default()
        });
        child(ChildKind::Pod, "pod", role, detail)
    }

    fn job(outcome: Option<JobOutcome>) -> Arc<Child> {
        let detail = Detail::Job(JobDetail {
            outcome,
            ..JobDetail::default()
        });
        child(ChildKind::Job, "teardown", Role::Teardown, detail)
    }

    fn decide(children: Vec<Arc<Child>>, seconds: i64) -> Next {
        let at = |second| Timestamp::from_second(second).unwrap();
        next(
            &Children::new(children),
            "mine",
            "teardown",
            at(0),
            DEADLINE,
            at(seconds),
        )
    }

    #[test]
    fn workers_are_stopped_then_gone_then_all_is_torn_down_then_released() {
        let lander = child(ChildKind::Deployment, "land", Role::Land, Detail::None);
        let running = pod(Role::Land, true, None);
        assert_eq!(
            decide(vec![lander.clone(), running.clone()], 1),
            Next::Stop(vec![lander])
        );
        assert_eq!(
            decide(vec![running], 2),
            Next::WaitForPods { pod: "pod".into() }
        );
        assert_eq!(decide(vec![], 3), Next::TearDown { trouble: None });
        assert_eq!(
            decide(vec![job(None), pod(Role::Teardown, true, None)], 4),
            Next::TearDown { trouble: None }
        );
        assert_eq!(
            decide(vec![job(Some(JobOutcome::Complete))], 5),
            Next::Release
        );
    }

    #[test]
    fn a_pod_that_has_ended_holds_nothing_up() {
        let ended = pod(Role::Report, false, Some("done"));
        assert_eq!(decide(vec![ended], 1), Next::TearDown { trouble: None });
    }

    #[test]
    fn after_the_deadline_it_is_released_with_the_reason() {
        let late = DEADLINE.as_secs();
        for (children, why) in [
            (vec![pod(Role::Land, true, None)], "pod pod does not end"),
            (vec![job(None)], "its teardown has not ended"),
            (
                vec![
                    job(None),
                    pod(Role::Teardown, false, Some("a\ncannot reach s3\n")),
                ],
                "cannot reach s3",
            ),
        ] {
            assert_eq!(decide(children, late), Next::GiveUp { why: why.into() });
        }
        // A teardown that succeeded at the last moment counts.
        assert_eq!(
            decide(vec![job(Some(JobOutcome::Complete))], late),
            Next::Release
        );
    }
}
