//! The store: an index and a folder of blob files, in one directory.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::ReadableTable as _;
use s3s::S3Result;
use tokio::task::spawn_blocking;

use super::blobs::Blobs;
use super::error;
use super::index::{Failure, Index, Snapshot, decode};
use super::object::{Object, Part};

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// kill -9 of this process: the operating system has the bytes.
    #[default]
    Kill,
    /// A loss of power: the disk has the bytes.
    PowerLoss,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder or file could not be made, read or written.
    #[error("cannot use the S3 store in {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Another process has the store.
    #[error("the S3 store in {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The index cannot be read.
    #[error("the index of the S3 store in {} cannot be opened: {reason}", path.display())]
    Index {
        /// The directory.
        path: PathBuf,
        /// The index's reason.
        reason: String,
    },
}

/// The buckets and objects of one directory. Open it once, share it by `Arc`.
pub struct Store {
    pub(super) index: Index,
    closing: Closing,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("marker", &self.closing.marker)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or makes the store in a directory. After a crash, files that no
    /// object and no upload names are removed first.
    ///
    /// # Errors
    /// When the directory cannot be used, or another process uses it.
    pub fn open(dir: &Path, durability: Durability) -> Result<Arc<Self>, OpenError> {
        let io = |source| OpenError::Io {
            path: dir.to_owned(),
            source,
        };
        let fsync = durability == Durability::PowerLoss;
        fs::create_dir_all(dir).map_err(io)?;
        let blobs = Blobs::open(&dir.join("blobs"), fsync).map_err(io)?;
        let index =
            Index::open(&dir.join("index.redb"), fsync, &blobs).map_err(
                |failure| match failure {
                    redb::Error::DatabaseAlreadyOpen => OpenError::InUse {
                        path: dir.to_owned(),
                    },
                    redb::Error::Io(source) => io(source),
                    other => OpenError::Index {
                        path: dir.to_owned(),
                        reason: other.to_string(),
                    },
                },
            )?;
        let marker = dir.join("open");
        if marker.exists() {
            let named = index
                .read(named_blobs)
                .map_err(|failure| OpenError::Index {
                    path: dir.to_owned(),
                    reason: failure.to_string(),
                })?;
            let removed = blobs.sweep(&named).map_err(io)?;
            if removed > 0 {
                tracing::info!(
                    removed,
                    "S3 store: removed files of writes that a crash had cut short"
                );
            }
        }
        fs::write(&marker, b"").map_err(io)?;
        Ok(Arc::new(Self {
            index,
            closing: Closing { blobs, marker },
        }))
    }

    pub(super) fn blobs(&self) -> &Arc<Blobs> {
        &self.closing.blobs
    }

    /// Reads a snapshot of the index, and blob files, off the runtime's threads.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Snapshot, &Arc<Blobs>) -> Result<T, Failure> + Send + 'static,
    ) -> S3Result<T> {
        let store = Arc::clone(self);
        spawn_blocking(move || store.index.read(|snapshot| read(snapshot, store.blobs())))
            .await
            .map_err(|panic| error::internal(format!("reading the index: {panic}")))?
    }
}

/// Marks the store as open while it is: the marker stays behind in a crash,
/// and tells the next start to look for files without a name. Dropped after
/// the index, whose last changes may still remove blobs.
struct Closing {
    blobs: Arc<Blobs>,
    marker: PathBuf,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.blobs.flush() {
            let _ = fs::remove_file(&self.marker);
        }
    }
}

fn named_blobs(snapshot: &Snapshot) -> Result<HashSet<super::object::BlobId>, Failure> {
    let mut named = HashSet::new();
    for entry in snapshot.objects.iter()? {
        let object: Object = decode(entry?.1.value())?;
        named.extend(object.blobs());
    }
    for entry in snapshot.parts.iter()? {
        let part: Part = decode(entry?.1.value())?;
        named.extend(part.blob);
    }
    Ok(named)
}
