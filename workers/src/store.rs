//! S3 as the lake needs it: conditional writes, multipart uploads, typed outcomes.
//!
//! A 404, a 412 and a `NoSuchUpload` are answers here, not errors; every error
//! names the bucket and the key.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Size of every part of a multipart upload but the last, bytes; S3's least is 5 MiB.
pub const PART_BYTES: usize = 8 << 20;

/// How often a contended conditional request (409) is repeated before it is an error.
const CONFLICT_ATTEMPTS: u32 = 8;

/// Why an object could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store refused the call or was not reached.
    #[error("cannot {action} s3://{bucket}/{key}: {why}")]
    Call {
        /// What was tried, as a verb.
        action: &'static str,
        /// Bucket.
        bucket: String,
        /// Key, or prefix of a listing.
        key: String,
        /// The store's own words.
        why: String,
        /// S3 error code, where it answered with one.
        code: Option<String>,
        /// HTTP status, where it answered.
        status: Option<u16>,
    },
    /// An object is not the JSON that it should be.
    #[error("s3://{bucket}/{key} is not what stockpipe wrote there: {why}")]
    Content {
        /// Bucket.
        bucket: String,
        /// Key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// `If-None-Match: *` is ignored: nothing would fence two landers.
    #[error(
        "the store of bucket `{bucket}` has no conditional writes (a second PUT with If-None-Match: * was not \
         answered with 412): exactly once is impossible on it; use S3 or a store that has them"
    )]
    NoConditionalWrites {
        /// Bucket.
        bucket: String,
    },
}

impl StoreError {
    /// Whether the store was not reached, or was reached but could not serve at this moment.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Call { status, .. } => status.is_none_or(|s| s >= 500 || s == 429 || s == 408),
            Self::Content { .. } | Self::NoConditionalWrites { .. } => false,
        }
    }

    /// S3 error code, where the store answered with one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Call { code, .. } => code.as_deref(),
            _ => None,
        }
    }
}

/// Outcome of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is ours.
    Created,
    /// There was one already (or this very PUT had landed and was retried).
    Exists,
}

/// Outcome of completing a multipart upload under `If-None-Match: *`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The object is now visible.
    Created,
    /// An object is already at that key.
    Exists,
    /// The store does not know the upload: completed before, or aborted.
    NoSuchUpload,
}

/// What HEAD tells about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Bytes.
    pub size: u64,
    /// Full-object CRC64NVME, base64; `None` where the store keeps none.
    pub crc64nvme: Option<String>,
    /// `x-amz-meta-*`, without the prefix.
    pub metadata: HashMap<String, String>,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Key.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

/// One bucket of an S3 store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    bucket: Arc<str>,
    lost: Arc<AtomicBool>,
}

impl Store {
    /// The bucket `bucket`, through `client`.
    #[must_use]
    pub fn new(client: Client, bucket: &str) -> Self {
        Self {
            client,
            bucket: bucket.into(),
            lost: Arc::default(),
        }
    }

    /// Name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Whether the last call made through [`persist`](Self::persist) failed.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Repeats `call` until it succeeds, saying once when the store is lost and once when it is back.
    /// Dropping the future ends it.
    pub async fn persist<T, F, Fut>(&self, mut call: F) -> T
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let mut pause = Duration::from_millis(100);
        loop {
            match call().await {
                Ok(value) => {
                    if self.lost.swap(false, Ordering::Relaxed) {
                        tracing::info!(bucket = %self.bucket, "S3 is back");
                    }
                    return value;
                }
                Err(error) => {
                    if !self.lost.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            "S3 is lost: {error}; retrying until it is back, and nothing is lost meanwhile"
                        );
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }

    /// The object at `key`; `None` where there is none.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let Some(body) = self.get_stream(key).await? else {
            return Ok(None);
        };
        let bytes = body.collect().await.map_err(|e| StoreError::Call {
            action: "read",
            bucket: self.bucket.to_string(),
            key: key.to_owned(),
            why: e.to_string(),
            code: None,
            status: None,
        })?;
        Ok(Some(bytes.into_bytes()))
    }

    /// The object at `key` as it arrives; `None` where there is none.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn get_stream(&self, key: &str) -> Result<Option<ByteStream>, StoreError> {
        let call = self.client.get_object().bucket(&*self.bucket).key(key);
        match call.send().await {
            Ok(output) => Ok(Some(output.body)),
            Err(e) if code_of(&e) == Some("NoSuchKey") => Ok(None),
            Err(e) => Err(self.error("read", key, &e)),
        }
    }

    /// The JSON object at `key`; `None` where there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get), and where the object is not such a `T`.
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.get(key).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| StoreError::Content {
                bucket: self.bucket.to_string(),
                key: key.to_owned(),
                why: e.to_string(),
            })
    }

    /// Writes `body` at `key`, over what is there.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        let call = self.client.put_object().bucket(&*self.bucket).key(key);
        call.body(ByteStream::from(body))
            .send()
            .await
            .map(|_| ())
            .map_err(|e| self.error("write", key, &e))
    }

    /// Writes `value` as JSON at `key`, over what is there.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn put_json<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StoreError> {
        self.put(key, json(value)).await
    }

    /// Writes `body` at `key` unless an object is there (`If-None-Match: *`).
    ///
    /// The SDK may repeat a PUT that had landed, so `Exists` may mean one's own object: compare its content.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Put, StoreError> {
        let mut attempt = 0;
        loop {
            let call = self.client.put_object().bucket(&*self.bucket).key(key);
            let result = call
                .if_none_match("*")
                .body(ByteStream::from(body.clone()))
                .send()
                .await;
            match result {
                Ok(_) => return Ok(Put::Created),
                Err(e) if status_of(&e) == Some(412) => return Ok(Put::Exists),
                Err(e) if is_conflict(&e) && attempt < CONFLICT_ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(conflict_pause(attempt)).await;
                }
                Err(e) => return Err(self.error("write", key, &e)),
            }
        }
    }

    /// [`put_if_absent`](Self::put_if_absent) of `value` as JSON.
    ///
    /// # Errors
    /// As [`put_if_absent`](Self::put_if_absent).
    pub async fn put_json_if_absent<T: Serialize>(
        &self,
        key: &str,
        value: &T,
    ) -> Result<Put, StoreError> {
        self.put_if_absent(key, json(value)).await
    }

    /// Size, checksum and metadata of the object at `key`; `None` where there is none.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        let call = self.client.head_object().bucket(&*self.bucket).key(key);
        match call.checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(output) => Ok(Some(ObjectHead {
                size: u64::try_from(output.content_length.unwrap_or(0)).unwrap_or(0),
                // `…-N` is a checksum of the parts' checksums, which says nothing of the whole.
                crc64nvme: output.checksum_crc64_nvme.filter(|crc| !crc.contains('-')),
                metadata: output.metadata.unwrap_or_default(),
            })),
            Err(e) if status_of(&e) == Some(404) => Ok(None),
            Err(e) => Err(self.error("look at", key, &e)),
        }
    }

    /// Deletes the object at `key`, if there is one.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let call = self.client.delete_object().bucket(&*self.bucket).key(key);
        call.send()
            .await
            .map(|_| ())
            .map_err(|e| self.error("delete", key, &e))
    }

    /// The objects under `prefix` in key order, a page at a time.
    #[must_use]
    pub fn list(&self, prefix: &str) -> Pages {
        Pages {
            store: self.clone(),
            prefix: prefix.to_owned(),
            after: None,
            token: None,
            done: false,
        }
    }

    /// The names directly under `prefix` (which ends in `/`) that hold further keys, without slashes.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let call = self.client.list_objects_v2().bucket(&*self.bucket);
            let page = call
                .prefix(prefix)
                .delimiter("/")
                .set_continuation_token(token)
                .send()
                .await
                .map_err(|e| self.error("list", prefix, &e))?;
            names.extend(page.common_prefixes().iter().filter_map(|p| {
                let name = p.prefix()?.strip_prefix(prefix)?;
                Some(name.trim_end_matches('/').to_owned())
            }));
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    /// Begins a multipart upload of `key` with a full-object CRC64NVME; its id.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn create_upload(
        &self,
        key: &str,
        content_type: &str,
        metadata: &[(&str, &str)],
    ) -> Result<String, StoreError> {
        let mut call = self
            .client
            .create_multipart_upload()
            .bucket(&*self.bucket)
            .key(key)
            .content_type(content_type)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject);
        for (name, value) in metadata {
            call = call.metadata(*name, *value);
        }
        let output = call
            .send()
            .await
            .map_err(|e| self.error("begin the upload of", key, &e))?;
        output.upload_id.ok_or_else(|| StoreError::Content {
            bucket: self.bucket.to_string(),
            key: key.to_owned(),
            why: "the store began an upload but gave it no id".to_owned(),
        })
    }

    /// Uploads part `number` (from 1); its ETag.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn upload_part(
        &self,
        key: &str,
        upload_id: &str,
        number: i32,
        body: Bytes,
    ) -> Result<String, StoreError> {
        let crc = crc64nvme(&body);
        let output = self
            .client
            .upload_part()
            .bucket(&*self.bucket)
            .key(key)
            .upload_id(upload_id)
            .part_number(number)
            .checksum_crc64_nvme(crc)
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|e| self.error("upload a part of", key, &e))?;
        Ok(output.e_tag.unwrap_or_default())
    }

    /// Makes the upload visible at `key` unless an object is there; `crc64nvme` (base64) is of the whole object.
    ///
    /// # Errors
    /// Where the store refuses otherwise or is not reached.
    pub async fn complete_if_absent(
        &self,
        key: &str,
        upload_id: &str,
        etags: &[String],
        crc64nvme: &str,
    ) -> Result<Completion, StoreError> {
        let parts = etags.iter().zip(1..).map(|(etag, number)| {
            CompletedPart::builder()
                .part_number(number)
                .e_tag(etag)
                .build()
        });
        let upload = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let mut attempt = 0;
        let mut store_checks_the_whole = true;
        loop {
            let mut call = self
                .client
                .complete_multipart_upload()
                .bucket(&*self.bucket)
                .key(key)
                .upload_id(upload_id)
                .if_none_match("*")
                .multipart_upload(upload.clone());
            if store_checks_the_whole {
                call = call
                    .checksum_type(ChecksumType::FullObject)
                    .checksum_crc64_nvme(crc64nvme);
            }
            match call.send().await {
                Ok(_) if store_checks_the_whole => return Ok(Completion::Created),
                Ok(_) => return self.read_back(key, crc64nvme).await,
                // Some stores know checksums of parts only, and compare ours with another.
                // Each part was checked when it came; the whole is then read back.
                Err(e) if code_of(&e) == Some("BadDigest") && store_checks_the_whole => {
                    store_checks_the_whole = false;
                }
                Err(e) if status_of(&e) == Some(412) => return Ok(Completion::Exists),
                Err(e) if code_of(&e) == Some("NoSuchUpload") => {
                    return Ok(Completion::NoSuchUpload);
                }
                Err(e) if is_conflict(&e) && attempt < CONFLICT_ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(conflict_pause(attempt)).await;
                }
                Err(e) => return Err(self.error("publish", key, &e)),
            }
        }
    }

    /// Whether the object that was just completed is what was staged, byte for byte.
    async fn read_back(&self, key: &str, expected: &str) -> Result<Completion, StoreError> {
        let found = self.get(key).await?.map(|bytes| crc64nvme(&bytes));
        if found.as_deref() == Some(expected) {
            return Ok(Completion::Created);
        }
        Err(StoreError::Content {
            bucket: self.bucket.to_string(),
            key: key.to_owned(),
            why: "its CRC64NVME is not that of the parts that were uploaded".to_owned(),
        })
    }

    /// Drops an upload and its parts; an upload that is gone is fine.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn abort_upload(&self, key: &str, upload_id: &str) -> Result<(), StoreError> {
        let call = self.client.abort_multipart_upload().bucket(&*self.bucket);
        match call.key(key).upload_id(upload_id).send().await {
            Ok(_) => Ok(()),
            Err(e) if code_of(&e) == Some("NoSuchUpload") => Ok(()),
            Err(e) => Err(self.error("abort the upload of", key, &e)),
        }
    }

    /// Refuses a store whose second conditional PUT of a key does not answer 412.
    /// Writes and deletes one object under `prefix`.
    ///
    /// # Errors
    /// [`StoreError::NoConditionalWrites`], or where the store refuses or is not reached.
    pub async fn probe_conditional_writes(&self, prefix: &str) -> Result<(), StoreError> {
        let key = format!(
            "{}/probe-{}",
            prefix.trim_end_matches('/'),
            uuid::Uuid::new_v4()
        );
        let body = Bytes::from_static(b"{}");
        self.put_if_absent(&key, body.clone()).await?;
        let second = self.put_if_absent(&key, body).await?;
        self.delete(&key).await?;
        match second {
            Put::Exists => Ok(()),
            Put::Created => Err(StoreError::NoConditionalWrites {
                bucket: self.bucket.to_string(),
            }),
        }
    }

    fn error<E>(
        &self,
        action: &'static str,
        key: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> StoreError
    where
        E: ProvideErrorMetadata + Debug,
    {
        StoreError::Call {
            action,
            bucket: self.bucket.to_string(),
            key: key.to_owned(),
            why: crate::aws::explain(error),
            code: code_of(error).map(str::to_owned),
            status: status_of(error),
        }
    }
}

/// A listing in progress.
#[derive(Debug)]
pub struct Pages {
    store: Store,
    prefix: String,
    after: Option<String>,
    token: Option<String>,
    done: bool,
}

impl Pages {
    /// Begins after this key.
    #[must_use]
    pub fn after(mut self, key: &str) -> Self {
        self.after = Some(key.to_owned());
        self
    }

    /// The next page (at most 1,000 objects); `None` after the last.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn next(&mut self) -> Result<Option<Vec<Listed>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let call = self
            .store
            .client
            .list_objects_v2()
            .bucket(&*self.store.bucket);
        let page = call
            .prefix(&self.prefix)
            .set_start_after(self.after.clone())
            .set_continuation_token(self.token.take())
            .send()
            .await
            .map_err(|e| self.store.error("list", &self.prefix, &e))?;
        let listed = page
            .contents()
            .iter()
            .filter_map(|o| {
                Some(Listed {
                    key: o.key()?.to_owned(),
                    size: u64::try_from(o.size().unwrap_or(0)).unwrap_or(0),
                })
            })
            .collect();
        self.token = page.next_continuation_token;
        self.done = self.token.is_none();
        Ok(Some(listed))
    }
}

/// CRC64NVME of `bytes` as S3 writes it: base64 of the big-endian value.
#[must_use]
pub fn crc64nvme(bytes: &[u8]) -> String {
    BASE64.encode(crc_fast::crc64_nvme(bytes).to_be_bytes())
}

fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value)
        .expect("a control object serialises")
        .into()
}

fn code_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    match error {
        SdkError::ServiceError(e) => e.err().code(),
        _ => None,
    }
}

fn status_of<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|r| r.status().as_u16())
}

/// S3 answers 409 to a conditional request that ran into another one.
fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status_of(error) == Some(409)
        && matches!(
            code_of(error),
            None | Some("ConditionalRequestConflict" | "OperationAborted")
        )
}

fn conflict_pause(attempt: u32) -> Duration {
    Duration::from_millis(25 << attempt.min(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc64nvme_is_what_s3_documents() {
        // Check value of CRC-64/NVME for "123456789": AE8B14860A799888.
        assert_eq!(
            crc64nvme(b"123456789"),
            BASE64.encode(0xAE8B_1486_0A79_9888_u64.to_be_bytes())
        );
    }

    #[test]
    fn an_unreachable_store_is_an_outage_and_a_refusal_is_not() {
        let call = |status| StoreError::Call {
            action: "read",
            bucket: "b".into(),
            key: "k".into(),
            why: "not reachable".into(),
            code: None,
            status,
        };
        assert!(call(None).is_outage());
        assert!(call(Some(503)).is_outage());
        assert!(!call(Some(403)).is_outage());
        assert_eq!(
            call(None).to_string(),
            "cannot read s3://b/k: not reachable"
        );
    }
}
