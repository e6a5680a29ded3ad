//! Role `land`: every record of the topic into the lake, exactly once.
//!
//! One thread polls Kafka and decodes into buffers ([`poll`]); ranges are
//! encoded and uploaded beside it ([`encoders`], [`stage`]); each assigned
//! partition has a task that claims, publishes and hints ([`partition`]) by the
//! rules of [`crate::ledger::decide()`].

pub mod buffer;
pub mod consumer;
pub mod encode;
pub mod encoders;
pub mod memory;
pub mod partition;
pub mod partitions;
pub mod poll;
pub mod publish;
pub mod rebuild;
pub mod roll;
pub mod stage;
pub mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use stockpipe_crds::worker_status::WorkerState;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::aws::Clients;
use crate::context::{Context, host};
use crate::kafka::admin::{self, TopicDescription};
use crate::ledger::{Layout, Ledger, Owner, lake_root};
use crate::secrets::SecretError;
use crate::store::{Store, StoreError};
use buffer::Scope;
use consumer::LandContext;
use encoders::Encoders;
use memory::Draining;
use partition::PartitionLander;
use partitions::Registrar;
use poll::{PollEnd, Poller};
use stage::Stager;
use status::{Board, Reason};

/// Uploads at a time.
const UPLOADS: usize = 8;
/// Rows become a row group at this share of the budget, within these bounds (bytes).
const SEAL_SHARE: u64 = 16;
const SEAL_BYTES: std::ops::RangeInclusive<u64> = (2 << 20)..=(64 << 20);
/// How often something that is awaited is looked for.
const LOOK: Duration = Duration::from_millis(500);
/// After this long, waiting is worth a sentence.
const SILENCE: Duration = Duration::from_secs(60);
/// How often it is checked that the topic is still the same.
const TOPIC_CHECK: Duration = Duration::from_secs(10);

/// Why a lander cannot work.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// The credentials are missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store does not do what landing needs.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The prefix is another pipeline's.
    #[error(
        "s3://{bucket}/{prefix} belongs to pipeline `{owner}`, and this is `{identity}`: choose another lake.prefix"
    )]
    Owned {
        /// Bucket.
        bucket: String,
        /// Prefix.
        prefix: String,
        /// Whose it is.
        owner: String,
        /// Who asked.
        identity: String,
    },
    /// Files that this version cannot write.
    #[error(transparent)]
    Layout(#[from] encode::EncodeError),
    /// librdkafka refused its configuration.
    #[error("cannot set up the Kafka consumer: {0}")]
    Consumer(#[from] KafkaError),
    /// The polling thread could not be started or broke.
    #[error("the thread that polls Kafka ended: {0}")]
    Thread(String),
}

/// Lands until `ctx.shutdown`; then lands what is gathered, leaves the group and returns.
///
/// # Errors
/// Where this lander can never work as configured. What passes (Kafka, S3 or Glue away) is waited for.
pub async fn run(ctx: &Context) -> Result<(), LandError> {
    let lander = Lander::new(ctx).await?;
    let stopped = ctx.shutdown.clone();
    let Some(owner) = stopped
        .run_until_cancelled(lander.owner())
        .await
        .transpose()?
    else {
        return Ok(());
    };
    let ledger = Ledger::open(lander.store.clone(), &owner.lake_id);
    let Some(()) = stopped
        .run_until_cancelled(lander.probe(&owner))
        .await
        .transpose()?
    else {
        return Ok(());
    };
    let background = CancellationToken::new();
    let _ends_with_run = background.clone().drop_guard();
    let registrar = Registrar::new();
    let glue = lander.clients.glue.clone();
    tokio::spawn(
        registrar
            .clone()
            .run(glue, Arc::clone(&ctx.pipeline), background.clone()),
    );
    let mut topic = None;
    while !ctx.shutdown.is_cancelled() {
        if topic.is_none() {
            let Some(found) = stopped.run_until_cancelled(lander.topic(&ledger)).await else {
                break;
            };
            topic = Some(found);
        }
        let Some(id) = topic else { continue };
        match lander.session(&ledger, id, &registrar).await? {
            SessionEnd::Stopped => break,
            SessionEnd::Rejoin => {}
            SessionEnd::TopicChanged => topic = None,
        }
    }
    Ok(())
}

/// How one membership in the group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionEnd {
    Stopped,
    Rejoin,
    TopicChanged,
}

struct Lander<'a> {
    ctx: &'a Context,
    clients: Clients,
    store: Store,
    layout: Arc<Layout>,
    owner_name: Arc<str>,
    board: Board,
    draining: Draining,
    encoders: Encoders,

    held: Arc<AtomicU64>,
}

impl<'a> Lander<'a> {
    async fn new(ctx: &'a Context) -> Result<Self, LandError> {
        let lake = &ctx.pipeline.lake;
        let layout = Layout {
            format: lake.format,
            codec: lake.compression,
            partition_by: lake.partition_by,
            schema_id: encode::SCHEMA_ID,
            writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        encode::Encoder::new(&layout)?;
        let clients = Clients::connect(&ctx.pipeline.aws, &ctx.secrets).await?;
        let draining = Draining::default();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            ctx,
            store: Store::new(clients.s3.clone(), &lake.bucket),
            clients,
            layout: Arc::new(layout),
            owner_name: format!("{}-{:08x}", host(), Uuid::new_v4().as_fields().0).into(),
            board: Board::default(),
            encoders: Encoders::new(Handle::current(), threads, draining.clone()),
            draining,

            held: Arc::default(),
        })
    }

    /// The owner of the prefix: waits until `provision` has made its record.
    async fn owner(&self) -> Result<Owner, LandError> {
        let lake = &self.ctx.pipeline.lake;
        let since = Instant::now();
        let mut said = false;
        loop {
            self.publish_status(WorkerState::Waiting);
            let why = match Owner::read(&self.store, &lake.prefix).await {
                Ok(Some(owner)) if owner.identity == self.ctx.identity() => return Ok(owner),
                Ok(Some(owner)) => {
                    return Err(LandError::Owned {
                        bucket: lake.bucket.clone(),
                        prefix: lake.prefix.clone(),
                        owner: owner.identity,
                        identity: self.ctx.identity(),
                    });
                }
                Ok(None) => format!("s3://{}/{} has no owner yet", lake.bucket, lake.prefix),
                Err(error @ StoreError::Content { .. }) => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            if !said && since.elapsed() >= SILENCE {
                said = true;
                tracing::warn!("still waiting for `provision` to prepare the lake: {why}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Refuses a store without conditional writes.
    async fn probe(&self, owner: &Owner) -> Result<(), LandError> {
        let root = lake_root(&owner.lake_id);
        let refused = self
            .store
            .persist(|| async {
                match self.store.probe_conditional_writes(&root).await {
                    Err(refused @ StoreError::NoConditionalWrites { .. }) => Ok(Some(refused)),
                    other => other.map(|()| None),
                }
            })
            .await;
        refused.map_or(Ok(()), |e| Err(e.into()))
    }

    /// Id of the topic, once Kafka has it and this lake may land it.
    async fn topic(&self, ledger: &Ledger) -> Uuid {
        let topic = &self.ctx.pipeline.kafka.topic.name;
        let since = Instant::now();
        let mut said = false;
        loop {
            match self.describe().await {
                Ok(found) if self.accepted(ledger, found).await => return found.id,
                Ok(found) => {
                    self.board.raise(
                        Reason::LogDiverged,
                        None,
                        format!(
                            "topic `{topic}` was deleted and made again (its id is now {}): nothing of it is landed \
                             until `stockpipe repair` lets it follow the old one in this lake",
                            found.id
                        ),
                    );
                    self.publish_status(WorkerState::Stopped);
                    tokio::time::sleep(TOPIC_CHECK / 10).await;
                }
                Err(why) => {
                    if !said && since.elapsed() >= SILENCE {
                        said = true;
                        tracing::warn!("still waiting for the topic: {why}");
                    }
                    self.publish_status(WorkerState::Waiting);
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Whether this lake lands the topic: it did before, or it never landed any.
    async fn accepted(&self, ledger: &Ledger, topic: TopicDescription) -> bool {
        let known = self
            .store
            .persist(|| ledger.first_partitions(topic.id))
            .await
            .is_some();
        if !known {
            if !self.store.persist(|| ledger.topics()).await.is_empty() {
                return false;
            }
            let accept = || ledger.accept_topic(topic.id, topic.partitions);
            self.store.persist(accept).await;
        }
        self.board.show(Reason::LogDiverged, None);
        true
    }

    async fn describe(&self) -> Result<TopicDescription, admin::AdminError> {
        let kafka = &self.ctx.pipeline.kafka;
        let bootstrap = kafka.bootstrap_servers.as_deref().unwrap_or_default();
        admin::describe_topic(bootstrap, &kafka.topic.name).await
    }

    /// One membership in the group.
    async fn session(
        &self,
        ledger: &Ledger,
        topic_id: Uuid,
        registrar: &Registrar,
    ) -> Result<SessionEnd, LandError> {
        let pipeline = &self.ctx.pipeline;
        let budget = pipeline.consumer.memory_budget;
        let consumer: BaseConsumer<LandContext> = consumer::config(
            &pipeline.kafka,
            &self.ctx.group_id(),
            &self.owner_name,
            budget,
        )
        .create_with_context(LandContext::default())?;
        consumer.subscribe(&[&pipeline.kafka.topic.name])?;
        let consumer = Arc::new(consumer);
        let (sender, commands) = mpsc::channel();
        let stop = self.ctx.shutdown.child_token();
        let poller = Poller {
            topic: pipeline.kafka.topic.name.clone(),
            outfit: self.outfit(ledger, topic_id, registrar, &consumer, &sender),
            consumer: Arc::clone(&consumer),
            runtime: Handle::current(),
            limits: pipeline.lake.roll.clone(),
            // What librdkafka is fetching comes on top of what it queues.
            budget: budget
                .saturating_sub(2 * consumer::queue_bytes(budget))
                .max(1),
            draining: self.draining.clone(),
            board: self.board.clone(),
            commands,
            sender,
            stop: stop.clone(),

            held: Arc::clone(&self.held),
        };
        drop(consumer);
        let (done, mut ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("stockpipe-land".to_owned())
            .spawn(move || {
                let end = poller.run();
                // The consumer closes with the last reference to it, before the end is told.
                let _ = done.send(end);
            })
            .map_err(|e| LandError::Thread(e.to_string()))?;
        let mut changed = false;
        let mut show = tokio::time::interval(LOOK);
        let mut check = tokio::time::interval(TOPIC_CHECK);
        loop {
            tokio::select! {
                end = &mut ended => {
                    self.show(registrar, WorkerState::Done);
                    return match end {
                        Ok(PollEnd::Rejoin) => Ok(SessionEnd::Rejoin),
                        Ok(PollEnd::Stopped) if changed => Ok(SessionEnd::TopicChanged),
                        Ok(PollEnd::Stopped) => Ok(SessionEnd::Stopped),
                        Err(_) => Err(LandError::Thread("it panicked".to_owned())),
                    };
                }
                _ = show.tick() => {
                    let state = if stop.is_cancelled() {
                        WorkerState::Draining
                    } else if self.store.is_lost() {
                        WorkerState::Waiting
                    } else {
                        WorkerState::Running
                    };
                    self.show(registrar, state);
                }
                _ = check.tick() => {
                    if self.describe().await.is_ok_and(|found| found.id != topic_id) {
                        changed = true;
                        stop.cancel();
                    }
                }
            }
        }
    }

    /// What each assigned partition is given.
    fn outfit(
        &self,
        ledger: &Ledger,
        topic_id: Uuid,
        registrar: &Registrar,
        consumer: &Arc<BaseConsumer<LandContext>>,
        commands: &mpsc::Sender<consumer::Command>,
    ) -> poll::Outfit {
        let lake = &self.ctx.pipeline.lake;
        let stager = Stager {
            store: self.store.clone(),
            lake_id: ledger.lake_id().into(),
            prefix: lake.prefix.as_str().into(),
            topic_id,
            partition: 0,
            layout: Arc::clone(&self.layout),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            registrar: registrar.clone(),
            owner: Arc::clone(&self.owner_name),
        };
        let seal = (self.ctx.pipeline.consumer.memory_budget / SEAL_SHARE)
            .clamp(*SEAL_BYTES.start(), *SEAL_BYTES.end());
        let max_files = usize::try_from(lake.roll.max_files_per_range)
            .unwrap_or(usize::MAX)
            .max(1);
        let (lateness, encoders) = (lake.allowed_lateness, self.encoders.clone());
        let (kafka, group_id) = (self.ctx.pipeline.kafka.clone(), self.ctx.group_id());
        let (ledger, board) = (ledger.clone(), self.board.clone());
        // A weak reference, or the polling thread could never close its consumer.
        let consumer = Arc::downgrade(consumer);
        let commands = commands.clone();
        Box::new(move |partition, assignment| {
            let scope = Arc::new(Scope {
                topic: kafka.topic.name.clone(),
                partition,
                layout: Arc::clone(&stager.layout),
                allowed_lateness: lateness,
                max_files,
                seal_bytes: seal,
                encoders: encoders.clone(),
            });
            let stager = Stager {
                partition,
                ..stager.clone()
            };
            let lander = PartitionLander {
                topic: kafka.topic.name.clone(),
                partition,
                assignment,
                ledger: ledger.clone(),
                chain: ledger.partition(topic_id, partition),
                stager: stager.clone(),
                scope: Arc::clone(&scope),
                consumer: consumer
                    .upgrade()
                    .expect("the polling thread that asks holds the consumer"),
                kafka: kafka.clone(),
                group_id: group_id.clone(),
                board: board.clone(),
                commands: commands.clone(),
            };
            (lander, stager, scope)
        })
    }

    fn show(&self, registrar: &Registrar, state: WorkerState) {
        self.board
            .show(Reason::PartitionsUnregistered, registrar.trouble());
        let lost = self.store.is_lost().then(|| {
            format!(
                "bucket `{}` is not reachable; what is gathered waits for it",
                self.store.bucket()
            )
        });
        self.board.show(Reason::StoreUnreachable, lost);
        self.publish_status(state);
    }

    fn publish_status(&self, state: WorkerState) {
        let buffered = self.held.load(Ordering::Relaxed) + self.draining.bytes();
        let (conditions, role) = self.board.complete(self.ctx, buffered);
        self.ctx.show(state, conditions, role);
    }
}
