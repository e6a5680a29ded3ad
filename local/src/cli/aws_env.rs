//! `stockpipe aws-env`: what to export so that other tools reach the embedded servers.

use std::process::ExitCode;

use clap::Args;

use super::{CliError, DataArgs};
use crate::credentials::Credentials;
use crate::data_dir;

/// Flags of `stockpipe aws-env`.
#[derive(Args)]
pub(crate) struct AwsEnvArgs {
    #[command(flatten)]
    data: DataArgs,
}

pub(crate) fn run(args: &AwsEnvArgs) -> Result<ExitCode, CliError> {
    let root = &args.data.data;
    let endpoints = data_dir::endpoints(root)?.ok_or_else(|| {
        format!(
            "no stockpipe runs on {}: start one with `stockpipe up` or `stockpipe cloud`",
            root.display()
        )
    })?;
    let key = Credentials::load_or_generate(root)?;
    println!("# eval \"$(stockpipe aws-env)\"");
    println!("export AWS_ACCESS_KEY_ID={}", key.access_key_id);
    println!("export AWS_SECRET_ACCESS_KEY={}", key.secret_access_key);
    println!("export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1");
    if let Some(url) = endpoints.aws {
        println!("export AWS_ENDPOINT_URL={url}");
    }
    if let Some(kafka) = endpoints.kafka {
        println!("export KAFKA_BOOTSTRAP_SERVERS={kafka}");
    }
    Ok(ExitCode::SUCCESS)
}
