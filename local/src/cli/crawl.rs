//! `stockpipe crawl`: crawls now.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use stockpipe_crds::run_key::RunKey;
use stockpipe_crds::run_record::RunState;
use stockpipe_workers::{crawl, provision};

use super::attach::Attached;
use super::{CliError, DataArgs, Output, print_json};
use crate::scheduler::told;

#[derive(Args)]
pub(crate) struct CrawlArgs {
    /// The StockPipeline [default: the one that ran last on this data directory].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Run again within one minute as this attempt; the same attempt gives its stored result.
    #[arg(long, value_name = "N", default_value_t = 1)]
    attempt: u32,
    #[command(flatten)]
    data: DataArgs,
    /// How it is told; `json` is the run's record.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) async fn run(args: CrawlArgs) -> Result<ExitCode, CliError> {
    let attached = Attached::open(args.file.as_deref(), &args.data).await?;
    let result = one(&attached, &args).await;
    attached.close().await;
    result
}

async fn one(attached: &Attached, args: &CrawlArgs) -> Result<ExitCode, CliError> {
    let context = &attached.context;
    let key = format!("{}#{}", RunKey::crawl(Timestamp::now()), args.attempt);
    let crawled = async {
        // The crawler may be new in the file.
        provision::run(&context.for_role("provision")).await?;
        Ok::<_, CliError>(crawl::run(context, &key).await?)
    };
    let record = tokio::select! {
        record = crawled => record?,
        _ = tokio::signal::ctrl_c() => {
            return Err("interrupted: the run's record stays, and the next run of this key takes it over".into());
        }
    };
    if record.state != RunState::Succeeded {
        return Err(told(&record).into());
    }
    match args.output {
        Output::Text => println!("{}", told(&record)),
        Output::Json => print_json(&record)?,
    }
    Ok(ExitCode::SUCCESS)
}
