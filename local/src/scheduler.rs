//! Scheduled reports and crawls of `stockpipe up`: tokio-cron-scheduler fires
//! each at the instant that `crds` computes, as a one-shot job that arms the
//! next one.
//!
//! When market time is not wall time (a replay, or a simulation at another
//! speed), the watermark fires reports instead. See docs/adr/0002. Crawls are of
//! what has landed by the wall clock, always.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{Timestamp, ToSpan};
use stockpipe_crds::pipeline::{CatchUp, DataDate, MarketClock, Report, Schedule, Source};
use stockpipe_crds::run_key::{DataInterval, RunKey, RunKind};
use stockpipe_crds::run_record::{RunRecord, RunState};
use stockpipe_workers::context::Context;
use stockpipe_workers::sessions::MarketSessions;
use stockpipe_workers::{crawl, report};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::task::TaskTracker;

/// How often the watermark is looked at, where it fires reports.
const WATERMARK_EVERY: Duration = Duration::from_secs(1);

/// The armed schedules of one pipeline.
pub struct Scheduler {
    inner: Arc<Inner>,
    lines: mpsc::UnboundedReceiver<String>,
    jobs: JobScheduler,
    by_watermark: Option<JoinHandle<()>>,
}

struct Inner {
    context: Context,
    sessions: MarketSessions,
    started: Mutex<HashSet<RunKey>>,
    say: mpsc::UnboundedSender<String>,
    runs: TaskTracker,
}

impl Scheduler {
    /// Arms every schedule, and makes up for missed runs as `catchUp` says.
    ///
    /// # Errors
    /// Where tokio-cron-scheduler cannot start.
    pub async fn start(context: &Context) -> Result<Self, JobSchedulerError> {
        let (say, lines) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            sessions: MarketSessions::of(&context.pipeline.market),
            context: context.for_role("report"),
            started: Mutex::default(),
            say,
            runs: TaskTracker::new(),
        });
        let jobs = JobScheduler::new().await?;
        jobs.start().await?;
        let mut by_watermark = None;
        if !context.pipeline.suspend {
            arm_crawls(&jobs, &inner).await?;
            if market_time_is_wall_time(&context.pipeline.source) {
                let now = Timestamp::now();
                let ran = newest_runs(context).await;
                for report in &context.pipeline.reports {
                    let Some(schedule) = report.schedule.as_ref().filter(|s| !s.suspend) else {
                        continue;
                    };
                    inner.run_all(missed(report, schedule, now, &ran, &inner.sessions));
                    arm(
                        jobs.clone(),
                        Arc::clone(&inner),
                        Task::Report(Arc::new(report.clone())),
                        schedule.clone(),
                        now,
                    )
                    .await?;
                }
            } else {
                by_watermark = Some(tokio::spawn(run_by_watermark(Arc::clone(&inner))));
            }
        }
        Ok(Self {
            inner,
            lines,
            jobs,
            by_watermark,
        })
    }

    /// The next sentence about a run.
    pub async fn next_line(&mut self) -> String {
        match self.lines.recv().await {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }

    /// Fires nothing more. A run that waits is given up: its record lets the next start take it over.
    pub async fn stop(mut self) {
        if let Some(task) = self.by_watermark.take() {
            task.abort();
        }
        if let Err(error) = self.jobs.shutdown().await {
            tracing::debug!(%error, "the scheduler had ended");
        }
        self.inner.context.shutdown.cancel();
        self.inner.runs.close();
        if tokio::time::timeout(Duration::from_secs(5), self.inner.runs.wait())
            .await
            .is_err()
        {
            tracing::debug!("a run was not over; the next start takes it over");
        }
    }
}

fn market_time_is_wall_time(source: &Source) -> bool {
    matches!(
        source,
        Source::Simulated {
            speed: 1,
            clock: MarketClock::Wall,
            ..
        } | Source::Live(_)
    )
}

/// What a schedule runs.
#[derive(Clone)]
enum Task {
    Report(Arc<Report>),
    Crawl,
}

impl Task {
    fn name(&self) -> &str {
        match self {
            Self::Report(report) => &report.name,
            Self::Crawl => "crawl",
        }
    }
}

/// Arms the schedule of the crawler, and makes up for its last crawl where nothing else is said.
async fn arm_crawls(jobs: &JobScheduler, inner: &Arc<Inner>) -> Result<(), JobSchedulerError> {
    let Some(crawler) = &inner.context.pipeline.catalog.crawler else {
        return Ok(());
    };
    let Some(schedule) = crawler.schedule.as_ref().filter(|s| !s.suspend) else {
        return Ok(());
    };
    let now = Timestamp::now();
    if crawler.catch_up != Some(CatchUp::None)
        && let Some(at) = newest_at_or_before(schedule, now)
    {
        inner.run_all(vec![RunKey::crawl(at)]);
    }
    let (jobs, inner) = (jobs.clone(), Arc::clone(inner));
    arm(jobs, inner, Task::Crawl, schedule.clone(), now).await
}

/// The newest run of each report; none where they cannot be told, as before the first run.
async fn newest_runs(context: &Context) -> Vec<RunRecord> {
    let catches_up = |report: &Report| matches!(report.catch_up, Some(CatchUp::All { .. }));
    if !context.pipeline.reports.iter().any(catches_up) {
        return Vec::new();
    }
    report::list(context).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "which runs were missed cannot be told: only the last of each is made up for");
        Vec::new()
    })
}

/// The runs to make up for at the start, oldest first: those that were due after the newest of `ran`. What was due
/// before the first run was never promised.
fn missed(
    report: &Report,
    schedule: &Schedule,
    now: Timestamp,
    ran: &[RunRecord],
    sessions: &MarketSessions,
) -> Vec<RunKey> {
    let last = || {
        let at = newest_at_or_before(schedule, now)?;
        report::schedule::key_at(report, at, sessions)
    };
    let limit = match report.catch_up {
        Some(CatchUp::None) => return Vec::new(),
        Some(CatchUp::Last) | None => return last().into_iter().collect(),
        Some(CatchUp::All { limit }) => limit,
    };
    match ran.iter().find(|run| run.run_key.name() == report.name) {
        None => last().into_iter().collect(),
        Some(newest) => {
            let since = newest.interval_start;
            let mut keys = report::schedule::keys_due(report, since, now, limit, sessions);
            keys.retain(|key| *key > newest.run_key);
            keys
        }
    }
}

/// The newest schedule time that is not after `now`.
fn newest_at_or_before(schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    let next = |after: Timestamp| {
        schedule
            .cron
            .next(after, &schedule.time_zone)
            .filter(|t| *t <= now)
    };
    // The first window that holds a schedule time holds the newest one, and few others.
    let windows = [1_i64, 24, 24 * 8, 24 * 32, 24 * 366];
    let mut newest = windows
        .iter()
        .find_map(|hours| next(now.checked_sub(hours.hours()).ok()?))?;
    while let Some(later) = next(newest) {
        newest = later;
    }
    Some(newest)
}

/// Adds the one-shot job of the first schedule time after `after`.
fn arm(
    jobs: JobScheduler,
    inner: Arc<Inner>,
    task: Task,
    schedule: Schedule,
    after: Timestamp,
) -> BoxFuture<'static, Result<(), JobSchedulerError>> {
    // Boxed, because the job that it makes calls it again.
    Box::pin(async move {
        let Some(at) = schedule.cron.next(after, &schedule.time_zone) else {
            return Ok(());
        };
        let wait =
            Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
        let again = jobs.clone();
        let job = Job::new_one_shot_async(wait, move |_, _| {
            let (jobs, inner, task, schedule) = (
                again.clone(),
                Arc::clone(&inner),
                task.clone(),
                schedule.clone(),
            );
            Box::pin(async move {
                inner.run_scheduled(&task, at);
                let name = task.name().to_owned();
                if let Err(error) = arm(jobs, inner, task, schedule, at).await {
                    tracing::warn!(name, %error, "its schedule could not be armed again");
                }
            })
        })?;
        jobs.add(job).await?;
        Ok(())
    })
}

/// Runs each report as the watermark passes the end of an interval; the newest one only.
async fn run_by_watermark(inner: Arc<Inner>) {
    let mut every = tokio::time::interval(WATERMARK_EVERY);
    loop {
        every.tick().await;
        let watermark = match report::watermark(&inner.context).await {
            Ok(Some(watermark)) => watermark,
            Ok(None) => continue,
            Err(error) => {
                tracing::debug!(%error, "the watermark could not be read");
                continue;
            }
        };
        for report in inner
            .context
            .pipeline
            .reports
            .iter()
            .filter(|r| r.schedule.is_some())
        {
            // `Session`: the newest interval that is over at the watermark, whatever its length.
            let interval = DataInterval::scheduled(
                watermark,
                report.interval,
                DataDate::Session,
                &inner.sessions,
            );
            if let Some(interval) = interval {
                inner.run(report, &interval);
            }
        }
    }
}

impl Inner {
    fn run_scheduled(self: &Arc<Self>, task: &Task, at: Timestamp) {
        let report = match task {
            Task::Report(report) => report,
            Task::Crawl => return self.run_all(vec![RunKey::crawl(at)]),
        };
        let interval =
            DataInterval::scheduled(at, report.interval, report.data_date, &self.sessions);
        if let Some(interval) = interval {
            self.run(report, &interval);
        }
    }

    /// Runs a key once in this process; elsewhere and before, its record sees to that.
    fn run(self: &Arc<Self>, report: &Report, interval: &DataInterval) {
        let key = match RunKey::new(RunKind::Report, &report.name, interval.key_start) {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!(report = report.name, %error, "the run has no key");
                return;
            }
        };
        self.run_all(vec![key]);
    }

    /// Runs these one after another.
    fn run_all(self: &Arc<Self>, keys: Vec<RunKey>) {
        let me = Arc::clone(self);
        self.runs.spawn(async move {
            for key in keys {
                me.once(key).await;
            }
        });
    }

    async fn once(&self, key: RunKey) {
        if !self
            .started
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone())
        {
            return;
        }
        let text = key.to_string();
        let ran = match key.kind() {
            RunKind::Crawl => match crawl::run(&self.context, &text).await {
                Ok(record) => Ok(record),
                Err(error) => Err(format!("Crawl {}: {error}", key.start())),
            },
            _ => match report::run(&self.context, &text).await {
                Ok(outcome) => Ok(outcome.record),
                Err(error) => Err(format!("Report {} {}: {error}", key.name(), key.start())),
            },
        };
        let line = match ran {
            Ok(record) => told(&record),
            Err(_) if self.context.shutdown.is_cancelled() => return,
            Err(line) => line,
        };
        let _ = self.say.send(line);
    }
}

/// One line about a finished run.
#[must_use]
pub fn told(record: &RunRecord) -> String {
    let name = record.run_key.name();
    let date = record.run_key.start();
    if let Some(crawl) = &record.crawl {
        return match &record.error {
            Some(error) => format!("Crawl {date}: {}", error.message),
            None => format!(
                "Crawl {date}{}: {} partitions, {} tables made, {} changed",
                if crawl.attached {
                    " (one was under way)"
                } else {
                    ""
                },
                crawl.partitions.unwrap_or(0),
                crawl.tables_created.unwrap_or(0),
                crawl.tables_updated.unwrap_or(0),
            ),
        };
    }
    if record.state == RunState::Failed {
        let why = record
            .error
            .as_ref()
            .map_or("it failed", |e| e.message.as_str());
        return format!("Report {name} {date}: {why}");
    }
    format!(
        "Report {name} {date}{}: {} rows, {} bytes scanned, ${}, {}",
        if record.partial { " (partial)" } else { "" },
        record.rows.unwrap_or(0),
        record.scanned_bytes.unwrap_or(0),
        record.cost_usd.as_deref().unwrap_or("0"),
        record.output.as_deref().unwrap_or("no output"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn the_newest_schedule_time_is_found_however_rare_it_is() {
        let now: Timestamp = "2026-11-23T08:00:30Z".parse().unwrap();
        for (cron, expected) in [
            ("* * * * *", Some("2026-11-23T08:00:00Z")),
            ("5 0 * * *", Some("2026-11-23T00:05:00Z")),
            ("30 16 * * 1-5", Some("2026-11-20T16:30:00Z")),
            ("0 0 1 1 *", Some("2026-01-01T00:00:00Z")),
            ("0 0 29 2 *", None),
        ] {
            let schedule = Schedule {
                cron: cron.parse().unwrap(),
                time_zone: TimeZone::UTC,
                suspend: false,
            };
            let found = newest_at_or_before(&schedule, now);
            assert_eq!(found.map(|t| t.to_string()).as_deref(), expected, "{cron}");
        }
    }

    fn record(key: &str, start: &str) -> RunRecord {
        serde_json::from_value(serde_json::json!({
            "runKey": key, "attempt": 0, "state": "Succeeded", "owner": "test", "claimedAt": start, "dataDate": &start[..10],
            "intervalStart": start, "intervalEnd": start,
        }))
        .unwrap()
    }

    #[test]
    fn what_was_due_after_the_newest_run_is_made_up_for_as_the_policy_says() {
        let yaml = "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: p}\nspec:\n  \
                    market: {calendar: 24x7}\n  lake: {bucket: lake}\n  reports:\n    - {name: daily, builtin: daily-ohlcv, \
                    interval: Day, schedule: {cron: '5 0 * * *'}}\n";
        let pipeline = stockpipe_crds::Pipeline::from_yaml(yaml, "p.yaml").unwrap();
        let sessions = MarketSessions::of(&pipeline.market);
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let ran = [record("report/daily@2026-11-18", "2026-11-18T00:00:00Z")];
        let all = |limit| Some(CatchUp::All { limit });
        for (catch_up, ran, expected) in [
            (None, &ran[..], &["2026-11-22"][..]),
            (Some(CatchUp::None), &ran[..], &[]),
            (Some(CatchUp::Last), &ran[..], &["2026-11-22"]),
            (
                all(7),
                &ran[..],
                &["2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22"],
            ),
            (all(2), &ran[..], &["2026-11-21", "2026-11-22"]),
            // What lies before the first run was never promised.
            (all(7), &[], &["2026-11-22"]),
        ] {
            let report = Report {
                catch_up,
                ..pipeline.reports[0].clone()
            };
            let schedule = report.schedule.clone().unwrap();
            let found = missed(&report, &schedule, now, ran, &sessions);
            let starts: Vec<String> = found.iter().map(|key| key.start().to_string()).collect();
            assert_eq!(starts, expected, "{catch_up:?}");
        }
    }
}
