//! OffsetFetch (9): what groups committed; from version 8 on for several groups at once.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Call;
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::group::offsets::Committed;
use crate::broker::node::Node;

/// Partitions of topics, each with what was committed for it.
type Found = Vec<(TopicName, Vec<(i32, Option<Committed>)>)>;

pub(super) fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: OffsetFetchRequest = call.decode()?;
    let response = if call.version >= 8 {
        let groups = request.groups.iter().map(|group| batched(call.node, group));
        OffsetFetchResponse::default().with_groups(groups.collect())
    } else {
        single(call.node, &request, call.version)
    };
    call.answer(&response)
}

fn batched(node: &Node, group: &OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let found = match &group.topics {
        None => everything(node, &group.group_id),
        Some(topics) => {
            let asked = topics.iter().map(|t| (&t.name, &t.partition_indexes));
            look_up(node, &group.group_id, asked)
        }
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, committed)| {
            let (offset, epoch, metadata) = parts(committed);
            OffsetFetchResponsePartitions::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(epoch)
                .with_metadata(Some(metadata))
        });
        OffsetFetchResponseTopics::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponseGroup::default()
        .with_group_id(group.group_id.clone())
        .with_topics(topics.collect())
}

fn single(node: &Node, request: &OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    let found = match &request.topics {
        None => everything(node, &request.group_id),
        Some(topics) => {
            let asked = topics.iter().map(|t| (&t.name, &t.partition_indexes));
            look_up(node, &request.group_id, asked)
        }
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, committed)| {
            let (offset, epoch, metadata) = parts(committed);
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(if version >= 5 { epoch } else { -1 })
                .with_metadata(Some(metadata))
        });
        OffsetFetchResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn look_up<'a>(
    node: &Node,
    group: &str,
    asked: impl Iterator<Item = (&'a TopicName, &'a Vec<i32>)>,
) -> Found {
    asked
        .map(|(name, indexes)| {
            let partitions = indexes.iter().map(|index| {
                let key = (name.to_string(), *index);
                (*index, node.coordinator.offsets.get(group, &key))
            });
            (name.clone(), partitions.collect())
        })
        .collect()
}

fn everything(node: &Node, group: &str) -> Found {
    let mut topics: BTreeMap<String, Vec<(i32, Option<Committed>)>> = BTreeMap::new();
    for ((topic, index), committed) in node.coordinator.offsets.all(group) {
        topics
            .entry(topic)
            .or_default()
            .push((index, Some(committed)));
    }
    topics
        .into_iter()
        .map(|(topic, partitions)| (TopicName(StrBytes::from_string(topic)), partitions))
        .collect()
}

/// Offset, leader epoch and note; -1 and -1 where nothing was committed.
fn parts(committed: Option<Committed>) -> (i64, i32, StrBytes) {
    committed.map_or((-1, -1, StrBytes::new()), |committed| {
        (
            committed.offset,
            committed.epoch,
            StrBytes::from_string(committed.metadata),
        )
    })
}
