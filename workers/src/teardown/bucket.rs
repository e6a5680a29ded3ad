//! The bucket, if it was made for this pipeline and nothing else is in it.

use aws_sdk_s3::Client;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Notes, folder};
use crate::context::Context;
use crate::ledger::CONTROL;
use crate::provision::bucket::was_made_for;
use crate::service::{Service, ServiceError};

/// Whether there is such a bucket.
pub(super) async fn is_there(s3: &Client, bucket: &str) -> Result<bool, ServiceError> {
    match s3.head_bucket().bucket(bucket).send().await {
        Ok(_) => Ok(true),
        Err(e) if e.raw_response().map(|r| r.status().as_u16()) == Some(404) => Ok(false),
        Err(e) => {
            let action = format!("look at bucket `{bucket}`");
            Err(ServiceError::aws(Service::S3, action, &e))
        }
    }
}

/// Deletes the bucket. Its tag goes with it, so that there is no moment at which it is empty and nobody's.
pub(super) async fn tear_down(
    ctx: &Context,
    s3: &Client,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let bucket = &ctx.pipeline.lake.bucket;
    if !was_made_for(s3, bucket, &ctx.identity()).await? {
        notes.stays(format!(
            "bucket {bucket}, which was not made for this pipeline"
        ));
        return Ok(());
    }
    // What a provisioning that was killed may have left of its look at the store.
    folder::empty(s3, bucket, &format!("{CONTROL}/probes/")).await?;
    if is_used(s3, bucket).await? {
        notes.stays(format!("bucket {bucket}, which has other objects"));
        return Ok(());
    }
    match s3.delete_bucket().bucket(bucket).send().await {
        Ok(_) => notes.deleted(format!("bucket {bucket}")),
        Err(e) => match e.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("NoSuchBucket") => {}
            // Another's object has just come, or older versions of objects are kept.
            Some("BucketNotEmpty") => {
                notes.stays(format!("bucket {bucket}, which is not empty"));
            }
            _ => {
                let action = format!("delete bucket `{bucket}`");
                return Err(ServiceError::aws(Service::S3, action, &e));
            }
        },
    }
    Ok(())
}

/// Whether anybody has an object in the bucket, or is uploading one.
async fn is_used(s3: &Client, bucket: &str) -> Result<bool, ServiceError> {
    let action = || format!("look whether bucket `{bucket}` is empty");
    let objects = s3.list_objects_v2().bucket(bucket).max_keys(1).send().await;
    let objects = objects.map_err(|e| ServiceError::aws(Service::S3, action(), &e))?;
    if !objects.contents().is_empty() {
        return Ok(true);
    }
    let uploads = s3.list_multipart_uploads().bucket(bucket).max_uploads(1);
    let uploads = uploads
        .send()
        .await
        .map_err(|e| ServiceError::aws(Service::S3, action(), &e))?;
    Ok(!uploads.uploads().is_empty())
}
