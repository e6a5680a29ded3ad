//! The idempotent Kafka producer, with a bounded queue.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::statistics::Statistics;
use tokio_util::sync::CancellationToken;

use super::Interruption;
use crate::context::Context;
use crate::kafka::{Connection, HEARTBEAT, KIND_HEADER, client_config};

/// Bytes and messages that may wait for Kafka; then sending waits.
const QUEUE_KBYTES: &str = "32768";
const QUEUE_MESSAGES: &str = "100000";
/// Delivery errors are served every so many records.
const POLL_EVERY: u32 = 1024;
/// How long a stopping producer waits for Kafka.
const DRAIN: Duration = Duration::from_secs(8);

/// Tells the connection's story, and keeps the first reason why a record was not written.
#[derive(Default)]
struct Deliveries {
    connection: Connection,
    failure: OnceLock<String>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.connection.log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            let _ = self.failure.set(reason.to_owned());
        }
        self.connection.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.connection.stats(statistics);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let _ = self.failure.set(error.to_string());
        }
    }
}

/// Sends records in order, each partition's exactly once; waits where the queue is full.
pub struct Sender {
    producer: BaseProducer<Deliveries>,
    topic: String,
    stop: CancellationToken,
    until_poll: u32,
    stopped: OnceLock<Instant>,
}

impl Sender {
    /// A producer for the pipeline's topic; connects in the background.
    ///
    /// # Errors
    /// Where librdkafka refuses its settings.
    pub fn connect(ctx: &Context) -> Result<Self, Interruption> {
        let kafka = &ctx.pipeline.kafka;
        let producer = client_config(kafka, &format!("stockpipe-produce/{}", ctx.pipeline.name))
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            // The topic is made by `provision`, with its partitions and its configuration.
            .set("allow.auto.create.topics", "false")
            // A record is never given up: Kafka may be away for as long as it likes.
            .set("message.timeout.ms", "0")
            .set("compression.type", "lz4")
            .set("linger.ms", "10")
            .set("batch.num.messages", "10000")
            .set("batch.size", "900000")
            .set("queue.buffering.max.messages", QUEUE_MESSAGES)
            .set("queue.buffering.max.kbytes", QUEUE_KBYTES)
            .set("delivery.report.only.error", "true")
            .create_with_context(Deliveries::default())
            .map_err(|e| Interruption::Failed(format!("the Kafka settings are refused: {e}")))?;
        Ok(Self {
            producer,
            topic: kafka.topic.name.clone(),
            stop: ctx.shutdown.clone(),
            until_poll: POLL_EVERY,
            stopped: OnceLock::new(),
        })
    }

    /// Whether no broker answers at present.
    pub fn is_lost(&self) -> bool {
        self.producer.context().connection.is_lost()
    }

    /// Records that are not acknowledged yet.
    pub fn waiting(&self) -> u64 {
        u64::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Queues a tick for `partition`; waits while the queue is full.
    ///
    /// # Errors
    /// Some seconds after shutdown, and where an earlier record could not be written.
    pub fn tick(&mut self, partition: i32, key: &str, body: &[u8]) -> Result<(), Interruption> {
        let record = BaseRecord::to(&self.topic)
            .partition(partition)
            .key(key)
            .payload(body);
        self.queue(record)?;
        self.until_poll -= 1;
        if self.until_poll == 0 {
            self.until_poll = POLL_EVERY;
            self.serve(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Queues a heartbeat for `partition`.
    ///
    /// # Errors
    /// As [`tick`](Self::tick).
    pub fn heartbeat(&mut self, partition: i32, body: &[u8]) -> Result<(), Interruption> {
        let headers = OwnedHeaders::new_with_capacity(1).insert(Header {
            key: KIND_HEADER,
            value: Some(HEARTBEAT),
        });
        let record = BaseRecord::<(), [u8]>::to(&self.topic)
            .partition(partition)
            .headers(headers)
            .payload(body);
        self.queue(record)
    }

    fn queue<K: ToBytes + ?Sized>(
        &self,
        mut record: BaseRecord<'_, K, [u8]>,
    ) -> Result<(), Interruption> {
        let producer = &self.producer;
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) => {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(failed(producer).unwrap_or_else(|| {
                            Interruption::Failed(format!("a record could not be queued: {error}"))
                        }));
                    }
                    record = back;
                }
            }
            producer.poll(Duration::from_millis(2));
            if let Some(failure) = failed(producer) {
                return Err(failure);
            }
            self.go_on()?;
        }
    }

    /// After shutdown what was begun may still be sent for a moment, so that
    /// the producer ends at a checkpoint; not for ever, since Kafka may be away.
    fn go_on(&self) -> Result<(), Interruption> {
        if self.stop.is_cancelled() && self.stopped.get_or_init(Instant::now).elapsed() >= DRAIN {
            return Err(Interruption::Stop);
        }
        Ok(())
    }

    /// Serves librdkafka's events for `time`.
    ///
    /// # Errors
    /// Where a record could not be written.
    pub fn serve(&self, time: Duration) -> Result<(), Interruption> {
        self.producer.poll(time);
        failed(&self.producer).map_or(Ok(()), Err)
    }

    /// Waits until everything queued is acknowledged.
    ///
    /// # Errors
    /// Some seconds after shutdown, and where a record could not be written.
    pub fn flush(&self) -> Result<(), Interruption> {
        loop {
            let done = self.producer.flush(Duration::from_millis(100)).is_ok();
            if let Some(failure) = failed(&self.producer) {
                return Err(failure);
            }
            if done {
                return Ok(());
            }
            self.go_on()?;
        }
    }

    /// Number of partitions the topic has now; `None` where Kafka does not say within `time`.
    pub fn partitions(&self, time: Duration) -> Option<i32> {
        let metadata = self
            .producer
            .client()
            .fetch_metadata(Some(&self.topic), time)
            .ok()?;
        let topic = metadata.topics().iter().find(|t| t.name() == self.topic)?;
        if topic.error().is_some() {
            return None;
        }
        i32::try_from(topic.partitions().len())
            .ok()
            .filter(|n| *n > 0)
    }
}

fn failed(producer: &BaseProducer<Deliveries>) -> Option<Interruption> {
    producer
        .context()
        .failure
        .get()
        .map(|reason| Interruption::Failed(format!("Kafka refused a record: {reason}")))
}
