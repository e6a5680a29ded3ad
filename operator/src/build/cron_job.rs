//! The schedule of a report, or of the crawl. It fires on time only: what was
//! missed, the operator alone replays.

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::task::Task;
use super::{Blueprint, run_job};
use crate::labels;

/// Seconds after its time within which a schedule still fires.
pub const STARTING_DEADLINE: i64 = 200;
/// Jobs that succeeded and are kept.
const KEPT_SUCCESSES: i32 = 3;
/// Jobs that failed and are kept.
const KEPT_FAILURES: i32 = 3;
/// Of both, where missed runs are replayed: a Job that is there is proof that
/// its time was not missed.
const KEPT_WITH_CATCH_UP: i32 = 10;

/// The CronJob `NAME-report-REPORT`, or `NAME-crawl`; without a schedule, one
/// that never fires is not made.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>, task: Task<'_>, file: &ConfigMap) -> CronJob {
    let schedule = task.schedule();
    let written = task.written(blueprint.resource);
    let name = task.id().cron_job(blueprint.name());
    let mut metadata = blueprint.meta(name, Some(task.role()));
    if let (Some(labels), Some(report)) = (&mut metadata.labels, task.report()) {
        labels.insert(labels::REPORT.to_owned(), report.to_owned());
    }
    let kept = task.catch_up().map(|_| KEPT_WITH_CATCH_UP);
    let (job_labels, spec) = run_job::spec(blueprint, task, file, None);
    CronJob {
        metadata,
        spec: CronJobSpec {
            schedule: schedule
                .map(|schedule| schedule.cron.as_str().to_owned())
                .unwrap_or_default(),
            time_zone: written.map(|written| written.time_zone.to_string()),
            suspend: Some(
                blueprint.resource.spec.suspend || schedule.is_none_or(|schedule| schedule.suspend),
            ),
            concurrency_policy: Some("Forbid".to_owned()),
            starting_deadline_seconds: Some(STARTING_DEADLINE),
            successful_jobs_history_limit: Some(kept.unwrap_or(KEPT_SUCCESSES)),
            failed_jobs_history_limit: Some(kept.unwrap_or(KEPT_FAILURES)),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(job_labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(spec),
            },
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    fn cron_job(sample: &Sample) -> CronJob {
        let blueprint = blueprint(sample);
        let task = Task::Report(&sample.pipeline.reports[0]);
        build(&blueprint, task, &task.file(&blueprint))
    }

    #[test]
    fn a_schedule_fires_on_time_only_in_its_zone_and_never_twice_at_once() {
        let spec = cron_job(&Sample::full()).spec;
        assert_eq!(spec.schedule, "30 16 * * 1-5");
        assert_eq!(spec.time_zone.as_deref(), Some("America/New_York"));
        assert_eq!(spec.concurrency_policy.as_deref(), Some("Forbid"));
        assert_eq!(spec.starting_deadline_seconds, Some(200));
        assert_eq!(spec.suspend, Some(false));
    }

    #[test]
    fn suspending_the_pipeline_or_the_schedule_suspends_it() {
        for edit in [
            (|spec| spec.suspend = true) as fn(&mut stockpipe_crds::spec::StockPipelineSpec),
            |spec| spec.reports[0].schedule.as_mut().unwrap().suspend = true,
        ] {
            let mut sample = Sample::full();
            sample.edit(edit);
            assert_eq!(cron_job(&sample).spec.suspend, Some(true));
        }
    }

    #[test]
    fn the_crawl_has_a_schedule_as_a_report_has() {
        let sample = Sample::full();
        let blueprint = blueprint(&sample);
        let task = Task::Crawl(sample.pipeline.catalog.crawler.as_ref().unwrap());
        let job = build(&blueprint, task, &task.file(&blueprint));
        assert_eq!(job.metadata.name.as_deref(), Some("us-equities-crawl"));
        assert_eq!(job.spec.schedule, "5 * * * *");
        assert_eq!(job.spec.time_zone.as_deref(), Some("America/New_York"));
        assert_eq!(job.spec.suspend, Some(false));
        // It catches up.
        assert_eq!(job.spec.successful_jobs_history_limit, Some(10));
        let labels = job.spec.job_template.metadata.unwrap().labels.unwrap();
        assert_eq!(labels[labels::COMPONENT], "crawl");
        assert!(!labels.contains_key(labels::REPORT));
    }
}
