//! The headers of an object: from a request, and into an answer.

use s3s::{S3Result, s3_error};

use crate::s3::object::Headers;

/// Most bytes of user metadata, names and values.
const METADATA: usize = 2 << 10;

/// Takes the object's headers out of a request that makes an object.
macro_rules! sent_headers {
    ($input:expr) => {
        $crate::s3::object::Headers {
            content_type: $input.content_type.take().filter(|value| !value.is_empty()),
            content_encoding: $input
                .content_encoding
                .take()
                .and_then(|value| $crate::s3::api::headers::stored_encoding(&value)),
            content_language: $input.content_language.take(),
            content_disposition: $input.content_disposition.take(),
            cache_control: $input.cache_control.take(),
            expires: $input.expires.take(),
            metadata: $input
                .metadata
                .take()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            tags: $crate::s3::api::tagging::from_header($input.tagging.as_deref())?,
        }
    };
}
pub(super) use sent_headers;

/// Refuses what nothing here would carry out.
macro_rules! refuse_unsupported {
    ($input:expr) => {{
        let locked = $input.object_lock_legal_hold_status.is_some()
            || $input.object_lock_mode.is_some()
            || $input.object_lock_retain_until_date.is_some();
        if locked {
            return Err(s3s::s3_error!(
                NotImplemented,
                "Object Lock is not supported."
            ));
        }
        if $input.sse_customer_algorithm.is_some() || $input.ssekms_key_id.is_some() {
            return Err(s3s::s3_error!(
                NotImplemented,
                "Encryption with a key of your own is not supported."
            ));
        }
    }};
}
pub(super) use refuse_unsupported;

/// Fills an answer's fields from an object.
macro_rules! object_fields {
    ($output:expr, $object:expr) => {{
        let (output, object) = (&mut $output, $object);
        output.accept_ranges = Some("bytes".to_owned());
        output.e_tag = Some(s3s::dto::ETag::Strong(object.etag.clone()));
        output.last_modified = Some($crate::s3::object::timestamp(object.modified_ms));
        output.content_type = Some(
            object
                .headers
                .content_type
                .clone()
                .unwrap_or_else(|| "binary/octet-stream".to_owned()),
        );
        output.content_encoding = object.headers.content_encoding.clone();
        output.content_language = object.headers.content_language.clone();
        output.content_disposition = object.headers.content_disposition.clone();
        output.cache_control = object.headers.cache_control.clone();
        output.expires = object.headers.expires.clone();
        output.metadata = Some(object.headers.metadata.clone().into_iter().collect());
    }};
}
pub(super) use object_fields;

/// Fills an answer's checksum fields.
macro_rules! checksum_fields {
    ($output:expr, $fields:expr) => {{
        let fields: s3s::dto::Checksum = $fields;
        $output.checksum_crc32 = fields.checksum_crc32;
        $output.checksum_crc32c = fields.checksum_crc32c;
        $output.checksum_crc64nvme = fields.checksum_crc64nvme;
        $output.checksum_sha1 = fields.checksum_sha1;
        $output.checksum_sha256 = fields.checksum_sha256;
    }};
}
pub(super) use checksum_fields;

/// `Content-Encoding` without `aws-chunked`, which is of the transfer and not
/// of the object.
pub(super) fn stored_encoding(value: &str) -> Option<String> {
    let kept: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// Checks the size of user metadata.
///
/// # Errors
/// `MetadataTooLarge` above 2 KiB.
pub(super) fn check_metadata(headers: &Headers) -> S3Result<()> {
    let size: usize = headers
        .metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > METADATA {
        return Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size of {METADATA} bytes."
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_of_the_transfer_is_not_stored() {
        assert_eq!(stored_encoding("aws-chunked"), None);
        assert_eq!(
            stored_encoding("gzip, aws-chunked").as_deref(),
            Some("gzip")
        );
        assert_eq!(stored_encoding("gzip").as_deref(), Some("gzip"));
        assert_eq!(stored_encoding(""), None);
    }

    #[test]
    fn metadata_has_a_limit() {
        let mut headers = Headers::default();
        headers
            .metadata
            .insert("a".to_owned(), "x".repeat(METADATA - 1));
        check_metadata(&headers).unwrap();
        headers.metadata.insert("b".to_owned(), String::new());
        assert!(check_metadata(&headers).is_err());
    }
}
