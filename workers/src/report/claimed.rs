//! What the ledger says that the directories of an interval hold.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use stockpipe_crds::pipeline::PartitionBy;

use crate::ledger::{AmendmentKind, Entry, Ledger, PartitionLedger, Period, topic_id8};
use crate::store::StoreError;

/// Name of the one period of a table that has none.
pub(super) const WHOLE_TABLE: &str = "all";

/// Files and rows that the ledger claims in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Claimed {
    /// Files.
    pub(super) files: u64,
    /// Rows in them.
    pub(super) rows: u64,
}

/// The directories that are looked at, and what is found for them.
#[derive(Clone, Debug)]
struct Directories {
    by: PartitionBy,
    /// Folder of the lake, without a slash at its end.
    prefix: String,
    found: BTreeMap<String, Claimed>,
}

impl Directories {
    fn new(by: PartitionBy, prefix: &str, periods: &[Period]) -> Self {
        let mut found: BTreeMap<_, _> = periods
            .iter()
            .map(|period| (period.to_string(), Claimed::default()))
            .collect();
        if by == PartitionBy::None {
            found.insert(WHOLE_TABLE.to_owned(), Claimed::default());
        }
        Self {
            by,
            prefix: prefix.to_owned(),
            found,
        }
    }

    fn of(&mut self, key: &str) -> Option<&mut Claimed> {
        let name = match self.by {
            PartitionBy::None => WHOLE_TABLE.to_owned(),
            by => Period::of_key(by, key)?.to_string(),
        };
        self.found.get_mut(&name)
    }

    /// Counts the files of a claim that lie here, as amendments leave them; whether any does.
    fn count(&mut self, entry: &Entry) -> bool {
        let mut here = false;
        for file in &entry.claim.files {
            let Some(claimed) = self.of(&file.key) else {
                continue;
            };
            here = true;
            let is_lost = entry.amendments.iter().any(|amendment| {
                amendment.kind == AmendmentKind::Lost
                    && amendment.files.iter().any(|lost| lost.key == file.key)
            });
            if !is_lost {
                claimed.files += 1;
                claimed.rows += file.rows;
            }
        }
        here
    }

    /// The folders, each ending in a slash.
    fn folders(&self) -> Vec<String> {
        match self.by {
            PartitionBy::None => vec![format!("{}/", self.prefix)],
            _ => self
                .found
                .keys()
                .map(|name| format!("{}/{name}/", self.prefix))
                .collect(),
        }
    }
}

/// Files and rows that the ledger claims in each of `periods` (in [`WHOLE_TABLE`] where the table has none).
///
/// The claims that are read are those that the objects there are named after, those between them, and those beside
/// them as long as they have files there: so a claim is found whose object is not there. A partition without any
/// object there is looked through by event time.
///
/// # Errors
/// Where the store refuses or is not reached.
pub(super) async fn rows_by_period(
    ledger: &Ledger,
    prefix: &str,
    by: PartitionBy,
    periods: &[Period],
) -> Result<BTreeMap<String, Claimed>, StoreError> {
    let mut directories = Directories::new(by, prefix, periods);
    let mut objects = Vec::new();
    for folder in directories.folders() {
        let mut pages = ledger.store().list(&folder);
        while let Some(page) = pages.next().await? {
            objects.extend(page.iter().filter_map(|object| named_after(&object.key)));
        }
    }
    let first_ns = periods.first().map_or(i64::MIN, Period::start_ns);
    for topic in ledger.topics().await? {
        let id = topic_id8(topic);
        for partition in ledger.partitions(topic).await? {
            let chain = ledger.partition(topic, partition);
            let starts = || {
                objects
                    .iter()
                    .filter(|name| name.topic == id && name.partition == partition)
                    .map(|name| name.start)
            };
            let (first, last) = match (starts().min(), starts().max()) {
                (Some(first), Some(last)) => (first, last),
                _ => match first_since(&chain, first_ns).await? {
                    Some(start) => (start, start),
                    None => continue,
                },
            };
            let mut entries = std::pin::pin!(chain.claims_from(first));
            while let Some(entry) = entries.try_next().await? {
                if is_elsewhere(directories.count(&entry), &entry) && entry.claim.start > last {
                    break;
                }
            }
            let mut start = first;
            while let Some(before) = chain.claim_before(start).await? {
                start = before.claim.start;
                if is_elsewhere(directories.count(&before), &before) {
                    break;
                }
            }
        }
    }
    Ok(directories.found)
}

/// Whether a claim has files, but none here. One of heartbeats alone has none at all, and lies anywhere.
fn is_elsewhere(is_here: bool, entry: &Entry) -> bool {
    !is_here && !entry.claim.files.is_empty()
}

/// First offset of the first claim with an event at `since_ns` or after it, in a chain whose event times go on.
async fn first_since(chain: &PartitionLedger, since_ns: i64) -> Result<Option<i64>, StoreError> {
    let Some(genesis) = chain.genesis().await? else {
        return Ok(None);
    };
    let Some(tip) = chain.resolve(None).await?.and_then(|resolved| resolved.tip) else {
        return Ok(None);
    };
    let (mut low, mut high) = (genesis.base, tip.end + 1);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let mut entries = std::pin::pin!(chain.claims_from(middle));
        match entries.try_next().await? {
            None => high = middle,
            Some(entry) => {
                let files = entry.claim.files.iter().filter_map(|file| file.max_ts);
                let newest = files.max().or(entry.claim.watermark);
                if newest.is_some_and(|ns| ns >= since_ns) {
                    found = Some(entry.claim.start);
                    high = middle;
                } else {
                    low = entry.claim.end + 1;
                }
            }
        }
    }
    Ok(found)
}

/// What an object of the lake is named after.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ObjectName {
    topic: String,
    partition: i32,
    start: i64,
}

/// `…/<topicId8>-<partition>-<start>-<end>-<n>.<ext>`; `None` where the key is no such name.
fn named_after(key: &str) -> Option<ObjectName> {
    let name = key.rsplit('/').next()?;
    let mut parts = name.split('-');
    Some(ObjectName {
        topic: parts.next()?.to_owned(),
        partition: parts.next()?.parse().ok()?,
        start: parts.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_after_its_claim() {
        let key = "us/dt=2026-11-20/hour=14/0a1b2c3d-2-1500-1999-0.parquet";
        let name = named_after(key).unwrap();
        assert_eq!(
            (name.topic.as_str(), name.partition, name.start),
            ("0a1b2c3d", 2, 1500)
        );
        assert_eq!(named_after("us/readme.txt"), None);
    }

    #[test]
    fn a_table_without_periods_has_one() {
        let directories = Directories::new(PartitionBy::None, "us", &[]);
        assert_eq!(directories.folders(), ["us/"]);
        assert_eq!(directories.found.len(), 1);
    }
}
