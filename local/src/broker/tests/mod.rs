//! Tests of the whole broker, over its port.

mod consumers;
mod deletion;
mod errors;
mod producers;
mod raw;
mod restarts;
mod served_versions;
mod wire;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;

use super::{Broker, Config};

/// Any free port of the loopback.
pub(super) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long anything may take before a test fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn config(directory: &Path) -> Config {
    Config {
        min_session_timeout: Duration::from_millis(500),
        ..Config::new(directory, ANY)
    }
}

pub(super) async fn start(directory: &Path) -> Broker {
    Broker::start(config(directory)).await.unwrap()
}

pub(super) fn client(broker: &Broker) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker.addr().to_string());
    client
}

pub(super) fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    client(broker).create().unwrap()
}

/// Creates a topic with librdkafka.
pub(super) async fn create_topic(
    broker: &Broker,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) {
    // The records of these tests are as old as their small timestamps say.
    let mut topic =
        NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    for (key, value) in configs {
        topic = topic.set(key, value);
    }
    let created = admin(broker)
        .create_topics([&topic], &AdminOptions::new())
        .await
        .unwrap();
    assert_eq!(created, [Ok(name.to_owned())]);
}

/// The next message of a consumer, whatever else it has to do first.
pub(super) fn next_message(consumer: &BaseConsumer) -> Result<BorrowedMessage<'_>, KafkaError> {
    let started = Instant::now();
    loop {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            return message;
        }
        assert!(started.elapsed() < PATIENCE, "no message came");
    }
}

/// Asks again and again until the answer is yes.
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let started = Instant::now();
    while !ask().await {
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
