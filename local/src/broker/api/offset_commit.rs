//! OffsetCommit (8).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::{Call, blocking, code};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::group::offsets::{Committed, Key};

/// Longest note of a consumer in bytes, as in Apache Kafka.
const MAX_METADATA: usize = 4_096;

pub(super) async fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: OffsetCommitRequest = call.decode()?;
    let group = request.group_id.to_string();
    let instance = request.group_instance_id.as_ref().map(ToString::to_string);
    let allowed = call.node.coordinator.check_commit(
        &group,
        &request.member_id,
        instance.as_ref(),
        request.generation_id_or_member_epoch,
    );
    let mut commits: Vec<(Key, Committed)> = Vec::new();
    let mut topics: Vec<OffsetCommitResponseTopic> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|asked| {
            let index = asked.partition_index;
            let metadata = asked.committed_metadata.clone().unwrap_or_default();
            let result = allowed.and_then(|()| {
                if !call.node.topics.has_partition(&topic.name, index) {
                    Err(ResponseError::UnknownTopicOrPartition)
                } else if metadata.len() > MAX_METADATA {
                    Err(ResponseError::OffsetMetadataTooLarge)
                } else {
                    Ok(())
                }
            });
            if result.is_ok() {
                let committed = Committed {
                    offset: asked.committed_offset,
                    epoch: asked.committed_leader_epoch,
                    metadata: metadata.to_string(),
                };
                commits.push(((topic.name.to_string(), index), committed));
            }
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(&result))
        });
        let partitions = partitions.collect();
        topics.push(
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions),
        );
    }
    let sync = call.node.config.fsync;
    let written = blocking(call.node, move |node| {
        let offsets = &node.coordinator.offsets;
        offsets.commit(&group, commits)?;
        if sync { offsets.flush() } else { Ok(()) }
    })
    .await?;
    if let Err(error) = written {
        tracing::error!("cannot write committed offsets: {error}");
        for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.error_code = ResponseError::CoordinatorNotAvailable.code();
        }
    }
    call.answer(&OffsetCommitResponse::default().with_topics(topics))
}
