//! Reading a known range of one partition, outside any consumer group.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use stockpipe_crds::pipeline::Kafka;

use super::{Connection, client_config};

/// A partition that gives nothing for this long is not answering.
const PATIENCE: Duration = Duration::from_secs(30);
const CALL: Duration = Duration::from_secs(5);

/// Why a range could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// librdkafka's error.
    #[error("cannot read partition {partition} of topic `{topic}`: {source}")]
    Kafka {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Why.
        source: KafkaError,
    },
    /// Nothing came.
    #[error("partition {partition} of topic `{topic}` gave nothing for {} s at offset {at}", PATIENCE.as_secs())]
    Silent {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset waited for.
        at: i64,
    },
}

/// The offsets that Kafka retains of a partition: `low..high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retained {
    /// First offset still there.
    pub low: i64,
    /// One after the last.
    pub high: i64,
}

/// Reads ranges of one topic. Every call blocks: use it on a blocking thread.
pub struct RangeReader {
    consumer: BaseConsumer<Connection>,
    topic: String,
}

impl RangeReader {
    /// A reader of the pipeline's topic; connects when first asked.
    ///
    /// # Errors
    /// Where librdkafka refuses its configuration.
    pub fn open(kafka: &Kafka, group_id: &str) -> Result<Self, KafkaError> {
        let consumer = client_config(kafka, "stockpipe-reader")
            // Names the client; it neither joins the group nor commits.
            .set("group.id", format!("{group_id}/reader"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("queued.max.messages.kbytes", "8192")
            .set("fetch.max.bytes", "8388608")
            .set("fetch.queue.backoff.ms", "20")
            .create_with_context(Connection::default())?;
        Ok(Self {
            consumer,
            topic: kafka.topic.name.clone(),
        })
    }

    /// What Kafka still has of `partition`.
    ///
    /// # Errors
    /// Where Kafka refuses or is not reached.
    pub fn retained(&self, partition: i32) -> Result<Retained, ReadError> {
        let (low, high) = self
            .consumer
            .fetch_watermarks(&self.topic, partition, CALL)
            .map_err(|e| self.error(partition, e))?;
        Ok(Retained { low, high })
    }

    /// Calls `each` with every record of `start..=end`, in order. Both ends must be retained.
    ///
    /// # Errors
    /// Where Kafka refuses, is not reached, or stays silent.
    pub fn read(
        &self,
        partition: i32,
        start: i64,
        end: i64,
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), ReadError> {
        let failed = |e| self.error(partition, e);
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(&self.topic, partition, Offset::Offset(start))
            .map_err(failed)?;
        self.consumer.assign(&assignment).map_err(failed)?;
        let mut heard = Instant::now();
        let mut next = start;
        while next <= end {
            match self.consumer.poll(Duration::from_millis(200)) {
                None if heard.elapsed() > PATIENCE => {
                    return Err(ReadError::Silent {
                        topic: self.topic.clone(),
                        partition,
                        at: next,
                    });
                }
                None => {}
                // What is left of the range are offsets without records.
                Some(Err(KafkaError::PartitionEOF(p))) if p == partition => break,
                Some(Err(e @ KafkaError::MessageConsumptionFatal(_))) => return Err(failed(e)),
                Some(Err(e)) if is_passing(&e) => {}
                Some(Err(e)) => return Err(failed(e)),
                Some(Ok(message)) if message.partition() != partition => {}
                Some(Ok(message)) => {
                    heard = Instant::now();
                    if message.offset() > end {
                        break;
                    }
                    next = message.offset() + 1;
                    each(&message);
                }
            }
        }
        self.consumer.unassign().map_err(failed)
    }

    fn error(&self, partition: i32, source: KafkaError) -> ReadError {
        ReadError::Kafka {
            topic: self.topic.clone(),
            partition,
            source,
        }
    }
}

/// Whether librdkafka goes on by itself after `error`.
#[must_use]
pub fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::OperationTimedOut
                | Code::Resolve
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::BrokerNotAvailable
                | Code::RequestTimedOut
                | Code::NodeUpdate
        )
    ) || matches!(error, KafkaError::PartitionEOF(_))
}
