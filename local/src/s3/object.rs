//! What the index knows of a bucket, an object, an upload and a part.

use std::collections::BTreeMap;

use s3s::dto;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checksum::{Algorithm, Checksum};

/// Name of a blob file. It says nothing of the key, so that a key may be
/// anything that S3 allows: 1,024 bytes, `a` beside `a/b`, `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct BlobId(pub(super) Uuid);

impl BlobId {
    pub(super) fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

/// One bucket.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Bucket {
    pub(super) created_ms: i64,
    /// Its LocationConstraint, as the client gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lifecycle: Option<dto::BucketLifecycleConfiguration>,
}

/// The headers that S3 keeps with an object and gives back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Headers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<dto::Timestamp>,
    /// `x-amz-meta-*`, without the prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<(String, String)>,
}

/// A run of an object's bytes: the whole of one blob file. An object put in
/// one request has one (none if it is empty); one put in parts has one for
/// each part, so that completing an upload moves no data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Part number; 1 for an object put in one request.
    pub(super) number: u16,
    /// Absent iff the piece is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blob: Option<BlobId>,
    /// Bytes.
    pub(super) size: u64,
    /// Checksum of this part, for GetObjectAttributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
}

/// One object as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Object {
    /// Bytes.
    pub(super) size: u64,
    /// MD5 in hexadecimal, or `<MD5 of the parts' MD5s>-<parts>`; no quotes.
    pub(super) etag: String,
    /// Last modified, milliseconds since 1970.
    pub(super) modified_ms: i64,
    pub(super) checksum: Checksum,
    pub(super) pieces: Vec<Piece>,
    /// Whether it was put in parts.
    #[serde(default)]
    pub(super) multipart: bool,
    #[serde(default)]
    pub(super) headers: Headers,
}

impl Object {
    /// The blob files that hold it, in the order of its bytes.
    pub(super) fn blobs(&self) -> Vec<BlobId> {
        self.pieces.iter().filter_map(|piece| piece.blob).collect()
    }
}

/// The part of [`Object`] that a listing shows, so that a page of objects with
/// many pieces reads only this much.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) modified_ms: i64,
    pub(super) checksum: Checksum,
}

/// A multipart upload under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) id: String,
    /// Milliseconds since 1970.
    pub(super) initiated_ms: i64,
    /// What the object's checksum will be.
    pub(super) algorithm: Algorithm,
    pub(super) composite: bool,
    /// Whether the client named the algorithm, and so must keep to it.
    pub(super) algorithm_named: bool,
    pub(super) headers: Headers,
}

/// An uploaded part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blob: Option<BlobId>,
    pub(super) size: u64,
    /// MD5 in hexadecimal.
    pub(super) etag: String,
    pub(super) modified_ms: i64,
    /// Base64 by algorithm: the upload's, and the one that the client sent.
    pub(super) checksums: BTreeMap<Algorithm, String>,
}

/// Milliseconds since 1970, now.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The SDK's timestamp of milliseconds since 1970.
pub(super) fn timestamp(ms: i64) -> dto::Timestamp {
    let since_epoch = std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    dto::Timestamp::from(std::time::UNIX_EPOCH + since_epoch)
}
