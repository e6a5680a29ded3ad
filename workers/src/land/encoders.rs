//! Encoding off the thread that polls Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::encode::{EncodeError, Encoder};
use super::memory::{Draining, Load};
use crate::ledger::Layout;

/// A few threads that encode batches. Cheap to clone.
#[derive(Clone)]
pub struct Encoders {
    runtime: Handle,
    permits: Arc<Semaphore>,
    draining: Draining,
}

/// A file being encoded: its batches in the order in which they were appended.
pub struct Encoding {
    task: JoinHandle<Result<Encoder, EncodeError>>,
    written: Arc<AtomicU64>,
}

impl Encoders {
    /// `threads` batches at a time, counted in `draining`.
    #[must_use]
    pub fn new(runtime: Handle, threads: usize, draining: Draining) -> Self {
        Self {
            runtime,
            permits: Arc::new(Semaphore::new(threads.max(1))),
            draining,
        }
    }

    /// Bytes on their way.
    #[must_use]
    pub fn draining(&self) -> &Draining {
        &self.draining
    }

    /// Encodes `batch` (about `bytes` in memory) after what `file` has so far. Returns at once.
    #[must_use]
    pub fn append(
        &self,
        file: Option<Encoding>,
        layout: &Arc<Layout>,
        batch: RecordBatch,
        bytes: u64,
    ) -> Encoding {
        // Sorting by symbol needs the batch a second time.
        let load = self.draining.load(2 * bytes);
        let written = file
            .as_ref()
            .map(|f| Arc::clone(&f.written))
            .unwrap_or_default();
        let (layout, permits) = (Arc::clone(layout), Arc::clone(&self.permits));
        let size = Arc::clone(&written);
        let task = self.runtime.spawn(async move {
            let encoder = match file {
                Some(file) => file.task.await.map_err(lost)??,
                None => Encoder::new(&layout)?,
            };
            let permit = permits.acquire_owned().await.map_err(lost)?;
            tokio::task::spawn_blocking(move || {
                let _held: (_, Load) = (permit, load);
                let mut encoder = encoder;
                encoder.write(&batch)?;
                size.store(encoder.len() as u64, Ordering::Relaxed);
                Ok(encoder)
            })
            .await
            .map_err(lost)?
        });
        Encoding { task, written }
    }
}

impl Encoding {
    /// Bytes of the file so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The finished file.
    ///
    /// # Errors
    /// Where a batch could not be encoded.
    pub async fn finish(self) -> Result<Bytes, EncodeError> {
        let encoder = self.task.await.map_err(lost)??;
        tokio::task::spawn_blocking(|| encoder.finish())
            .await
            .map_err(lost)?
    }
}

fn lost(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::Io(std::io::Error::other(format!(
        "an encoder ended early: {error}"
    )))
}
