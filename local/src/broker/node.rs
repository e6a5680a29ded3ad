//! What all connections share.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::atomic_file;
use super::group::coordinator::Coordinator;
use super::group::membership::Settings;
use super::group::offsets::Offsets;
use super::log::partition::Refusal;
use super::producer_ids::ProducerIds;
use super::topics::{Checkpoint, Topic, Topics};
use super::{BrokerError, Config};

/// The id of the only node.
pub(crate) const NODE_ID: i32 = 1;

/// Unit of the memory budgets, so that they fit a semaphore's permits.
pub(crate) const BUDGET_UNIT: usize = 1 << 10;

/// Longest session timeout of group members, as in Apache Kafka.
const MAX_SESSION: std::time::Duration = std::time::Duration::from_secs(1_800);

/// File of the offsets up to which partitions were flushed.
const CHECKPOINT: &str = "flushed.json";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterFile {
    cluster_id: String,
}

/// The broker without its listener.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) cluster_id: String,
    pub(crate) topics: Topics,
    pub(crate) coordinator: Coordinator,
    pub(crate) producer_ids: ProducerIds,
    /// Memory for requests, in [`BUDGET_UNIT`]s.
    pub(crate) request_budget: Arc<Semaphore>,
    /// Memory for fetched records, in [`BUDGET_UNIT`]s.
    pub(crate) fetch_budget: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
    checkpoint: Mutex<Checkpoint>,
}

impl Node {
    /// Opens the data directory of `config`.
    pub(crate) fn open(config: Config, stop: CancellationToken) -> Result<Self, BrokerError> {
        let directory = config.data_dir.clone();
        let damaged = |name: &str| {
            let path = directory.join(name);
            move |error: io::Error| {
                BrokerError::Damaged(format!("cannot use {}: {error}", path.display()))
            }
        };
        let checkpoint: Checkpoint = atomic_file::read_json(&directory.join(CHECKPOINT))
            .map_err(damaged(CHECKPOINT))?
            .unwrap_or_default();
        let topics =
            Topics::open(directory.join("topics"), &checkpoint).map_err(BrokerError::Damaged)?;
        let offsets =
            Offsets::open(directory.join("offsets.jsonl")).map_err(damaged("offsets.jsonl"))?;
        // A crash may have come between the deletion of a topic and this.
        offsets
            .forget(|topic| topics.get(topic).is_some())
            .map_err(damaged("offsets.jsonl"))?;
        let producer_ids = ProducerIds::open(directory.join("producer-ids.json"))
            .map_err(damaged("producer-ids.json"))?;
        let cluster_id = cluster_id(&config).map_err(damaged("cluster.json"))?;
        let settings = Settings {
            min_session: config.min_session_timeout,
            max_session: MAX_SESSION,
            initial_delay: config.initial_rebalance_delay,
        };
        let budget = || Arc::new(Semaphore::new(permits(config.memory_bytes) as usize));
        Ok(Self {
            cluster_id,
            topics,
            coordinator: Coordinator::new(settings, offsets),
            producer_ids,
            request_budget: budget(),
            fetch_budget: budget(),
            stop,
            checkpoint: Mutex::new(checkpoint),
            config,
        })
    }

    /// Syncs every partition and the committed offsets, then notes how far; blocking.
    pub(crate) fn flush(&self) -> io::Result<()> {
        // One flush at a time: the file must not go back.
        let mut checkpoint = self.checkpoint.lock();
        // One partition that cannot be flushed must not keep the others from it.
        let topics = self.topics.all();
        let partitions = topics.iter().flat_map(|topic| topic.partitions());
        let flushed: Vec<io::Result<()>> = partitions.map(|partition| partition.flush()).collect();
        self.coordinator.offsets.flush()?;
        let next = self.topics.checkpoint(&checkpoint);
        if next != *checkpoint {
            atomic_file::replace_json(&self.config.data_dir.join(CHECKPOINT), &next)?;
            *checkpoint = next;
        }
        flushed.into_iter().collect()
    }

    /// Deletes a topic, with what every group committed for it; blocking.
    pub(crate) fn delete_topic(&self, name: &str) -> Result<Arc<Topic>, Refusal> {
        let offsets = &self.coordinator.offsets;
        self.topics.delete(name, || {
            if let Err(error) = offsets.forget(|topic| topic != name) {
                tracing::error!(
                    "cannot take the committed offsets of topic {name}, which was deleted, off their file: {error}; \
                     the next start does"
                );
            }
        })
    }

    /// Deletes what the topics' retention does not keep; blocking.
    pub(crate) fn retain(&self) {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        for topic in self.topics.all() {
            let retention = topic.config().retention();
            for partition in topic.partitions() {
                partition.retain(retention, now_ms);
            }
        }
    }
}

/// Permits for `bytes`, at least one.
pub(crate) fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BUDGET_UNIT))
        .unwrap_or(u32::MAX >> 4)
        .max(1)
}

fn cluster_id(config: &Config) -> io::Result<String> {
    let path = config.data_dir.join("cluster.json");
    if let Some(file) = atomic_file::read_json::<ClusterFile>(&path)? {
        return Ok(file.cluster_id);
    }
    // Kafka's form of a UUID: 22 characters of URL-safe base64.
    let cluster_id =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
    atomic_file::replace_json(
        &path,
        &ClusterFile {
            cluster_id: cluster_id.clone(),
        },
    )?;
    Ok(cluster_id)
}
