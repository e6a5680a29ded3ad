//! Producing with librdkafka.

use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::*;

/// A tick of 123 bytes, as the pipeline's are.
pub(super) fn payload(number: usize) -> String {
    format!("{number:0>123}")
}

/// Produces numbered messages to partition 0 of a topic and waits for their delivery.
pub(super) fn produce(producer: &BaseProducer, topic: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let payload = payload(number);
        let mut record = BaseRecord::<(), _>::to(topic)
            .partition(0)
            .timestamp(1_000_000 + number as i64)
            .payload(&payload);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(
                error,
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
            );
            producer.poll(Duration::from_millis(10));
            record = back;
        }
    }
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

/// Consumes partition 0 from `from` on; every message is the one with its offset's number.
pub(super) fn consume(broker: &Broker, topic: &str, from: usize, to: usize) {
    let consumer: BaseConsumer = client(broker)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, 0, Offset::Offset(from as i64))
        .unwrap();
    consumer.assign(&assignment).unwrap();
    for number in from..to {
        let message = next_message(&consumer).unwrap();
        assert_eq!(message.offset(), number as i64);
        assert_eq!(
            message.timestamp().to_millis(),
            Some(1_000_000 + number as i64)
        );
        assert_eq!(message.payload(), Some(payload(number).as_bytes()));
    }
}

pub(super) fn idempotent(broker: &Broker, codec: &str) -> BaseProducer {
    client(broker)
        .set("enable.idempotence", "true")
        .set("compression.type", codec)
        .set("linger.ms", "5")
        .create()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_carries_a_hundred_thousand_messages_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        create_topic(&broker, codec, 1, &[("segment.bytes", "1000000")]).await;
        produce(&idempotent(&broker, codec), codec, 0..100_000);
        consume(&broker, codec, 0, 100_000);
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_fsync_messages_are_delivered_too() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config {
        fsync: true,
        ..config(directory.path())
    })
    .await
    .unwrap();
    create_topic(&broker, "ticks", 1, &[]).await;
    produce(&idempotent(&broker, "lz4"), "ticks", 0..1_000);
    consume(&broker, "ticks", 0, 1_000);
    broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transactional_producer_fails_at_once_instead_of_hanging() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let producer: BaseProducer = client(&broker)
        .set("transactional.id", "shard-0")
        .create()
        .unwrap();
    let error = producer.init_transactions(PATIENCE).unwrap_err();
    assert_eq!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_goes_on_across_a_restart_of_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    create_topic(&broker, "ticks", 1, &[]).await;
    let producer = idempotent(&broker, "lz4");
    produce(&producer, "ticks", 0..5_000);
    let listen = broker.addr();
    broker.shutdown().await.unwrap();
    let broker = Broker::start(Config {
        listen,
        ..config(directory.path())
    })
    .await
    .unwrap();
    produce(&producer, "ticks", 5_000..10_000);
    consume(&broker, "ticks", 0, 10_000);
    broker.shutdown().await.unwrap();
}
