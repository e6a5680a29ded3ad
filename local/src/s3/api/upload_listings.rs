//! Listings of multipart uploads and of their parts.

use s3s::dto::{self, ETag};
use s3s::{S3Request, S3Result};

use super::Api;
use super::buckets::owner;
use super::headers::checksum_fields;
use super::listings::{common_prefixes, is_url};
use crate::s3::checksum::{checksum_type, one_field};
use crate::s3::index::{self, bucket, upload};
use crate::s3::listing::{Query, Start, encoded, page, page_size};
use crate::s3::object::{Part, Upload, timestamp};

impl Api {
    pub(super) async fn list_parts(
        &self,
        request: S3Request<dto::ListPartsInput>,
    ) -> S3Result<dto::ListPartsOutput> {
        let input = request.input;
        let max = page_size(input.max_parts)?;
        let after = input.part_number_marker.unwrap_or(0);
        let (name, key, id) = (
            input.bucket.clone(),
            input.key.clone(),
            input.upload_id.clone(),
        );
        let (of, parts) = self
            .store
            .read(move |snapshot, _| {
                bucket(&snapshot.buckets, &name)?;
                let of = upload(&snapshot.uploads, &name, &key, &id)?;
                Ok((of, index::parts(&snapshot.parts, &id)?))
            })
            .await?;
        let mut parts: Vec<(u16, Part)> = parts
            .into_iter()
            .filter(|(number, _)| i32::from(*number) > after)
            .collect();
        let truncated = max > 0 && parts.len() > max;
        parts.truncate(max);
        Ok(dto::ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            max_parts: i32::try_from(max).ok(),
            part_number_marker: Some(after),
            next_part_number_marker: truncated
                .then(|| parts.last().map(|(number, _)| i32::from(*number)))
                .flatten(),
            is_truncated: Some(truncated),
            checksum_algorithm: of
                .algorithm_named
                .then(|| dto::ChecksumAlgorithm::from_static(of.algorithm.name())),
            checksum_type: of
                .algorithm_named
                .then(|| dto::ChecksumType::from_static(checksum_type(of.composite))),
            owner: Some(owner()),
            initiator: Some(initiator()),
            storage_class: Some(dto::StorageClass::from_static(dto::StorageClass::STANDARD)),
            parts: Some(
                parts
                    .into_iter()
                    .map(|(number, part)| {
                        let mut shown = dto::Part {
                            part_number: Some(i32::from(number)),
                            size: i64::try_from(part.size).ok(),
                            last_modified: Some(timestamp(part.modified_ms)),
                            e_tag: Some(ETag::Strong(part.etag)),
                            ..Default::default()
                        };
                        if let Some(value) = part.checksums.get(&of.algorithm) {
                            checksum_fields!(shown, one_field(of.algorithm, value));
                        }
                        shown
                    })
                    .collect(),
            ),
            ..Default::default()
        })
    }

    pub(super) async fn list_multipart_uploads(
        &self,
        request: S3Request<dto::ListMultipartUploadsInput>,
    ) -> S3Result<dto::ListMultipartUploadsOutput> {
        let input = request.input;
        let max = page_size(input.max_uploads)?;
        let url = is_url(input.encoding_type.as_ref());
        let (name, prefix) = (
            input.bucket.clone(),
            input.prefix.clone().unwrap_or_default(),
        );
        let delimiter = input.delimiter.clone().unwrap_or_default();
        let key_marker = input.key_marker.clone().unwrap_or_default();
        let id_marker = input.upload_id_marker.clone().unwrap_or_default();
        let page = self
            .store
            .read(move |snapshot, _| {
                bucket(&snapshot.buckets, &name)?;
                let query = Query {
                    bucket: &name,
                    prefix: &prefix,
                    delimiter: &delimiter,
                    max,
                };
                let start = match (key_marker.is_empty(), id_marker.is_empty()) {
                    (true, _) => Start::Beginning,
                    (false, false) => Start::After(format!("{key_marker}\0{id_marker}")),
                    (false, true) => match Start::from_marker(key_marker, &query) {
                        Start::After(key) => Start::Past(format!("{key}\0")),
                        past => past,
                    },
                };
                page::<Upload>(&snapshot.uploads, query, &start)
            })
            .await?;
        let (next_key, next_id) = match &page.next {
            Some(Start::After(entry)) => {
                let (key, id) = entry.split_once('\0').unwrap_or((entry, ""));
                (Some(encoded(key, url)), Some(id.to_owned()))
            }
            Some(Start::Past(prefix)) => (Some(encoded(prefix, url)), None),
            Some(Start::Beginning) | None => (None, None),
        };
        let uploads = page
            .entries
            .into_iter()
            .map(|(_, of)| dto::MultipartUpload {
                key: Some(encoded(&of.key, url)),
                upload_id: Some(of.id),
                initiated: Some(timestamp(of.initiated_ms)),
                owner: Some(owner()),
                initiator: Some(initiator()),
                storage_class: Some(dto::StorageClass::from_static(dto::StorageClass::STANDARD)),
                checksum_algorithm: of
                    .algorithm_named
                    .then(|| dto::ChecksumAlgorithm::from_static(of.algorithm.name())),
                checksum_type: of
                    .algorithm_named
                    .then(|| dto::ChecksumType::from_static(checksum_type(of.composite))),
            })
            .collect();
        Ok(dto::ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoded(&prefix, url)),
            delimiter: input.delimiter.map(|delimiter| encoded(&delimiter, url)),
            key_marker: input.key_marker.map(|key| encoded(&key, url)),
            upload_id_marker: input.upload_id_marker,
            max_uploads: i32::try_from(max).ok(),
            is_truncated: Some(page.next.is_some()),
            next_key_marker: next_key,
            next_upload_id_marker: next_id,
            common_prefixes: Some(common_prefixes(page.prefixes, url)),
            uploads: Some(uploads),
            encoding_type: input.encoding_type,
            ..Default::default()
        })
    }
}

fn initiator() -> dto::Initiator {
    dto::Initiator {
        display_name: Some("stockpipe".to_owned()),
        id: Some("stockpipe".to_owned()),
    }
}
