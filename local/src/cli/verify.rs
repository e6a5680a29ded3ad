//! `stockpipe verify`: the audit of the lake.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::attach::Attached;
use super::{CliError, DataArgs};

/// Flags of `stockpipe verify`.
#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// The StockPipeline [default: the one that ran last on this data directory].
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
}

pub(crate) async fn run(args: VerifyArgs) -> Result<ExitCode, CliError> {
    let attached = Attached::open(args.file.as_deref(), &args.data).await?;
    attached.close().await;
    Ok(ExitCode::SUCCESS)
}
