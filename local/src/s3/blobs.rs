//! Blob files: the bytes of objects and parts, one immutable file each.
//!
//! A blob is written whole before the index names it, and its file is removed
//! only after the index has stopped naming it, and nobody reads it any more.
//! A file that no index entry names is left behind by a crash alone; the next
//! start removes it ([`Blobs::sweep`]).

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use uuid::Uuid;

use super::object::BlobId;

/// The folder of blob files.
#[derive(Debug)]
pub(super) struct Blobs {
    root: PathBuf,
    fsync: bool,
    readers: Mutex<HashMap<BlobId, Readers>>,
    /// Files that are neither kept nor removed yet.
    unsettled: AtomicUsize,
    remover: mpsc::Sender<Task>,
}

/// Work of the thread that removes files.
#[derive(Debug)]
enum Task {
    Remove(Vec<BlobId>),
    /// Answered when everything before it is done.
    Flush(mpsc::Sender<()>),
}

/// Who reads a blob, and whether it goes when they are done.
#[derive(Debug, Default)]
struct Readers {
    count: usize,
    doomed: bool,
}

impl Blobs {
    /// Opens or makes the folder, and starts the thread that removes files.
    /// The thread ends when the last owner of the folder is gone.
    pub(super) fn open(root: &Path, fsync: bool) -> io::Result<Arc<Self>> {
        for shard in 0..=255_u8 {
            fs::create_dir_all(root.join(format!("{shard:02x}")))?;
        }
        let (remover, tasks) = mpsc::channel();
        let blobs = Arc::new(Self {
            root: root.to_owned(),
            fsync,
            readers: Mutex::default(),
            unsettled: AtomicUsize::new(0),
            remover,
        });
        let folder = Arc::downgrade(&blobs);
        std::thread::Builder::new()
            .name("s3-remover".to_owned())
            .spawn(move || {
                while let Ok(task) = tasks.recv() {
                    let Some(blobs) = folder.upgrade() else { break };
                    match task {
                        Task::Remove(ids) => blobs.remove_unread(&ids),
                        Task::Flush(done) => drop(done),
                    }
                }
            })?;
        Ok(blobs)
    }

    pub(super) fn path(&self, id: BlobId) -> PathBuf {
        let name = id.0.as_simple().to_string();
        self.root.join(&name[..2]).join(name)
    }

    /// A new, empty blob file, removed again unless it is kept.
    pub(super) fn create(self: &Arc<Self>) -> io::Result<NewBlob> {
        let id = BlobId::new();
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.path(id))?;
        self.unsettled.fetch_add(1, Ordering::SeqCst);
        Ok(NewBlob {
            id,
            file: Some(file),
            blobs: Arc::clone(self),
            kept: false,
        })
    }

    /// Holds blobs back from removal while they are read. A blob that was
    /// removed before this call fails to open; one that opens is whole, and
    /// so are those after it in its object.
    pub(super) fn hold(self: &Arc<Self>, ids: Vec<BlobId>) -> Hold {
        let mut readers = self.readers();
        for id in &ids {
            readers.entry(*id).or_default().count += 1;
        }
        drop(readers);
        Hold {
            ids,
            blobs: Arc::clone(self),
        }
    }

    /// Has blobs removed, in the background, as soon as nobody reads them.
    /// They must be in the order of their object's bytes.
    pub(super) fn doom(&self, ids: Vec<BlobId>) {
        if !ids.is_empty() {
            // The thread lives as long as this folder.
            let _ = self.remover.send(Task::Remove(ids));
        }
    }

    /// Waits until every doomed blob is removed; says whether every file that
    /// is left is named by the index: nobody reads a doomed one, or writes one.
    pub(super) fn flush(&self) -> bool {
        let (done, wait) = mpsc::channel::<()>();
        if self.remover.send(Task::Flush(done)).is_ok() {
            // Ends when the other side is dropped.
            let _ = wait.recv();
        }
        self.unsettled.load(Ordering::SeqCst) == 0
            && !self.readers().values().any(|reader| reader.doomed)
    }

    fn remove_unread(&self, ids: &[BlobId]) {
        for id in ids {
            // Removed under the lock: a reader who takes hold of an object's
            // blobs later fails on the first, and looks the object up again.
            let mut readers = self.readers();
            match readers.get_mut(id) {
                Some(reader) => reader.doomed = true,
                None => self.remove(*id),
            }
        }
    }

    fn remove(&self, id: BlobId) {
        if let Err(error) = fs::remove_file(self.path(id))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path(id).display(), "cannot remove a blob file");
        }
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<BlobId, Readers>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes every file that is not named, and returns how many. Only for
    /// the time before the first request.
    pub(super) fn sweep(&self, named: &HashSet<BlobId>) -> io::Result<usize> {
        let mut removed = 0;
        for shard in fs::read_dir(&self.root)? {
            let shard = shard?.path();
            if !shard.is_dir() {
                continue;
            }
            for file in fs::read_dir(shard)? {
                let file = file?;
                let id = file
                    .file_name()
                    .to_str()
                    .and_then(|name| Uuid::try_parse(name).ok())
                    .map(BlobId);
                if id.is_some_and(|id| !named.contains(&id)) {
                    fs::remove_file(file.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        fs::read_dir(&self.root)
            .unwrap()
            .map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count())
            .sum()
    }
}

/// A blob file being written. Dropped before it is kept, the file goes.
#[derive(Debug)]
pub(super) struct NewBlob {
    pub(super) id: BlobId,
    file: Option<File>,
    blobs: Arc<Blobs>,
    kept: bool,
}

impl NewBlob {
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(data),
            None => Err(io::Error::other("the blob file is closed")),
        }
    }

    /// Closes the file; with `fsync`, after it has reached the disk.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.take()
            && self.blobs.fsync
        {
            file.sync_all()?;
            let path = self.blobs.path(self.id);
            if let Some(folder) = path.parent() {
                File::open(folder)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Leaves the file in place when it is not known whether the index names
    /// it: the next start finds out.
    pub(super) fn leave(self) {
        self.blobs.unsettled.fetch_add(1, Ordering::SeqCst);
        self.keep();
    }

    /// Leaves the file in place: the index names it now.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        if !self.kept {
            self.blobs.remove(self.id);
        }
        self.blobs.unsettled.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Blobs held back from removal until this is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    ids: Vec<BlobId>,
    blobs: Arc<Blobs>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut readers = self.blobs.readers();
        let mut last = Vec::new();
        for id in &self.ids {
            if let Some(reader) = readers.get_mut(id) {
                reader.count -= 1;
                if reader.count == 0 {
                    if reader.doomed {
                        last.push(*id);
                    }
                    readers.remove(id);
                }
            }
        }
        drop(readers);
        self.blobs.doom(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn kept(blobs: &Arc<Blobs>, data: &[u8]) -> BlobId {
        let mut blob = blobs.create().unwrap();
        blob.write(data).unwrap();
        blob.close().unwrap();
        let id = blob.id;
        blob.keep();
        id
    }

    fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn blob_that_is_not_kept_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), true).unwrap();
        let mut blob = blobs.create().unwrap();
        blob.write(b"half").unwrap();
        assert_eq!(blobs.count(), 1);
        assert!(!blobs.flush());
        drop(blob);
        assert_eq!(blobs.count(), 0);
        assert!(blobs.flush());
    }

    #[test]
    fn blob_of_unknown_fate_is_left_for_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        blobs.create().unwrap().leave();
        assert_eq!(blobs.count(), 1);
        assert!(!blobs.flush());
    }

    #[test]
    fn doomed_blob_stays_until_its_last_reader_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        let (read, unread) = (kept(&blobs, b"read"), kept(&blobs, b"unread"));
        let first = blobs.hold(vec![read]);
        let second = blobs.hold(vec![read]);
        blobs.doom(vec![read, unread]);
        wait_until("the unread blob is gone", || !blobs.path(unread).exists());
        assert!(blobs.path(read).exists());
        drop(first);
        assert!(blobs.path(read).exists());
        drop(second);
        wait_until("the read blob is gone", || !blobs.path(read).exists());
        assert!(blobs.readers().is_empty());
    }

    #[test]
    fn sweep_removes_what_the_index_does_not_name() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        let (named, orphan) = (kept(&blobs, b"named"), kept(&blobs, b"orphan"));
        assert_eq!(blobs.sweep(&HashSet::from([named])).unwrap(), 1);
        assert!(blobs.path(named).exists());
        assert!(!blobs.path(orphan).exists());
    }
}
