//! The missed runs of every report of a pipeline, from what its children show.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::pipeline::Pipeline;

use crate::build::{Run, cron_job};
use crate::child_kind::ChildKind;
use crate::children::{Children, Detail};
use crate::labels::REPORT;
use crate::missed_runs::{self, Runs};
use crate::sessions::MarketSessions;

/// What is to be replayed, and what is settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replays {
    /// Runs to start now, at most one of each report.
    pub runs: Vec<Run>,
    /// Of each report that catches up: schedule times up to this are settled.
    pub settled: BTreeMap<String, Timestamp>,
    /// When to look again.
    pub again: Option<Timestamp>,
}

/// What is to be replayed now.
#[must_use]
pub fn replays(
    resource: &StockPipeline,
    pipeline: &Pipeline,
    children: &Children,
    now: Timestamp,
) -> Replays {
    let mut replays = Replays::default();
    let Ok(sessions) = MarketSessions::parse(&pipeline.market.calendar) else {
        return replays;
    };
    for report in &pipeline.reports {
        let Some(catch_up) = report.catch_up else {
            continue;
        };
        let name = cron_job::name(&pipeline.name, &report.name);
        let Some(cron_job) = children.get(ChildKind::CronJob, &name) else {
            continue;
        };
        if pipeline.suspend {
            continue;
        }
        let jobs: Vec<(Timestamp, bool)> = children
            .jobs()
            .filter(|(child, _)| child.labels.get(REPORT) == Some(&report.name))
            .filter_map(|(child, job)| {
                let at = missed_runs::schedule_time(&name, &child.name)?;
                Some((at, job.outcome.is_none()))
            })
            .collect();
        let times: Vec<Timestamp> = jobs.iter().map(|(at, _)| *at).collect();
        let runs = Runs {
            report,
            catch_up,
            settled: settled(resource, &report.name),
            was_suspended: matches!(cron_job.detail, Detail::CronJob { suspend: true }),
            jobs: &times,
            busy: jobs.iter().any(|(_, busy)| *busy),
            now,
        };
        let plan = missed_runs::plan(&runs, &sessions);
        if let Some(at) = plan.replay {
            replays.runs.push(Run::Missed {
                report: report.name.clone(),
                at,
                cron_job_uid: cron_job.uid.clone(),
            });
        }
        if let Some(settled) = plan.settled {
            replays.settled.insert(report.name.clone(), settled);
        }
        replays.again = [replays.again, plan.again].into_iter().flatten().min();
    }
    replays
}

fn settled(resource: &StockPipeline, report: &str) -> Option<Timestamp> {
    let status = resource.status.as_ref()?;
    let known = status.reports.iter().find(|known| known.name == report)?;
    known.scheduled_through.as_ref()?.parse().ok()
}
