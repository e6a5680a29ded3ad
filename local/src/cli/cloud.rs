//! `stockpipe cloud`: only the embedded servers.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use stockpipe_workers::secrets::Secrets;
use stockpipe_workers::worker::stop_on_signal;
use tokio_util::sync::CancellationToken;

use super::{CliError, DataArgs, attach};
use crate::cloud::{Cloud, Embedded, LOCAL_SECRET, Plan, local_aws};
use crate::data_dir::Endpoints;

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
    /// Host name that clients on other machines use: Kafka tells it to them, and
    /// S3, Glue and Athena answer to it [default: none but this machine's].
    #[arg(long, value_name = "HOST", value_parser = host_name)]
    advertise: Option<String>,
    /// Flush every acknowledged write to the disk, so that it survives a power loss.
    #[arg(long)]
    fsync: bool,
}

fn host_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    if is_name {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("write a host name without scheme and port, such as cloud.market.svc".to_owned())
    }
}

pub(crate) async fn run(args: CloudArgs) -> Result<ExitCode, CliError> {
    if args.advertise.is_some() && args.kafka_listen.port() == 0 {
        return Err("--advertise: other machines must know Kafka's port; write one in --kafka-listen, such as 0.0.0.0:9092".to_owned().into());
    }
    // Before anything else: as a container's first process it would not get a SIGTERM that it has not asked for.
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let data = attach::own(&args.data.data).await?;
    let plan = Plan {
        embedded: Embedded::ALL,
        aws_listen: args.listen,
        kafka_listen: args.kafka_listen,
        advertise: args.advertise,
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
        status: None,
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
    stop.cancelled().await;
    cloud.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn an_advertised_name_has_no_scheme_and_no_port() {
        assert_eq!(host_name("Cloud.market.svc").unwrap(), "cloud.market.svc");
        for bad in ["", "http://cloud", "cloud:9092", "a b", "cloud/"] {
            assert!(
                host_name(bad).unwrap_err().contains("without scheme"),
                "{bad}"
            );
        }
    }
}
