//! The missed runs of every report of a pipeline, and of its crawl, from what
//! its children show.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::pipeline::Pipeline;

use crate::build::Run;
use crate::build::task::{Task, TaskId};
use crate::child_kind::ChildKind;
use crate::children::{Children, Detail};
use crate::missed_runs::{self, Runs};
use crate::sessions::MarketSessions;

/// What is to be replayed, and what is settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replays {
    /// Runs to start now, at most one of each task.
    pub runs: Vec<Run>,
    /// Of each task that catches up: schedule times up to this are settled.
    /// `None` while its schedule is suspended, so that it starts anew when it is
    /// resumed, in the same write of the status that says so.
    pub settled: BTreeMap<TaskId, Option<Timestamp>>,
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
    for task in Task::all(pipeline) {
        let Some(catch_up) = task.catch_up() else {
            continue;
        };
        let id = task.id();
        let name = id.cron_job(&pipeline.name);
        let Some(cron_job) = children.get(ChildKind::CronJob, &name) else {
            continue;
        };
        if pipeline.suspend || task.schedule().is_some_and(|schedule| schedule.suspend) {
            replays.settled.insert(id, None);
            continue;
        }
        let jobs: Vec<(Timestamp, bool)> = children
            .jobs()
            .filter(|(child, _)| task.owns(&child.labels))
            .filter_map(|(child, job)| {
                let at = missed_runs::schedule_time(&name, &child.name)?;
                Some((at, job.outcome.is_none()))
            })
            .collect();
        let times: Vec<Timestamp> = jobs.iter().map(|(at, _)| *at).collect();
        let runs = Runs {
            schedule: task.schedule(),
            interval: task.interval(),
            catch_up,
            settled: settled(resource, &id),
            was_suspended: matches!(cron_job.detail, Detail::CronJob { suspend: true }),
            jobs: &times,
            busy: jobs.iter().any(|(_, busy)| *busy),
            now,
        };
        let plan = missed_runs::plan(&runs, &sessions);
        if let Some(at) = plan.replay {
            replays.runs.push(Run::Missed {
                task: id.clone(),
                at,
                cron_job_uid: cron_job.uid.clone(),
            });
        }
        if let Some(settled) = plan.settled {
            replays.settled.insert(id, Some(settled));
        }
        replays.again = [replays.again, plan.again].into_iter().flatten().min();
    }
    replays
}

fn settled(resource: &StockPipeline, task: &TaskId) -> Option<Timestamp> {
    let status = resource.status.as_ref()?;
    let through = match task {
        TaskId::Report(report) => {
            let known = status.reports.iter().find(|known| known.name == *report)?;
            known.scheduled_through.as_ref()
        }
        TaskId::Crawl => status.catalog.as_ref()?.scheduled_through.as_ref(),
    };
    through?.parse().ok()
}
