//! One segment file: a run of batches that starts at the offset in its name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::batch::{BatchHeader, HEADER_BYTES};
use super::index::Index;
use super::records::{self, Found};
use super::walk::{Walk, WalkError};

/// What the broker knows of a segment without reading it.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Offset of its first record.
    pub(crate) base: i64,
    /// Offset after its last record.
    pub(crate) end: i64,
    /// Bytes of whole batches.
    pub(crate) size: u64,
    /// Greatest timestamp of its records, milliseconds; `i64::MIN` while it is empty.
    pub(crate) max_timestamp: i64,
    pub(crate) path: PathBuf,
    index: Index,
}

impl Segment {
    /// An empty segment of the log in `directory`; makes no file.
    pub(crate) fn new(directory: &Path, base: i64) -> Self {
        Self {
            base,
            end: base,
            size: 0,
            max_timestamp: i64::MIN,
            path: directory.join(format!("{base:020}.log")),
            index: Index::default(),
        }
    }

    /// The base offset in a segment file's name, `None` for any other file.
    pub(crate) fn base_of(path: &Path) -> Option<i64> {
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
        let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| name.parse().ok())?
    }

    /// Notes a batch that was written at the segment's end.
    pub(crate) fn note(&mut self, batch: &BatchHeader) {
        self.index
            .note(batch.base_offset, self.size, self.max_timestamp);
        self.max_timestamp = self.max_timestamp.max(batch.max_timestamp);
        self.size += batch.bytes as u64;
        self.end = batch.next_offset();
    }

    /// Where to read from `offset` on.
    pub(crate) fn slice(&self, offset: i64, source: Source) -> Slice {
        Slice {
            source,
            offset,
            from: self.index.position_of_offset(offset),
            limit: self.size,
        }
    }

    /// Where to look for the first record at or after `timestamp`.
    pub(crate) fn slice_of_time(&self, timestamp: i64, source: Source) -> Slice {
        Slice {
            source,
            offset: self.base,
            from: self.index.position_of_time(timestamp),
            limit: self.size,
        }
    }
}

/// A segment's file: open while it is written, opened for each read afterwards, so that a
/// long log does not use up the process's files.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Open(Arc<File>),
    Path(PathBuf),
}

impl Source {
    fn open(&self) -> io::Result<Arc<File>> {
        match self {
            Self::Open(file) => Ok(Arc::clone(file)),
            Self::Path(path) => File::open(path).map(Arc::new),
        }
    }
}

/// A part of a segment to be read without holding the log's lock.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    source: Source,
    offset: i64,
    from: u64,
    limit: u64,
}

impl Slice {
    /// Upper bound of the bytes that [`Slice::read`] can return.
    pub(crate) fn most_bytes(&self) -> usize {
        usize::try_from(self.limit - self.from).unwrap_or(usize::MAX)
    }

    /// Whole batches from the one that holds the offset on, at most `max_bytes` of them; with
    /// `or_one_batch` the first one even if it alone is larger.
    pub(crate) fn read(&self, max_bytes: usize, or_one_batch: bool) -> Result<Bytes, WalkError> {
        let file = self.source.open()?;
        let Some((start, first)) = self.first_batch(&file)? else {
            return Ok(Bytes::new());
        };
        if first.bytes > max_bytes && !or_one_batch {
            return Ok(Bytes::new());
        }
        let there = usize::try_from(self.limit - start).unwrap_or(usize::MAX);
        let wanted = there.min(max_bytes.max(first.bytes));
        let mut bytes = BytesMut::zeroed(wanted);
        file.read_exact_at(&mut bytes, start)?;
        bytes.truncate(whole_batches(&bytes));
        Ok(bytes.freeze())
    }

    /// The first record at or after `timestamp`.
    pub(crate) fn find_time(&self, timestamp: i64) -> Result<Option<Found>, WalkError> {
        let file = self.source.open()?;
        let mut walk = Walk::new(&file, self.from, self.limit);
        while let Some((position, header)) = walk.step()? {
            if header.max_timestamp >= timestamp {
                let mut batch = vec![0; header.bytes];
                file.read_exact_at(&mut batch, position)?;
                return Ok(Some(records::first_at_or_after(
                    &header,
                    &batch[HEADER_BYTES..],
                    timestamp,
                )));
            }
        }
        Ok(None)
    }

    fn first_batch(&self, file: &File) -> Result<Option<(u64, BatchHeader)>, WalkError> {
        let mut walk = Walk::new(file, self.from, self.limit);
        while let Some((position, header)) = walk.step()? {
            if header.last_offset() >= self.offset {
                return Ok(Some((position, header)));
            }
        }
        Ok(None)
    }
}

/// How many of `bytes` are whole batches.
fn whole_batches(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Ok(header) = BatchHeader::parse(&bytes[end..]) {
        if end + header.bytes > bytes.len() {
            break;
        }
        end += header.bytes;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twenty_digits_and_log_name_a_segment() {
        let segment = Segment::new(Path::new("/data"), 42);
        assert_eq!(Segment::base_of(&segment.path), Some(42));
        for name in [
            "42.log",
            "00000000000000000042.tmp",
            "0000000000000000004x.log",
        ] {
            assert_eq!(Segment::base_of(Path::new(name)), None, "{name}");
        }
    }
}
