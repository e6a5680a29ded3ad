//! CreateTopics (19).

use std::collections::HashMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Call, blocking, code_and_message};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::log::partition::Refusal;
use crate::broker::node::Node;
use crate::broker::topic_config::{DEFINITIONS, TopicConfig};

/// Partitions of a topic whose creator leaves the number to the broker.
const DEFAULT_PARTITIONS: i32 = 1;

/// A topic that was created, or would have been.
struct Created {
    id: Uuid,
    partitions: i32,
    config: TopicConfig,
}

pub(super) async fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: CreateTopicsRequest = call.decode()?;
    let version = call.version;
    let response = blocking(call.node, move |node| respond(node, &request, version)).await?;
    call.answer(&response)
}

fn respond(node: &Node, request: &CreateTopicsRequest, version: i16) -> CreateTopicsResponse {
    let mut named: HashMap<&TopicName, usize> = HashMap::new();
    for topic in &request.topics {
        *named.entry(&topic.name).or_default() += 1;
    }
    let results = request.topics.iter().map(|topic| {
        let created = match named.get(&topic.name) {
            Some(1) => create(node, topic, request.validate_only),
            _ => Err(Refusal {
                code: ResponseError::InvalidRequest,
                message: format!("the request names topic {} more than once", *topic.name),
            }),
        };
        result(topic, created, version)
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create(node: &Node, topic: &CreatableTopic, only_check: bool) -> Result<Created, Refusal> {
    let partitions = partition_count(topic)?;
    let config = TopicConfig::new(topic.configs.iter().map(|config| {
        let value = config.value.as_ref().map(ToString::to_string);
        (config.name.to_string(), value)
    }))
    .map_err(|error| Refusal {
        code: ResponseError::InvalidConfig,
        message: error.to_string(),
    })?;
    let count = usize::try_from(partitions).unwrap_or(0);
    let id = if only_check {
        node.topics.check_new(&topic.name, count)?;
        Uuid::nil()
    } else {
        let created = node.topics.create(&topic.name, count, config.clone())?;
        if topic.replication_factor > 1 {
            tracing::info!(
                "topic {} was asked for with replication factor {}; the embedded broker has one replica of everything",
                created.name,
                topic.replication_factor,
            );
        }
        created.id
    };
    Ok(Created {
        id,
        partitions,
        config,
    })
}

/// The number of partitions asked for, and a check of the replication factor: any is taken
/// as 1, as long as it is one.
fn partition_count(topic: &CreatableTopic) -> Result<i32, Refusal> {
    let refuse = |code, message| Err(Refusal { code, message });
    let (count, factor) = (topic.num_partitions, topic.replication_factor);
    if !topic.assignments.is_empty() {
        let mut indexes: Vec<i32> = topic
            .assignments
            .iter()
            .map(|a| a.partition_index)
            .collect();
        indexes.sort_unstable();
        if count != -1 || factor != -1 {
            return refuse(
                ResponseError::InvalidRequest,
                "a replica assignment excludes a partition count and a replication factor"
                    .to_owned(),
            );
        }
        if !indexes
            .iter()
            .copied()
            .eq(0..i32::try_from(indexes.len()).unwrap_or(0))
        {
            return refuse(
                ResponseError::InvalidReplicaAssignment,
                "a replica assignment names each partition from 0 on once".to_owned(),
            );
        }
        return Ok(i32::try_from(indexes.len()).unwrap_or(0));
    }
    if factor == 0 || factor < -1 {
        return refuse(
            ResponseError::InvalidReplicationFactor,
            format!("the replication factor must be at least 1, not {factor}"),
        );
    }
    match count {
        -1 => Ok(DEFAULT_PARTITIONS),
        1.. => Ok(count),
        _ => refuse(
            ResponseError::InvalidPartitions,
            format!("a topic needs at least one partition, not {count}"),
        ),
    }
}

fn result(
    topic: &CreatableTopic,
    created: Result<Created, Refusal>,
    version: i16,
) -> CreatableTopicResult {
    let (code, message) = code_and_message(&created);
    let result = CreatableTopicResult::default()
        .with_name(topic.name.clone())
        .with_error_code(code)
        .with_error_message(message);
    match created {
        Err(_) => result.with_configs(None),
        Ok(created) if version >= 5 => result
            .with_topic_id(if version >= 7 {
                created.id
            } else {
                Uuid::nil()
            })
            .with_num_partitions(created.partitions)
            .with_replication_factor(1)
            .with_configs(Some(configs(&created.config))),
        Ok(_) => result,
    }
}

fn configs(config: &TopicConfig) -> Vec<CreatableTopicConfigs> {
    let describe = |definition| {
        let (value, set) = config.value(definition);
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(definition.name))
            .with_value(Some(StrBytes::from_string(value.to_owned())))
            .with_config_source(super::configs::source(set))
    };
    DEFINITIONS.iter().map(describe).collect()
}
