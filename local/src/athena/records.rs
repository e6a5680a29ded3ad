//! Workgroups and executions, durable in one redb file.

use std::path::Path;

use redb::{ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::results::Layout;
use super::types::ColumnInfo;
use crate::aws_json::AwsError;
use crate::record_file::RecordFile;

const WORKGROUPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("workgroups");
const EXECUTIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("executions");
/// (workgroup, number in order of submission) → execution id.
const ORDER: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("order");
/// (workgroup, client request token) → execution id.
const TOKENS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("tokens");

/// Why a query that ran at a crash did not succeed.
pub(super) const INTERRUPTED: &str = "INTERNAL_ERROR_QUERY_ENGINE: The local Athena stopped while the query was running; submit it again";

/// A workgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkGroup {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) enabled: bool,
    /// Epoch milliseconds.
    pub(super) created: i64,
    pub(super) output: Option<String>,
    /// Whether clients' own result locations are ignored.
    pub(super) enforce: bool,
    /// Most bytes that a query may scan.
    pub(super) cutoff: Option<u64>,
    pub(super) publish_metrics: bool,
    pub(super) requester_pays: bool,
}

/// State of an execution, by Athena's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum State {
    /// Waits for a place.
    Queued,
    /// Runs.
    Running,
    /// Its result is complete.
    Succeeded,
    /// It has a reason.
    Failed,
    /// By StopQueryExecution, or by the workgroup's limit.
    Cancelled,
}

impl State {
    /// Athena's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether nothing will change any more.
    pub(super) fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// One query execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Execution {
    pub(super) id: String,
    pub(super) query: String,
    pub(super) workgroup: String,
    pub(super) database: Option<String>,
    pub(super) catalog: Option<String>,
    /// DML, DDL or UTILITY.
    pub(super) statement_type: String,
    /// For instance SELECT.
    pub(super) substatement: String,
    /// Where results go: `s3://bucket/prefix/`.
    pub(super) output: String,
    /// The result object's name below `output`.
    pub(super) object: String,
    pub(super) layout: Layout,
    pub(super) state: State,
    pub(super) reason: Option<String>,
    /// Whether the failure is the statement's own.
    pub(super) user_error: bool,
    /// Epoch milliseconds.
    pub(super) submitted: i64,
    /// Epoch milliseconds, once it ran.
    pub(super) started: Option<i64>,
    /// Epoch milliseconds, once it is final.
    pub(super) completed: Option<i64>,
    /// Milliseconds that planning took.
    pub(super) planning: i64,
    pub(super) scanned: u64,
    pub(super) rows_written: Option<u64>,
    pub(super) columns: Vec<ColumnInfo>,
    /// What a repeated token must repeat, too.
    pub(super) fingerprint: String,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Records {
    file: RecordFile,
}

fn broken(e: impl std::fmt::Display) -> AwsError {
    AwsError::internal(format!("Athena's file could not be read or written: {e}."))
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record always serialises")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AwsError> {
    serde_json::from_slice(bytes).map_err(broken)
}

impl Records {
    /// Opens the file, makes `primary` if it is missing, and fails what was
    /// running when the process ended.
    pub(super) fn open(dir: &Path, primary: &WorkGroup, now: i64) -> Result<Self, OpenError> {
        let path = dir.join("athena.redb");
        let unusable = |reason: String| OpenError::Unusable {
            path: path.display().to_string(),
            reason,
        };
        std::fs::create_dir_all(dir).map_err(|e| unusable(e.to_string()))?;
        let file = RecordFile::open(&path).map_err(|e| unusable(e.to_string()))?;
        let records = Self { file };
        records
            .prepare(primary, now)
            .map_err(|e| unusable(e.message))?;
        Ok(records)
    }

    fn prepare(&self, primary: &WorkGroup, now: i64) -> Result<(), AwsError> {
        let txn = self.file.write_an_end()?;
        {
            txn.open_table(ORDER).map_err(broken)?;
            txn.open_table(TOKENS).map_err(broken)?;
            let mut workgroups = txn.open_table(WORKGROUPS).map_err(broken)?;
            if workgroups
                .get(primary.name.as_str())
                .map_err(broken)?
                .is_none()
            {
                workgroups
                    .insert(primary.name.as_str(), encode(primary).as_slice())
                    .map_err(broken)?;
            }
            let mut executions = txn.open_table(EXECUTIONS).map_err(broken)?;
            let mut interrupted = Vec::new();
            for entry in executions.iter().map_err(broken)? {
                let (_, value) = entry.map_err(broken)?;
                let mut execution: Execution = decode(value.value())?;
                if !execution.state.is_final() {
                    execution.state = State::Failed;
                    execution.reason = Some(INTERRUPTED.to_owned());
                    execution.user_error = false;
                    execution.completed = Some(now);
                    interrupted.push(execution);
                }
            }
            for execution in interrupted {
                executions
                    .insert(execution.id.as_str(), encode(&execution).as_slice())
                    .map_err(broken)?;
            }
        }
        txn.commit().map_err(broken)
    }

    pub(super) fn workgroup(&self, name: &str) -> Result<Option<WorkGroup>, AwsError> {
        let txn = self.file.read()?;
        let table = txn.open_table(WORKGROUPS).map_err(broken)?;
        let found = table.get(name).map_err(broken)?;
        found.map(|v| decode(v.value())).transpose()
    }

    pub(super) fn workgroups(&self) -> Result<Vec<WorkGroup>, AwsError> {
        let txn = self.file.read()?;
        let table = txn.open_table(WORKGROUPS).map_err(broken)?;
        table
            .iter()
            .map_err(broken)?
            .map(|entry| decode(entry.map_err(broken)?.1.value()))
            .collect()
    }

    pub(super) fn put_workgroup(&self, workgroup: &WorkGroup) -> Result<(), AwsError> {
        let txn = self.file.write()?;
        txn.open_table(WORKGROUPS)
            .map_err(broken)?
            .insert(workgroup.name.as_str(), encode(workgroup).as_slice())
            .map_err(broken)?;
        txn.commit().map_err(broken)
    }

    /// Deletes a workgroup; with `recursive` its executions, too. Returns
    /// false, changing nothing, when it has executions and is not recursive.
    pub(super) fn delete_workgroup(&self, name: &str, recursive: bool) -> Result<bool, AwsError> {
        let txn = self.file.write()?;
        {
            let mut order = txn.open_table(ORDER).map_err(broken)?;
            let ids: Vec<String> = order
                .range((name, 0)..=(name, u64::MAX))
                .map_err(broken)?
                .map(|entry| Ok(entry.map_err(broken)?.1.value().to_owned()))
                .collect::<Result<_, AwsError>>()?;
            if !ids.is_empty() && !recursive {
                return Ok(false);
            }
            order
                .retain_in((name, 0)..=(name, u64::MAX), |_, _| false)
                .map_err(broken)?;
            let mut executions = txn.open_table(EXECUTIONS).map_err(broken)?;
            for id in ids {
                executions.remove(id.as_str()).map_err(broken)?;
            }
            txn.open_table(TOKENS)
                .map_err(broken)?
                .retain(|key, _| key.0 != name)
                .map_err(broken)?;
            txn.open_table(WORKGROUPS)
                .map_err(broken)?
                .remove(name)
                .map_err(broken)?;
        }
        txn.commit().map_err(broken)?;
        Ok(true)
    }

    /// Stores a new execution, or finds the one that had its token before.
    pub(super) fn submit(
        &self,
        execution: &Execution,
        token: Option<&str>,
    ) -> Result<Option<Execution>, AwsError> {
        let txn = self.file.write()?;
        {
            let mut executions = txn.open_table(EXECUTIONS).map_err(broken)?;
            if let Some(token) = token {
                let mut tokens = txn.open_table(TOKENS).map_err(broken)?;
                let key = (execution.workgroup.as_str(), token);
                let earlier = tokens
                    .get(key)
                    .map_err(broken)?
                    .map(|v| v.value().to_owned());
                if let Some(id) = earlier {
                    let found = executions.get(id.as_str()).map_err(broken)?;
                    return found.map(|v| decode(v.value())).transpose();
                }
                tokens.insert(key, execution.id.as_str()).map_err(broken)?;
            }
            executions
                .insert(execution.id.as_str(), encode(execution).as_slice())
                .map_err(broken)?;
            let mut order = txn.open_table(ORDER).map_err(broken)?;
            let group = execution.workgroup.as_str();
            let last = order
                .range((group, 0)..=(group, u64::MAX))
                .map_err(broken)?
                .next_back()
                .transpose()
                .map_err(broken)?
                .map_or(0, |(key, _)| key.value().1);
            order
                .insert((group, last + 1), execution.id.as_str())
                .map_err(broken)?;
        }
        txn.commit().map_err(broken)?;
        Ok(None)
    }

    pub(super) fn execution(&self, id: &str) -> Result<Option<Execution>, AwsError> {
        let txn = self.file.read()?;
        let table = txn.open_table(EXECUTIONS).map_err(broken)?;
        let found = table.get(id).map_err(broken)?;
        found.map(|v| decode(v.value())).transpose()
    }

    /// Changes an execution unless it is final; returns it as it is then.
    pub(super) fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut Execution),
    ) -> Result<Option<Execution>, AwsError> {
        let txn = self.file.write_an_end()?;
        let changed = {
            let mut table = txn.open_table(EXECUTIONS).map_err(broken)?;
            let found: Option<Execution> = {
                let found = table.get(id).map_err(broken)?;
                found.map(|v| decode(v.value())).transpose()?
            };
            match found {
                Some(mut execution) if !execution.state.is_final() => {
                    change(&mut execution);
                    table
                        .insert(id, encode(&execution).as_slice())
                        .map_err(broken)?;
                    Some(execution)
                }
                other => other,
            }
        };
        txn.commit().map_err(broken)?;
        Ok(changed)
    }

    /// Ids of a workgroup's executions, newest first, before `before`; with
    /// the number to go on from.
    pub(super) fn list(
        &self,
        workgroup: &str,
        before: u64,
        count: usize,
    ) -> Result<(Vec<String>, Option<u64>), AwsError> {
        let txn = self.file.read()?;
        let order = txn.open_table(ORDER).map_err(broken)?;
        let mut ids = Vec::new();
        let mut last = 0;
        for entry in order
            .range((workgroup, 0)..(workgroup, before))
            .map_err(broken)?
            .rev()
        {
            let (key, id) = entry.map_err(broken)?;
            if ids.len() == count {
                return Ok((ids, Some(last)));
            }
            last = key.value().1;
            ids.push(id.value().to_owned());
        }
        Ok((ids, None))
    }
}
