//! The topic: made, grown, its configuration altered; never shrunk, never deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use stockpipe_crds::pipeline::Topic;

use super::{Mode, Notes, ProvisionError, topic_config};
use crate::context::Context;
use crate::kafka::client_config;

const CALL: Duration = Duration::from_secs(10);

/// Makes the topic, or brings the one that is there as near to the file as may be.
pub(super) async fn provision(
    ctx: &Context,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ProvisionError> {
    let kafka = &ctx.pipeline.kafka;
    let topic = &kafka.topic;
    let client: AdminClient<DefaultClientContext> =
        client_config(kafka, &format!("stockpipe-provision/{}", ctx.pipeline.name))
            // A look at a topic must not make it.
            .set("allow.auto.create.topics", "false")
            .set("statistics.interval.ms", "0")
            .create()
            .map_err(|e| error("connect to Kafka", &e))?;
    let client = std::sync::Arc::new(client);
    let Some(shape) = shape(&client, &topic.name).await? else {
        mode.may_change(|| format!("topic `{}` does not exist", topic.name))?;
        if create(&client, topic, notes).await? {
            return Ok(());
        }
        // Somebody else made it in this moment: compare it at the next attempt.
        return Err(ProvisionError::Kafka {
            action: format!("make topic `{}`", topic.name),
            why: "it has just been made by another".to_owned(),
            outage: true,
        });
    };
    if shape.partitions > topic.partitions {
        return Err(ProvisionError::Refused(format!(
            "topic `{}` has {} partitions, the file asks for {}: a topic only grows; write topic.partitions: {}",
            topic.name, shape.partitions, topic.partitions, shape.partitions
        )));
    }
    if shape.partitions < topic.partitions {
        mode.may_change(|| {
            format!(
                "topic `{}` has {} of {} partitions",
                topic.name, shape.partitions, topic.partitions
            )
        })?;
        grow(&client, topic).await?;
        notes.changed(format!(
            "topic {} grew from {} to {} partitions",
            topic.name, shape.partitions, topic.partitions
        ));
    }
    if shape.replicas != topic.replication_factor {
        notes.note(format!(
            "topic `{}` has replication factor {}, the file asks for {}: reassign its partitions to change it",
            topic.name, shape.replicas, topic.replication_factor
        ));
    }
    let differing = differing_config(&client, topic).await?;
    if !differing.is_empty() {
        let names: Vec<_> = differing.keys().map(String::as_str).collect();
        let names = names.join(", ");
        mode.may_change(|| format!("topic `{}` has another {names}", topic.name))?;
        let bootstrap = kafka.bootstrap_servers.as_deref().unwrap_or_default();
        topic_config::alter(bootstrap, &topic.name, &differing).await?;
        notes.changed(format!("set {names} of topic {}", topic.name));
    }
    Ok(())
}

struct Shape {
    partitions: i32,
    replicas: i16,
}

async fn shape(
    client: &std::sync::Arc<AdminClient<DefaultClientContext>>,
    topic: &str,
) -> Result<Option<Shape>, ProvisionError> {
    let (client, name) = (client.clone(), topic.to_owned());
    let action = format!("look at topic `{topic}`");
    let found = tokio::task::spawn_blocking(move || {
        client.inner().fetch_metadata(Some(&name), CALL).map(|m| {
            m.topics().iter().find(|t| t.name() == name).and_then(|t| {
                let unknown = t.error().map(RDKafkaErrorCode::from)
                    == Some(RDKafkaErrorCode::UnknownTopicOrPartition);
                (!unknown && !t.partitions().is_empty()).then(|| Shape {
                    partitions: i32::try_from(t.partitions().len()).unwrap_or(i32::MAX),
                    replicas: t
                        .partitions()
                        .iter()
                        .filter_map(|p| i16::try_from(p.replicas().len()).ok())
                        .min()
                        .unwrap_or(0),
                })
            })
        })
    })
    .await
    .map_err(|e| ProvisionError::Kafka {
        action: action.clone(),
        why: e.to_string(),
        outage: false,
    })?;
    found.map_err(|e| error(&action, &e))
}

/// Whether it was made by us; `false` where somebody else was faster.
async fn create(
    client: &AdminClient<DefaultClientContext>,
    topic: &Topic,
    notes: &mut Notes,
) -> Result<bool, ProvisionError> {
    let action = format!("make topic `{}`", topic.name);
    let mut new = NewTopic::new(
        &topic.name,
        topic.partitions,
        TopicReplication::Fixed(i32::from(topic.replication_factor)),
    );
    for (key, value) in &topic.config {
        new = new.set(key, value);
    }
    let results = client
        .create_topics([&new], &options())
        .await
        .map_err(|e| error(&action, &e))?;
    match results.into_iter().next() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(refused(&action, topic, code)),
        Some(Ok(_)) | None => {
            notes.changed(format!(
                "made topic {} with {} partitions",
                topic.name, topic.partitions
            ));
            Ok(true)
        }
    }
}

async fn grow(
    client: &AdminClient<DefaultClientContext>,
    topic: &Topic,
) -> Result<(), ProvisionError> {
    let action = format!(
        "grow topic `{}` to {} partitions",
        topic.name, topic.partitions
    );
    let count = usize::try_from(topic.partitions).unwrap_or_default();
    let results = client
        .create_partitions([&NewPartitions::new(&topic.name, count)], &options())
        .await
        .map_err(|e| error(&action, &e))?;
    match results.into_iter().next() {
        Some(Err((_, code))) => Err(refused(&action, topic, code)),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// The entries of the file's `topic.config` that the topic has otherwise.
async fn differing_config(
    client: &AdminClient<DefaultClientContext>,
    topic: &Topic,
) -> Result<BTreeMap<String, String>, ProvisionError> {
    if topic.config.is_empty() {
        return Ok(BTreeMap::new());
    }
    let action = format!("read the configuration of topic `{}`", topic.name);
    let described = client
        .describe_configs([&ResourceSpecifier::Topic(&topic.name)], &options())
        .await
        .map_err(|e| error(&action, &e))?;
    let resource = match described.into_iter().next() {
        Some(Ok(resource)) => resource,
        Some(Err(code)) => return Err(refused(&action, topic, code)),
        None => return Ok(topic.config.clone()),
    };
    let present: BTreeMap<&str, &str> = resource
        .entries
        .iter()
        .filter_map(|e| Some((e.name.as_str(), e.value.as_deref()?)))
        .collect();
    Ok(topic
        .config
        .iter()
        .filter(|(key, value)| present.get(key.as_str()).copied() != Some(value.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect())
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(CALL))
        .operation_timeout(Some(CALL))
}

fn error(action: &str, error: &KafkaError) -> ProvisionError {
    let outage = error.rdkafka_error_code().is_some_and(is_outage);
    ProvisionError::Kafka {
        action: action.to_owned(),
        why: error.to_string(),
        outage,
    }
}

fn refused(action: &str, topic: &Topic, code: RDKafkaErrorCode) -> ProvisionError {
    let hint = match code {
        RDKafkaErrorCode::InvalidReplicationFactor => format!(
            "; topic.replicationFactor {} is more than the brokers there are",
            topic.replication_factor
        ),
        RDKafkaErrorCode::InvalidConfig => "; look at topic.config".to_owned(),
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "; allow it, or write `provisioning: Verify` and make the topic yourself".to_owned()
        }
        _ => String::new(),
    };
    ProvisionError::Kafka {
        action: action.to_owned(),
        why: format!("{code}{hint}"),
        outage: is_outage(code),
    }
}

fn is_outage(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotController
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::CoordinatorLoadInProgress
    )
}
