//! Bytes at any place of a file or of an object in S3.

use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::aws::explain;

/// Bytes asked of a file at once.
const FILE_CHUNK: usize = 64 << 10;
/// Bytes asked of S3 at once: few at first, since many files are opened only for their first row.
const FIRST_CHUNK: usize = 256 << 10;
const LARGEST_CHUNK: usize = 8 << 20;
/// Pauses between attempts while S3 is away.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An open file or object. Cheap to clone.
#[derive(Clone)]
pub struct Blob {
    bytes: Arc<Held>,
    length: u64,
}

enum Held {
    Local(File),
    Object(Object),
}

impl Blob {
    /// A file of `length` bytes.
    #[must_use]
    pub fn local(file: File, length: u64) -> Self {
        Self {
            bytes: Arc::new(Held::Local(file)),
            length,
        }
    }

    /// An object.
    #[must_use]
    pub fn object(object: Object) -> Self {
        Self {
            length: object.length,
            bytes: Arc::new(Held::Object(object)),
        }
    }

    /// Reads at `at` until `buffer` is full or the end comes; how many bytes.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn read_full(&self, at: u64, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let buffer = &mut buffer[..wanted];
        if buffer.is_empty() {
            return Ok(0);
        }
        match &*self.bytes {
            Held::Local(file) => file.read_exact_at(buffer, at)?,
            Held::Object(object) => buffer.copy_from_slice(&object.read(at, wanted)?),
        }
        Ok(wanted)
    }

    /// Its bytes from the first one on.
    #[must_use]
    pub fn reader(&self) -> BlobReader {
        self.reader_from(0)
    }

    fn reader_from(&self, at: u64) -> BlobReader {
        let (chunk, largest) = match &*self.bytes {
            Held::Local(_) => (FILE_CHUNK, FILE_CHUNK),
            Held::Object(_) => (FIRST_CHUNK, LARGEST_CHUNK),
        };
        BlobReader {
            blob: self.clone(),
            at,
            buffer: Vec::new(),
            buffer_at: 0,
            chunk,
            largest,
        }
    }
}

/// Reads a blob in chunks.
pub struct BlobReader {
    blob: Blob,
    at: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    chunk: usize,
    largest: usize,
}

impl Read for BlobReader {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let held = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        if !held.contains(&self.at) {
            self.buffer.resize(self.chunk, 0);
            let read = self.blob.read_full(self.at, &mut self.buffer)?;
            self.buffer.truncate(read);
            self.buffer_at = self.at;
            self.chunk = (self.chunk * 2).min(self.largest);
        }
        // Within the buffer by now, or at the end.
        let from = usize::try_from(self.at - self.buffer_at).unwrap_or(usize::MAX);
        let bytes = self.buffer.get(from..).unwrap_or_default();
        let count = bytes.len().min(out.len());
        out[..count].copy_from_slice(&bytes[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.blob.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "before the first byte"))?;
        Ok(self.at)
    }
}

impl Length for Blob {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Blob {
    type T = BufReader<BlobReader>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(self.reader_from(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut bytes = vec![0; length];
        let read = self.read_full(start, &mut bytes)?;
        if read < length {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} are wanted and {read} are there"
            )));
        }
        Ok(bytes.into())
    }
}

/// An object of S3, which is read as it was when it was opened.
pub struct Object {
    client: aws_sdk_s3::Client,
    bucket: String,
    key: String,
    etag: Option<String>,
    length: u64,
    stop: CancellationToken,
}

impl Object {
    /// Looks the object up. Blocks: not for a thread that runs futures.
    ///
    /// # Errors
    /// The store's own words.
    pub fn open(
        client: &aws_sdk_s3::Client,
        bucket: &str,
        key: &str,
        stop: CancellationToken,
    ) -> std::result::Result<Self, String> {
        let head = client.head_object().bucket(bucket).key(key).send();
        let head = Handle::current().block_on(head).map_err(|error| {
            // HEAD answers without a body, so that there is no word of the store's for it.
            if error
                .raw_response()
                .is_some_and(|r| r.status().as_u16() == 404)
            {
                return "there is no such object".to_owned();
            }
            explain(&error)
        })?;
        Ok(Self {
            client: client.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: head.e_tag,
            length: u64::try_from(head.content_length.unwrap_or(0)).unwrap_or(0),
            stop,
        })
    }

    /// `count` bytes at `at`, all of which are there. Waits while S3 is away, until shutdown.
    fn read(&self, at: u64, count: usize) -> Result<Bytes> {
        let mut pause = FIRST_PAUSE;
        loop {
            match Handle::current().block_on(self.fetch(at, count)) {
                Ok(bytes) if bytes.len() == count => return Ok(bytes),
                Ok(_) => return Err(Error::other("S3 answered with fewer bytes than it has")),
                Err(Unread::Refused(why)) => return Err(Error::other(why)),
                Err(Unread::Away(why)) => {
                    if pause == FIRST_PAUSE {
                        tracing::warn!(
                            bucket = self.bucket,
                            why,
                            "S3 is lost; the replay goes on when it is back"
                        );
                    }
                    let stopped = Handle::current().block_on(async {
                        tokio::time::timeout(pause, self.stop.cancelled())
                            .await
                            .is_ok()
                    });
                    if stopped {
                        return Err(Error::other(why));
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn fetch(&self, at: u64, count: usize) -> std::result::Result<Bytes, Unread> {
        let call = self.client.get_object().bucket(&self.bucket).key(&self.key);
        let call = call
            .range(format!("bytes={at}-{}", at + count as u64 - 1))
            .set_if_match(self.etag.clone());
        let output = call.send().await.map_err(|error| {
            match error.raw_response().map(|r| r.status().as_u16()) {
                Some(412) => Unread::Refused("it was changed while it was read".to_owned()),
                Some(status) if status < 500 && status != 429 => Unread::Refused(explain(&error)),
                _ => Unread::Away(explain(&error)),
            }
        })?;
        output
            .body
            .collect()
            .await
            .map(aws_sdk_s3::primitives::AggregatedBytes::into_bytes)
            .map_err(|e| Unread::Away(e.to_string()))
    }
}

enum Unread {
    /// The same again would be refused again.
    Refused(String),
    /// S3 was not reached, or could not serve at this moment.
    Away(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_blob_reads_at_any_place_and_not_past_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        file.write_all(&bytes).unwrap();
        let blob = Blob::local(file, bytes.len() as u64);
        let mut all = Vec::new();
        blob.reader().read_to_end(&mut all).unwrap();
        assert!(all == bytes);
        let mut reader = blob.reader();
        reader.seek(SeekFrom::End(-3)).unwrap();
        let mut end = Vec::new();
        reader.read_to_end(&mut end).unwrap();
        assert_eq!(end, bytes[bytes.len() - 3..]);
        assert_eq!(blob.get_bytes(70_000, 3).unwrap(), bytes[70_000..70_003]);
        assert!(blob.get_bytes(199_999, 2).is_err());
    }
}
