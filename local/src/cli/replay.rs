//! `stockpipe replay`: a file of prices looked at, or a landed day sent once more.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, Table};
use jiff::civil::Date;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use stockpipe_crds::pipeline::ReplayTime;
use stockpipe_crds::worker_status::{ProduceStatus, RoleStatus};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::Tick;
use stockpipe_workers::context::Context;
use stockpipe_workers::produce::replay::infer::Proposal;
use stockpipe_workers::produce::{self, replay};

use super::attach::Attached;
use super::query::plain;
use super::{CliError, DataArgs, Output, print_json};

/// How often the replay is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Flags of `stockpipe replay`.
#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// Print how this file could be replayed, its first ten ticks, and what it does not tell. Several files, folders,
    /// patterns, or s3:// with --file's spec.aws [default: the embedded S3].
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["day", "to"])]
    infer: Option<Vec<String>>,
    /// With --infer: the exchange whose sessions and clock the rows are of, or 24x7.
    #[arg(long, value_name = "MIC", default_value = "24x7")]
    calendar: Calendar,
    /// Send what has landed of this trade date into the topic that --to names.
    #[arg(
        long,
        value_name = "DATE",
        requires = "to",
        required_unless_present = "infer"
    )]
    day: Option<Date>,
    /// The topic; it is made unless it is there.
    #[arg(long, value_name = "TOPIC", requires = "day")]
    to: Option<String>,
    /// Market seconds per second; 0 is as fast as Kafka takes them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    speed: u32,
    /// Let the first tick happen now, and every other as long after it as it did.
    #[arg(long)]
    rebase: bool,
    /// Wait for at most so many seconds of market time between two ticks.
    #[arg(long, value_name = "SECONDS")]
    max_gap: Option<u32>,
    /// The StockPipeline whose lake is replayed [default: the one that ran last on this data directory].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// How it is told.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) async fn run(args: ReplayArgs) -> Result<ExitCode, CliError> {
    match (&args.infer, args.day, &args.to) {
        (Some(uris), ..) => infer(uris.clone(), &args).await,
        (None, Some(day), Some(topic)) => {
            let attached = Attached::open(args.file.as_deref(), &args.data).await?;
            let result = send(&attached.context, day, topic, &args).await;
            attached.close().await;
            result
        }
        _ => Err("name a file with --infer, or a day and a topic with --day and --to".into()),
    }
}

async fn infer(uris: Vec<String>, args: &ReplayArgs) -> Result<ExitCode, CliError> {
    // Local files need no pipeline, and so no data directory.
    let attached = if uris.iter().any(|uri| uri.starts_with("s3://")) {
        Some(Attached::open(args.file.as_deref(), &args.data).await?)
    } else {
        None
    };
    let access = match &attached {
        Some(attached) => replay::Access::of(&Context {
            // Relative paths beside them start here, as they do without.
            base_dir: PathBuf::new(),
            ..attached.context.clone()
        }),
        None => replay::Access::local(Path::new("")),
    };
    let calendar = args.calendar;
    let proposal =
        tokio::task::spawn_blocking(move || replay::infer::infer(&uris, &access, calendar)).await;
    if let Some(attached) = attached {
        attached.close().await;
    }
    let proposal = proposal??;
    match args.output {
        Output::Json => print_json(&document(&proposal)?)?,
        Output::Text => tell(&proposal),
    }
    Ok(ExitCode::SUCCESS)
}

/// The proposal for programs.
#[derive(Serialize)]
struct Document<'a> {
    /// As it stands in a pipeline's spec.
    source: Value,
    /// Records of the topic, whose prices do not go through a float.
    ticks: Vec<Box<RawValue>>,
    tried: usize,
    bad: usize,
    problems: &'a [String],
    unsure: &'a [String],
}

fn document(proposal: &Proposal) -> Result<Document<'_>, CliError> {
    let mut yaml: Value = serde_norway::from_str(&proposal.yaml)?;
    let record = |tick| {
        let mut record = Vec::new();
        stockpipe_market::json::encode(tick, &mut record);
        RawValue::from_string(String::from_utf8_lossy(&record).into_owned())
    };
    Ok(Document {
        source: yaml["source"].take(),
        ticks: proposal
            .ticks
            .iter()
            .map(record)
            .collect::<Result<_, _>>()?,
        tried: proposal.tried,
        bad: proposal.bad,
        problems: &proposal.problems,
        unsure: &proposal.unsure,
    })
}

fn tell(proposal: &Proposal) {
    print!("{}", proposal.yaml);
    println!();
    println!("{}", table(&proposal.ticks));
    if proposal.bad > 0 {
        println!(
            "\n{} of the first {} rows cannot be read; badRows: Quarantine goes on without them:",
            proposal.bad, proposal.tried
        );
        for problem in &proposal.problems {
            println!("- {problem}");
        }
    }
    if !proposal.unsure.is_empty() {
        println!("\nUnsure:");
        for unsure in &proposal.unsure {
            println!("- {unsure}");
        }
    }
}

/// The ticks, with the fields that any of them has.
fn table(ticks: &[Tick]) -> Table {
    type Show = fn(&Tick) -> Option<String>;
    const FIELDS: [(&str, bool, Show); 24] = [
        ("symbol", false, |t| Some(t.symbol.to_string())),
        ("ts_event", false, |t| Some(instant(t.ts_event_ns))),
        ("trade_date", false, |t| Some(t.trade_date.to_string())),
        ("kind", false, |t| Some(t.kind.to_string())),
        ("open", true, |t| t.open.map(|v| v.to_string())),
        ("high", true, |t| t.high.map(|v| v.to_string())),
        ("low", true, |t| t.low.map(|v| v.to_string())),
        ("close", true, |t| t.close.map(|v| v.to_string())),
        ("adj_close", true, |t| t.adj_close.map(|v| v.to_string())),
        ("volume", true, |t| t.volume.map(|v| v.to_string())),
        ("price", true, |t| t.price.map(|v| v.to_string())),
        ("size", true, |t| t.size.map(|v| v.to_string())),
        ("side", false, |t| t.side.map(|v| v.to_string())),
        ("bid_price", true, |t| t.bid_price.map(|v| v.to_string())),
        ("bid_size", true, |t| t.bid_size.map(|v| v.to_string())),
        ("ask_price", true, |t| t.ask_price.map(|v| v.to_string())),
        ("ask_size", true, |t| t.ask_size.map(|v| v.to_string())),
        ("currency", false, |t| t.currency.as_deref().map(Into::into)),
        ("venue", false, |t| t.venue.as_deref().map(Into::into)),
        ("trade_id", false, |t| t.trade_id.as_deref().map(Into::into)),
        ("conditions", false, |t| {
            t.conditions.as_deref().map(Into::into)
        }),
        ("source_seq", true, |t| t.source_seq.map(|v| v.to_string())),
        ("session", false, |t| t.session.map(|v| v.to_string())),
        ("status", false, |t| t.status.as_deref().map(Into::into)),
    ];
    let shown: Vec<_> = FIELDS
        .iter()
        .filter(|(.., show)| ticks.iter().any(|tick| show(tick).is_some()))
        .collect();
    let mut table = Table::new();
    plain(&mut table);
    table.set_header(shown.iter().map(|(name, ..)| name));
    for tick in ticks {
        table.add_row(
            shown
                .iter()
                .map(|(.., show)| show(tick).unwrap_or_default()),
        );
    }
    for (index, (_, is_number, _)) in shown.iter().enumerate() {
        if let Some(column) = table.column_mut(index).filter(|_| *is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn instant(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns))
        .map(|at| at.to_string())
        .unwrap_or_default()
}

async fn send(
    context: &Context,
    day: Date,
    topic: &str,
    args: &ReplayArgs,
) -> Result<ExitCode, CliError> {
    let manner = replay::day::Manner {
        speed: args.speed,
        time: if args.rebase {
            ReplayTime::Rebase
        } else {
            ReplayTime::Original
        },
        max_gap: args.max_gap.map(|s| Duration::from_secs(s.into())),
    };
    let pipeline = replay::day::pipeline(context, day, topic, manner).await?;
    replay::day::make_topic(&pipeline).await?;
    let context = Context {
        pipeline: Arc::new(pipeline),
        ..context.for_role("produce")
    };
    let told = |context: &Context| match context.status.snapshot().map(|s| s.role) {
        Some(RoleStatus::Produce(status)) => status,
        _ => ProduceStatus::default(),
    };
    let mut role = tokio::spawn({
        let context = context.clone();
        async move { produce::run(&context).await }
    });
    let mut interrupted = false;
    let ended = loop {
        tokio::select! {
            ended = &mut role => break ended,
            _ = tokio::signal::ctrl_c(), if !interrupted => {
                interrupted = true;
                context.shutdown.cancel();
            }
            () = tokio::time::sleep(LOOK) => {
                if told(&context).finished {
                    context.shutdown.cancel();
                }
            }
        }
    };
    ended??;
    let status = told(&context);
    if !status.finished {
        return Err(format!(
            "interrupted after {} ticks: the same command goes on where it was",
            status.ticks_total
        )
        .into());
    }
    match args.output {
        Output::Json => print_json(
            &json!({"day": day, "topic": topic, "ticks": status.ticks_total, "run": status.run}),
        )?,
        Output::Text => println!(
            "{} ticks of {day} are in topic {topic}, run {}",
            status.ticks_total, status.run
        ),
    }
    Ok(ExitCode::SUCCESS)
}
