//! The topic: made, grown, its configuration altered; never shrunk, never deleted.

use std::collections::BTreeMap;

use rdkafka::admin::{NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use stockpipe_crds::pipeline::Topic;

use super::{Mode, Notes, topic_config};
use crate::context::Context;
use crate::kafka::topics::{self, CALL, Client, options};
use crate::ledger::{Ledger, TopicRecord};
use crate::service::ServiceError;

/// Makes the topic, or brings the one that is there as near to the file as may be. The lake of `ledger` remembers
/// which topic was made.
pub(super) async fn provision(
    ctx: &Context,
    ledger: &Ledger,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let kafka = &ctx.pipeline.kafka;
    let topic = &kafka.topic;
    let client = topics::client(kafka, &format!("stockpipe-provision/{}", ctx.pipeline.name))?;
    let Some(shape) = shape(&client, &topic.name).await? else {
        mode.may_change(|| format!("topic `{}` does not exist", topic.name))?;
        return make(ctx, ledger, &client, notes).await;
    };
    if mode == Mode::Manage {
        finish_making(ctx, ledger, &client, shape.partitions).await?;
    }
    if shape.partitions > topic.partitions {
        return Err(ServiceError::Refused(format!(
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

/// Makes the topic, and has the lake remember that it is ours.
async fn make(
    ctx: &Context,
    ledger: &Ledger,
    client: &Client,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let topic = &ctx.pipeline.kafka.topic;
    let (store, lake_id) = (ledger.store(), ledger.lake_id());
    let before = TopicRecord::read(store, lake_id).await?;
    let follows = before.is_some_and(TopicRecord::follows);
    TopicRecord::replace(store, lake_id, Some(TopicRecord::Making { follows })).await?;
    if !create(client, topic, notes).await? {
        let deleted = follows.then_some(TopicRecord::Deleted);
        TopicRecord::replace(store, lake_id, deleted).await?;
        // Compare it at the next attempt.
        return Err(ServiceError::Kafka {
            action: format!("make topic `{}`", topic.name),
            why: "it has just been made by another".to_owned(),
            outage: true,
        });
    }
    let made = topics::describe_made(&ctx.pipeline.kafka).await?;
    if follows {
        ledger.accept_topic(made.id, made.partitions).await?;
    }
    let record = TopicRecord::Made { topic_id: made.id };
    Ok(TopicRecord::replace(store, lake_id, Some(record)).await?)
}

/// Goes on where an attempt to make the topic broke off; and lets a topic that somebody made after a teardown follow
/// the one that was deleted.
async fn finish_making(
    ctx: &Context,
    ledger: &Ledger,
    client: &Client,
    partitions: i32,
) -> Result<(), ServiceError> {
    let (store, lake_id) = (ledger.store(), ledger.lake_id());
    let record = match TopicRecord::read(store, lake_id).await? {
        None | Some(TopicRecord::Made { .. }) => return Ok(()),
        Some(record) => record,
    };
    let kafka = &ctx.pipeline.kafka;
    let found = topics::describe_made(kafka).await?;
    let empty = topics::is_empty(client, &kafka.topic.name, partitions).await?;
    if record.follows() {
        ledger.accept_topic(found.id, found.partitions).await?;
    }
    let made = record
        .is_ours(found.id, empty)
        .then_some(TopicRecord::Made { topic_id: found.id });
    Ok(TopicRecord::replace(store, lake_id, made).await?)
}

struct Shape {
    partitions: i32,
    replicas: i16,
}

async fn shape(client: &Client, topic: &str) -> Result<Option<Shape>, ServiceError> {
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
    .map_err(|e| ServiceError::Kafka {
        action: action.clone(),
        why: e.to_string(),
        outage: false,
    })?;
    found.map_err(|e| ServiceError::kafka(&*action, &e))
}

/// Whether it was made by us; `false` where somebody else was faster.
async fn create(client: &Client, topic: &Topic, notes: &mut Notes) -> Result<bool, ServiceError> {
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
        .map_err(|e| ServiceError::kafka(&*action, &e))?;
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

async fn grow(client: &Client, topic: &Topic) -> Result<(), ServiceError> {
    let action = format!(
        "grow topic `{}` to {} partitions",
        topic.name, topic.partitions
    );
    let count = usize::try_from(topic.partitions).unwrap_or_default();
    let results = client
        .create_partitions([&NewPartitions::new(&topic.name, count)], &options())
        .await
        .map_err(|e| ServiceError::kafka(&*action, &e))?;
    match results.into_iter().next() {
        Some(Err((_, code))) => Err(refused(&action, topic, code)),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// The entries of the file's `topic.config` that the topic has otherwise.
async fn differing_config(
    client: &Client,
    topic: &Topic,
) -> Result<BTreeMap<String, String>, ServiceError> {
    if topic.config.is_empty() {
        return Ok(BTreeMap::new());
    }
    let action = format!("read the configuration of topic `{}`", topic.name);
    let described = client
        .describe_configs([&ResourceSpecifier::Topic(&topic.name)], &options())
        .await
        .map_err(|e| ServiceError::kafka(&*action, &e))?;
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

fn refused(action: &str, topic: &Topic, code: RDKafkaErrorCode) -> ServiceError {
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
    ServiceError::kafka_refused(action, code, &hint)
}
