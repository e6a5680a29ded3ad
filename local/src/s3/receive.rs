//! Receiving a body: from the wire into a blob file, in bounded memory.
//!
//! While one batch of bytes is written and digested on a thread of its own,
//! the next is read, so that a body of any size takes two batches of memory.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, s3_error};
use tokio::task::{JoinHandle, spawn_blocking};

use super::blobs::{Blobs, NewBlob};
use super::checksum::{Algorithm, Digested, Digests};
use super::error;

/// Bytes written at a time.
const BATCH: usize = 1 << 20;

/// The largest body of one request, bytes: S3's 5 GiB.
pub(super) const MAX_BODY: u64 = 5 << 30;

/// A body that has come whole.
#[derive(Debug)]
pub(super) struct Received {
    /// Absent iff the body was empty.
    pub(super) blob: Option<NewBlob>,
    /// Bytes.
    pub(super) size: u64,
    pub(super) digested: Digested,
}

/// Receives a body, of `declared` bytes if that is known, and digests it.
///
/// # Errors
/// `IncompleteBody` if it ends early, `EntityTooLarge`, what its signature or
/// its chunks fail with, and failures of the disk. No file is left then.
pub(super) async fn receive(
    blobs: &Arc<Blobs>,
    mut body: impl Stream<Item = Result<Bytes, StdError>> + Unpin,
    declared: Option<u64>,
    algorithms: &[Algorithm],
) -> S3Result<Received> {
    if declared.is_some_and(|size| size > MAX_BODY) {
        return Err(too_large());
    }
    let mut sink = Writing::Idle(Sink {
        blobs: Arc::clone(blobs),
        blob: None,
        digests: Digests::new(algorithms),
        size: 0,
    });
    let mut batch = Vec::new();
    let mut batched = 0;
    let mut size = 0_u64;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(body_error)?;
        batched += chunk.len();
        size += chunk.len() as u64;
        if size > declared.unwrap_or(MAX_BODY) {
            return Err(if declared.is_some() {
                incomplete()
            } else {
                too_large()
            });
        }
        batch.push(chunk);
        if batched >= BATCH {
            let full = std::mem::take(&mut batch);
            batched = 0;
            let mut idle = sink.finished().await?;
            sink = Writing::Busy(spawn_blocking(move || {
                idle.write(&full)?;
                Ok(idle)
            }));
        }
    }
    if declared.is_some_and(|declared| declared != size) {
        return Err(incomplete());
    }
    let mut idle = sink.finished().await?;
    spawn_blocking(move || {
        idle.write(&batch)?;
        idle.finish()
    })
    .await
    .map_err(|panic| error::internal(format!("writing a blob: {panic}")))?
    .map_err(|source| error::io("writing a blob", source))
}

enum Writing {
    Idle(Sink),
    Busy(JoinHandle<io::Result<Sink>>),
}

impl Writing {
    async fn finished(self) -> S3Result<Sink> {
        match self {
            Self::Idle(sink) => Ok(sink),
            Self::Busy(task) => task
                .await
                .map_err(|panic| error::internal(format!("writing a blob: {panic}")))?
                .map_err(|source| error::io("writing a blob", source)),
        }
    }
}

struct Sink {
    blobs: Arc<Blobs>,
    blob: Option<NewBlob>,
    digests: Digests,
    size: u64,
}

impl Sink {
    fn write(&mut self, batch: &[Bytes]) -> io::Result<()> {
        for chunk in batch.iter().filter(|chunk| !chunk.is_empty()) {
            if self.blob.is_none() {
                self.blob = Some(self.blobs.create()?);
            }
            if let Some(blob) = &mut self.blob {
                blob.write(chunk)?;
            }
            self.digests.update(chunk);
            self.size += chunk.len() as u64;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Received> {
        if let Some(blob) = &mut self.blob {
            blob.close()?;
        }
        Ok(Received {
            blob: self.blob,
            size: self.size,
            digested: self.digests.finish(),
        })
    }
}

fn incomplete() -> S3Error {
    s3_error!(
        IncompleteBody,
        "You did not provide the number of bytes specified by the Content-Length HTTP header."
    )
}

fn too_large() -> S3Error {
    s3_error!(
        EntityTooLarge,
        "Your proposed upload exceeds the maximum allowed size of 5 GiB."
    )
}

/// The S3 error behind a failing body. s3s keeps its error types to itself,
/// so they are told apart by the first word after their name.
fn body_error(source: StdError) -> S3Error {
    let mut text = source.to_string();
    let mut inner = source.source();
    while let Some(error) = inner {
        text = format!("{text}: {error}");
        inner = error.source();
    }
    if text.contains("Sha256Mismatch") {
        let mut error = S3Error::with_message(
            S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        error
    } else if text.contains("SignatureMismatch") {
        s3_error!(
            SignatureDoesNotMatch,
            "A chunk's signature does not match the signature we calculated."
        )
    } else if text.contains("FormatError") || text.contains("TooLarge") || text.contains("TooMany")
    {
        s3_error!(InvalidRequest, "The aws-chunked body is malformed: {text}.")
    } else {
        // The client went away, or sent less than it declared.
        tracing::debug!(%text, "a request's body ended early");
        incomplete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    fn chunks(sizes: &[usize]) -> Vec<Result<Bytes, StdError>> {
        sizes
            .iter()
            .enumerate()
            .map(|(i, size)| Ok(Bytes::from(vec![i as u8; *size])))
            .collect()
    }

    async fn receive_all(
        blobs: &Arc<Blobs>,
        chunks: Vec<Result<Bytes, StdError>>,
        declared: Option<u64>,
    ) -> S3Result<Received> {
        receive(blobs, stream::iter(chunks), declared, &[Algorithm::Crc32]).await
    }

    #[tokio::test]
    async fn body_comes_out_as_it_went_in() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        let sizes = [700_000, 0, 900_000, 3, 1_500_000];
        let received = receive_all(&blobs, chunks(&sizes), Some(3_100_003))
            .await
            .unwrap();
        assert_eq!(received.size, 3_100_003);
        let blob = received.blob.unwrap();
        let expected: Vec<u8> = sizes
            .iter()
            .enumerate()
            .flat_map(|(i, size)| vec![i as u8; *size])
            .collect();
        assert_eq!(std::fs::read(blobs.path(blob.id)).unwrap(), expected);
    }

    #[tokio::test]
    async fn empty_body_has_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        let received = receive_all(&blobs, vec![], Some(0)).await.unwrap();
        assert!(received.blob.is_none());
        assert_eq!(
            hex::encode(received.digested.md5),
            "d41d8cd98f00b204e9800998ecf8427e"
        );
    }

    #[tokio::test]
    async fn body_that_ends_early_or_late_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        for declared in [10, 3_000_000] {
            let error = receive_all(&blobs, chunks(&[2_000_000]), Some(declared))
                .await
                .unwrap_err();
            assert_eq!(error.code().as_str(), "IncompleteBody");
        }
        let mut broken = chunks(&[2_000_000, 5]);
        broken.push(Err("connection reset".into()));
        let error = receive_all(&blobs, broken, None).await.unwrap_err();
        assert_eq!(error.code().as_str(), "IncompleteBody");
        // The last batch may still be on its thread.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while blobs.count() > 0 {
            assert!(std::time::Instant::now() < deadline, "a blob file is left");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn errors_of_signed_bodies_have_their_codes() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path(), false).unwrap();
        for (text, code) in [
            (
                "UploadStreamError: Sha256Mismatch",
                "XAmzContentSHA256Mismatch",
            ),
            (
                "AwsChunkedStreamError: SignatureMismatch",
                "SignatureDoesNotMatch",
            ),
            ("AwsChunkedStreamError: FormatError", "InvalidRequest"),
            ("AwsChunkedStreamError: Incomplete", "IncompleteBody"),
        ] {
            let error = receive_all(&blobs, vec![Err(text.into())], None)
                .await
                .unwrap_err();
            assert_eq!(error.code().as_str(), code);
        }
    }
}
