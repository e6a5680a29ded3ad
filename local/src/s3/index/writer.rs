//! The thread that writes to the index.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, mpsc};

use redb::Database;
use s3s::{S3Error, S3Result};
use tokio::sync::oneshot;

use super::{Change, Failure, Tables};
use crate::record_file::{LAST_RESERVE, RESERVE, free_space};
use crate::s3::blobs::{Blobs, NewBlob};
use crate::s3::error;

/// Most changes in one transaction.
const BATCH: usize = 512;
/// Why a transaction was not committed.
#[derive(Clone)]
pub(super) enum Lost {
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
pub(super) trait Job: Send {
    /// Whether it only removes, and so may go on when the disk is nearly full.
    fn removes(&self) -> bool;
    /// Makes the change in the transaction; says whether it wrote.
    fn make(&mut self, tables: &mut Tables<'_>) -> Result<bool, redb::Error>;
    /// Tells the caller, once the transaction is committed or lost.
    fn answer(self: Box<Self>, committed: Result<(), Lost>);
}

pub(super) struct Pending<T, F> {
    pub(super) removes: bool,
    pub(super) change: Option<F>,
    pub(super) made: Option<S3Result<Change<T>>>,
    pub(super) caller: oneshot::Sender<S3Result<T>>,
    pub(super) blobs: Arc<Blobs>,
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
                // Whether it was committed is not known.
                made.keep.into_iter().for_each(NewBlob::leave);
                Err(lost.into())
            }
            (None, Err(lost)) => Err(lost.into()),
            (None, Ok(())) => Err(error::internal("a change was not made".to_owned())),
        };
        // The caller may have gone away; the change stands.
        let _ = self.caller.send(answer);
    }
}

/// Opens the index's file: at the start, and again after a failure.
pub(super) type Open = Box<dyn Fn() -> Result<Database, redb::Error> + Send>;

/// Takes the changes that wait, and makes them.
pub(super) struct Writer {
    pub(super) database: Arc<RwLock<Option<Database>>>,
    pub(super) path: PathBuf,
    pub(super) open: Open,
}

impl Writer {
    pub(super) fn run(&self, waiting: &mpsc::Receiver<Box<dyn Job>>) {
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
                .partition(|job| free >= if job.removes() { LAST_RESERVE } else { RESERVE });
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
        match (self.open)() {
            Ok(opened) => *database = Some(opened),
            Err(failure) => tracing::error!(%failure, "S3 store: the index cannot be opened"),
        }
    }
}
