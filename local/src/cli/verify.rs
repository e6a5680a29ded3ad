//! `stockpipe verify`: the audit of the lake.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table};
use indicatif::HumanCount;
use stockpipe_workers::audit::{self, AuditReport, Finding, Loss};

use super::attach::Attached;
use super::query::plain;
use super::{CliError, DataArgs};

/// Exit code of an audit that found something.
const FOUND: u8 = 3;
/// Findings that are printed; all of them are counted.
const SHOWN: usize = 20;

/// Flags of `stockpipe verify`.
#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// The StockPipeline [default: the one that ran last on this data directory].
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// How the audit is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

pub(crate) async fn run(args: VerifyArgs) -> Result<ExitCode, CliError> {
    let attached = Attached::open(args.file.as_deref(), &args.data).await?;
    let report = audit::verify(&attached.context).await;
    attached.close().await;
    let report = report?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Table => {
            println!("{}", table(&report));
            print!("{}", verdict(&report));
        }
    }
    Ok(if report.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FOUND)
    })
}

fn table(report: &AuditReport) -> Table {
    let mut table = Table::new();
    plain(&mut table);
    table.set_header([
        "partition",
        "offsets",
        "claims",
        "records",
        "rows",
        "heartbeats",
        "quarantined",
        "skipped",
        "files",
        "vs Kafka",
    ]);
    for p in &report.partitions {
        let counts = [
            p.claims,
            p.records,
            p.rows,
            p.heartbeats,
            p.quarantined,
            p.skipped_offsets,
            p.files,
            p.compared,
        ];
        let mut row = vec![format!(
            "{}-{}",
            &p.topic_id.simple().to_string()[..8],
            p.partition
        )];
        row.push(format!("{}–{}", p.base, p.end));
        row.extend(counts.map(|n| HumanCount(n).to_string()));
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What the numbers mean, in sentences.
fn verdict(report: &AuditReport) -> String {
    let mut lines = Vec::new();
    for p in &report.partitions {
        lines.extend(p.losses.iter().map(|loss| lost(p.partition, loss)));
    }
    let late = report.total(|p| p.late);
    if late > 0 {
        lines.push(format!(
            "{} rows came late, into periods that were closed",
            HumanCount(late)
        ));
    }
    let sequences = &report.sequences;
    if sequences.series > 0 {
        lines.push(format!(
            "{} series of ticks, {} missing, {} doubled",
            HumanCount(sequences.series),
            HumanCount(sequences.missing),
            HumanCount(sequences.doubled)
        ));
    }
    lines.extend(report.findings.list.iter().take(SHOWN).map(told));
    let shown = report.findings.list.len().min(SHOWN) as u64;
    if report.findings.count > shown {
        lines.push(format!(
            "and {} more findings; --output json lists them",
            report.findings.count - shown
        ));
    }
    let rows = HumanCount(report.total(|p| p.rows));
    let files = HumanCount(report.total(|p| p.files));
    let lost = report.partitions.iter().any(|p| !p.losses.is_empty());
    lines.push(if report.is_sound() && lost {
        format!(
            "Sound, with losses: {rows} rows in {files} files at {}, every record exactly once but those named above.",
            report.location
        )
    } else if report.is_sound() {
        format!(
            "Sound: {rows} rows in {files} files at {}, every record exactly once.",
            report.location
        )
    } else {
        format!(
            "NOT SOUND: {} findings at {}.",
            report.findings.count, report.location
        )
    });
    lines.join("\n") + "\n"
}

fn lost(partition: i32, loss: &Loss) -> String {
    let why = match loss.rows {
        Some(rows) => format!(
            "{} rows: the store had dropped their uploads before they were published, and Kafka no longer had them",
            HumanCount(rows)
        ),
        None => "Kafka had dropped them before they were landed".to_owned(),
    };
    format!(
        "lost: partition {partition} offsets {}–{}: {why}, as the ledger says",
        loss.start, loss.end
    )
}

fn told(finding: &Finding) -> String {
    let place = match (finding.partition, finding.offsets) {
        (Some(partition), Some((start, end))) => {
            format!("partition {partition} offsets {start}–{end}: ")
        }
        (Some(partition), None) => format!("partition {partition}: "),
        (None, _) => String::new(),
    };
    format!("finding: {place}{}", finding.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_names_its_offsets_and_who_dropped_them() {
        let loss = |rows| Loss {
            start: 10,
            end: 19,
            rows,
        };
        assert_eq!(
            lost(2, &loss(None)),
            "lost: partition 2 offsets 10–19: Kafka had dropped them before they were landed, as the ledger says"
        );
        let uploads = lost(2, &loss(Some(1_000)));
        assert!(
            uploads.contains("1,000 rows: the store had dropped"),
            "{uploads}"
        );
    }

    #[test]
    fn a_finding_names_its_offsets() {
        let finding = Finding {
            partition: Some(2),
            offsets: Some((10, 19)),
            message: "no claim".to_owned(),
        };
        assert_eq!(
            told(&finding),
            "finding: partition 2 offsets 10–19: no claim"
        );
    }
}
