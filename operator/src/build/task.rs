//! What a schedule runs: a report, or the crawl. Their CronJobs, Jobs and
//! replays are alike.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::pipeline::{CatchUp, Crawler, DataDate, Interval, Pipeline, Report, Schedule};
use stockpipe_crds::spec::schedule::ScheduleSpec;

use super::{Blueprint, config_map};
use crate::labels::{self, Role};

/// What a schedule runs.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// A report.
    Report(&'a Report),
    /// The crawl.
    Crawl(&'a Crawler),
}

/// Names a task within its pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskId {
    /// A report, by name.
    Report(String),
    /// The crawl.
    Crawl,
}

impl<'a> Task<'a> {
    /// The tasks of a pipeline.
    pub fn all(pipeline: &'a Pipeline) -> impl Iterator<Item = Self> {
        let reports = pipeline.reports.iter().map(Self::Report);
        reports.chain(pipeline.catalog.crawler.as_ref().map(Self::Crawl))
    }

    /// Its name within the pipeline.
    #[must_use]
    pub fn id(self) -> TaskId {
        match self {
            Self::Report(report) => TaskId::Report(report.name.clone()),
            Self::Crawl(_) => TaskId::Crawl,
        }
    }

    /// Who runs it.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Report(_) => Role::Report,
            Self::Crawl(_) => Role::Crawl,
        }
    }

    /// Name of the report that it is.
    #[must_use]
    pub fn report(self) -> Option<&'a str> {
        match self {
            Self::Report(report) => Some(&report.name),
            Self::Crawl(_) => None,
        }
    }

    /// When it runs; `None`: only by hand.
    #[must_use]
    pub fn schedule(self) -> Option<&'a Schedule> {
        match self {
            Self::Report(report) => report.schedule.as_ref(),
            Self::Crawl(crawler) => crawler.schedule.as_ref(),
        }
    }

    /// Its schedule as the pipeline's file writes it: the resolved zone has no
    /// name.
    #[must_use]
    pub fn written(self, resource: &'a StockPipeline) -> Option<&'a ScheduleSpec> {
        let spec = &resource.spec;
        match self {
            Self::Report(report) => spec
                .reports
                .iter()
                .find(|known| known.name.as_str() == report.name)?
                .schedule
                .as_ref(),
            Self::Crawl(_) => spec.catalog.crawler.as_ref()?.schedule.as_ref(),
        }
    }

    /// The data that its runs cover. A crawl is of the minute in which it was
    /// due: each is a run of its own.
    #[must_use]
    pub fn interval(self) -> (Interval, DataDate) {
        match self {
            Self::Report(report) => (report.interval, report.data_date),
            Self::Crawl(_) => (Interval::Minute, DataDate::SameDay),
        }
    }

    /// What happens to missed runs, where the spec says.
    #[must_use]
    pub fn catch_up(self) -> Option<CatchUp> {
        match self {
            Self::Report(report) => report.catch_up,
            Self::Crawl(crawler) => crawler.catch_up,
        }
    }

    /// Seconds that a run may wait for its data, or for the crawler.
    #[must_use]
    pub fn patience(self) -> u64 {
        match self {
            Self::Report(report) => report.deadline.as_secs(),
            Self::Crawl(crawler) => crawler.timeout.as_secs(),
        }
    }

    /// The file that its runs read.
    #[must_use]
    pub fn file(self, blueprint: &Blueprint<'_>) -> ConfigMap {
        match self {
            Self::Report(report) => config_map::of_report(blueprint, report),
            Self::Crawl(_) => config_map::of_role(blueprint, Role::Crawl),
        }
    }

    /// Whether an object with these labels is of its runs.
    #[must_use]
    pub fn owns(self, labels: &BTreeMap<String, String>) -> bool {
        let is = |label: &str, value: &str| labels.get(label).is_some_and(|known| known == value);
        match self {
            Self::Report(report) => is(labels::REPORT, &report.name),
            Self::Crawl(_) => is(labels::COMPONENT, Role::Crawl.as_str()),
        }
    }
}

impl TaskId {
    /// Name of its CronJob: at most 52 characters, the most that Kubernetes
    /// takes.
    #[must_use]
    pub fn cron_job(&self, pipeline: &str) -> String {
        match self {
            Self::Report(report) => format!("{pipeline}-{}-{report}", Role::Report),
            Self::Crawl => format!("{pipeline}-{}", Role::Crawl),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    #[test]
    fn the_longest_names_fit() {
        let name = "p".repeat(24);
        assert_eq!(TaskId::Report("r".repeat(20)).cron_job(&name).len(), 52);
        assert!(TaskId::Crawl.cron_job(&name).len() <= 52);
    }

    #[test]
    fn a_task_knows_its_own_objects() {
        let sample = Sample::full();
        let tasks: Vec<Task<'_>> = Task::all(&sample.pipeline).collect();
        assert_eq!(tasks.len(), 3);
        for (index, task) in tasks.iter().enumerate() {
            let labels = task.file(&blueprint(&sample)).metadata.labels.unwrap();
            let owners: Vec<bool> = tasks.iter().map(|task| task.owns(&labels)).collect();
            let only: Vec<bool> = (0..3).map(|other| other == index).collect();
            assert_eq!(owners, only, "{task:?}");
        }
    }
}
