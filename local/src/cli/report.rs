//! `stockpipe report`: one run of a report, now.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use stockpipe_crds::run_record::RunState;
use stockpipe_workers::report;

use super::attach::Attached;
use super::query::{Output, print};
use super::{CliError, DataArgs};
use crate::scheduler::told;

/// Flags of `stockpipe report`.
#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Name of the report in the pipeline's file.
    name: String,
    /// Data date or interval, for instance 2026-11-20 or 2026-11-20T1400Z [default: the newest that is over].
    #[arg(long, value_name = "D")]
    date: Option<String>,
    /// Run again as this attempt; the same attempt gives its stored result.
    #[arg(long, value_name = "N", default_value_t = 0)]
    attempt: u32,
    /// The StockPipeline [default: the one that ran last on this data directory].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// How the rows are printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(crate) async fn run(args: ReportArgs) -> Result<ExitCode, CliError> {
    let attached = Attached::open(args.file.as_deref(), &args.data).await?;
    let result = one(&attached, &args).await;
    attached.close().await;
    result
}

async fn one(attached: &Attached, args: &ReportArgs) -> Result<ExitCode, CliError> {
    let context = &attached.context;
    let pipeline = &context.pipeline;
    let report = pipeline
        .reports
        .iter()
        .find(|r| r.name == args.name)
        .ok_or_else(|| {
            let names: Vec<_> = pipeline.reports.iter().map(|r| r.name.as_str()).collect();
            let known = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            format!(
                "pipeline {} has no report `{}`; it has: {known}",
                pipeline.name, args.name
            )
        })?;
    let start = match &args.date {
        Some(date) => date.clone(),
        None => report::newest_interval(context, report)
            .await?
            .key_start
            .to_string(),
    };
    let key = format!("report/{}@{start}#{}", report.name, args.attempt);
    let outcome = tokio::select! {
        outcome = report::run(context, &key) => outcome?,
        _ = tokio::signal::ctrl_c() => {
            return Err("interrupted: the run's record stays, and the next run of this key takes it over".into());
        }
    };
    if outcome.record.state != RunState::Succeeded {
        return Err(told(&outcome.record).into());
    }
    print(&outcome.rows, args.output)?;
    if args.output == Output::Table {
        eprintln!("{}", told(&outcome.record));
    }
    Ok(ExitCode::SUCCESS)
}
