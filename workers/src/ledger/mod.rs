//! The ledger: one chain of immutable claims for each partition, kept in the store itself.
//!
//! `genesis.json` fixes the first offset; each claim lies at the key of its
//! first offset, written with `If-None-Match: *`. One object for a key and one
//! successor for a claim make a single chain: no gap and no overlap, whoever
//! else is alive. `tip.json` and Kafka's committed offset are hints, untrusted.

pub mod chain;
pub mod claim;
pub mod decide;
#[cfg(test)]
mod model;
pub mod owner;
pub mod period;
pub mod tip;
pub mod topic_record;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use chain::{ClaimPut, Committed, Entry, PartitionLedger, Resolved};
pub use claim::{Amendment, AmendmentKind, Claim, ClaimKind, FileRef, Genesis, LastRecord, Layout};
pub use decide::{Action, Chain, Event, Link, decide};
pub use owner::Owner;
pub use period::Period;
pub use tip::{DaySummary, Tip};
pub use topic_record::TopicRecord;

use crate::store::{Store, StoreError};

/// Folder of every control object, at the bucket's root and outside every table's location.
pub const CONTROL: &str = "_stockpipe";

/// `ledger/<topicId>/topic.json`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Topic {
    partitions: i32,
}

/// `_stockpipe/<lakeId>`.
#[must_use]
pub fn lake_root(lake_id: &str) -> String {
    format!("{CONTROL}/{lake_id}")
}

/// The first eight characters of a topic id, as they stand in the names of files.
#[must_use]
pub fn topic_id8(topic_id: Uuid) -> String {
    topic_id.simple().to_string()[..8].to_owned()
}

/// The ledger of one lake. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    store: Store,
    lake_id: Arc<str>,
}

impl Ledger {
    /// The ledger of lake `lake_id` in the bucket of `store`. Reads nothing.
    #[must_use]
    pub fn open(store: Store, lake_id: &str) -> Self {
        Self {
            store,
            lake_id: lake_id.into(),
        }
    }

    /// The bucket.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Id of the lake.
    #[must_use]
    pub fn lake_id(&self) -> &str {
        &self.lake_id
    }

    /// The chain of one partition.
    #[must_use]
    pub fn partition(&self, topic_id: Uuid, partition: i32) -> PartitionLedger {
        PartitionLedger::new(self.store.clone(), &self.lake_id, topic_id, partition)
    }

    /// The newest published claim that `tip.json` tells of; `None` before the first.
    /// It may be older than the chain: see [`exact_tip`](Self::exact_tip).
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn tip(&self, topic_id: Uuid, partition: i32) -> Result<Option<Tip>, StoreError> {
        self.partition(topic_id, partition).tip_hint().await
    }

    /// The newest claim of the chain, published or not; `None` before the first.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn exact_tip(
        &self,
        topic_id: Uuid,
        partition: i32,
    ) -> Result<Option<Arc<Claim>>, StoreError> {
        let chain = self.partition(topic_id, partition);
        Ok(chain.resolve(None).await?.and_then(|resolved| resolved.tip))
    }

    /// The pipeline's watermark (event time, ns): the least over `partitions` partitions, from published claims
    /// whose Glue partitions are registered; `None` while any partition has none.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn watermark(
        &self,
        topic_id: Uuid,
        partitions: i32,
    ) -> Result<Option<i64>, StoreError> {
        let mut least: Option<i64> = None;
        for partition in 0..partitions {
            let chain = self.partition(topic_id, partition);
            let watermark = match chain.tip_hint().await? {
                Some(tip) => tip.visible_watermark,
                None => chain.genesis().await?.and_then(|g| g.watermark),
            };
            let Some(watermark) = watermark else {
                return Ok(None);
            };
            least = Some(least.map_or(watermark, |l| l.min(watermark)));
        }
        Ok(least)
    }

    /// The partitions that `topic_id` had when this lake began to land it; `None` where it never did.
    ///
    /// # Errors
    /// Where the store refuses, is not reached, or holds something else there.
    pub async fn first_partitions(&self, topic_id: Uuid) -> Result<Option<i32>, StoreError> {
        let topic: Option<Topic> = self.store.get_json(&self.topic_key(topic_id)).await?;
        Ok(topic.map(|t| t.partitions))
    }

    /// Lets `topic_id`, which has `partitions` partitions now, be landed in this lake.
    ///
    /// A lander does this for the first topic of a lake. For a topic that was deleted and made again it is the
    /// repair that an operator asks for: the old chains stay, the new topic begins chains of its own.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn accept_topic(&self, topic_id: Uuid, partitions: i32) -> Result<(), StoreError> {
        let key = self.topic_key(topic_id);
        self.store
            .put_json_if_absent(&key, &Topic { partitions })
            .await
            .map(|_| ())
    }

    fn topic_key(&self, topic_id: Uuid) -> String {
        format!("{}/ledger/{topic_id}/topic.json", lake_root(&self.lake_id))
    }

    /// Ids of the topics that have a chain in this lake.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn topics(&self) -> Result<Vec<Uuid>, StoreError> {
        let root = format!("{}/ledger/", lake_root(&self.lake_id));
        let names = self.store.folders(&root).await?;
        Ok(names.iter().filter_map(|n| n.parse().ok()).collect())
    }

    /// Partitions of `topic_id` that have a chain, ascending.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn partitions(&self, topic_id: Uuid) -> Result<Vec<i32>, StoreError> {
        let root = format!("{}/ledger/{topic_id}/", lake_root(&self.lake_id));
        let names = self.store.folders(&root).await?;
        let mut partitions: Vec<i32> = names.iter().filter_map(|n| n.parse().ok()).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }
}
