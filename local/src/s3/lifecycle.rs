//! Lifecycle rules: those that abort incomplete multipart uploads.
//!
//! Rules that expire or move objects are refused when they are put, since
//! nothing here would carry them out.

use std::sync::Arc;

use redb::ReadableTable as _;
use s3s::dto::{BucketLifecycleConfiguration, ExpirationStatus, LifecycleRule};
use s3s::{S3Result, s3_error};

use super::index::{self, Change, decode, get, part_key, upload_key};
use super::object::{Bucket, Upload};
use super::store::Store;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Checks that a configuration says only what is carried out.
///
/// # Errors
/// `NotImplemented` for any other action or filter, `InvalidArgument` for a
/// number of days below 1, `MalformedXML` for no rule or more than 1,000.
pub(super) fn validate(configuration: &BucketLifecycleConfiguration) -> S3Result<()> {
    if configuration.rules.is_empty() || configuration.rules.len() > 1000 {
        return Err(s3_error!(
            MalformedXML,
            "A lifecycle configuration has between 1 and 1,000 rules."
        ));
    }
    for rule in &configuration.rules {
        let other_action = rule.expiration.is_some()
            || rule.noncurrent_version_expiration.is_some()
            || rule
                .noncurrent_version_transitions
                .as_ref()
                .is_some_and(|list| !list.is_empty())
            || rule
                .transitions
                .as_ref()
                .is_some_and(|list| !list.is_empty());
        let other_filter = rule.filter.as_ref().is_some_and(|filter| {
            filter.and.is_some()
                || filter.tag.is_some()
                || filter.object_size_greater_than.is_some()
                || filter.object_size_less_than.is_some()
        });
        let days = rule
            .abort_incomplete_multipart_upload
            .as_ref()
            .and_then(|abort| abort.days_after_initiation);
        match days {
            _ if other_action || other_filter => {
                return Err(s3_error!(
                    NotImplemented,
                    "A lifecycle rule may have a prefix and AbortIncompleteMultipartUpload; other filters and actions are not supported."
                ));
            }
            None => {
                return Err(s3_error!(
                    InvalidRequest,
                    "At least one action needs to be specified in a rule: give AbortIncompleteMultipartUpload its DaysAfterInitiation."
                ));
            }
            Some(days) if days < 1 => {
                return Err(s3_error!(
                    InvalidArgument,
                    "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer."
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn prefix(rule: &LifecycleRule) -> &str {
    rule.filter
        .as_ref()
        .and_then(|filter| filter.prefix.as_deref())
        .or(rule.prefix.as_deref())
        .unwrap_or("")
}

/// When an upload is aborted, in milliseconds since 1970, if any rule says so:
/// at the first midnight UTC after its days are over, as S3 counts.
pub(super) fn abort_at_ms(
    configuration: &BucketLifecycleConfiguration,
    upload: &Upload,
) -> Option<i64> {
    configuration
        .rules
        .iter()
        .filter(|rule| rule.status.as_str() == ExpirationStatus::ENABLED)
        .filter(|rule| upload.key.starts_with(prefix(rule)))
        .filter_map(|rule| {
            rule.abort_incomplete_multipart_upload
                .as_ref()?
                .days_after_initiation
        })
        .min()
        .map(|days| {
            let due = upload.initiated_ms + i64::from(days) * DAY_MS;
            (due + DAY_MS - 1).div_euclid(DAY_MS) * DAY_MS
        })
}

impl Store {
    /// Aborts the multipart uploads that a lifecycle rule says are too old at
    /// `now_ms` (milliseconds since 1970), and returns how many.
    ///
    /// # Errors
    /// Failures of the index.
    pub async fn abort_stale_uploads(self: &Arc<Self>, now_ms: i64) -> S3Result<usize> {
        let stale = self
            .read(move |snapshot, _| {
                let mut stale = Vec::new();
                for entry in snapshot.uploads.iter()? {
                    let upload: Upload = decode(entry?.1.value())?;
                    let bucket: Option<Bucket> = get(&snapshot.buckets, upload.bucket.as_bytes())?;
                    let due = bucket
                        .and_then(|bucket| bucket.lifecycle)
                        .and_then(|rules| abort_at_ms(&rules, &upload));
                    if due.is_some_and(|due| due <= now_ms) {
                        stale.push(upload);
                    }
                }
                Ok(stale)
            })
            .await?;
        let count = stale.len();
        for upload in stale {
            tracing::info!(
                bucket = upload.bucket,
                key = upload.key,
                "aborting an incomplete multipart upload by lifecycle rule"
            );
            let aborted = self
                .abort_upload(upload.bucket, upload.key, upload.id)
                .await;
            if let Err(error) = aborted
                && error.code().as_str() != "NoSuchUpload"
            {
                return Err(error);
            }
        }
        Ok(count)
    }

    /// Aborts one upload.
    pub(super) async fn abort_upload(
        &self,
        bucket: String,
        key: String,
        id: String,
    ) -> S3Result<()> {
        self.index
            .remove(move |tables| {
                index::bucket(&tables.buckets, &bucket)?;
                index::upload(&tables.uploads, &bucket, &key, &id)?;
                let parts = index::parts(&tables.parts, &id)?;
                tables
                    .uploads
                    .remove(upload_key(&bucket, &key, &id).as_slice())?;
                for (number, _) in &parts {
                    tables.parts.remove(part_key(&id, *number).as_slice())?;
                }
                Ok(Change {
                    value: (),
                    keep: Vec::new(),
                    doom: parts
                        .into_iter()
                        .filter_map(|(_, part)| part.blob)
                        .collect(),
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::checksum::Algorithm;
    use s3s::dto::{AbortIncompleteMultipartUpload, LifecycleExpiration, LifecycleRuleFilter};

    fn rule(prefix: &str, days: i32, status: &'static str) -> LifecycleRule {
        LifecycleRule {
            abort_incomplete_multipart_upload: Some(AbortIncompleteMultipartUpload {
                days_after_initiation: Some(days),
            }),
            expiration: None,
            filter: Some(LifecycleRuleFilter {
                prefix: Some(prefix.to_owned()),
                ..Default::default()
            }),
            id: None,
            noncurrent_version_expiration: None,
            noncurrent_version_transitions: None,
            prefix: None,
            status: ExpirationStatus::from_static(status),
            transitions: None,
        }
    }

    fn upload(key: &str, initiated_ms: i64) -> Upload {
        Upload {
            bucket: "b".to_owned(),
            key: key.to_owned(),
            id: "u".to_owned(),
            initiated_ms,
            algorithm: Algorithm::Crc64Nvme,
            composite: false,
            algorithm_named: false,
            headers: Default::default(),
        }
    }

    #[test]
    fn upload_is_aborted_at_the_midnight_after_its_days() {
        let rules = BucketLifecycleConfiguration {
            rules: vec![
                rule("", 7, ExpirationStatus::ENABLED),
                rule("a/", 2, ExpirationStatus::ENABLED),
                rule("a/", 1, ExpirationStatus::DISABLED),
            ],
        };
        assert_eq!(abort_at_ms(&rules, &upload("b", 10)), Some(8 * DAY_MS));
        assert_eq!(abort_at_ms(&rules, &upload("a/b", 10)), Some(3 * DAY_MS));
        assert_eq!(abort_at_ms(&rules, &upload("a/b", 0)), Some(2 * DAY_MS));
        let none = BucketLifecycleConfiguration {
            rules: vec![rule("x", 1, ExpirationStatus::ENABLED)],
        };
        assert_eq!(abort_at_ms(&none, &upload("b", 0)), None);
    }

    #[test]
    fn rules_that_nothing_carries_out_are_refused() {
        let code = |rules: Vec<LifecycleRule>| {
            validate(&BucketLifecycleConfiguration { rules })
                .map_or_else(|e| e.code().as_str().to_owned(), |()| "ok".to_owned())
        };
        assert_eq!(code(vec![rule("a", 7, ExpirationStatus::ENABLED)]), "ok");
        assert_eq!(code(vec![]), "MalformedXML");
        assert_eq!(
            code(vec![rule("a", 0, ExpirationStatus::ENABLED)]),
            "InvalidArgument"
        );
        let mut expires = rule("a", 7, ExpirationStatus::ENABLED);
        expires.expiration = Some(LifecycleExpiration::default());
        assert_eq!(code(vec![expires]), "NotImplemented");
        let mut idle = rule("a", 7, ExpirationStatus::ENABLED);
        idle.abort_incomplete_multipart_upload = None;
        assert_eq!(code(vec![idle]), "InvalidRequest");
    }
}
