//! `stockpipe-worker ROLE --pipeline FILE [--run KEY]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use stockpipe_workers::worker;

/// One role of a stockpipe pipeline.
#[derive(Parser)]
#[command(name = "stockpipe-worker", version)]
struct Args {
    /// What to do: provision, produce, land, analyze, report, crawl, teardown; or `failpoints`, which lists them.
    role: String,
    /// The StockPipeline file; every address in it must be named.
    #[arg(long, default_value = "/etc/stockpipe/pipeline.yaml")]
    pipeline: PathBuf,
    /// Run key of a scheduled role, for instance `report/daily-ohlcv@2026-11-20`, with `#ATTEMPT` when run by hand.
    #[arg(long)]
    run: Option<String>,
    /// Folder of secrets: DIR/<secret>/<key>.
    #[arg(long, default_value = "/etc/stockpipe/secrets")]
    secrets: PathBuf,
    /// Where `/status`, `/metrics` and `/healthz` are served.
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Where the role `analyze` serves its page.
    #[arg(long, default_value = "127.0.0.1:8080")]
    page: SocketAddr,
}

fn main() -> ExitCode {
    let args = Args::parse();
    worker::main(worker::Invocation {
        role: args.role,
        pipeline: args.pipeline,
        run: args.run,
        secrets: args.secrets,
        listen: args.listen,
        page: args.page,
    })
}
