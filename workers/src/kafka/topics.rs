//! What `provision` and `teardown` ask of the pipeline's topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use stockpipe_crds::pipeline::Kafka;

use super::admin::{self, AdminError, TopicDescription};
use super::client_config;
use crate::service::ServiceError;

/// How long one call may take.
pub(crate) const CALL: Duration = Duration::from_secs(10);
/// Between two looks for a topic that was just made.
const LOOK: Duration = Duration::from_millis(200);

/// The admin client of a role. Cheap to clone.
pub(crate) type Client = Arc<AdminClient<DefaultClientContext>>;

/// An admin client that is named `client_id`.
///
/// # Errors
/// Where librdkafka refuses its configuration.
pub(crate) fn client(kafka: &Kafka, client_id: &str) -> Result<Client, ServiceError> {
    let client = client_config(kafka, client_id)
        // A look at a topic must not make it.
        .set("allow.auto.create.topics", "false")
        .set("statistics.interval.ms", "0")
        .create()
        .map_err(|e| ServiceError::kafka("connect to Kafka", &e))?;
    Ok(Arc::new(client))
}

/// How long a call and the work that it starts may take.
pub(crate) fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(CALL))
        .operation_timeout(Some(CALL))
}

/// Id and partitions of the pipeline's topic; `None` where there is none.
///
/// # Errors
/// Where Kafka refuses or is not reached.
pub(crate) async fn describe(kafka: &Kafka) -> Result<Option<TopicDescription>, ServiceError> {
    let name = &kafka.topic.name;
    let bootstrap = kafka.bootstrap_servers.as_deref().unwrap_or_default();
    match admin::describe_topic(bootstrap, name).await {
        Ok(found) => Ok(Some(found)),
        Err(AdminError::NoTopic { .. }) => Ok(None),
        Err(error) => Err(ServiceError::admin(
            format!("look at topic `{name}`"),
            &error,
        )),
    }
}

/// [`describe`] of a topic that was just made, of which not every broker may know yet.
///
/// # Errors
/// As [`describe`]; and where no broker knows it for [`CALL`].
pub(crate) async fn describe_made(kafka: &Kafka) -> Result<TopicDescription, ServiceError> {
    let since = Instant::now();
    loop {
        if let Some(found) = describe(kafka).await? {
            return Ok(found);
        }
        if since.elapsed() >= CALL {
            return Err(ServiceError::Kafka {
                action: format!("look at topic `{}`", kafka.topic.name),
                why: "it was made, and no broker knows it yet".to_owned(),
                outage: true,
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether no record was ever written to any of the `partitions` of `topic`.
///
/// # Errors
/// Where Kafka refuses or is not reached.
pub(crate) async fn is_empty(
    client: &Client,
    topic: &str,
    partitions: i32,
) -> Result<bool, ServiceError> {
    let (client, name) = (Arc::clone(client), topic.to_owned());
    let action = format!("read the offsets of topic `{topic}`");
    let ends = tokio::task::spawn_blocking(move || {
        (0..partitions)
            .map(|partition| {
                let (_, end) = client.inner().fetch_watermarks(&name, partition, CALL)?;
                Ok(end)
            })
            .collect::<Result<Vec<i64>, _>>()
    })
    .await
    .map_err(|e| ServiceError::Kafka {
        action: action.clone(),
        why: e.to_string(),
        outage: false,
    })?;
    ends.map(|ends| ends.iter().all(|end| *end == 0))
        .map_err(|e| ServiceError::kafka(action, &e))
}

/// Deletes `topic`; one that is gone is fine.
///
/// # Errors
/// Where Kafka refuses or is not reached.
pub(crate) async fn delete(client: &Client, topic: &str) -> Result<(), ServiceError> {
    let action = format!("delete topic `{topic}`");
    let results = client
        .delete_topics(&[topic], &options())
        .await
        .map_err(|e| ServiceError::kafka(&*action, &e))?;
    match results.into_iter().next() {
        Some(Err((_, RDKafkaErrorCode::UnknownTopicOrPartition))) | Some(Ok(_)) | None => Ok(()),
        Some(Err((_, code))) => {
            let hint = match code {
                RDKafkaErrorCode::TopicDeletionDisabled => {
                    "; the brokers have delete.topic.enable=false: delete it another way"
                }
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                    "; allow Delete on the topic, or delete it yourself"
                }
                _ => "",
            };
            Err(ServiceError::kafka_refused(action, code, hint))
        }
    }
}
