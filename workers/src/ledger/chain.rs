//! Reading and extending the chain of one partition.

use std::sync::Arc;

use futures::{Stream, TryStreamExt, stream};
use uuid::Uuid;

use super::claim::{Amendment, Claim, Genesis};
use super::lake_root;
use super::tip::{DaySummary, Tip};
use crate::store::{Pages, Put, Store, StoreError};

/// Claims read ahead of a reader of the whole chain.
const READ_AHEAD: usize = 16;

/// The chain of one partition: keys, reads, conditional writes. Holds no decisions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PartitionLedger {
    store: Store,
    root: Arc<str>,
    topic_id: Uuid,
    partition: i32,
}

/// What a chain says at one moment.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Where it begins.
    pub genesis: Genesis,
    /// Its newest claim, published or not; `None` before the first.
    pub tip: Option<Arc<Claim>>,
    /// The summary state as of `tip`, from `tip.json` and the claims after it.
    pub hint: Option<Tip>,
}

/// One claim with what was amended in it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Key of the claim.
    pub key: String,
    /// The claim.
    pub claim: Claim,
    /// Its amendments, oldest first.
    pub amendments: Vec<Amendment>,
}

/// Outcome of writing a claim.
#[derive(Clone, Debug)]
pub enum ClaimPut {
    /// It is ours.
    Created,
    /// This claim is there (it may be ours, from a PUT whose answer was lost).
    Found(Box<Claim>),
}

impl PartitionLedger {
    pub(super) fn new(store: Store, lake_id: &str, topic_id: Uuid, partition: i32) -> Self {
        Self {
            store,
            root: format!("{}/ledger/{topic_id}/{partition}", lake_root(lake_id)).into(),
            topic_id,
            partition,
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Key of `genesis.json`.
    #[must_use]
    pub fn genesis_key(&self) -> String {
        format!("{}/genesis.json", self.root)
    }

    /// Key of the claim that starts at offset `start`.
    #[must_use]
    pub fn claim_key(&self, start: i64) -> String {
        format!("{}/{start:020}.json", self.root)
    }

    /// Key of the `number`th amendment (from 1) of the claim that starts at `start`.
    #[must_use]
    pub fn amendment_key(&self, start: i64, number: usize) -> String {
        match number {
            0 | 1 => format!("{}/{start:020}.amend.json", self.root),
            n => format!("{}/{start:020}.amend.{n}.json", self.root),
        }
    }

    /// Key of `tip.json`.
    #[must_use]
    pub fn tip_key(&self) -> String {
        format!("{}/tip.json", self.root)
    }

    /// Where the chain begins; `None` before the first lander came.
    ///
    /// # Errors
    /// Where the store refuses, is not reached, or holds something else there.
    pub async fn genesis(&self) -> Result<Option<Genesis>, StoreError> {
        self.store.get_json(&self.genesis_key()).await
    }

    /// Begins the chain with `genesis`, unless it has begun; what it begins with.
    ///
    /// # Errors
    /// As [`genesis`](Self::genesis).
    pub async fn begin(&self, genesis: Genesis) -> Result<Genesis, StoreError> {
        let key = self.genesis_key();
        match self.store.put_json_if_absent(&key, &genesis).await? {
            Put::Created => Ok(genesis),
            Put::Exists => Ok(self.genesis().await?.unwrap_or(genesis)),
        }
    }

    /// The claim that starts at `start`.
    ///
    /// # Errors
    /// As [`genesis`](Self::genesis).
    pub async fn claim(&self, start: i64) -> Result<Option<Claim>, StoreError> {
        self.store.get_json(&self.claim_key(start)).await
    }

    /// Writes `claim` at its key, or reads what is there.
    ///
    /// # Errors
    /// As [`genesis`](Self::genesis).
    pub async fn put_claim(&self, claim: &Claim) -> Result<ClaimPut, StoreError> {
        let key = self.claim_key(claim.start);
        match self.store.put_json_if_absent(&key, claim).await? {
            Put::Created => Ok(ClaimPut::Created),
            Put::Exists => match self.store.get_json(&key).await? {
                Some(found) => Ok(ClaimPut::Found(Box::new(found))),
                None => Err(StoreError::Content {
                    bucket: self.store.bucket().to_owned(),
                    key,
                    why: "a claim was there a moment ago and is gone; claims are never deleted"
                        .to_owned(),
                }),
            },
        }
    }

    /// The amendments of the claim at `start`, oldest first.
    ///
    /// # Errors
    /// As [`genesis`](Self::genesis).
    pub async fn amendments(&self, start: i64) -> Result<Vec<Amendment>, StoreError> {
        let mut found = Vec::new();
        while let Some(next) = self
            .store
            .get_json(&self.amendment_key(start, found.len() + 1))
            .await?
        {
            found.push(next);
        }
        Ok(found)
    }

    /// Writes the `number`th amendment (from 1) of the claim at `start`, unless there is one.
    ///
    /// # Errors
    /// As [`genesis`](Self::genesis).
    pub async fn amend(
        &self,
        start: i64,
        number: usize,
        amendment: &Amendment,
    ) -> Result<Put, StoreError> {
        let key = self.amendment_key(start, number);
        self.store.put_json_if_absent(&key, amendment).await
    }

    /// `tip.json`; one that does not parse is as none, since it is only a hint.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn tip_hint(&self) -> Result<Option<Tip>, StoreError> {
        match self.store.get_json(&self.tip_key()).await {
            Err(StoreError::Content { .. }) => Ok(None),
            other => other,
        }
    }

    /// Writes `tip.json`.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn put_tip(&self, tip: &Tip) -> Result<(), StoreError> {
        self.store.put_json(&self.tip_key(), tip).await
    }

    /// Writes the summary of a finished day.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn put_summary(&self, summary: &DaySummary) -> Result<(), StoreError> {
        let key = format!("{}/summary/{}.json", self.root, summary.day);
        self.store.put_json(&key, summary).await
    }

    /// The chain's newest claim, from the hints along the chain; `None` where it has not begun.
    ///
    /// `committed` is Kafka's committed offset, with the first offset of the claim that it ends.
    /// A hint that is no boundary of the chain is passed over; with none left the chain is listed.
    ///
    /// # Errors
    /// As [`genesis`](Self::genesis).
    pub async fn resolve(
        &self,
        committed: Option<Committed>,
    ) -> Result<Option<Resolved>, StoreError> {
        let Some(genesis) = self.genesis().await? else {
            return Ok(None);
        };
        let hint = self.tip_hint().await?;
        let from_tip = hint.as_ref().map(|t| (t.start, t.end));
        let from_kafka = committed.map(|c| (c.start, c.offset - 1));
        let mut candidates: Vec<_> = from_tip.into_iter().chain(from_kafka).collect();
        candidates.sort_unstable_by_key(|(start, _)| std::cmp::Reverse(*start));
        candidates.dedup();
        let mut tip = None;
        for (start, end) in candidates {
            tip = self.claim(start).await?.filter(|c| c.end == end);
            if tip.is_some() {
                break;
            }
        }
        if tip.is_none() {
            tip = self.newest_listed().await?;
        }
        // The summary goes on from tip.json only if the claims between are read here.
        let mut summary = hint.filter(|h| tip.as_ref().is_some_and(|t| t.claim_id == h.claim_id));
        let mut next = tip.as_ref().map_or(genesis.base, |t| t.end + 1);
        while let Some(claim) = self.claim(next).await? {
            next = claim.end + 1;
            let at = claim.claimed_at;
            summary = summary.map(|s| Tip::after(Some(&s), &claim, at).0);
            tip = Some(claim);
        }
        Ok(Some(Resolved {
            genesis,
            tip: tip.map(Arc::new),
            hint: summary,
        }))
    }

    async fn newest_listed(&self) -> Result<Option<Claim>, StoreError> {
        let mut pages = self.store.list(&format!("{}/", self.root));
        let mut newest = None;
        while let Some(page) = pages.next().await? {
            newest = page
                .iter()
                .filter_map(|o| self.start_of(&o.key))
                .next_back()
                .or(newest);
        }
        match newest {
            Some(start) => self.claim(start).await,
            None => Ok(None),
        }
    }

    /// First offset of the claim at `key`; `None` where the key is not a claim's.
    fn start_of(&self, key: &str) -> Option<i64> {
        let digits = key
            .strip_prefix(&*self.root)?
            .strip_prefix('/')?
            .strip_suffix(".json")?;
        (digits.len() == 20).then(|| digits.parse().ok()).flatten()
    }

    /// Every claim in the ledger with its amendments, by first offset, read ahead a little.
    /// That they tile is for the reader to prove.
    pub fn claims(&self) -> impl Stream<Item = Result<Entry, StoreError>> + Send + use<> {
        self.entries(self.store.list(&format!("{}/", self.root)))
    }

    /// [`claims`](Self::claims), from the first that starts at `start` or after it.
    pub fn claims_from(
        &self,
        start: i64,
    ) -> impl Stream<Item = Result<Entry, StoreError>> + Send + use<> {
        let pages = self.store.list(&format!("{}/", self.root));
        self.entries(match start {
            ..=0 => pages,
            // Before the amendments of the claim, whose keys sort before its own.
            _ => pages.after(&self.claim_key(start - 1)),
        })
    }

    /// The last claim that starts before `start`, with its amendments.
    ///
    /// # Errors
    /// As [`genesis`](Self::genesis).
    pub async fn claim_before(&self, start: i64) -> Result<Option<Entry>, StoreError> {
        let mut reach = 1_i64;
        loop {
            let from = start.saturating_sub(reach).max(0);
            let mut pages = self.store.list(&format!("{}/", self.root));
            if from > 0 {
                pages = pages.after(&self.claim_key(from - 1));
            }
            let mut last = None;
            while let Some(page) = pages.next().await? {
                let starts = page.iter().filter_map(|o| self.start_of(&o.key));
                last = starts.take_while(|s| *s < start).last().or(last);
                let is_past = page
                    .iter()
                    .rev()
                    .find_map(|o| self.start_of(&o.key))
                    .is_some_and(|s| s >= start);
                if is_past {
                    break;
                }
            }
            match last {
                Some(last) => return self.entry(last, Amended::Perhaps).await.map(Some),
                None if from == 0 => return Ok(None),
                None => reach = reach.saturating_mul(16),
            }
        }
    }

    fn entries(
        &self,
        pages: Pages,
    ) -> impl Stream<Item = Result<Entry, StoreError>> + Send + use<> {
        let keys = stream::try_unfold(pages, |mut pages| async move {
            Ok::<_, StoreError>(pages.next().await?.map(|page| (page, pages)))
        });
        let this = self.clone();
        let starts = keys
            .map_ok(move |page| {
                let starts = claims_of_page(&this, &page);
                stream::iter(starts.into_iter().map(Ok))
            })
            .try_flatten();
        let this = self.clone();
        starts
            .map_ok(move |(start, amended)| {
                let this = this.clone();
                async move { this.entry(start, amended).await }
            })
            .try_buffered(READ_AHEAD)
    }

    async fn entry(&self, start: i64, amended: Amended) -> Result<Entry, StoreError> {
        let key = self.claim_key(start);
        let Some(claim) = self.claim(start).await? else {
            return Err(StoreError::Content {
                bucket: self.store.bucket().to_owned(),
                key,
                why: "it was listed and is gone; claims are never deleted".to_owned(),
            });
        };
        let amendments = match amended {
            Amended::Perhaps => self.amendments(start).await?,
            Amended::No => Vec::new(),
        };
        Ok(Entry {
            key,
            claim,
            amendments,
        })
    }
}

/// Whether a listing showed an amendment before the claim (its key sorts first).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amended {
    Perhaps,
    No,
}

fn claims_of_page(chain: &PartitionLedger, page: &[crate::store::Listed]) -> Vec<(i64, Amended)> {
    let mut previous: Option<&str> = None;
    let mut claims = Vec::new();
    for object in page {
        if let Some(start) = chain.start_of(&object.key) {
            // At the start of a page the amendment may have ended the page before.
            let amended = previous.is_none_or(|p| p.contains(".amend."));
            claims.push((
                start,
                if amended {
                    Amended::Perhaps
                } else {
                    Amended::No
                },
            ));
        }
        previous = Some(&object.key);
    }
    claims
}

/// Kafka's committed offset of a partition as a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The committed offset: one after the last landed.
    pub offset: i64,
    /// First offset of the claim that ends before it, from the commit's metadata.
    pub start: i64,
}

impl Committed {
    /// The metadata that a commit carries.
    #[must_use]
    pub fn metadata(start: i64) -> String {
        format!("claim {start}")
    }

    /// A committed offset with its metadata; `None` where somebody else wrote it.
    #[must_use]
    pub fn parse(offset: i64, metadata: &str) -> Option<Self> {
        let start = metadata.strip_prefix("claim ")?.parse().ok()?;
        Some(Self { offset, start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_commit_is_no_hint() {
        let ours = Committed {
            offset: 20,
            start: 10,
        };
        assert_eq!(Committed::parse(20, &Committed::metadata(10)), Some(ours));
        for foreign in ["", "claim", "claim x", "10"] {
            assert_eq!(Committed::parse(20, foreign), None, "{foreign}");
        }
    }
}
