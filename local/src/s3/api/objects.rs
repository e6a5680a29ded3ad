//! Objects: put, copy, get, head, delete.

use std::ops::Range;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use s3s::dto::{self, ETag};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, StdError, s3_error};

use super::Api;
use super::headers::{
    check_metadata, checksum_fields, object_fields, refuse_unsupported, sent_headers,
};
use crate::s3::checksum::{Algorithm, Checksum, Expected, one_field, sent_checksums};
use crate::s3::conditions::{ReadCondition, WriteCondition};
use crate::s3::error;
use crate::s3::index::{self, Change, Failure, Tables, bucket, object_key, put};
use crate::s3::object::{Headers, Object, Piece, now_ms, timestamp};
use crate::s3::reader::Reader;
use crate::s3::receive::{MAX_BODY, Received, receive};

/// An object up to this size is read in one step, bytes.
const READ_WHOLE: u64 = 256 << 10;
/// How often a read looks an object up anew when it was replaced meanwhile.
const ATTEMPTS: usize = 16;

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

    pub(super) async fn get_object(
        &self,
        request: S3Request<dto::GetObjectInput>,
    ) -> S3Result<dto::GetObjectOutput> {
        let input = request.input;
        let wanted = Wanted::new(read_condition!(input), input.range, input.part_number)?;
        no_versions(input.version_id.as_deref())?;
        let choose = wanted.clone();
        let (object, reader) = self
            .open(input.bucket, input.key, move |object| choose.range(object))
            .await?;
        let range = wanted.range(&object)?;
        let mut output = dto::GetObjectOutput {
            content_length: i64::try_from(range.end - range.start).ok(),
            content_range: wanted.content_range(&object, &range),
            parts_count: wanted.parts_count(&object),
            tag_count: tag_count(&object),
            body: Some(match reader {
                Opened::Whole(bytes) => s3s::Body::from(bytes).into(),
                Opened::Reader(reader) => dto::StreamingBlob::wrap(reader.into_stream()),
            }),
            ..Default::default()
        };
        object_fields!(output, &object);
        if let Some(fields) = wanted.checksum(input.checksum_mode.as_ref(), &object, &range) {
            output.checksum_type = fields.checksum_type.clone();
            checksum_fields!(output, fields);
        }
        Ok(output)
    }

    pub(super) async fn head_object(
        &self,
        request: S3Request<dto::HeadObjectInput>,
    ) -> S3Result<dto::HeadObjectOutput> {
        let input = request.input;
        let wanted = Wanted::new(read_condition!(input), input.range, input.part_number)?;
        no_versions(input.version_id.as_deref())?;
        let object = self.object(input.bucket, input.key).await?;
        let range = wanted.range(&object)?;
        let mut output = dto::HeadObjectOutput {
            content_length: i64::try_from(range.end - range.start).ok(),
            content_range: wanted.content_range(&object, &range),
            parts_count: wanted.parts_count(&object),
            ..Default::default()
        };
        object_fields!(output, &object);
        if let Some(fields) = wanted.checksum(input.checksum_mode.as_ref(), &object, &range) {
            output.checksum_type = fields.checksum_type.clone();
            checksum_fields!(output, fields);
        }
        Ok(output)
    }

    pub(super) async fn get_object_attributes(
        &self,
        request: S3Request<dto::GetObjectAttributesInput>,
    ) -> S3Result<dto::GetObjectAttributesOutput> {
        let input = request.input;
        let object = self.object(input.bucket, input.key).await?;
        let asked = |name: &str| {
            input
                .object_attributes
                .iter()
                .any(|attribute| attribute.as_str() == name)
        };
        let parts = (asked(dto::ObjectAttributes::OBJECT_PARTS) && object.multipart).then(|| {
            let parts = object.pieces.iter().map(|piece| {
                let mut part = dto::ObjectPart {
                    part_number: Some(i32::from(piece.number)),
                    size: i64::try_from(piece.size).ok(),
                    ..Default::default()
                };
                if let Some(value) = &piece.checksum {
                    checksum_fields!(part, one_field(object.checksum.algorithm, value));
                }
                part
            });
            dto::GetObjectAttributesParts {
                total_parts_count: i32::try_from(object.pieces.len()).ok(),
                parts: Some(parts.collect()),
                is_truncated: Some(false),
                ..Default::default()
            }
        });
        Ok(dto::GetObjectAttributesOutput {
            e_tag: asked(dto::ObjectAttributes::ETAG).then(|| ETag::Strong(object.etag.clone())),
            checksum: asked(dto::ObjectAttributes::CHECKSUM).then(|| object.checksum.fields()),
            object_size: asked(dto::ObjectAttributes::OBJECT_SIZE)
                .then(|| i64::try_from(object.size).ok())
                .flatten(),
            storage_class: asked(dto::ObjectAttributes::STORAGE_CLASS)
                .then(|| dto::StorageClass::from_static(dto::StorageClass::STANDARD)),
            object_parts: parts,
            last_modified: Some(timestamp(object.modified_ms)),
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

    /// Looks an object up, or answers `NoSuchBucket` or `NoSuchKey`.
    async fn object(&self, name: String, key: String) -> S3Result<Object> {
        self.store
            .read(move |snapshot, _| {
                bucket(&snapshot.buckets, &name)?;
                index::object(&snapshot.objects, &name, &key)?
                    .ok_or_else(|| error::no_such_key(&key).into())
            })
            .await
    }

    /// Looks an object up and opens the range of it that is chosen.
    pub(super) async fn open(
        &self,
        name: String,
        key: String,
        choose: impl Fn(&Object) -> S3Result<Range<u64>> + Send + Sync + 'static,
    ) -> S3Result<(Object, Opened)> {
        let choose = Arc::new(choose);
        for _ in 0..ATTEMPTS {
            let (name, key, choose) = (name.clone(), key.clone(), Arc::clone(&choose));
            let opened = self
                .store
                .read(move |snapshot, blobs| {
                    bucket(&snapshot.buckets, &name)?;
                    let object = index::object(&snapshot.objects, &name, &key)?
                        .ok_or_else(|| error::no_such_key(&key))?;
                    let range = choose(&object)?;
                    let size = range.end - range.start;
                    let read = || -> std::io::Result<Option<Opened>> {
                        let Some(mut reader) = Reader::open(blobs, &object, range)? else {
                            return Ok(None);
                        };
                        if size > READ_WHOLE {
                            return Ok(Some(Opened::Reader(reader)));
                        }
                        let mut whole = reader.next_chunk()?;
                        if (whole.len() as u64) < size {
                            // Small pieces of an object that was put in parts.
                            let mut joined = whole.to_vec();
                            while (joined.len() as u64) < size {
                                joined.extend_from_slice(&reader.next_chunk()?);
                            }
                            whole = joined.into();
                        }
                        Ok(Some(Opened::Whole(whole)))
                    };
                    let opened = read().map_err(|source| error::io("reading a blob", source))?;
                    Ok(opened.map(|opened| (object, opened)))
                })
                .await?;
            if let Some(opened) = opened {
                return Ok(opened);
            }
        }
        Err(error::internal(format!(
            "the blob files of {name}/{key} are missing"
        )))
    }
}

/// An opened range of an object.
pub(super) enum Opened {
    /// All of its bytes.
    Whole(bytes::Bytes),
    /// A reader of them.
    Reader(Reader),
}

/// The bytes of an opened range as a body.
pub(super) fn boxed(
    opened: Opened,
) -> futures::stream::BoxStream<'static, Result<bytes::Bytes, StdError>> {
    use futures::StreamExt as _;
    match opened {
        Opened::Whole(bytes) => futures::stream::once(async { Ok(bytes) }).boxed(),
        Opened::Reader(reader) => reader
            .into_stream()
            .map(|chunk| chunk.map_err(Into::into))
            .boxed(),
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

/// The conditions in the headers of a read.
macro_rules! read_condition {
    ($input:expr) => {
        ReadCondition {
            if_match: $input.if_match.clone(),
            if_none_match: $input.if_none_match.clone(),
            if_modified_since: $input.if_modified_since.clone(),
            if_unmodified_since: $input.if_unmodified_since.clone(),
        }
    };
}
use read_condition;

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

/// What of an object is asked for, and on which condition.
#[derive(Clone)]
struct Wanted {
    condition: ReadCondition,
    range: Option<dto::Range>,
    part: Option<u16>,
}

impl Wanted {
    fn new(
        condition: ReadCondition,
        range: Option<dto::Range>,
        part: Option<i32>,
    ) -> S3Result<Self> {
        if range.is_some() && part.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            ));
        }
        Ok(Self {
            condition,
            range,
            part: part.map(part_number).transpose()?,
        })
    }

    fn range(&self, object: &Object) -> S3Result<Range<u64>> {
        self.condition.check(object)?;
        match (&self.range, self.part) {
            (Some(range), _) => match range.check(object.size) {
                Ok(range) if range.start < range.end => Ok(range),
                _ => Err(s3_error!(
                    InvalidRange,
                    "The requested range is not satisfiable"
                )),
            },
            (None, Some(number)) => {
                let mut start = 0;
                for piece in &object.pieces {
                    if piece.number == number {
                        return Ok(start..start + piece.size);
                    }
                    start += piece.size;
                }
                if number == 1 && object.size == 0 {
                    return Ok(0..0);
                }
                let mut error = S3Error::with_message(
                    S3ErrorCode::Custom("InvalidPartNumber".into()),
                    "The requested partnumber is not satisfiable",
                );
                error.set_status_code(StatusCode::RANGE_NOT_SATISFIABLE);
                Err(error)
            }
            (None, None) => Ok(0..object.size),
        }
    }

    fn content_range(&self, object: &Object, range: &Range<u64>) -> Option<String> {
        let partial = self.range.is_some() || (self.part.is_some() && object.multipart);
        partial.then(|| {
            format!(
                "bytes {}-{}/{}",
                range.start,
                range.end.saturating_sub(1),
                object.size
            )
        })
    }

    fn parts_count(&self, object: &Object) -> Option<i32> {
        (self.part.is_some() && object.multipart)
            .then(|| i32::try_from(object.pieces.len()).ok())
            .flatten()
    }

    /// The checksum is of the whole object, so it is sent with the whole.
    fn checksum(
        &self,
        mode: Option<&dto::ChecksumMode>,
        object: &Object,
        range: &Range<u64>,
    ) -> Option<dto::Checksum> {
        let asked = mode.is_some_and(|mode| mode.as_str() == dto::ChecksumMode::ENABLED);
        (asked && *range == (0..object.size)).then(|| object.checksum.fields())
    }
}

fn tag_count(object: &Object) -> Option<i32> {
    i32::try_from(object.headers.tags.len())
        .ok()
        .filter(|count| *count > 0)
}

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

fn no_versions(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(version) => Err(s3_error!(
            NoSuchVersion,
            "The specified version {version} does not exist: the bucket is not versioned."
        )),
    }
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
