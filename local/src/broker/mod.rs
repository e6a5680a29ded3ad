//! The embedded broker: the Apache Kafka protocol on one node, with its log on this machine.
//!
//! One node is leader of every partition, coordinator of every group and controller.
//!
//! **Durability.** A batch is acknowledged when it is written to its segment file, so it
//! survives `kill -9`. A loss of power loses at most [`Config::flush_interval`]; with
//! [`Config::fsync`] nothing that was acknowledged.
//!
//! **Not here.** Replication, transactions, compaction, fetch sessions, authentication, the
//! KIP-848 group protocol. A client is told so by the version table and by error codes.

mod api;
mod atomic_file;
mod connection;
mod flusher;
mod group;
mod log;
mod node;
mod producer_ids;
mod shape;
mod topic_config;
mod topics;
mod versions;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use node::Node;

/// How a broker is started. [`Config::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of everything the broker keeps; made if it is missing.
    pub data_dir: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Host and port that clients are told to connect to. `None` tells each client the
    /// address that it has connected to already.
    pub advertised: Option<(String, u16)>,
    /// Sync every batch to the disk before it is acknowledged.
    pub fsync: bool,
    /// Without `fsync`: how often written batches and committed offsets are synced.
    pub flush_interval: Duration,
    /// How often old segments are looked for.
    pub retention_interval: Duration,
    /// Connections at a time; further ones are closed at once.
    pub max_connections: usize,
    /// Largest request in bytes; a client that announces a larger one is disconnected.
    pub max_request_bytes: usize,
    /// Bytes of requests and of fetched records, each, that are in memory at a time.
    pub memory_bytes: usize,
    /// Shortest session timeout of group members.
    pub min_session_timeout: Duration,
    /// How long an empty group waits for more members before its first rebalance.
    pub initial_rebalance_delay: Duration,
}

impl Config {
    /// The defaults: no `fsync`, a flush each second, 1,000 connections, requests of up to
    /// 100 MiB, 256 MiB of memory for each direction; session timeouts from 6 s as in Apache
    /// Kafka, but an initial rebalance delay of 100 ms instead of 3 s.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen,
            advertised: None,
            fsync: false,
            flush_interval: Duration::from_secs(1),
            retention_interval: Duration::from_secs(10),
            max_connections: 1_000,
            max_request_bytes: 100 << 20,
            memory_bytes: 256 << 20,
            min_session_timeout: Duration::from_secs(6),
            initial_rebalance_delay: Duration::from_millis(100),
        }
    }
}

/// Why a broker did not start, or could not flush.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address is taken or not this machine's.
    #[error(
        "cannot listen on {address} for Kafka clients: {error}; stop what listens there, or choose another port (0 for any)"
    )]
    Listen {
        /// The address of [`Config::listen`].
        address: SocketAddr,
        /// What the system answered.
        error: io::Error,
    },
    /// The data directory cannot be written.
    #[error("cannot write the broker's data directory {directory}: {error}")]
    Directory {
        /// [`Config::data_dir`].
        directory: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// Another broker has the data directory.
    #[error(
        "another broker is using the data directory {directory}; stop it, or choose another directory"
    )]
    InUse {
        /// [`Config::data_dir`].
        directory: PathBuf,
    },
    /// A file in the data directory is not what the broker wrote.
    #[error("cannot start the broker: {0}")]
    Damaged(String),
    /// What was written could not be synced to the disk.
    #[error("cannot flush the broker's files: {0}")]
    Flush(io::Error),
}

/// A running broker. Dropping it stops it without the last flush; call
/// [`shutdown`](Broker::shutdown).
#[derive(Debug)]
pub struct Broker {
    node: Arc<Node>,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Locked for as long as the broker runs.
    _lock: File,
}

impl Broker {
    /// Opens the data directory, recovers every log and starts to listen.
    ///
    /// # Errors
    /// [`BrokerError`], one sentence. A single damaged log is not an error: its partition is
    /// offline (`KAFKA_STORAGE_ERROR`), which is said in the log.
    pub async fn start(config: Config) -> Result<Self, BrokerError> {
        let lock = lock_directory(&config.data_dir)?;
        // The port first: it is the commonest reason not to start.
        let listener =
            TcpListener::bind(config.listen)
                .await
                .map_err(|error| BrokerError::Listen {
                    address: config.listen,
                    error,
                })?;
        let address = listener.local_addr().map_err(|error| BrokerError::Listen {
            address: config.listen,
            error,
        })?;
        let stop = CancellationToken::new();
        let opened = {
            let stop = stop.clone();
            tokio::task::spawn_blocking(move || Node::open(config, stop))
        };
        let node = Arc::new(opened.await.map_err(|error| {
            BrokerError::Damaged(format!("opening the data directory failed: {error}"))
        })??);
        let tasks = TaskTracker::new();
        tasks.spawn(connection::accept(
            listener,
            Arc::clone(&node),
            tasks.clone(),
        ));
        tasks.spawn(flusher::run(Arc::clone(&node)));
        tasks.spawn({
            let node = Arc::clone(&node);
            async move { node.coordinator.run(node.stop.clone()).await }
        });
        tasks.close();
        Ok(Self {
            node,
            address,
            stop,
            tasks,
            _lock: lock,
        })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The id that the broker got when its data directory was made.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.node.cluster_id
    }

    /// Syncs every batch and committed offset to the disk.
    ///
    /// # Errors
    /// [`BrokerError::Flush`].
    pub async fn flush(&self) -> Result<(), BrokerError> {
        flusher::flush(&self.node).await.map_err(BrokerError::Flush)
    }

    /// Closes all connections, then flushes.
    ///
    /// # Errors
    /// [`BrokerError::Flush`]; the broker has stopped then too.
    pub async fn shutdown(self) -> Result<(), BrokerError> {
        self.stop.cancel();
        self.tasks.wait().await;
        flusher::flush(&self.node).await.map_err(BrokerError::Flush)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock_directory(directory: &Path) -> Result<File, BrokerError> {
    let cannot_write = |error| BrokerError::Directory {
        directory: directory.to_owned(),
        error,
    };
    std::fs::create_dir_all(directory).map_err(cannot_write)?;
    let file = File::create(directory.join("lock")).map_err(cannot_write)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(BrokerError::InUse {
            directory: directory.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(error)) => Err(cannot_write(error)),
    }
}

#[cfg(test)]
mod tests;
