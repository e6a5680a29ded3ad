//! Fetch (1): batches out of logs, waiting for them if need be.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::{Call, blocking};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::log::partition::{Offsets, Partition, Position, Unusable};
use crate::broker::log::segment::Slice;
use crate::broker::log::walk::WalkError;
use crate::broker::node::permits;

/// Most records in one answer, whatever the client allows. One batch is always sent whole.
const MAX_BYTES: usize = 16 << 20;

/// Longest wait of one fetch, whatever the client allows.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// One partition of a fetch.
struct Wanted {
    topic: usize,
    index: i32,
    offset: i64,
    max_bytes: usize,
    /// The partition, or why it cannot be fetched.
    partition: Result<Arc<Partition>, ResponseError>,
}

/// What a look at one partition found.
struct Look {
    result: Result<Option<Slice>, ResponseError>,
    offsets: Option<Offsets>,
}

/// The waiting of a fetch, which ends on every path by leaving the partitions' lists.
struct Waiter<'a> {
    notify: Arc<Notify>,
    wanted: &'a [Wanted],
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        for partition in self.wanted.iter().filter_map(|w| w.partition.as_ref().ok()) {
            partition.forget(&self.notify);
        }
    }
}

pub(super) async fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: FetchRequest = call.decode()?;
    if request.session_id != 0 {
        let response =
            FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
        return call.answer(&response);
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let max_bytes = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(MAX_BYTES);
    let wanted = wanted(&call, &request);
    let waiter = Waiter {
        notify: Arc::new(Notify::new()),
        wanted: &wanted,
    };
    let (looks, records, budget) = loop {
        let looks: Vec<Look> = wanted.iter().map(|w| w.look(&waiter.notify)).collect();
        let refused = looks.iter().any(|look| look.result.is_err());
        let there = looks.iter().any(|look| matches!(look.result, Ok(Some(_))));
        let late = Instant::now() >= deadline;
        if refused || there || late || min_bytes == 0 {
            let (records, budget) = read(&call, &wanted, &looks, max_bytes).await?;
            let bytes: usize = records.iter().flatten().map(Bytes::len).sum();
            if refused || late || bytes >= min_bytes || records.iter().any(Result::is_err) {
                break (looks, records, budget);
            }
        }
        tokio::select! {
            () = waiter.notify.notified() => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
    };
    drop(waiter);
    let response = respond(&request, &wanted, looks, records, call.version);
    call.answer_within(&response, budget)
}

fn wanted(call: &Call<'_>, request: &FetchRequest) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for (number, topic) in request.topics.iter().enumerate() {
        let known = call.node.topics.get(&topic.topic);
        for asked in &topic.partitions {
            wanted.push(Wanted {
                topic: number,
                index: asked.partition,
                offset: asked.fetch_offset,
                max_bytes: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
                partition: known
                    .as_ref()
                    .and_then(|topic| topic.partition(asked.partition))
                    .ok_or(ResponseError::UnknownTopicOrPartition)
                    .and_then(|partition| check_epoch(asked).map(|()| partition)),
            });
        }
    }
    wanted
}

/// The leader epoch is 0 for ever; a client that knows a later one knows another cluster.
fn check_epoch(asked: &FetchPartition) -> Result<(), ResponseError> {
    match asked.current_leader_epoch {
        ..=0 => Ok(()),
        _ => Err(ResponseError::UnknownLeaderEpoch),
    }
}

impl Wanted {
    fn look(&self, waiter: &Arc<Notify>) -> Look {
        let partition = match &self.partition {
            Ok(partition) => partition,
            Err(error) => {
                return Look {
                    result: Err(*error),
                    offsets: None,
                };
            }
        };
        match partition.position(self.offset, waiter) {
            Err(unusable) => Look {
                result: Err(unusable.code()),
                offsets: None,
            },
            Ok((position, offsets)) => Look {
                result: match position {
                    Position::Records(slice) => Ok(Some(slice)),
                    Position::End => Ok(None),
                    Position::OutOfRange => Err(ResponseError::OffsetOutOfRange),
                },
                offsets: Some(offsets),
            },
        }
    }
}

/// The records of each partition, and the memory that they take.
type Records = (
    Vec<Result<Bytes, ResponseError>>,
    Option<OwnedSemaphorePermit>,
);

/// Reads what was found, within the limits of the request and the memory budget.
async fn read(
    call: &Call<'_>,
    wanted: &[Wanted],
    looks: &[Look],
    max_bytes: usize,
) -> Result<Records, ConnectionError> {
    let slices: Vec<Option<Found>> = wanted
        .iter()
        .zip(looks)
        .map(|(wanted, look)| {
            Some(Found {
                slice: look.result.as_ref().ok()?.clone()?,
                offset: wanted.offset,
                max_bytes: wanted.max_bytes,
                partition: Arc::clone(wanted.partition.as_ref().ok()?),
            })
        })
        .collect();
    if slices.iter().all(Option::is_none) {
        return Ok((vec![Ok(Bytes::new()); wanted.len()], None));
    }
    let most: usize = slices
        .iter()
        .flatten()
        .map(|found| found.slice.most_bytes().min(found.max_bytes))
        .fold(0, usize::saturating_add)
        .min(max_bytes);
    let wanted_permits = permits(most).min(permits(call.node.config.memory_bytes));
    let mut budget = Arc::clone(&call.node.fetch_budget)
        .acquire_many_owned(wanted_permits)
        .await
        .map_err(std::io::Error::other)?;
    let records = blocking(call.node, move |_| read_slices(slices, max_bytes)).await?;
    let bytes: usize = records.iter().flatten().map(Bytes::len).sum();
    let surplus = wanted_permits.saturating_sub(permits(bytes));
    drop(budget.split(surplus as usize));
    Ok((records, Some(budget)))
}

/// Records that a look found, to be read off the async threads.
struct Found {
    slice: Slice,
    offset: i64,
    max_bytes: usize,
    partition: Arc<Partition>,
}

fn read_slices(slices: Vec<Option<Found>>, max_bytes: usize) -> Vec<Result<Bytes, ResponseError>> {
    let mut left = max_bytes;
    let mut first = true;
    slices
        .into_iter()
        .map(|found| {
            let Some(found) = found else {
                return Ok(Bytes::new());
            };
            // The first batch of an answer goes out whole even if it exceeds the limits, so
            // that a consumer can always go on (KIP-74).
            let records = found
                .slice
                .read(left.min(found.max_bytes), first)
                .map_err(|error| found.explain(&error))?;
            first &= records.is_empty();
            left = left.saturating_sub(records.len());
            Ok(records)
        })
        .collect()
}

impl Found {
    /// The error code of a failed read: since the look retention may have deleted the segment, or somebody the topic.
    fn explain(&self, error: &WalkError) -> ResponseError {
        match self.partition.offsets() {
            Ok(offsets) if self.offset < offsets.start => ResponseError::OffsetOutOfRange,
            Err(Unusable::Deleted) => Unusable::Deleted.code(),
            _ => {
                tracing::error!("cannot read the log of {}: {error}", self.partition.name());
                ResponseError::KafkaStorageError
            }
        }
    }
}

fn respond(
    request: &FetchRequest,
    wanted: &[Wanted],
    looks: Vec<Look>,
    records: Vec<Result<Bytes, ResponseError>>,
    version: i16,
) -> FetchResponse {
    let name = |topic: &TopicName| FetchableTopicResponse::default().with_topic(topic.clone());
    let mut topics: Vec<FetchableTopicResponse> =
        request.topics.iter().map(|t| name(&t.topic)).collect();
    // Without transactions the last stable offset is the end, and nothing was aborted.
    let aborted = (request.isolation_level == 1).then(Vec::new);
    for ((wanted, look), records) in wanted.iter().zip(looks).zip(records) {
        let records = look.result.and(records);
        let (start, end) = look.offsets.map_or((-1, -1), |o| (o.start, o.end));
        let data = PartitionData::default()
            .with_partition_index(wanted.index)
            .with_error_code(records.as_ref().err().map_or(0, ResponseError::code))
            .with_high_watermark(end)
            .with_last_stable_offset(end)
            .with_log_start_offset(if version >= 5 { start } else { -1 })
            .with_aborted_transactions(aborted.clone())
            .with_records(Some(records.unwrap_or_default()));
        topics[wanted.topic].partitions.push(data);
    }
    FetchResponse::default().with_responses(topics)
}
