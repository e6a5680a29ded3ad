//! The schedule of a report. It fires on time only: what was missed, the
//! operator alone replays.

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use stockpipe_crds::pipeline::Report;

use super::{Blueprint, run_job};
use crate::labels::{self, Role};

/// Seconds after its time within which a schedule still fires.
pub const STARTING_DEADLINE: i64 = 200;
/// Jobs that succeeded and are kept.
const KEPT_SUCCESSES: i32 = 3;
/// As above, where missed runs are replayed: a Job that is there is proof that
/// its time was not missed.
const KEPT_SUCCESSES_WITH_CATCH_UP: i32 = 10;
/// Jobs that failed and are kept.
const KEPT_FAILURES: i32 = 3;

/// The CronJob `NAME-report-REPORT`; of a report without a schedule, one that
/// never fires is not made.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>, report: &Report, file: &ConfigMap) -> CronJob {
    let schedule = report.schedule.as_ref();
    let written = written(blueprint, &report.name);
    let mut metadata = blueprint.meta(name(blueprint.name(), &report.name), Some(Role::Report));
    if let Some(labels) = &mut metadata.labels {
        labels.insert(labels::REPORT.to_owned(), report.name.clone());
    }
    let (job_labels, spec) = run_job::spec(blueprint, report, file, None);
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
            successful_jobs_history_limit: Some(if catches_up(blueprint, &report.name) {
                KEPT_SUCCESSES_WITH_CATCH_UP
            } else {
                KEPT_SUCCESSES
            }),
            failed_jobs_history_limit: Some(KEPT_FAILURES),
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

/// The schedule as the pipeline's file writes it: the resolved zone has no name.
fn written<'a>(
    blueprint: &'a Blueprint<'_>,
    report: &str,
) -> Option<&'a stockpipe_crds::spec::schedule::ScheduleSpec> {
    let reports = &blueprint.resource.spec.reports;
    reports
        .iter()
        .find(|known| known.name.as_str() == report)?
        .schedule
        .as_ref()
}

fn catches_up(blueprint: &Blueprint<'_>, report: &str) -> bool {
    let reports = &blueprint.resource.spec.reports;
    reports
        .iter()
        .any(|known| known.name.as_str() == report && known.catch_up.is_some())
}

/// Name of the CronJob: at most 52 characters, the most that Kubernetes takes.
#[must_use]
pub fn name(pipeline: &str, report: &str) -> String {
    format!("{pipeline}-{}-{report}", Role::Report)
}

#[cfg(test)]
mod tests {
    use super::super::config_map;
    use super::super::samples::{Sample, blueprint};
    use super::*;

    fn cron_job(sample: &Sample) -> CronJob {
        let blueprint = blueprint(sample);
        let report = &sample.pipeline.reports[0];
        build(
            &blueprint,
            report,
            &config_map::of_report(&blueprint, report),
        )
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
    fn the_longest_names_fit() {
        assert_eq!(name(&"p".repeat(24), &"r".repeat(20)).len(), 52);
    }
}
