//! What is there after the broker stopped, cleanly or not.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{InitProducerIdRequest, MetadataRequest};
use kafka_protocol::records::Compression;

use super::raw::{NOW, Raw, topic_name};
use super::*;
use crate::broker::log::batch::tests::sent;

fn numbered(producer: i64, sequence: i32) -> Bytes {
    sent((producer, 0, sequence), 2, 1_000, Compression::Lz4)
}

fn plain(count: usize) -> Bytes {
    sent((-1, -1, -1), count, 1_000, Compression::None)
}

/// A broker that does not flush by itself, so that dropping it is like killing it.
async fn start_unflushed(directory: &Path) -> Broker {
    let flush_interval = Duration::from_secs(3_600);
    let broker = Broker::start(Config {
        flush_interval,
        ..config(directory)
    })
    .await
    .unwrap();
    // The first flush comes at once: let it pass.
    broker.flush().await.unwrap();
    broker
}

/// The newest segment of a partition of the only topic.
fn segment(directory: &Path, partition: i32) -> PathBuf {
    let mut topics = fs::read_dir(directory.join("topics")).unwrap();
    let topic = topics.next().unwrap().unwrap().path();
    let files = fs::read_dir(topic.join(partition.to_string())).unwrap();
    files.map(|file| file.unwrap().path()).max().unwrap()
}

#[tokio::test]
async fn topics_ids_records_and_configurations_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let cluster_id = broker.cluster_id().to_owned();
    assert_eq!(cluster_id.len(), 22);
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 2, &[("max.message.bytes", "100")])
        .await;
    raw.produce("ticks", plain(1)).await;
    let ask = || {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name("ticks")));
        MetadataRequest::default().with_topics(Some(vec![topic]))
    };
    let before = raw.call(12, ask()).await;
    let producer_id = raw
        .call(
            4,
            InitProducerIdRequest::default().with_transactional_id(None),
        )
        .await
        .producer_id;
    broker.shutdown().await.unwrap();

    let broker = start(directory.path()).await;
    assert_eq!(broker.cluster_id(), cluster_id);
    let mut raw = Raw::connect(&broker).await;
    let after = raw.call(12, ask()).await;
    assert_eq!(after.topics, before.topics);
    assert_eq!(raw.produce("ticks", plain(1)).await.base_offset, 1);
    let refused = raw.produce("ticks", plain(50)).await;
    assert_eq!(refused.error_code, ResponseError::MessageTooLarge.code());
    let next = raw
        .call(
            4,
            InitProducerIdRequest::default().with_transactional_id(None),
        )
        .await
        .producer_id;
    assert!(next > producer_id);
}

#[tokio::test]
async fn acknowledged_batches_are_there_after_a_stop_without_a_flush() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start_unflushed(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    for i in 0..20 {
        assert_eq!(raw.produce("ticks", plain(3)).await.base_offset, i * 3);
    }
    drop(broker);
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(raw.offset_at("ticks", -1).await, (0, 60, -1));
    assert!(
        !raw.fetch("ticks", 57, NOW)
            .await
            .records
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn duplicates_are_answered_with_their_first_offset_across_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start_unflushed(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    let producer = raw
        .call(
            4,
            InitProducerIdRequest::default().with_transactional_id(None),
        )
        .await
        .producer_id
        .0;
    for i in 0..7 {
        let answer = raw.produce("ticks", numbered(producer, i * 2)).await;
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (0, i64::from(i) * 2)
        );
    }
    drop(broker);
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    for i in 2..7 {
        let answer = raw.produce("ticks", numbered(producer, i * 2)).await;
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (0, i64::from(i) * 2)
        );
    }
    for (sequence, error) in [(2, true), (16, true), (14, false)] {
        let answer = raw.produce("ticks", numbered(producer, sequence)).await;
        let expected = if error {
            ResponseError::OutOfOrderSequenceNumber.code()
        } else {
            0
        };
        assert_eq!(answer.error_code, expected, "sequence {sequence}");
    }
    assert_eq!(raw.offset_at("ticks", -1).await.1, 16);
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_its_offsets_are_given_again() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start_unflushed(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    raw.produce("ticks", plain(2)).await;
    raw.produce("ticks", plain(2)).await;
    drop(broker);
    let file = OpenOptions::new()
        .write(true)
        .open(segment(directory.path(), 0))
        .unwrap();
    file.set_len(file.metadata().unwrap().len() - 5).unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(raw.offset_at("ticks", -1).await, (0, 2, -1));
    assert_eq!(raw.produce("ticks", plain(1)).await.base_offset, 2);
}

#[tokio::test]
async fn a_damaged_partition_is_offline_and_the_others_work() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 2, &[]).await;
    raw.produce("ticks", plain(2)).await;
    broker.shutdown().await.unwrap();
    fs::write(segment(directory.path(), 0), b"this is no batch").unwrap();

    for _ in 0..2 {
        let broker = start(directory.path()).await;
        let mut raw = Raw::connect(&broker).await;
        let refused = raw.produce("ticks", plain(1)).await;
        assert_eq!(refused.error_code, ResponseError::KafkaStorageError.code());
        let fetched = raw.fetch("ticks", 0, NOW).await;
        assert_eq!(fetched.error_code, ResponseError::KafkaStorageError.code());
        assert_eq!(
            raw.offset_at("ticks", -2).await.0,
            ResponseError::KafkaStorageError.code()
        );
        raw.create_topic("quotes", 1, &[]).await;
        assert_eq!(raw.produce("quotes", plain(1)).await.error_code, 0);
        // What is known of the damaged log is kept: it stays offline.
        broker.shutdown().await.unwrap();
        let quotes = fs::read_dir(directory.path().join("topics")).unwrap();
        for topic in quotes.map(|topic| topic.unwrap().path()) {
            if fs::read_to_string(topic.join("topic.json"))
                .unwrap()
                .contains("quotes")
            {
                fs::remove_dir_all(topic).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_a_storage_error_and_the_broker_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    broker.shutdown().await.unwrap();
    let file = segment(directory.path(), 0);
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    for _ in 0..2 {
        let refused = raw.produce("ticks", plain(1)).await;
        assert_eq!(refused.error_code, ResponseError::KafkaStorageError.code());
    }
    assert_eq!(raw.offset_at("ticks", -1).await, (0, 0, -1));
}

#[tokio::test]
async fn a_log_that_is_removed_under_the_broker_takes_no_more_batches() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start_unflushed(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    assert_eq!(raw.produce("ticks", plain(1)).await.error_code, 0);
    let file = segment(directory.path(), 0);
    fs::remove_file(&file).unwrap();
    let error = broker.flush().await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot flush the broker's files: cannot sync ticks-0: "),
        "{error}"
    );
    let refused = raw.produce("ticks", plain(1)).await;
    assert_eq!(refused.error_code, ResponseError::KafkaStorageError.code());
    let reason = format!(
        "{} was removed while the broker was running; start the broker again",
        file.display()
    );
    assert!(refused.error_message.unwrap().ends_with(&reason));
}

#[tokio::test]
async fn retention_by_bytes_moves_the_start_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let retention_interval = Duration::from_millis(20);
    let broker = Broker::start(Config {
        retention_interval,
        ..config(directory.path())
    })
    .await
    .unwrap();
    let mut raw = Raw::connect(&broker).await;
    let configs = [
        ("segment.bytes", "16384"),
        ("retention.bytes", "40000"),
        ("retention.ms", "-1"),
    ];
    raw.create_topic("ticks", 1, &configs).await;
    let mut end = 0;
    for _ in 0..200 {
        end = raw.produce("ticks", plain(100)).await.base_offset + 100;
    }
    let mut start = 0;
    let started = std::time::Instant::now();
    while start == 0 {
        assert!(started.elapsed() < PATIENCE);
        start = raw.offset_at("ticks", -2).await.1;
    }
    let fetched = raw.fetch("ticks", 0, NOW).await;
    assert_eq!(fetched.error_code, ResponseError::OffsetOutOfRange.code());
    assert_eq!(raw.offset_at("ticks", -1).await.1, end);
    assert_eq!(raw.fetch("ticks", end - 1, NOW).await.error_code, 0);
}
