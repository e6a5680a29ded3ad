//! One query through the Athena API: start, poll, read.

use std::time::Duration;

use aws_sdk_athena::Client;
use aws_sdk_athena::types::{
    QueryExecution, QueryExecutionContext, QueryExecutionState, ResultConfiguration, ResultSet,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use sha2::{Digest, Sha256};
use stockpipe_crds::run_record::RunError;

use super::ReportError;

/// Polling starts at the first pause and doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What identifies a query: the same parts attach to the same execution, whoever asks.
///
/// Athena wants 32 to 128 characters; these are 64.
#[must_use]
pub fn request_token(identity: &str, run_key: &str, attempt: u32, sql: &str) -> String {
    let mut hash = Sha256::new();
    for part in [identity, run_key, &attempt.to_string(), sql] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// Rows of a result, as text; `None` is NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Name and Athena type of each column.
    pub columns: Vec<(String, String)>,
    /// The first rows.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many there are in all.
    pub total: u64,
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The statement.
    pub sql: &'a str,
    /// Database of the names that have none.
    pub database: &'a str,
    /// Workgroup.
    pub workgroup: &'a str,
    /// `ClientRequestToken`: the same token and statement attach to the same execution.
    pub token: &'a str,
    /// Where the result goes, `s3://…/`; `None`: where the workgroup says.
    pub output: Option<&'a str>,
}

/// Starts the query, or attaches to the one of the same token. The inner error is the query's own fault;
/// the outer one is worth another try.
///
/// # Errors
/// Where Athena was not reached, or could not start a query at this moment.
pub async fn start(
    athena: &Client,
    query: &Query<'_>,
) -> Result<Result<String, RunError>, ReportError> {
    let output = query
        .output
        .map(|o| ResultConfiguration::builder().output_location(o).build());
    let started = athena
        .start_query_execution()
        .query_string(query.sql)
        .query_execution_context(
            QueryExecutionContext::builder()
                .database(query.database)
                .build(),
        )
        .work_group(query.workgroup)
        .client_request_token(query.token)
        .set_result_configuration(output)
        .send()
        .await;
    match started {
        Ok(output) => Ok(output.query_execution_id.ok_or_else(|| RunError {
            reason: "AthenaFailed".to_owned(),
            message: "Athena started the query but gave it no id".to_owned(),
            retryable: true,
        })),
        Err(e) => {
            let (code, message) = e
                .as_service_error()
                .map_or((None, None), |s| (s.code(), s.message()));
            let fault = |reason: &str| {
                Ok(Err(RunError {
                    reason: reason.to_owned(),
                    message: message.unwrap_or_default().to_owned(),
                    retryable: false,
                }))
            };
            match code {
                Some("InvalidRequestException") => fault("QueryRefused"),
                Some("AccessDeniedException") => fault("AccessDenied"),
                _ => Err(ReportError::aws("start the query in Athena", &e)),
            }
        }
    }
}

/// Waits for the end of a query.
///
/// # Errors
/// Where Athena refuses or is not reached.
pub async fn wait(athena: &Client, id: &str) -> Result<QueryExecution, ReportError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let execution = athena
            .get_query_execution()
            .query_execution_id(id)
            .send()
            .await
            .map_err(|e| ReportError::aws(format!("ask Athena for query {id}"), &e))?
            .query_execution;
        if let Some(execution) = execution
            && matches!(
                state(&execution),
                Some(
                    QueryExecutionState::Succeeded
                        | QueryExecutionState::Failed
                        | QueryExecutionState::Cancelled
                )
            )
        {
            return Ok(execution);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn state(execution: &QueryExecution) -> Option<&QueryExecutionState> {
    execution.status.as_ref()?.state.as_ref()
}

/// Why a query that has ended has no result; `None` where it has one. `budget`: bytes that it might scan.
#[must_use]
pub fn failure(execution: &QueryExecution, budget: u64) -> Option<RunError> {
    let status = execution.status.as_ref();
    if state(execution) == Some(&QueryExecutionState::Succeeded) {
        return None;
    }
    let error = status.and_then(|s| s.athena_error.as_ref());
    let reason = status
        .and_then(|s| s.state_change_reason.as_deref())
        .or_else(|| error.and_then(|e| e.error_message.as_deref()))
        .unwrap_or("Athena gave no reason");
    let cancelled = state(execution) == Some(&QueryExecutionState::Cancelled);
    let lower = reason.to_lowercase();
    if lower.contains("bytes scanned limit") {
        return Some(RunError {
            reason: "ScanLimitExceeded".to_owned(),
            message: format!(
                "the query would have scanned more than its budget of {budget} bytes: raise maxScannedBytes, \
                 or select fewer partitions"
            ),
            retryable: false,
        });
    }
    // https://docs.aws.amazon.com/athena/latest/ug/error-reference.html: 1 system, 2 user, 3 other.
    let category = error.and_then(|e| e.error_category);
    let word = if cancelled {
        "Cancelled"
    } else if lower.contains("access denied") || lower.contains("not authorized") {
        "AccessDenied"
    } else if category == Some(1) {
        "AthenaFailed"
    } else {
        "QueryFailed"
    };
    Some(RunError {
        reason: word.to_owned(),
        message: reason.to_owned(),
        retryable: error.is_some_and(|e| e.retryable) || category == Some(1),
    })
}

/// Reads the result: all of it is counted, the first `limit` rows are kept.
///
/// # Errors
/// Where Athena refuses or is not reached.
pub async fn rows(athena: &Client, id: &str, limit: usize) -> Result<Rows, ReportError> {
    let mut all = Rows::default();
    let mut token = None;
    let mut first = true;
    loop {
        let page = athena
            .get_query_results()
            .query_execution_id(id)
            .set_next_token(token)
            .send()
            .await
            .map_err(|e| ReportError::aws(format!("read the result of query {id}"), &e))?;
        if let Some(set) = page.result_set {
            take_page(&mut all, set, first, limit);
        }
        first = false;
        token = page.next_token;
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// Adds one page; the first row of the first page of a SELECT repeats the columns' names.
fn take_page(all: &mut Rows, set: ResultSet, first: bool, limit: usize) {
    if first {
        all.columns = set
            .result_set_metadata
            .and_then(|m| m.column_info)
            .unwrap_or_default()
            .into_iter()
            .map(|c| (c.name, c.r#type))
            .collect();
    }
    for (n, row) in set.rows.unwrap_or_default().into_iter().enumerate() {
        let cells: Vec<Option<String>> = row
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|d| d.var_char_value)
            .collect();
        let header = first
            && n == 0
            && cells.len() == all.columns.len()
            && cells
                .iter()
                .zip(&all.columns)
                .all(|(cell, (name, _))| cell.as_deref() == Some(name));
        if header {
            continue;
        }
        all.total += 1;
        if all.rows.len() < limit {
            all.rows.push(cells);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_athena::types::{
        AthenaError, ColumnInfo, Datum, QueryExecutionStatus, ResultSetMetadata, Row,
    };

    fn ended(
        state: QueryExecutionState,
        reason: &str,
        error: Option<AthenaError>,
    ) -> QueryExecution {
        QueryExecution::builder()
            .status(
                QueryExecutionStatus::builder()
                    .state(state)
                    .state_change_reason(reason)
                    .set_athena_error(error)
                    .build(),
            )
            .build()
    }

    #[test]
    fn the_token_depends_on_every_part_and_fits_athena() {
        let token = request_token("c/default/us", "report/daily@2026-11-20", 0, "SELECT 1");
        assert_eq!(token.len(), 64);
        for other in [
            request_token("c/default/eu", "report/daily@2026-11-20", 0, "SELECT 1"),
            request_token("c/default/us", "report/daily@2026-11-21", 0, "SELECT 1"),
            request_token("c/default/us", "report/daily@2026-11-20", 1, "SELECT 1"),
            request_token("c/default/us", "report/daily@2026-11-20", 0, "SELECT 2"),
        ] {
            assert_ne!(token, other);
        }
        assert_eq!(
            token,
            request_token("c/default/us", "report/daily@2026-11-20", 0, "SELECT 1")
        );
    }

    #[test]
    fn failures_have_one_word_and_say_whether_another_attempt_helps() {
        use QueryExecutionState::{Cancelled, Failed, Succeeded};
        let user = AthenaError::builder().error_category(2).build();
        let system = AthenaError::builder()
            .error_category(1)
            .retryable(true)
            .build();
        for (execution, word, retryable) in [
            (
                ended(Cancelled, "Bytes scanned limit was exceeded", None),
                "ScanLimitExceeded",
                false,
            ),
            (ended(Cancelled, "by a person", None), "Cancelled", false),
            (
                ended(Failed, "COLUMN_NOT_FOUND: line 1:8", Some(user.clone())),
                "QueryFailed",
                false,
            ),
            (
                ended(Failed, "Access Denied (Service: Amazon S3)", Some(user)),
                "AccessDenied",
                false,
            ),
            (
                ended(Failed, "internal", Some(system)),
                "AthenaFailed",
                true,
            ),
        ] {
            let error = failure(&execution, 10).unwrap();
            assert_eq!((error.reason.as_str(), error.retryable), (word, retryable));
        }
        assert_eq!(failure(&ended(Succeeded, "", None), 10), None);
    }

    #[test]
    fn the_header_row_is_not_a_row_and_null_is_not_empty() {
        let row = |cells: &[Option<&str>]| {
            let data = cells
                .iter()
                .map(|c| {
                    Datum::builder()
                        .set_var_char_value(c.map(str::to_owned))
                        .build()
                })
                .collect();
            Row::builder().set_data(Some(data)).build()
        };
        let info = |name: &str, kind: &str| {
            ColumnInfo::builder()
                .name(name)
                .r#type(kind)
                .build()
                .unwrap()
        };
        let metadata = ResultSetMetadata::builder()
            .column_info(info("symbol", "varchar"))
            .column_info(info("vwap", "decimal"))
            .build();
        let first = ResultSet::builder()
            .result_set_metadata(metadata)
            .rows(row(&[Some("symbol"), Some("vwap")]))
            .rows(row(&[Some("AAPL"), None]))
            .build();
        let second = ResultSet::builder()
            .rows(row(&[Some("MSFT"), Some("1.5")]))
            .rows(row(&[Some("NVDA"), Some("2.5")]))
            .build();
        let mut all = Rows::default();
        take_page(&mut all, first, true, 2);
        take_page(&mut all, second, false, 2);
        assert_eq!(all.total, 3);
        assert_eq!(all.columns[1], ("vwap".to_owned(), "decimal".to_owned()));
        assert_eq!(
            all.rows,
            [
                vec![Some("AAPL".to_owned()), None],
                vec![Some("MSFT".to_owned()), Some("1.5".to_owned())]
            ]
        );
    }
}
