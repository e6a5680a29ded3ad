//! Incomplete uploads do not stay for ever, and the ledger is not expired.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleRule,
    LifecycleRuleFilter,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use stockpipe_crds::pipeline::Lake;

use super::bucket::is_refusal;
use super::{Mode, Notes};
use crate::ledger::CONTROL;
use crate::service::{Service, ServiceError};

const DAY: Duration = Duration::from_secs(86_400);

/// Adds our rule to the bucket's lifecycle; every other rule stays as it is.
pub(super) async fn provision(
    s3: &Client,
    lake: &Lake,
    lake_id: &str,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let bucket = &lake.bucket;
    let current = s3
        .get_bucket_lifecycle_configuration()
        .bucket(bucket)
        .send()
        .await;
    let rules = match current {
        Ok(output) => output.rules.unwrap_or_default(),
        Err(e) => match e.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("NoSuchLifecycleConfiguration") => Vec::new(),
            Some(code) if is_refusal(code) => {
                notes.warn(without_lifecycle(bucket, lake));
                return Ok(());
            }
            _ => {
                let action = format!("read the lifecycle of bucket `{bucket}`");
                return Err(ServiceError::aws(Service::S3, action, &e));
            }
        },
    };
    for rule in rules.iter().filter(|r| expires_the_ledger(r)) {
        notes.warn(format!(
            "lifecycle rule `{}` of bucket `{bucket}` expires objects under {CONTROL}/, where the ledger lies: \
             narrow its prefix, or the ledger will be lost",
            rule.id.as_deref().unwrap_or("without an id")
        ));
    }
    let ours = our_rule(lake, lake_id);
    if rules.contains(&ours) || mode == Mode::Verify {
        return Ok(());
    }
    let configuration = BucketLifecycleConfiguration::builder()
        .set_rules(Some(merge(rules, ours)))
        .build()
        .map_err(|e| ServiceError::Refused(format!("the lifecycle of bucket `{bucket}`: {e}")))?;
    let put = s3
        .put_bucket_lifecycle_configuration()
        .bucket(bucket)
        .lifecycle_configuration(configuration)
        .send()
        .await;
    match put {
        Ok(_) => notes.changed(format!(
            "incomplete uploads under s3://{bucket}/{}/ are dropped after {} days",
            lake.prefix,
            days(lake.abort_uploads_after)
        )),
        Err(e) => match e.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some(code) if is_refusal(code) => {
                notes.warn(without_lifecycle(bucket, lake));
            }
            _ => {
                let action = format!("change the lifecycle of bucket `{bucket}`");
                return Err(ServiceError::aws(Service::S3, action, &e));
            }
        },
    }
    Ok(())
}

fn without_lifecycle(bucket: &str, lake: &Lake) -> String {
    format!(
        "bucket `{bucket}` takes no lifecycle rule: drop incomplete uploads under {}/ that are older than {} days yourself",
        lake.prefix,
        days(lake.abort_uploads_after)
    )
}

/// Whole days, at least one: S3 counts no less.
fn days(time: Duration) -> i32 {
    i32::try_from(time.as_secs().div_ceil(DAY.as_secs()).max(1)).unwrap_or(i32::MAX)
}

/// Takes our rule out of the bucket's lifecycle; every other rule stays as it is.
///
/// # Errors
/// Where S3 refuses or is not reached; a store without lifecycle rules has none of ours.
pub(crate) async fn remove(s3: &Client, bucket: &str, lake_id: &str) -> Result<(), ServiceError> {
    let current = s3
        .get_bucket_lifecycle_configuration()
        .bucket(bucket)
        .send()
        .await;
    let mut rules = match current {
        Ok(output) => output.rules.unwrap_or_default(),
        Err(e) => match e.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("NoSuchLifecycleConfiguration") => return Ok(()),
            Some(code) if is_refusal(code) => return Ok(()),
            _ => {
                let action = format!("read the lifecycle of bucket `{bucket}`");
                return Err(ServiceError::aws(Service::S3, action, &e));
            }
        },
    };
    let count = rules.len();
    rules.retain(|rule| rule.id != Some(rule_id(lake_id)));
    if rules.len() == count {
        return Ok(());
    }
    let action = || format!("take our rule out of the lifecycle of bucket `{bucket}`");
    if rules.is_empty() {
        s3.delete_bucket_lifecycle()
            .bucket(bucket)
            .send()
            .await
            .map_err(|e| ServiceError::aws(Service::S3, action(), &e))?;
        return Ok(());
    }
    let configuration = BucketLifecycleConfiguration::builder()
        .set_rules(Some(rules))
        .build()
        .map_err(|e| ServiceError::Refused(format!("the lifecycle of bucket `{bucket}`: {e}")))?;
    s3.put_bucket_lifecycle_configuration()
        .bucket(bucket)
        .lifecycle_configuration(configuration)
        .send()
        .await
        .map_err(|e| ServiceError::aws(Service::S3, action(), &e))?;
    Ok(())
}

fn rule_id(lake_id: &str) -> String {
    format!("stockpipe-abort-uploads-{lake_id}")
}

fn our_rule(lake: &Lake, lake_id: &str) -> LifecycleRule {
    let filter = LifecycleRuleFilter::builder()
        .prefix(format!("{}/", lake.prefix))
        .build();
    let abort = AbortIncompleteMultipartUpload::builder()
        .days_after_initiation(days(lake.abort_uploads_after))
        .build();
    LifecycleRule::builder()
        .id(rule_id(lake_id))
        .filter(filter)
        .status(ExpirationStatus::Enabled)
        .abort_incomplete_multipart_upload(abort)
        .build()
        .expect("a rule with a status is complete")
}

fn merge(rules: Vec<LifecycleRule>, ours: LifecycleRule) -> Vec<LifecycleRule> {
    let mut merged: Vec<_> = rules.into_iter().filter(|r| r.id != ours.id).collect();
    merged.push(ours);
    merged
}

/// Whether an enabled rule of somebody deletes objects where the ledger lies.
fn expires_the_ledger(rule: &LifecycleRule) -> bool {
    #[expect(deprecated, reason = "old rules still carry their prefix there")]
    let old_prefix = rule.prefix.as_deref();
    let narrowed = rule
        .filter
        .as_ref()
        .is_some_and(|f| f.tag.is_some() || f.and.as_ref().is_some_and(|a| a.tags.is_some()));
    let prefix = rule
        .filter
        .as_ref()
        .and_then(|f| {
            f.prefix
                .as_deref()
                .or_else(|| f.and.as_ref().and_then(|a| a.prefix.as_deref()))
        })
        .or(old_prefix)
        .unwrap_or_default();
    let control = format!("{CONTROL}/");
    rule.status == ExpirationStatus::Enabled
        && rule.expiration.is_some()
        && !narrowed
        && (control.starts_with(prefix) || prefix.starts_with(&control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::LifecycleExpiration;

    fn rule(id: &str, prefix: &str) -> LifecycleRule {
        LifecycleRule::builder()
            .id(id)
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
            .expiration(LifecycleExpiration::builder().days(30).build())
            .build()
            .unwrap()
    }

    #[test]
    fn days_are_whole_and_at_least_one() {
        assert_eq!(days(Duration::from_secs(1)), 1);
        assert_eq!(days(DAY * 7), 7);
        assert_eq!(days(DAY * 7 + Duration::from_secs(1)), 8);
    }

    #[test]
    fn our_rule_replaces_only_itself() {
        let merged = merge(
            vec![rule("theirs", "logs/"), rule("ours", "old/")],
            rule("ours", "new/"),
        );
        assert_eq!(merged, [rule("theirs", "logs/"), rule("ours", "new/")]);
    }

    #[test]
    fn a_rule_that_would_expire_the_ledger_is_told() {
        assert!(expires_the_ledger(&rule("all", "")));
        assert!(expires_the_ledger(&rule("control", "_stockpipe/x/")));
        assert!(!expires_the_ledger(&rule("logs", "logs/")));
        let mut disabled = rule("all", "");
        disabled.status = ExpirationStatus::Disabled;
        assert!(!expires_the_ledger(&disabled));
    }
}
