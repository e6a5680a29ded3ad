//! ListOffsets (2): offsets by position and by time.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::{Call, blocking};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::log::Log;
use crate::broker::log::partition::{Partition, Unusable};
use crate::broker::log::records::Found;
use crate::broker::node::Node;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// The record with the greatest timestamp (KIP-734, version 7).
const MAX_TIMESTAMP: i64 = -3;

pub(super) async fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: ListOffsetsRequest = call.decode()?;
    let version = call.version;
    let response = blocking(call.node, move |node| respond(node, &request, version)).await?;
    call.answer(&response)
}

fn respond(node: &Node, request: &ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let known = node.topics.get(&topic.name);
        let partitions = topic.partitions.iter().map(|asked| {
            let partition = known
                .as_ref()
                .and_then(|t| t.partition(asked.partition_index));
            let found = partition
                .ok_or(ResponseError::UnknownTopicOrPartition)
                .and_then(|partition| look_up(&partition, asked, version));
            partition_response(asked, found, version)
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn partition_response(
    asked: &ListOffsetsPartition,
    found: Result<Option<Found>, ResponseError>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default()
        .with_partition_index(asked.partition_index)
        .with_offset(-1)
        .with_timestamp(-1);
    match found {
        Err(error) => response.with_error_code(error.code()),
        Ok(None) => response,
        Ok(Some(found)) => response
            .with_offset(found.offset)
            .with_timestamp(found.timestamp)
            .with_leader_epoch(if version >= 4 { 0 } else { -1 }),
    }
}

fn look_up(
    partition: &Arc<Partition>,
    asked: &ListOffsetsPartition,
    version: i16,
) -> Result<Option<Found>, ResponseError> {
    if asked.current_leader_epoch > 0 {
        return Err(ResponseError::UnknownLeaderEpoch);
    }
    let at = |offset| {
        Some(Found {
            offset,
            timestamp: -1,
        })
    };
    let offsets = partition.offsets().map_err(Unusable::code)?;
    match asked.timestamp {
        LATEST => Ok(at(offsets.end)),
        EARLIEST => Ok(at(offsets.start)),
        MAX_TIMESTAMP if version >= 7 => {
            let greatest = partition
                .with_log(Log::max_timestamp)
                .map_err(Unusable::code)?;
            match greatest {
                None => Ok(None),
                Some(greatest) => by_time(partition, greatest),
            }
        }
        timestamp if timestamp >= 0 => by_time(partition, timestamp),
        _ => Err(ResponseError::UnsupportedVersion),
    }
}

fn by_time(partition: &Partition, timestamp: i64) -> Result<Option<Found>, ResponseError> {
    let slice = partition
        .with_log(|log| log.slice_of_time(timestamp))
        .map_err(Unusable::code)?;
    let Some(slice) = slice else {
        return Ok(None);
    };
    slice.find_time(timestamp).map_err(|error| {
        tracing::error!("cannot read the log of {}: {error}", partition.name());
        ResponseError::KafkaStorageError
    })
}
