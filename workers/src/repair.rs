//! What a stopped lander needs from a person: the topic is not the one that this lake was landing.
//!
//! A topic that was deleted and made again is another topic: landing it beside
//! what is there is a decision, and [`follow`] records it. A log that was cut
//! or rewritten under the same topic cannot be told from the one that was
//! landed from some offset on; the way out is a new topic.

use jiff::Timestamp;
use rdkafka::message::Message;
use serde::Serialize;
use uuid::Uuid;

use crate::aws::Clients;
use crate::context::Context;
use crate::kafka::admin::{self, AdminError, TopicDescription};
use crate::kafka::reader::{RangeReader, Retained};
use crate::ledger::{Claim, LastRecord, Ledger, Owner};
use crate::secrets::SecretError;
use crate::store::{Store, StoreError};

/// Why there is no diagnosis.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The credentials are missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store refuses or is not reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Kafka refuses, is not reached, or has no such topic.
    #[error(transparent)]
    Topic(#[from] AdminError),
    /// The log cannot be read.
    #[error("the log was not compared with what is landed: {0}")]
    Log(String),
    /// Nothing was ever landed there, or by another.
    #[error(
        "there is no lake of pipeline `{identity}` at s3://{bucket}/{prefix}: there is nothing to repair"
    )]
    NoLake {
        /// Who asked.
        identity: String,
        /// Bucket.
        bucket: String,
        /// Prefix.
        prefix: String,
    },
}

/// How the topic and the lake stand to one another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Diagnosis {
    /// The topic is the one that is landed, and each log holds what was landed of it.
    Sound,
    /// The topic has another id than the ones that this lake landed.
    #[serde(rename_all = "camelCase")]
    MadeAgain {
        /// What was landed of each former topic.
        landed: Vec<Landed>,
        /// Id of the topic as it is now.
        topic_id: Uuid,
        /// Its partitions.
        partitions: i32,
        /// Offsets that it holds now, over all partitions.
        offsets: u64,
    },
    /// The topic is the same, and some of its logs are not what was landed.
    Diverged {
        /// One for each such partition.
        partitions: Vec<Divergence>,
    },
}

/// What was landed of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Landed {
    /// Id of the topic.
    pub topic_id: Uuid,
    /// Partitions with at least one claim.
    pub partitions: u32,
    /// Offsets that claims cover.
    pub offsets: u64,
    /// Market time up to which all of it is landed.
    pub watermark: Option<Timestamp>,
}

/// A partition whose log is not the one that was landed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Divergence {
    /// Partition.
    pub partition: i32,
    /// Last offset that is landed.
    pub landed_to: i64,
    /// First offset that Kafka retains.
    pub low: i64,
    /// One after the last offset that Kafka has.
    pub high: i64,
}

/// Compares the topic with what this lake landed. Changes nothing.
///
/// # Errors
/// Where Kafka or the store is not reached or refuses, or there is no lake.
pub async fn diagnose(ctx: &Context) -> Result<Diagnosis, RepairError> {
    let ledger = ledger(ctx).await?;
    let topic = describe(ctx).await?;
    if ledger.first_partitions(topic.id).await?.is_none() {
        let mut landed = Vec::new();
        for id in ledger.topics().await? {
            landed.push(landed_of(&ledger, id).await?);
        }
        if landed.is_empty() {
            // The first lander that comes takes the topic by itself.
            return Ok(Diagnosis::Sound);
        }
        return Ok(Diagnosis::MadeAgain {
            landed,
            topic_id: topic.id,
            partitions: topic.partitions,
            offsets: offsets(ctx, topic.partitions).await?,
        });
    }
    let mut tips = Vec::new();
    for partition in ledger.partitions(topic.id).await? {
        if let Some(tip) = ledger.exact_tip(topic.id, partition).await? {
            tips.push((partition, Claim::clone(&tip)));
        }
    }
    let partitions = on_log(ctx, move |reader| diverged(reader, &tips)).await?;
    Ok(if partitions.is_empty() {
        Diagnosis::Sound
    } else {
        Diagnosis::Diverged { partitions }
    })
}

/// Lets the topic that was made again be landed in this lake. Landers notice by themselves.
///
/// # Errors
/// As [`diagnose`]; and where the topic is yet another one than `topic_id` by now.
pub async fn follow(ctx: &Context, topic_id: Uuid) -> Result<(), RepairError> {
    let ledger = ledger(ctx).await?;
    let topic = describe(ctx).await?;
    if topic.id != topic_id {
        return Err(RepairError::Log(format!(
            "topic `{}` has just been made again once more: look at it again",
            ctx.pipeline.kafka.topic.name
        )));
    }
    Ok(ledger.accept_topic(topic.id, topic.partitions).await?)
}

async fn ledger(ctx: &Context) -> Result<Ledger, RepairError> {
    let lake = &ctx.pipeline.lake;
    let clients = Clients::connect(&ctx.pipeline.aws, &ctx.secrets).await?;
    let store = Store::new(clients.s3, &lake.bucket);
    match Owner::read(&store, &lake.prefix).await? {
        Some(owner) if owner.identity == ctx.identity() => Ok(Ledger::open(store, &owner.lake_id)),
        _ => Err(RepairError::NoLake {
            identity: ctx.identity(),
            bucket: lake.bucket.clone(),
            prefix: lake.prefix.clone(),
        }),
    }
}

async fn describe(ctx: &Context) -> Result<TopicDescription, AdminError> {
    let kafka = &ctx.pipeline.kafka;
    let bootstrap = kafka.bootstrap_servers.as_deref().unwrap_or_default();
    admin::describe_topic(bootstrap, &kafka.topic.name).await
}

async fn landed_of(ledger: &Ledger, topic_id: Uuid) -> Result<Landed, RepairError> {
    let mut landed = Landed {
        topic_id,
        partitions: 0,
        offsets: 0,
        watermark: None,
    };
    let partitions = ledger.partitions(topic_id).await?;
    for partition in &partitions {
        let chain = ledger.partition(topic_id, *partition);
        let Some(resolved) = chain.resolve(None).await? else {
            continue;
        };
        if let Some(tip) = resolved.tip {
            landed.partitions += 1;
            landed.offsets += u64::try_from(tip.end + 1 - resolved.genesis.base).unwrap_or(0);
        }
    }
    let count = partitions.last().map_or(0, |last| last + 1);
    landed.watermark = ledger
        .watermark(topic_id, count)
        .await?
        .and_then(|ns| Timestamp::from_nanosecond(i128::from(ns)).ok());
    Ok(landed)
}

async fn offsets(ctx: &Context, partitions: i32) -> Result<u64, RepairError> {
    on_log(ctx, move |reader| {
        let mut all = 0;
        for partition in 0..partitions {
            let Retained { low, high } = retained(reader, partition)?;
            all += u64::try_from(high - low).unwrap_or(0);
        }
        Ok(all)
    })
    .await
}

/// Runs `look` with a reader of the topic, on a thread that may block.
async fn on_log<T: Send + 'static>(
    ctx: &Context,
    look: impl FnOnce(&RangeReader) -> Result<T, RepairError> + Send + 'static,
) -> Result<T, RepairError> {
    let (kafka, group_id) = (ctx.pipeline.kafka.clone(), ctx.group_id());
    tokio::task::spawn_blocking(move || {
        let reader = RangeReader::open(&kafka, &group_id).map_err(log)?;
        look(&reader)
    })
    .await
    .map_err(log)?
}

fn diverged(reader: &RangeReader, tips: &[(i32, Claim)]) -> Result<Vec<Divergence>, RepairError> {
    let mut diverged = Vec::new();
    for (partition, tip) in tips {
        let retained = retained(reader, *partition)?;
        let found = match tip.last_record {
            Some(last) if (retained.low..retained.high).contains(&last.offset) => {
                let mut crc = None;
                reader
                    .read(*partition, last.offset, last.offset, |message| {
                        crc = Some(LastRecord::crc_of(message.key(), message.payload()));
                    })
                    .map_err(log)?;
                crc
            }
            _ => None,
        };
        if is_another_log(tip.end, tip.last_record, retained, found) {
            diverged.push(Divergence {
                partition: *partition,
                landed_to: tip.end,
                low: retained.low,
                high: retained.high,
            });
        }
    }
    Ok(diverged)
}

/// Whether a log is not the one that was landed up to offset `end`: it ends before, or holds another record
/// (`found`, by its CRC) where the `last` landed one was. What retention removed cannot tell.
fn is_another_log(
    end: i64,
    last: Option<LastRecord>,
    retained: Retained,
    found: Option<u32>,
) -> bool {
    retained.high <= end
        || last.is_some_and(|last| retained.low <= last.offset && found != Some(last.crc))
}

fn retained(reader: &RangeReader, partition: i32) -> Result<Retained, RepairError> {
    reader.retained(partition).map_err(log)
}

fn log(error: impl std::fmt::Display) -> RepairError {
    RepairError::Log(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_known_by_its_end_and_by_the_last_landed_record() {
        let last = Some(LastRecord { offset: 9, crc: 7 });
        let retained = |low, high| Retained { low, high };
        for (name, retained, found, another) in [
            ("as landed", retained(0, 10), Some(7), false),
            ("with more behind", retained(0, 20), Some(7), false),
            ("ends before", retained(0, 9), None, true),
            ("is empty", retained(0, 0), None, true),
            ("another record there", retained(0, 20), Some(8), true),
            ("no record there", retained(0, 20), None, true),
            ("retention removed it", retained(15, 20), None, false),
            ("retention removed all", retained(20, 20), None, false),
        ] {
            assert_eq!(is_another_log(9, last, retained, found), another, "{name}");
        }
        assert!(!is_another_log(9, None, retained(0, 10), None));
    }
}
