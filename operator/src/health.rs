//! `/healthz`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::SharedMetrics;
use crate::readiness::Readiness;

/// Why the listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; free the port or choose another with --listen")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Opens the listener.
///
/// # Errors
/// Where the port is taken or the address is not ours.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ListenError { address, source })
}

/// Serves until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    readiness: Arc<Readiness>,
    metrics: SharedMetrics,
    shutdown: CancellationToken,
) {
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(text).with_state(metrics));
    let served = axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!("the health listener ended: {error}");
    }
}

async fn readyz(State(readiness): State<Arc<Readiness>>) -> impl IntoResponse {
    let waiting = readiness.waiting();
    if waiting.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let lines: String = waiting
        .iter()
        .map(|what| format!("waits for {what}\n"))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

async fn text(State(metrics): State<SharedMetrics>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.encode())
}
