//! Multipart uploads.

use s3s::dto::{self, ETag};
use s3s::{S3Request, S3Result, s3_error};
use uuid::Uuid;

use super::Api;
use super::headers::{check_metadata, checksum_fields, refuse_unsupported, sent_headers};
use super::objects::{
    copy_condition, copy_failed, copy_source, declared, part_number, trailer, trailer_value,
};
use super::reading::boxed;
use crate::s3::assembly::{Claimed, assemble};
use crate::s3::checksum::{Algorithm, Expected, checksum_type, one_field, sent_checksums};
use crate::s3::conditions::WriteCondition;
use crate::s3::index::{self, Change, bucket, object_key, part_key, put, upload, upload_key};
use crate::s3::lifecycle::abort_at_ms;
use crate::s3::object::{Object, Part, Upload, now_ms, timestamp};
use crate::s3::receive::{MAX_BODY, Received, receive};

impl Api {
    pub(super) async fn create_multipart_upload(
        &self,
        request: S3Request<dto::CreateMultipartUploadInput>,
    ) -> S3Result<dto::CreateMultipartUploadOutput> {
        let mut input = request.input;
        refuse_unsupported!(input);
        let headers = sent_headers!(input);
        check_metadata(&headers)?;
        let named = input
            .checksum_algorithm
            .as_ref()
            .map(|algorithm| Algorithm::parse(algorithm.as_str()))
            .transpose()?;
        let composite = is_composite(named, input.checksum_type.as_ref())?;
        let made = Upload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            id: Uuid::new_v4().as_simple().to_string(),
            initiated_ms: now_ms(),
            algorithm: named.unwrap_or(Algorithm::Crc64Nvme),
            composite,
            algorithm_named: named.is_some(),
            headers,
        };
        let id = made.id.clone();
        let abort_ms = self
            .store
            .index
            .write(move |tables| {
                let bucket = bucket(&tables.buckets, &made.bucket)?;
                put(
                    &mut tables.uploads,
                    &upload_key(&made.bucket, &made.key, &made.id),
                    &made,
                )?;
                Ok(Change::of(
                    bucket
                        .lifecycle
                        .and_then(|rules| abort_at_ms(&rules, &made)),
                ))
            })
            .await?;
        Ok(dto::CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            abort_date: abort_ms.map(timestamp),
            checksum_algorithm: named
                .map(|algorithm| dto::ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: named.map(|_| dto::ChecksumType::from_static(checksum_type(composite))),
            ..Default::default()
        })
    }

    pub(super) async fn upload_part(
        &self,
        request: S3Request<dto::UploadPartInput>,
    ) -> S3Result<dto::UploadPartOutput> {
        let mut input = request.input;
        let number = part_number(input.part_number)?;
        let expected = Expected::parse(
            input.content_md5.as_deref(),
            sent_checksums!(input),
            input.checksum_algorithm.as_ref(),
            trailer(&request.headers),
        )?;
        let upload = self
            .upload(&input.bucket, &input.key, &input.upload_id)
            .await?;
        if upload.algorithm_named
            && let Some(sent) = expected.algorithm()
            && sent != upload.algorithm
        {
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                upload.algorithm.name().to_ascii_lowercase(),
                sent.name().to_ascii_lowercase()
            ));
        }
        let algorithms: Vec<Algorithm> = expected
            .algorithm()
            .into_iter()
            .chain([upload.algorithm])
            .collect();
        let body = input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
        let received = receive(
            self.store.blobs(),
            body,
            declared(input.content_length),
            &algorithms,
        )
        .await?;
        let trailers = request
            .trailing_headers
            .and_then(|trailers| trailers.take());
        expected.verify(
            &received.digested,
            trailer_value(trailers.as_ref(), expected.trailer),
        )?;
        let part = self.put_part(upload, number, received).await?;
        let mut output = dto::UploadPartOutput {
            e_tag: Some(ETag::Strong(part.etag)),
            ..Default::default()
        };
        if let Some((algorithm, value)) = algorithms
            .first()
            .and_then(|a| Some((*a, part.checksums.get(a)?)))
        {
            checksum_fields!(output, one_field(algorithm, value));
        }
        Ok(output)
    }

    pub(super) async fn upload_part_copy(
        &self,
        request: S3Request<dto::UploadPartCopyInput>,
    ) -> S3Result<dto::UploadPartCopyOutput> {
        let input = request.input;
        let number = part_number(input.part_number)?;
        let (from_bucket, from_key) = copy_source(&input.copy_source)?;
        let range = input
            .copy_source_range
            .as_deref()
            .map(copy_range)
            .transpose()?;
        let upload = self
            .upload(&input.bucket, &input.key, &input.upload_id)
            .await?;
        let condition = copy_condition!(input);
        let choose = move |source: &Object| {
            condition.check(source).map_err(copy_failed)?;
            let chosen = match &range {
                None => 0..source.size,
                Some((first, last)) if *last < source.size => *first..*last + 1,
                Some((first, last)) => {
                    return Err(s3_error!(
                        InvalidArgument,
                        "Range specified is not valid for source object of size: {} (bytes={first}-{last})",
                        source.size
                    ));
                }
            };
            if chosen.end - chosen.start > MAX_BODY {
                return Err(s3_error!(
                    InvalidRequest,
                    "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
                ));
            }
            Ok(chosen)
        };
        let (_, opened) = self.open(from_bucket, from_key, choose).await?;
        let received =
            receive(self.store.blobs(), boxed(opened), None, &[upload.algorithm]).await?;
        let algorithm = upload.algorithm;
        let part = self.put_part(upload, number, received).await?;
        let mut result = dto::CopyPartResult {
            e_tag: Some(ETag::Strong(part.etag)),
            last_modified: Some(timestamp(part.modified_ms)),
            ..Default::default()
        };
        if let Some(value) = part.checksums.get(&algorithm) {
            checksum_fields!(result, one_field(algorithm, value));
        }
        Ok(dto::UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..Default::default()
        })
    }

    /// Makes a received body a part, in place of an earlier one.
    async fn put_part(&self, of: Upload, number: u16, received: Received) -> S3Result<Part> {
        let part = Part {
            blob: received.blob.as_ref().map(|blob| blob.id),
            size: received.size,
            etag: hex::encode(&received.digested.md5),
            modified_ms: now_ms(),
            checksums: received.digested.checksums,
        };
        self.store
            .index
            .write(move |tables| {
                // It may have been completed or aborted meanwhile.
                upload(&tables.uploads, &of.bucket, &of.key, &of.id)?;
                let at = part_key(&of.id, number);
                let before: Option<Part> = index::get(&tables.parts, &at)?;
                put(&mut tables.parts, &at, &part)?;
                Ok(Change {
                    value: part,
                    keep: received.blob.into_iter().collect(),
                    doom: before.and_then(|part| part.blob).into_iter().collect(),
                })
            })
            .await
    }

    /// Moves no data: the parts' blobs become the object's pieces, and the
    /// condition is decided in the transaction that makes the object.
    pub(super) async fn complete_multipart_upload(
        &self,
        request: S3Request<dto::CompleteMultipartUploadInput>,
    ) -> S3Result<dto::CompleteMultipartUploadOutput> {
        let mut input = request.input;
        let condition =
            WriteCondition::parse(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let claimed = Claimed {
            size: input
                .mpu_object_size
                .and_then(|size| u64::try_from(size).ok()),
            checksum: sent_checksums!(input).into_iter().next(),
            composite: input
                .checksum_type
                .as_ref()
                .map(|kind| kind.as_str() == dto::ChecksumType::COMPOSITE),
        };
        let listed = input
            .multipart_upload
            .take()
            .and_then(|list| list.parts)
            .unwrap_or_default();
        let (name, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id);
        let object = self
            .store
            .index
            .write(move |tables| {
                bucket(&tables.buckets, &name)?;
                let of = upload(&tables.uploads, &name, &key, &id)?;
                let uploaded = index::parts(&tables.parts, &id)?;
                let (object, unused) = assemble(&of, &uploaded, listed, &claimed, now_ms())?;
                let existing = index::object(&tables.objects, &name, &key)?;
                condition.check(&key, existing.as_ref())?;
                tables
                    .uploads
                    .remove(upload_key(&name, &key, &id).as_slice())?;
                for (number, _) in &uploaded {
                    tables.parts.remove(part_key(&id, *number).as_slice())?;
                }
                put(&mut tables.objects, &object_key(&name, &key), &object)?;
                let mut doom = existing.as_ref().map(Object::blobs).unwrap_or_default();
                doom.extend(unused);
                Ok(Change {
                    value: object,
                    keep: Vec::new(),
                    doom,
                })
            })
            .await?;
        let mut output = dto::CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(object.etag)),
            ..Default::default()
        };
        let fields = object.checksum.fields();
        output.checksum_type = fields.checksum_type.clone();
        checksum_fields!(output, fields);
        Ok(output)
    }

    pub(super) async fn abort_multipart_upload(
        &self,
        request: S3Request<dto::AbortMultipartUploadInput>,
    ) -> S3Result<dto::AbortMultipartUploadOutput> {
        let input = request.input;
        self.store
            .abort_upload(input.bucket, input.key, input.upload_id)
            .await?;
        Ok(dto::AbortMultipartUploadOutput::default())
    }

    /// Looks an upload up, or answers `NoSuchBucket` or `NoSuchUpload`.
    async fn upload(&self, name: &str, key: &str, id: &str) -> S3Result<Upload> {
        let (name, key, id) = (name.to_owned(), key.to_owned(), id.to_owned());
        self.store
            .read(move |snapshot, _| {
                bucket(&snapshot.buckets, &name)?;
                upload(&snapshot.uploads, &name, &key, &id)
            })
            .await
    }
}

/// Which type of checksum an upload has. CRC64NVME is of the whole object
/// only, SHA1 and SHA256 are composite only, CRC32 and CRC32C are composite
/// unless the client says otherwise.
fn is_composite(algorithm: Option<Algorithm>, kind: Option<&dto::ChecksumType>) -> S3Result<bool> {
    let asked = kind.map(|kind| kind.as_str() == dto::ChecksumType::COMPOSITE);
    match (algorithm, asked) {
        (None, Some(_)) => Err(s3_error!(
            InvalidRequest,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        )),
        (None | Some(Algorithm::Crc64Nvme), None | Some(false)) => Ok(false),
        (Some(Algorithm::Crc32 | Algorithm::Crc32c), asked) => Ok(asked.unwrap_or(true)),
        (Some(Algorithm::Sha1 | Algorithm::Sha256), None | Some(true)) => Ok(true),
        (Some(algorithm), Some(composite)) => Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            checksum_type(composite),
            algorithm.name().to_ascii_lowercase()
        )),
    }
}

/// `bytes=first-last`, both given.
fn copy_range(header: &str) -> S3Result<(u64, u64)> {
    header
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)))
        .filter(|(first, last): &(u64, u64)| first <= last)
        .ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_types_are_those_that_s3_has() {
        let full = dto::ChecksumType::from_static(dto::ChecksumType::FULL_OBJECT);
        let composite = dto::ChecksumType::from_static(dto::ChecksumType::COMPOSITE);
        for (algorithm, kind, expected) in [
            (None, None, Some(false)),
            (None, Some(&full), None),
            (Some(Algorithm::Crc64Nvme), None, Some(false)),
            (Some(Algorithm::Crc64Nvme), Some(&full), Some(false)),
            (Some(Algorithm::Crc64Nvme), Some(&composite), None),
            (Some(Algorithm::Crc32), None, Some(true)),
            (Some(Algorithm::Crc32c), Some(&full), Some(false)),
            (Some(Algorithm::Sha256), None, Some(true)),
            (Some(Algorithm::Sha1), Some(&composite), Some(true)),
            (Some(Algorithm::Sha256), Some(&full), None),
        ] {
            assert_eq!(
                is_composite(algorithm, kind).ok(),
                expected,
                "{algorithm:?} {kind:?}"
            );
        }
    }

    #[test]
    fn copy_ranges_name_both_ends() {
        assert_eq!(copy_range("bytes=0-9").unwrap(), (0, 9));
        for bad in ["bytes=0-", "bytes=-5", "bytes=9-0", "0-9", "bytes=a-b"] {
            assert!(copy_range(bad).is_err(), "{bad}");
        }
    }
}
