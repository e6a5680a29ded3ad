//! Reading objects: get, head, attributes.

use std::ops::Range;
use std::sync::Arc;

use http::StatusCode;
use s3s::dto::{self, ETag};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, StdError, s3_error};

use super::Api;
use super::headers::{checksum_fields, object_fields};
use super::objects::part_number;
use crate::s3::checksum::one_field;
use crate::s3::conditions::ReadCondition;
use crate::s3::error;
use crate::s3::index::{self, bucket};
use crate::s3::object::{Object, timestamp};
use crate::s3::reader::Reader;

/// An object up to this size is read in one step, bytes.
const READ_WHOLE: u64 = 256 << 10;
/// How often a read looks an object up anew when it was replaced meanwhile.
const ATTEMPTS: usize = 16;

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

impl Api {
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
        // SDKs send one header for each, boto3 one with commas.
        let asked = |name: &str| {
            input
                .object_attributes
                .iter()
                .flat_map(|list| list.as_str().split(','))
                .any(|attribute| attribute.trim() == name)
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

/// Refuses to name a version: there is one of each object.
pub(super) fn no_versions(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(version) => Err(s3_error!(
            NoSuchVersion,
            "The specified version {version} does not exist: the bucket is not versioned."
        )),
    }
}
