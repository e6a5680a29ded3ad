//! The bucket, and the tag on it that says for whom it was made.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, Tag, Tagging};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{IDENTITY_PARAMETER, Mode, Notes};
use crate::service::{Service, ServiceError};

/// The one region that must not be named as a location.
const DEFAULT_REGION: &str = "us-east-1";

/// Makes the bucket where it is missing.
pub(super) async fn provision(
    s3: &Client,
    bucket: &str,
    region: &str,
    identity: &str,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    match s3.head_bucket().bucket(bucket).send().await {
        Ok(_) => return Ok(()),
        Err(e) => match e.raw_response().map(|r| r.status().as_u16()) {
            Some(404) => {}
            Some(403) => {
                return Err(ServiceError::Refused(format!(
                    "bucket `{bucket}` belongs to somebody else or may not be read with these credentials: \
                     choose another lake.bucket, or allow s3:ListBucket"
                )));
            }
            Some(301) => {
                return Err(ServiceError::Refused(format!(
                    "bucket `{bucket}` is in another region than aws.region `{region}`: name the bucket's region"
                )));
            }
            _ => {
                let action = format!("look at bucket `{bucket}`");
                return Err(ServiceError::aws(Service::S3, action, &e));
            }
        },
    }
    mode.may_change(|| format!("bucket `{bucket}` does not exist"))?;
    let location = (region != DEFAULT_REGION).then(|| {
        CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(region))
            .build()
    });
    let made = s3
        .create_bucket()
        .bucket(bucket)
        .set_create_bucket_configuration(location)
        .send()
        .await;
    match made {
        Ok(_) => {
            notes.changed(format!("made bucket {bucket}"));
            mark(s3, bucket, identity, notes).await?;
        }
        Err(e) => match e.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("BucketAlreadyOwnedByYou") => {}
            Some("BucketAlreadyExists") => {
                return Err(ServiceError::Refused(format!(
                    "bucket `{bucket}` belongs to another account: choose another lake.bucket"
                )));
            }
            _ => {
                let action = format!("make bucket `{bucket}`");
                return Err(ServiceError::aws(Service::S3, action, &e));
            }
        },
    }
    Ok(())
}

/// Tags a bucket that was just made, so that the teardown of `identity` may delete it. A store without tags, and a
/// crash before this, leave a bucket that stays.
async fn mark(
    s3: &Client,
    bucket: &str,
    identity: &str,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let incomplete = |e: aws_smithy_types::error::operation::BuildError| {
        ServiceError::Refused(format!("the tag of bucket `{bucket}`: {e}"))
    };
    let tag = Tag::builder().key(IDENTITY_PARAMETER).value(identity);
    let tags = Tagging::builder()
        .tag_set(tag.build().map_err(incomplete)?)
        .build()
        .map_err(incomplete)?;
    match s3
        .put_bucket_tagging()
        .bucket(bucket)
        .tagging(tags)
        .send()
        .await
    {
        Ok(_) => Ok(()),
        Err(e) => match e.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some(code) if is_refusal(code) => {
                notes.warn(format!(
                    "bucket `{bucket}` takes no tag ({code}), by which a teardown would know it: it will stay"
                ));
                Ok(())
            }
            _ => {
                let action = format!("tag bucket `{bucket}`");
                Err(ServiceError::aws(Service::S3, action, &e))
            }
        },
    }
}

/// Whether the bucket was made for `identity`.
///
/// # Errors
/// Where S3 refuses otherwise or is not reached.
pub(crate) async fn was_made_for(
    s3: &Client,
    bucket: &str,
    identity: &str,
) -> Result<bool, ServiceError> {
    match s3.get_bucket_tagging().bucket(bucket).send().await {
        Ok(found) => Ok(found
            .tag_set()
            .iter()
            .any(|tag| tag.key() == IDENTITY_PARAMETER && tag.value() == identity)),
        Err(e) => match e.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("NoSuchTagSet") => Ok(false),
            Some(code) if is_refusal(code) => Ok(false),
            _ => {
                let action = format!("read the tags of bucket `{bucket}`");
                Err(ServiceError::aws(Service::S3, action, &e))
            }
        },
    }
}

/// Whether a store says by `code` that it does not do this, or not for us.
pub(crate) fn is_refusal(code: &str) -> bool {
    matches!(
        code,
        "NotImplemented" | "MethodNotAllowed" | "AccessDenied" | "UnknownOperation"
    )
}
