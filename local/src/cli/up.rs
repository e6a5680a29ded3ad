//! `stockpipe up`: a whole pipeline on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use stockpipe_crds::pipeline::Endpoint;
use stockpipe_workers::context::Context;
use stockpipe_workers::provision;
use stockpipe_workers::status::{self, StatusBoard};
use stockpipe_workers::worker::RoleError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::attach::{self, PipelineFile, fill};
use super::{CliError, DataArgs};
use crate::cloud::{Cloud, Plan};
use crate::data_dir::{DataDir, Endpoints};
use crate::live::Teller;
use crate::progress::{Numbers, Progress};
use crate::scheduler::Scheduler;
use crate::supervisor::Supervisor;

/// Flags of `stockpipe up`.
#[derive(Args)]
pub(crate) struct UpArgs {
    /// The StockPipeline to run [default: the one that ran last on this data directory, else the quickstart].
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// End by itself after this long, for instance 30s or 5m.
    #[arg(long = "for", value_name = "DURATION", value_parser = positive_duration)]
    duration: Option<Duration>,
    /// Where the page listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the embedded S3, Glue and Athena listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    aws_listen: SocketAddr,
    /// Where the embedded Kafka listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    kafka_listen: SocketAddr,
    /// Where `/metrics` of all roles is served, for Prometheus; port 0 takes a free one [default: nowhere].
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Embed these though the file names external ones.
    #[arg(long, value_name = "SERVICE", value_delimiter = ',')]
    embed: Vec<Service>,
    /// Flush every acknowledged write to the disk, so that it survives a power loss.
    #[arg(long)]
    fsync: bool,
}

/// A service that can be embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Service {
    Kafka,
    S3,
    Glue,
    Athena,
    All,
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text
        .parse()
        .map_err(|_| "write a duration such as 30s, 5m or 1h30m".to_owned())?;
    Duration::try_from(parsed)
        .ok()
        .filter(|d| !d.is_zero())
        .ok_or_else(|| "write a duration above zero".to_owned())
}

pub(crate) async fn run(args: UpArgs) -> Result<ExitCode, CliError> {
    let started = Instant::now();
    let mut found = PipelineFile::find(args.file.as_deref(), &args.data)?;
    embed(&mut found, &args.embed);
    let embedded = found.embedded();
    // Held from here on: a port that is taken is told before anything starts, and none of the servers below, which
    // may take any free port, takes this one.
    let page = if found.pipeline.monitoring.dashboard {
        Some(status::bind(args.listen).await?)
    } else {
        None
    };
    let metrics = match args.metrics {
        Some(addr) => Some(status::bind(addr).await?),
        None => None,
    };

    let data = attach::own(&args.data.data).await?;
    let plan = Plan {
        embedded,
        aws_listen: args.aws_listen,
        kafka_listen: args.kafka_listen,
        advertise: None,
        aws: found.pipeline.aws.clone(),
        secrets: found.secrets(data.root()),
        fsync: args.fsync,
    };
    let cloud = Cloud::start(&data, &plan).await?;
    let mut pipeline = found.pipeline.clone();
    fill(
        &mut pipeline,
        embedded,
        cloud.kafka().as_deref(),
        cloud.aws().as_deref(),
    )?;
    let context = Context {
        pipeline: Arc::new(pipeline),
        secrets: found.secrets(data.root()),
        cluster_id: match &found.cluster_id {
            Some(id) => id.clone(),
            None => data.cluster_id()?,
        },
        base_dir: found.base_dir(),
        shutdown: CancellationToken::new(),
        status: StatusBoard::new("up"),
    };
    let status_listener = status::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let endpoints = Endpoints {
        pid: std::process::id(),
        aws: cloud.aws(),
        kafka: cloud.kafka(),
        page: match &page {
            Some(listener) => Some(format!("http://{}", listener.local_addr()?)),
            None => None,
        },
        status: Some(status_listener.local_addr()?.to_string()),
    };
    data.publish(&endpoints)?;
    data.remember(&found.remembered)?;

    let mut progress = Progress::new(started);
    announce(&progress, &found, &context, &endpoints, &data);
    if let Some(addr) = metrics.as_ref().and_then(|m| m.local_addr().ok()) {
        progress.say(&format!("  Metrics  http://{addr}/metrics"));
    }
    let listeners = Listeners {
        page,
        status: status_listener,
        metrics,
    };
    let result = run_roles(
        args.duration,
        &context,
        &endpoints,
        listeners,
        &mut progress,
    )
    .await;
    progress.finish();
    cloud.shutdown().await;
    drop(data);
    result
}

/// What `up` itself serves; the servers of the local cloud have listeners of their own.
struct Listeners {
    page: Option<TcpListener>,
    status: TcpListener,
    metrics: Option<TcpListener>,
}

/// Provisions, runs the roles until ctrl-C, `--for` or a failure, and drains them.
async fn run_roles(
    duration: Option<Duration>,
    context: &Context,
    endpoints: &Endpoints,
    listeners: Listeners,
    progress: &mut Progress,
) -> Result<ExitCode, CliError> {
    let mut signals = Signals::listen()?;
    let end = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    tokio::select! {
        provisioned = provision::run(context) => provisioned.map(|_| ())?,
        () = &mut end => return Ok(ExitCode::SUCCESS),
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    }
    if context.pipeline.suspend {
        progress.say("spec.suspend is true: nothing is produced or landed.");
    }
    let mut supervisor = Supervisor::start(context, listeners.page);
    let boards = supervisor.boards().cloned().collect();
    let teller = Teller::new(&context.pipeline.name, endpoints.page.clone(), boards);
    tokio::spawn(
        teller
            .clone()
            .serve(listeners.status, context.shutdown.clone()),
    );
    if let Some(listener) = listeners.metrics {
        let boards = supervisor.boards().cloned().collect();
        tokio::spawn(status::serve_metrics(
            listener,
            boards,
            context.shutdown.clone(),
        ));
    }
    let mut reports = Scheduler::start(context).await?;
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    let failure: Option<RoleError> = loop {
        tokio::select! {
            _ = tick.tick() => progress.show(&numbers(&supervisor)),
            line = reports.next_line() => {
                progress.reported(&line);
                teller.reported(&line);
            }
            error = supervisor.failure() => break Some(error),
            () = &mut end => break None,
            () = signals.next() => break None,
        }
    };
    if failure.is_none() {
        progress.say("Stopping: landing what is buffered (ctrl-C again stops at once).");
    }
    reports.stop().await;
    let boards: Vec<_> = supervisor.boards().cloned().collect();
    let drained = tokio::select! {
        drained = supervisor.drain() => drained,
        () = signals.next() => {
            eprintln!("stockpipe: stopped at once; what was not landed stays in Kafka and lands at the next start");
            return Ok(ExitCode::from(130));
        }
    };
    let numbers = Numbers::gather(boards.iter().filter_map(StatusBoard::snapshot));
    progress.finish();
    println!("{}", numbers.summary());
    match failure.map_or(drained, Err) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    }
}

fn numbers(supervisor: &Supervisor) -> Numbers {
    Numbers::gather(supervisor.boards().filter_map(StatusBoard::snapshot))
}

/// `--embed`: as if the file named nothing external.
fn embed(found: &mut PipelineFile, services: &[Service]) {
    let wanted = |s: Service| services.contains(&s) || services.contains(&Service::All);
    let pipeline = &mut found.pipeline;
    if wanted(Service::Kafka) {
        pipeline.kafka.bootstrap_servers = None;
    }
    let endpoints = &mut pipeline.aws.endpoints;
    for (service, endpoint) in [
        (Service::S3, &mut endpoints.s3),
        (Service::Glue, &mut endpoints.glue),
        (Service::Athena, &mut endpoints.athena),
    ] {
        if wanted(service) {
            *endpoint = Endpoint::Embedded;
        }
    }
}

fn announce(
    progress: &Progress,
    found: &PipelineFile,
    context: &Context,
    endpoints: &Endpoints,
    data: &DataDir,
) {
    let pipeline = &context.pipeline;
    let embedded = |address: &Option<String>, named: &str| match address {
        Some(address) => format!("{address} (embedded)"),
        None => named.to_owned(),
    };
    progress.say(&format!(
        "Pipeline {} · data in {}",
        pipeline.name,
        data.root().display()
    ));
    progress.say(&format!(
        "  Kafka    {}",
        embedded(
            &endpoints.kafka,
            pipeline
                .kafka
                .bootstrap_servers
                .as_deref()
                .unwrap_or_default()
        )
    ));
    progress.say(&format!(
        "  AWS      {}",
        embedded(&endpoints.aws, "as the file says")
    ));
    if let Some(page) = &endpoints.page {
        progress.say(&format!("  Page     {page}"));
    }
    let sql = format!(
        "SELECT symbol, count(*) AS ticks, max(price) AS high FROM {} GROUP BY symbol",
        pipeline.catalog.table
    );
    progress.say(&format!("  Query    stockpipe query \"{sql}\""));
    if pipeline.kafka.topic.replication_factor != 1 && endpoints.kafka.is_some() {
        tracing::info!(
            "the embedded broker keeps one replica, whatever topic.replicationFactor says"
        );
    }
    if !found.cluster_only.is_empty() {
        progress.say(&format!(
            "  Only a cluster uses: {}",
            found.cluster_only.join(", ")
        ));
    }
}

/// SIGINT and SIGTERM, as often as they come.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
