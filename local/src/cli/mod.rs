//! The command line. Every flag is documented where it is defined.

mod attach;
mod aws_env;
mod calibrate;
mod cloud;
mod crawl;
mod market;
mod query;
mod repair;
mod replay;
mod report;
mod reset;
mod shell;
mod top;
mod up;
mod validate;
mod verify;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Any failure of a command, as one sentence.
pub(crate) type CliError = Box<dyn std::error::Error + Send + Sync>;

/// What scripts may rely on.
const EXIT_CODES: &str = "Exit codes:
  0    done
  1    it failed, with one sentence on standard error
  2    the command line was not understood
  3    `verify` found something
  130  interrupted: a pipeline twice, so that it stopped at once";

/// Market data through Kafka into a lake that SQL answers, on one machine or a cluster.
#[derive(Parser)]
#[command(name = "stockpipe", version, max_term_width = 100, after_long_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a pipeline on this machine, with embedded servers for what its file does not name.
    Up(up::UpArgs),
    /// Watch the pipeline that runs on this machine.
    Top(top::TopArgs),
    /// Ask the lake a question in Athena's SQL.
    Query(query::QueryArgs),
    /// Run a report of the pipeline now and print its rows.
    Report(report::ReportArgs),
    /// Propose how a file of prices is replayed, or send a landed day into another topic.
    Replay(replay::ReplayArgs),
    /// Crawl the lake now with the pipeline's Glue crawler.
    Crawl(crawl::CrawlArgs),
    /// Audit the lake: every record of the topic in it exactly once.
    Verify(verify::VerifyArgs),
    /// Go on landing after the topic was deleted and made again, after asking.
    Repair(repair::RepairArgs),
    /// Check pipeline files without running them.
    Validate(validate::ValidateArgs),
    /// Make ticks of a synthetic market, as CSV, JSON or Parquet, without Kafka.
    Market(market::MarketArgs),
    /// Fit the synthetic market to real prices, and say what they do not tell.
    Calibrate(calibrate::CalibrateArgs),
    /// Print what to export so that aws, boto3 and other tools reach the embedded servers.
    AwsEnv(aws_env::AwsEnvArgs),
    /// Run only the embedded servers: Kafka, S3, Glue and Athena.
    Cloud(cloud::CloudArgs),
    /// Delete the data directory, after asking.
    Reset(reset::ResetArgs),
    /// Print the CustomResourceDefinition, for `kubectl apply -f -`.
    Crd,
    /// Print a shell's completions of this command line.
    Completions(shell::CompletionsArgs),
    /// Print the manual page, or write one for every command.
    Man(shell::ManArgs),
}

/// Where a machine keeps its data and secrets.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataArgs {
    /// Directory of the embedded servers' data.
    #[arg(long, value_name = "DIR", default_value = ".stockpipe")]
    pub(crate) data: PathBuf,
    /// Directory of secrets: DIR/<secret>/<key> [default: `secrets` beside FILE].
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
}

/// How a command tells what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// Prints a document for programs.
///
/// # Errors
/// Where standard output cannot be written; a reader that has seen enough (`| head`) is no failure.
pub(crate) fn print_json(document: &impl serde::Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    match std::io::stdout().lock().write_all(&text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// `println!` panics where nobody reads any more, as behind `| head`. A command then ends without a word, and well.
fn end_quietly_without_a_reader() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let why = panic.payload_as_str().unwrap_or_default();
        if why.starts_with("failed printing to stdout") && why.contains("Broken pipe") {
            std::process::exit(0);
        }
        told(panic);
    }));
}

/// Parses the command line and runs it; the process's exit code.
///
/// The codes are [`EXIT_CODES`].
#[must_use]
pub fn main() -> ExitCode {
    end_quietly_without_a_reader();
    let cli = Cli::parse();
    // Ignored: another provider can only have been installed by this same line.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    log_to_stderr(matches!(cli.command, Command::Cloud(_)));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => up::run(args).await,
            Command::Top(args) => top::run(args).await,
            Command::Query(args) => query::run(args).await,
            Command::Report(args) => report::run(args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Crawl(args) => crawl::run(args).await,
            Command::Verify(args) => verify::run(args).await,
            Command::Repair(args) => repair::run(args).await,
            Command::Validate(args) => validate::run(&args),
            Command::Market(args) => market::run(args).await,
            Command::Calibrate(args) => calibrate::run(&args),
            Command::AwsEnv(args) => aws_env::run(&args),
            Command::Cloud(args) => cloud::run(args).await,
            Command::Reset(args) => reset::run(&args),
            Command::Completions(args) => shell::completions(&args),
            Command::Man(args) => shell::man(&args),
            Command::Crd => {
                print!("{}", stockpipe_crds::schema::crd_yaml());
                Ok(ExitCode::SUCCESS)
            }
        }
    });
    // A role that is stuck in a blocking call must not hold the process after its sentence.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result.unwrap_or_else(|error| fail(&*error))
}

/// Asks `question` on the terminal; without one there is nobody to ask.
///
/// # Errors
/// Where standard input is no terminal.
pub(crate) fn confirmed(command: &str, question: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(format!(
            "{command} asks before it changes anything: answer on a terminal, or give --yes"
        )
        .into());
    }
    print!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("stockpipe: {error}");
    ExitCode::FAILURE
}

/// Warnings of the parts; `STOCKPIPE_LOG=debug` shows more.
fn log_to_stderr(is_server: bool) {
    // s3s tells every 404 and 412 as an error of its own.
    let default = if is_server {
        "info,s3s=off"
    } else {
        "warn,s3s=off"
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("STOCKPIPE_LOG")
        .unwrap_or_else(|_| default.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
