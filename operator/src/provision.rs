//! When topic, bucket and table are made or checked again.

use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::status::ProvisionStatus;

use crate::children::{Child, JobDetail, JobOutcome};

/// After this, what was made is checked again: somebody may have deleted a
/// topic by hand.
pub const CHECK_EVERY: SignedDuration = SignedDuration::from_hours(6);
/// After this, a Job that gave up is made anew. Its own retries took about
/// eleven minutes.
pub const RETRY_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// How far provisioning is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No Job of what is wanted now.
    None,
    /// Its Job runs.
    Running,
    /// Its Job succeeded.
    Done {
        /// When.
        at: Timestamp,
    },
    /// Its Job gave up.
    Failed {
        /// When.
        at: Timestamp,
    },
}

/// How far the provisioning of what is wanted now is, where `job` is the Job of
/// the wanted name and `known` what the status says.
#[must_use]
pub fn progress(
    wanted: &str,
    job: Option<(&Child, &JobDetail)>,
    known: Option<&ProvisionStatus>,
    now: Timestamp,
) -> Progress {
    let known = known
        .filter(|known| known.job == wanted)
        .and_then(|known| known.time.parse().ok());
    match job {
        Some((_, detail)) => match detail.outcome {
            Some(JobOutcome::Complete) => Progress::Done {
                at: detail.ended.unwrap_or(now),
            },
            Some(JobOutcome::Failed) => Progress::Failed {
                at: detail.ended.unwrap_or(now),
            },
            // A repeated check takes nothing back that was true.
            None => known.map_or(Progress::Running, |at| Progress::Done { at }),
        },
        None => known.map_or(Progress::None, |at| Progress::Done { at }),
    }
}

/// When a Job that has ended makes room for another of its name; `None` while
/// it runs.
#[must_use]
pub fn again_at(detail: &JobDetail) -> Option<Timestamp> {
    let ended = detail.ended?;
    let wait = match detail.outcome? {
        JobOutcome::Complete => CHECK_EVERY,
        JobOutcome::Failed => RETRY_AFTER,
    };
    ended.checked_add(wait).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child_kind::ChildKind;
    use crate::children::Detail;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn child() -> Child {
        Child {
            kind: ChildKind::Job,
            namespace: "n".into(),
            name: "x-provision-1".into(),
            uid: "u".into(),
            resource_version: "1".into(),
            generation: None,
            labels: Default::default(),
            annotations: Default::default(),
            owners: Vec::new(),
            created: None,
            deleting: false,
            detail: Detail::None,
        }
    }

    fn job(outcome: Option<JobOutcome>) -> JobDetail {
        JobDetail {
            outcome,
            ended: outcome.map(|_| at("2026-11-20T10:00:00Z")),
            message: String::new(),
        }
    }

    #[test]
    fn progress_is_of_the_job_that_is_wanted_now() {
        let now = at("2026-11-20T12:00:00Z");
        let ended = at("2026-11-20T10:00:00Z");
        let known = |job: &str| {
            Some(ProvisionStatus {
                job: job.into(),
                time: "2026-11-20T09:00:00Z".into(),
            })
        };
        let before = at("2026-11-20T09:00:00Z");
        let child = child();
        for (what, job, known, expected) in [
            ("nothing", None, None, Progress::None),
            ("another's", None, known("other"), Progress::None),
            (
                "known, Job cleaned up",
                None,
                known("wanted"),
                Progress::Done { at: before },
            ),
            ("runs", Some(job(None)), None, Progress::Running),
            (
                "runs again",
                Some(job(None)),
                known("wanted"),
                Progress::Done { at: before },
            ),
            (
                "done",
                Some(job(Some(JobOutcome::Complete))),
                None,
                Progress::Done { at: ended },
            ),
            (
                "failed after success",
                Some(job(Some(JobOutcome::Failed))),
                known("wanted"),
                Progress::Failed { at: ended },
            ),
        ] {
            let job = job.as_ref().map(|job| (&child, job));
            assert_eq!(
                progress("wanted", job, known.as_ref(), now),
                expected,
                "{what}"
            );
        }
    }

    #[test]
    fn what_succeeded_is_checked_after_six_hours_and_what_failed_after_ten_minutes() {
        for (outcome, again) in [
            (None, None),
            (Some(JobOutcome::Complete), Some(at("2026-11-20T16:00:00Z"))),
            (Some(JobOutcome::Failed), Some(at("2026-11-20T10:10:00Z"))),
        ] {
            assert_eq!(again_at(&job(outcome)), again, "{outcome:?}");
        }
    }
}
