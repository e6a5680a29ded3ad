//! The bucket.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Mode, Notes, ProvisionError, Service};

/// The one region that must not be named as a location.
const DEFAULT_REGION: &str = "us-east-1";

/// Makes the bucket where it is missing.
pub(super) async fn provision(
    s3: &Client,
    bucket: &str,
    region: &str,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ProvisionError> {
    match s3.head_bucket().bucket(bucket).send().await {
        Ok(_) => return Ok(()),
        Err(e) => match e.raw_response().map(|r| r.status().as_u16()) {
            Some(404) => {}
            Some(403) => {
                return Err(ProvisionError::Refused(format!(
                    "bucket `{bucket}` belongs to somebody else or may not be read with these credentials: \
                     choose another lake.bucket, or allow s3:ListBucket"
                )));
            }
            Some(301) => {
                return Err(ProvisionError::Refused(format!(
                    "bucket `{bucket}` is in another region than aws.region `{region}`: name the bucket's region"
                )));
            }
            _ => {
                let action = format!("look at bucket `{bucket}`");
                return Err(ProvisionError::aws(Service::S3, action, &e));
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
        Ok(_) => notes.changed(format!("made bucket {bucket}")),
        Err(e) => match e.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("BucketAlreadyOwnedByYou") => {}
            Some("BucketAlreadyExists") => {
                return Err(ProvisionError::Refused(format!(
                    "bucket `{bucket}` belongs to another account: choose another lake.bucket"
                )));
            }
            _ => {
                let action = format!("make bucket `{bucket}`");
                return Err(ProvisionError::aws(Service::S3, action, &e));
            }
        },
    }
    Ok(())
}
