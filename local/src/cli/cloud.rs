//! `stockpipe cloud`: only the embedded servers.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use stockpipe_workers::secrets::Secrets;
use stockpipe_workers::worker::stop_on_signal;
use tokio_util::sync::CancellationToken;

use super::{CliError, DataArgs};
use crate::cloud::{Cloud, Embedded, LOCAL_SECRET, Plan, local_aws};
use crate::data_dir::{DataDir, Endpoints};

/// Flags of `stockpipe cloud`.
#[derive(Args)]
pub(crate) struct CloudArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Where S3, Glue and Athena listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Where Kafka listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    kafka_listen: SocketAddr,
    /// Flush every acknowledged write to the disk, so that it survives a power loss.
    #[arg(long)]
    fsync: bool,
}

pub(crate) async fn run(args: CloudArgs) -> Result<ExitCode, CliError> {
    let data = DataDir::own(&args.data.data)?;
    let plan = Plan {
        embedded: Embedded::ALL,
        aws_listen: args.listen,
        kafka_listen: args.kafka_listen,
        aws: local_aws(),
        secrets: Secrets::new([data.root().join("secrets")]),
        fsync: args.fsync,
    };
    // Made now, so that a pipeline attached to these servers later has an identity.
    data.cluster_id()?;
    let cloud = Cloud::start(&data, &plan).await?;
    let endpoints = Endpoints {
        pid: std::process::id(),
        aws: cloud.aws(),
        kafka: cloud.kafka(),
        page: None,
    };
    data.publish(&endpoints)?;
    println!(
        "S3, Glue, Athena  {}",
        endpoints.aws.as_deref().unwrap_or_default()
    );
    println!(
        "Kafka             {}",
        endpoints.kafka.as_deref().unwrap_or_default()
    );
    println!(
        "keys              {}",
        data.root().join("secrets").join(LOCAL_SECRET).display()
    );
    println!("ready");
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    stop.cancelled().await;
    cloud.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
