//! Buckets and what is configured on them.

use redb::ReadableTable as _;
use s3s::dto;
use s3s::{S3Request, S3Result, s3_error};

use super::Api;
use crate::credentials::REGION;
use crate::s3::index::{
    self, Change, Failure, Tables, as_slice, bucket, decode, object_key, part_key, prefix_range,
    put,
};
use crate::s3::lifecycle;
use crate::s3::object::{BlobId, Bucket, Upload, now_ms, timestamp};

impl Api {
    pub(super) async fn create_bucket(
        &self,
        request: S3Request<dto::CreateBucketInput>,
    ) -> S3Result<dto::CreateBucketOutput> {
        let input = request.input;
        let name = input.bucket;
        if input.object_lock_enabled_for_bucket == Some(true) {
            return Err(s3_error!(NotImplemented, "Object Lock is not supported."));
        }
        let made = Bucket {
            created_ms: now_ms(),
            location: input
                .create_bucket_configuration
                .and_then(|configuration| configuration.location_constraint)
                .map(|location| location.as_str().to_owned())
                .filter(|location| !location.is_empty() && location != REGION),
            ..Default::default()
        };
        let location = format!("/{name}");
        self.store
            .index
            .write(move |tables| {
                if index::get::<Bucket>(&tables.buckets, name.as_bytes())?.is_some() {
                    return Err(s3_error!(
                        BucketAlreadyOwnedByYou,
                        "Your previous request to create the named bucket succeeded and you already own it: {name}."
                    )
                    .into());
                }
                put(&mut tables.buckets, name.as_bytes(), &made)?;
                Ok(Change::of(()))
            })
            .await?;
        Ok(dto::CreateBucketOutput {
            location: Some(location),
        })
    }

    pub(super) async fn delete_bucket(
        &self,
        request: S3Request<dto::DeleteBucketInput>,
    ) -> S3Result<dto::DeleteBucketOutput> {
        let name = request.input.bucket;
        self.store
            .index
            .remove(move |tables| {
                bucket(&tables.buckets, &name)?;
                let (start, end) = prefix_range(&object_key(&name, ""));
                let occupied = tables
                    .objects
                    .range::<&[u8]>((as_slice(&start), as_slice(&end)))?
                    .next()
                    .is_some();
                if occupied {
                    return Err(s3_error!(
                        BucketNotEmpty,
                        "The bucket you tried to delete is not empty: {name}."
                    )
                    .into());
                }
                let doom = remove_uploads(tables, &name)?;
                tables.buckets.remove(name.as_bytes())?;
                Ok(Change {
                    value: (),
                    keep: Vec::new(),
                    doom,
                })
            })
            .await?;
        Ok(dto::DeleteBucketOutput::default())
    }

    pub(super) async fn head_bucket(
        &self,
        request: S3Request<dto::HeadBucketInput>,
    ) -> S3Result<dto::HeadBucketOutput> {
        let found = self.bucket(request.input.bucket).await?;
        Ok(dto::HeadBucketOutput {
            bucket_region: Some(found.location.unwrap_or_else(|| REGION.to_owned())),
            ..Default::default()
        })
    }

    pub(super) async fn get_bucket_location(
        &self,
        request: S3Request<dto::GetBucketLocationInput>,
    ) -> S3Result<dto::GetBucketLocationOutput> {
        let found = self.bucket(request.input.bucket).await?;
        Ok(dto::GetBucketLocationOutput {
            location_constraint: found.location.map(Into::into),
        })
    }

    pub(super) async fn list_buckets(
        &self,
        request: S3Request<dto::ListBucketsInput>,
    ) -> S3Result<dto::ListBucketsOutput> {
        let prefix = request.input.prefix.clone().unwrap_or_default();
        let buckets = self
            .store
            .read(move |snapshot, _| {
                let mut buckets = Vec::new();
                for entry in snapshot.buckets.iter()? {
                    let (name, value) = entry?;
                    let name = String::from_utf8_lossy(name.value()).into_owned();
                    let bucket: Bucket = decode(value.value())?;
                    if name.starts_with(&prefix) {
                        buckets.push(dto::Bucket {
                            name: Some(name),
                            creation_date: Some(timestamp(bucket.created_ms)),
                            bucket_region: Some(
                                bucket.location.unwrap_or_else(|| REGION.to_owned()),
                            ),
                        });
                    }
                }
                Ok(buckets)
            })
            .await?;
        Ok(dto::ListBucketsOutput {
            buckets: Some(buckets),
            owner: Some(owner()),
            prefix: request.input.prefix,
            ..Default::default()
        })
    }

    /// Never enabled: every object has one version.
    pub(super) async fn get_bucket_versioning(
        &self,
        request: S3Request<dto::GetBucketVersioningInput>,
    ) -> S3Result<dto::GetBucketVersioningOutput> {
        self.bucket(request.input.bucket).await?;
        Ok(dto::GetBucketVersioningOutput::default())
    }

    pub(super) async fn put_bucket_lifecycle_configuration(
        &self,
        request: S3Request<dto::PutBucketLifecycleConfigurationInput>,
    ) -> S3Result<dto::PutBucketLifecycleConfigurationOutput> {
        let configuration = request.input.lifecycle_configuration.unwrap_or_default();
        lifecycle::validate(&configuration)?;
        self.update_bucket(request.input.bucket, move |bucket| {
            bucket.lifecycle = Some(configuration);
        })
        .await?;
        Ok(dto::PutBucketLifecycleConfigurationOutput::default())
    }

    pub(super) async fn get_bucket_lifecycle_configuration(
        &self,
        request: S3Request<dto::GetBucketLifecycleConfigurationInput>,
    ) -> S3Result<dto::GetBucketLifecycleConfigurationOutput> {
        let found = self.bucket(request.input.bucket).await?;
        let configuration = found.lifecycle.ok_or_else(|| {
            s3_error!(
                NoSuchLifecycleConfiguration,
                "The lifecycle configuration does not exist."
            )
        })?;
        Ok(dto::GetBucketLifecycleConfigurationOutput {
            rules: Some(configuration.rules),
            ..Default::default()
        })
    }

    pub(super) async fn delete_bucket_lifecycle(
        &self,
        request: S3Request<dto::DeleteBucketLifecycleInput>,
    ) -> S3Result<dto::DeleteBucketLifecycleOutput> {
        self.update_bucket(request.input.bucket, |bucket| bucket.lifecycle = None)
            .await?;
        Ok(dto::DeleteBucketLifecycleOutput::default())
    }

    /// Reads a bucket, or answers `NoSuchBucket`.
    pub(super) async fn bucket(&self, name: String) -> S3Result<Bucket> {
        self.store
            .read(move |snapshot, _| bucket(&snapshot.buckets, &name))
            .await
    }

    /// Changes what is configured on a bucket.
    pub(super) async fn update_bucket(
        &self,
        name: String,
        update: impl FnOnce(&mut Bucket) + Send + 'static,
    ) -> S3Result<()> {
        self.store
            .index
            .write(move |tables| {
                let mut found = bucket(&tables.buckets, &name)?;
                update(&mut found);
                put(&mut tables.buckets, name.as_bytes(), &found)?;
                Ok(Change::of(()))
            })
            .await
    }
}

/// Aborts the uploads of a bucket that goes.
fn remove_uploads(tables: &mut Tables<'_>, name: &str) -> Result<Vec<BlobId>, Failure> {
    let (start, end) = prefix_range(&object_key(name, ""));
    let mut uploads = Vec::new();
    for entry in tables
        .uploads
        .range::<&[u8]>((as_slice(&start), as_slice(&end)))?
    {
        let (key, value) = entry?;
        let upload: Upload = decode(value.value())?;
        uploads.push((key.value().to_vec(), upload.id));
    }
    let mut doom = Vec::new();
    for (key, id) in uploads {
        for (number, part) in index::parts(&tables.parts, &id)? {
            tables.parts.remove(part_key(&id, number).as_slice())?;
            doom.extend(part.blob);
        }
        tables.uploads.remove(key.as_slice())?;
    }
    Ok(doom)
}

/// The one account.
pub(super) fn owner() -> dto::Owner {
    dto::Owner {
        display_name: Some("stockpipe".to_owned()),
        id: Some("stockpipe".to_owned()),
    }
}
