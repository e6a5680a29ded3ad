//! A walk over the batch headers of a segment file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::batch::{BatchError, BatchHeader, HEADER_BYTES};

/// Bytes read at once while batches are small.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes read at once while batches are larger than this: reading on would be in vain.
const STEP_BYTES: usize = 4 << 10;

/// Why a walk ended before its limit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes at `position` are no whole batch.
    #[error("at byte {position}: {error}")]
    Batch { position: u64, error: BatchError },
}

/// Yields the position and header of one batch after another.
pub(crate) struct Walk<'a> {
    file: &'a File,
    position: u64,
    limit: u64,
    chunk: Vec<u8>,
    chunk_at: u64,
    step: usize,
}

impl<'a> Walk<'a> {
    /// Walks from `position`, where a batch starts, to `limit`.
    pub(crate) fn new(file: &'a File, position: u64, limit: u64) -> Self {
        Self {
            file,
            position,
            limit,
            chunk: Vec::new(),
            chunk_at: position,
            step: CHUNK_BYTES,
        }
    }

    /// Where the next batch starts.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next batch's position and header; `None` at the limit.
    pub(crate) fn step(&mut self) -> Result<Option<(u64, BatchHeader)>, WalkError> {
        if self.position >= self.limit {
            return Ok(None);
        }
        let position = self.position;
        let torn = |error| WalkError::Batch { position, error };
        let header = BatchHeader::parse(self.header_bytes()?).map_err(torn)?;
        let end = position + header.bytes as u64;
        if end > self.limit {
            return Err(torn(BatchError::Short));
        }
        self.step = if header.bytes > STEP_BYTES {
            STEP_BYTES
        } else {
            CHUNK_BYTES
        };
        self.position = end;
        Ok(Some((position, header)))
    }

    /// The bytes at the current position, at least a header's unless the limit comes first.
    fn header_bytes(&mut self) -> io::Result<&[u8]> {
        let wanted = (self.limit - self.position).min(HEADER_BYTES as u64);
        let have = self.chunk_at + self.chunk.len() as u64;
        if self.position < self.chunk_at || self.position + wanted > have {
            let length = (self.limit - self.position).min(self.step as u64);
            let length = usize::try_from(length).unwrap_or(self.step);
            self.chunk.resize(length, 0);
            self.file.read_exact_at(&mut self.chunk, self.position)?;
            self.chunk_at = self.position;
        }
        let from = usize::try_from(self.position - self.chunk_at).unwrap_or(usize::MAX);
        Ok(self.chunk.get(from..).unwrap_or_default())
    }
}
