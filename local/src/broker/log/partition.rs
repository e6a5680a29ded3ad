//! A partition: its log behind a lock, and the fetches that wait for its next batch.

use std::io;
use std::path::Path;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::batch::Batch;
use super::recovery;
use super::segment::Slice;
use super::{AppendError, Appended, Limits, Log, Retention};
use crate::seldom::Seldom;

/// One partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    /// `topic-index`, for messages.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The log, or why there is none.
    log: Result<Log, Closed>,
    waiting: Vec<Arc<Notify>>,
}

#[derive(Debug)]
struct Closed {
    why: Unusable,
    reason: String,
}

/// Why a partition's log cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is damaged; the reason was logged.
    Offline,
    /// Its topic was deleted.
    Deleted,
}

impl Unusable {
    /// What a client is told.
    pub(crate) fn code(self) -> ResponseError {
        match self {
            Self::Offline => ResponseError::KafkaStorageError,
            Self::Deleted => ResponseError::UnknownTopicOrPartition,
        }
    }
}

/// Offsets of a partition at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    /// Of the oldest record.
    pub(crate) start: i64,
    /// Of the next record; also the high watermark, as there is one replica.
    pub(crate) end: i64,
}

/// Why a batch was not appended, with Kafka's error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ResponseError,
    pub(crate) message: String,
}

/// What a fetch finds at an offset.
#[derive(Debug)]
pub(crate) enum Position {
    /// Records to read.
    Records(Slice),
    /// The end of the log.
    End,
    /// No such offset.
    OutOfRange,
}

impl Partition {
    /// Opens the partition in `directory`. A log that cannot be opened is said once and makes
    /// the partition offline, not the broker.
    pub(crate) fn open(name: String, directory: &Path, flushed: i64) -> Self {
        let log = match recovery::open(directory, flushed) {
            Ok((log, None)) => Ok(log),
            Ok((log, Some(cut))) => {
                tracing::warn!(
                    partition = name,
                    "cut a torn tail of {} bytes off the log of {name}, which now ends at offset {}: {}",
                    cut.bytes,
                    cut.end,
                    cut.reason,
                );
                Ok(log)
            }
            Err(error) => {
                tracing::error!(
                    partition = name,
                    "partition {name} is offline: {error}; restore the file, or remove the data directory to start afresh",
                );
                Err(Closed {
                    why: Unusable::Offline,
                    reason: error.to_string(),
                })
            }
        };
        Self {
            name,
            state: Mutex::new(State {
                log,
                waiting: Vec::new(),
            }),
        }
    }

    /// `topic-index`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Start and end of the log.
    pub(crate) fn offsets(&self) -> Result<Offsets, Unusable> {
        self.with_log(|log| Offsets {
            start: log.start(),
            end: log.end(),
        })
    }

    /// Runs `read` on the log.
    pub(crate) fn with_log<T>(&self, read: impl FnOnce(&Log) -> T) -> Result<T, Unusable> {
        match &self.state.lock().log {
            Ok(log) => Ok(read(log)),
            Err(closed) => Err(closed.why),
        }
    }

    /// Appends a batch and wakes the fetches that wait for it.
    pub(crate) fn append(&self, batch: &Batch, limits: Limits) -> Result<Appended, Refusal> {
        let mut state = self.state.lock();
        let log = state.log.as_mut().map_err(|closed| Refusal {
            code: closed.why.code(),
            message: closed.reason.clone(),
        })?;
        let appended = log.append(batch, limits).map_err(|error| {
            let code = match &error {
                AppendError::Sequence(sequence) => sequence.code(),
                AppendError::Storage { .. } => {
                    static FAILED: Seldom = Seldom::new();
                    if let Some(kept) = FAILED.met() {
                        tracing::error!(
                            partition = self.name,
                            not_told = kept,
                            "cannot append to {}: {error}; producers keep what they have until it can be written",
                            self.name
                        );
                    }
                    ResponseError::KafkaStorageError
                }
            };
            Refusal {
                code,
                message: error.to_string(),
            }
        })?;
        for waiter in state.waiting.drain(..) {
            waiter.notify_one();
        }
        Ok(appended)
    }

    /// What a fetch finds at `offset`, and where the log starts and ends. The next batch wakes
    /// `waiter`, if the fetch should wait for it.
    pub(crate) fn position(
        &self,
        offset: i64,
        waiter: &Arc<Notify>,
    ) -> Result<(Position, Offsets), Unusable> {
        let mut state = self.state.lock();
        let State { log, waiting } = &mut *state;
        let log = log.as_ref().map_err(|closed| closed.why)?;
        let offsets = Offsets {
            start: log.start(),
            end: log.end(),
        };
        let position = match log.slice(offset) {
            None => Position::OutOfRange,
            Some(_) if offset == offsets.end => Position::End,
            Some(slice) => Position::Records(slice),
        };
        if !waiting.iter().any(|known| Arc::ptr_eq(known, waiter)) {
            waiting.push(Arc::clone(waiter));
        }
        Ok((position, offsets))
    }

    /// Takes `waiter` off the list of those to be woken.
    pub(crate) fn forget(&self, waiter: &Arc<Notify>) {
        self.state
            .lock()
            .waiting
            .retain(|known| !Arc::ptr_eq(known, waiter));
    }

    /// Takes the log away from everybody who still has this partition, because its topic was deleted, and wakes the
    /// fetches that wait for it.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.log = Err(Closed {
            why: Unusable::Deleted,
            reason: format!("the topic of {} was deleted", self.name),
        });
        for waiter in state.waiting.drain(..) {
            waiter.notify_one();
        }
    }

    /// Deletes what `retention` does not keep.
    pub(crate) fn retain(&self, retention: Retention, now_ms: i64) {
        let mut state = self.state.lock();
        let Ok(log) = state.log.as_mut() else {
            return;
        };
        match log.retain(retention, now_ms) {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(
                partition = self.name,
                "deleted {bytes} bytes of {} by retention; it now starts at offset {}",
                self.name,
                log.start(),
            ),
            Err(error) => tracing::error!(
                partition = self.name,
                "cannot delete old segments in {}: {error}",
                log.directory().display(),
            ),
        }
    }

    /// Syncs what was written since the last time; blocking, but not while the lock is held.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let Some(plan) = self.with_log(Log::flush_plan).ok().flatten() else {
            return Ok(());
        };
        let flushed = plan.run();
        let mut state = self.state.lock();
        let log = match &mut state.log {
            Ok(log) => log,
            // Its files went while they were synced.
            Err(closed) if closed.why == Unusable::Deleted => return Ok(()),
            Err(_) => return flushed,
        };
        match flushed {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !log.note_removed(&plan) => {
                Ok(())
            }
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!("cannot sync {}: {error}", self.name),
            )),
            Ok(()) => {
                log.mark_flushed(plan.end);
                Ok(())
            }
        }
    }

    /// Offset up to which the log survives a loss of power; `None` if it has no log.
    pub(crate) fn flushed(&self) -> Option<i64> {
        self.with_log(Log::flushed).ok()
    }
}
