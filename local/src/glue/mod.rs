//! The embedded Glue Data Catalog: databases, tables with versions, and
//! partitions, durable in one redb file.
//!
//! It answers as Glue does: names are lower-cased, fields that were not given
//! are absent (never `""`), times are numbers of epoch seconds, and errors
//! carry Glue's exception names. Every change is one durable transaction, so
//! that what was answered survives `kill -9`.

mod databases;
mod expression;
mod input;
mod partitions;
mod store;
mod tables;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

pub use expression::{KeyType, PartitionFilter};

use crate::aws_json::{AwsError, JsonService};
use store::Store;

/// The catalog id that every answer carries: the local cloud's account.
pub const CATALOG_ID: &str = "000000000000";

/// Why the catalog's directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or the file cannot be made or locked.
    #[error("the Glue catalog in {path} cannot be opened: {reason}")]
    Unusable {
        /// The catalog's file or directory.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// The catalog, one per data directory. Clones share it.
#[derive(Clone, Debug)]
pub struct Glue {
    store: Arc<Store>,
}

impl Glue {
    /// Opens the catalog in `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// When the directory is not writable or another process has the catalog.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            store: Arc::new(Store::open(dir)?),
        })
    }
}

#[async_trait]
impl JsonService for Glue {
    async fn handle(&self, op: &str, body: Value) -> Result<Value, AwsError> {
        let operation = operation(op)?;
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || operation(&store, &body))
            .await
            .map_err(|e| {
                AwsError::internal(format!("The catalog operation was broken off: {e}."))
            })?
    }
}

type Operation = fn(&Store, &Value) -> Result<Value, AwsError>;

fn operation(op: &str) -> Result<Operation, AwsError> {
    Ok(match op {
        "CreateDatabase" => databases::create,
        "GetDatabase" => databases::get,
        "GetDatabases" => databases::list,
        "UpdateDatabase" => databases::update,
        "DeleteDatabase" => databases::delete,
        "CreateTable" => tables::create,
        "GetTable" => tables::get,
        "GetTables" => tables::list,
        "UpdateTable" => tables::update,
        "DeleteTable" => tables::delete,
        "BatchDeleteTable" => tables::batch_delete,
        "GetTableVersions" => tables::versions,
        "GetTableVersion" => tables::version,
        "CreatePartition" => partitions::create,
        "BatchCreatePartition" => partitions::batch_create,
        "GetPartition" => partitions::get,
        "GetPartitions" => partitions::list,
        "BatchGetPartition" => partitions::batch_get,
        "UpdatePartition" => partitions::update,
        "DeletePartition" => partitions::delete,
        "BatchDeletePartition" => partitions::batch_delete,
        other => return Err(AwsError::unknown_operation("Glue", other)),
    })
}

#[cfg(test)]
mod tests;
