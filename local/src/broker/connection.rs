//! Connections: frames in, frames out, one request at a time.
//!
//! As in Apache Kafka, the requests of one connection are answered in their order, and the
//! next is read when the last was answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::api::{self, Peer};
use super::node::{Node, permits};

/// How long a started frame may take to arrive, and an answer to be taken.
const STALLED: Duration = Duration::from_secs(30);

/// How much of a frame is read at once: memory follows what has arrived.
const CHUNK_BYTES: usize = 1 << 20;

/// Why a connection was closed by the broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it sent a frame of {bytes} bytes; requests have 8 to {max}")]
    FrameSize { bytes: i32, max: usize },
    #[error("it stopped in the middle of a request or did not take its answer for 30 s")]
    Stalled,
    #[error("it sent a request that cannot be read: {0}")]
    Malformed(String),
    #[error("it asked for API {key} version {version}, which is not in the version table")]
    Unsupported { key: i16, version: i16 },
    #[error("a batch that it wants no answer for was refused: {0}")]
    UnansweredRefusal(String),
    #[error("its answer could not be encoded: {0}")]
    Answer(String),
}

/// An answer, complete with its length, and the memory budget that it takes.
pub(crate) struct Answer {
    pub(crate) frame: Bytes,
    pub(crate) budget: Option<OwnedSemaphorePermit>,
}

/// Accepts connections until the broker stops.
pub(crate) async fn accept(listener: TcpListener, node: Arc<Node>, tasks: TaskTracker) {
    let slots = Arc::new(Semaphore::new(node.config.max_connections));
    loop {
        let accepted = tokio::select! {
            () = node.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a Kafka connection: {error}");
                // Out of files, most likely: others have to close first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracing::warn!(
                "closed a connection of {client}: {} are open already",
                node.config.max_connections
            );
            continue;
        };
        let node = Arc::clone(&node);
        tasks.spawn(async move {
            let served = tokio::select! {
                () = node.stop.cancelled() => Ok(()),
                served = serve(stream, client, &node) => served,
            };
            match served {
                Ok(()) => {}
                Err(ConnectionError::Io(error)) => {
                    tracing::debug!("the connection of {client} ended: {error}");
                }
                Err(error) => tracing::warn!("closed the connection of {client}: {error}"),
            }
            drop(slot);
        });
    }
}

async fn serve(
    stream: TcpStream,
    client: SocketAddr,
    node: &Arc<Node>,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let here = stream.local_addr()?;
    let (host, port) = match &node.config.advertised {
        Some((host, port)) => (host.clone(), *port),
        None => (here.ip().to_string(), here.port()),
    };
    let peer = Peer {
        client_host: format!("/{}", client.ip()),
        broker_host: host,
        broker_port: i32::from(port),
    };
    tracing::trace!("{client} connected");
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(16 << 10, read);
    while let Some((frame, budget)) = read_frame(&mut read, node).await? {
        let answer = api::answer(node, &peer, frame).await?;
        drop(budget);
        if let Some(answer) = answer {
            tokio::time::timeout(STALLED, write.write_all(&answer.frame))
                .await
                .map_err(|_| ConnectionError::Stalled)??;
            drop(answer.budget);
        }
    }
    Ok(())
}

/// The next request without its length, or `None` when the client has closed.
async fn read_frame(
    read: &mut BufReader<OwnedReadHalf>,
    node: &Node,
) -> Result<Option<(Bytes, OwnedSemaphorePermit)>, ConnectionError> {
    let bytes = match read.read_i32().await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let max = node.config.max_request_bytes;
    let length = usize::try_from(bytes)
        .ok()
        .filter(|length| (8..=max).contains(length))
        .ok_or(ConnectionError::FrameSize { bytes, max })?;
    let wanted = permits(length).min(permits(node.config.memory_bytes));
    let budget = Arc::clone(&node.request_budget)
        .acquire_many_owned(wanted)
        .await
        .map_err(io::Error::other)?;
    let frame = tokio::time::timeout(STALLED, async {
        let mut frame = BytesMut::with_capacity(length.min(CHUNK_BYTES));
        while frame.len() < length {
            let missing = length - frame.len();
            frame.reserve(missing.min(CHUNK_BYTES));
            if read.read_buf(&mut (&mut frame).limit(missing)).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
        Ok(frame.freeze())
    })
    .await
    .map_err(|_| ConnectionError::Stalled)??;
    Ok(Some((frame, budget)))
}
