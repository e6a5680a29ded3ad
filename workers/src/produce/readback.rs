//! Reads each partition back from its end to its last checkpoint.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::Interruption;
use super::recovery::{Recovery, Seen};
use crate::context::Context;
use crate::kafka::{Connection, HEARTBEAT, KIND_HEADER, client_config};

/// Offsets read back at first; each further step is eight times as long.
const FIRST_STEP: i64 = 4096;
const CALL: Duration = Duration::from_secs(5);
/// An earlier producer is taken for gone after this silence: a live one sends
/// a heartbeat every second.
const QUIET: Duration = Duration::from_secs(2);
/// Silence so long that nobody needs to be waited for.
const LONG_AGO_MS: i64 = 15_000;

/// What the log's end told.
pub struct ReadBack {
    /// The conclusions.
    pub recovery: Recovery,
    /// Number of partitions the topic had.
    pub partitions: i32,
}

/// Reads back what `producer` left in its topic; waits while the topic does not exist yet, while Kafka
/// is away, and while an earlier producer may still be writing.
///
/// # Errors
/// [`Interruption::Stop`] at shutdown; [`Interruption::Failed`] where the log moved meanwhile.
pub fn read_back(ctx: &Context, producer: &str) -> Result<ReadBack, Interruption> {
    let reader = Reader::connect(ctx)?;
    let partitions = reader.partitions()?;
    let ends = reader.ends(partitions)?;
    let mut recovery = Recovery::new(
        producer,
        ends.iter().map(|(p, (low, high))| (*p, *low, *high)),
    );
    let mut step = FIRST_STEP;
    loop {
        let wanted = recovery.wanted();
        if wanted.is_empty() {
            break;
        }
        let ranges: Vec<_> = wanted
            .iter()
            .map(|(p, low, reached)| (*p, (*low).max(reached - step), *reached))
            .collect();
        reader.scan(&ranges, &mut recovery)?;
        for (partition, from, _) in ranges {
            recovery.reached(partition, from);
        }
        step = step.saturating_mul(8);
    }
    reader.wait_until_settled(ends, &mut recovery)?;
    Ok(ReadBack {
        recovery,
        partitions,
    })
}

struct Reader {
    consumer: BaseConsumer<Connection>,
    topic: String,
    stop: CancellationToken,
}

impl Reader {
    fn connect(ctx: &Context) -> Result<Self, Interruption> {
        let kafka = &ctx.pipeline.kafka;
        let consumer = client_config(kafka, &format!("stockpipe-produce/{}", ctx.pipeline.name))
            // librdkafka wants a group even of a reader that neither joins nor commits.
            .set("group.id", format!("{}/read-back", ctx.group_id()))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "50")
            .set("queued.max.messages.kbytes", "16384")
            .create_with_context(Connection::default())
            .map_err(|e| Interruption::Failed(format!("the Kafka settings are refused: {e}")))?;
        Ok(Self {
            consumer,
            topic: kafka.topic.name.clone(),
            stop: ctx.shutdown.clone(),
        })
    }

    fn go_on(&self) -> Result<(), Interruption> {
        if self.stop.is_cancelled() {
            return Err(Interruption::Stop);
        }
        Ok(())
    }

    /// Serves the client's events, so that it tells when Kafka is lost and back.
    fn serve(&self, time: Duration) {
        let _ = self.consumer.poll(time);
    }

    fn partitions(&self) -> Result<i32, Interruption> {
        let mut told = false;
        loop {
            self.go_on()?;
            match self.consumer.fetch_metadata(Some(&self.topic), CALL) {
                Ok(metadata) => {
                    let count = metadata
                        .topics()
                        .iter()
                        .find(|t| t.name() == self.topic && t.error().is_none())
                        .map_or(0, |t| t.partitions().len());
                    if let Some(count) = i32::try_from(count).ok().filter(|n| *n > 0) {
                        return Ok(count);
                    }
                    if !told {
                        told = true;
                        tracing::info!(topic = self.topic, "waiting for the topic to be made");
                    }
                }
                Err(error) => tracing::debug!(%error, "no metadata yet"),
            }
            self.serve(Duration::from_millis(200));
        }
    }

    fn ends(&self, partitions: i32) -> Result<BTreeMap<i32, (i64, i64)>, Interruption> {
        let mut ends = BTreeMap::new();
        for partition in 0..partitions {
            loop {
                self.go_on()?;
                match self.consumer.fetch_watermarks(&self.topic, partition, CALL) {
                    Ok(end) => {
                        ends.insert(partition, end);
                        break;
                    }
                    Err(error) => tracing::debug!(%error, partition, "no offsets yet"),
                }
                self.serve(Duration::from_millis(100));
            }
        }
        Ok(ends)
    }

    /// Shows `recovery` every record of the ranges `(partition, from, to)`, `to` excluded.
    fn scan(
        &self,
        ranges: &[(i32, i64, i64)],
        recovery: &mut Recovery,
    ) -> Result<(), Interruption> {
        let mut open: BTreeMap<i32, i64> = ranges
            .iter()
            .filter(|(_, from, to)| from < to)
            .map(|(p, _, to)| (*p, *to))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let failed = |e: KafkaError| Interruption::Failed(format!("reading the topic back: {e}"));
        let mut list = TopicPartitionList::new();
        for (partition, from, _) in ranges.iter().filter(|(p, ..)| open.contains_key(p)) {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*from))
                .map_err(failed)?;
        }
        self.consumer.assign(&list).map_err(failed)?;
        while !open.is_empty() {
            self.go_on()?;
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some(to) = open.get(&partition).copied() else {
                        continue;
                    };
                    if offset < to {
                        recovery.observe(Seen {
                            partition,
                            offset,
                            sent_ms: message.timestamp().to_millis().unwrap_or(0),
                            heartbeat: is_heartbeat(&message),
                            body: message.payload().unwrap_or_default(),
                        });
                    }
                    if offset + 1 >= to {
                        open.remove(&partition);
                    }
                }
                // The end of a partition is at or after the end that was asked for.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(
                        RDKafkaErrorCode::OffsetOutOfRange
                        | RDKafkaErrorCode::AutoOffsetReset
                        | RDKafkaErrorCode::UnknownTopicOrPartition
                        | RDKafkaErrorCode::UnknownPartition
                        | RDKafkaErrorCode::UnknownTopic
                        | RDKafkaErrorCode::Fatal,
                    ) => return Err(failed(error)),
                    _ => tracing::debug!(%error, "reading back"),
                },
            }
        }
        Ok(())
    }

    /// Reads on until no earlier producer can still be writing.
    fn wait_until_settled(
        &self,
        mut ends: BTreeMap<i32, (i64, i64)>,
        recovery: &mut Recovery,
    ) -> Result<(), Interruption> {
        let began = Instant::now();
        let mut quiet_since = Instant::now();
        let mut told = false;
        let count = i32::try_from(ends.len()).unwrap_or(i32::MAX);
        while !recovery.settled(now_ms() - LONG_AGO_MS) && quiet_since.elapsed() < QUIET {
            self.serve(Duration::from_millis(100));
            let new = self.ends(count)?;
            let grown: Vec<_> = new
                .iter()
                .map(|(p, (_, high))| (*p, ends.get(p).map_or(0, |e| e.1), *high))
                .filter(|(_, from, to)| from < to)
                .collect();
            if !grown.is_empty() {
                self.scan(&grown, recovery)?;
                ends = new;
                quiet_since = Instant::now();
            }
            if !told && began.elapsed() > 4 * QUIET {
                told = true;
                tracing::warn!(
                    topic = self.topic,
                    "another producer of this pipeline is at work; waiting until it has stopped"
                );
            }
        }
        Ok(())
    }
}

fn is_heartbeat(message: &impl Message) -> bool {
    message.headers().is_some_and(|headers| {
        headers
            .iter()
            .any(|h| h.key == KIND_HEADER && h.value == Some(HEARTBEAT))
    })
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
