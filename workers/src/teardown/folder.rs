//! Everything under a folder of the bucket: objects, and uploads that were never completed.

use std::fmt;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::service::{Service, ServiceError};

/// How much was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deleted {
    objects: usize,
    uploads: usize,
}

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} objects", self.objects)?;
        if self.uploads > 0 {
            write!(f, " and {} unfinished uploads", self.uploads)?;
        }
        Ok(())
    }
}

/// Empties `folder`, which ends in a slash. Uploads go first: completing one would bring an object back.
pub(super) async fn empty(
    s3: &Client,
    bucket: &str,
    folder: &str,
) -> Result<Deleted, ServiceError> {
    debug_assert!(folder.ends_with('/'), "{folder}");
    Ok(Deleted {
        uploads: abort_uploads(s3, bucket, folder).await?,
        objects: delete_objects(s3, bucket, folder).await?,
    })
}

async fn abort_uploads(s3: &Client, bucket: &str, folder: &str) -> Result<usize, ServiceError> {
    let mut aborted = 0;
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let page = s3
            .list_multipart_uploads()
            .bucket(bucket)
            .prefix(folder)
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker)
            .send()
            .await
            .map_err(|e| {
                let action = format!("list the uploads under s3://{bucket}/{folder}");
                ServiceError::aws(Service::S3, action, &e)
            })?;
        for upload in page.uploads() {
            let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else {
                continue;
            };
            let call = s3.abort_multipart_upload().bucket(bucket);
            match call.key(key).upload_id(id).send().await {
                Ok(_) => aborted += 1,
                Err(e)
                    if e.as_service_error().and_then(ProvideErrorMetadata::code)
                        == Some("NoSuchUpload") => {}
                Err(e) => {
                    let action = format!("abort the upload of s3://{bucket}/{key}");
                    return Err(ServiceError::aws(Service::S3, action, &e));
                }
            }
        }
        if page.is_truncated() != Some(true) {
            return Ok(aborted);
        }
        key_marker = page.next_key_marker;
        id_marker = page.next_upload_id_marker;
    }
}

async fn delete_objects(s3: &Client, bucket: &str, folder: &str) -> Result<usize, ServiceError> {
    let failed = |why: String| ServiceError::Aws {
        action: format!("delete the objects under s3://{bucket}/{folder}"),
        why,
        service: Service::S3,
        outage: false,
    };
    let mut deleted = 0;
    let mut pages = s3
        .list_objects_v2()
        .bucket(bucket)
        .prefix(folder)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| {
            let action = format!("list s3://{bucket}/{folder}");
            ServiceError::aws(Service::S3, action, &e)
        })?;
        let keys = page
            .contents()
            .iter()
            .filter_map(|object| object.key())
            .map(|key| ObjectIdentifier::builder().key(key).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| failed(e.to_string()))?;
        if keys.is_empty() {
            continue;
        }
        let count = keys.len();
        let delete = Delete::builder()
            .set_objects(Some(keys))
            .quiet(true)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let answer = s3
            .delete_objects()
            .bucket(bucket)
            .delete(delete)
            .send()
            .await
            .map_err(|e| {
                let action = format!("delete the objects under s3://{bucket}/{folder}");
                ServiceError::aws(Service::S3, action, &e)
            })?;
        if let Some(refused) = answer.errors().first() {
            return Err(failed(format!(
                "{}: {} ({})",
                refused.code().unwrap_or("no code"),
                refused.message().unwrap_or_default(),
                refused.key().unwrap_or_default(),
            )));
        }
        deleted += count;
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_uploads_are_told_where_there_were_any() {
        let of = |objects, uploads| Deleted { objects, uploads }.to_string();
        assert_eq!(of(3, 0), "3 objects");
        assert_eq!(of(0, 2), "0 objects and 2 unfinished uploads");
    }
}
