//! A broker of the test's own, and everything that lies in a topic.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use stockpipe::broker::{Broker, Config};
use stockpipe_crds::Pipeline;
use stockpipe_market::tick::Tick;
use stockpipe_workers::context::Context;
use stockpipe_workers::kafka::{HEARTBEAT, KIND_HEADER};
use stockpipe_workers::produce::Heartbeat;
use stockpipe_workers::secrets::Secrets;
use stockpipe_workers::status::StatusBoard;
use tokio_util::sync::CancellationToken;

/// A broker on its own directory and a free port.
pub async fn broker(directory: &Path) -> Broker {
    broker_at(directory, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
}

/// A broker on its own directory at an address.
pub async fn broker_at(directory: &Path, address: SocketAddr) -> Broker {
    Broker::start(Config::new(directory, address))
        .await
        .expect("a broker on a fresh directory starts")
}

/// What a role is given for the pipeline of `yaml`, with the broker's address.
pub fn context(yaml: &str, base_dir: &Path, bootstrap: &str, role: &str) -> Context {
    let mut pipeline =
        Pipeline::from_yaml(yaml, "pipeline.yaml").expect("the test's YAML is right");
    pipeline.kafka.bootstrap_servers = Some(bootstrap.to_owned());
    Context {
        pipeline: Arc::new(pipeline),
        secrets: Secrets::default(),
        cluster_id: "it".to_owned(),
        base_dir: base_dir.to_owned(),
        shutdown: CancellationToken::new(),
        status: StatusBoard::new(role),
    }
}

fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap()
}

/// Makes a topic.
pub async fn create(bootstrap: &str, topic: &str, partitions: i32) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let made = admin(bootstrap)
        .create_topics([&new], &AdminOptions::new())
        .await
        .unwrap();
    assert!(made[0].is_ok(), "{made:?}");
}

/// Grows a topic.
pub async fn grow(bootstrap: &str, topic: &str, partitions: usize) {
    let grown = admin(bootstrap)
        .create_partitions(
            [&NewPartitions::new(topic, partitions)],
            &AdminOptions::new(),
        )
        .await
        .unwrap();
    assert!(grown[0].is_ok(), "{grown:?}");
}

/// Deletes a topic.
pub async fn delete(bootstrap: &str, topic: &str) {
    let deleted = admin(bootstrap)
        .delete_topics(&[topic], &AdminOptions::new())
        .await
        .unwrap();
    assert!(deleted[0].is_ok(), "{deleted:?}");
}

/// Everything that lies in a topic, in the order of each partition.
#[derive(Debug, Default)]
pub struct Contents {
    /// Partition and tick.
    pub ticks: Vec<(i32, Tick)>,
    /// Partition, number of ticks before it in that partition, heartbeat.
    pub heartbeats: Vec<(i32, usize, Heartbeat)>,
}

impl Contents {
    /// The runs there are.
    pub fn runs(&self) -> Vec<String> {
        let mut runs: Vec<String> = Vec::new();
        for (_, tick) in &self.ticks {
            if !runs.iter().any(|r| **r == *tick.run) {
                runs.push(tick.run.to_string());
            }
        }
        runs
    }

    /// Panics unless every symbol's `seq` counts from 0 in each run, none twice, none left out, in order.
    pub fn assert_contiguous(&self) {
        let mut next: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (partition, tick) in &self.ticks {
            let expected = next
                .entry((tick.run.to_string(), tick.symbol.to_string()))
                .or_default();
            assert_eq!(
                tick.seq, *expected,
                "{} of run {} in partition {partition}",
                tick.symbol, tick.run
            );
            *expected += 1;
        }
    }

    /// Panics unless every heartbeat's promise is kept by the ticks of its run that follow it in its partition.
    pub fn assert_promises_kept(&self) {
        for (partition, before, beat) in &self.heartbeats {
            let broken = self
                .ticks
                .iter()
                .filter(|(p, _)| p == partition)
                .skip(*before)
                .find(|(_, tick)| *tick.run == *beat.run && tick.ts_event_ns < beat.until);
            assert!(broken.is_none(), "{beat:?} is broken by {broken:?}");
        }
    }
}

/// Reads a topic from its beginning to its present end.
pub fn read(bootstrap: &str, topic: &str) -> Contents {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "it")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let timeout = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic), timeout).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition as i32, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut contents = Contents::default();
    let mut counts = vec![0; partitions];
    let mut open = partitions;
    let deadline = Instant::now() + Duration::from_secs(60);
    while open > 0 {
        assert!(Instant::now() < deadline, "the topic has no end");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let partition = message.partition();
                let body = message.payload().unwrap();
                let heartbeat = message.headers().is_some_and(|headers| {
                    headers
                        .iter()
                        .any(|h| h.key == KIND_HEADER && h.value == Some(HEARTBEAT))
                });
                if heartbeat {
                    let beat = serde_json::from_slice(body).unwrap();
                    contents
                        .heartbeats
                        .push((partition, counts[partition as usize], beat));
                } else {
                    let tick = stockpipe_market::json::decode(body).unwrap();
                    assert_eq!(message.key(), Some(tick.symbol.as_bytes()));
                    counts[partition as usize] += 1;
                    contents.ticks.push((partition, tick));
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    contents
}

/// A consumer that only looks at offsets.
pub fn watcher(bootstrap: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap()
}

/// One after the last offset of a partition.
pub fn end_of(watcher: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    watcher
        .fetch_watermarks(topic, partition, Duration::from_secs(10))
        .map_or(0, |(_, high)| high)
}

/// Polls `done` until it is true.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
