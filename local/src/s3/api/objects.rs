//! Writing objects: put, copy, delete.

use http::HeaderMap;
use s3s::dto::{self, ETag};
use s3s::{S3Error, S3Request, S3Result, s3_error};

use super::Api;
use super::headers::{check_metadata, checksum_fields, refuse_unsupported, sent_headers};
use super::reading::{boxed, no_versions};
use crate::s3::checksum::{Algorithm, Checksum, Expected, sent_checksums};
use crate::s3::conditions::WriteCondition;
use crate::s3::error;
use crate::s3::index::{self, Change, Failure, Tables, bucket, object_key, put};
use crate::s3::object::{Headers, Object, Piece, now_ms, timestamp};
use crate::s3::receive::{MAX_BODY, Received, receive};

impl Api {
    pub(super) async fn put_object(
        &self,
        request: S3Request<dto::PutObjectInput>,
    ) -> S3Result<dto::PutObjectOutput> {
        let mut input = request.input;
        refuse_unsupported!(input);
        if input.write_offset_bytes.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "Appending to an object is not supported."
            ));
        }
        let headers = sent_headers!(input);
        check_metadata(&headers)?;
        let condition =
            WriteCondition::parse(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let expected = Expected::parse(
            input.content_md5.as_deref(),
            sent_checksums!(input),
            input.checksum_algorithm.as_ref(),
            trailer(&request.headers),
        )?;
        let algorithm = expected.algorithm().unwrap_or(Algorithm::Crc64Nvme);
        let body = input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
        let declared = declared(input.content_length);
        let received = receive(self.store.blobs(), body, declared, &[algorithm]).await?;
        let trailers = request
            .trailing_headers
            .and_then(|trailers| trailers.take());
        expected.verify(
            &received.digested,
            trailer_value(trailers.as_ref(), expected.trailer),
        )?;
        let object = self
            .put(
                input.bucket,
                input.key,
                received,
                algorithm,
                headers,
                condition,
            )
            .await?;
        let mut output = dto::PutObjectOutput {
            e_tag: Some(ETag::Strong(object.etag)),
            ..Default::default()
        };
        let fields = object.checksum.fields();
        output.checksum_type = fields.checksum_type.clone();
        checksum_fields!(output, fields);
        Ok(output)
    }

    /// Makes a received body an object, if the condition holds.
    async fn put(
        &self,
        name: String,
        key: String,
        received: Received,
        algorithm: Algorithm,
        headers: Headers,
        condition: WriteCondition,
    ) -> S3Result<Object> {
        let value = received.digested.checksums.get(&algorithm).cloned();
        let object = Object {
            size: received.size,
            etag: hex::encode(&received.digested.md5),
            modified_ms: now_ms(),
            checksum: Checksum {
                algorithm,
                value: value
                    .ok_or_else(|| error::internal("a body was not digested".to_owned()))?,
                composite: false,
            },
            pieces: received
                .blob
                .as_ref()
                .map(|blob| Piece {
                    number: 1,
                    blob: Some(blob.id),
                    size: received.size,
                    checksum: None,
                })
                .into_iter()
                .collect(),
            multipart: false,
            headers,
        };
        self.store
            .index
            .write(move |tables| {
                bucket(&tables.buckets, &name)?;
                let existing = index::object(&tables.objects, &name, &key)?;
                condition.check(&key, existing.as_ref())?;
                put(&mut tables.objects, &object_key(&name, &key), &object)?;
                Ok(Change {
                    value: object,
                    keep: received.blob.into_iter().collect(),
                    doom: existing.as_ref().map(Object::blobs).unwrap_or_default(),
                })
            })
            .await
    }

    /// Copies through the body's path: the copy of an object that was put in
    /// parts has one piece, and the ETag of one, as S3 makes it.
    pub(super) async fn copy_object(
        &self,
        request: S3Request<dto::CopyObjectInput>,
    ) -> S3Result<dto::CopyObjectOutput> {
        let mut input = request.input;
        refuse_unsupported!(input);
        let (from_bucket, from_key) = copy_source(&input.copy_source)?;
        let replace_headers = input.metadata_directive.as_ref().map(|d| d.as_str())
            == Some(dto::MetadataDirective::REPLACE);
        let replace_tags = input.tagging_directive.as_ref().map(|d| d.as_str())
            == Some(dto::TaggingDirective::REPLACE);
        if from_bucket == input.bucket && from_key == input.key && !replace_headers {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata."
            ));
        }
        let sent = sent_headers!(input);
        check_metadata(&sent)?;
        let condition = copy_condition!(input);
        let (source, reader) = self
            .open(from_bucket, from_key, move |source| {
                condition.check(source).map_err(copy_failed)?;
                if source.size > MAX_BODY {
                    return Err(s3_error!(
                        InvalidRequest,
                        "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
                    ));
                }
                Ok(0..source.size)
            })
            .await?;
        let mut headers = if replace_headers {
            Headers {
                tags: vec![],
                ..sent.clone()
            }
        } else {
            Headers {
                tags: vec![],
                ..source.headers
            }
        };
        headers.tags = if replace_tags {
            sent.tags
        } else {
            source.headers.tags
        };
        let algorithm = match &input.checksum_algorithm {
            Some(named) => Algorithm::parse(named.as_str())?,
            None => source.checksum.algorithm,
        };
        let body = boxed(reader);
        let received = receive(self.store.blobs(), body, Some(source.size), &[algorithm]).await?;
        let object = self
            .put(
                input.bucket,
                input.key,
                received,
                algorithm,
                headers,
                WriteCondition::default(),
            )
            .await?;
        let mut result = dto::CopyObjectResult {
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(timestamp(object.modified_ms)),
            ..Default::default()
        };
        let fields = object.checksum.fields();
        result.checksum_type = fields.checksum_type.clone();
        checksum_fields!(result, fields);
        Ok(dto::CopyObjectOutput {
            copy_object_result: Some(result),
            ..Default::default()
        })
    }

    pub(super) async fn delete_object(
        &self,
        request: S3Request<dto::DeleteObjectInput>,
    ) -> S3Result<dto::DeleteObjectOutput> {
        let dto::DeleteObjectInput {
            bucket: name,
            key,
            if_match,
            version_id,
            ..
        } = request.input;
        no_versions(version_id.as_deref())?;
        let condition = WriteCondition::parse(if_match.as_ref(), None)?;
        self.store
            .index
            .remove(move |tables| {
                bucket(&tables.buckets, &name)?;
                let existing = index::object(&tables.objects, &name, &key)?;
                condition.check(&key, existing.as_ref())?;
                remove(tables, &name, &key, existing.as_ref())
            })
            .await?;
        Ok(dto::DeleteObjectOutput::default())
    }

    /// Deletes up to 1,000 objects in one transaction.
    pub(super) async fn delete_objects(
        &self,
        request: S3Request<dto::DeleteObjectsInput>,
    ) -> S3Result<dto::DeleteObjectsOutput> {
        let dto::DeleteObjectsInput {
            bucket: name,
            delete,
            ..
        } = request.input;
        if delete.objects.is_empty() || delete.objects.len() > 1000 {
            return Err(s3_error!(
                MalformedXML,
                "A request deletes between 1 and 1,000 objects."
            ));
        }
        let quiet = delete.quiet == Some(true);
        let (deleted, errors) = self
            .store
            .index
            .remove(move |tables| {
                bucket(&tables.buckets, &name)?;
                let mut change = Change::of((Vec::new(), Vec::new()));
                for wanted in delete.objects {
                    let existing = index::object(&tables.objects, &name, &wanted.key)?;
                    let matches = match (&wanted.e_tag, &existing) {
                        (Some(etag), Some(object)) => etag.value() == object.etag,
                        (Some(_), None) | (None, _) => true,
                    };
                    if !matches {
                        change.value.1.push(dto::Error {
                            code: Some("PreconditionFailed".to_owned()),
                            key: Some(wanted.key),
                            message: Some("The object has another ETag.".to_owned()),
                            version_id: None,
                        });
                        continue;
                    }
                    change
                        .doom
                        .extend(remove(tables, &name, &wanted.key, existing.as_ref())?.doom);
                    change.value.0.push(dto::DeletedObject {
                        key: Some(wanted.key),
                        ..Default::default()
                    });
                }
                Ok(change)
            })
            .await?;
        Ok(dto::DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            errors: Some(errors),
            ..Default::default()
        })
    }
}

fn remove(
    tables: &mut Tables<'_>,
    name: &str,
    key: &str,
    existing: Option<&Object>,
) -> Result<Change<()>, Failure> {
    tables.objects.remove(object_key(name, key).as_slice())?;
    Ok(Change {
        value: (),
        keep: Vec::new(),
        doom: existing.map(Object::blobs).unwrap_or_default(),
    })
}

/// The conditions on the source of a copy.
macro_rules! copy_condition {
    ($input:expr) => {
        $crate::s3::conditions::ReadCondition {
            if_match: $input.copy_source_if_match.clone(),
            if_none_match: $input.copy_source_if_none_match.clone(),
            if_modified_since: $input.copy_source_if_modified_since.clone(),
            if_unmodified_since: $input.copy_source_if_unmodified_since.clone(),
        }
    };
}
pub(super) use copy_condition;

/// Checks a part number.
pub(super) fn part_number(number: i32) -> S3Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|number| (1..=crate::s3::assembly::MAX_PARTS).contains(number))
        .ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and 10000, inclusive"
            )
        })
}

/// The bucket and key of a copy's source.
pub(super) fn copy_source(source: &dto::CopySource) -> S3Result<(String, String)> {
    match source {
        dto::CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => {
            no_versions(version_id.as_deref())?;
            Ok((bucket.to_string(), key.to_string()))
        }
        _ => Err(s3_error!(
            NotImplemented,
            "The source of a copy is named as bucket/key; access points are not supported."
        )),
    }
}

/// A condition on a copy's source that does not hold is always 412.
pub(super) fn copy_failed(failed: S3Error) -> S3Error {
    s3_error!(
        failed,
        PreconditionFailed,
        "At least one of the pre-conditions you specified on the copy source did not hold."
    )
}

/// The names in `x-amz-trailer`.
pub(super) fn trailer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("x-amz-trailer")
        .and_then(|value| value.to_str().ok())
}

/// The value of a checksum that came after the body.
pub(super) fn trailer_value(
    trailers: Option<&HeaderMap>,
    algorithm: Option<Algorithm>,
) -> Option<&str> {
    trailers?.get(algorithm?.header())?.to_str().ok()
}

/// The size that a body was declared to have.
pub(super) fn declared(content_length: Option<i64>) -> Option<u64> {
    content_length.and_then(|length| u64::try_from(length).ok())
}
