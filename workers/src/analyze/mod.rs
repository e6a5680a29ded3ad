//! Role `analyze`: the live page, its figures and its API.
//!
//! It reads the topic beside the landers, in no group and without commits, and what has landed from the ledger and
//! the run records in S3; it writes nothing. [`state`] is what the ticks say, [`publication`] what the page's
//! readers have been told of it, [`hub`] gives each reader a snapshot and then deltas four times a second.

pub mod feed;
pub mod hours;
pub mod hub;
pub mod instrument;
pub mod lake;
pub mod page;
pub mod publication;
pub mod rate;
pub mod reports;
pub mod series;
pub mod state;
pub mod trace;
pub mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::error::KafkaError;
use stockpipe_crds::pipeline::{Pipeline, Source};
use stockpipe_crds::worker_status::{AnalyzeStatus, RoleStatus, WorkerCondition, WorkerState};
use stockpipe_market::calendar::{Calendar, UnknownCalendar};
use tokio::time::MissedTickBehavior;

use crate::aws::Clients;
use crate::context::Context;
use crate::kafka::admin;
use crate::secrets::SecretError;
use crate::status::{self, ListenError};
use crate::store::Store;

use feed::{Feed, lock};
use hub::Hub;
use lake::{LakeReader, LogRange};
use publication::{Publication, Surroundings};
use reports::ReportReader;
use state::Market;
use wire::{Badge, LakeInfo, PipelineInfo};

/// Between two deltas.
const BEAT: Duration = Duration::from_millis(250);
/// Between two looks at Kafka's offsets, the ledger and the run records.
const LOOK: Duration = Duration::from_secs(2);
/// S3 counts as away when a look takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Beats between two publications of `/status`.
const STATUS_BEATS: u32 = 4;

/// Why the page cannot be shown at all. What comes and goes (Kafka, S3) is said on the page instead.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The port is taken.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The credentials are not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The calendar has no such exchange.
    #[error(transparent)]
    Calendar(#[from] UnknownCalendar),
    /// librdkafka refused the pipeline's Kafka configuration.
    #[error("spec.kafka is not a configuration that librdkafka takes: {0}")]
    Kafka(#[from] KafkaError),
    /// The server ended.
    #[error("the page's listener ended: {0}")]
    Serve(std::io::Error),
}

/// Shows the page on `page_addr` until shutdown.
///
/// # Errors
/// Where the page cannot be shown at all: see [`AnalyzeError`].
pub async fn run(ctx: &Context, page_addr: SocketAddr) -> Result<(), AnalyzeError> {
    let listener = status::bind(page_addr).await?;
    serve(ctx, listener).await
}

/// As [`run`], on a listener that the caller has bound: so that it knows the port before the role starts.
///
/// # Errors
/// As [`run`].
pub async fn serve(ctx: &Context, listener: tokio::net::TcpListener) -> Result<(), AnalyzeError> {
    let pipeline = &ctx.pipeline;
    let calendar = Calendar::parse(&pipeline.market.calendar)?;
    let store = Store::new(
        Clients::connect(&pipeline.aws, &ctx.secrets).await?.s3,
        &pipeline.lake.bucket,
    );
    let local = listener.local_addr().map_err(AnalyzeError::Serve)?;
    let market = Arc::<Mutex<Market>>::default();
    let feed = Arc::new(Feed::open(
        &pipeline.kafka,
        &ctx.group_id(),
        Arc::clone(&market),
    )?);
    let surroundings = Surroundings {
        connected: true,
        session: hours::session(calendar, now_ns()),
        lake: LakeInfo::default(),
        reports: Vec::new(),
    };
    let hub = Hub::new(
        market,
        Publication::new(pipeline_info(pipeline), &surroundings),
        surroundings,
        ctx.shutdown.clone(),
    );
    // Stops with this role however it ends: a thread that reads for nobody would outlive it.
    let stop = ctx.shutdown.child_token();
    let _stop = stop.clone().drop_guard();
    let reading = tokio::task::spawn_blocking({
        let feed = Arc::clone(&feed);
        move || feed.run(&stop)
    });
    let looking = tokio::spawn(look(ctx.clone(), hub.clone(), Arc::clone(&feed), store));
    let beating = tokio::spawn(beat(ctx.clone(), hub.clone(), feed, calendar));
    let served = axum::serve(listener, page::router(hub, ctx.status.clone(), local))
        .with_graceful_shutdown(ctx.shutdown.clone().cancelled_owned())
        .await
        .map_err(AnalyzeError::Serve);
    looking.abort();
    beating.abort();
    if served.is_ok() {
        // Polls for a tenth of a second at most after shutdown.
        let _ = reading.await;
    }
    served
}

fn pipeline_info(pipeline: &Pipeline) -> PipelineInfo {
    PipelineInfo {
        name: pipeline.name.clone(),
        namespace: pipeline.namespace.clone(),
        badge: match pipeline.source {
            Source::Simulated { .. } => Badge::Simulated,
            Source::Replay { .. } => Badge::Replay,
            Source::Live(_) => Badge::Live,
        },
        calendar: pipeline.market.calendar.clone(),
        topic: pipeline.kafka.topic.name.clone(),
        lake: format!("s3://{}/{}", pipeline.lake.bucket, pipeline.lake.prefix),
        table: format!("{}.{}", pipeline.catalog.database, pipeline.catalog.table),
    }
}

fn now_ns() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Tells the page's readers what changed, four times a second, and `/status` once.
async fn beat(ctx: Context, hub: Hub, feed: Arc<Feed>, calendar: Calendar) {
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for round in (0..STATUS_BEATS).cycle() {
        ticks.tick().await;
        let market_ns = lock(hub.market()).time_ns().unwrap_or_else(now_ns);
        hub.surround(|s| {
            s.connected = feed.is_connected();
            s.session = hours::session(calendar, market_ns);
        });
        hub.beat(Timestamp::now().as_millisecond());
        if round == 0 {
            tell(&ctx, &hub);
        }
    }
}

fn tell(ctx: &Context, hub: &Hub) {
    let surroundings = hub.surroundings();
    let condition = |reason: &str, message: String| WorkerCondition {
        kind: "Healthy".to_owned(),
        ok: false,
        reason: reason.to_owned(),
        message,
        since: Timestamp::now(),
    };
    // One condition of each kind: Kafka's absence explains the lake's.
    let trouble = if surroundings.connected {
        let problem = surroundings.lake.problem;
        problem.map(|message| condition("LakeUnreadable", message))
    } else {
        let message = format!(
            "Kafka at {} does not answer; the page shows what it knew",
            ctx.pipeline
                .kafka
                .bootstrap_servers
                .as_deref()
                .unwrap_or_default()
        );
        Some(condition("KafkaUnreachable", message))
    };
    let market = lock(hub.market());
    let (_, rate) = market.window().rate(Timestamp::now().as_millisecond());
    let role = RoleStatus::Analyze(AnalyzeStatus {
        rate: rate.round() as u64,
        ticks_total: market.ticks(),
        symbols: u32::try_from(market.symbols()).unwrap_or(u32::MAX),
        bad_records: market.bad_records(),
        streams: u32::try_from(hub.readers()).unwrap_or(u32::MAX),
        market_time: market.time_ns().and_then(publication::instant),
    });
    let state = if surroundings.connected {
        WorkerState::Running
    } else {
        WorkerState::Waiting
    };
    ctx.show(state, trouble.into_iter().collect(), role);
}

/// Looks every two seconds at what is durable. The store's and Kafka's absence is shown, and looked for again.
async fn look(ctx: Context, hub: Hub, feed: Arc<Feed>, store: Store) {
    let mut looker = Looker {
        lake: LakeReader::new(store.clone(), &ctx.pipeline.lake.prefix, ctx.identity()),
        reports: ReportReader::default(),
        figures: LakeInfo::default(),
        read_at: None,
        ctx,
        feed,
        store,
    };
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let market_ns = lock(hub.market()).time_ns();
        let lake = looker.lake(market_ns).await;
        hub.surround(|s| s.lake = lake);
        match looker.reports().await {
            Ok(reports) => hub.surround(|s| s.reports = reports),
            // The lake's tile says why, in the same words.
            Err(error) => tracing::debug!(%error, "run records"),
        }
    }
}

struct Looker {
    ctx: Context,
    feed: Arc<Feed>,
    store: Store,
    lake: LakeReader,
    reports: ReportReader,
    figures: LakeInfo,
    read_at: Option<Timestamp>,
}

impl Looker {
    async fn lake(&mut self, market_ns: Option<i64>) -> LakeInfo {
        match self.read(market_ns).await {
            Ok(figures) => {
                self.figures = figures;
                self.read_at = Some(Timestamp::now());
                self.figures.clone()
            }
            Err(problem) => lake::with_problem(
                self.figures.clone(),
                &problem,
                self.read_at,
                Timestamp::now(),
            ),
        }
    }

    /// The figures, or why there are none.
    async fn read(&mut self, market_ns: Option<i64>) -> Result<LakeInfo, String> {
        let kafka = &self.ctx.pipeline.kafka;
        let bootstrap = kafka.bootstrap_servers.as_deref().unwrap_or_default();
        let lake = &mut self.lake;
        let ledger = async {
            let topic = admin::describe_topic(bootstrap, &kafka.topic.name)
                .await
                .map_err(|e| e.to_string())?;
            tokio::time::timeout(PATIENCE, lake.read(topic.id, topic.partitions))
                .await
                .map_err(|_| format!("S3 has not answered for {} s", PATIENCE.as_secs()))?
                .map_err(|e| e.to_string())
        };
        // Side by side: the page's prices do not wait for S3.
        let (partitions, logs) = tokio::join!(ledger, offsets(&self.feed));
        let partitions = partitions?;
        let logs = logs.map_err(|e| {
            format!(
                "Kafka does not tell the offsets of topic `{}`: {e}",
                kafka.topic.name
            )
        })?;
        Ok(lake::figures(&partitions, Some(&logs), market_ns))
    }

    async fn reports(&mut self) -> Result<Vec<wire::ReportInfo>, lake::LakeError> {
        let lake_id = self.lake.ledger().await?.map(|l| l.lake_id().to_owned());
        Ok(self
            .reports
            .read(
                &self.store,
                lake_id.as_deref(),
                &self.ctx.pipeline.reports,
                Timestamp::now(),
            )
            .await?)
    }
}

async fn offsets(feed: &Arc<Feed>) -> Result<BTreeMap<i32, LogRange>, KafkaError> {
    let feed = Arc::clone(feed);
    tokio::task::spawn_blocking(move || feed.look())
        .await
        .unwrap_or(Err(KafkaError::Canceled))
}
