//! The log: its segments in order, appended at the end, trimmed at the beginning.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{ASSIGNED_BYTES, Batch, BatchError, BatchHeader};
use super::producers::{Producers, SequenceError, Verdict};
use super::segment::{Segment, Slice, Source};
use crate::broker::atomic_file::sync_directory;

/// The epoch of the only leader that a partition of this broker ever has.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// The log of one partition.
#[derive(Debug)]
pub(crate) struct Log {
    directory: PathBuf,
    /// Sealed segments, oldest first.
    sealed: VecDeque<Segment>,
    /// The segment that is written.
    active: Segment,
    file: Arc<File>,
    producers: Producers,
    /// Offset up to which the log is known to survive a loss of power.
    flushed: i64,
    /// Set when a failed write could not be undone: the file's tail is not to be trusted.
    broken: Option<String>,
}

/// What bounds a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A batch that would make a segment larger starts the next one.
    pub(crate) segment_bytes: u64,
}

/// What a log keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Bytes, `None` for no limit.
    pub(crate) bytes: Option<u64>,
    /// Age of a segment's newest record in milliseconds, `None` for no limit.
    pub(crate) milliseconds: Option<i64>,
}

/// Where a batch lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Offset of its first record.
    pub(crate) base_offset: i64,
    /// Whether it was there before.
    pub(crate) duplicate: bool,
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    #[error("cannot write {path}: {error}")]
    Storage { path: PathBuf, error: io::Error },
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path} is damaged at byte {position}, in a part that had been flushed: {error}")]
    Damaged {
        path: PathBuf,
        position: u64,
        error: BatchError,
    },
    #[error("{path} starts at offset {found}, but the segment before it ends at {expected}")]
    Gap {
        path: PathBuf,
        expected: i64,
        found: i64,
    },
    #[error("{directory} ends at offset {end}, but had been flushed up to {flushed}")]
    Shortened {
        directory: PathBuf,
        end: i64,
        flushed: i64,
    },
}

/// Files to be synced, and the offset that is then safe.
#[derive(Debug)]
pub(crate) struct FlushPlan {
    /// Sealed segments with batches that are not known to be safe.
    sealed: Vec<PathBuf>,
    /// The segment that was active when the plan was made.
    active: PathBuf,
    file: Arc<File>,
    /// End of the log when the plan was made.
    pub(crate) end: i64,
}

impl FlushPlan {
    /// Syncs the files. A sealed segment that retention has removed meanwhile is no error.
    ///
    /// # Errors
    /// What the file system answered; `NotFound` if the active segment has been removed, with
    /// everything that is written to it.
    pub(crate) fn run(&self) -> io::Result<()> {
        for path in &self.sealed {
            match File::open(path) {
                Ok(file) => file.sync_data()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.file.sync_data()?;
        fs::metadata(&self.active).map(|_| ())
    }
}

impl Log {
    /// Puts a log together from segments that recovery has read; the last one is active.
    pub(super) fn assemble(
        directory: PathBuf,
        mut segments: VecDeque<Segment>,
        producers: Producers,
        flushed: i64,
    ) -> io::Result<Self> {
        let active = segments
            .pop_back()
            .unwrap_or_else(|| Segment::new(&directory, 0));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&active.path)?;
        sync_directory(&directory)?;
        Ok(Self {
            directory,
            sealed: segments,
            active,
            file: Arc::new(file),
            producers,
            flushed,
            broken: None,
        })
    }

    /// Offset of the oldest record that is kept.
    pub(crate) fn start(&self) -> i64 {
        self.sealed
            .front()
            .map_or(self.active.base, |segment| segment.base)
    }

    /// Offset of the next record.
    pub(crate) fn end(&self) -> i64 {
        self.active.end
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.active.size + self.sealed.iter().map(|segment| segment.size).sum::<u64>()
    }

    /// Appends a batch: when this returns, the batch is in its file and survives the end of
    /// this process.
    pub(crate) fn append(
        &mut self,
        batch: &Batch,
        limits: Limits,
    ) -> Result<Appended, AppendError> {
        if let Verdict::Duplicate { base_offset } = self.producers.judge(&batch.header)? {
            return Ok(Appended {
                base_offset,
                duplicate: true,
            });
        }
        let header = BatchHeader {
            base_offset: self.end(),
            ..batch.header
        };
        self.write(batch, &header, limits)
            .map_err(|error| AppendError::Storage {
                path: self.active.path.clone(),
                error,
            })?;
        self.active.note(&header);
        self.producers.note(&header);
        Ok(Appended {
            base_offset: header.base_offset,
            duplicate: false,
        })
    }

    fn write(&mut self, batch: &Batch, header: &BatchHeader, limits: Limits) -> io::Result<()> {
        if let Some(reason) = &self.broken {
            return Err(io::Error::other(reason.clone()));
        }
        if self.active.size > 0 && self.active.size + header.bytes as u64 > limits.segment_bytes {
            self.roll()?;
        }
        let position = self.active.size;
        let head = batch.assigned(header.base_offset, LEADER_EPOCH);
        // The head comes last: without it recovery sees no batch.
        let written = self
            .file
            .write_all_at(batch.unassigned(), position + ASSIGNED_BYTES as u64)
            .and_then(|()| self.file.write_all_at(&head, position));
        if let Err(error) = written {
            if let Err(undo) = self.file.set_len(position) {
                self.broken = Some(format!(
                    "an earlier write failed ({error}) and could not be undone ({undo}); start the broker again"
                ));
            }
            return Err(error);
        }
        Ok(())
    }

    /// Seals the active segment and starts the next.
    fn roll(&mut self) -> io::Result<()> {
        let next = Segment::new(&self.directory, self.end());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&next.path)?;
        sync_directory(&self.directory)?;
        self.sealed
            .push_back(std::mem::replace(&mut self.active, next));
        self.file = Arc::new(file);
        Ok(())
    }

    /// Where to read from `offset` on: `None` outside of the log; at its end an empty slice.
    pub(crate) fn slice(&self, offset: i64) -> Option<Slice> {
        if offset < self.start() || offset > self.end() {
            return None;
        }
        if offset >= self.active.base {
            return Some(self.active.slice(offset, self.active_source()));
        }
        let after = self
            .sealed
            .partition_point(|segment| segment.base <= offset);
        let segment = self.sealed.get(after.checked_sub(1)?)?;
        Some(segment.slice(offset, Source::Path(segment.path.clone())))
    }

    /// Where to look for the first record at or after `timestamp`; `None` if all are older.
    pub(crate) fn slice_of_time(&self, timestamp: i64) -> Option<Slice> {
        let sealed = self
            .sealed
            .iter()
            .find(|segment| segment.max_timestamp >= timestamp)
            .map(|segment| segment.slice_of_time(timestamp, Source::Path(segment.path.clone())));
        sealed.or_else(|| {
            (self.active.max_timestamp >= timestamp)
                .then(|| self.active.slice_of_time(timestamp, self.active_source()))
        })
    }

    /// Greatest timestamp of all records, `None` in an empty log.
    pub(crate) fn max_timestamp(&self) -> Option<i64> {
        let sealed = self.sealed.iter().map(|segment| segment.max_timestamp);
        sealed
            .chain([self.active.max_timestamp])
            .max()
            .filter(|timestamp| *timestamp != i64::MIN)
    }

    fn active_source(&self) -> Source {
        Source::Open(Arc::clone(&self.file))
    }

    /// Deletes the oldest segments that `retention` does not keep; returns how many bytes.
    ///
    /// As in Apache Kafka, a size limit never deletes the active segment and an age limit
    /// does (after rolling it), and segments go in order, so that the log has no gaps.
    pub(crate) fn retain(&mut self, retention: Retention, now_ms: i64) -> io::Result<u64> {
        let before = self.bytes();
        if let Some(age) = retention.milliseconds {
            let oldest_kept = now_ms.saturating_sub(age);
            if self.active.size > 0
                && self.active.max_timestamp < oldest_kept
                && self.sealed.iter().all(|s| s.max_timestamp < oldest_kept)
            {
                self.roll()?;
            }
            while self
                .sealed
                .front()
                .is_some_and(|segment| segment.max_timestamp < oldest_kept)
            {
                self.delete_oldest()?;
            }
        }
        if let Some(limit) = retention.bytes {
            while let Some(oldest) = self.sealed.front()
                && self.bytes() - oldest.size >= limit
            {
                self.delete_oldest()?;
            }
        }
        Ok(before - self.bytes())
    }

    fn delete_oldest(&mut self) -> io::Result<()> {
        if let Some(oldest) = self.sealed.front() {
            match fs::remove_file(&oldest.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.sealed.pop_front(),
            };
        }
        Ok(())
    }

    /// What has to be synced, `None` if all is safe.
    pub(crate) fn flush_plan(&self) -> Option<FlushPlan> {
        if self.flushed >= self.end() {
            return None;
        }
        let dirty = |segment: &&Segment| segment.end > self.flushed;
        let sealed = self.sealed.iter().filter(dirty);
        Some(FlushPlan {
            sealed: sealed.map(|segment| segment.path.clone()).collect(),
            active: self.active.path.clone(),
            file: Arc::clone(&self.file),
            end: self.end(),
        })
    }

    /// Takes note that the active segment of `plan` is gone. Nothing more is appended then:
    /// it would be lost. Returns whether it is still the active one; retention may have
    /// removed it rightly.
    pub(crate) fn note_removed(&mut self, plan: &FlushPlan) -> bool {
        let removed = self.active.path == plan.active;
        if removed {
            self.broken = Some(format!(
                "{} was removed while the broker was running; start the broker again",
                plan.active.display()
            ));
        }
        removed
    }

    /// Notes that the log up to `end` was synced.
    pub(crate) fn mark_flushed(&mut self, end: i64) {
        self.flushed = self.flushed.max(end);
    }

    /// Offset up to which the log is known to survive a loss of power.
    pub(crate) fn flushed(&self) -> i64 {
        self.flushed
    }

    /// The directory of the segments.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

#[cfg(test)]
#[path = "../tests/log.rs"]
mod tests;
