//! Produce (0): batches into logs.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Call, blocking};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::log::Appended;
use crate::broker::log::batch::Batch;
use crate::broker::log::partition::{Partition, Refusal};
use crate::broker::topics::{Topic, unknown_topic};

/// What became of one partition's batch.
struct Outcome {
    index: i32,
    result: Result<Appended, Refusal>,
    /// Offset of the oldest record of the partition, -1 if unknown.
    log_start: i64,
}

pub(super) async fn handle(mut call: Call<'_>) -> Result<Option<Answer>, ConnectionError> {
    let request: ProduceRequest = call.decode()?;
    let acks = request.acks;
    let refused = refuse_all(&request);
    let mut written = Vec::new();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let topic = call.node.topics.get(&data.name);
        let outcomes: Vec<Outcome> = data
            .partition_data
            .into_iter()
            .map(|partition| match (&refused, &topic) {
                (Some(refusal), _) => refuse(partition.index, refusal.clone()),
                (None, None) => refuse(partition.index, unknown_topic(&data.name)),
                (None, Some(topic)) => append(topic, partition, &mut written),
            })
            .collect();
        topics.push((data.name, outcomes));
    }
    if call.node.config.fsync && !written.is_empty() {
        sync(&call, written, &mut topics).await?;
    }
    if acks == 0 {
        // The only way to tell a producer that wants no answer, as in Apache Kafka.
        let refusal = topics
            .into_iter()
            .flat_map(|(_, outcomes)| outcomes)
            .find_map(|outcome| outcome.result.err());
        return match refusal {
            None => Ok(None),
            Some(refusal) => Err(ConnectionError::UnansweredRefusal(refusal.message)),
        };
    }
    let version = call.version;
    let responses = topics.into_iter().map(|(name, outcomes)| {
        let partitions = outcomes
            .into_iter()
            .map(|outcome| partition_response(outcome, version));
        TopicProduceResponse::default()
            .with_name(name)
            .with_partition_responses(partitions.collect())
    });
    call.answer(&ProduceResponse::default().with_responses(responses.collect()))
        .map(Some)
}

/// What makes the broker refuse a whole request.
fn refuse_all(request: &ProduceRequest) -> Option<Refusal> {
    if !(-1..=1).contains(&request.acks) {
        return Some(Refusal {
            code: ResponseError::InvalidRequiredAcks,
            message: format!("acks must be -1, 0 or 1, not {}", request.acks),
        });
    }
    request.transactional_id.as_ref().map(|_| Refusal {
        code: ResponseError::TransactionalIdAuthorizationFailed,
        message: "the embedded broker has no transactions".to_owned(),
    })
}

fn refuse(index: i32, refusal: Refusal) -> Outcome {
    Outcome {
        index,
        result: Err(refusal),
        log_start: -1,
    }
}

fn append(topic: &Topic, data: PartitionProduceData, written: &mut Vec<Arc<Partition>>) -> Outcome {
    let index = data.index;
    let Some(partition) = topic.partition(index) else {
        return refuse(index, unknown_topic(&format!("{}-{index}", topic.name)));
    };
    let config = topic.config();
    let result = Batch::check(data.records.unwrap_or_default(), config.max_batch_bytes())
        .map_err(|error| Refusal {
            code: error.code(),
            message: error.to_string(),
        })
        .and_then(|batch| partition.append(&batch, config.limits()));
    let outcome = Outcome {
        index,
        result,
        log_start: partition.offsets().map_or(-1, |offsets| offsets.start),
    };
    if outcome.result.is_ok() {
        written.push(partition);
    }
    outcome
}

/// Syncs the partitions that were written; if that fails, nothing is acknowledged.
async fn sync<K>(
    call: &Call<'_>,
    written: Vec<Arc<Partition>>,
    topics: &mut [(K, Vec<Outcome>)],
) -> Result<(), ConnectionError> {
    let synced = blocking(call.node, move |_| {
        for partition in &written {
            partition.flush().map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(())
    })
    .await?;
    if let Err(message) = synced {
        tracing::error!("{message}");
        for outcome in topics.iter_mut().flat_map(|(_, outcomes)| outcomes) {
            outcome.result = Err(Refusal {
                code: ResponseError::KafkaStorageError,
                message: message.clone(),
            });
        }
    }
    Ok(())
}

fn partition_response(outcome: Outcome, version: i16) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default()
        .with_index(outcome.index)
        .with_error_message(None)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(if version >= 5 { outcome.log_start } else { -1 });
    match outcome.result {
        Ok(appended) => response.with_base_offset(appended.base_offset),
        Err(refusal) => response
            .with_base_offset(-1)
            .with_error_code(refusal.code.code())
            .with_error_message((version >= 8).then(|| StrBytes::from_string(refusal.message))),
    }
}
