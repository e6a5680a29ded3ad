//! Tags of buckets and objects.

use s3s::dto;
use s3s::{S3Request, S3Result, s3_error};

use super::Api;
use crate::s3::error;
use crate::s3::index::{Change, bucket, object, object_key, put};

/// Most tags of an object; a bucket may have more.
const OBJECT_TAGS: usize = 10;
/// Most tags of a bucket.
const BUCKET_TAGS: usize = 50;

impl Api {
    pub(super) async fn put_bucket_tagging(
        &self,
        request: S3Request<dto::PutBucketTaggingInput>,
    ) -> S3Result<dto::PutBucketTaggingOutput> {
        let tags = checked(pairs(request.input.tagging.tag_set), BUCKET_TAGS)?;
        self.update_bucket(request.input.bucket, move |bucket| bucket.tags = tags)
            .await?;
        Ok(dto::PutBucketTaggingOutput::default())
    }

    pub(super) async fn get_bucket_tagging(
        &self,
        request: S3Request<dto::GetBucketTaggingInput>,
    ) -> S3Result<dto::GetBucketTaggingOutput> {
        let found = self.bucket(request.input.bucket).await?;
        if found.tags.is_empty() {
            return Err(s3_error!(NoSuchTagSet, "The TagSet does not exist."));
        }
        Ok(dto::GetBucketTaggingOutput {
            tag_set: tag_set(&found.tags),
        })
    }

    pub(super) async fn delete_bucket_tagging(
        &self,
        request: S3Request<dto::DeleteBucketTaggingInput>,
    ) -> S3Result<dto::DeleteBucketTaggingOutput> {
        self.update_bucket(request.input.bucket, |bucket| bucket.tags.clear())
            .await?;
        Ok(dto::DeleteBucketTaggingOutput::default())
    }

    pub(super) async fn put_object_tagging(
        &self,
        request: S3Request<dto::PutObjectTaggingInput>,
    ) -> S3Result<dto::PutObjectTaggingOutput> {
        let input = request.input;
        let tags = checked(pairs(input.tagging.tag_set), OBJECT_TAGS)?;
        self.tag_object(input.bucket, input.key, tags).await?;
        Ok(dto::PutObjectTaggingOutput::default())
    }

    pub(super) async fn get_object_tagging(
        &self,
        request: S3Request<dto::GetObjectTaggingInput>,
    ) -> S3Result<dto::GetObjectTaggingOutput> {
        let dto::GetObjectTaggingInput {
            bucket: name, key, ..
        } = request.input;
        let found = self
            .store
            .read(move |snapshot, _| {
                bucket(&snapshot.buckets, &name)?;
                object(&snapshot.objects, &name, &key)?
                    .ok_or_else(|| error::no_such_key(&key).into())
            })
            .await?;
        Ok(dto::GetObjectTaggingOutput {
            tag_set: tag_set(&found.headers.tags),
            ..Default::default()
        })
    }

    pub(super) async fn delete_object_tagging(
        &self,
        request: S3Request<dto::DeleteObjectTaggingInput>,
    ) -> S3Result<dto::DeleteObjectTaggingOutput> {
        self.tag_object(request.input.bucket, request.input.key, Vec::new())
            .await?;
        Ok(dto::DeleteObjectTaggingOutput::default())
    }

    async fn tag_object(
        &self,
        name: String,
        key: String,
        tags: Vec<(String, String)>,
    ) -> S3Result<()> {
        self.store
            .index
            .write(move |tables| {
                bucket(&tables.buckets, &name)?;
                let mut found = object(&tables.objects, &name, &key)?
                    .ok_or_else(|| error::no_such_key(&key))?;
                found.headers.tags = tags;
                put(&mut tables.objects, &object_key(&name, &key), &found)?;
                Ok(Change::of(()))
            })
            .await
    }
}

/// Tags as in the header `x-amz-tagging`: a query string.
///
/// # Errors
/// `InvalidTag` for more than S3 takes.
pub(super) fn from_header(header: Option<&str>) -> S3Result<Vec<(String, String)>> {
    let tags = url::form_urlencoded::parse(header.unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    checked(tags, OBJECT_TAGS)
}

fn pairs(set: Vec<dto::Tag>) -> Vec<(String, String)> {
    set.into_iter()
        .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
        .collect()
}

fn tag_set(tags: &[(String, String)]) -> Vec<dto::Tag> {
    tags.iter()
        .map(|(key, value)| dto::Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        })
        .collect()
}

fn checked(tags: Vec<(String, String)>, most: usize) -> S3Result<Vec<(String, String)>> {
    let too_long = |(key, value): &(String, String)| {
        key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256
    };
    if tags.iter().any(too_long) {
        return Err(s3_error!(
            InvalidTag,
            "A tag's key has 1 to 128 characters, its value at most 256."
        ));
    }
    let repeated = tags
        .iter()
        .enumerate()
        .any(|(i, (key, _))| tags[..i].iter().any(|(before, _)| before == key));
    if repeated {
        return Err(s3_error!(
            InvalidTag,
            "Cannot provide multiple Tags with the same key"
        ));
    }
    if tags.len() > most {
        return Err(s3_error!(InvalidTag, "There may be at most {most} tags."));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_a_query_string() {
        let tags = from_header(Some("team=data&note=a%20b%26c")).unwrap();
        assert_eq!(
            tags,
            [
                ("team".to_owned(), "data".to_owned()),
                ("note".to_owned(), "a b&c".to_owned())
            ]
        );
        assert!(from_header(None).unwrap().is_empty());
    }

    #[test]
    fn tags_that_s3_refuses_are_refused() {
        assert!(from_header(Some("=x")).is_err());
        assert!(from_header(Some("a=1&a=2")).is_err());
        let eleven: Vec<String> = (0..11).map(|i| format!("k{i}=v")).collect();
        assert!(from_header(Some(&eleven.join("&"))).is_err());
    }
}
