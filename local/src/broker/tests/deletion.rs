//! Topics that are deleted: what goes with them, who is told, and what a crash leaves.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    DeleteTopicsRequest, FetchRequest, GroupId, MetadataRequest, OffsetCommitRequest,
    OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Compression;
use rdkafka::admin::AdminOptions;
use rdkafka::types::RDKafkaErrorCode;
use uuid::Uuid;

use super::raw::{Fetching, NOW, Raw, fetch_request, topic_name};
use super::*;
use crate::broker::log::batch::tests::sent;

fn plain(count: usize) -> Bytes {
    sent((-1, -1, -1), count, 1_000, Compression::None)
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("landers"))
}

async fn commit(raw: &mut Raw, topic: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let response = raw.call(7, request).await;
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
}

/// What the group committed for partition 0, -1 for nothing.
async fn committed(raw: &mut Raw, topic: &str) -> i64 {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group())
        .with_topics(Some(vec![topic]));
    let response = raw.call(7, request).await;
    response.topics[0].partitions[0].committed_offset
}

async fn delete(raw: &mut Raw, topic: &str) -> i16 {
    let state = DeleteTopicState::default().with_name(Some(topic_name(topic)));
    let request = DeleteTopicsRequest::default().with_topics(vec![state]);
    raw.call(6, request).await.responses[0].error_code
}

async fn id_of(raw: &mut Raw, topic: &str) -> Uuid {
    let all = raw
        .call(12, MetadataRequest::default().with_topics(None))
        .await;
    let found = all
        .topics
        .iter()
        .find(|t| t.name == Some(topic_name(topic)));
    found.map_or(Uuid::nil(), |t| t.topic_id)
}

/// The directories of topics, those of deleted ones too.
fn directories(broker: &Path) -> Vec<PathBuf> {
    fs::read_dir(broker.join("topics"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[tokio::test]
async fn records_configurations_and_committed_offsets_go_with_a_topic_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 2, &[("max.message.bytes", "100")])
        .await;
    raw.create_topic("quotes", 1, &[]).await;
    for topic in ["ticks", "quotes"] {
        raw.produce(topic, plain(1)).await;
        commit(&mut raw, topic, 1).await;
    }
    let before = id_of(&mut raw, "ticks").await;

    let options = AdminOptions::new();
    let deleted = admin(&broker).delete_topics(&["ticks"], &options).await;
    assert_eq!(deleted.unwrap(), [Ok("ticks".to_owned())]);
    assert_eq!(directories(directory.path()).len(), 1);
    let again = admin(&broker).delete_topics(&["ticks"], &options).await;
    let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
    assert_eq!(again.unwrap(), [Err(("ticks".to_owned(), unknown))]);

    raw.create_topic("ticks", 1, &[]).await;
    assert_ne!(id_of(&mut raw, "ticks").await, before);
    assert_eq!(committed(&mut raw, "ticks").await, -1);
    assert_eq!(committed(&mut raw, "quotes").await, 1);
    assert_eq!(raw.produce("ticks", plain(50)).await.base_offset, 0);
    broker.shutdown().await.unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(committed(&mut raw, "ticks").await, -1);
    assert_eq!(committed(&mut raw, "quotes").await, 1);
    assert_eq!(raw.offset_at("ticks", -1).await.1, 50);
}

#[tokio::test]
async fn who_waits_for_a_topic_is_told_at_once_that_it_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    raw.produce("ticks", plain(2)).await;
    let patient = Fetching {
        wait_ms: 120_000,
        ..NOW
    };
    let mut consumer = Raw::connect(&broker).await;
    consumer.send(12, &fetch_request("ticks", 2, patient)).await;
    // The fetch is in the broker's hands before the deletion.
    let early = tokio::time::timeout(Duration::from_millis(100), consumer.stream.readable()).await;
    assert!(early.is_err(), "an answer before there is anything");
    assert_eq!(delete(&mut raw, "ticks").await, 0);
    let answer = tokio::time::timeout(PATIENCE, consumer.receive::<FetchRequest>(12)).await;
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(
        answer.unwrap().responses[0].partitions[0].error_code,
        unknown
    );
    assert_eq!(raw.produce("ticks", plain(1)).await.error_code, unknown);
    assert_eq!(raw.offset_at("ticks", -1).await.0, unknown);
    broker.flush().await.unwrap();
}

#[tokio::test]
async fn a_topic_is_named_by_its_name_or_by_its_id_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    for topic in ["one", "two", "three"] {
        raw.create_topic(topic, 1, &[]).await;
    }
    let (two, three) = (id_of(&mut raw, "two").await, id_of(&mut raw, "three").await);
    let named = |name: &str| DeleteTopicState::default().with_name(Some(topic_name(name)));
    let with_id = |id| DeleteTopicState::default().with_topic_id(id);
    let request = DeleteTopicsRequest::default().with_topics(vec![
        named("one"),
        with_id(two),
        named("three"),
        with_id(three),
        named("four"),
        with_id(Uuid::from_u128(7)),
        named("one").with_topic_id(two),
    ]);
    let response = raw.call(6, request).await;
    let codes: Vec<i16> = response.responses.iter().map(|r| r.error_code).collect();
    let code = |error: ResponseError| error.code();
    assert_eq!(
        codes,
        [
            0,
            0,
            code(ResponseError::InvalidRequest),
            code(ResponseError::InvalidRequest),
            code(ResponseError::UnknownTopicOrPartition),
            code(ResponseError::UnknownTopicId),
            code(ResponseError::InvalidRequest),
        ]
    );
    assert_eq!(response.responses[1].name, Some(topic_name("two")));
    assert_eq!(
        response.responses[4].error_message.as_deref(),
        Some("topic four does not exist")
    );
    assert_eq!(id_of(&mut raw, "three").await, three);
    assert_eq!(directories(directory.path()).len(), 1);
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_deletion_is_finished_by_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 2, &[]).await;
    raw.produce("ticks", plain(3)).await;
    commit(&mut raw, "ticks", 3).await;
    broker.shutdown().await.unwrap();
    // Killed right after the rename: neither the records nor the committed offsets are removed.
    let topic = directories(directory.path()).remove(0);
    fs::rename(&topic, topic.with_extension("deleted")).unwrap();

    let broker = start(directory.path()).await;
    assert_eq!(directories(directory.path()), Vec::<PathBuf>::new());
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(id_of(&mut raw, "ticks").await, Uuid::nil());
    assert_eq!(committed(&mut raw, "ticks").await, -1);
    raw.create_topic("ticks", 2, &[]).await;
    assert_eq!(committed(&mut raw, "ticks").await, -1);
    assert_eq!(raw.produce("ticks", plain(1)).await.base_offset, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_deleted_while_producers_write_and_the_broker_flushes() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config {
        flush_interval: Duration::from_millis(1),
        retention_interval: Duration::from_millis(1),
        ..config(directory.path())
    })
    .await
    .unwrap();
    let mut admin = Raw::connect(&broker).await;
    for _ in 0..10 {
        admin
            .create_topic("ticks", 1, &[("segment.bytes", "16384")])
            .await;
        let mut producer = Raw::connect(&broker).await;
        let writing = tokio::spawn(async move {
            let mut written = 0;
            loop {
                let answer = producer.produce("ticks", plain(100)).await;
                if answer.error_code == ResponseError::UnknownTopicOrPartition.code() {
                    return written;
                }
                written += 1;
            }
        });
        eventually("records", || async {
            Raw::connect(&broker).await.offset_at("ticks", -1).await.1 > 1_000
        })
        .await;
        assert_eq!(delete(&mut admin, "ticks").await, 0);
        assert!(writing.await.unwrap() > 0);
        broker.flush().await.unwrap();
    }
    assert_eq!(directories(directory.path()), Vec::<PathBuf>::new());
}
