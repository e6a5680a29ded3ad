//! ApiVersions (18): the version table.

use bytes::{Buf as _, Bytes};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{Call, encode};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::versions::TABLE;

pub(super) fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    call.decode::<ApiVersionsRequest>()?;
    call.answer(&table())
}

/// The answer to a version that the broker does not have: error 35 in the form of version 0,
/// which every client can read, with the table to choose from (KIP-511).
pub(super) fn answer_unsupported(frame: &Bytes) -> Result<Answer, ConnectionError> {
    let correlation_id = frame
        .get(4..8)
        .map(|mut bytes| bytes.get_i32())
        .ok_or_else(|| ConnectionError::Malformed("it has no correlation id".to_owned()))?;
    let response = table().with_error_code(ResponseError::UnsupportedVersion.code());
    Ok(Answer {
        frame: encode(correlation_id, 0, &response, 0)?,
        budget: None,
    })
}

fn table() -> ApiVersionsResponse {
    let rows = TABLE.iter().map(|row| {
        ApiVersion::default()
            .with_api_key(row.key as i16)
            .with_min_version(row.advertised)
            .with_max_version(row.highest)
    });
    ApiVersionsResponse::default().with_api_keys(rows.collect())
}
