//! Reading an object: from its blob files to the wire, in bounded memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use tokio::task::{JoinHandle, spawn_blocking};

use super::blobs::{Blobs, Hold};
use super::object::{BlobId, Object};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// A range of an object, being read. Its blobs stay while it lives, even when
/// the object is replaced or deleted.
pub(super) struct Reader {
    runs: VecDeque<Run>,
    file: Option<File>,
    blobs: Arc<Blobs>,
    _hold: Hold,
}

/// Bytes of one blob that are still to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    blob: BlobId,
    offset: u64,
    len: u64,
}

impl Reader {
    /// Opens a range of an object's bytes. `None` if the object has been
    /// replaced since it was looked up. Blocks.
    pub(super) fn open(
        blobs: &Arc<Blobs>,
        object: &Object,
        range: Range<u64>,
    ) -> io::Result<Option<Self>> {
        let runs = runs(object, range);
        let hold = blobs.hold(runs.iter().map(|run| run.blob).collect());
        let mut reader = Self {
            runs: runs.into(),
            file: None,
            blobs: Arc::clone(blobs),
            _hold: hold,
        };
        match reader.open_next() {
            Ok(()) => Ok(Some(reader)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_next(&mut self) -> io::Result<()> {
        self.file = match self.runs.front() {
            None => None,
            Some(run) => {
                let mut file = File::open(self.blobs.path(run.blob))?;
                if run.offset > 0 {
                    file.seek(SeekFrom::Start(run.offset))?;
                }
                Some(file)
            }
        };
        Ok(())
    }

    /// The next bytes; none at the end. Blocks.
    pub(super) fn next_chunk(&mut self) -> io::Result<Bytes> {
        let (Some(run), Some(file)) = (self.runs.front_mut(), &mut self.file) else {
            return Ok(Bytes::new());
        };
        let want = run.len.min(CHUNK as u64);
        let mut chunk = Vec::with_capacity(usize::try_from(want).unwrap_or(CHUNK));
        let got = file.by_ref().take(want).read_to_end(&mut chunk)? as u64;
        if got != want {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "blob {} is shorter than the index says",
                    run.blob.0.as_simple()
                ),
            ));
        }
        run.len -= got;
        if run.len == 0 {
            self.runs.pop_front();
            self.open_next()?;
        }
        Ok(chunk.into())
    }

    /// The rest as a stream, which reads one chunk ahead.
    pub(super) fn into_stream(self) -> ReaderStream {
        ReaderStream {
            task: Some(read_on(self)),
        }
    }
}

/// The runs of bytes that make up a range of an object.
fn runs(object: &Object, range: Range<u64>) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut start = 0;
    for piece in &object.pieces {
        let end = start + piece.size;
        let from = range.start.max(start);
        let to = range.end.min(end);
        if let Some(blob) = piece.blob
            && from < to
        {
            runs.push(Run {
                blob,
                offset: from - start,
                len: to - from,
            });
        }
        start = end;
    }
    runs
}

type Read = io::Result<(Reader, Bytes)>;

fn read_on(mut reader: Reader) -> JoinHandle<Read> {
    spawn_blocking(move || {
        let chunk = reader.next_chunk()?;
        Ok((reader, chunk))
    })
}

/// The bytes of a [`Reader`].
pub(super) struct ReaderStream {
    task: Option<JoinHandle<Read>>,
}

impl Stream for ReaderStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(task) = &mut self.task else {
            return Poll::Ready(None);
        };
        let read = std::task::ready!(Pin::new(task).poll(context));
        self.task = None;
        Poll::Ready(match read {
            Ok(Ok((_, chunk))) if chunk.is_empty() => None,
            Ok(Ok((reader, chunk))) => {
                self.task = Some(read_on(reader));
                Some(Ok(chunk))
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "S3 store: reading a blob failed");
                Some(Err(error))
            }
            Err(panic) => Some(Err(io::Error::other(panic))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::checksum::{Algorithm, Checksum};
    use crate::s3::object::Piece;
    use futures::StreamExt as _;

    fn object(blobs: &Arc<Blobs>, pieces: &[&[u8]]) -> Object {
        let pieces: Vec<Piece> = pieces
            .iter()
            .enumerate()
            .map(|(i, data)| {
                let mut blob = blobs.create().unwrap();
                blob.write(data).unwrap();
                blob.close().unwrap();
                let id = blob.id;
                blob.keep();
                Piece {
                    number: i as u16 + 1,
                    blob: Some(id),
                    size: data.len() as u64,
                    checksum: None,
                }
            })
            .collect();
        Object {
            size: pieces.iter().map(|piece| piece.size).sum(),
            etag: String::new(),
            modified_ms: 0,
            checksum: Checksum {
                algorithm: Algorithm::Crc32,
                value: String::new(),
                composite: false,
            },
            pieces,
            multipart: true,
            headers: Default::default(),
        }
    }

    async fn read(blobs: &Arc<Blobs>, object: &Object, range: Range<u64>) -> Vec<u8> {
        let mut stream = Reader::open(blobs, object, range)
            .unwrap()
            .unwrap()
            .into_stream();
        let mut all = Vec::new();
        while let Some(chunk) = stream.next().await {
            all.extend(chunk.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn any_range_crosses_the_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        let object = object(&blobs, &[b"abc", b"defg", b"h"]);
        let whole = b"abcdefgh";
        for start in 0..8_usize {
            for end in start..=8 {
                let got = read(&blobs, &object, start as u64..end as u64).await;
                assert_eq!(got, &whole[start..end], "{start}..{end}");
            }
        }
    }

    #[tokio::test]
    async fn object_removed_while_it_is_read_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        let data = vec![7; 3 * CHUNK];
        let object = object(&blobs, &[&data, &data]);
        let mut reader = Reader::open(&blobs, &object, 0..object.size)
            .unwrap()
            .unwrap();
        let first = reader.next_chunk().unwrap();
        blobs.doom(object.blobs());
        let mut read = first.len();
        loop {
            let chunk = reader.next_chunk().unwrap();
            if chunk.is_empty() {
                break;
            }
            read += chunk.len();
        }
        assert_eq!(read as u64, object.size);
    }

    #[test]
    fn object_replaced_before_it_is_opened_is_looked_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        let object = object(&blobs, &[b"gone"]);
        std::fs::remove_file(blobs.path(object.blobs()[0])).unwrap();
        assert!(Reader::open(&blobs, &object, 0..4).unwrap().is_none());
    }
}
