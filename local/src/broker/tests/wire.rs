//! What goes over the wire: limits, waits, refusals, and every way to be malformed.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable as _, StrBytes};
use kafka_protocol::records::Compression;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::raw::{Fetching, NOW, Raw, fetch_request, produce_request, topic_name};
use super::*;
use crate::broker::log::batch::tests::sent;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn plain(count: usize) -> Bytes {
    sent((-1, -1, -1), count, 1_000, Compression::None)
}

#[tokio::test]
async fn a_version_of_api_versions_from_the_future_is_answered_in_the_oldest_form() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    for version in [4_i16, 99] {
        let mut request = BytesMut::new();
        request.put_i16(18);
        request.put_i16(version);
        request.put_i32(77);
        request.put_slice(b"\0\x04test\0 and fields that nobody knows yet");
        raw.send_bytes(&request).await;
        let mut answer = raw.receive_bytes().await.unwrap();
        let header = ResponseHeader::decode(&mut answer, 0).unwrap();
        assert_eq!(header.correlation_id, 77);
        let body = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
        assert_eq!(body.error_code, 35);
        let row = body.api_keys.iter().find(|row| row.api_key == 18).unwrap();
        assert_eq!((row.min_version, row.max_version), (0, 3));
    }
}

#[tokio::test]
async fn what_is_not_served_closes_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let header = |key: i16, version: i16| {
        let mut request = BytesMut::new();
        request.put_i16(key);
        request.put_i16(version);
        request.put_i32(1);
        request.put_i16(-1);
        request.put_slice(&[0; 32]);
        request
    };
    for (key, version) in [
        (0, 0),
        (0, 2),
        (0, 12),
        (1, 13),
        (3, -1),
        (25, 0),
        (9_999, 0),
        (-1, 0),
    ] {
        let mut raw = Raw::connect(&broker).await;
        raw.send_bytes(&header(key, version)).await;
        assert_eq!(
            raw.receive_bytes().await,
            None,
            "key {key} version {version}"
        );
    }
    let mut raw = Raw::connect(&broker).await;
    raw.send(0, &AddOffsetsToTxnRequest::default()).await;
    assert_eq!(raw.receive_bytes().await, None);
}

#[tokio::test]
async fn malformed_frames_close_their_connection_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut healthy = Raw::connect(&broker).await;
    let frames: [&[u8]; 8] = [
        &(-1_i32).to_be_bytes(),
        &i32::MAX.to_be_bytes(),
        &[0, 0, 0, 2, 0, 3],
        b"GET / HTTP/1.1\r\n\r\n",
        // Metadata 1 with 2,147,483,647 topics.
        &[
            0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff,
        ],
        // Metadata 12 with 4,294,967,294 topics.
        &[
            0, 0, 0, 16, 0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x0f,
        ],
        // Metadata 1 whose topic is not UTF-8.
        &[
            0, 0, 0, 18, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1, 0, 2, 0xff, 0xfe,
        ],
        // A client id longer than the frame.
        &[0, 0, 0, 12, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0, 0],
    ];
    for frame in frames {
        let mut raw = Raw::connect(&broker).await;
        raw.stream.write_all(frame).await.unwrap();
        let mut answer = Vec::new();
        drop(raw.stream.read_to_end(&mut answer).await);
        assert!(answer.is_empty(), "an answer to {frame:?}");
        let response = healthy.call(1, MetadataRequest::default()).await;
        assert_eq!(response.brokers.len(), 1);
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_a_freed_place_is_given_again() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config {
        max_connections: 2,
        ..config(directory.path())
    })
    .await
    .unwrap();
    let mut one = Raw::connect(&broker).await;
    let mut two = Raw::connect(&broker).await;
    for raw in [&mut one, &mut two] {
        raw.call(1, MetadataRequest::default()).await;
    }
    let mut three = Raw::connect(&broker).await;
    assert_eq!(three.receive_bytes().await, None);
    drop(one);
    eventually("a place for a new connection", || async {
        let mut raw = Raw::connect(&broker).await;
        let refused = tokio::time::timeout(Duration::from_millis(50), raw.receive_bytes()).await;
        refused.is_err()
    })
    .await;
    two.call(1, MetadataRequest::default()).await;
}

#[tokio::test]
async fn a_fetch_at_the_end_waits_and_is_woken_by_the_next_batch() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut producer = Raw::connect(&broker).await;
    producer.create_topic("ticks", 1, &[]).await;
    let mut consumer = Raw::connect(&broker).await;
    let patient = Fetching {
        wait_ms: 120_000,
        ..NOW
    };
    consumer.send(12, &fetch_request("ticks", 0, patient)).await;
    let early = tokio::time::timeout(Duration::from_millis(100), consumer.stream.readable()).await;
    assert!(early.is_err(), "an answer before there is anything");
    producer.produce("ticks", plain(3)).await;
    let answer = tokio::time::timeout(PATIENCE, consumer.receive::<FetchRequest>(12)).await;
    let partition = &answer.unwrap().responses[0].partitions[0];
    assert_eq!(partition.high_watermark, 3);
    assert!(!partition.records.as_ref().unwrap().is_empty());
}

#[tokio::test]
async fn a_fetch_waits_for_its_least_bytes_but_no_longer_than_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut producer = Raw::connect(&broker).await;
    producer.create_topic("ticks", 1, &[]).await;
    let one = plain(1).len() as i32;
    let mut consumer = Raw::connect(&broker).await;
    let two = Fetching {
        wait_ms: 120_000,
        min_bytes: one * 2,
        ..NOW
    };
    consumer.send(12, &fetch_request("ticks", 0, two)).await;
    producer.produce("ticks", plain(1)).await;
    let early = tokio::time::timeout(Duration::from_millis(100), consumer.stream.readable()).await;
    assert!(early.is_err(), "an answer with less than min_bytes");
    producer.produce("ticks", plain(1)).await;
    let answer = tokio::time::timeout(PATIENCE, consumer.receive::<FetchRequest>(12)).await;
    assert_eq!(answer.unwrap().responses[0].partitions[0].high_watermark, 2);

    let much = Fetching {
        wait_ms: 50,
        min_bytes: 1 << 20,
        ..NOW
    };
    let partition = consumer.fetch("ticks", 0, much).await;
    assert_eq!(partition.records.unwrap().len() as i32, 2 * one);
}

#[tokio::test]
async fn a_fetch_has_limits_and_a_larger_batch_comes_whole() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    let size = plain(10).len() as i32;
    for _ in 0..5 {
        raw.produce("ticks", plain(10)).await;
    }
    for (max_bytes, partition_max_bytes, batches) in [
        (1 << 20, 1 << 20, 5),
        (1 << 20, 2 * size + 1, 2),
        (3 * size, 1 << 20, 3),
        (1 << 20, 1, 1),
        (1, 1 << 20, 1),
        (0, 0, 1),
    ] {
        let fetch = Fetching {
            max_bytes,
            partition_max_bytes,
            ..NOW
        };
        let partition = raw.fetch("ticks", 0, fetch).await;
        assert_eq!(partition.records.unwrap().len() as i32, batches * size);
    }
}

#[tokio::test]
async fn offsets_outside_of_the_log_and_unknown_partitions_have_their_errors() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    raw.produce("ticks", plain(2)).await;
    let patient = Fetching {
        wait_ms: 120_000,
        ..NOW
    };
    for (topic, offset, error) in [
        ("ticks", 3, ResponseError::OffsetOutOfRange),
        ("ticks", -1, ResponseError::OffsetOutOfRange),
        ("quotes", 0, ResponseError::UnknownTopicOrPartition),
    ] {
        let partition = raw.fetch(topic, offset, patient).await;
        assert_eq!(partition.error_code, error.code(), "{topic} {offset}");
    }
    let refused = raw.produce("quotes", plain(1)).await;
    assert_eq!(
        refused.error_code,
        ResponseError::UnknownTopicOrPartition.code()
    );
    assert_eq!(
        refused.error_message.as_deref(),
        Some("topic quotes does not exist")
    );
}

#[tokio::test]
async fn a_refused_batch_says_why_and_leaves_the_log_alone() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[("max.message.bytes", "100")])
        .await;
    let mut corrupt = plain(1).to_vec();
    *corrupt.last_mut().unwrap() ^= 1;
    for (batch, error, message) in [
        (
            Bytes::from(corrupt),
            ResponseError::CorruptMessage,
            "the record batch does not match its CRC-32C".to_owned(),
        ),
        (
            plain(50),
            ResponseError::MessageTooLarge,
            format!(
                "the record batch has {} bytes, more than max.message.bytes = 100",
                plain(50).len()
            ),
        ),
        (
            Bytes::new(),
            ResponseError::CorruptMessage,
            "the record batch is cut short".to_owned(),
        ),
    ] {
        let refused = raw.produce("ticks", batch).await;
        assert_eq!(refused.error_code, error.code());
        assert_eq!(refused.error_message.as_deref(), Some(&*message));
    }
    assert_eq!(raw.offset_at("ticks", -1).await, (0, 0, -1));
}

#[tokio::test]
async fn acks_zero_has_no_answer_and_a_refusal_closes_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    raw.send(9, &produce_request("ticks", plain(2)).with_acks(0))
        .await;
    // The next answer is that of the next request.
    assert_eq!(raw.offset_at("ticks", -1).await, (0, 2, -1));
    raw.send(9, &produce_request("quotes", plain(2)).with_acks(0))
        .await;
    assert_eq!(raw.receive_bytes().await, None);
    let mut raw = Raw::connect(&broker).await;
    let response = raw
        .call(9, produce_request("ticks", plain(2)).with_acks(2))
        .await;
    let refused = &response.responses[0].partition_responses[0];
    assert_eq!(
        refused.error_code,
        ResponseError::InvalidRequiredAcks.code()
    );
}

#[tokio::test]
async fn transactions_are_refused_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    let refused = ResponseError::TransactionalIdAuthorizationFailed.code();
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("shard-0"))));
    assert_eq!(raw.call(4, request).await.error_code, refused);
    let request = FindCoordinatorRequest::default()
        .with_key_type(1)
        .with_coordinator_keys(vec![text("shard-0")]);
    let response = raw.call(4, request).await;
    assert_eq!(response.coordinators[0].error_code, refused);
    assert_eq!(
        response.coordinators[0].error_message.as_deref(),
        Some("the embedded broker has no transactions; unset transactional.id")
    );
}

#[tokio::test]
async fn topics_are_checked_before_they_are_made() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("there", 1, &[]).await;
    let topic = |name: &str, partitions, replicas| {
        CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
    };
    for (asked, error) in [
        (topic("there", 1, 1), ResponseError::TopicAlreadyExists),
        (topic("a/b", 1, 1), ResponseError::InvalidTopicException),
        (topic("..", 1, 1), ResponseError::InvalidTopicException),
        (topic("new", 0, 1), ResponseError::InvalidPartitions),
        (topic("new", -2, 1), ResponseError::InvalidPartitions),
        (topic("new", 1, 0), ResponseError::InvalidReplicationFactor),
        (topic("new", 1_001, 1), ResponseError::PolicyViolation),
    ] {
        let request = CreateTopicsRequest::default().with_topics(vec![asked]);
        let response = raw.call(7, request).await;
        assert_eq!(response.topics[0].error_code, error.code());
        assert!(response.topics[0].error_message.is_some());
    }
    let twice =
        CreateTopicsRequest::default().with_topics(vec![topic("new", 1, 1), topic("new", 1, 1)]);
    let response = raw.call(7, twice).await;
    assert!(
        response
            .topics
            .iter()
            .all(|t| t.error_code == ResponseError::InvalidRequest.code())
    );
    let only_check = CreateTopicsRequest::default()
        .with_validate_only(true)
        .with_topics(vec![topic("new", 3, 2)]);
    let response = raw.call(7, only_check).await;
    assert_eq!(
        (
            response.topics[0].error_code,
            response.topics[0].num_partitions
        ),
        (0, 3)
    );
    let all = raw
        .call(12, MetadataRequest::default().with_topics(None))
        .await;
    assert_eq!(
        all.topics.len(),
        1,
        "a topic was made although it was refused or only checked"
    );
}

#[tokio::test]
async fn asking_for_a_topic_does_not_create_it_and_ids_find_it() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    let ask = |topic| {
        MetadataRequest::default()
            .with_allow_auto_topic_creation(true)
            .with_topics(Some(vec![topic]))
    };
    let by_name = |name: &str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let unknown = raw.call(12, ask(by_name("quotes"))).await;
    assert_eq!(
        unknown.topics[0].error_code,
        ResponseError::UnknownTopicOrPartition.code()
    );
    let known = raw.call(12, ask(by_name("ticks"))).await.topics.remove(0);
    let by_id = MetadataRequestTopic::default()
        .with_name(None)
        .with_topic_id(known.topic_id);
    assert_eq!(raw.call(12, ask(by_id)).await.topics.remove(0), known);
}

#[tokio::test]
async fn a_shrinking_topic_and_an_unknown_configuration_are_refused_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 3, &[]).await;
    let shrink = CreatePartitionsTopic::default()
        .with_name(topic_name("ticks"))
        .with_count(2)
        .with_assignments(None);
    let response = raw
        .call(
            3,
            CreatePartitionsRequest::default().with_topics(vec![shrink]),
        )
        .await;
    assert_eq!(
        response.results[0].error_code,
        ResponseError::InvalidPartitions.code()
    );
    assert_eq!(
        response.results[0].error_message.as_deref(),
        Some("topic ticks has 3 partitions, so it cannot grow to 2")
    );
    let change = |name: &str, value: &str| {
        let change = AlterableConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)));
        let good = AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("1000")));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("ticks"))
            .with_configs(vec![good, change]);
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
    };
    for (name, value) in [("cleanup.policy", "compact"), ("preallocate", "true")] {
        let response = raw.call(1, change(name, value)).await;
        assert_eq!(
            response.responses[0].error_code,
            ResponseError::InvalidConfig.code()
        );
        assert!(
            response.responses[0]
                .error_message
                .as_ref()
                .unwrap()
                .contains(name)
        );
    }
    // All or nothing.
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("ticks"))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = raw.call(4, request).await;
    let configs = &response.results[0].configs;
    assert_eq!(configs.len(), 8);
    let set: Vec<&str> = configs
        .iter()
        .filter(|config| config.config_source != 5)
        .map(|config| &*config.name)
        .collect();
    assert_eq!(set, ["retention.ms"]);
    assert!(
        configs
            .iter()
            .any(|config| config.value.as_deref() == Some("-1"))
    );
}
