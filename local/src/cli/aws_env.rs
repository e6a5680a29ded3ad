//! `stockpipe aws-env`: what to export so that other tools reach the embedded servers.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;

use super::{CliError, DataArgs, Output, print_json};
use crate::credentials::Credentials;
use crate::data_dir;

/// Flags of `stockpipe aws-env`.
#[derive(Args)]
pub(crate) struct AwsEnvArgs {
    #[command(flatten)]
    data: DataArgs,
    /// As lines for a shell, or as one JSON object of names and values.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
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
    let mut variables = vec![
        ("AWS_ACCESS_KEY_ID", key.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", key.secret_access_key),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
    ];
    variables.extend(endpoints.aws.map(|url| ("AWS_ENDPOINT_URL", url)));
    let kafka = endpoints.kafka;
    variables.extend(kafka.map(|address| ("KAFKA_BOOTSTRAP_SERVERS", address)));
    match args.output {
        Output::Text => {
            println!("# eval \"$(stockpipe aws-env)\"");
            for (name, value) in variables {
                println!("export {name}={value}");
            }
        }
        Output::Json => print_json(&variables.into_iter().collect::<BTreeMap<_, _>>())?,
    }
    Ok(ExitCode::SUCCESS)
}
