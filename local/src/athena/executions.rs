//! Query executions: submitted once by token, queued, run, stopped, read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{RwLock, Semaphore};
use tokio_util::sync::CancellationToken;

use super::commands::{Commands, Job, Outcome, cancelled};
use super::fault::{Category, Fault};
use super::invalid;
use super::objects::{LIMIT_WORDS, Location, Meter, sentence};
use super::records::{Execution, Records, State, WorkGroup};
use super::results::{Layout, ResultObject, metadata, page, rows_json};
use super::sql::{Command, Statement};
use super::workgroups::{engine_version, find, result_location};
use crate::aws_json::AwsError;

/// Longest statement that Athena takes, in bytes.
const LONGEST_QUERY: usize = 262_144;

/// Most rows of a page of results.
const PAGE: usize = 1000;

/// A query that is queued or running here.
#[derive(Clone, Debug)]
struct Running {
    meter: Arc<Meter>,
    cancel: CancellationToken,
}

/// The executions of this process.
#[derive(Debug)]
pub(super) struct Executions {
    records: Arc<Records>,
    commands: Arc<Commands>,
    places: Arc<Semaphore>,
    /// Held by each that runs; whole by one that needs the memory of all.
    memory: Arc<RwLock<()>>,
    running: Arc<Mutex<HashMap<String, Running>>>,
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Executions {
    pub(super) fn new(records: Arc<Records>, commands: Commands, concurrency: usize) -> Self {
        Self {
            records,
            commands: Arc::new(commands),
            places: Arc::new(Semaphore::new(concurrency)),
            memory: Arc::default(),
            running: Arc::default(),
        }
    }

    pub(super) async fn start(&self, body: &Value) -> Result<Value, AwsError> {
        let query = body["QueryString"].as_str().unwrap_or_default();
        if query.is_empty() || query.len() > LONGEST_QUERY {
            return Err(invalid(format!(
                "QueryString must have 1 to {LONGEST_QUERY} bytes."
            )));
        }
        let token = match &body["ClientRequestToken"] {
            Value::Null => None,
            Value::String(token) if (32..=128).contains(&token.len()) => Some(token.as_str()),
            _ => {
                return Err(invalid(
                    "ClientRequestToken must have 32 to 128 characters.",
                ));
            }
        };
        let workgroup = find(
            &self.records,
            body["WorkGroup"].as_str().unwrap_or(super::PRIMARY),
        )?;
        if !workgroup.enabled {
            return Err(invalid(format!(
                "WorkGroup {} is disabled.",
                workgroup.name
            )));
        }
        let context = &body["QueryExecutionContext"];
        let catalog = context["Catalog"].as_str().filter(|c| !c.is_empty());
        if let Some(catalog) = catalog
            && !catalog.eq_ignore_ascii_case("AwsDataCatalog")
        {
            return Err(invalid(format!(
                "The catalog {catalog} does not exist; the only one is AwsDataCatalog."
            )));
        }
        let parameters = parameters(body)?;
        let output = self.output(body, &workgroup)?;
        let statement = Statement::parse(query).map_err(|e| invalid(e.message))?;
        let fingerprint = fingerprint(body, &workgroup.name);
        let id = uuid::Uuid::new_v4().to_string();
        let layout = if statement.kind() == "DML" {
            Layout::Csv
        } else {
            Layout::Text
        };
        let object = match layout {
            Layout::Csv => format!("{id}.csv"),
            Layout::Text => format!("{id}.txt"),
        };
        let execution = Execution {
            id: id.clone(),
            query: query.to_owned(),
            workgroup: workgroup.name.clone(),
            database: context["Database"]
                .as_str()
                .filter(|d| !d.is_empty())
                .map(str::to_lowercase),
            catalog: catalog.map(str::to_lowercase),
            statement_type: statement.kind().to_owned(),
            substatement: statement.name().to_owned(),
            output: output.uri(""),
            object,
            layout,
            state: State::Queued,
            reason: None,
            user_error: false,
            submitted: now(),
            started: None,
            completed: None,
            planning: 0,
            scanned: 0,
            rows_written: None,
            columns: Vec::new(),
            fingerprint,
        };
        if let Some(earlier) = self.records.submit(&execution, token)? {
            return if earlier.fingerprint == execution.fingerprint {
                Ok(json!({"QueryExecutionId": earlier.id}))
            } else {
                Err(invalid(
                    "Idempotent parameters do not match: this ClientRequestToken was used with other parameters.",
                ))
            };
        }
        let meter = Arc::new(Meter::new(workgroup.cutoff));
        let cancel = CancellationToken::new();
        self.running().insert(
            id.clone(),
            Running {
                meter: Arc::clone(&meter),
                cancel: cancel.clone(),
            },
        );
        let job = Job {
            id: id.clone(),
            statement,
            database: execution.database.clone(),
            output,
            object: execution.object,
            parameters,
            meter,
            cancel,
        };
        self.spawn(job);
        Ok(json!({"QueryExecutionId": id}))
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the results go: the workgroup's place if it is enforced, else
    /// the client's, the workgroup's, the default.
    fn output(&self, body: &Value, workgroup: &WorkGroup) -> Result<Location, AwsError> {
        let own = body["ResultConfiguration"]["OutputLocation"]
            .as_str()
            .filter(|u| !u.is_empty())
            .map(result_location)
            .transpose()?;
        if let Some(field) = ["EncryptionConfiguration", "AclConfiguration"]
            .into_iter()
            .find(|f| {
                body["ResultConfiguration"]
                    .get(*f)
                    .is_some_and(|v| !v.is_null())
            })
        {
            return Err(invalid(format!(
                "ResultConfiguration.{field} is not supported by the local Athena."
            )));
        }
        let chosen = if workgroup.enforce && workgroup.output.is_some() {
            workgroup.output.clone()
        } else {
            own.or_else(|| workgroup.output.clone())
                .or_else(|| self.commands.backends.default_output.clone())
        };
        chosen
            .as_deref()
            .and_then(Location::parse)
            .ok_or_else(|| {
                invalid(
                    "No output location provided. An output location is required either through the Workgroup result configuration setting or as an API input (ResultConfiguration.OutputLocation).",
                )
            })
    }

    fn spawn(&self, job: Job) {
        let records = Arc::clone(&self.records);
        let commands = Arc::clone(&self.commands);
        let places = Arc::clone(&self.places);
        let memory = Arc::clone(&self.memory);
        let running = Arc::clone(&self.running);
        tokio::spawn(async move {
            let outcome = async {
                let place = job.cancel.run_until_cancelled(places.acquire()).await;
                let Some(Ok(_place)) = place else {
                    return Err(cancelled());
                };
                records
                    .change(&job.id, |e| {
                        e.state = State::Running;
                        e.started = Some(now());
                    })
                    .map_err(Fault::system)?;
                perform(&commands, &memory, &job).await
            }
            .await;
            let stopped = job.cancel.is_cancelled();
            let exceeded = job.meter.exceeded();
            let scanned = job.meter.scanned();
            let finished = records.change(&job.id, |e| {
                e.completed = Some(now());
                e.scanned = scanned;
                match outcome {
                    Ok(done) => {
                        e.state = State::Succeeded;
                        e.columns = done.columns;
                        e.rows_written = done.rows_written;
                        e.planning = done.planning;
                    }
                    Err(_) if exceeded => {
                        e.state = State::Cancelled;
                        e.reason = Some(LIMIT_WORDS.to_owned());
                        e.user_error = true;
                    }
                    Err(fault) => {
                        e.state = if stopped {
                            State::Cancelled
                        } else {
                            State::Failed
                        };
                        e.user_error = fault.category == Category::User;
                        e.reason = Some(fault.message);
                    }
                }
            });
            if let Err(e) = finished {
                tracing::error!(query = job.id, error = %e, "the end of a query was not recorded");
            }
            running
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&job.id);
        });
    }

    fn find(&self, id: &str) -> Result<Execution, AwsError> {
        let mut execution = self
            .records
            .execution(id)?
            .ok_or_else(|| invalid(format!("QueryExecution {id} was not found")))?;
        if let Some(running) = self.running().get(id) {
            execution.scanned = running.meter.scanned();
        }
        Ok(execution)
    }

    pub(super) fn get(&self, body: &Value) -> Result<Value, AwsError> {
        let execution = self.find(id(body)?)?;
        Ok(json!({"QueryExecution": execution.json()}))
    }

    pub(super) fn batch_get(&self, body: &Value) -> Result<Value, AwsError> {
        let ids = body["QueryExecutionIds"]
            .as_array()
            .filter(|ids| (1..=50).contains(&ids.len()) && ids.iter().all(Value::is_string));
        let Some(ids) = ids else {
            return Err(invalid("QueryExecutionIds must have 1 to 50 ids."));
        };
        let mut found = Vec::new();
        let mut unprocessed = Vec::new();
        for id in ids.iter().filter_map(Value::as_str) {
            match self.find(id) {
                Ok(execution) => found.push(execution.json()),
                Err(e) => unprocessed.push(json!({
                    "QueryExecutionId": id,
                    "ErrorCode": "INVALID_QUERY_EXECUTION_ID",
                    "ErrorMessage": e.message,
                })),
            }
        }
        Ok(json!({
            "QueryExecutions": found,
            "UnprocessedQueryExecutionIds": unprocessed,
        }))
    }

    pub(super) fn list(&self, body: &Value) -> Result<Value, AwsError> {
        let workgroup = find(
            &self.records,
            body["WorkGroup"].as_str().unwrap_or(super::PRIMARY),
        )?;
        let most = body["MaxResults"].as_u64().unwrap_or(50).clamp(1, 50) as usize;
        let before = match body["NextToken"].as_str().filter(|t| !t.is_empty()) {
            None => u64::MAX,
            Some(token) => token
                .parse()
                .map_err(|_| invalid("NextToken is not one that Athena gave."))?,
        };
        let (ids, next) = self.records.list(&workgroup.name, before, most)?;
        let mut answer = json!({"QueryExecutionIds": ids});
        if let Some(next) = next {
            answer["NextToken"] = json!(next.to_string());
        }
        Ok(answer)
    }

    /// Stops a query; one that is over stays as it is.
    pub(super) fn stop(&self, body: &Value) -> Result<Value, AwsError> {
        let id = id(body)?;
        self.find(id)?;
        let running = self.running().get(id).cloned();
        if let Some(running) = running {
            running.cancel.cancel();
            let scanned = running.meter.scanned();
            self.records.change(id, |e| {
                e.state = State::Cancelled;
                e.reason = Some(cancelled().message);
                e.user_error = true;
                e.completed = Some(now());
                e.scanned = scanned;
            })?;
        }
        Ok(json!({}))
    }

    pub(super) async fn results(&self, body: &Value) -> Result<Value, AwsError> {
        let execution = self.find(id(body)?)?;
        match execution.state {
            State::Succeeded => {}
            State::Queued | State::Running => {
                return Err(invalid(format!(
                    "Query has not yet finished. Current state: {}",
                    execution.state.name()
                )));
            }
            State::Failed | State::Cancelled => {
                return Err(invalid(format!(
                    "Query did not finish successfully. Final query state: {}",
                    execution.state.name()
                )));
            }
        }
        let most = match &body["MaxResults"] {
            Value::Null => PAGE,
            n => match n.as_u64() {
                Some(n) if (1..=PAGE as u64).contains(&n) => n as usize,
                _ => return Err(invalid(format!("MaxResults must be from 1 to {PAGE}."))),
            },
        };
        let from = match body["NextToken"].as_str().filter(|t| !t.is_empty()) {
            None => 0,
            Some(token) => next_page(token, &execution.id)?,
        };
        let location = Location::parse(&execution.output)
            .ok_or_else(|| AwsError::internal("The query's output location is lost."))?;
        let object = ResultObject {
            bucket: location.bucket,
            key: format!("{}{}", location.prefix, execution.object),
            layout: execution.layout,
        };
        let (rows, next) = page(&self.commands.backends.s3, &object, from, most)
            .await
            .map_err(|e| {
                if e.category == Category::User {
                    invalid(e.message)
                } else {
                    invalid(format!("Could not find results: {}", e.message))
                }
            })?;
        let mut answer = json!({
            "ResultSet": {
                "Rows": rows_json(rows),
                "ResultSetMetadata": metadata(&execution.columns),
            },
            "UpdateCount": execution.rows_written.unwrap_or(0),
        });
        if let Some(next) = next {
            answer["NextToken"] = json!(URL_SAFE_NO_PAD.encode(format!("{}:{next}", execution.id)));
        }
        Ok(answer)
    }
}

/// Performs a statement beside others. A query for which they left too little memory runs again, alone.
async fn perform(commands: &Commands, memory: &RwLock<()>, job: &Job) -> Result<Outcome, Fault> {
    let wait = job.cancel.run_until_cancelled(memory.read()).await;
    let beside = wait.ok_or_else(cancelled)?;
    let done = commands.perform(job).await;
    drop(beside);
    let is_query = matches!(job.statement.command, Command::Query(_));
    if !is_query || !done.as_ref().is_err_and(Fault::lacked_memory) {
        return done;
    }
    let wait = job.cancel.run_until_cancelled(memory.write()).await;
    let _alone = wait.ok_or_else(cancelled)?;
    tracing::debug!(query = job.id, "runs again, alone, for want of memory");
    job.meter.restart();
    commands.perform(job).await
}

fn id(body: &Value) -> Result<&str, AwsError> {
    body["QueryExecutionId"]
        .as_str()
        .filter(|id| !id.is_empty())
        .ok_or_else(|| invalid("QueryExecutionId is required."))
}

/// Where the page of a token starts, in bytes of the result.
fn next_page(token: &str, id: &str) -> Result<u64, AwsError> {
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| {
            let (of, at) = text.split_once(':')?;
            (of == id).then(|| at.parse().ok())?
        })
        .ok_or_else(|| invalid("NextToken is not one of this query's."))
}

fn parameters(body: &Value) -> Result<Vec<String>, AwsError> {
    match &body["ExecutionParameters"] {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => values
            .iter()
            .map(|v| {
                v.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| invalid("ExecutionParameters are strings."))
            })
            .collect(),
        _ => Err(invalid("ExecutionParameters is a list of strings.")),
    }
}

/// What must be the same for a repeated token.
fn fingerprint(body: &Value, workgroup: &str) -> String {
    let said = json!([
        body["QueryString"],
        body["QueryExecutionContext"],
        body["ResultConfiguration"],
        body["ExecutionParameters"],
        workgroup,
    ]);
    hex::encode(Sha256::digest(said.to_string()))
}

impl Execution {
    fn json(&self) -> Value {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let end = self.completed.unwrap_or_else(now);
        let queued = self.started.unwrap_or(end) - self.submitted;
        let engine = self.started.map_or(0, |started| end - started);
        let mut status = json!({
            "State": self.state.name(),
            "SubmissionDateTime": seconds(self.submitted),
        });
        if let Some(completed) = self.completed {
            status["CompletionDateTime"] = json!(seconds(completed));
        }
        if let Some(reason) = &self.reason {
            status["StateChangeReason"] = json!(reason);
            if self.state == State::Failed || reason == LIMIT_WORDS {
                status["AthenaError"] = json!({
                    "ErrorCategory": if self.user_error { 2 } else { 1 },
                    "ErrorType": error_type(reason, self.user_error),
                    "Retryable": !self.user_error,
                    "ErrorMessage": reason,
                });
            }
        }
        let mut context = json!({});
        if let Some(database) = &self.database {
            context["Database"] = json!(database);
        }
        if let Some(catalog) = &self.catalog {
            context["Catalog"] = json!(catalog);
        }
        json!({
            "QueryExecutionId": self.id,
            "Query": self.query,
            "StatementType": self.statement_type,
            "SubstatementType": self.substatement,
            "ResultConfiguration": {
                "OutputLocation": format!("{}{}", self.output, self.object),
            },
            "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": false}},
            "QueryExecutionContext": context,
            "Status": status,
            "Statistics": {
                "EngineExecutionTimeInMillis": engine,
                "DataScannedInBytes": self.scanned,
                "TotalExecutionTimeInMillis": end - self.submitted,
                "QueryQueueTimeInMillis": queued,
                "ServicePreProcessingTimeInMillis": 0,
                "QueryPlanningTimeInMillis": self.planning,
                "ServiceProcessingTimeInMillis": 0,
                "ResultReuseInformation": {"ReusedPreviousResult": false},
            },
            "WorkGroup": self.workgroup,
            "EngineVersion": engine_version(),
        })
    }
}

/// Athena's numbers of errors, where it documents one for the code.
fn error_type(reason: &str, user_error: bool) -> u32 {
    let code = reason.split(':').next().unwrap_or_default();
    match code {
        "TABLE_NOT_FOUND" => 1001,
        "SCHEMA_NOT_FOUND" => 1003,
        "COLUMN_NOT_FOUND" => 1006,
        "SYNTAX_ERROR" => 1200,
        "NOT_SUPPORTED" => 1201,
        "HIVE_BAD_DATA" | "HIVE_CURSOR_ERROR" => 1100,
        _ if user_error => 1999,
        _ => 0,
    }
}

/// The catalog as Athena shows it: databases and tables of Glue.
pub(super) async fn catalog(
    glue: &aws_sdk_glue::Client,
    op: &str,
    body: &Value,
) -> Result<Value, AwsError> {
    let failed = |e: aws_sdk_glue::Error| AwsError::client("MetadataException", sentence(&e));
    let text = |field: &str| {
        body[field]
            .as_str()
            .filter(|v| !v.is_empty())
            .ok_or_else(|| invalid(format!("{field} is required.")))
    };
    let token = body["NextToken"].as_str().map(str::to_owned);
    let most = body["MaxResults"]
        .as_i64()
        .and_then(|n| i32::try_from(n).ok())
        .map(|n| n.clamp(1, 50));
    match op {
        "ListDatabases" => {
            let found = glue
                .get_databases()
                .set_next_token(token)
                .set_max_results(most)
                .send()
                .await
                .map_err(|e| failed(e.into()))?;
            let list: Vec<Value> = found.database_list().iter().map(database).collect();
            Ok(with_token(
                json!({"DatabaseList": list}),
                found.next_token(),
            ))
        }
        "GetDatabase" => {
            let found = glue
                .get_database()
                .name(text("DatabaseName")?)
                .send()
                .await
                .map_err(|e| failed(e.into()))?;
            Ok(json!({"Database": found.database().map(database)}))
        }
        "ListTableMetadata" => {
            let found = glue
                .get_tables()
                .database_name(text("DatabaseName")?)
                .set_expression(body["Expression"].as_str().map(str::to_owned))
                .set_next_token(token)
                .set_max_results(most)
                .send()
                .await
                .map_err(|e| failed(e.into()))?;
            let list: Vec<Value> = found.table_list().iter().map(table).collect();
            Ok(with_token(
                json!({"TableMetadataList": list}),
                found.next_token(),
            ))
        }
        _ => {
            let found = glue
                .get_table()
                .database_name(text("DatabaseName")?)
                .name(text("TableName")?)
                .send()
                .await
                .map_err(|e| failed(e.into()))?;
            Ok(json!({"TableMetadata": found.table().map(table)}))
        }
    }
}

fn with_token(mut answer: Value, token: Option<&str>) -> Value {
    if let Some(token) = token {
        answer["NextToken"] = json!(token);
    }
    answer
}

fn database(database: &aws_sdk_glue::types::Database) -> Value {
    let mut value = json!({"Name": database.name()});
    if let Some(description) = database.description() {
        value["Description"] = json!(description);
    }
    value
}

fn table(table: &aws_sdk_glue::types::Table) -> Value {
    let columns = |list: &[aws_sdk_glue::types::Column]| -> Vec<Value> {
        list.iter()
            .map(|c| {
                let mut value = json!({"Name": c.name(), "Type": c.r#type()});
                if let Some(comment) = c.comment() {
                    value["Comment"] = json!(comment);
                }
                value
            })
            .collect()
    };
    let mut value = json!({
        "Name": table.name(),
        "Columns": columns(table.storage_descriptor().map(|s| s.columns()).unwrap_or_default()),
        "PartitionKeys": columns(table.partition_keys()),
        "Parameters": table.parameters().cloned().unwrap_or_default(),
    });
    if let Some(of) = table.table_type() {
        value["TableType"] = json!(of);
    }
    if let Some(created) = table.create_time() {
        value["CreateTime"] = json!(created.as_secs_f64());
    }
    value
}
