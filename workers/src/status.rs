//! `GET /status` and `GET /healthz` of a worker.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The newest status of one role, shared between the role and whoever shows it.
#[derive(Clone)]
pub struct StatusBoard {
    role: Arc<str>,
    value: Arc<RwLock<Value>>,
}

/// Why the listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}; free the port or choose another")]
pub struct ListenError {
    /// The address.
    pub addr: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

impl StatusBoard {
    /// An empty board of `role`.
    #[must_use]
    pub fn new(role: &str) -> Self {
        Self {
            role: role.into(),
            value: Arc::new(RwLock::new(Value::Null)),
        }
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Replaces what the board shows.
    pub fn publish<T: Serialize>(&self, status: &T) {
        let value = serde_json::to_value(status).expect("a status type serialises");
        *self
            .value
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = value;
    }

    /// What the board shows now; `null` before the first `publish`.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        self.value
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// Binds `addr`, saying plainly why it cannot.
///
/// # Errors
/// Where the port is taken or the address is not ours.
pub async fn bind(addr: SocketAddr) -> Result<tokio::net::TcpListener, ListenError> {
    tokio::net::TcpListener::bind(addr)
        .await
        .map_err(|source| ListenError { addr, source })
}

/// Serves `/status` (`{"role": …, "status": …}`) and `/healthz` until `shutdown`.
pub async fn serve(
    listener: tokio::net::TcpListener,
    board: StatusBoard,
    shutdown: CancellationToken,
) {
    let app = axum::Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/status",
            get(|State(board): State<StatusBoard>| async move {
                Json(serde_json::json!({"role": board.role(), "status": board.snapshot()}))
            }),
        )
        .with_state(board);
    if let Err(error) = axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
    {
        tracing::warn!(%error, "the status listener ended");
    }
}
