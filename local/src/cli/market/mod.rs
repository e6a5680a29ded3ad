//! `stockpipe market`: ticks of a synthetic market into a file or a pipe, without Kafka.
//!
//! The same arguments make the same bytes, on every machine: nothing of the clock is in them.

mod output;
mod plan;
mod span;

use std::io::{ErrorKind, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use jiff::civil::Date;
use stockpipe_market::calendar::Calendar;
use stockpipe_market::simulator::Simulator;
use stockpipe_market::tick::Kind;
use stockpipe_workers::worker::stop_on_signal;
use tokio_util::sync::CancellationToken;

use super::CliError;
use output::{Format, Output};
use plan::{Plan, ScenarioArg, Symbols};
use span::Moment;

/// Flags of `stockpipe market`.
#[derive(Args)]
pub(crate) struct MarketArgs {
    /// How many symbols, or which, most active first: 500, or AAPL,MSFT [default: 8].
    #[arg(long, value_name = "N|LIST")]
    symbols: Option<Symbols>,
    /// The session to make, a date of the exchange.
    #[arg(long, value_name = "YYYY-MM-DD")]
    day: Option<Date>,
    /// From when: with --day a time on the exchange's clock, such as 10:00; else a date, or an instant with its zone.
    #[arg(long, value_name = "WHEN")]
    from: Option<Moment>,
    /// Until when, as --from; a date is meant to its end.
    #[arg(long, value_name = "WHEN")]
    to: Option<Moment>,
    /// Where the ticks go; - is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// How they are written [default: as FILE's name ends (.csv, .json, .parquet; .csv.gz, .json.gz), else csv].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Which of all such markets it is [default: 42].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The exchange by its MIC, or 24x7 [default: XNYS].
    #[arg(long, value_name = "NAME")]
    calendar: Option<Calendar>,
    /// Only these, such as trade,quote; numbers of ticks left out are missing in seq.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<Kind>,
    /// Mean ticks a second of all symbols together [default: 100].
    #[arg(long, value_name = "N")]
    ticks_per_second: Option<u64>,
    /// What happens, and if not always and to all, when and to which symbol: crisis, or
    /// halt,from=10:00,to=10:20,symbol=AAPL. Several combine.
    #[arg(long, value_name = "NAME[,KEY=VALUE]")]
    scenario: Vec<ScenarioArg>,
    /// Parameters of the model, as `stockpipe calibrate -o` writes them.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Share of ticks that arrive late and out of order, in percent, such as 0.1.
    #[arg(long, value_name = "PERCENT")]
    late: Option<f64>,
    /// Share of trades that are cancelled or corrected, in percent, such as 0.01.
    #[arg(long, value_name = "PERCENT")]
    corrections: Option<f64>,
    /// A StockPipeline whose simulated market it is; the other flags go before it.
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::from_word(text).ok_or_else(|| {
        let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("write one of {}", kinds.join(", "))
    })
}

/// How it ended.
enum End {
    /// Everything is written.
    Done,
    /// Whoever read the pipe has gone; enough is written.
    Enough,
    /// A signal came; nothing is left under the file's name.
    Interrupted,
}

pub(crate) async fn run(args: MarketArgs) -> Result<ExitCode, CliError> {
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let end = tokio::task::spawn_blocking(move || make(&args, &stop)).await??;
    Ok(match end {
        End::Done | End::Enough => ExitCode::SUCCESS,
        End::Interrupted => ExitCode::from(130),
    })
}

/// Market time between two looks at the clock and the signals: about so many ticks.
const STEP_TICKS: u64 = 20_000;

fn make(args: &MarketArgs, stop: &CancellationToken) -> Result<End, CliError> {
    let started = Instant::now();
    let plan = Plan::new(args)?;
    let rate = plan.settings.ticks_per_second();
    let step = i64::try_from(STEP_TICKS * 1_000_000_000 / rate.max(1))?;
    let step = step.clamp(1_000_000, 3_600_000_000_000);
    let mut simulator = Simulator::new(plan.settings)?;
    let mut output = Output::open(&args.output, args.format)?;
    let bar = bar(&output, plan.until_ns - simulator.until_ns());
    let first = simulator.until_ns();
    let mut count = 0_u64;
    let mut written = Ok(());
    while simulator.until_ns() < plan.until_ns {
        let position = simulator.until_ns();
        // What comes before is made, and not written.
        let edge = if position < plan.from_ns {
            plan.from_ns
        } else {
            plan.until_ns
        };
        let next = position.saturating_add(step).min(edge);
        simulator.emit(next, &mut |tick| {
            let wanted = args.kinds.is_empty() || args.kinds.contains(&tick.kind);
            if position >= plan.from_ns && wanted && written.is_ok() {
                written = output.write(tick);
                count += 1;
            }
        });
        if written.is_err() {
            break;
        }
        if stop.is_cancelled() {
            bar.finish_and_clear();
            return Ok(End::Interrupted);
        }
        bar.set_position((simulator.until_ns() - first).unsigned_abs());
        bar.set_message(format!("{} ticks", HumanCount(count)));
    }
    let name = output.name();
    let finished = written.and_then(|()| output.finish());
    bar.finish_and_clear();
    match finished {
        Ok(None) => Ok(End::Done),
        Ok(Some(bytes)) => {
            eprintln!(
                "{} ticks in {name} ({}, {:.1} s)",
                HumanCount(count),
                HumanBytes(bytes),
                started.elapsed().as_secs_f32()
            );
            Ok(End::Done)
        }
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(End::Enough),
        Err(error) => Err(format!("cannot write {name}: {}", output::reason(&error)).into()),
    }
}

/// A bar on a terminal, if the ticks do not go there themselves; nothing in a pipe.
fn bar(output: &Output, length_ns: i64) -> ProgressBar {
    if !std::io::stderr().is_terminal() || output.is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length_ns.unsigned_abs());
    bar.set_style(
        ProgressStyle::with_template("{wide_bar} {percent}% · {msg} · {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
