//! The role `report`: one run of one report, its result durable before it is told.
//!
//! A run is named by its key and attempt (`report/daily-ohlcv@2026-11-20#1`;
//! without `#` the schedule's attempt 0). It claims
//! `_stockpipe/<lakeId>/runs/<run key>/<attempt>.json`, waits until the
//! watermark has passed the interval's end or the report's deadline has passed
//! since the claim, asks Athena in the budget's workgroup, and finishes the
//! record. The same key and attempt again returns the stored result; one that
//! another worker left unfinished goes on, and its query attaches by its token.

pub mod athena;
mod builtin;
mod claimed;
mod condition;
mod record;
mod relation;
pub mod schedule;
mod sql;

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;
use stockpipe_crds::pipeline::{DataDate, Interval, Report, Source};
use stockpipe_crds::run_key::{DataInterval, RunKey, RunKind};
use stockpipe_crds::run_record::{RunError, RunRecord, RunState, athena_cost_usd};
use stockpipe_crds::worker_status::{ReportRunStatus, RoleStatus, WorkerCondition, WorkerState};

use crate::aws::{Clients, explain};
use crate::context::{Context, host};
use crate::kafka::admin;
use crate::ledger::{Ledger, Owner};
use crate::provision::workgroup_name;
use crate::secrets::SecretError;
use crate::sessions::MarketSessions;
use crate::store::{Store, StoreError};

pub use athena::Rows;
use athena::{Query, request_token};
use builtin::ClaimedPeriod;
pub use record::{Held, Records};
pub use schedule::{Due, key_at, key_of_job, keys_due, next_due};
pub use sql::PlaceholderError;
use sql::Question;

const NO_KEY: &str =
    "the role `report` needs --run KEY, for instance report/daily-ohlcv@2026-11-20";
/// How often the watermark is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Rows of a result that are kept in memory; all of them are in its file.
const KEPT_ROWS: usize = 10_000;
/// How long a service may be away within a run.
const PATIENCE: Duration = Duration::from_secs(300);

/// Why a run could not be brought to an end; a query's own failure is a run that ended (`RunState::Failed`).
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The key.
    #[error("{0}")]
    Key(String),
    /// The SQL's placeholders.
    #[error(transparent)]
    Placeholder(#[from] PlaceholderError),
    /// The credentials secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody has provisioned the lake.
    #[error(
        "prefix `{prefix}` of bucket `{bucket}` is not provisioned: run the role `provision` first"
    )]
    NotProvisioned {
        /// Bucket.
        bucket: String,
        /// Prefix.
        prefix: String,
    },
    /// The lake is another's.
    #[error("prefix `{prefix}` belongs to pipeline `{owner}`: choose another lake.prefix")]
    NotOurs {
        /// Prefix.
        prefix: String,
        /// Its owner.
        owner: String,
    },
    /// A call failed.
    #[error("cannot {action}: {why}")]
    Aws {
        /// What was tried.
        action: String,
        /// The service's own words.
        why: String,
        /// Whether it was not reached, or could not serve at this moment.
        outage: bool,
    },
    /// A record is unreadable.
    #[error("run record {key} cannot be read: {why}")]
    Record {
        /// Its key.
        key: String,
        /// Why.
        why: String,
    },
    /// A record was deleted while the run was under way.
    #[error("run record {0} has vanished: run records must not be deleted")]
    Vanished(String),
    /// Shutdown.
    #[error("stopped before the run ended; run the same key again and it goes on")]
    Stopped,
}

impl ReportError {
    pub(crate) fn aws<E>(action: impl Into<String>, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        let status = error.raw_response().map(|r| r.status().as_u16());
        Self::Aws {
            action: action.into(),
            why: explain(error),
            outage: status.is_none_or(|s| s >= 500 || s == 429),
        }
    }

    /// Whether a service was not reached, or could not serve at this moment.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_outage(),
            Self::Aws { outage, .. } => *outage,
            _ => false,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The stored record.
    pub record: RunRecord,
    /// The result's first rows; none where the run failed.
    pub rows: Rows,
}

/// Runs `key` (with `#ATTEMPT` when by hand) to its end, or returns the result that is stored for it.
///
/// # Errors
/// Where the key names no run of this pipeline, the lake is not provisioned, a
/// service stays away, or shutdown came first.
pub async fn run(ctx: &Context, key: &str) -> Result<Outcome, ReportError> {
    let run = Run::prepare(ctx, key).await?;
    tokio::select! {
        () = ctx.shutdown.cancelled() => Err(ReportError::Stopped),
        ended = run.to_its_end() => ended,
    }
}

/// The run key of a scheduled run whose pipeline has one report, as the operator's CronJob gives it: from the name of
/// its Job.
///
/// # Errors
/// Where there is no such name, or it is not one that the CronJob made.
pub fn scheduled_key(ctx: &Context, job: Option<&str>) -> Result<String, ReportError> {
    let [report] = &ctx.pipeline.reports[..] else {
        return Err(ReportError::Key(NO_KEY.to_owned()));
    };
    let Some(job) = job else {
        return Err(ReportError::Key(NO_KEY.to_owned()));
    };
    let sessions = MarketSessions::of(&ctx.pipeline.market);
    key_of_job(report, job, &sessions)
        .map(|key| key.to_string())
        .ok_or_else(|| {
            ReportError::Key(format!(
                "Job `{job}` was not made by the schedule of report `{}`, so its name tells no run: annotate the \
                 pipeline with stockpipe.dev/run-now, for instance report/{}@2026-11-20#1",
                report.name, report.name
            ))
        })
}

/// The newest interval of `report` that is over: by the clock, or by the
/// watermark where that is ahead, as with a market that runs faster than the clock.
///
/// # Errors
/// Where the calendar has no such session, or S3 refuses or is not reached.
pub async fn newest_interval(ctx: &Context, report: &Report) -> Result<DataInterval, ReportError> {
    let sessions = MarketSessions::of(&ctx.pipeline.market);
    let now = Timestamp::now();
    let at = match (&ctx.pipeline.source, watermark(ctx).await?) {
        // A replay's market time is the file's, wherever the clock is.
        (Source::Replay { .. }, Some(watermark)) => watermark,
        (_, Some(watermark)) => watermark.max(now),
        (_, None) => now,
    };
    DataInterval::scheduled(at, report.interval, DataDate::Session, &sessions).ok_or_else(|| {
        ReportError::Key(format!(
            "calendar {} has no {} that had ended by {at}",
            ctx.pipeline.market.calendar,
            word(report)
        ))
    })
}

/// The pipeline's watermark: no row before it is still to land; `None` while a partition has landed nothing.
///
/// # Errors
/// Where the lake is not provisioned, or S3 refuses or is not reached.
pub async fn watermark(ctx: &Context) -> Result<Option<Timestamp>, ReportError> {
    let clients = Clients::connect(&ctx.pipeline.aws, &ctx.secrets).await?;
    let (_, owner) = open(ctx, &clients).await?;
    let store = Store::new(clients.s3, &ctx.pipeline.lake.bucket);
    watermark_of(ctx, &Ledger::open(store, &owner.lake_id)).await
}

async fn watermark_of(ctx: &Context, ledger: &Ledger) -> Result<Option<Timestamp>, ReportError> {
    let kafka = &ctx.pipeline.kafka;
    let topics = ledger.topics().await?;
    let id = match topics[..] {
        [] => return Ok(None),
        [id] => id,
        // The topic was deleted and made again: only Kafka knows which one is alive.
        _ => {
            let bootstrap = kafka.bootstrap_servers.as_deref().unwrap_or_default();
            admin::topic_id(bootstrap, &kafka.topic.name)
                .await
                .map_err(|e| ReportError::Aws {
                    action: format!("tell which topic `{}` is", kafka.topic.name),
                    outage: matches!(e, admin::AdminError::Unreachable { .. }),
                    why: e.to_string(),
                })?
        }
    };
    let known = ledger.partitions(id).await?;
    let count = known
        .last()
        .map_or(0, |p| p + 1)
        .max(kafka.topic.partitions);
    let watermark = ledger.watermark(id, count).await?;
    Ok(watermark.and_then(|ns| Timestamp::from_nanosecond(i128::from(ns)).ok()))
}

/// The newest run of each report of the pipeline, in the file's order; reports that never ran are left out.
///
/// # Errors
/// Where the lake is not provisioned, or S3 refuses or is not reached.
pub async fn list(ctx: &Context) -> Result<Vec<RunRecord>, ReportError> {
    let clients = Clients::connect(&ctx.pipeline.aws, &ctx.secrets).await?;
    let (records, _) = open(ctx, &clients).await?;
    let now = Timestamp::now();
    let mut newest = Vec::new();
    for report in &ctx.pipeline.reports {
        newest.extend(records.newest(RunKind::Report, &report.name, now).await?);
    }
    Ok(newest)
}

/// The run records of the lake, and who owns it, which must be this pipeline.
pub(crate) async fn open(
    ctx: &Context,
    clients: &Clients,
) -> Result<(Records, Owner), ReportError> {
    let lake = &ctx.pipeline.lake;
    let store = Store::new(clients.s3.clone(), &lake.bucket);
    let owner =
        Owner::read(&store, &lake.prefix)
            .await?
            .ok_or_else(|| ReportError::NotProvisioned {
                bucket: lake.bucket.clone(),
                prefix: lake.prefix.clone(),
            })?;
    if owner.identity != ctx.identity() {
        return Err(ReportError::NotOurs {
            prefix: lake.prefix.clone(),
            owner: owner.identity,
        });
    }
    let records = Records::new(clients.s3.clone(), &lake.bucket, &owner.lake_id);
    Ok((records, owner))
}

/// Run key and attempt from `KEY` or `KEY#ATTEMPT`.
fn parse(text: &str) -> Result<(RunKey, u32), ReportError> {
    let (key, attempt) = match text.split_once('#') {
        None => (text, 0),
        Some((key, attempt)) => (
            key,
            attempt.parse().map_err(|_| {
                ReportError::Key(format!(
                    "`{attempt}` is no attempt: write a number after #, for instance {key}#1"
                ))
            })?,
        ),
    };
    let key: RunKey = key
        .parse()
        .map_err(|e: stockpipe_crds::run_key::RunKeyError| ReportError::Key(e.to_string()))?;
    if key.kind() != RunKind::Report {
        return Err(ReportError::Key(format!(
            "{key} is no report: write report/{}@…",
            key.name()
        )));
    }
    Ok((key, attempt))
}

fn report_named<'a>(reports: &'a [Report], name: &str) -> Result<&'a Report, ReportError> {
    reports.iter().find(|r| r.name == name).ok_or_else(|| {
        let names: Vec<_> = reports.iter().map(|r| r.name.as_str()).collect();
        ReportError::Key(if names.is_empty() {
            format!("there is no report `{name}`: the pipeline has none")
        } else {
            format!(
                "there is no report `{name}`: the pipeline has {}",
                names.join(", ")
            )
        })
    })
}

/// One run, ready to be claimed.
struct Run {
    ctx: Context,
    clients: Clients,
    records: Records,
    ledger: Ledger,
    lake_id: String,
    report: Report,
    interval: DataInterval,
    /// The least watermark that proves the interval complete.
    complete_at: Timestamp,
    key: RunKey,
    attempt: u32,
    question: Question,
}

impl Run {
    async fn prepare(ctx: &Context, key: &str) -> Result<Self, ReportError> {
        let pipeline = &ctx.pipeline;
        let (key, attempt) = parse(key)?;
        let report = report_named(&pipeline.reports, key.name())?.clone();
        let sessions = MarketSessions::of(&pipeline.market);
        let interval =
            DataInterval::of_key(key.start(), report.interval, &sessions).ok_or_else(|| {
                ReportError::Key(format!(
                    "{key} names no {} of calendar {}: report `{}` has one run for each {}",
                    word(&report),
                    pipeline.market.calendar,
                    report.name,
                    word(&report),
                ))
            })?;
        let question = Question::new(pipeline, &report, interval, &sessions);
        // What is wrong with it is told before anything is claimed.
        question.statement(&[])?;
        let clients = Clients::connect(&pipeline.aws, &ctx.secrets).await?;
        let (records, owner) = open(ctx, &clients).await?;
        let store = Store::new(clients.s3.clone(), &pipeline.lake.bucket);
        Ok(Self {
            ctx: ctx.clone(),
            ledger: Ledger::open(store, &owner.lake_id),
            lake_id: owner.lake_id,
            complete_at: sessions.complete_at(report.interval, &interval),
            clients,
            records,
            report,
            interval,
            key,
            attempt,
            question,
        })
    }

    async fn to_its_end(&self) -> Result<Outcome, ReportError> {
        let mut held = self.records.claim(self.first_record()).await?;
        self.show(&held.record);
        if held.record.state == RunState::Waiting {
            held = self.wait_for_the_data(held).await?;
        }
        while !held.record.state.is_final() {
            let finished = self.ask(&held.record).await?;
            held = self.records.replace(&held, finished).await?;
        }
        self.show(&held.record);
        let record = held.record;
        let rows = match (&record.state, &record.query_execution_id) {
            (RunState::Succeeded, Some(id)) => {
                persist(|| athena::rows(&self.clients.athena, id, KEPT_ROWS)).await?
            }
            _ => Rows::default(),
        };
        Ok(Outcome { record, rows })
    }

    fn first_record(&self) -> RunRecord {
        RunRecord::waiting(
            self.key.clone(),
            self.attempt,
            format!("{}/{}", host(), std::process::id()),
            Timestamp::now(),
            self.interval.data_date,
            (self.interval.start, self.interval.end),
        )
    }

    /// When the run goes on without complete data.
    fn deadline(&self, record: &RunRecord) -> Timestamp {
        jiff::SignedDuration::try_from(self.report.deadline)
            .ok()
            .and_then(|d| record.claimed_at.checked_add(d).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// Waits for the watermark or the deadline, then fixes the statement in the record.
    async fn wait_for_the_data(&self, mut held: Held) -> Result<Held, ReportError> {
        let deadline = self.deadline(&held.record);
        let mut told = false;
        let watermark = loop {
            let watermark = match watermark_of(&self.ctx, &self.ledger).await {
                Ok(watermark) => watermark,
                Err(error) if error.is_outage() && Timestamp::now() < deadline => {
                    tracing::debug!(%error, "no watermark");
                    None
                }
                Err(error) => return Err(error),
            };
            if watermark.is_some_and(|w| w >= self.complete_at) || Timestamp::now() >= deadline {
                break watermark;
            }
            if !told {
                told = true;
                tracing::info!(
                    run = %self.key,
                    watermark = watermark.map(tracing::field::display),
                    until = %self.complete_at,
                    %deadline,
                    "waiting until the data are complete"
                );
            }
            tokio::time::sleep(LOOK).await;
        };
        let sql = persist(|| self.statement(watermark)).await?;
        let mut record = held.record.clone();
        record.state = RunState::Running;
        record.started_at = Some(Timestamp::now());
        record.partial = watermark.is_none_or(|w| w < self.complete_at);
        record.watermark = watermark;
        record.request_token = Some(request_token(
            &self.ctx.identity(),
            &self.key.to_string(),
            self.attempt,
            &sql,
        ));
        record.workgroup = Some(workgroup_name(
            &self.ctx.pipeline.name,
            &self.lake_id,
            self.report.max_scanned_bytes,
        ));
        record.query = Some(sql);
        held = self.records.replace(&held, record).await?;
        self.show(&held.record);
        Ok(held)
    }

    /// The statement, with what the ledger claims at this moment where it asks for that.
    async fn statement(&self, watermark: Option<Timestamp>) -> Result<String, ReportError> {
        let mut claimed = Vec::new();
        if self.question.needs_the_ledger() {
            let lake = &self.ctx.pipeline.lake;
            let periods = self.question.periods();
            let found =
                claimed::rows_by_period(&self.ledger, &lake.prefix, lake.partition_by, &periods)
                    .await?;
            let passed = |name: &str| {
                let watermark = watermark.map(Timestamp::as_nanosecond);
                let period = periods.iter().find(|period| period.to_string() == name);
                watermark
                    .zip(period)
                    .is_some_and(|(w, period)| w >= i128::from(period.end_ns()))
            };
            claimed.extend(found.into_iter().map(|(name, claimed)| ClaimedPeriod {
                is_closed: passed(&name),
                name,
                claimed,
            }));
        }
        Ok(self.question.statement(&claimed)?)
    }

    /// Asks Athena what the record says, and what the record is then.
    async fn ask(&self, claimed: &RunRecord) -> Result<RunRecord, ReportError> {
        let mut record = claimed.clone();
        let (Some(sql), Some(token), Some(workgroup)) =
            (&record.query, &record.request_token, &record.workgroup)
        else {
            return Err(ReportError::Record {
                key: self.key.to_string(),
                why: "it runs but names no statement".to_owned(),
            });
        };
        let athena = &self.clients.athena;
        let database = &self.ctx.pipeline.catalog.database;
        let outcome = persist(|| async {
            let query = Query {
                sql,
                database,
                workgroup,
                token,
                // The workgroup's, which it enforces.
                output: None,
            };
            match athena::start(athena, &query).await? {
                Err(fault) => Ok(Err(fault)),
                Ok(id) => {
                    let execution = athena::wait(athena, &id).await?;
                    let result = match athena::failure(&execution, self.report.max_scanned_bytes) {
                        Some(error) => Err(error),
                        None => Ok(athena::rows(athena, &id, 0).await?.total),
                    };
                    Ok(Ok((id, execution, result)))
                }
            }
        })
        .await?;
        record.finished_at = Some(Timestamp::now());
        match outcome {
            Err(fault) => fail(&mut record, fault),
            Ok((id, execution, result)) => {
                let scanned = execution
                    .statistics
                    .as_ref()
                    .and_then(|s| s.data_scanned_in_bytes)
                    .and_then(|b| u64::try_from(b).ok())
                    .unwrap_or(0);
                record.query_execution_id = Some(id);
                record.scanned_bytes = Some(scanned);
                record.cost_usd = Some(athena_cost_usd(scanned));
                match result {
                    Ok(total) => {
                        record.state = RunState::Succeeded;
                        record.rows = Some(total);
                        record.output = execution
                            .result_configuration
                            .and_then(|r| r.output_location);
                    }
                    Err(error) => fail(&mut record, error),
                }
            }
        }
        Ok(record)
    }

    fn show(&self, record: &RunRecord) {
        let state = match record.state {
            RunState::Waiting => WorkerState::Waiting,
            RunState::Running => WorkerState::Running,
            RunState::Succeeded | RunState::Failed => WorkerState::Done,
        };
        let failed = record.error.as_ref().map(|error| WorkerCondition {
            kind: "Reporting".to_owned(),
            ok: false,
            reason: error.reason.clone(),
            message: error.message.clone(),
            since: record.finished_at.unwrap_or(record.claimed_at),
        });
        let role = RoleStatus::Report(ReportRunStatus {
            run_key: record.run_key.clone(),
            attempt: record.attempt,
            run_state: record.state,
            watermark: record.watermark,
            deadline: Some(self.deadline(record)),
            query_execution_id: record.query_execution_id.clone(),
        });
        self.ctx.show(state, failed.into_iter().collect(), role);
    }
}

fn fail(record: &mut RunRecord, error: RunError) {
    record.state = RunState::Failed;
    record.error = Some(error);
}

/// Repeats `call` while a service is away, for some minutes.
pub(crate) async fn persist<T, F, Fut>(mut call: F) -> Result<T, ReportError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, ReportError>>,
{
    let began = std::time::Instant::now();
    let mut told = String::new();
    loop {
        match call().await {
            Err(error) if error.is_outage() && began.elapsed() < PATIENCE => {
                let why = error.to_string();
                // Once, not each second.
                if why != told {
                    tracing::warn!(error = why, "trying again for five minutes");
                    told = why;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            ended => return ended,
        }
    }
}

fn word(report: &Report) -> &'static str {
    match report.interval {
        Interval::Minute => "minute",
        Interval::Hour => "hour",
        Interval::Day => "day",
        Interval::Session => "session",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_an_optional_attempt() {
        let (key, attempt) = parse("report/daily@2026-11-20").unwrap();
        assert_eq!((key.name(), attempt), ("daily", 0));
        assert_eq!(parse("report/daily@2026-11-20#3").unwrap().1, 3);
    }

    #[test]
    fn a_bad_key_is_refused_with_what_to_write() {
        for (text, part) in [
            ("daily", "is not a run key; write"),
            ("report/daily@2026-11-20#x", "write a number after #"),
            ("transform/bars@2026-11-20T1500Z", "is no report"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_unknown_report_is_told_which_there_are() {
        assert_eq!(
            report_named(&[], "daily").unwrap_err().to_string(),
            "there is no report `daily`: the pipeline has none"
        );
    }
}
