//! The index: what buckets, objects, uploads and parts there are (redb).
//!
//! One thread writes. It takes the changes that wait, makes them in one
//! transaction and commits once, so that sixteen writers cost one commit, and
//! a condition is decided where nothing can come between it and the write.
//!
//! **Durability.** A commit has reached the operating system when it is
//! answered, so it survives kill -9 of this process. With `fsync` it has
//! reached the disk, and survives a loss of power too.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, mpsc};

use redb::backends::FileBackend;
use redb::{
    BackendError, Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable, StorageBackend,
    Table, TableDefinition, WriteTransaction,
};
use s3s::{S3Error, S3Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::blobs::{Blobs, NewBlob};
use super::error;
use super::object::{BlobId, Bucket, Object, Part, Upload};

type Bytes<'a> = &'a [u8];
const BUCKETS: TableDefinition<'_, Bytes<'static>, Bytes<'static>> =
    TableDefinition::new("buckets");
const OBJECTS: TableDefinition<'_, Bytes<'static>, Bytes<'static>> =
    TableDefinition::new("objects");
const UPLOADS: TableDefinition<'_, Bytes<'static>, Bytes<'static>> =
    TableDefinition::new("uploads");
const PARTS: TableDefinition<'_, Bytes<'static>, Bytes<'static>> = TableDefinition::new("parts");

/// Pages that redb keeps in memory, bytes.
const CACHE: usize = 32 << 20;
/// Most changes in one transaction.
const BATCH: usize = 512;
/// Free space below which changes are refused, bytes: redb must not meet a
/// full disk in the middle of a commit.
const RESERVE: u64 = 8 << 20;

/// Key of an object: bucket names have no NUL, so that the keys of a bucket
/// lie together, in the order of their bytes, which is S3's order.
pub(super) fn object_key(bucket: &str, key: &str) -> Vec<u8> {
    [bucket.as_bytes(), b"\0", key.as_bytes()].concat()
}

/// Key of an upload: uploads of a bucket lie by key, then by id.
pub(super) fn upload_key(bucket: &str, key: &str, id: &str) -> Vec<u8> {
    [
        bucket.as_bytes(),
        b"\0",
        key.as_bytes(),
        b"\0",
        id.as_bytes(),
    ]
    .concat()
}

/// Key of a part: the parts of an upload lie by number.
pub(super) fn part_key(upload: &str, number: u16) -> Vec<u8> {
    [upload.as_bytes(), b"\0", &number.to_be_bytes()].concat()
}

/// The first key after all that begin with `prefix`.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// The range of all keys that begin with `prefix`.
pub(super) fn prefix_range(prefix: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let end = after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded);
    (Bound::Included(prefix.to_vec()), end)
}

/// Why a change was not made.
pub(super) enum Failure {
    /// The client's fault, found before anything was written.
    Refused(S3Error),
    /// The index failed: the whole transaction is given up.
    Storage(redb::Error),
}

impl From<S3Error> for Failure {
    fn from(error: S3Error) -> Self {
        Self::Refused(error)
    }
}

impl From<redb::StorageError> for Failure {
    fn from(error: redb::StorageError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<redb::TableError> for Failure {
    fn from(error: redb::TableError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<redb::TransactionError> for Failure {
    fn from(error: redb::TransactionError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<Failure> for S3Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Storage(error) => error::index(error),
        }
    }
}

/// What a change brings about once it is committed.
pub(super) struct Change<T> {
    /// The answer.
    pub(super) value: T,
    /// Blobs that the index names from now on.
    pub(super) keep: Vec<NewBlob>,
    /// Blobs that it no longer names.
    pub(super) doom: Vec<BlobId>,
}

impl<T> Change<T> {
    /// A change that concerns no blob.
    pub(super) fn of(value: T) -> Self {
        Self {
            value,
            keep: Vec::new(),
            doom: Vec::new(),
        }
    }
}

/// Why a transaction was not committed.
#[derive(Clone)]
enum Lost {
    NoSpace,
    Failed(Arc<str>),
}

impl From<Lost> for S3Error {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NoSpace => error::no_space(),
            Lost::Failed(failure) => error::internal(format!("the index failed: {failure}")),
        }
    }
}

/// A change that waits for the thread that writes.
trait Job: Send {
    /// Whether it only removes, and so may go on when the disk is nearly full.
    fn removes(&self) -> bool;
    /// Makes the change in the transaction; says whether it wrote.
    fn make(&mut self, tables: &mut Tables<'_>) -> Result<bool, redb::Error>;
    /// Tells the caller, once the transaction is committed or lost.
    fn answer(self: Box<Self>, committed: Result<(), Lost>);
}

struct Pending<T, F> {
    removes: bool,
    change: Option<F>,
    made: Option<S3Result<Change<T>>>,
    caller: oneshot::Sender<S3Result<T>>,
    blobs: Arc<Blobs>,
}

impl<T, F> Job for Pending<T, F>
where
    T: Send,
    F: FnOnce(&mut Tables<'_>) -> Result<Change<T>, Failure> + Send,
{
    fn removes(&self) -> bool {
        self.removes
    }

    fn make(&mut self, tables: &mut Tables<'_>) -> Result<bool, redb::Error> {
        let Some(change) = self.change.take() else {
            return Ok(false);
        };
        let made = match change(tables) {
            Ok(made) => Ok(made),
            Err(Failure::Refused(refusal)) => Err(refusal),
            Err(Failure::Storage(failure)) => return Err(failure),
        };
        let wrote = made.is_ok();
        self.made = Some(made);
        Ok(wrote)
    }

    fn answer(self: Box<Self>, committed: Result<(), Lost>) {
        let answer = match (self.made, committed) {
            (Some(Err(refusal)), _) => Err(refusal),
            (Some(Ok(made)), Ok(())) => {
                made.keep.into_iter().for_each(NewBlob::keep);
                self.blobs.doom(made.doom);
                Ok(made.value)
            }
            (Some(Ok(made)), Err(lost)) => {
                // Whether it was committed is not known: the files stay until
                // the next start compares them with the index.
                made.keep.into_iter().for_each(NewBlob::keep);
                Err(lost.into())
            }
            (None, Err(lost)) => Err(lost.into()),
            (None, Ok(())) => Err(error::internal("a change was not made".to_owned())),
        };
        // The caller may have gone away; the change stands.
        let _ = self.caller.send(answer);
    }
}

/// The tables, for writing. Decide first and write after: a job that refuses
/// must not have written, since it shares its transaction with others.
pub(super) struct Tables<'txn> {
    pub(super) buckets: Table<'txn, Bytes<'static>, Bytes<'static>>,
    pub(super) objects: Table<'txn, Bytes<'static>, Bytes<'static>>,
    pub(super) uploads: Table<'txn, Bytes<'static>, Bytes<'static>>,
    pub(super) parts: Table<'txn, Bytes<'static>, Bytes<'static>>,
}

impl<'txn> Tables<'txn> {
    fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            buckets: txn.open_table(BUCKETS)?,
            objects: txn.open_table(OBJECTS)?,
            uploads: txn.open_table(UPLOADS)?,
            parts: txn.open_table(PARTS)?,
        })
    }
}

/// The tables as they were at one moment.
pub(super) struct Snapshot {
    pub(super) buckets: ReadOnlyTable<Bytes<'static>, Bytes<'static>>,
    pub(super) objects: ReadOnlyTable<Bytes<'static>, Bytes<'static>>,
    pub(super) uploads: ReadOnlyTable<Bytes<'static>, Bytes<'static>>,
    pub(super) parts: ReadOnlyTable<Bytes<'static>, Bytes<'static>>,
}

/// Reads one entry.
pub(super) fn get<T: DeserializeOwned>(
    table: &impl ReadableTable<Bytes<'static>, Bytes<'static>>,
    key: &[u8],
) -> Result<Option<T>, Failure> {
    match table.get(key)? {
        None => Ok(None),
        Some(value) => decode(value.value()).map(Some),
    }
}

/// Decodes one entry.
pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(value).map_err(|source| {
        error::internal(format!("an entry of the index does not decode: {source}")).into()
    })
}

/// Writes one entry.
pub(super) fn put<T: Serialize>(
    table: &mut Table<'_, Bytes<'static>, Bytes<'static>>,
    key: &[u8],
    value: &T,
) -> Result<(), Failure> {
    let text = serde_json::to_vec(value)
        .map_err(|source| error::internal(format!("an entry does not encode: {source}")))?;
    table.insert(key, text.as_slice())?;
    Ok(())
}

/// The bucket, or `NoSuchBucket`.
pub(super) fn bucket(
    buckets: &impl ReadableTable<Bytes<'static>, Bytes<'static>>,
    name: &str,
) -> Result<Bucket, Failure> {
    get(buckets, name.as_bytes())?.ok_or_else(|| error::no_such_bucket(name).into())
}

/// The object, if it is there.
pub(super) fn object(
    objects: &impl ReadableTable<Bytes<'static>, Bytes<'static>>,
    bucket: &str,
    key: &str,
) -> Result<Option<Object>, Failure> {
    get(objects, &object_key(bucket, key))
}

/// The upload, or `NoSuchUpload`.
pub(super) fn upload(
    uploads: &impl ReadableTable<Bytes<'static>, Bytes<'static>>,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<Upload, Failure> {
    get(uploads, &upload_key(bucket, key, id))?
        .filter(|upload: &Upload| upload.key == key && upload.id == id)
        .ok_or_else(|| error::no_such_upload(id).into())
}

/// The parts of an upload by number.
pub(super) fn parts(
    parts: &impl ReadableTable<Bytes<'static>, Bytes<'static>>,
    upload: &str,
) -> Result<Vec<(u16, Part)>, Failure> {
    let prefix = [upload.as_bytes(), b"\0"].concat();
    let (start, end) = prefix_range(&prefix);
    let mut found = Vec::new();
    for entry in parts.range::<Bytes<'_>>((as_slice(&start), as_slice(&end)))? {
        let (key, value) = entry?;
        let tail: [u8; 2] = key.value()[prefix.len()..]
            .try_into()
            .map_err(|_| error::internal("a part of the index has no number".to_owned()))?;
        found.push((u16::from_be_bytes(tail), decode(value.value())?));
    }
    Ok(found)
}

/// Borrows a bound.
pub(super) fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key.as_slice()),
        Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// A handle on the index.
pub(super) struct Index {
    database: Arc<RwLock<Option<Database>>>,
    blobs: Arc<Blobs>,
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Index {
    /// Opens or makes the index, and starts the thread that writes.
    pub(super) fn open(path: &Path, fsync: bool, blobs: &Arc<Blobs>) -> Result<Self, redb::Error> {
        let database = open_database(path, fsync)?;
        // The tables are there from the start, so that readers find them.
        let txn = database.begin_write()?;
        drop(Tables::open(&txn)?);
        txn.commit()?;
        let database = Arc::new(RwLock::new(Some(database)));
        let (jobs, waiting) = mpsc::channel();
        let writer = Writer {
            database: Arc::clone(&database),
            path: path.to_owned(),
            fsync,
        };
        let thread = std::thread::Builder::new()
            .name("s3-index".to_owned())
            .spawn(move || writer.run(&waiting))?;
        Ok(Self {
            database,
            blobs: Arc::clone(blobs),
            jobs: Some(jobs),
            writer: Some(thread),
        })
    }

    /// Reads a snapshot. Blocks: call it off the runtime's threads.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, Failure>,
    ) -> S3Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let attempt = || -> Result<T, Failure> {
            let database = database
                .as_ref()
                .ok_or_else(|| error::internal("the index is closed".to_owned()))?;
            let txn = database.begin_read()?;
            read(&Snapshot {
                buckets: txn.open_table(BUCKETS)?,
                objects: txn.open_table(OBJECTS)?,
                uploads: txn.open_table(UPLOADS)?,
                parts: txn.open_table(PARTS)?,
            })
        };
        attempt().map_err(S3Error::from)
    }

    /// Makes a change, and returns when it is committed. The change goes on if
    /// the caller goes away.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<Change<T>, Failure> + Send + 'static,
    ) -> S3Result<T> {
        self.enqueue(false, change).await
    }

    /// As [`Index::write`], for a change that only removes: it goes on when
    /// the disk is nearly full.
    pub(super) async fn remove<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<Change<T>, Failure> + Send + 'static,
    ) -> S3Result<T> {
        self.enqueue(true, change).await
    }

    async fn enqueue<T: Send + 'static>(
        &self,
        removes: bool,
        change: impl FnOnce(&mut Tables<'_>) -> Result<Change<T>, Failure> + Send + 'static,
    ) -> S3Result<T> {
        let (caller, answer) = oneshot::channel();
        let job = Box::new(Pending {
            removes,
            change: Some(change),
            made: None,
            caller,
            blobs: Arc::clone(&self.blobs),
        });
        let closed = || error::internal("the index is closed".to_owned());
        self.jobs
            .as_ref()
            .and_then(|jobs| jobs.send(job).ok())
            .ok_or_else(closed)?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    database: Arc<RwLock<Option<Database>>>,
    path: PathBuf,
    fsync: bool,
}

impl Writer {
    fn run(&self, waiting: &mpsc::Receiver<Box<dyn Job>>) {
        while let Ok(first) = waiting.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = waiting.try_recv()
            {
                batch.push(next);
            }
            let free = free_space(&self.path).unwrap_or(u64::MAX);
            let (mut batch, refused): (Vec<_>, Vec<_>) = batch
                .into_iter()
                .partition(|job| free >= if job.removes() { RESERVE / 4 } else { RESERVE });
            for job in refused {
                job.answer(Err(Lost::NoSpace));
            }
            let committed = self.commit(&mut batch);
            if let Err(failure) = &committed {
                tracing::error!(%failure, "S3 store: a transaction of the index failed; the index is opened anew");
                self.reopen();
            }
            let told = committed.map_err(|failure| Lost::Failed(failure.to_string().into()));
            for job in batch {
                job.answer(told.clone());
            }
        }
    }

    fn commit(&self, batch: &mut [Box<dyn Job>]) -> Result<(), redb::Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(redb::Error::DatabaseClosed)?;
        let txn = database.begin_write()?;
        let mut wrote = false;
        {
            let mut tables = Tables::open(&txn)?;
            for job in batch {
                wrote |= job.make(&mut tables)?;
            }
        }
        if wrote {
            txn.commit()?;
        } else {
            txn.abort()?;
        }
        Ok(())
    }

    /// After an I/O error redb answers nothing more until it is opened anew.
    fn reopen(&self) {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *database = None;
        match open_database(&self.path, self.fsync) {
            Ok(opened) => *database = Some(opened),
            Err(failure) => tracing::error!(%failure, "S3 store: the index cannot be opened"),
        }
    }
}

fn free_space(path: &Path) -> io::Result<u64> {
    let folder = path.parent().unwrap_or(path);
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn open_database(path: &Path, fsync: bool) -> Result<Database, redb::Error> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let backend = Backend {
        file: FileBackend::new(file)?,
        fsync,
    };
    Ok(Database::builder()
        .set_cache_size(CACHE)
        .create_with_backend(backend)?)
}

/// redb's file, where a commit waits for the disk only if it must survive a
/// loss of power. The order of the writes is redb's own in either case, which
/// is all that kill -9 needs: the system has every write that returned.
#[derive(Debug)]
struct Backend {
    file: FileBackend,
    fsync: bool,
}

impl StorageBackend for Backend {
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
        if self.fsync {
            self.file.sync_data()
        } else {
            Ok(())
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_bucket_lie_together_in_the_order_of_their_bytes() {
        let mut keys = [
            object_key("b", "z"),
            object_key("bb", "a"),
            object_key("b", "a/b"),
            object_key("b", "a"),
            object_key("b", "é"),
        ];
        keys.sort();
        let expected = [
            object_key("b", "a"),
            object_key("b", "a/b"),
            object_key("b", "z"),
            object_key("b", "é"),
            object_key("bb", "a"),
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn prefix_range_ends_after_the_last_key_with_the_prefix() {
        assert_eq!(after_prefix(b"b\0a/"), Some(b"b\0a0".to_vec()));
        assert_eq!(after_prefix(b"b\xff"), Some(b"c".to_vec()));
        assert_eq!(after_prefix(b"\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }

    #[test]
    fn second_opening_of_the_same_index_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs"), false).unwrap();
        let path = dir.path().join("index.redb");
        let first = Index::open(&path, false, &blobs).unwrap();
        assert!(matches!(
            Index::open(&path, false, &blobs),
            Err(redb::Error::DatabaseAlreadyOpen)
        ));
        drop(first);
        Index::open(&path, false, &blobs).unwrap();
    }

    #[tokio::test]
    async fn failing_job_does_not_take_its_neighbours_along() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs"), false).unwrap();
        let index = Index::open(&dir.path().join("index.redb"), false, &blobs).unwrap();
        let make = |name: &'static str| {
            index.write(move |tables| {
                put(&mut tables.buckets, name.as_bytes(), &Bucket::default())?;
                Ok(Change::of(()))
            })
        };
        let refuse = index.write(|tables| {
            bucket(&tables.buckets, "absent")?;
            Ok(Change::of(()))
        });
        let (first, refused, second) = tokio::join!(make("first"), refuse, make("second"));
        first.unwrap();
        second.unwrap();
        assert_eq!(refused.unwrap_err().code().as_str(), "NoSuchBucket");
        index
            .read(|snapshot| {
                bucket(&snapshot.buckets, "first")?;
                bucket(&snapshot.buckets, "second")
            })
            .unwrap();
    }
}
