//! `stockpipe repair`: goes on landing after the topic was deleted and made again.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanCount;
use stockpipe_workers::ledger::topic_id8;
use stockpipe_workers::repair::{self, Diagnosis, Divergence, Landed};

use super::attach::Attached;
use super::{CliError, DataArgs, confirmed};

/// Flags of `stockpipe repair`.
#[derive(Args)]
pub(crate) struct RepairArgs {
    /// The StockPipeline [default: the one that ran last on this data directory].
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(args: RepairArgs) -> Result<ExitCode, CliError> {
    let attached = Attached::open(args.file.as_deref(), &args.data).await?;
    let result = repair(&attached, args.yes).await;
    attached.close().await;
    result
}

async fn repair(attached: &Attached, yes: bool) -> Result<ExitCode, CliError> {
    let context = &attached.context;
    let topic = &context.pipeline.kafka.topic.name;
    let (landed, topic_id, partitions, offsets) = match repair::diagnose(context).await? {
        Diagnosis::Sound => {
            println!("Nothing to repair: topic `{topic}` is the one that is landed.");
            return Ok(ExitCode::SUCCESS);
        }
        Diagnosis::Diverged { partitions } => {
            partitions.iter().for_each(|p| println!("{}", diverged(p)));
            return Err(rewritten(topic, &partitions).into());
        }
        Diagnosis::MadeAgain {
            landed,
            topic_id,
            partitions,
            offsets,
        } => (landed, topic_id, partitions, offsets),
    };
    println!("Topic `{topic}` was deleted and made again.");
    landed.iter().for_each(|l| println!("{}", was(l)));
    println!(
        "  now     {}: {} records in {partitions} partitions",
        topic_id8(topic_id),
        HumanCount(offsets)
    );
    println!(
        "What was landed stays. The new topic would be landed beside it, from its first record; \
         the rows of both are then in one table."
    );
    if !yes && !confirmed("repair", "Land the new topic into this lake?")? {
        println!("Nothing was changed.");
        return Ok(ExitCode::FAILURE);
    }
    repair::follow(context, topic_id).await?;
    println!(
        "Done: landers that run take the new topic up within seconds, others when they start."
    );
    Ok(ExitCode::SUCCESS)
}

fn was(landed: &Landed) -> String {
    format!(
        "  landed  {}: {} records of {} partitions{}",
        topic_id8(landed.topic_id),
        HumanCount(landed.offsets),
        landed.partitions,
        landed.watermark.map_or_else(String::new, |w| format!(
            ", all of it up to {}",
            w.strftime("%F %TZ")
        )),
    )
}

fn diverged(p: &Divergence) -> String {
    let has = if p.low == p.high {
        "the log is empty".to_owned()
    } else {
        format!("the log has the offsets {} to {}", p.low, p.high - 1)
    };
    format!(
        "  partition {}: landed up to offset {}; {has}",
        p.partition, p.landed_to
    )
}

fn rewritten(topic: &str, partitions: &[Divergence]) -> String {
    let (count, is) = match partitions.len() {
        1 => ("1 partition".to_owned(), "is"),
        n => (format!("{n} partitions"), "are"),
    };
    format!(
        "{count} of topic `{topic}` {is} not the log that was landed: it was cut or rewritten. What was landed stays; \
         what the log holds now cannot be told from it: copy what you need of it, delete the topic, \
         let `provision` make it again, and run `stockpipe repair` once more"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_log_is_told_with_its_offsets_and_the_way_out() {
        let cut = Divergence {
            partition: 0,
            landed_to: 4_999,
            low: 0,
            high: 4_200,
        };
        assert_eq!(
            diverged(&cut),
            "  partition 0: landed up to offset 4999; the log has the offsets 0 to 4199"
        );
        let sentence = rewritten("us.ticks", &[cut]);
        assert!(
            sentence.starts_with("1 partition of topic `us.ticks` is not"),
            "{sentence}"
        );
        assert!(sentence.contains("delete the topic"), "{sentence}");
    }
}
