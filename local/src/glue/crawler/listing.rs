//! What lies in S3 below a path, and what the files hold.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use futures::StreamExt as _;
use futures::stream;
use stockpipe_workers::aws::explain;

use super::configuration::S3Target;
use super::folders::{File, Folders};
use super::infer::{self, Found, HEAD, Tail};

/// Files that are opened at once.
const AT_ONCE: usize = 8;
/// Bytes of a Parquet file's end that are read at first.
const TAIL: u64 = 64 << 10;

/// Why a crawl failed, as one sentence.
pub(super) type Failure = String;

/// Every folder below a prefix with its files, none of them opened. Files that
/// are empty, or whose name or folder begins with `_` or `.`, are no data.
pub(super) async fn list(
    s3: &Client,
    bucket: &str,
    prefix: &str,
    excludes: impl Fn(&str) -> bool,
) -> Result<Folders, Failure> {
    let mut folders = Folders::new();
    let mut pages = s3
        .list_objects_v2()
        .bucket(bucket)
        .prefix(prefix)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| {
            format!(
                "s3://{bucket}/{prefix} could not be listed: {}",
                explain(&e)
            )
        })?;
        for object in page.contents() {
            let Some(below) = object.key().and_then(|key| key.strip_prefix(prefix)) else {
                continue;
            };
            let bytes = object.size().and_then(|size| u64::try_from(size).ok());
            let Some(bytes) = bytes.filter(|bytes| *bytes > 0) else {
                continue;
            };
            if excludes(below) || below.split('/').any(|part| part.starts_with(['_', '.'])) {
                continue;
            }
            let mut path: Vec<String> = below.split('/').map(str::to_owned).collect();
            let Some(name) = path.pop().filter(|name| !name.is_empty()) else {
                continue;
            };
            folders.entry(path).or_default().push(File {
                name,
                bytes,
                found: None,
            });
        }
    }
    Ok(folders)
}

/// Every folder of a target, its files opened, or as many of each folder as the
/// target's sample says.
pub(super) async fn open(
    s3: &Client,
    target: &S3Target,
    folders: Folders,
) -> Result<Folders, Failure> {
    read(s3, &target.bucket, &target.prefix, folders, target.sample).await
}

/// These folders with `sample` files of each opened; all, where it is `None`.
pub(super) async fn read(
    s3: &Client,
    bucket: &str,
    prefix: &str,
    mut folders: Folders,
    sample: Option<usize>,
) -> Result<Folders, Failure> {
    let wanted: Vec<(Vec<String>, usize, String, u64)> = folders
        .iter()
        .flat_map(|(path, files)| {
            let most = sample.unwrap_or(usize::MAX);
            files
                .iter()
                .take(most)
                .enumerate()
                .map(move |(index, file)| {
                    let below: Vec<&str> = path
                        .iter()
                        .map(String::as_str)
                        .chain([file.name.as_str()])
                        .collect();
                    let key = format!("{prefix}{}", below.join("/"));
                    (path.clone(), index, key, file.bytes)
                })
        })
        .collect();
    let mut opened = stream::iter(wanted)
        .map(|(path, index, key, bytes)| async move {
            let found = file(s3, bucket, &key, bytes).await?;
            if found.is_none() {
                tracing::info!("s3://{bucket}/{key} is of no format that a crawler knows");
            }
            Ok::<_, Failure>((path, index, found))
        })
        .buffer_unordered(AT_ONCE);
    let mut all: BTreeMap<(Vec<String>, usize), Option<Found>> = BTreeMap::new();
    while let Some(found) = opened.next().await {
        let (path, index, found) = found?;
        all.insert((path, index), found);
    }
    for ((path, index), found) in all {
        if let Some(file) = folders
            .get_mut(&path)
            .and_then(|files| files.get_mut(index))
        {
            file.found = found;
        }
    }
    Ok(folders)
}

/// What a file holds; `None` where no classifier knows it, or it is gone.
async fn file(s3: &Client, bucket: &str, key: &str, bytes: u64) -> Result<Option<Found>, Failure> {
    let head = range(s3, bucket, key, 0, bytes.min(HEAD)).await?;
    let Some(head) = head else { return Ok(None) };
    let whole = bytes <= HEAD;
    if !infer::is_parquet(&head) {
        return Ok(infer::of_text(&head, whole));
    }
    let mut last = if whole {
        head
    } else {
        match range(s3, bucket, key, bytes.saturating_sub(TAIL), TAIL).await? {
            Some(last) => last,
            None => return Ok(None),
        }
    };
    loop {
        match infer::tail(&last) {
            Tail::Within(start, end) => return Ok(infer::of_parquet(&last[start..end])),
            Tail::Needs(more) if more <= bytes && more > last.len() as u64 => {
                match range(s3, bucket, key, bytes - more, more).await? {
                    Some(longer) => last = longer,
                    None => return Ok(None),
                }
            }
            Tail::Needs(_) | Tail::Broken => return Ok(None),
        }
    }
}

/// `length` bytes from `start`; `None` where the file is gone.
async fn range(
    s3: &Client,
    bucket: &str,
    key: &str,
    start: u64,
    length: u64,
) -> Result<Option<Vec<u8>>, Failure> {
    let refused = |why: String| format!("s3://{bucket}/{key} could not be read: {why}");
    let got = s3
        .get_object()
        .bucket(bucket)
        .key(key)
        .range(format!("bytes={start}-{}", start + length.max(1) - 1))
        .send()
        .await;
    let got = match got {
        Ok(got) => got,
        Err(e) if e.code() == Some("NoSuchKey") => return Ok(None),
        Err(e) => return Err(refused(explain(&e))),
    };
    let body = got
        .body
        .collect()
        .await
        .map_err(|e| refused(e.to_string()))?;
    Ok(Some(body.into_bytes().into()))
}
