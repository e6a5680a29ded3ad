//! One file for each API, and the way of a request to it and back.

mod api_versions;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod describe_cluster;
mod fetch;
mod find_coordinator;
mod group_membership;
mod groups;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_fetch;
mod produce;

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use tokio::sync::OwnedSemaphorePermit;

use super::connection::{Answer, ConnectionError};
use super::log::partition::Refusal;
use super::node::Node;
use super::shape;
use super::versions;

/// Where a client is, and what the broker tells it about where it is itself.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// As Apache Kafka writes it: `/` and the address.
    pub(crate) client_host: String,
    pub(crate) broker_host: String,
    pub(crate) broker_port: i32,
}

/// A request on its way through the broker.
pub(crate) struct Call<'a> {
    node: &'a Arc<Node>,
    peer: &'a Peer,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: StrBytes,
    body: Bytes,
}

/// Answers one request; `None` where the client wants no answer.
pub(crate) async fn answer(
    node: &Arc<Node>,
    peer: &Peer,
    frame: Bytes,
) -> Result<Option<Answer>, ConnectionError> {
    let (key, version) = key_and_version(&frame)?;
    let unsupported = ConnectionError::Unsupported { key, version };
    let Some(row) = versions::find(key) else {
        return Err(unsupported);
    };
    if !(row.served..=row.highest).contains(&version) {
        if row.key == ApiKey::ApiVersions {
            return api_versions::answer_unsupported(&frame).map(Some);
        }
        return Err(unsupported);
    }
    let malformed =
        |error: String| ConnectionError::Malformed(format!("{:?} {version}: {error}", row.key));
    let mut body = frame;
    let header = RequestHeader::decode(&mut body, row.key.request_header_version(version))
        .map_err(|error| malformed(error.to_string()))?;
    shape::check(row.key, version, &body).map_err(|error| malformed(error.to_string()))?;
    let call = Call {
        node,
        peer,
        key: row.key,
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id.unwrap_or_default(),
        body,
    };
    match call.key {
        ApiKey::Produce => produce::handle(call).await,
        ApiKey::Fetch => fetch::handle(call).await.map(Some),
        ApiKey::ListOffsets => list_offsets::handle(call).await.map(Some),
        ApiKey::Metadata => metadata::handle(call).map(Some),
        ApiKey::OffsetCommit => offset_commit::handle(call).await.map(Some),
        ApiKey::OffsetFetch => offset_fetch::handle(call).map(Some),
        ApiKey::FindCoordinator => find_coordinator::handle(call).map(Some),
        ApiKey::JoinGroup => group_membership::join(call).await.map(Some),
        ApiKey::SyncGroup => group_membership::sync(call).await.map(Some),
        ApiKey::Heartbeat => group_membership::heartbeat(call).map(Some),
        ApiKey::LeaveGroup => group_membership::leave(call).map(Some),
        ApiKey::ListGroups => groups::list(call).map(Some),
        ApiKey::DescribeGroups => groups::describe(call).map(Some),
        ApiKey::DeleteGroups => groups::delete(call).await.map(Some),
        ApiKey::DescribeCluster => describe_cluster::handle(call).map(Some),
        ApiKey::ApiVersions => api_versions::handle(call).map(Some),
        ApiKey::CreateTopics => create_topics::handle(call).await.map(Some),
        ApiKey::DeleteTopics => delete_topics::handle(call).await.map(Some),
        ApiKey::CreatePartitions => create_partitions::handle(call).await.map(Some),
        ApiKey::InitProducerId => init_producer_id::handle(call).await.map(Some),
        ApiKey::DescribeConfigs => configs::describe(call).map(Some),
        ApiKey::IncrementalAlterConfigs => configs::alter(call).await.map(Some),
        _ => Err(unsupported),
    }
}

fn key_and_version(frame: &[u8]) -> Result<(i16, i16), ConnectionError> {
    match frame {
        [k0, k1, v0, v1, ..] => Ok((
            i16::from_be_bytes([*k0, *k1]),
            i16::from_be_bytes([*v0, *v1]),
        )),
        _ => Err(ConnectionError::Malformed("it has no header".to_owned())),
    }
}

impl Call<'_> {
    /// Decodes the request's body.
    fn decode<R: Request>(&mut self) -> Result<R, ConnectionError> {
        R::decode(&mut self.body, self.version).map_err(|error| {
            ConnectionError::Malformed(format!("{:?} {}: {error}", self.key, self.version))
        })
    }

    /// Encodes the answer.
    fn answer(&self, body: &impl Encodable) -> Result<Answer, ConnectionError> {
        self.answer_within(body, None)
    }

    /// Encodes an answer that takes memory from a budget.
    fn answer_within(
        &self,
        body: &impl Encodable,
        budget: Option<OwnedSemaphorePermit>,
    ) -> Result<Answer, ConnectionError> {
        let header_version = self.key.response_header_version(self.version);
        let frame = encode(self.correlation_id, header_version, body, self.version)?;
        Ok(Answer { frame, budget })
    }
}

fn encode(
    correlation_id: i32,
    header_version: i16,
    body: &impl Encodable,
    version: i16,
) -> Result<Bytes, ConnectionError> {
    let fault = |error: &dyn std::fmt::Display| ConnectionError::Answer(error.to_string());
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let length = header
        .compute_size(header_version)
        .and_then(|header| Ok(header + body.compute_size(version)?))
        .map_err(|error| fault(&error))?;
    let mut frame = BytesMut::with_capacity(length + 4);
    frame.put_i32(i32::try_from(length).map_err(|error| fault(&error))?);
    header
        .encode(&mut frame, header_version)
        .and_then(|()| body.encode(&mut frame, version))
        .map_err(|error| fault(&error))?;
    Ok(frame.freeze())
}

/// Runs work that waits for the disk off the async threads.
async fn blocking<T: Send + 'static>(
    node: &Arc<Node>,
    work: impl FnOnce(&Node) -> T + Send + 'static,
) -> Result<T, ConnectionError> {
    let node = Arc::clone(node);
    tokio::task::spawn_blocking(move || work(&node))
        .await
        .map_err(|error| ConnectionError::Answer(error.to_string()))
}

/// The error code of a result, 0 for success.
fn code<T>(result: &Result<T, ResponseError>) -> i16 {
    result.as_ref().err().map_or(0, ResponseError::code)
}

/// The error code and message of a result.
fn code_and_message<T>(result: &Result<T, Refusal>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(_) => (0, None),
        Err(refusal) => (
            refusal.code.code(),
            Some(StrBytes::from_string(refusal.message.clone())),
        ),
    }
}
