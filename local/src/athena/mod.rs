//! The embedded Athena: workgroups, query executions and results over the
//! AWS API, and a query engine on DataFusion that reads the Glue catalog and
//! S3 by address, as any client does.
//!
//! - Executions and workgroups are durable; a query that ran when the process
//!   died is FAILED afterwards, with a reason.
//! - `DataScannedInBytes` counts the bytes that were fetched from S3, and a
//!   workgroup's `BytesScannedCutoffPerQuery` stops a query at them.
//! - The SQL is Athena's (Trino); see [`sql`]. What is not supported is
//!   refused by name.
//! - `<id>.csv.metadata` holds the columns as JSON; Athena's own is an
//!   undocumented binary that no client reads.

mod columns;
mod commands;
mod engine;
mod executions;
mod fault;
mod objects;
mod open_csv;
mod pruning;
mod records;
mod render;
mod results;
mod serde_format;
mod shared_buffer;
mod sql;
mod table;
mod text;
mod types;
mod workgroups;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::aws_json::{AwsError, JsonService};
use commands::Commands;
use engine::Engine;
use executions::Executions;
use records::{Records, WorkGroup};

/// Memory that all queries together may use, in bytes; more is spilled to
/// the data directory or refused.
pub const DEFAULT_MEMORY: usize = 512 << 20;

/// Queries that run at once; more wait in state QUEUED.
pub const DEFAULT_CONCURRENCY: usize = 4;

/// The name of the workgroup that is always there.
const PRIMARY: &str = "primary";

/// What Athena works on, each by address.
#[derive(Clone, Debug)]
pub struct Backends {
    /// The catalog.
    pub glue: aws_sdk_glue::Client,
    /// Tables and results.
    pub s3: aws_sdk_s3::Client,
    /// Region, for instance `us-east-1`.
    pub region: String,
    /// Where results go when neither the query nor its workgroup says:
    /// `s3://bucket/prefix/`. `None`: such a query is refused, as by AWS.
    pub default_output: Option<String>,
}

/// Why Athena could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be made or locked.
    #[error("Athena's records in {path} cannot be opened: {reason}")]
    Unusable {
        /// The file or directory.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// The service, one per data directory. Clones share it.
#[derive(Clone, Debug)]
pub struct Athena {
    records: Arc<Records>,
    executions: Arc<Executions>,
    backends: Backends,
}

impl Athena {
    /// Opens Athena's records in `dir`, which is made if it is missing. It
    /// also holds what queries spill.
    ///
    /// # Errors
    /// When the directory is not writable or another process has it.
    pub fn open(dir: &Path, backends: Backends) -> Result<Self, OpenError> {
        let spill = dir.join("spill");
        // What a killed process spilled is of no use to anyone.
        match std::fs::remove_dir_all(&spill) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(OpenError::Unusable {
                    path: spill.display().to_string(),
                    reason: e.to_string(),
                });
            }
            _ => {}
        }
        std::fs::create_dir_all(&spill).map_err(|e| OpenError::Unusable {
            path: spill.display().to_string(),
            reason: e.to_string(),
        })?;
        let now = jiff::Timestamp::now().as_millisecond();
        let primary = WorkGroup::new(PRIMARY, now);
        let records = Arc::new(Records::open(dir, &primary, now)?);
        let commands = Commands {
            backends: backends.clone(),
            engine: Engine::new(backends.clone(), DEFAULT_MEMORY, spill),
        };
        Ok(Self {
            executions: Arc::new(Executions::new(
                Arc::clone(&records),
                commands,
                DEFAULT_CONCURRENCY,
            )),
            records,
            backends,
        })
    }
}

#[async_trait]
impl JsonService for Athena {
    async fn handle(&self, op: &str, body: Value) -> Result<Value, AwsError> {
        let records = &self.records;
        match op {
            "CreateWorkGroup" => workgroups::create(records, &body),
            "GetWorkGroup" => workgroups::get(records, &body),
            "ListWorkGroups" => workgroups::list(records, &body),
            "UpdateWorkGroup" => workgroups::update(records, &body),
            "DeleteWorkGroup" => workgroups::delete(records, &body),
            "StartQueryExecution" => self.executions.start(&body).await,
            "GetQueryExecution" => self.executions.get(&body),
            "BatchGetQueryExecution" => self.executions.batch_get(&body),
            "ListQueryExecutions" => self.executions.list(&body),
            "StopQueryExecution" => self.executions.stop(&body),
            "GetQueryResults" => self.executions.results(&body).await,
            "ListDataCatalogs" => Ok(json!({
                "DataCatalogsSummary": [{"CatalogName": "AwsDataCatalog", "Type": "GLUE"}],
            })),
            "GetDataCatalog" => data_catalog(&body),
            "ListDatabases" | "GetDatabase" | "ListTableMetadata" | "GetTableMetadata" => {
                executions::catalog(&self.backends.glue, op, &body).await
            }
            other => Err(AwsError::unknown_operation("Athena", other)),
        }
    }
}

fn data_catalog(body: &Value) -> Result<Value, AwsError> {
    match body["Name"].as_str() {
        Some(name) if name.eq_ignore_ascii_case("AwsDataCatalog") => Ok(json!({
            "DataCatalog": {"Name": "AwsDataCatalog", "Type": "GLUE", "Status": "CREATE_COMPLETE"},
        })),
        _ => Err(invalid("The only data catalog is AwsDataCatalog.")),
    }
}

/// An `InvalidRequestException`.
fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::client("InvalidRequestException", message)
}

#[cfg(test)]
mod tests;
