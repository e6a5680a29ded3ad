//! The claims against what Kafka still has.

use rdkafka::message::{Headers, Message};

use super::AuditError;
use super::report::{Findings, PartitionAudit};
use crate::context::Context;
use crate::kafka::reader::RangeReader;
use crate::kafka::{HEARTBEAT, KIND_HEADER};
use crate::ledger::{Claim, ClaimKind, LastRecord};

/// What the log should hold for one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    start: i64,
    end: i64,
    records: u64,
    heartbeats: u64,
    last: Option<LastRecord>,
    lost: bool,
}

impl From<&Claim> for Expected {
    fn from(claim: &Claim) -> Self {
        Self {
            start: claim.start,
            end: claim.end,
            records: claim.records,
            heartbeats: claim.heartbeats,
            last: claim.last_record,
            lost: claim.kind == ClaimKind::Lost,
        }
    }
}

/// What the log was found to hold for one claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    records: u64,
    /// Records that say they are heartbeats; undecodable ones are quarantined.
    heartbeats: u64,
    last_crc: Option<u32>,
}

/// Compares the claims of one partition with the offsets that Kafka still has.
pub async fn compare(
    ctx: &Context,
    row: &mut PartitionAudit,
    expected: Vec<Expected>,
    findings: &mut Findings,
) -> Result<(), AuditError> {
    let partition = row.partition;
    let (kafka, group_id) = (ctx.pipeline.kafka.clone(), ctx.group_id());
    let task = tokio::task::spawn_blocking(move || {
        let reader = RangeReader::open(&kafka, &group_id).map_err(|e| e.to_string())?;
        read(&reader, partition, &expected)
    });
    match task.await.map_err(|e| AuditError::Broken(e.to_string()))? {
        Ok((compared, wrong)) => {
            row.compared = compared;
            for (offsets, message) in wrong {
                findings.add(Some(partition), Some(offsets), message);
            }
        }
        Err(why) => findings.add(
            Some(partition),
            None,
            format!("the partition was not compared with Kafka: {why}"),
        ),
    }
    Ok(())
}

type Wrong = Vec<((i64, i64), String)>;

fn read(
    reader: &RangeReader,
    partition: i32,
    expected: &[Expected],
) -> Result<(u64, Wrong), String> {
    let mut wrong = Wrong::new();
    let retained = reader.retained(partition).map_err(|e| e.to_string())?;
    let Some(tip) = expected.last() else {
        return Ok((0, wrong));
    };
    if retained.high <= tip.end {
        let offsets = (retained.high, tip.end);
        let message = "these offsets are landed and the log ends before them: it is not the log that was landed";
        wrong.push((offsets, message.to_owned()));
        return Ok((0, wrong));
    }
    let whole: Vec<Expected> = expected
        .iter()
        .filter(|e| e.start >= retained.low && !e.lost)
        .copied()
        .collect();
    let (Some(first), Some(last)) = (whole.first(), whole.last()) else {
        return Ok((0, wrong));
    };
    let mut tallies = vec![Tally::default(); whole.len()];
    let mut at = 0;
    let mut unclaimed: u64 = 0;
    reader
        .read(partition, first.start, last.end, |message| {
            let offset = message.offset();
            while at < whole.len() && whole[at].end < offset {
                at += 1;
            }
            match whole.get(at).filter(|e| e.start <= offset) {
                Some(_) => tallies[at].take(message),
                // Between claims that are whole lie lost ones; Kafka has their offset after all.
                None => unclaimed += 1,
            }
        })
        .map_err(|e| e.to_string())?;
    // Retention may have moved on while the log was read.
    let low = reader.retained(partition).map_err(|e| e.to_string())?.low;
    let mut compared = 0;
    for (expected, tally) in whole.iter().zip(&tallies).filter(|(e, _)| e.start >= low) {
        compared += u64::try_from(expected.end - expected.start + 1).unwrap_or(0);
        let offsets = (expected.start, expected.end);
        wrong.extend(
            differences(*expected, *tally)
                .into_iter()
                .map(|what| (offsets, what)),
        );
    }
    if unclaimed > 0 {
        let offsets = (first.start, last.end);
        wrong.push((
            offsets,
            format!("Kafka has {unclaimed} records at offsets that are claimed as lost"),
        ));
    }
    Ok((compared, wrong))
}

impl Tally {
    fn take<M: Message>(&mut self, message: &M) {
        self.records += 1;
        let is_heartbeat = message.headers().is_some_and(|headers| {
            let kind = headers.iter().find(|h| h.key == KIND_HEADER);
            kind.is_some_and(|h| h.value == Some(HEARTBEAT))
        });
        self.heartbeats += u64::from(is_heartbeat);
        self.last_crc = Some(LastRecord::crc_of(message.key(), message.payload()));
    }
}

fn differences(expected: Expected, tally: Tally) -> Vec<String> {
    let mut wrong = Vec::new();
    if tally.records != expected.records {
        wrong.push(format!(
            "Kafka has {} records, the claim says {}",
            tally.records, expected.records
        ));
    }
    if tally.heartbeats < expected.heartbeats {
        wrong.push(format!(
            "Kafka has {} heartbeats, the claim says {}",
            tally.heartbeats, expected.heartbeats
        ));
    }
    if tally.last_crc != expected.last.map(|l| l.crc) {
        wrong.push("the last record is not the one that was landed".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_differs_from_the_log_in_records_heartbeats_or_the_last_record() {
        let expected = Expected {
            start: 0,
            end: 9,
            records: 10,
            heartbeats: 1,
            last: Some(LastRecord { offset: 9, crc: 7 }),
            lost: false,
        };
        let same = Tally {
            records: 10,
            heartbeats: 1,
            last_crc: Some(7),
        };
        assert_eq!(differences(expected, same), Vec::<String>::new());
        for (change, what) in [
            (Tally { records: 9, ..same }, "records"),
            (
                Tally {
                    heartbeats: 0,
                    ..same
                },
                "heartbeats",
            ),
            (
                Tally {
                    last_crc: Some(8),
                    ..same
                },
                "last record",
            ),
            (
                Tally {
                    last_crc: None,
                    ..same
                },
                "last record",
            ),
        ] {
            let found = differences(expected, change);
            assert!(found.len() == 1 && found[0].contains(what), "{found:?}");
        }
    }
}
