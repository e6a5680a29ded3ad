//! Objects of S3 as DataFusion reads them, with every fetched byte counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::error::Result as DfResult;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use url::Url;

use super::fault::{Category, Fault};

/// What a statement fails with once its workgroup's limit is passed.
pub(super) const LIMIT_WORDS: &str = "Bytes scanned limit was exceeded";

/// Counts the bytes that one statement fetched, up to its workgroup's cutoff.
#[derive(Debug)]
pub(super) struct Meter {
    scanned: AtomicU64,
    cutoff: u64,
}

impl Meter {
    /// A meter that allows `cutoff` bytes; `None` is no limit.
    pub(super) fn new(cutoff: Option<u64>) -> Self {
        Self {
            scanned: AtomicU64::new(0),
            cutoff: cutoff.unwrap_or(u64::MAX),
        }
    }

    /// Bytes fetched so far.
    pub(super) fn scanned(&self) -> u64 {
        self.scanned.load(Ordering::Relaxed)
    }

    /// Counts from the beginning: the query is run again.
    pub(super) fn restart(&self) {
        self.scanned.store(0, Ordering::Relaxed);
    }

    /// Whether the cutoff was passed.
    pub(super) fn exceeded(&self) -> bool {
        self.scanned() > self.cutoff
    }

    /// Counts `bytes` that were fetched.
    ///
    /// # Errors
    /// Once more than the cutoff was fetched.
    pub(super) fn count(&self, bytes: u64) -> std::result::Result<(), Fault> {
        self.scanned.fetch_add(bytes, Ordering::Relaxed);
        if self.exceeded() {
            Err(Fault {
                category: Category::User,
                message: LIMIT_WORDS.to_owned(),
            })
        } else {
            Ok(())
        }
    }
}

/// One bucket, read-only.
#[derive(Debug)]
struct Bucket {
    name: String,
    s3: aws_sdk_s3::Client,
    meter: Arc<Meter>,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.name)
    }
}

impl Bucket {
    fn failed(&self, key: &Path, error: impl Into<aws_sdk_s3::Error>) -> object_store::Error {
        let path = format!("s3://{}/{key}", self.name);
        match error.into() {
            aws_sdk_s3::Error::NoSuchKey(_) | aws_sdk_s3::Error::NotFound(_) => {
                object_store::Error::NotFound {
                    path: path.clone(),
                    source: format!("{path} is not there any more").into(),
                }
            }
            other => object_store::Error::Generic {
                store: "S3",
                source: format!("{path}: {}", sentence(&other)).into(),
            },
        }
    }

    fn refused(&self, what: &str) -> object_store::Error {
        object_store::Error::NotSupported {
            source: format!("{what} on {self}: queries only read").into(),
        }
    }
}

/// An SDK error and its causes as one sentence.
pub(super) fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let range = match &options.range {
            None => None,
            Some(GetRange::Bounded(r)) => {
                Some(format!("bytes={}-{}", r.start, r.end.saturating_sub(1)))
            }
            Some(GetRange::Offset(from)) => Some(format!("bytes={from}-")),
            Some(GetRange::Suffix(count)) => Some(format!("bytes=-{count}")),
        };
        if options.head {
            let head = self
                .s3
                .head_object()
                .bucket(&self.name)
                .key(location.as_ref())
                .send()
                .await
                .map_err(|e| self.failed(location, e))?;
            let size = u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0);
            return Ok(GetResult {
                payload: GetResultPayload::Stream(stream::empty().boxed()),
                meta: meta(location.clone(), size, head.e_tag()),
                range: 0..size,
                attributes: Attributes::default(),
            });
        }
        let object = self
            .s3
            .get_object()
            .bucket(&self.name)
            .key(location.as_ref())
            .set_range(range)
            .set_if_match(options.if_match.clone())
            .send()
            .await
            .map_err(|e| self.failed(location, e))?;
        let length = u64::try_from(object.content_length().unwrap_or(0)).unwrap_or(0);
        let (start, size) = object
            .content_range()
            .and_then(content_range)
            .unwrap_or((0, length));
        let meta = meta(location.clone(), size, object.e_tag());
        let meter = Arc::clone(&self.meter);
        let path = format!("s3://{}/{location}", self.name);
        let body = stream::try_unfold(object.body, move |mut body| {
            let meter = Arc::clone(&meter);
            let path = path.clone();
            async move {
                match body.next().await {
                    None => Ok(None),
                    Some(Ok(chunk)) => {
                        meter.count(chunk.len() as u64).map_err(|fault| {
                            object_store::Error::Generic {
                                store: "S3",
                                source: Box::new(fault),
                            }
                        })?;
                        Ok(Some((chunk, body)))
                    }
                    Some(Err(e)) => Err(object_store::Error::Generic {
                        store: "S3",
                        source: format!("{path} broke off: {}", sentence(&e)).into(),
                    }),
                }
            }
        });
        Ok(GetResult {
            payload: GetResultPayload::Stream(body.boxed()),
            meta,
            range: start..start + length,
            attributes: Attributes::default(),
        })
    }

    fn list(&self, _prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let refused = self.refused("Listing");
        stream::once(async move { Err(refused) }).boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(self.refused("Listing"))
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(self.refused("Writing"))
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(self.refused("Writing"))
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let refused = self.refused("Deleting");
        stream::once(async move { Err(refused) }).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(self.refused("Copying"))
    }
}

/// First byte and whole size of `bytes 5-9/100`.
fn content_range(header: &str) -> Option<(u64, u64)> {
    let (range, size) = header.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}

/// What DataFusion wants to know of an object. Its time is not used.
pub(super) fn meta(location: Path, size: u64, e_tag: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: Default::default(),
        size,
        e_tag: e_tag.map(str::to_owned),
        version: None,
    }
}

/// Gives DataFusion any bucket that a table of the statement lies in.
#[derive(Debug)]
pub(super) struct Buckets {
    s3: aws_sdk_s3::Client,
    meter: Arc<Meter>,
    known: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Buckets {
    pub(super) fn new(s3: aws_sdk_s3::Client, meter: Arc<Meter>) -> Self {
        Self {
            s3,
            meter,
            known: Mutex::default(),
        }
    }

    /// The bucket `name`.
    pub(super) fn bucket(&self, name: &str) -> Arc<dyn ObjectStore> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Bucket {
                name: name.to_owned(),
                s3: self.s3.clone(),
                meter: Arc::clone(&self.meter),
            })
        }))
    }
}

impl ObjectStoreRegistry for Buckets {
    fn register_store(
        &self,
        _url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        // The buckets are all there is; nothing else is ever registered.
        Some(store)
    }

    fn get_store(&self, url: &Url) -> DfResult<Arc<dyn ObjectStore>> {
        match (url.scheme(), url.host_str()) {
            ("s3", Some(bucket)) => Ok(self.bucket(bucket)),
            _ => Err(Fault::unsupported(format!("a table in {}", url.scheme())).into()),
        }
    }
}

/// A place in S3: `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Location {
    pub(super) bucket: String,
    /// Key prefix: empty, or ending with `/`.
    pub(super) prefix: String,
}

impl Location {
    /// Parses `s3://bucket/prefix/` (also `s3a://`, `s3n://`), adding the
    /// final slash.
    pub(super) fn parse(uri: &str) -> Option<Self> {
        let rest = ["s3://", "s3a://", "s3n://"]
            .iter()
            .find_map(|scheme| uri.strip_prefix(scheme))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return None;
        }
        let slash = if prefix.is_empty() || prefix.ends_with('/') {
            ""
        } else {
            "/"
        };
        Some(Self {
            bucket: bucket.to_owned(),
            prefix: format!("{prefix}{slash}"),
        })
    }

    /// The URI of the object `name` below this place.
    pub(super) fn uri(&self, name: &str) -> String {
        format!("s3://{}/{}{name}", self.bucket, self.prefix)
    }
}

/// One object with rows: not empty, and not hidden by a name that begins with
/// `_` or `.`, as in Athena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataObject {
    pub(super) key: String,
    pub(super) size: u64,
}

/// The data objects below a location, in key order.
///
/// # Errors
/// When the bucket cannot be listed.
pub(super) async fn data_objects(
    s3: &aws_sdk_s3::Client,
    location: &Location,
) -> std::result::Result<Vec<DataObject>, Fault> {
    let mut pages = s3
        .list_objects_v2()
        .bucket(&location.bucket)
        .prefix(&location.prefix)
        .into_paginator()
        .send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| {
            let error: aws_sdk_s3::Error = e.into();
            Fault::system(format!(
                "s3://{}/{} could not be listed: {}",
                location.bucket,
                location.prefix,
                sentence(&error)
            ))
        })?;
        for object in page.contents() {
            let (Some(key), Some(size)) = (object.key(), object.size()) else {
                continue;
            };
            let below = key.strip_prefix(&location.prefix).unwrap_or(key);
            let hidden = below
                .split('/')
                .any(|part| part.starts_with('_') || part.starts_with('.'));
            if size > 0 && !hidden && !key.ends_with('/') {
                found.push(DataObject {
                    key: key.to_owned(),
                    size: u64::try_from(size).unwrap_or(0),
                });
            }
        }
    }
    Ok(found)
}

/// Reads a whole object, uncounted: results and the like.
pub(super) async fn read_range(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    key: &str,
    from: u64,
    count: u64,
) -> std::result::Result<Bytes, aws_sdk_s3::Error> {
    let object = s3
        .get_object()
        .bucket(bucket)
        .key(key)
        .range(format!("bytes={from}-{}", from + count - 1))
        .send()
        .await?;
    object
        .body
        .collect()
        .await
        .map(aws_sdk_s3::primitives::AggregatedBytes::into_bytes)
        .map_err(|e| {
            aws_sdk_s3::Error::from(aws_sdk_s3::error::SdkError::<
                aws_sdk_s3::operation::get_object::GetObjectError,
            >::construction_failure(e))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_end_with_a_slash() {
        for (uri, bucket, prefix) in [
            ("s3://lake/ticks", "lake", "ticks/"),
            ("s3://lake/ticks/", "lake", "ticks/"),
            ("s3a://lake", "lake", ""),
            ("s3://lake/", "lake", ""),
        ] {
            let location = Location::parse(uri).unwrap();
            assert_eq!(
                (location.bucket.as_str(), location.prefix.as_str()),
                (bucket, prefix)
            );
        }
        assert_eq!(Location::parse("file:///tmp"), None);
        assert_eq!(Location::parse("s3:///x"), None);
    }

    #[test]
    fn meter_fails_once_the_cutoff_is_passed() {
        let meter = Meter::new(Some(100));
        assert!(meter.count(100).is_ok());
        assert!(!meter.exceeded());
        assert_eq!(meter.count(1).unwrap_err().message, LIMIT_WORDS);
        assert_eq!(meter.scanned(), 101);
    }

    #[test]
    fn content_range_gives_start_and_size() {
        assert_eq!(content_range("bytes 5-9/100"), Some((5, 100)));
        assert_eq!(content_range("bytes */100"), None);
    }
}
