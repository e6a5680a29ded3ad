//! One run of a report, or one crawl: a Job, made by its CronJob, by the
//! operator in its stead, or because somebody asked.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use stockpipe_crds::worker_status::REFUSED_EXIT_CODE;

use super::pod::{self, Worker};
use super::task::Task;
use super::{Blueprint, Run, config_map};
use crate::children::CONTAINER;
use crate::labels::{self, Role};
use crate::missed_runs;
use crate::resources::hash_of_text;

/// Times that a run's pod is started again. The same run goes on where the last
/// pod left it.
const RETRIES: i32 = 3;
/// Seconds that a run may take after its deadline or timeout has passed: the
/// query, and services that are away for a while.
const AFTER_DEADLINE: u64 = 3_600;
/// Seconds that a Job by hand is kept after its end.
const KEPT: i32 = 86_400;
/// Annotation by which Kubernetes tells a Job's schedule time.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Bytes that a run needs.
const MEMORY: u64 = 192 << 20;

/// Labels and spec of a run's Job; `run` is its key and attempt where it is not
/// told by the Job's name.
#[must_use]
pub fn spec(
    blueprint: &Blueprint<'_>,
    task: Task<'_>,
    file: &ConfigMap,
    run: Option<&str>,
) -> (BTreeMap<String, String>, JobSpec) {
    let worker = Worker {
        role: task.role(),
        file: config_map::name(file),
        run,
        report: task.report(),
        template: None,
        resources: None,
        memory: MEMORY,
        grace: 60,
        long_running: false,
    };
    let deadline = task.patience() + AFTER_DEADLINE;
    let spec = JobSpec {
        backoff_limit: Some(RETRIES),
        active_deadline_seconds: Some(i64::try_from(deadline).unwrap_or(i64::MAX)),
        pod_failure_policy: (task.role() == Role::Crawl).then(fails_with_its_crawl),
        template: pod::template(blueprint, &worker),
        ..JobSpec::default()
    };
    (pod::labels(blueprint, &worker), spec)
}

/// A crawl that failed is recorded: the run again would only tell it again.
fn fails_with_its_crawl() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "FailJob".to_owned(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                container_name: Some(CONTAINER.to_owned()),
                operator: "In".to_owned(),
                values: vec![i32::from(REFUSED_EXIT_CODE)],
            }),
            ..PodFailurePolicyRule::default()
        }],
    }
}

/// The Job of a run that the operator starts: of one that was asked for
/// `NAME-run-HASH`, one for each key and attempt; of one that was missed the very
/// Job that its CronJob would have made.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>, task: Task<'_>, file: &ConfigMap, run: &Run) -> Job {
    match run {
        Run::Now { run, .. } => {
            let (labels, mut spec) = spec(blueprint, task, file, Some(run));
            spec.ttl_seconds_after_finished = Some(KEPT);
            let mut metadata = blueprint.meta(name(blueprint.name(), run), Some(task.role()));
            metadata.labels = Some(labels);
            metadata.annotations = Some(BTreeMap::from([(labels::RUN.to_owned(), run.clone())]));
            job(metadata, spec)
        }
        Run::Missed {
            at, cron_job_uid, ..
        } => {
            let (labels, spec) = spec(blueprint, task, file, None);
            let cron_job = task.id().cron_job(blueprint.name());
            let name = missed_runs::job_name(&cron_job, *at);
            let mut metadata = blueprint.meta(name, Some(task.role()));
            metadata.labels = Some(labels);
            metadata.annotations =
                Some(BTreeMap::from([(SCHEDULED.to_owned(), format!("{at:.0}"))]));
            metadata.owner_references = Some(vec![OwnerReference {
                api_version: "batch/v1".to_owned(),
                kind: "CronJob".to_owned(),
                name: cron_job,
                uid: cron_job_uid.clone(),
                controller: Some(true),
                // It would need the right to finalize CronJobs, where that is guarded, as on OpenShift.
                block_owner_deletion: None,
            }]);
            job(metadata, spec)
        }
    }
}

fn job(metadata: ObjectMeta, spec: JobSpec) -> Job {
    Job {
        metadata,
        spec: Some(spec),
        status: None,
    }
}

/// Name of the Job of a run by hand.
#[must_use]
pub fn name(pipeline: &str, run: &str) -> String {
    format!("{pipeline}-run-{}", hash_of_text(run))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    #[test]
    fn a_run_by_hand_says_its_key_and_has_a_name_of_its_own() {
        let sample = Sample::full();
        let blueprint = blueprint(&sample);
        let task = Task::Report(&sample.pipeline.reports[0]);
        let file = task.file(&blueprint);
        let job = |run: &str| {
            let run = Run::Now {
                task: task.id(),
                run: run.to_owned(),
            };
            build(&blueprint, task, &file, &run)
        };
        let first = job("report/daily-ohlcv@2026-11-20#1");
        let pod = first.spec.unwrap().template.spec.unwrap();
        let args = pod.containers[0].args.clone().unwrap();
        assert!(args.ends_with(&["--run".into(), "report/daily-ohlcv@2026-11-20#1".into()]));
        assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
        assert_ne!(
            first.metadata.name,
            job("report/daily-ohlcv@2026-11-20#2").metadata.name
        );
    }

    #[test]
    fn a_missed_run_is_the_job_that_its_cron_job_would_have_made() {
        let sample = Sample::full();
        let blueprint = blueprint(&sample);
        let task = Task::Report(&sample.pipeline.reports[0]);
        let file = task.file(&blueprint);
        let run = Run::Missed {
            task: task.id(),
            at: "2026-11-20T21:30:00Z".parse().unwrap(),
            cron_job_uid: "cron-uid".into(),
        };
        let job = build(&blueprint, task, &file, &run);
        let template = super::super::cron_job::build(&blueprint, task, &file)
            .spec
            .job_template;
        assert_eq!(job.spec, template.spec);
        assert_eq!(job.metadata.labels, template.metadata.unwrap().labels);
        assert_eq!(
            job.metadata.name.as_deref(),
            Some("us-equities-report-daily-ohlcv-29920170")
        );
        let owner = job.metadata.owner_references.unwrap().remove(0);
        assert_eq!(
            (owner.uid.as_str(), owner.block_owner_deletion),
            ("cron-uid", None)
        );
    }

    #[test]
    fn a_crawl_that_failed_ends_its_job_and_a_report_tries_again() {
        let sample = Sample::full();
        let blueprint = blueprint(&sample);
        for task in Task::all(&sample.pipeline) {
            let (_, spec) = spec(&blueprint, task, &task.file(&blueprint), None);
            let rules = spec.pod_failure_policy.map(|policy| policy.rules);
            assert_eq!(rules.is_some(), task.role() == Role::Crawl);
            let pod = spec.template.spec.unwrap();
            let args = pod.containers[0].args.clone().unwrap();
            assert_eq!(args[0], task.role().as_str());
            let names = pod.containers[0]
                .env
                .iter()
                .flatten()
                .map(|v| v.name.as_str());
            assert!(
                names.into_iter().any(|name| name == "STOCKPIPE_JOB_NAME"),
                "{args:?}"
            );
        }
    }

    #[test]
    fn a_run_may_wait_for_its_deadline_and_then_ask() {
        let sample = Sample::full();
        let blueprint = blueprint(&sample);
        let task = Task::Report(&sample.pipeline.reports[0]);
        let file = task.file(&blueprint);
        let (_, spec) = spec(&blueprint, task, &file, None);
        assert_eq!(spec.active_deadline_seconds, Some(3 * 3_600));
        assert_eq!(spec.backoff_limit, Some(3));
    }
}
