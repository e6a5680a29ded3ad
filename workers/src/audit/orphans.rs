//! Files that no claim knows.

use std::collections::HashMap;

use super::KeySet;
use super::report::Findings;
use crate::ledger::topic_id8;
use crate::store::{Store, StoreError};
use uuid::Uuid;

/// The keys of every audited claim.
pub struct Known {
    prefix: String,
    keys: KeySet,
    /// Last audited offset of each chain, by the beginning of its files' names.
    ends: HashMap<(String, i32), i64>,
}

impl Known {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            keys: KeySet::new(),
            ends: HashMap::new(),
        }
    }

    /// Chain whose claims end at `end`.
    pub fn chain(&mut self, topic_id: Uuid, partition: i32, end: i64) {
        self.ends.insert((topic_id8(topic_id), partition), end);
    }

    /// Chain that may have begun since the audit did: then all of it is newer.
    pub fn begun(&mut self, topic_id: Uuid, partition: i32) {
        self.ends
            .entry((topic_id8(topic_id), partition))
            .or_insert(-1);
    }

    /// A claim's file; whether no other claim has it.
    pub fn file(&mut self, key: &str) -> bool {
        self.keys.insert(hash(key))
    }

    /// Whether `key` is a claim's, or was written after the audit began.
    fn explains(&self, key: &str) -> bool {
        self.keys.contains(&hash(key)) || self.is_newer(key)
    }

    fn is_newer(&self, key: &str) -> bool {
        let name = key.rsplit('/').next().unwrap_or_default();
        let mut parts = name.split('-');
        let (Some(topic), Some(partition), Some(start)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let (Ok(partition), Ok(start)) = (partition.parse(), start.parse::<i64>()) else {
            return false;
        };
        self.ends
            .get(&(topic.to_owned(), partition))
            .is_some_and(|end| start > *end)
    }
}

/// The keys of the table's files that nothing explains.
///
/// # Errors
/// Where the store cannot be read.
pub async fn look(store: &Store, known: &Known) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let mut pages = store.list(&format!("{}/", known.prefix));
    while let Some(page) = pages.next().await? {
        // Consoles make empty objects to show folders.
        let is_folder = |key: &str, size| key.ends_with('/') && size == 0;
        found.extend(
            page.into_iter()
                .filter(|object| !is_folder(&object.key, object.size))
                .filter(|object| !known.explains(&object.key))
                .map(|object| object.key),
        );
    }
    Ok(found)
}

/// Names the files of `keys` that are still unexplained.
pub fn tell(store: &Store, known: &Known, keys: &[String], findings: &mut Findings) {
    for key in keys.iter().filter(|key| !known.explains(key)) {
        findings.add(
            None,
            None,
            format!(
                "s3://{}/{key} belongs to no claim: its rows are read and were never landed",
                store.bucket(),
            ),
        );
    }
}

fn hash(key: &str) -> u64 {
    crc_fast::crc64_nvme(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_explained_by_its_claim_or_by_being_newer_than_the_audit() {
        let topic = Uuid::from_u128(0x1b2c_3d4e << 96);
        let mut known = Known::new("t");
        known.chain(topic, 2, 99);
        assert!(known.file("t/dt=2026-11-20/1b2c3d4e-2-50-99-0.parquet"));
        assert!(
            !known.file("t/dt=2026-11-20/1b2c3d4e-2-50-99-0.parquet"),
            "claimed twice"
        );
        assert!(known.explains("t/dt=2026-11-20/1b2c3d4e-2-50-99-0.parquet"));
        assert!(
            known.explains("t/dt=2026-11-21/1b2c3d4e-2-100-120-0.parquet"),
            "newer"
        );
        for orphan in [
            "t/dt=2026-11-20/1b2c3d4e-2-50-98-0.parquet",
            "t/dt=2026-11-20/1b2c3d4e-3-100-120-0.parquet",
            "t/dt=2026-11-20/copy of something.parquet",
        ] {
            assert!(!known.explains(orphan), "{orphan}");
        }
        // What is known of a chain stays; one that has begun since is newer in all its files.
        known.begun(topic, 2);
        known.begun(topic, 3);
        for (key, explained) in [
            ("t/dt=2026-11-20/1b2c3d4e-2-50-98-0.parquet", false),
            ("t/dt=2026-11-20/1b2c3d4e-3-0-120-0.parquet", true),
        ] {
            assert_eq!(known.explains(key), explained, "{key}");
        }
    }
}
