//! The redb file of a service's records, on a disk that may be full.
//!
//! redb meets a full disk in the middle of a commit, and answers nothing more until its file is opened anew. So writes
//! are refused while there is little room, and a file that failed nevertheless is opened anew when it is next asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase as _, StorageError,
    TransactionError, WriteTransaction,
};

use crate::aws_json::AwsError;
use crate::seldom::Seldom;

/// Free space below which redb files are not written to, bytes.
pub(crate) const RESERVE: u64 = 8 << 20;
/// What the end of something that was begun may take of it.
pub(crate) const LAST_RESERVE: u64 = RESERVE / 4;

/// Opens the file: at the start, and again after a failure.
type Open = Box<dyn Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync>;

/// A redb file.
pub(crate) struct RecordFile {
    path: PathBuf,
    open: Open,
    opened: RwLock<Opened>,
}

struct Opened {
    database: Option<Database>,
    /// How often it was opened anew.
    times: u64,
}

impl std::fmt::Debug for RecordFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RecordFile").field(&self.path).finish()
    }
}

impl RecordFile {
    /// Opens `path`, or makes it.
    ///
    /// # Errors
    /// Where it cannot be read or written, or another process has it.
    pub(crate) fn open(path: &Path) -> Result<Self, DatabaseError> {
        Self::open_with(path, Box::new(|path: &Path| Database::create(path)))
    }

    fn open_with(path: &Path, open: Open) -> Result<Self, DatabaseError> {
        Ok(Self {
            opened: RwLock::new(Opened {
                database: Some(open(path)?),
                times: 0,
            }),
            path: path.to_owned(),
            open,
        })
    }

    /// A view of it as it is now.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn read(&self) -> Result<ReadTransaction, AwsError> {
        self.begin(Database::begin_read)
    }

    /// A transaction of something new.
    ///
    /// # Errors
    /// Where the disk is full, or the file cannot be written.
    pub(crate) fn write(&self) -> Result<WriteTransaction, AwsError> {
        self.write_down_to(RESERVE)
    }

    /// A transaction that ends what was begun: it is made even where nothing new is taken any more.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn write_an_end(&self) -> Result<WriteTransaction, AwsError> {
        self.write_down_to(LAST_RESERVE)
    }

    fn write_down_to(&self, reserve: u64) -> Result<WriteTransaction, AwsError> {
        // Where it cannot be told, the write itself will tell.
        if free_space(&self.path).unwrap_or(u64::MAX) < reserve {
            static FULL: Seldom = Seldom::new();
            if let Some(kept) = FULL.met() {
                tracing::error!(
                    not_told = kept,
                    "the disk that holds the data directory is full: Glue and Athena take nothing new until there is room"
                );
            }
            return Err(AwsError::no_space());
        }
        self.begin(Database::begin_write)
    }

    fn begin<T>(
        &self,
        begin: impl Fn(&Database) -> Result<T, TransactionError>,
    ) -> Result<T, AwsError> {
        let seen = {
            let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
            match opened.database.as_ref().map(&begin) {
                Some(Err(TransactionError::Storage(StorageError::PreviousIo))) | None => {
                    opened.times
                }
                Some(begun) => return begun.map_err(|e| self.failed(&e)),
            }
        };
        self.reopen(seen)?;
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        match &opened.database {
            Some(database) => begin(database).map_err(|e| self.failed(&e)),
            None => Err(self.failed(&"it is closed")),
        }
    }

    /// Opens it anew, unless somebody has since it was `seen`.
    fn reopen(&self, seen: u64) -> Result<(), AwsError> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.times != seen {
            return Ok(());
        }
        opened.database = None;
        opened.database = Some((self.open)(&self.path).map_err(|e| self.failed(&e))?);
        opened.times += 1;
        tracing::warn!(file = %self.path.display(), "it failed and was opened anew");
        Ok(())
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> AwsError {
        AwsError::internal(format!(
            "{} could not be read or written: {error}.",
            self.path.display()
        ))
    }
}

/// Bytes that a user may still write on the disk of `path`.
///
/// # Errors
/// Where the system does not tell.
pub(crate) fn free_space(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path.parent().unwrap_or(path))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::FileBackend;
    use redb::{StorageBackend, TableDefinition};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("t");

    /// A file that fails to be written while `broken`.
    #[derive(Debug)]
    struct Faulty {
        file: FileBackend,
        broken: Arc<AtomicBool>,
    }

    impl StorageBackend for Faulty {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.file.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.broken.load(Ordering::SeqCst) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.file.write(offset, data)
        }
    }

    fn put(file: &RecordFile, key: u64) -> Result<(), String> {
        let txn = file.write().map_err(|e| e.message)?;
        txn.open_table(TABLE)
            .and_then(|mut table| Ok(table.insert(key, key).map(drop)?))
            .map_err(|e| e.to_string())?;
        txn.commit().map_err(|e| e.to_string())
    }

    #[test]
    fn a_file_that_failed_goes_on_when_its_disk_does() {
        let dir = tempfile::tempdir().unwrap();
        let broken = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&broken);
        let open = move |path: &Path| {
            let file = std::fs::File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(StorageError::from)?;
            Database::builder().create_with_backend(Faulty {
                file: FileBackend::new(file)?,
                broken: Arc::clone(&switch),
            })
        };
        let file = RecordFile::open_with(&dir.path().join("records.redb"), Box::new(open)).unwrap();
        put(&file, 1).unwrap();
        broken.store(true, Ordering::SeqCst);
        assert!(put(&file, 2).is_err());
        assert!(put(&file, 3).is_err());
        broken.store(false, Ordering::SeqCst);
        put(&file, 4).unwrap();
        let table = file.read().unwrap().open_table(TABLE).unwrap();
        let there = |key| redb::ReadableTable::get(&table, key).unwrap().is_some();
        assert_eq!([1, 4].map(there), [true, true]);
    }
}
