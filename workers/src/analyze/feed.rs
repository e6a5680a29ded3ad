//! The topic, read beside the landers: no group, no commits, from a little before the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use serde::Deserialize;
use stockpipe_crds::pipeline::Kafka;
use stockpipe_market::json;
use tokio_util::sync::CancellationToken;

use crate::kafka::{Connection, HEARTBEAT, KIND_HEADER, client_config};

use super::lake::LogRange;
use super::state::Market;

/// The page begins with the ticks of this long ago.
const LOOK_BACK: Duration = Duration::from_secs(3600);
/// At least so many records of each partition are read, so that a market that is closed shows its last prices.
const AT_LEAST: i64 = 5_000;
/// At most so many records are read over all partitions before the page is up to date.
const AT_MOST: i64 = 2_000_000;
/// One call to Kafka.
const CALL: Duration = Duration::from_secs(3);

/// A reader of the whole topic. Its methods block: call them on blocking threads.
pub struct Feed {
    consumer: BaseConsumer<Connection>,
    topic: String,
    market: Arc<Mutex<Market>>,
    assigned: Mutex<BTreeMap<i32, i64>>,
    /// Whether the last call to Kafka was answered.
    answers: AtomicBool,
}

/// The part of a heartbeat that the page reads.
#[derive(Deserialize)]
struct Heartbeat {
    until: i64,
}

impl Feed {
    /// A reader of the pipeline's topic into `market`; connects in the background.
    ///
    /// # Errors
    /// Where librdkafka refuses its configuration.
    pub fn open(
        kafka: &Kafka,
        group_id: &str,
        market: Arc<Mutex<Market>>,
    ) -> Result<Self, KafkaError> {
        let consumer = client_config(kafka, "stockpipe-analyze")
            // Names the client; it neither joins a group nor commits.
            .set("group.id", format!("{group_id}/analyze"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Where retention overtakes a view, it goes on with what is left.
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("queued.max.messages.kbytes", "8192")
            .set("fetch.max.bytes", "8388608")
            // A full queue is looked at again soon: the default is a second, which a backlog would feel.
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.wait.max.ms", "100")
            .create_with_context(Connection::default())?;
        Ok(Self {
            consumer,
            topic: kafka.topic.name.clone(),
            market,
            assigned: Mutex::default(),
            answers: AtomicBool::new(true),
        })
    }

    /// Whether Kafka answers.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.answers.load(Ordering::Relaxed) && !self.consumer.context().is_lost()
    }

    /// Feeds the market until `shutdown`.
    pub fn run(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => self.take(&message),
                // `Connection` says it, and librdkafka goes on by itself.
                Some(Err(error)) => tracing::debug!(%error, "the page's reader"),
                None => {}
            }
        }
    }

    fn take(&self, message: &BorrowedMessage<'_>) {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let written_ms = message.timestamp().to_millis().unwrap_or(now_ms);
        let payload = message.payload().unwrap_or_default();
        let mut market = lock(&self.market);
        if is_heartbeat(message) {
            match serde_json::from_slice::<Heartbeat>(payload) {
                Ok(heartbeat) => market.heartbeat(heartbeat.until),
                Err(_) => market.undecodable(),
            }
        } else {
            match json::view(payload) {
                Ok(tick) => market.tick(&tick, written_ms, now_ms),
                Err(_) => market.undecodable(),
            }
        }
    }

    /// Offsets of every partition of the topic; begins to read those that are new.
    ///
    /// # Errors
    /// Where Kafka refuses or is not reached, or the topic is not there yet.
    pub fn look(&self) -> Result<BTreeMap<i32, LogRange>, KafkaError> {
        let looked = self.offsets().and_then(|logs| {
            self.assign(&logs)?;
            Ok(logs)
        });
        self.answers.store(
            !matches!(&looked, Err(error) if is_outage(error)),
            Ordering::Relaxed,
        );
        looked
    }

    fn offsets(&self) -> Result<BTreeMap<i32, LogRange>, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), CALL)?;
        let mut logs = BTreeMap::new();
        for topic in metadata.topics() {
            if let Some(error) = topic.error() {
                return Err(KafkaError::MetadataFetch(error.into()));
            }
            for partition in topic.partitions() {
                let (low, end) =
                    self.consumer
                        .fetch_watermarks(&self.topic, partition.id(), CALL)?;
                logs.insert(partition.id(), LogRange { low, end });
            }
        }
        Ok(logs)
    }

    /// Assigns the partitions that are not assigned yet. The first ones begin with what is recent; one that is
    /// added later is read whole.
    fn assign(&self, logs: &BTreeMap<i32, LogRange>) -> Result<(), KafkaError> {
        let mut assigned = lock(&self.assigned);
        let new: BTreeMap<i32, LogRange> = logs
            .iter()
            .filter(|(partition, _)| !assigned.contains_key(partition))
            .map(|(partition, log)| (*partition, *log))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let starts = if assigned.is_empty() {
            self.recent(&new)?
        } else {
            new.iter()
                .map(|(partition, log)| (*partition, log.low))
                .collect()
        };
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &starts {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
        }
        self.consumer.incremental_assign(&list)?;
        assigned.extend(starts);
        Ok(())
    }

    fn recent(&self, logs: &BTreeMap<i32, LogRange>) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let since = jiff::Timestamp::now().as_millisecond() - LOOK_BACK.as_millis() as i64;
        let mut times = TopicPartitionList::new();
        for partition in logs.keys() {
            times.add_partition_offset(&self.topic, *partition, Offset::Offset(since))?;
        }
        let found = self.consumer.offsets_for_times(times, CALL)?;
        let share = AT_MOST / logs.len().max(1) as i64;
        Ok(logs
            .iter()
            .map(|(partition, log)| {
                let by_time = found
                    .find_partition(&self.topic, *partition)
                    .and_then(|element| element.offset().to_raw())
                    .filter(|offset| *offset >= 0);
                (*partition, start(*log, by_time, share))
            })
            .collect())
    }
}

/// Where to begin in a partition whose first recent record is `by_time` (none: all are older).
fn start(log: LogRange, by_time: Option<i64>, at_most: i64) -> i64 {
    let latest = log.end - AT_LEAST.min(at_most);
    let earliest = (log.end - at_most).max(log.low);
    by_time.unwrap_or(log.end).min(latest).max(earliest)
}

fn is_heartbeat(message: &BorrowedMessage<'_>) -> bool {
    message.headers().is_some_and(|headers| {
        headers
            .iter()
            .any(|header| header.key == KIND_HEADER && header.value == Some(HEARTBEAT))
    })
}

/// Whether Kafka was not reached, as against an answer that we do not like.
fn is_outage(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, OperationTimedOut, RequestTimedOut, Resolve,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            AllBrokersDown | BrokerTransportFailure | OperationTimedOut | RequestTimedOut | Resolve
        )
    )
}

/// The value behind `mutex`; what a panicked holder left is still a view of the market.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_begins_an_hour_ago_but_never_with_too_little_or_too_much() {
        let log = |low, end| LogRange { low, end };
        for (log, by_time, expected, why) in [
            (log(0, 100_000), Some(40_000), 40_000, "an hour ago"),
            (
                log(0, 100_000),
                None,
                95_000,
                "a market that is closed shows its last prices",
            ),
            (log(0, 100_000), Some(99_990), 95_000, "a quiet one too"),
            (
                log(0, 9_000_000),
                Some(10),
                8_000_000,
                "a lively one is bounded",
            ),
            (
                log(98_000, 100_000),
                None,
                98_000,
                "no further back than what is retained",
            ),
            (log(0, 0), None, 0, "an empty partition"),
        ] {
            assert_eq!(start(log, by_time, 1_000_000), expected, "{why}");
        }
    }
}
