//! Metadata (3): the one node, and the topics. Topics are never created by asking for them.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Call;
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::node::{NODE_ID, Node};
use crate::broker::topics::{Topic, check_name};

pub(super) fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: MetadataRequest = call.decode()?;
    let version = call.version;
    let topics = match &request.topics {
        Some(topics) if version > 0 || !topics.is_empty() => topics
            .iter()
            .map(|asked| look_up(call.node, asked, version))
            .collect(),
        // Version 0 says "all" by an empty list, later ones by none.
        _ => {
            let all = call.node.topics.all();
            all.iter().map(|topic| describe(topic, version)).collect()
        }
    };
    let node = MetadataResponseBroker::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(StrBytes::from_string(call.peer.broker_host.clone()))
        .with_port(call.peer.broker_port);
    let cluster_id = StrBytes::from_string(call.node.cluster_id.clone());
    let response = MetadataResponse::default()
        .with_brokers(vec![node])
        .with_cluster_id((version >= 2).then_some(cluster_id))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(topics);
    call.answer(&response)
}

fn look_up(node: &Node, asked: &MetadataRequestTopic, version: i16) -> MetadataResponseTopic {
    let unknown = MetadataResponseTopic::default().with_name(asked.name.clone());
    match &asked.name {
        Some(name) => match (check_name(name), node.topics.get(name)) {
            (Err(refusal), _) => unknown.with_error_code(refusal.code.code()),
            (Ok(()), None) => {
                unknown.with_error_code(ResponseError::UnknownTopicOrPartition.code())
            }
            (Ok(()), Some(topic)) => describe(&topic, version),
        },
        None => match node.topics.by_id(asked.topic_id) {
            Some(topic) => describe(&topic, version),
            None => unknown
                // Before version 12 an answer cannot be without a name.
                .with_name((version < 12).then(TopicName::default))
                .with_topic_id(asked.topic_id)
                .with_error_code(ResponseError::UnknownTopicId.code()),
        },
    }
}

fn describe(topic: &Topic, version: i16) -> MetadataResponseTopic {
    let this = || vec![BrokerId(NODE_ID)];
    let partitions = (0..topic.partition_count()).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(if version >= 7 { 0 } else { -1 })
            .with_replica_nodes(this())
            .with_isr_nodes(this())
    });
    let name = StrBytes::from_string(topic.name.clone());
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(name)))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
}
