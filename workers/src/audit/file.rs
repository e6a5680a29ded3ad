//! One file of a claim, read back.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use stockpipe_market::tick::SIMULATED;

use super::sequence::Sequences;
use crate::land::encode;
use crate::land::publish::is_file;
use crate::ledger::{Claim, FileRef, Period};
use crate::store::{Store, StoreError};

/// How often the tip's files are looked for.
const PUBLISH_GRACE: u32 = 10;
const PUBLISH_LOOK: Duration = Duration::from_millis(300);

/// Whether a claim may still be unpublished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Something follows it.
    Inner,
    /// It is the tip.
    Tip,
}

/// Waits a little for the files of the tip: a lander may be about to publish them.
pub async fn await_published(store: &Store, claim: &Claim) -> Result<(), StoreError> {
    for file in claim.objects() {
        for _ in 0..PUBLISH_GRACE {
            if store.head(&file.key).await?.is_some() {
                break;
            }
            tokio::time::sleep(PUBLISH_LOOK).await;
        }
        if store.head(&file.key).await?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// The bytes of `file` if they are the claim's; else a sentence.
pub async fn fetch(
    store: &Store,
    claim: &Claim,
    file: &FileRef,
    place: Place,
) -> Result<Result<Bytes, String>, StoreError> {
    let head = match (store.head(&file.key).await?, place) {
        (Some(head), _) => head,
        (None, Place::Inner) => return Ok(Err(format!("{} is missing", file.key))),
        (None, Place::Tip) => {
            return Ok(Err(format!(
                "{} is claimed and not visible; the next lander publishes it",
                file.key
            )));
        }
    };
    if !is_file(&head, claim.claim_id, file) {
        return Ok(Err(format!(
            "{} is another object: {} bytes, checksum {}, claim {}; the ledger says {} bytes, {}, {}",
            file.key,
            head.size,
            head.crc64nvme.as_deref().unwrap_or("unknown"),
            head.metadata.get("claim").map_or("none", String::as_str),
            file.bytes,
            file.crc64nvme,
            claim.claim_id,
        )));
    }
    let Some(bytes) = store.get(&file.key).await? else {
        return Ok(Err(format!("{} vanished while it was read", file.key)));
    };
    let body = bytes.clone();
    let found = tokio::task::spawn_blocking(move || hex::encode(Sha256::digest(&body))).await;
    match found {
        Ok(sha256) if sha256 == file.sha256 => Ok(Ok(bytes)),
        _ => Ok(Err(format!(
            "{} has other bytes than were written (SHA-256)",
            file.key
        ))),
    }
}

/// Reads the rows of a table's file. Sentences of what is wrong with them.
pub fn rows(bytes: Bytes, claim: &Claim, file: &FileRef, sequences: &mut Sequences) -> Vec<String> {
    let mut wrong = Vec::new();
    let batches = match encode::read(&claim.layout, bytes) {
        Ok(batches) => batches,
        Err(e) => return vec![format!("{} cannot be read: {e}", file.key)],
    };
    let period = Period::of_key(claim.layout.partition_by, &file.key);
    let (mut rows, mut min_ts, mut max_ts, mut doubled, mut misplaced) =
        (0_u64, None, None, 0_u64, 0_u64);
    let mut example = None;
    for batch in batches {
        let batch = match batch {
            Ok(batch) => batch,
            Err(e) => {
                wrong.push(format!("{} cannot be read: {e}", file.key));
                break;
            }
        };
        let text = |name| batch.column_by_name(name).map(|c| c.as_string::<i32>());
        let number = |name| {
            batch
                .column_by_name(name)
                .map(|c| c.as_primitive::<Int64Type>())
        };
        let (Some(symbols), Some(sources), Some(runs)) =
            (text("symbol"), text("source"), text("run"))
        else {
            return vec![format!("{} lacks a column", file.key)];
        };
        let (Some(seqs), Some(times)) = (number("seq"), number("ts_event_ns")) else {
            return vec![format!("{} lacks a column", file.key)];
        };
        rows += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            let ts = times.value(row);
            min_ts = Some(min_ts.map_or(ts, |m: i64| m.min(ts)));
            max_ts = Some(max_ts.map_or(ts, |m: i64| m.max(ts)));
            misplaced += u64::from(period.is_some_and(|p| !p.contains(ts)));
            if sources.value(row) == SIMULATED {
                let seq = u64::try_from(seqs.value(row)).unwrap_or(u64::MAX);
                if !sequences.see(runs.value(row), symbols.value(row), seq) {
                    doubled += 1;
                    example.get_or_insert_with(|| {
                        format!("run {}, {}, seq {seq}", runs.value(row), symbols.value(row))
                    });
                }
            }
        }
    }
    if rows != file.rows {
        wrong.push(format!(
            "{} has {rows} rows, the claim says {}",
            file.key, file.rows
        ));
    }
    if (min_ts, max_ts) != (file.min_ts, file.max_ts) {
        wrong.push(format!(
            "{} has other event times than the claim says",
            file.key
        ));
    }
    if misplaced > 0 {
        wrong.push(format!(
            "{misplaced} rows of {} belong to another period",
            file.key
        ));
    }
    if let Some(example) = example {
        wrong.push(format!(
            "{doubled} rows of {} are doubled, for instance {example}",
            file.key
        ));
    }
    wrong
}
