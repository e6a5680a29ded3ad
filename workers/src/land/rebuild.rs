//! Writing the files of a claim again, from Kafka, when the store has dropped their uploads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::message::Message;

use super::buffer::{Buffer, Carry, Pushed, Range, Scope};
use super::partition::PartitionLander;
use super::stage::Stager;
use crate::kafka::reader::{RangeReader, ReadError};
use crate::ledger::{Claim, FileRef};

const PAUSE: Duration = Duration::from_secs(1);

/// What came of it.
pub enum Rebuilt {
    /// The files, staged again under the same keys.
    Files(Vec<FileRef>),
    /// Kafka no longer has every record of the range.
    NotRetained,
    /// Kafka has other records: a sentence.
    Differs(String),
}

/// Stages the `gone` files of `claim` again. The rows must be the claim's, the bytes need not.
/// Waits as long as Kafka or the store is away.
pub async fn rebuild(lander: &PartitionLander, claim: &Claim, gone: &[FileRef]) -> Rebuilt {
    let range = loop {
        match read(lander, claim).await {
            Ok(Some(range)) => break range,
            Ok(None) => return Rebuilt::NotRetained,
            Err(error) => tracing::warn!(%error, "cannot read a range again yet"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    let found = (range.rows, range.quarantined, range.heartbeats);
    if found != (claim.rows, claim.quarantined, claim.heartbeats) {
        return Rebuilt::Differs(format!(
            "offsets {} to {} held {} rows, {} undecodable records and {} heartbeats and now hold {}, {} and {}",
            claim.start,
            claim.end,
            claim.rows,
            claim.quarantined,
            claim.heartbeats,
            found.0,
            found.1,
            found.2,
        ));
    }
    let stager = Stager {
        layout: Arc::new(claim.layout.clone()),
        ..lander.stager.clone()
    };
    let staged = match stager.stage(range).await {
        Ok(staged) => staged.claim,
        Err(e) => return Rebuilt::Differs(e.to_string()),
    };
    let (wanted, rest): (Vec<_>, Vec<_>) = staged.objects().cloned().partition(|file| {
        gone.iter()
            .any(|g| g.key == file.key && g.rows == file.rows)
    });
    stager.abort(rest.iter()).await;
    if wanted.len() == gone.len() {
        Rebuilt::Files(wanted)
    } else {
        stager.abort(wanted.iter()).await;
        Rebuilt::Differs("its rows now fall into other files".to_owned())
    }
}

/// The range of `claim`, read again; `None` where Kafka no longer has all of it.
async fn read(lander: &PartitionLander, claim: &Claim) -> Result<Option<Range>, ReadError> {
    let (partition, start, end) = (lander.partition, claim.start, claim.end);
    let scope = Scope {
        topic: lander.topic.clone(),
        partition,
        layout: Arc::new(claim.layout.clone()),
        allowed_lateness: lander.scope.allowed_lateness,
        max_files: usize::MAX,
        seal_bytes: lander.scope.seal_bytes,
        encoders: lander.scope.encoders.clone(),
    };
    let (kafka, group_id, claim_id) = (
        lander.kafka.clone(),
        lander.group_id.clone(),
        claim.claim_id,
    );
    let topic = lander.topic.clone();
    let task = tokio::task::spawn_blocking(move || {
        let reader = RangeReader::open(&kafka, &group_id).map_err(|source| ReadError::Kafka {
            topic,
            partition,
            source,
        })?;
        if reader.retained(partition)?.low > start {
            return Ok(None);
        }
        let mut buffer = Buffer::new(Arc::new(scope), start, Carry::default());
        let now = Instant::now();
        reader.read(partition, start, end, |message| {
            if message.offset() >= start {
                let pushed = buffer.push(message, now);
                debug_assert_eq!(
                    pushed,
                    Pushed::Taken,
                    "the number of files is not limited here"
                );
            }
        })?;
        // Retention may have moved on meanwhile.
        if reader.retained(partition)?.low > start {
            return Ok(None);
        }
        Ok(buffer.close().map(|range| Range {
            claim_id,
            start,
            end,
            ..range
        }))
    });
    // A reader that ended early has proved nothing: it is tried again.
    task.await.unwrap_or(Err(ReadError::Silent {
        topic: lander.topic.clone(),
        partition,
        at: start,
    }))
}
