//! ListObjects in both versions.

use s3s::dto;
use s3s::{S3Request, S3Result};

use super::Api;
use super::buckets::owner;
use crate::s3::index::bucket;
use crate::s3::listing::{Page, Query, Start, encoded, page, page_size};
use crate::s3::object::{Listed, timestamp};

impl Api {
    pub(super) async fn list_objects_v2(
        &self,
        request: S3Request<dto::ListObjectsV2Input>,
    ) -> S3Result<dto::ListObjectsV2Output> {
        let input = request.input;
        let start = input
            .continuation_token
            .as_deref()
            .map(Start::from_token)
            .transpose()?;
        let listing = Listing {
            bucket: input.bucket.clone(),
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            max: page_size(input.max_keys)?,
        };
        let page = self
            .list(&listing, start, input.start_after.clone())
            .await?;
        let url = is_url(input.encoding_type.as_ref());
        let fetch_owner = input.fetch_owner == Some(true);
        Ok(dto::ListObjectsV2Output {
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_ref().and_then(Start::to_token),
            key_count: i32::try_from(page.entries.len() + page.prefixes.len()).ok(),
            max_keys: i32::try_from(listing.max).ok(),
            contents: Some(contents(page.entries, url, fetch_owner)),
            common_prefixes: Some(common_prefixes(page.prefixes, url)),
            name: Some(input.bucket),
            prefix: Some(encoded(&listing.prefix, url)),
            delimiter: input.delimiter.map(|delimiter| encoded(&delimiter, url)),
            continuation_token: input.continuation_token,
            start_after: input.start_after.map(|key| encoded(&key, url)),
            encoding_type: input.encoding_type,
            ..Default::default()
        })
    }

    pub(super) async fn list_objects(
        &self,
        request: S3Request<dto::ListObjectsInput>,
    ) -> S3Result<dto::ListObjectsOutput> {
        let input = request.input;
        let listing = Listing {
            bucket: input.bucket.clone(),
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            max: page_size(input.max_keys)?,
        };
        let page = self.list(&listing, None, input.marker.clone()).await?;
        let url = is_url(input.encoding_type.as_ref());
        // Without a delimiter the last key is the marker, and S3 leaves it out.
        let next_marker = match &page.next {
            Some(Start::After(key) | Start::Past(key)) if input.delimiter.is_some() => {
                Some(encoded(key, url))
            }
            _ => None,
        };
        Ok(dto::ListObjectsOutput {
            is_truncated: Some(page.next.is_some()),
            next_marker,
            max_keys: i32::try_from(listing.max).ok(),
            contents: Some(contents(page.entries, url, true)),
            common_prefixes: Some(common_prefixes(page.prefixes, url)),
            name: Some(input.bucket),
            prefix: Some(encoded(&listing.prefix, url)),
            marker: Some(encoded(input.marker.as_deref().unwrap_or_default(), url)),
            delimiter: input.delimiter.map(|delimiter| encoded(&delimiter, url)),
            encoding_type: input.encoding_type,
            ..Default::default()
        })
    }

    async fn list(
        &self,
        listing: &Listing,
        start: Option<Start>,
        marker: Option<String>,
    ) -> S3Result<Page<Listed>> {
        let listing = listing.clone();
        self.store
            .read(move |snapshot, _| {
                bucket(&snapshot.buckets, &listing.bucket)?;
                let query = Query {
                    bucket: &listing.bucket,
                    prefix: &listing.prefix,
                    delimiter: &listing.delimiter,
                    max: listing.max,
                };
                let marker = marker.filter(|marker| !marker.is_empty());
                let start = start
                    .or_else(|| marker.map(|marker| Start::from_marker(marker, &query)))
                    .unwrap_or_default();
                page(&snapshot.objects, query, &start)
            })
            .await
    }
}

#[derive(Clone)]
struct Listing {
    bucket: String,
    prefix: String,
    delimiter: String,
    max: usize,
}

/// Whether keys are to be encoded as in a URL.
pub(super) fn is_url(encoding: Option<&dto::EncodingType>) -> bool {
    encoding.is_some_and(|encoding| encoding.as_str() == dto::EncodingType::URL)
}

/// Common prefixes as an answer shows them.
pub(super) fn common_prefixes(prefixes: Vec<String>, url: bool) -> Vec<dto::CommonPrefix> {
    prefixes
        .into_iter()
        .map(|prefix| dto::CommonPrefix {
            prefix: Some(encoded(&prefix, url)),
        })
        .collect()
}

fn contents(entries: Vec<(String, Listed)>, url: bool, with_owner: bool) -> Vec<dto::Object> {
    entries
        .into_iter()
        .map(|(key, object)| dto::Object {
            key: Some(encoded(&key, url)),
            size: i64::try_from(object.size).ok(),
            last_modified: Some(timestamp(object.modified_ms)),
            checksum_algorithm: Some(vec![dto::ChecksumAlgorithm::from_static(
                object.checksum.algorithm.name(),
            )]),
            checksum_type: Some(dto::ChecksumType::from_static(object.checksum.type_name())),
            e_tag: Some(dto::ETag::Strong(object.etag)),
            storage_class: Some(dto::ObjectStorageClass::from_static(
                dto::ObjectStorageClass::STANDARD,
            )),
            owner: with_owner.then(owner),
            ..Default::default()
        })
        .collect()
}
