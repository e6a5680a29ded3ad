//! The role `produce`: the market's ticks into the topic, none twice, none left out.
//!
//! A source generates its ticks in one deterministic order. Every second each
//! partition gets a heartbeat; every 30 s or 200,000 ticks, and before the
//! first tick, the heartbeat carries a checkpoint of the source. A restarted
//! producer reads each partition back to its last checkpoint, restores the
//! least of them, generates again and skips what is present. This rests on two
//! facts: a partition keeps the order of sending, and a symbol stays in its
//! partition from one checkpoint to the next.
//!
//! A live feed cannot be asked again for what it has sent. Its producer goes on behind the last tick that is present, and
//! what it has missed meanwhile is told as a gap (`live`).
//!
//! Two producers of one pipeline must not run at once. A second one notices the
//! heartbeats of the first and waits until they end; but one that was stopped
//! for longer than that and then continues would write ticks twice, until
//! producers are transactional. `stockpipe verify` tells such ticks.

mod feed;
mod heartbeat;
mod line;
mod live;
mod pace;
mod partition;
mod rate;
mod readback;
mod recovery;
pub mod replay;
mod sender;
mod simulated;

use std::time::Duration;

use jiff::Timestamp;
use stockpipe_crds::pipeline::Source;
use stockpipe_crds::worker_status::{ProduceStatus, RoleStatus, WorkerCondition, WorkerState};

use crate::context::Context;

pub use feed::FeedError;
pub use heartbeat::{Checkpoint, Heartbeat};
pub use partition::partition_of;
pub use simulated::settings as simulated_settings;

/// Why the producer ended.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] FeedError),
    /// The live feed refuses us: the same again would be refused again.
    #[error(transparent)]
    Refused(FeedError),
    /// A defect of ours.
    #[error("the producer's thread ended unexpectedly: {0}")]
    Thread(String),
}

/// Why the work was interrupted.
#[derive(Debug)]
enum Interruption {
    /// Shutdown.
    Stop,
    /// Kafka lost or refused something: read back and go on.
    Failed(String),
    /// The source cannot go on.
    Source(FeedError),
}

impl From<FeedError> for Interruption {
    fn from(error: FeedError) -> Self {
        Self::Source(error)
    }
}

/// What the producer tells of itself, over all its lives.
#[derive(Clone, Debug, Default)]
struct Telling {
    status: ProduceStatus,
    kafka_lost: bool,
    /// Why it last had to read back and begin again, and when.
    failure: Option<(String, Timestamp)>,
    live: Option<live::Liveness>,
}

impl Telling {
    fn show(&self, ctx: &Context) {
        let condition = |ok, reason: &str, message: String, since| WorkerCondition {
            kind: "Producing".to_owned(),
            ok,
            reason: reason.to_owned(),
            message,
            since,
        };
        let now = Timestamp::now();
        let (state, told) = if ctx.pipeline.suspend {
            let message = "spec.suspend is true: nothing is produced".to_owned();
            (
                WorkerState::Waiting,
                Some(condition(true, "Suspended", message, now)),
            )
        } else if self.kafka_lost {
            let brokers = ctx.pipeline.kafka.bootstrap_servers.as_deref();
            let message = format!(
                "Kafka at {} does not answer; ticks wait for it",
                brokers.unwrap_or_default()
            );
            (
                WorkerState::Waiting,
                Some(condition(false, "KafkaUnreachable", message, now)),
            )
        } else if let Some((why, since)) = self.live.as_ref().and_then(|live| live.lost.as_ref()) {
            (
                WorkerState::Waiting,
                Some(condition(false, "FeedLost", why.clone(), *since)),
            )
        } else if let Some((reason, since)) = &self.failure {
            let message =
                format!("it read back and began again from its last checkpoint: {reason}");
            (
                WorkerState::Running,
                Some(condition(true, "BeganAgain", message, *since)),
            )
        } else {
            (WorkerState::Running, None)
        };
        let role = RoleStatus::Produce(self.status.clone());
        ctx.show(state, told.into_iter().collect(), role);
    }
}

/// Produces until shutdown. Kafka may come and go: it retries for ever.
///
/// # Errors
/// Where the source cannot go on: a file is missing, a row is bad, a setting is unknown.
pub async fn run(ctx: &Context) -> Result<(), ProduceError> {
    if ctx.pipeline.suspend {
        Telling::default().show(ctx);
        ctx.shutdown.cancelled().await;
        return Ok(());
    }
    let ctx = ctx.clone();
    tokio::task::spawn_blocking(move || work(&ctx))
        .await
        .map_err(|e| ProduceError::Thread(e.to_string()))?
}

fn work(ctx: &Context) -> Result<(), ProduceError> {
    let source = feed::source(ctx).map_err(|error| match ctx.pipeline.source {
        Source::Live(_) => ProduceError::Refused(error),
        Source::Simulated { .. } | Source::Replay(_) => ProduceError::Source(error),
    })?;
    let mut telling = Telling::default();
    telling.status.behind = true;
    let mut wait = Duration::from_secs(1);
    loop {
        let ticks = telling.status.ticks_total;
        match line::run(ctx, source.as_ref(), &mut telling) {
            Ok(()) | Err(Interruption::Stop) => return Ok(()),
            Err(Interruption::Source(error)) if source.repeats() => return Err(error.into()),
            Err(Interruption::Source(error)) => return Err(ProduceError::Refused(error)),
            Err(Interruption::Failed(reason)) => {
                if telling.status.ticks_total > ticks {
                    wait = Duration::from_secs(1);
                }
                tracing::warn!(
                    reason,
                    "the producer reads back and begins again from its last checkpoint"
                );
                telling.failure = Some((reason, Timestamp::now()));
                telling.show(ctx);
                if stopped_within(ctx, wait) {
                    return Ok(());
                }
                wait = (wait * 2).min(Duration::from_secs(30));
            }
        }
    }
}

/// Sleeps for `time`; whether shutdown came meanwhile.
fn stopped_within(ctx: &Context, time: Duration) -> bool {
    let deadline = std::time::Instant::now() + time;
    while std::time::Instant::now() < deadline {
        if ctx.shutdown.is_cancelled() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    ctx.shutdown.is_cancelled()
}

/// Nanoseconds since 1970 on the wall.
fn wall_ns() -> pace::Nanos {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
