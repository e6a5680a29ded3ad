//! librdkafka clients from a pipeline's `kafka`, and how their connection is told.

pub mod admin;
pub mod reader;
pub(crate) mod topics;

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use stockpipe_crds::pipeline::Kafka;

/// Header of every record that is not a tick.
pub const KIND_HEADER: &str = "stockpipe-kind";
/// Value of [`KIND_HEADER`] on a heartbeat.
pub const HEARTBEAT: &[u8] = b"heartbeat";

/// What every client of this pipeline shares: addresses, time-outs, and
/// statistics once a second for [`Connection`].
#[must_use]
pub fn client_config(kafka: &Kafka, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set(
            "bootstrap.servers",
            kafka.bootstrap_servers.as_deref().unwrap_or_default(),
        )
        .set("client.id", client_id)
        .set("statistics.interval.ms", "1000")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("broker.address.family", "v4")
        .set("log.connection.close", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// Client context that says once when Kafka is lost and once when it is back.
#[derive(Debug, Default)]
pub struct Connection {
    lost: AtomicBool,
}

impl Connection {
    /// Whether no broker answers at present.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

impl ClientContext for Connection {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        // librdkafka repeats itself while a broker is away; `error` and `stats` tell that story once.
        tracing::debug!(?level, fac, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if !self.lost.swap(true, Ordering::Relaxed) {
                    tracing::warn!("Kafka is not reachable; retrying until it is back");
                }
            }
            _ => tracing::debug!(%error, reason, "librdkafka"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        if self.is_lost()
            && statistics.brokers.values().any(|b| b.state == "UP")
            && self.lost.swap(false, Ordering::Relaxed)
        {
            tracing::info!("Kafka is back");
        }
    }
}

impl ConsumerContext for Connection {}
