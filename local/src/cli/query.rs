//! `stockpipe query`: a question in Athena's SQL.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table, TableComponent};
use stockpipe_crds::run_record::athena_cost_usd;
use stockpipe_workers::aws::{Clients, explain};
use stockpipe_workers::context::Context;
use stockpipe_workers::report::athena::{self, Rows};

use super::attach::Attached;
use super::{CliError, DataArgs};

/// Rows that a table shows; the other outputs have them all.
const TABLE_ROWS: usize = 1000;
/// The workgroup that every account has.
const WORKGROUP: &str = "primary";

/// Flags of `stockpipe query`.
#[derive(Args)]
pub(crate) struct QueryArgs {
    /// The statement; names without a database are in the pipeline's.
    sql: String,
    /// The StockPipeline whose lake is asked [default: the one that ran last on this data directory].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// How the rows are printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// With a header; every value quoted, as Athena writes it.
    Csv,
    /// One object a line; every value is text, as Athena gives it.
    Json,
}

pub(crate) async fn run(args: QueryArgs) -> Result<ExitCode, CliError> {
    let attached = Attached::open(args.file.as_deref(), &args.data).await?;
    let result = ask(&attached.context, &args.sql, args.output).await;
    attached.close().await;
    result.map(|()| ExitCode::SUCCESS)
}

async fn ask(context: &Context, sql: &str, output: Output) -> Result<(), CliError> {
    let pipeline = &context.pipeline;
    let clients = Clients::connect(&pipeline.aws, &context.secrets).await?;
    let token = uuid::Uuid::new_v4().to_string();
    let location = format!("s3://{}/_stockpipe/queries/", pipeline.lake.bucket);
    let query = athena::Query {
        sql,
        database: &pipeline.catalog.database,
        workgroup: WORKGROUP,
        token: &token,
        output: Some(&location),
    };
    let id = athena::start(&clients.athena, &query)
        .await?
        .map_err(|e| e.message)?;
    let execution = tokio::select! {
        execution = athena::wait(&clients.athena, &id) => execution?,
        _ = tokio::signal::ctrl_c() => {
            clients.athena.stop_query_execution().query_execution_id(&id).send().await
                .map_err(|e| format!("cannot stop query {id}: {}", explain(&e)))?;
            return Err(format!("interrupted: query {id} was stopped").into());
        }
    };
    if let Some(error) = athena::failure(&execution, 0) {
        return Err(error.message.into());
    }
    match output {
        Output::Csv => {
            let at = execution
                .result_configuration
                .and_then(|r| r.output_location)
                .unwrap_or_default();
            print_object(&clients, &at).await?;
        }
        Output::Table => {
            let rows = athena::rows(&clients.athena, &id, TABLE_ROWS).await?;
            print(&rows, Output::Table)?;
            let statistics = execution.statistics.as_ref();
            let scanned = statistics
                .and_then(|s| s.data_scanned_in_bytes)
                .unwrap_or(0);
            let scanned = u64::try_from(scanned).unwrap_or(0);
            let took = statistics
                .and_then(|s| s.total_execution_time_in_millis)
                .unwrap_or(0);
            eprintln!(
                "{}, {scanned} bytes scanned, {took} ms; on AWS ${}",
                counted(rows.total, "row"),
                athena_cost_usd(scanned)
            );
        }
        Output::Json => print(
            &athena::rows(&clients.athena, &id, usize::MAX).await?,
            Output::Json,
        )?,
    }
    Ok(())
}

fn counted(n: u64, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// Streams a result file to standard output.
async fn print_object(clients: &Clients, location: &str) -> Result<(), CliError> {
    let (bucket, key) = location
        .strip_prefix("s3://")
        .and_then(|l| l.split_once('/'))
        .ok_or("Athena named no place of the result")?;
    let object = clients.s3.get_object().bucket(bucket).key(key).send().await;
    let mut body = object
        .map_err(|e| format!("cannot read {location}: {}", explain(&e)))?
        .body;
    let mut out = std::io::stdout().lock();
    while let Some(chunk) = body.next().await {
        if !written(out.write_all(&chunk?))? {
            break;
        }
    }
    Ok(())
}

/// Whether a write reached its reader; `head` going away is no error.
fn written(result: std::io::Result<()>) -> std::io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(e),
    }
}

/// Prints rows for people or programs.
pub(crate) fn print(rows: &Rows, output: Output) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Table => {
            written(writeln!(out, "{}", table(rows)))?;
            let shown = rows.rows.len() as u64;
            if shown < rows.total {
                eprintln!(
                    "the first {shown} of {} rows; --output csv prints all",
                    rows.total
                );
            }
        }
        Output::Csv => {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let header: Vec<_> = rows.columns.iter().map(|(name, _)| quoted(name)).collect();
            let mut lines = vec![header.join(",")];
            lines.extend(rows.rows.iter().map(|row| {
                row.iter()
                    .map(|v| v.as_deref().map(quoted).unwrap_or_default())
                    .collect::<Vec<_>>()
                    .join(",")
            }));
            for line in lines {
                if !written(writeln!(out, "{line}"))? {
                    break;
                }
            }
        }
        Output::Json => {
            for row in &rows.rows {
                let object: serde_json::Map<String, serde_json::Value> = rows
                    .columns
                    .iter()
                    .zip(row)
                    .map(|((name, _), v)| (name.clone(), v.clone().into()))
                    .collect();
                if !written(writeln!(out, "{}", serde_json::Value::Object(object)))? {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// One line below the header, none between rows.
pub(crate) fn plain(table: &mut Table) {
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    table.remove_style(TableComponent::LeftBorderIntersections);
    table.remove_style(TableComponent::RightBorderIntersections);
}

fn table(rows: &Rows) -> Table {
    let mut table = Table::new();
    plain(&mut table);
    table.set_header(rows.columns.iter().map(|(name, _)| name));
    for row in &rows.rows {
        table.add_row(row.iter().map(|v| v.as_deref().unwrap_or("NULL")));
    }
    for (index, (_, kind)) in rows.columns.iter().enumerate() {
        let is_number = [
            "decimal", "bigint", "integer", "double", "real", "float", "smallint", "tinyint",
        ]
        .iter()
        .any(|n| kind.starts_with(n));
        if let Some(column) = table.column_mut(index).filter(|_| is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_on_the_right_and_null_is_named() {
        let rows = Rows {
            columns: vec![
                ("symbol".into(), "varchar".into()),
                ("n".into(), "bigint".into()),
            ],
            rows: vec![
                vec![Some("AAPL".into()), Some("5".into())],
                vec![None, Some("12345".into())],
            ],
            total: 2,
        };
        let text = table(&rows).to_string();
        assert!(
            text.contains(" AAPL        5 \n") || text.contains("AAPL         5"),
            "{text}"
        );
        assert!(text.contains("NULL"), "{text}");
    }
}
