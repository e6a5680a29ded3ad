//! The embedded Glue Data Catalog: databases, tables with versions, partitions
//! and crawlers, durable in one redb file.
//!
//! It answers as Glue does: names are lower-cased, fields that were not given
//! are absent (never `""`), times are numbers of epoch seconds, and errors
//! carry Glue's exception names. Every change is one durable transaction, so
//! that what was answered survives `kill -9`.

mod crawler;
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
use crawler::Crawlers;
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
    /// `None`: it has no S3 to crawl.
    crawlers: Option<Arc<Crawlers>>,
}

impl Glue {
    /// Opens the catalog in `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// When the directory is not writable or another process has the catalog.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            store: Arc::new(Store::open(dir)?),
            crawlers: None,
        })
    }

    /// Opens the catalog in `dir` with crawlers that read `s3`; schedules fire on
    /// the runtime of the caller.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_crawlers(dir: &Path, s3: aws_sdk_s3::Client) -> Result<Self, OpenError> {
        let store = Arc::new(Store::open(dir)?);
        let crawlers = Crawlers::open(Arc::clone(&store), s3).map_err(|e| OpenError::Unusable {
            path: dir.display().to_string(),
            reason: e.message,
        })?;
        crawlers.keep_schedules();
        Ok(Self {
            store,
            crawlers: Some(crawlers),
        })
    }
}

#[async_trait]
impl JsonService for Glue {
    async fn handle(&self, op: &str, body: Value) -> Result<Value, AwsError> {
        if let (Some(operation), Some(crawlers)) = (Crawlers::operation(op), &self.crawlers) {
            let crawlers = Arc::clone(crawlers);
            let runtime = tokio::runtime::Handle::current();
            return blocking(move || operation(&crawlers, &body, &runtime)).await;
        }
        let operation = operation(op)?;
        let store = Arc::clone(&self.store);
        blocking(move || operation(&store, &body)).await
    }
}

async fn blocking(
    operation: impl FnOnce() -> Result<Value, AwsError> + Send + 'static,
) -> Result<Value, AwsError> {
    tokio::task::spawn_blocking(operation)
        .await
        .map_err(|e| AwsError::internal(format!("The catalog operation was broken off: {e}.")))?
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
