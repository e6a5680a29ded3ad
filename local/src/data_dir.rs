//! The data directory: one process owns it; others attach through `endpoints.json`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt;
use serde::{Deserialize, Serialize};

/// Where the owner of a data directory serves, for the commands that attach to it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Endpoints {
    /// Process id of the owner.
    pub pid: u32,
    /// URL of S3, Glue and Athena, where they are embedded.
    pub aws: Option<String>,
    /// `host:port` of the broker, where it is embedded.
    pub kafka: Option<String>,
    /// URL of the page, where it runs.
    pub page: Option<String>,
    /// `host:port` where a pipeline tells how it does, where one runs.
    #[serde(default)]
    pub status: Option<String>,
}

/// An owned data directory; the lock ends with this value or with the process.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process owns it.
    #[error(
        "{path} is in use by another stockpipe (pid {pid}): stop that one, or choose another directory with --data"
    )]
    InUse {
        /// The directory.
        path: String,
        /// Its owner.
        pid: String,
    },
    /// It cannot be made or written.
    #[error("cannot use {path} as the data directory: {source}; choose a writable one with --data")]
    Unusable {
        /// The directory or file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file in it is not what it should be.
    #[error("{path} is damaged: {reason}; restore it, or start afresh with `stockpipe reset`")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

fn unusable(path: &Path) -> impl FnOnce(std::io::Error) -> DataDirError + '_ {
    move |source| DataDirError::Unusable {
        path: path.display().to_string(),
        source,
    }
}

const LOCK: &str = "lock";
const ENDPOINTS: &str = "endpoints.json";
const CLUSTER_ID: &str = "cluster-id";
const PIPELINE: &str = "pipeline.json";

/// The pipeline that `up` ran last in a data directory, so that other commands need no FILE.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct LastPipeline {
    /// Absolute path of the file, or `None` for the quickstart.
    pub file: Option<PathBuf>,
    /// Its text at that time.
    pub text: String,
    /// Folder of secrets.
    pub secrets: Option<PathBuf>,
}

impl DataDir {
    /// Makes `root` if need be and takes its lock.
    ///
    /// # Errors
    /// Where it is in use, or cannot be made or written.
    pub fn own(root: &Path) -> Result<Self, DataDirError> {
        std::fs::create_dir_all(root).map_err(unusable(root))?;
        let root = root.canonicalize().map_err(unusable(root))?;
        let path = root.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(unusable(&path))?;
        match FileExt::try_lock_exclusive(&lock) {
            Ok(true) => {}
            Ok(false) => {
                let pid = std::fs::read_to_string(&path).unwrap_or_default();
                let pid = if pid.trim().is_empty() {
                    "unknown"
                } else {
                    pid.trim()
                }
                .to_owned();
                return Err(DataDirError::InUse {
                    path: root.display().to_string(),
                    pid,
                });
            }
            Err(source) => return Err(unusable(&path)(source)),
        }
        lock.set_len(0).map_err(unusable(&path))?;
        writeln!(&lock, "{}", std::process::id()).map_err(unusable(&path))?;
        let _ = std::fs::remove_file(root.join(ENDPOINTS));
        Ok(Self { root, _lock: lock })
    }

    /// The directory, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The UUID that stands for a cluster's identity on one machine; made on first use.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn cluster_id(&self) -> Result<String, DataDirError> {
        let path = self.root.join(CLUSTER_ID);
        match std::fs::read_to_string(&path) {
            Ok(text) => match uuid::Uuid::parse_str(text.trim()) {
                Ok(id) => Ok(id.to_string()),
                Err(_) => Err(DataDirError::Damaged {
                    path: path.display().to_string(),
                    reason: "it holds no UUID".to_owned(),
                }),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let id = uuid::Uuid::new_v4().to_string();
                write_atomically(&path, id.as_bytes())?;
                Ok(id)
            }
            Err(source) => Err(unusable(&path)(source)),
        }
    }

    /// Tells other commands where this process serves.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn publish(&self, endpoints: &Endpoints) -> Result<(), DataDirError> {
        write_json(&self.root.join(ENDPOINTS), endpoints)
    }

    /// Remembers the pipeline that runs here.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn remember(&self, pipeline: &LastPipeline) -> Result<(), DataDirError> {
        write_json(&self.root.join(PIPELINE), pipeline)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.root.join(ENDPOINTS));
    }
}

/// Where the owner of `root` serves; `None` where nobody owns it.
///
/// # Errors
/// Where the file is there but cannot be read.
pub fn endpoints(root: &Path) -> Result<Option<Endpoints>, DataDirError> {
    let lock = root.join(LOCK);
    let Ok(file) = File::options().read(true).write(true).open(&lock) else {
        return Ok(None);
    };
    if let Ok(true) = FileExt::try_lock_exclusive(&file) {
        // Nobody holds it: whatever `endpoints.json` says is from a process that was killed.
        return Ok(None);
    }
    read_json(&root.join(ENDPOINTS))
}

/// Whether the owner of `root` tells where it serves: it goes on until it is stopped, while a command that tells nothing
/// ends by itself.
#[must_use]
pub fn is_served(root: &Path) -> bool {
    root.join(ENDPOINTS).exists()
}

/// The identity of a data directory that another process may own.
///
/// # Errors
/// Where nothing ever ran there.
pub fn read_cluster_id(root: &Path) -> Result<String, DataDirError> {
    let path = root.join(CLUSTER_ID);
    std::fs::read_to_string(&path)
        .map(|t| t.trim().to_owned())
        .map_err(unusable(&path))
}

/// The pipeline that `up` ran last in `root`.
///
/// # Errors
/// Where the file is there but cannot be read.
pub fn last_pipeline(root: &Path) -> Result<Option<LastPipeline>, DataDirError> {
    read_json(&root.join(PIPELINE))
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, DataDirError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| DataDirError::Damaged {
                path: path.display().to_string(),
                reason: e.to_string(),
            }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(unusable(path)(source)),
    }
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DataDirError> {
    write_atomically(
        path,
        &serde_json::to_vec_pretty(value).expect("a plain struct serialises"),
    )
}

fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, bytes).map_err(unusable(&temporary))?;
    std::fs::rename(&temporary, path).map_err(unusable(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::own(dir.path()).unwrap();
        let error = DataDir::own(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        drop(first);
        DataDir::own(dir.path()).unwrap();
    }

    #[test]
    fn the_cluster_id_stays() {
        let dir = tempfile::tempdir().unwrap();
        let id = DataDir::own(dir.path()).unwrap().cluster_id().unwrap();
        assert_eq!(DataDir::own(dir.path()).unwrap().cluster_id().unwrap(), id);
    }

    #[test]
    fn endpoints_of_a_dead_owner_are_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let here = Endpoints {
            pid: 1,
            aws: None,
            kafka: Some("127.0.0.1:9092".into()),
            page: None,
            status: None,
        };
        let owner = DataDir::own(dir.path()).unwrap();
        owner.publish(&here).unwrap();
        assert_eq!(endpoints(dir.path()).unwrap(), Some(here));
        drop(owner);
        assert_eq!(endpoints(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_file_in_the_way_is_one_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "").unwrap();
        let error = DataDir::own(&file.join("data")).unwrap_err().to_string();
        assert!(
            error.contains("choose a writable one with --data"),
            "{error}"
        );
    }
}
