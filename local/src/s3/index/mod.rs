//! The index: what buckets, objects, uploads and parts there are (redb).
//!
//! One thread writes. It takes the changes that wait, makes them in one
//! transaction and commits once, so that sixteen writers cost one commit, and
//! a condition is decided where nothing can come between it and the write.
//!
//! **Durability.** A commit has reached the operating system when it is
//! answered, so it survives kill -9 of this process. With `fsync` it has
//! reached the disk, and survives a loss of power too.

use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, mpsc};

use redb::{
    Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use s3s::{S3Error, S3Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use self::database::open_database;
use self::writer::{Job, Open, Pending, Writer};
use super::blobs::{Blobs, NewBlob};
use super::error;
use super::object::{BlobId, Bucket, Object, Part, Upload};

mod database;
mod writer;

type Bytes<'a> = &'a [u8];
const BUCKETS: TableDefinition<'_, Bytes<'static>, Bytes<'static>> =
    TableDefinition::new("buckets");
const OBJECTS: TableDefinition<'_, Bytes<'static>, Bytes<'static>> =
    TableDefinition::new("objects");
const UPLOADS: TableDefinition<'_, Bytes<'static>, Bytes<'static>> =
    TableDefinition::new("uploads");
const PARTS: TableDefinition<'_, Bytes<'static>, Bytes<'static>> = TableDefinition::new("parts");

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
        let file = path.to_owned();
        Self::start(path, Box::new(move || open_database(&file, fsync)), blobs)
    }

    fn start(path: &Path, open: Open, blobs: &Arc<Blobs>) -> Result<Self, redb::Error> {
        let database = open()?;
        // The tables are there from the start, so that readers find them.
        let txn = database.begin_write()?;
        drop(Tables::open(&txn)?);
        txn.commit()?;
        let database = Arc::new(RwLock::new(Some(database)));
        let (jobs, waiting) = mpsc::channel();
        let writer = Writer {
            database: Arc::clone(&database),
            path: path.to_owned(),
            open,
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

#[cfg(test)]
mod tests {
    use super::database::{Backend, builder};
    use super::*;
    use redb::StorageBackend;
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

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

    /// A file that fails to be written while `broken`.
    #[derive(Debug)]
    struct Faulty {
        file: Backend,
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
                return Err(io::Error::other("the disk failed, as the test wants"));
            }
            self.file.write(offset, data)
        }
    }

    #[tokio::test]
    async fn index_goes_on_after_the_disk_failed_it() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs"), false).unwrap();
        let path = dir.path().join("index.redb");
        let broken = Arc::new(AtomicBool::new(false));
        let (file, switch) = (path.clone(), Arc::clone(&broken));
        let open = move || {
            let backend = Faulty {
                file: Backend::open(&file, false)?,
                broken: Arc::clone(&switch),
            };
            Ok(builder().create_with_backend(backend)?)
        };
        let index = Index::start(&path, Box::new(open), &blobs).unwrap();
        let make = |name: &'static str| {
            index.write(move |tables| {
                put(&mut tables.buckets, name.as_bytes(), &Bucket::default())?;
                Ok(Change::of(()))
            })
        };
        make("before").await.unwrap();
        broken.store(true, Ordering::SeqCst);
        let lost = make("lost").await.unwrap_err();
        assert_eq!(lost.code().as_str(), "InternalError");
        broken.store(false, Ordering::SeqCst);
        // The first change after it may still find the file closed.
        if make("retried").await.is_err() {
            make("retried").await.unwrap();
        }
        let there = |name: &'static str| {
            index
                .read(|snapshot| bucket(&snapshot.buckets, name))
                .is_ok()
        };
        assert!(there("before") && there("retried"));
    }
}
