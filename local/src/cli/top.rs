//! `stockpipe top`: a running pipeline, live.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::worker_status::{
    AnalyzeStatus, LandStatus, PartitionStatus, ProduceStatus, RoleStatus, WorkerCondition,
};

use super::CliError;
use super::query::plain;
use crate::data_dir;
use crate::live::{Snapshot, ask};

/// How often the pipeline is asked.
const EVERY: Duration = Duration::from_millis(500);
/// Rates that the line of the last seconds holds.
const HISTORY: usize = 60;

/// Flags of `stockpipe top`.
#[derive(Args)]
pub(crate) struct TopArgs {
    /// Data directory of the pipeline that runs.
    #[arg(long, value_name = "DIR", default_value = ".stockpipe")]
    data: PathBuf,
    /// Print it once and end, as it does anyway where standard output is no terminal.
    #[arg(long)]
    once: bool,
    /// How it is printed; `json` prints it once.
    #[arg(long, value_enum, default_value_t = Output::Screen)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Screen,
    /// One JSON document.
    Json,
}

pub(crate) async fn run(args: TopArgs) -> Result<ExitCode, CliError> {
    let root = args.data.display();
    let found = data_dir::endpoints(&args.data)?.ok_or_else(|| {
        format!("nothing runs on {root}: start a pipeline with `stockpipe up`, or name its --data")
    })?;
    let addr = found.status.ok_or_else(|| {
        format!("only the embedded servers run on {root} (pid {}), no pipeline: start one with `stockpipe up`", found.pid)
    })?;
    let first = ask(&addr)
        .await
        .map_err(|e| format!("the pipeline on {root} does not answer at {addr}: {e}"))?;
    if args.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&first)?);
    } else if args.once || !std::io::stdout().is_terminal() {
        print!("{}", text(&first, &VecDeque::new(), Timestamp::now()));
    } else {
        watch(&addr, first).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Redraws in place until ctrl-C, or until the pipeline ends.
async fn watch(addr: &str, mut snapshot: Snapshot) -> Result<(), CliError> {
    let view = ProgressBar::new_spinner();
    view.set_style(ProgressStyle::with_template("{msg}")?);
    let mut rates = VecDeque::with_capacity(HISTORY);
    loop {
        if rates.len() == HISTORY {
            rates.pop_front();
        }
        rates.push_back(Roles::of(&snapshot).produce.map_or(0, |p| p.rate));
        let shown = text(&snapshot, &rates, Timestamp::now());
        view.set_message(format!("{shown}ctrl-C leaves; the pipeline goes on"));
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = tokio::signal::ctrl_c() => {
                view.abandon();
                return Ok(());
            }
        }
        match ask(addr).await {
            Ok(next) => snapshot = next,
            Err(_) => {
                view.abandon_with_message(format!("{shown}the pipeline has ended"));
                return Ok(());
            }
        }
    }
}

/// The roles of a snapshot, sorted out.
#[derive(Default)]
struct Roles<'a> {
    produce: Option<&'a ProduceStatus>,
    landers: Vec<&'a LandStatus>,
    analyze: Option<&'a AnalyzeStatus>,
    conditions: Vec<&'a WorkerCondition>,
}

impl<'a> Roles<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let mut roles = Self::default();
        for worker in &snapshot.workers {
            roles.conditions.extend(&worker.conditions);
            match &worker.role {
                RoleStatus::Produce(status) => roles.produce = Some(status),
                RoleStatus::Land(status) => roles.landers.push(status),
                RoleStatus::Analyze(status) => roles.analyze = Some(status),
                _ => {}
            }
        }
        roles
    }

    fn partitions(&self) -> Vec<&'a PartitionStatus> {
        let mut all: Vec<_> = self.landers.iter().flat_map(|l| &l.partitions).collect();
        all.sort_by_key(|p| p.partition);
        all
    }

    fn produced(&self) -> String {
        let Some(p) = self.produce else {
            return "not running".to_owned();
        };
        let state = if p.finished {
            "the source has ended"
        } else if p.behind {
            "making history"
        } else {
            "with the clock"
        };
        format!(
            "{} ticks · {}/s · market time {} · {state}",
            HumanCount(p.ticks_total),
            HumanCount(p.rate),
            told(p.market_time),
        )
    }

    fn landed(&self) -> String {
        let sum = |of: fn(&LandStatus) -> u64| self.landers.iter().map(|l| of(l)).sum::<u64>();
        let freshest = self.landers.iter().filter_map(|l| l.freshness_ms).max();
        format!(
            "{} rows · {} files · {} · Kafka to lake {} · buffers {} of {}",
            HumanCount(sum(|l| l.rows_total)),
            HumanCount(sum(|l| l.files_total)),
            HumanBytes(sum(|l| l.bytes_total)),
            freshest.map_or_else(|| "-".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1e3)),
            HumanBytes(sum(|l| l.buffered_bytes)),
            HumanBytes(sum(|l| l.memory_budget)),
        )
    }
}

fn told(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |t| t.strftime("%F %TZ").to_string())
}

const COLUMNS: [&str; 7] = [
    "partition",
    "landed to",
    "end",
    "lag",
    "rows",
    "quarantined",
    "watermark",
];

fn cells(p: &PartitionStatus) -> [String; 7] {
    let count = |n: i64| HumanCount(u64::try_from(n).unwrap_or(0)).to_string();
    [
        p.partition.to_string(),
        count(p.position),
        count(p.end),
        count(p.lag),
        HumanCount(p.rows).to_string(),
        HumanCount(p.quarantined).to_string(),
        told(p.watermark),
    ]
}

/// The view, every line of it ended. `rates` are those of the last seconds, the newest last.
fn text(snapshot: &Snapshot, rates: &VecDeque<u64>, now: Timestamp) -> String {
    let roles = Roles::of(snapshot);
    let up = SignedDuration::from_secs(now.duration_since(snapshot.started_at).as_secs());
    let mut lines = vec![
        format!("pipeline   {} · up {up:#}", snapshot.pipeline),
        format!("produced   {}", roles.produced()),
        format!("landed     {}", roles.landed()),
    ];
    if rates.len() > 1 {
        lines.insert(2, format!("           {}", sparkline(rates)));
    }
    if let Some(page) = &snapshot.page {
        let seen = roles.analyze.map_or_else(String::new, |a| {
            format!(
                " · {} symbols · {} open",
                HumanCount(u64::from(a.symbols)),
                a.streams
            )
        });
        lines.push(format!("page       {page}{seen}"));
    }
    if let Some(report) = &snapshot.last_report {
        lines.push(format!("report     {report}"));
    }
    for condition in &roles.conditions {
        lines.push(format!(
            "{} {}: {}",
            condition.kind, condition.reason, condition.message
        ));
    }
    let mut table = Table::new();
    plain(&mut table);
    table.set_header(COLUMNS);
    for p in roles.partitions() {
        table.add_row(cells(p));
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\n{table}\n", lines.join("\n"))
}

/// Bars of eighths, the highest of them full.
fn sparkline(rates: &VecDeque<u64>) -> String {
    let bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = rates.iter().copied().max().unwrap_or(0).max(1);
    let level = |rate: u64| usize::try_from(rate * 7 / most).unwrap_or(7);
    rates.iter().map(|&rate| bars[level(rate)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpipe_crds::worker_status::{WorkerState, WorkerStatus};

    fn snapshot() -> Snapshot {
        let worker = |role, conditions| WorkerStatus {
            version: "0.1.0".into(),
            pipeline: "default/us".into(),
            instance: "host/1".into(),
            started_at: Timestamp::UNIX_EPOCH,
            state: WorkerState::Running,
            conditions,
            role,
        };
        let partition = |partition, lag| PartitionStatus {
            partition,
            position: 1_000,
            end: 1_000 + lag,
            lag,
            rows: 990,
            watermark: Some("2026-11-20T21:00:00Z".parse().unwrap()),
            ..PartitionStatus::default()
        };
        Snapshot {
            pipeline: "us".into(),
            started_at: Timestamp::UNIX_EPOCH,
            page: Some("http://127.0.0.1:8080".into()),
            last_report: Some("Report daily 2026-11-20: 8 rows".into()),
            workers: vec![
                worker(
                    RoleStatus::Produce(ProduceStatus {
                        ticks_total: 12_345,
                        rate: 678,
                        ..ProduceStatus::default()
                    }),
                    vec![WorkerCondition {
                        kind: "Producing".into(),
                        ok: false,
                        reason: "KafkaUnreachable".into(),
                        message: "Kafka at k:9092 does not answer; ticks wait for it".into(),
                        since: Timestamp::UNIX_EPOCH,
                    }],
                ),
                worker(
                    RoleStatus::Land(LandStatus {
                        partitions: vec![partition(1, 0), partition(0, 250)],
                        rows_total: 1_980,
                        files_total: 4,
                        bytes_total: 2_048,
                        freshness_ms: Some(1_500),
                        ..LandStatus::default()
                    }),
                    Vec::new(),
                ),
            ],
        }
    }

    #[test]
    fn the_view_has_every_number_and_what_is_wrong() {
        let at = Timestamp::from_second(3_725).unwrap();
        let shown = text(&snapshot(), &[0, 678, 339].into(), at);
        assert_eq!(
            shown.lines().take(7).collect::<Vec<_>>(),
            [
                "pipeline   us · up 1h 2m 5s",
                "produced   12,345 ticks · 678/s · market time - · with the clock",
                "           ▁█▄",
                "landed     1,980 rows · 4 files · 2.00 KiB · Kafka to lake 1.5 s · buffers 0 B of 0 B",
                "page       http://127.0.0.1:8080",
                "report     Report daily 2026-11-20: 8 rows",
                "Producing KafkaUnreachable: Kafka at k:9092 does not answer; ticks wait for it",
            ]
        );
        assert!(shown.contains("2026-11-20 21:00:00Z"), "{shown}");
        let first = shown.find("1,250").expect("the end of partition 0");
        assert!(
            first < shown.rfind("1,000").expect("the end of partition 1"),
            "partitions stand in their order\n{shown}"
        );
    }
}
