//! The role `crawl`: one run of the pipeline's Glue crawler, its result durable before it is told.
//!
//! A run is named by the minute in which it was due (`crawl/ticks@2026-11-20T1505Z#1`; without `#` the schedule's
//! attempt 0) and recorded as a report's is. It notes when the crawler's last crawl had started, starts the crawler,
//! and waits for a crawl of another start to end. Where one is under way already (`CrawlerRunningException`), it waits
//! for that one. The same key and attempt again returns the stored result; one that another worker left unfinished
//! goes on, and a crawl that ended meanwhile is its result.

mod decide;
mod glue;

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::pipeline::{CrawlTarget, Crawler};
use stockpipe_crds::run_key::{CRAWL, IntervalStart, RunKey, RunKind};
use stockpipe_crds::run_record::{CrawlRecord, RunError, RunRecord, RunState};
use stockpipe_crds::worker_status::{CrawlRunStatus, RoleStatus, WorkerCondition, WorkerState};

use crate::aws::Clients;
use crate::context::{Context, host};
use crate::provision::crawler_name;
use crate::report::schedule::schedule_time_of_job;
use crate::report::{Held, Records, ReportError, open, persist};
use decide::{Step, decide};
use glue::{Crawled, End, Seen};

/// First wait between two looks at the crawler; each is half as long again, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest wait between two looks.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// For so long after a run was claimed its crawler may be missing: one that is new in the spec is made meanwhile, and
/// the run is tried again.
const BEING_MADE: SignedDuration = SignedDuration::from_mins(1);

/// Why a run could not be brought to an end; a crawl's own failure is a run that ended (`RunState::Failed`).
#[derive(Debug, thiserror::Error)]
pub enum CrawlError {
    /// The key.
    #[error("{0}")]
    Key(String),
    /// The pipeline's file has no crawler.
    #[error(
        "the pipeline has no crawler: write catalog: {{crawler: {{schedule: {{cron: \"5 * * * *\"}}}}}}"
    )]
    NoCrawler,
    /// It is not provisioned yet.
    #[error("Glue crawler `{0}` does not exist yet: it is made by the role `provision`")]
    Missing(String),
    /// The run's record, or a service.
    #[error(transparent)]
    Run(#[from] ReportError),
}

/// Runs `key` (with `#ATTEMPT` when by hand) to its end, or returns the result that is stored for it.
///
/// # Errors
/// Where the key names no crawl, the pipeline has no crawler or is not provisioned, a service stays away, or shutdown
/// came first.
pub async fn run(ctx: &Context, key: &str) -> Result<RunRecord, CrawlError> {
    let run = Run::prepare(ctx, key).await?;
    tokio::select! {
        () = ctx.shutdown.cancelled() => Err(ReportError::Stopped.into()),
        ended = run.to_its_end() => ended,
    }
}

/// The run key of a scheduled run, from the name of the Job that a CronJob made.
///
/// # Errors
/// Where there is no such name, or it is not one that the CronJob made.
pub fn scheduled_key(ctx: &Context, job: Option<&str>) -> Result<String, CrawlError> {
    let crawler = crawler_of(ctx)?;
    let Some(job) = job else {
        return Err(CrawlError::Key(format!(
            "the role `crawl` needs --run KEY, for instance crawl/{CRAWL}@2026-11-20T1505Z"
        )));
    };
    let schedule = crawler.schedule.as_ref();
    schedule
        .and_then(|schedule| schedule_time_of_job(schedule, job))
        .map(|at| RunKey::crawl(at).to_string())
        .ok_or_else(|| {
            CrawlError::Key(format!(
                "Job `{job}` was not made by the schedule of the crawler, so its name tells no run: annotate the \
                 pipeline with stockpipe.dev/run-now, for instance crawl/{CRAWL}@2026-11-20T1505Z#1"
            ))
        })
}

/// The newest crawl of the pipeline; `None` where there was none.
///
/// # Errors
/// Where the lake is not provisioned, or S3 refuses or is not reached.
pub async fn newest(ctx: &Context) -> Result<Option<RunRecord>, CrawlError> {
    let clients = Clients::connect(&ctx.pipeline.aws, &ctx.secrets)
        .await
        .map_err(ReportError::from)?;
    let (records, _) = open(ctx, &clients).await?;
    Ok(records
        .newest(RunKind::Crawl, CRAWL, Timestamp::now())
        .await?)
}

/// What a failed run says, as one sentence; `None` where it succeeded.
#[must_use]
pub fn failure(record: &RunRecord) -> Option<String> {
    let error = record.error.as_ref()?;
    Some(format!("{} failed: {}", record.run_key, error.message))
}

fn crawler_of(ctx: &Context) -> Result<&Crawler, CrawlError> {
    ctx.pipeline
        .catalog
        .crawler
        .as_ref()
        .ok_or(CrawlError::NoCrawler)
}

/// Run key and attempt from `KEY` or `KEY#ATTEMPT`.
fn parse(text: &str) -> Result<(RunKey, u32), CrawlError> {
    let (key, attempt) = text.split_once('#').unwrap_or((text, "0"));
    let attempt = attempt.parse().map_err(|_| {
        CrawlError::Key(format!(
            "`{attempt}` is no attempt: write a number after #, for instance {key}#1"
        ))
    })?;
    let key: RunKey = key
        .parse()
        .map_err(|e: stockpipe_crds::run_key::RunKeyError| CrawlError::Key(e.to_string()))?;
    let is_crawl = key.kind() == RunKind::Crawl
        && key.name() == CRAWL
        && matches!(key.start(), IntervalStart::Minute(_));
    if is_crawl {
        Ok((key, attempt))
    } else {
        Err(CrawlError::Key(format!(
            "{key} is no crawl: write the minute of one, for instance crawl/{CRAWL}@2026-11-20T1505Z"
        )))
    }
}

/// One run, ready to be claimed.
struct Run {
    ctx: Context,
    clients: Clients,
    records: Records,
    crawler: Crawler,
    /// Its name in Glue.
    name: String,
    key: RunKey,
    due: Timestamp,
    attempt: u32,
}

impl Run {
    async fn prepare(ctx: &Context, key: &str) -> Result<Self, CrawlError> {
        let (key, attempt) = parse(key)?;
        let crawler = crawler_of(ctx)?.clone();
        let due = match key.start() {
            IntervalStart::Minute(at) => at,
            IntervalStart::Date(_) => Timestamp::now(),
        };
        let clients = Clients::connect(&ctx.pipeline.aws, &ctx.secrets)
            .await
            .map_err(ReportError::from)?;
        let (records, owner) = open(ctx, &clients).await?;
        Ok(Self {
            ctx: ctx.clone(),
            clients,
            records,
            crawler,
            name: crawler_name(&ctx.pipeline.name, &owner.lake_id),
            key,
            due,
            attempt,
        })
    }

    async fn to_its_end(&self) -> Result<RunRecord, CrawlError> {
        let mut held = self.records.claim(self.first_record()).await?;
        let resumed = held.record.crawl.is_some();
        self.show(&held.record);
        while !held.record.state.is_final() {
            held = match &held.record.crawl {
                None => self.remember_the_last_crawl(held).await?,
                Some(crawl) => {
                    let ended = self.crawl(&held.record, crawl.clone(), resumed).await?;
                    self.records.replace(&held, ended).await?
                }
            };
            self.show(&held.record);
        }
        Ok(held.record)
    }

    fn first_record(&self) -> RunRecord {
        let end = self
            .due
            .checked_add(SignedDuration::from_mins(1))
            .unwrap_or(self.due);
        RunRecord::waiting(
            self.key.clone(),
            self.attempt,
            format!("{}/{}", host(), std::process::id()),
            Timestamp::now(),
            self.due.to_zoned(jiff::tz::TimeZone::UTC).date(),
            (self.due, end),
        )
    }

    /// Notes in the record what the crawler's last crawl is before this run's.
    async fn remember_the_last_crawl(&self, held: Held) -> Result<Held, CrawlError> {
        let seen = self.look().await?;
        let mut record = held.record.clone();
        record.state = RunState::Running;
        record.started_at = Some(Timestamp::now());
        record.crawl = Some(CrawlRecord {
            crawler: self.name.clone(),
            previous_start: seen
                .as_ref()
                .and_then(|seen| seen.last.as_ref())
                .map(|last| last.start),
            attached: seen.as_ref().is_some_and(|seen| seen.busy),
            tables_created: None,
            tables_updated: None,
            tables_deleted: None,
            partitions: None,
        });
        if seen.is_none() {
            record.error = Some(self.missing(&record)?);
            record.state = RunState::Failed;
            record.finished_at = Some(Timestamp::now());
        }
        Ok(self.records.replace(&held, record).await?)
    }

    async fn look(&self) -> Result<Option<Seen>, CrawlError> {
        Ok(persist(|| glue::look(&self.clients.glue, &self.name)).await?)
    }

    /// What a run comes to whose crawler is missing; the error while that may still be being made.
    fn missing(&self, record: &RunRecord) -> Result<RunError, CrawlError> {
        if Timestamp::now().duration_since(record.claimed_at) < BEING_MADE {
            return Err(CrawlError::Missing(self.name.clone()));
        }
        Ok(RunError {
            reason: "CrawlerMissing".to_owned(),
            message: format!(
                "Glue crawler `{}` does not exist: provision makes it again within six hours, or at once where the \
                 annotation stockpipe.dev/provision-now is given another value",
                self.name
            ),
            retryable: true,
        })
    }

    /// Starts the crawler, or joins a crawl that is under way; what the record is when it has ended.
    async fn crawl(
        &self,
        claimed: &RunRecord,
        mut crawl: CrawlRecord,
        resumed: bool,
    ) -> Result<RunRecord, CrawlError> {
        let deadline = self.deadline(claimed);
        let mut asked: Option<Instant> = None;
        let mut ours = false;
        let mut wait = FIRST_WAIT;
        let ended = loop {
            let Some(seen) = self.look().await? else {
                break Err(self.missing(claimed)?);
            };
            if seen.busy {
                // Glue shows the end of a crawl late as well: time counts from when it was last under way.
                asked = Some(Instant::now());
                // What an earlier worker of this run started is this run's to stop.
                ours |= resumed && !crawl.attached;
            }
            let since_asked = asked.map(|asked| asked.elapsed());
            match decide(&seen, crawl.previous_start, since_asked) {
                Step::Ended(last) => break Ok(last),
                Step::Wait | Step::Start if Timestamp::now() >= deadline => {
                    if ours {
                        glue::stop(&self.clients.glue, &self.name).await;
                    }
                    break Err(RunError {
                        reason: "CrawlTimedOut".to_owned(),
                        message: format!(
                            "crawler {} did not end within catalog.crawler.timeout, {} s{}",
                            self.name,
                            self.crawler.timeout.as_secs(),
                            if ours { "; it was told to stop" } else { "" }
                        ),
                        retryable: true,
                    });
                }
                Step::Start => {
                    let started = persist(|| glue::start(&self.clients.glue, &self.name)).await?;
                    asked = Some(Instant::now());
                    if started {
                        ours = true;
                        tracing::info!(run = %self.key, crawler = self.name, "started the crawler");
                    } else {
                        crawl.attached = true;
                        tracing::info!(run = %self.key, crawler = self.name, "the crawler runs already; waiting for that crawl");
                    }
                    continue;
                }
                Step::Lost => {
                    break Err(RunError {
                        reason: "CrawlLost".to_owned(),
                        message: format!(
                            "Glue took the start of crawler {} and shows no crawl of it",
                            self.name
                        ),
                        retryable: true,
                    });
                }
                Step::Wait => {}
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 3 / 2).min(LONGEST_WAIT);
        };
        let mut record = claimed.clone();
        record.finished_at = Some(Timestamp::now());
        match ended.and_then(|last| self.judge(last)) {
            Ok(()) => {
                record.state = RunState::Succeeded;
                self.count(&mut crawl).await;
            }
            Err(error) => {
                record.state = RunState::Failed;
                record.error = Some(error);
            }
        }
        record.crawl = Some(crawl);
        Ok(record)
    }

    /// Why a crawl that has ended is no success.
    fn judge(&self, last: Crawled) -> Result<(), RunError> {
        let (reason, message) = match last.end {
            End::Succeeded => return Ok(()),
            End::Cancelled => (
                "CrawlCancelled",
                format!("crawler {} was stopped before its end", self.name),
            ),
            End::Failed(why) => (
                "CrawlFailed",
                format!("crawler {} failed: {why}", self.name),
            ),
        };
        Err(RunError {
            reason: reason.to_owned(),
            message,
            retryable: true,
        })
    }

    /// Adds what the crawl changed, and what the table has now; a number that cannot be had is left out.
    async fn count(&self, crawl: &mut CrawlRecord) {
        let glue = &self.clients.glue;
        let catalog = &self.ctx.pipeline.catalog;
        let table = match &self.crawler.target {
            CrawlTarget::Catalog => &catalog.table,
            CrawlTarget::S3 { table, .. } => table,
        };
        match glue::changes(glue, &self.name).await {
            Ok(Some(changes)) => {
                crawl.tables_created = Some(changes.created);
                crawl.tables_updated = Some(changes.updated);
                crawl.tables_deleted = Some(changes.deleted);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "what the crawl changed is not told"),
        }
        match glue::partitions(glue, &catalog.database, table).await {
            Ok(partitions) => crawl.partitions = partitions,
            Err(error) => tracing::warn!(%error, "how many partitions there are is not told"),
        }
    }

    fn deadline(&self, record: &RunRecord) -> Timestamp {
        let began = record.started_at.unwrap_or(record.claimed_at);
        SignedDuration::try_from(self.crawler.timeout)
            .ok()
            .and_then(|timeout| began.checked_add(timeout).ok())
            .unwrap_or(Timestamp::MAX)
    }

    fn show(&self, record: &RunRecord) {
        let state = match record.state {
            RunState::Waiting | RunState::Running => WorkerState::Running,
            RunState::Succeeded | RunState::Failed => WorkerState::Done,
        };
        let failed = record.error.as_ref().map(|error| WorkerCondition {
            kind: "Cataloged".to_owned(),
            ok: false,
            reason: error.reason.clone(),
            message: error.message.clone(),
            since: record.finished_at.unwrap_or(record.claimed_at),
        });
        let role = RoleStatus::Crawl(CrawlRunStatus {
            run_key: record.run_key.clone(),
            attempt: record.attempt,
            run_state: record.state,
            crawler: self.name.clone(),
            deadline: Some(self.deadline(record)),
        });
        self.ctx.show(state, failed.into_iter().collect(), role);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_minute_with_an_optional_attempt() {
        let (key, attempt) = parse("crawl/ticks@2026-11-20T1505Z").unwrap();
        assert_eq!(
            (key.to_string().as_str(), attempt),
            ("crawl/ticks@2026-11-20T1505Z", 0)
        );
        assert_eq!(parse("crawl/ticks@2026-11-20T1505Z#3").unwrap().1, 3);
        for (text, part) in [
            ("ticks", "is not a run key; write"),
            ("crawl/ticks@2026-11-20T1505Z#x", "write a number after #"),
            ("crawl/ticks@2026-11-20", "write the minute"),
            ("crawl/other@2026-11-20T1505Z", "is no crawl"),
            ("report/ticks@2026-11-20T1505Z", "is no crawl"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
