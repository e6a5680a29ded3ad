//! Conditional requests: If-Match, If-None-Match and the two dates.
//!
//! Conditions on a write are decided inside the transaction that writes, so
//! that of any number of racing writers exactly one finds its condition true.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>

use http::{HeaderMap, HeaderValue, header};
use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use super::error;
use super::object::{Object, timestamp};

/// The condition of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WriteCondition {
    /// `If-None-Match: *`: only if there is no such object.
    absent: bool,
    /// `If-Match`: only if the object is there, with this ETag if one is given.
    present: Option<Option<String>>,
}

impl WriteCondition {
    /// Reads the headers of a write.
    ///
    /// # Errors
    /// `NotImplemented` for an If-None-Match other than `*`, as S3 answers.
    pub(super) fn parse(
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<Self> {
        if if_none_match.is_some_and(|condition| !condition.is_any()) {
            return Err(s3_error!(
                NotImplemented,
                "If-None-Match on a write takes * alone, which means: only if there is no such object."
            ));
        }
        Ok(Self {
            absent: if_none_match.is_some(),
            present: if_match
                .map(|condition| condition.as_etag().map(|etag| etag.value().to_owned())),
        })
    }

    /// Decides, given what is there.
    ///
    /// # Errors
    /// `PreconditionFailed`; `NoSuchKey` when an object must match and is not
    /// there.
    pub(super) fn check(&self, key: &str, existing: Option<&Object>) -> S3Result<()> {
        if self.absent && existing.is_some() {
            return Err(failed("If-None-Match"));
        }
        match (&self.present, existing) {
            (None, _) | (Some(None), Some(_)) => Ok(()),
            (Some(_), None) => Err(error::no_such_key(key)),
            (Some(Some(etag)), Some(object)) if *etag == object.etag => Ok(()),
            (Some(Some(_)), Some(_)) => Err(failed("If-Match")),
        }
    }
}

fn failed(condition: &str) -> s3s::S3Error {
    s3_error!(
        PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold: {condition}."
    )
}

/// The conditions of a read (RFC 9110, section 13.2.2).
#[derive(Clone, Debug, Default)]
pub(super) struct ReadCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    /// Decides, given the object.
    ///
    /// # Errors
    /// `PreconditionFailed` (412) or `NotModified` (304).
    pub(super) fn check(&self, object: &Object) -> S3Result<()> {
        let matches = |condition: &ETagCondition| {
            condition
                .as_etag()
                .is_none_or(|etag| etag.value() == object.etag)
        };
        // HTTP dates have whole seconds.
        let modified = timestamp(object.modified_ms / 1000 * 1000);
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !matches(condition) => return Err(failed("If-Match")),
            (None, Some(since)) if modified > *since => return Err(failed("If-Unmodified-Since")),
            _ => {}
        }
        let unchanged = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => matches(condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if !unchanged {
            return Ok(());
        }
        let mut answer = s3_error!(NotModified);
        let mut headers = HeaderMap::new();
        if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", object.etag)) {
            headers.insert(header::ETAG, etag);
        }
        answer.set_headers(headers);
        Err(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::checksum::{Algorithm, Checksum};
    use s3s::dto::ETag;

    fn object() -> Object {
        Object {
            size: 0,
            etag: "abc".to_owned(),
            modified_ms: 1_000_500,
            checksum: Checksum {
                algorithm: Algorithm::Crc32,
                value: String::new(),
                composite: false,
            },
            pieces: vec![],
            multipart: false,
            headers: Default::default(),
        }
    }

    fn etag(value: &str) -> ETagCondition {
        ETagCondition::ETag(ETag::Strong(value.to_owned()))
    }

    fn code<T: std::fmt::Debug>(result: S3Result<T>) -> String {
        result.map_or_else(|e| e.code().as_str().to_owned(), |_| "ok".to_owned())
    }

    #[test]
    fn write_conditions_hold_as_s3_says() {
        let there = object();
        for (if_match, if_none_match, existing, expected) in [
            (None, None, None, "ok"),
            (None, None, Some(&there), "ok"),
            (None, Some(ETagCondition::Any), None, "ok"),
            (
                None,
                Some(ETagCondition::Any),
                Some(&there),
                "PreconditionFailed",
            ),
            (Some(etag("abc")), None, Some(&there), "ok"),
            (Some(etag("abd")), None, Some(&there), "PreconditionFailed"),
            (Some(etag("abc")), None, None, "NoSuchKey"),
            (Some(ETagCondition::Any), None, Some(&there), "ok"),
            (Some(ETagCondition::Any), None, None, "NoSuchKey"),
        ] {
            let condition =
                WriteCondition::parse(if_match.as_ref(), if_none_match.as_ref()).unwrap();
            assert_eq!(
                code(condition.check("k", existing)),
                expected,
                "{condition:?}"
            );
        }
    }

    #[test]
    fn if_none_match_of_a_write_takes_a_star_alone() {
        let refused = WriteCondition::parse(None, Some(&etag("abc")));
        assert_eq!(code(refused), "NotImplemented");
    }

    #[test]
    fn read_conditions_hold_as_http_says() {
        let at = |seconds: i64| Some(timestamp(seconds * 1000));
        let any = Some(ETagCondition::Any);
        for (condition, expected) in [
            (ReadCondition::default(), "ok"),
            (
                ReadCondition {
                    if_match: Some(etag("abc")),
                    ..Default::default()
                },
                "ok",
            ),
            (
                ReadCondition {
                    if_match: Some(etag("x")),
                    ..Default::default()
                },
                "PreconditionFailed",
            ),
            (
                ReadCondition {
                    if_match: any.clone(),
                    ..Default::default()
                },
                "ok",
            ),
            (
                ReadCondition {
                    if_none_match: Some(etag("abc")),
                    ..Default::default()
                },
                "NotModified",
            ),
            (
                ReadCondition {
                    if_none_match: Some(etag("x")),
                    ..Default::default()
                },
                "ok",
            ),
            (
                ReadCondition {
                    if_none_match: any,
                    ..Default::default()
                },
                "NotModified",
            ),
            // Modified 0.5 s into second 1000, which HTTP cannot say.
            (
                ReadCondition {
                    if_modified_since: at(1000),
                    ..Default::default()
                },
                "NotModified",
            ),
            (
                ReadCondition {
                    if_modified_since: at(999),
                    ..Default::default()
                },
                "ok",
            ),
            (
                ReadCondition {
                    if_unmodified_since: at(1000),
                    ..Default::default()
                },
                "ok",
            ),
            (
                ReadCondition {
                    if_unmodified_since: at(999),
                    ..Default::default()
                },
                "PreconditionFailed",
            ),
            // An ETag decides where both are given.
            (
                ReadCondition {
                    if_match: Some(etag("abc")),
                    if_unmodified_since: at(999),
                    ..Default::default()
                },
                "ok",
            ),
            (
                ReadCondition {
                    if_none_match: Some(etag("x")),
                    if_modified_since: at(1000),
                    ..Default::default()
                },
                "ok",
            ),
        ] {
            assert_eq!(code(condition.check(&object())), expected, "{condition:?}");
        }
    }
}
