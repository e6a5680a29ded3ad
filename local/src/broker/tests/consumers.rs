//! Consuming with librdkafka: groups, commits, times.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::producers::{idempotent, produce};
use super::*;

fn member(broker: &Broker, strategy: &str) -> BaseConsumer {
    let consumer: BaseConsumer = client(broker)
        .set("group.id", "landers")
        .set("partition.assignment.strategy", strategy)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "100")
        .create()
        .unwrap();
    consumer.subscribe(&["ticks"]).unwrap();
    consumer
}

fn assigned(consumer: &BaseConsumer) -> Vec<i32> {
    let assignment = consumer.assignment().unwrap();
    let mut partitions: Vec<i32> = assignment
        .elements()
        .iter()
        .map(|e| e.partition())
        .collect();
    partitions.sort_unstable();
    partitions
}

/// Polls all members until their assignments are of these sizes and cover each partition once.
async fn balanced(members: &[&BaseConsumer], sizes: &[usize], partitions: i32) {
    eventually(&format!("assignments of sizes {sizes:?}"), || async {
        let mut all = Vec::new();
        let mut found = Vec::new();
        for member in members {
            drop(member.poll(Duration::from_millis(10)));
            let assigned = assigned(member);
            found.push(assigned.len());
            all.extend(assigned);
        }
        all.sort_unstable();
        found.sort_unstable();
        found == sizes && all == (0..partitions).collect::<Vec<_>>()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_share_the_partitions_and_one_takes_over() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    create_topic(&broker, "ticks", 4, &[]).await;
    for strategy in ["cooperative-sticky", "range"] {
        let one = member(&broker, strategy);
        balanced(&[&one], &[4], 4).await;
        let two = member(&broker, strategy);
        balanced(&[&one, &two], &[2, 2], 4).await;
        drop(two);
        balanced(&[&one], &[4], 4).await;
        drop(one);
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_resumes_where_it_committed() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    create_topic(&broker, "ticks", 1, &[]).await;
    produce(&idempotent(&broker, "lz4"), "ticks", 0..100);
    let read = |consumer: &BaseConsumer, count: usize| {
        let mut last = -1;
        for _ in 0..count {
            last = next_message(consumer).unwrap().offset();
        }
        last
    };
    let first = member(&broker, "cooperative-sticky");
    assert_eq!(read(&first, 60), 59);
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("ticks", 0, Offset::Offset(60))
        .unwrap();
    first.commit(&offsets, CommitMode::Sync).unwrap();
    drop(first);
    let second = member(&broker, "cooperative-sticky");
    let next = next_message(&second).unwrap().offset();
    assert_eq!(next, 60);
    drop(second);
    broker.shutdown().await.unwrap();

    let broker = start(directory.path()).await;
    let third = member(&broker, "cooperative-sticky");
    assert_eq!(next_message(&third).unwrap().offset(), 60);
    drop(third);
    broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_back_after_a_restart_of_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    create_topic(&broker, "ticks", 2, &[]).await;
    let consumer = member(&broker, "cooperative-sticky");
    balanced(&[&consumer], &[2], 2).await;
    let listen = broker.addr();
    broker.shutdown().await.unwrap();
    let broker = Broker::start(Config {
        listen,
        ..config(directory.path())
    })
    .await
    .unwrap();
    produce(&idempotent(&broker, "lz4"), "ticks", 0..10);
    // It rejoins as a new member and, having committed nothing, may read some of them twice.
    let mut seen = BTreeSet::new();
    while seen.len() < 10 {
        match next_message(&consumer) {
            Ok(message) => drop(seen.insert(message.offset())),
            Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
            )) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(seen, (0..10).collect());
    drop(consumer);
    broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_out_of_range_is_an_error_where_the_consumer_asks_for_one() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    create_topic(&broker, "ticks", 1, &[]).await;
    produce(&idempotent(&broker, "lz4"), "ticks", 0..10);
    let consumer: BaseConsumer = client(&broker)
        .set("group.id", "strict")
        .set("auto.offset.reset", "error")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset("ticks", 0, Offset::Offset(1_000))
        .unwrap();
    consumer.assign(&assignment).unwrap();
    let error = next_message(&consumer)
        .map(|message| message.offset())
        .unwrap_err();
    assert_eq!(
        error,
        KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)
    );
    drop(consumer);
    broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_found_by_time_in_every_codec() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let consumer: BaseConsumer = client(&broker).set("group.id", "times").create().unwrap();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        create_topic(&broker, codec, 1, &[("segment.bytes", "16384")]).await;
        produce(&idempotent(&broker, codec), codec, 0..2_000);
        for (time, offset) in [
            (0, Offset::Offset(0)),
            (1_000_000, Offset::Offset(0)),
            (1_000_777, Offset::Offset(777)),
            (1_001_999, Offset::Offset(1_999)),
            (1_002_000, Offset::End),
        ] {
            let mut times = TopicPartitionList::new();
            times
                .add_partition_offset(codec, 0, Offset::Offset(time))
                .unwrap();
            let found = consumer.offsets_for_times(times, PATIENCE).unwrap();
            assert_eq!(found.elements()[0].offset(), offset, "{codec} at {time}");
        }
        assert_eq!(
            consumer.fetch_watermarks(codec, 0, PATIENCE).unwrap(),
            (0, 2_000)
        );
    }
    drop(consumer);
    broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_listed_and_described_to_whoever_asks() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    create_topic(&broker, "ticks", 2, &[]).await;
    let consumer = member(&broker, "range");
    balanced(&[&consumer], &[2], 2).await;
    let asker: BaseConsumer = client(&broker).create().unwrap();
    let found = tokio::task::block_in_place(|| asker.fetch_group_list(None, PATIENCE)).unwrap();
    let groups = found.groups();
    assert_eq!(groups.len(), 1);
    let group = &groups[0];
    assert_eq!((group.name(), group.state()), ("landers", "Stable"));
    assert_eq!(
        (group.protocol_type(), group.protocol()),
        ("consumer", "range")
    );
    let members = group.members();
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].client_host(), "/127.0.0.1");
    assert!(members[0].assignment().is_some_and(|a| !a.is_empty()));
    drop(consumer);
    broker.shutdown().await.unwrap();
}
