//! The catalog's redb file and its transactions.

use std::fmt::Display;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{ReadTransaction, TableDefinition, WriteTransaction};
use serde_json::{Map, Value, json};

use super::OpenError;
use crate::aws_json::AwsError;
use crate::record_file::RecordFile;

/// Database name → its record.
pub(super) const DATABASES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("databases");
/// (database, table) → the table's record of its newest version.
pub(super) const TABLES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("tables");
/// (database, table, version) → the table's record as it was.
pub(super) const VERSIONS: TableDefinition<'_, (&str, &str, u64), &[u8]> =
    TableDefinition::new("table_versions");
/// (database, table, values joined by U+0001) → the partition's record.
pub(super) const PARTITIONS: TableDefinition<'_, (&str, &str, &str), &[u8]> =
    TableDefinition::new("partitions");
/// Crawler → its record.
pub(super) const CRAWLERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("crawlers");
/// (crawler, number of the crawl) → what it came to.
pub(super) const CRAWLS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("crawls");

/// One open catalog file.
#[derive(Debug)]
pub(super) struct Store {
    file: RecordFile,
}

impl Store {
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("catalog.redb");
        let unusable = |reason: String| OpenError::Unusable {
            path: path.display().to_string(),
            reason,
        };
        std::fs::create_dir_all(dir).map_err(|e| unusable(e.to_string()))?;
        let file = RecordFile::open(&path).map_err(|e| unusable(e.to_string()))?;
        let store = Self { file };
        // A full disk does not keep what is there from being read.
        let prepared = || -> Result<(), AwsError> {
            let txn = store.file.write_an_end()?;
            txn.open_table(DATABASES).map_err(broken)?;
            txn.open_table(TABLES).map_err(broken)?;
            txn.open_table(VERSIONS).map_err(broken)?;
            txn.open_table(PARTITIONS).map_err(broken)?;
            txn.open_table(CRAWLERS).map_err(broken)?;
            txn.open_table(CRAWLS).map_err(broken)?;
            txn.commit().map_err(broken)
        };
        prepared().map_err(|e| unusable(e.message))?;
        Ok(store)
    }

    /// Runs `read` on one consistent view of the catalog.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, AwsError>,
    ) -> Result<T, AwsError> {
        read(&self.file.read()?)
    }

    /// Runs `write` as one durable transaction; its error changes nothing.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<T, AwsError>,
    ) -> Result<T, AwsError> {
        let txn = self.file.write()?;
        let answer = write(&txn)?;
        txn.commit().map_err(broken)?;
        Ok(answer)
    }
}

/// An error of the file itself.
pub(super) fn broken(e: impl Display) -> AwsError {
    AwsError::internal(format!(
        "The catalog file could not be read or written: {e}."
    ))
}

/// A record as bytes.
pub(super) fn encode(record: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(record).expect("a JSON map always serialises")
}

/// A record from its bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Map<String, Value>, AwsError> {
    serde_json::from_slice(bytes).map_err(broken)
}

/// Now, as Glue writes times: epoch seconds with milliseconds.
pub(super) fn now() -> Value {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    json!(since.as_millis() as f64 / 1000.0)
}
