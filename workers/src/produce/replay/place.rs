//! Which files a replay reads: paths, folders, patterns, objects of S3, and the members of zip archives.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use stockpipe_crds::pipeline::Aws;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::archive::{self, Member};
use super::blob::{Blob, Object};
use crate::aws::Clients;
use crate::context::Context;
use crate::produce::FeedError;
use crate::secrets::Secrets;
use crate::store::Store;

/// What is needed to reach files.
#[derive(Clone)]
pub struct Access {
    base_dir: PathBuf,
    /// Region, endpoints and credentials; `None`: only local files.
    aws: Option<(Aws, Secrets)>,
    stop: CancellationToken,
    s3: Arc<OnceLock<aws_sdk_s3::Client>>,
}

impl Access {
    /// A pipeline's: relative paths start where its file is.
    #[must_use]
    pub fn of(ctx: &Context) -> Self {
        Self {
            aws: Some((ctx.pipeline.aws.clone(), ctx.secrets.clone())),
            stop: ctx.shutdown.clone(),
            ..Self::local(&ctx.base_dir)
        }
    }

    /// Local files only; relative paths start at `base_dir`.
    #[must_use]
    pub fn local(base_dir: &Path) -> Self {
        Self {
            base_dir: base_dir.to_owned(),
            aws: None,
            stop: CancellationToken::new(),
            s3: Arc::default(),
        }
    }

    /// A client of S3. Blocks: not for a thread that runs futures.
    fn s3(&self) -> Result<&aws_sdk_s3::Client, FeedError> {
        if let Some(client) = self.s3.get() {
            return Ok(client);
        }
        let (aws, secrets) = self.aws.as_ref().ok_or_else(|| {
            FeedError("s3:// needs a pipeline's spec.aws; copy the file here first".to_owned())
        })?;
        let clients = Handle::current()
            .block_on(Clients::connect(aws, secrets))
            .map_err(|e| FeedError(e.to_string()))?;
        Ok(self.s3.get_or_init(|| clients.s3))
    }
}

/// One file that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// As messages name it: a path, an object's address, `archive.zip!member`.
    pub name: Arc<str>,
    pub(super) place: Place,
    /// Where it lies within a zip archive.
    pub member: Option<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Local(PathBuf),
    Object { bucket: String, key: String },
}

impl Item {
    /// Its bytes, or those of the archive that it is in.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(&self, access: &Access) -> Result<Blob, FeedError> {
        match &self.place {
            Place::Local(path) => File::open(path)
                .and_then(|file| {
                    let length = file.metadata()?.len();
                    Ok(Blob::local(file, length))
                })
                .map_err(|e| FeedError(format!("cannot read {}: {e}", self.name))),
            Place::Object { bucket, key } => {
                Object::open(access.s3()?, bucket, key, access.stop.clone())
                    .map(Blob::object)
                    .map_err(|why| FeedError(format!("cannot read {}: {why}", self.name)))
            }
        }
    }

    /// What `{from: FileName}` gives: the last part of the name without the extensions of data files.
    #[must_use]
    pub fn stem(&self) -> &str {
        const EXTENSIONS: [&str; 13] = [
            ".gz", ".zst", ".zip", ".csv", ".tsv", ".txt", ".psv", ".json", ".jsonl", ".ndjson",
            ".parquet", ".pq", ".dat",
        ];
        let mut name = self.name.rsplit(['/', '!']).next().unwrap_or_default();
        loop {
            let lower = name.to_ascii_lowercase();
            match EXTENSIONS.iter().find(|e| lower.ends_with(**e)) {
                Some(extension) if name.len() > extension.len() => {
                    name = &name[..name.len() - extension.len()];
                }
                _ => return name,
            }
        }
    }
}

/// The files that `uris` name, in the order in which equal times are taken: as the uris stand, within each by name.
///
/// # Errors
/// Where one names nothing that is there.
pub fn items(uris: &[String], access: &Access) -> Result<Vec<Item>, FeedError> {
    let mut found: Vec<Item> = Vec::new();
    for uri in uris {
        let (before, mut places) = match uri.split_once("://") {
            Some(("s3", rest)) => ("s3://", objects(uri, rest, access)?),
            Some(("file", path)) if path.starts_with('/') => ("", local(uri, Path::new(path))?),
            Some(_) => {
                return Err(FeedError(format!(
                    "source.replay.uri `{uri}`: write file:///… with three slashes, s3://BUCKET/KEY, or a path"
                )));
            }
            None => ("", local(uri, &access.base_dir.join(uri))?),
        };
        places.sort_by(|a, b| a.1.cmp(&b.1));
        for (place, name) in places {
            let item = Item {
                name: format!("{before}{name}").into(),
                place,
                member: None,
            };
            // Two patterns may both name a file.
            if found.iter().all(|f| f.place != item.place) {
                found.extend(archive::unzipped(item, access)?);
            }
        }
    }
    Ok(found)
}

type Named = (Place, String);

fn local(uri: &str, path: &Path) -> Result<Vec<Named>, FeedError> {
    let one = |path: PathBuf| {
        let name = path.display().to_string();
        (Place::Local(path), name)
    };
    if path.is_dir() {
        let mut files = Vec::new();
        walk(path, &mut files)
            .map_err(|e| FeedError(format!("cannot read {}: {e}", path.display())))?;
        if files.is_empty() {
            return Err(FeedError(format!(
                "{}: the folder holds no file whose name begins with neither . nor _",
                path.display()
            )));
        }
        return Ok(files.into_iter().map(one).collect());
    }
    if path.exists() || !uri.contains(['*', '?', '[']) {
        return Ok(vec![one(path.to_owned())]);
    }
    let matches = glob::glob(&path.to_string_lossy())
        .map_err(|e| FeedError(format!("source.replay.uri `{uri}` is no pattern: {e}")))?;
    let mut files = Vec::new();
    for found in matches {
        let found = found.map_err(|e| FeedError(format!("cannot read {e}")))?;
        if found.is_file() {
            files.push(one(found));
        }
    }
    if files.is_empty() {
        return Err(nothing_matches(uri));
    }
    Ok(files)
}

fn nothing_matches(uri: &str) -> FeedError {
    FeedError(format!(
        "source.replay.uri `{uri}` matches no file; * stands for any text within a folder, ** for folders"
    ))
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if is_hidden(&name) {
            continue;
        }
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// By the convention of Hadoop's tools.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn objects(uri: &str, rest: &str, access: &Access) -> Result<Vec<Named>, FeedError> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let named = |key: &str| {
        let place = Place::Object {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        };
        (place, format!("{bucket}/{key}"))
    };
    let fixed = key.find(['*', '?', '[']).map_or(key, |wild| &key[..wild]);
    let is_folder = key.is_empty() || key.ends_with('/');
    if fixed.len() == key.len() && !is_folder {
        return Ok(vec![named(key)]);
    }
    let pattern = if is_folder {
        None
    } else {
        Some(
            glob::Pattern::new(key)
                .map_err(|e| FeedError(format!("source.replay.uri `{uri}` is no pattern: {e}")))?,
        )
    };
    let options = glob::MatchOptions {
        require_literal_separator: true,
        ..glob::MatchOptions::default()
    };
    let store = Store::new(access.s3()?.clone(), bucket);
    let keys = Handle::current()
        .block_on(async {
            let mut keys = Vec::new();
            let mut pages = store.list(fixed);
            while let Some(page) = pages.next().await? {
                keys.extend(page.into_iter().filter(|o| o.size > 0).map(|o| o.key));
            }
            Ok::<_, crate::store::StoreError>(keys)
        })
        .map_err(|e| FeedError(e.to_string()))?;
    let taken: Vec<_> = keys
        .iter()
        .filter(|k| !k[fixed.len()..].split('/').any(is_hidden))
        .filter(|k| pattern.as_ref().is_none_or(|p| p.matches_with(k, options)))
        .map(|k| named(k))
        .collect();
    if taken.is_empty() {
        return Err(nothing_matches(uri));
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }

    fn names(dir: &Path, uris: &[&str]) -> Result<Vec<String>, String> {
        let uris: Vec<String> = uris.iter().map(|u| (*u).to_owned()).collect();
        let found = items(&uris, &Access::local(dir)).map_err(|e| e.to_string())?;
        let base = format!("{}/", dir.display());
        Ok(found
            .iter()
            .map(|i| i.name.trim_start_matches(&base).to_owned())
            .collect())
    }

    #[test]
    fn paths_folders_and_patterns_name_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b.csv",
            "a.csv",
            "sub/c.csv",
            "sub/_temporary/d.csv",
            "sub/.hidden",
            "odd[1].csv",
        ] {
            touch(&dir.path().join(name));
        }
        for (uris, expected) in [
            (&["b.csv", "a.csv"][..], &["b.csv", "a.csv"][..]),
            (&["[ab].csv", "a.csv"], &["a.csv", "b.csv"]),
            (
                &["**/*.csv"],
                &[
                    "a.csv",
                    "b.csv",
                    "odd[1].csv",
                    "sub/_temporary/d.csv",
                    "sub/c.csv",
                ],
            ),
            (&["sub"], &["sub/c.csv"]),
            (&["odd[1].csv"], &["odd[1].csv"]),
            (&["?.csv"], &["a.csv", "b.csv"]),
        ] {
            assert_eq!(names(dir.path(), uris).unwrap(), expected, "{uris:?}");
        }
        let absolute = format!("file://{}/a.csv", dir.path().display());
        assert_eq!(names(dir.path(), &[&absolute]).unwrap(), ["a.csv"]);
    }

    #[test]
    fn what_names_nothing_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        for (uri, says) in [
            ("none.csv", "cannot read "),
            ("*.csv", "matches no file"),
            ("empty", "the folder holds no file"),
            ("http://host/a.csv", "s3://BUCKET/KEY"),
            ("s3://bucket/a.csv", "needs a pipeline's spec.aws"),
        ] {
            let error = names(dir.path(), &[uri]).unwrap_err();
            assert!(error.contains(says), "{uri}: {error}");
        }
    }

    #[test]
    fn a_file_may_be_named_after_its_symbol() {
        for (name, stem) in [
            ("prices/AAPL.csv", "AAPL"),
            ("BRK.B.csv.gz", "BRK.B"),
            ("all.zip!eu/SAP.DE.txt", "SAP.DE"),
            ("bucket/day=1/^GSPC.parquet", "^GSPC"),
            (".csv", ".csv"),
        ] {
            let item = Item {
                name: name.into(),
                place: Place::Local(PathBuf::new()),
                member: None,
            };
            assert_eq!(item.stem(), stem, "{name}");
        }
    }
}
