//! `GET /status`, `GET /metrics` and `GET /healthz` of a worker.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use stockpipe_crds::worker_status::WorkerStatus;
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// The newest status of one role, shared between the role and whoever shows it.
#[derive(Clone)]
pub struct StatusBoard {
    role: Arc<str>,
    started_at: Timestamp,
    shown: Arc<RwLock<Option<WorkerStatus>>>,
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
            started_at: Timestamp::now(),
            shown: Arc::default(),
        }
    }

    /// When the role started.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Replaces what the board shows. A condition that was there with the same reason keeps its `since`.
    pub fn publish(&self, mut status: WorkerStatus) {
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let before = shown.iter().flat_map(|s| &s.conditions);
        for known in before {
            for condition in &mut status.conditions {
                if condition.kind == known.kind && condition.reason == known.reason {
                    condition.since = condition.since.min(known.since);
                }
            }
        }
        *shown = Some(status);
    }

    /// What the board shows now; nothing before the first [`publish`](Self::publish).
    #[must_use]
    pub fn snapshot(&self) -> Option<WorkerStatus> {
        self.shown
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The answer to `GET /status`: a [`WorkerStatus`], or 503 while the role has nothing to say yet.
    #[must_use]
    pub fn answer(&self) -> Response {
        match self.snapshot() {
            Some(status) => Json(status).into_response(),
            None => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("`{}` is starting\n", self.role),
            )
                .into_response(),
        }
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

/// Serves `/status`, `/metrics` and `/healthz` until `shutdown`.
pub async fn serve(
    listener: tokio::net::TcpListener,
    board: StatusBoard,
    shutdown: CancellationToken,
) {
    let app = axum::Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/status",
            get(|State(board): State<StatusBoard>| async move { board.answer() }),
        )
        .with_state(board.clone())
        .merge(scrape(vec![board]));
    listen(listener, app, shutdown).await;
}

/// Serves `/metrics` of all these roles, and nothing else, until `shutdown`.
pub async fn serve_metrics(
    listener: tokio::net::TcpListener,
    boards: Vec<StatusBoard>,
    shutdown: CancellationToken,
) {
    listen(listener, scrape(boards), shutdown).await;
}

/// `/metrics` of the roles that have said something.
fn scrape(boards: Vec<StatusBoard>) -> axum::Router {
    let answer = move || async move {
        let statuses: Vec<_> = boards.iter().filter_map(StatusBoard::snapshot).collect();
        (
            [(CONTENT_TYPE, metrics::CONTENT_TYPE)],
            metrics::encode(&statuses),
        )
    };
    axum::Router::new().route("/metrics", get(answer))
}

async fn listen(listener: tokio::net::TcpListener, app: axum::Router, shutdown: CancellationToken) {
    if let Err(error) = axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
    {
        tracing::warn!(%error, "a listener ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpipe_crds::worker_status::{AnalyzeStatus, RoleStatus, WorkerCondition, WorkerState};

    fn status(reason: &str, since: i64) -> WorkerStatus {
        WorkerStatus {
            version: "0.1.0".into(),
            pipeline: "default/us".into(),
            instance: "host/1".into(),
            started_at: Timestamp::UNIX_EPOCH,
            state: WorkerState::Running,
            conditions: vec![WorkerCondition {
                kind: "Healthy".into(),
                ok: false,
                reason: reason.into(),
                message: String::new(),
                since: Timestamp::from_second(since).unwrap(),
            }],
            role: RoleStatus::Analyze(AnalyzeStatus::default()),
        }
    }

    #[test]
    fn a_condition_keeps_its_since_while_its_reason_stays() {
        let board = StatusBoard::new("analyze");
        for (reason, at, since) in [
            ("KafkaUnreachable", 5, 5),
            ("KafkaUnreachable", 6, 5),
            ("LakeUnreadable", 7, 7),
            ("KafkaUnreachable", 8, 8),
        ] {
            board.publish(status(reason, at));
            let shown = board.snapshot().unwrap().conditions[0].since;
            assert_eq!(shown.as_second(), since, "{reason} at {at}");
        }
    }

    #[test]
    fn a_role_that_has_said_nothing_yet_is_not_there_yet() {
        let board = StatusBoard::new("analyze");
        assert_eq!(board.answer().status(), StatusCode::SERVICE_UNAVAILABLE);
        board.publish(status("LakeUnreadable", 1));
        assert_eq!(board.answer().status(), StatusCode::OK);
    }
}
