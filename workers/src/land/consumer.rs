//! librdkafka as the lander uses it: configuration, rebalances as events, the ends of the log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use stockpipe_crds::pipeline::{GroupProtocol, Kafka};

use super::buffer::Carry;
use crate::kafka::reader::Retained;
use crate::kafka::{Connection, client_config};
use crate::ledger::LastRecord;

/// Share of the memory budget that librdkafka's queue may have: one in this many.
const QUEUE_SHARE: u64 = 8;
/// Bounds of that queue, bytes.
const QUEUE_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(16 << 20);

/// What a partition's lander tells the polling thread.
pub enum Command {
    /// Read on from here; what was gathered before is outdated.
    Start {
        /// Partition.
        partition: i32,
        /// Of this assignment.
        assignment: u64,
        /// What the ranges sent from now on carry.
        generation: u64,
        /// Where.
        start: Start,
    },
    /// Read no more of this partition.
    Stop {
        /// Partition.
        partition: i32,
        /// Of this assignment.
        assignment: u64,
    },
    /// These are the offsets that Kafka has.
    Retained {
        /// Partition.
        partition: i32,
        /// Of this assignment.
        assignment: u64,
        /// The offsets.
        retained: Retained,
    },
    /// Leave the group and join it again.
    Rejoin,
}

/// Where reading starts.
pub struct Start {
    /// First offset that is not landed.
    pub next: i64,
    /// The last record landed, to be recognised first.
    pub check: Option<LastRecord>,
    /// What the first range takes over.
    pub carry: Carry,
}

/// Partitions that the group gives or takes.
#[derive(Debug)]
pub enum Rebalance {
    /// Given.
    Assign(TopicPartitionList),
    /// Taken.
    Revoke(TopicPartitionList),
}

/// Collects what librdkafka tells while it is polled.
#[derive(Default)]
pub struct LandContext {
    connection: Connection,
    rebalances: Mutex<VecDeque<Rebalance>>,
    ends: Mutex<BTreeMap<i32, i64>>,
    closing: AtomicBool,
}

impl LandContext {
    /// The oldest rebalance that is not yet carried out.
    #[must_use]
    pub fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    /// One after the last offset of `partition` that may be read, as of the last second.
    #[must_use]
    pub fn end(&self, partition: i32) -> Option<i64> {
        lock(&self.ends).get(&partition).copied()
    }

    /// From now on revocations are carried out at once: nobody takes them from the queue any more.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for LandContext {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.connection.log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        {
            let mut ends = lock(&self.ends);
            for topic in statistics.topics.values() {
                for partition in topic.partitions.values() {
                    // The last stable offset is what read_committed may read.
                    let end = if partition.ls_offset >= 0 {
                        partition.ls_offset
                    } else {
                        partition.hi_offset
                    };
                    if end >= 0 {
                        ends.insert(partition.partition, end);
                    }
                }
            }
        }
        self.connection.stats(statistics);
    }
}

impl ConsumerContext for LandContext {
    /// Only notes the rebalance: the polling thread carries it out, so that ranges can be landed first
    /// while other partitions go on.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assign = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            let done = if assign {
                consumer.incremental_assign(partitions)
            } else {
                consumer.incremental_unassign(partitions)
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a rebalance while leaving the group");
            }
            return;
        }
        let partitions = partitions.clone();
        lock(&self.rebalances).push_back(if assign {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke(partitions)
        });
    }
}

/// Bytes that librdkafka may hold of a lander's `budget`.
#[must_use]
pub fn queue_bytes(budget: u64) -> u64 {
    (budget / QUEUE_SHARE).clamp(*QUEUE_BYTES.start(), *QUEUE_BYTES.end())
}

/// Configuration of a lander's consumer.
#[must_use]
pub fn config(kafka: &Kafka, group_id: &str, client_id: &str, budget: u64) -> ClientConfig {
    let queue = queue_bytes(budget);
    let mut config = client_config(kafka, client_id);
    config
        .set("group.id", group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", (queue / 1024).to_string())
        .set("fetch.max.bytes", queue.to_string())
        // The default of a second would starve a lander with a short queue.
        .set("fetch.queue.backoff.ms", "10")
        // A fetch that waits for records holds up the next one, which may be for a partition just sought.
        .set("fetch.wait.max.ms", "100")
        .set("topic.metadata.refresh.interval.ms", "30000");
    match kafka.group_protocol {
        GroupProtocol::Classic => config
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "3000"),
        GroupProtocol::Consumer => config.set("group.protocol", "consumer"),
    };
    config
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_a_small_part_of_the_budget() {
        assert_eq!(queue_bytes(256 << 20), 16 << 20);
        assert_eq!(queue_bytes(64 << 20), 8 << 20);
        assert_eq!(queue_bytes(0), 1 << 20);
    }
}
