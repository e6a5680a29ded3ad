//! What a running `up` tells the commands beside it, on a loopback port of its own.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stockpipe_crds::worker_status::WorkerStatus;
use stockpipe_workers::status::StatusBoard;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A pipeline at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its name.
    pub pipeline: String,
    /// When `up` started.
    pub started_at: Timestamp,
    /// URL of the page, where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The sentence about the newest report that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_report: Option<String>,
    /// What its roles say, the producer first.
    pub workers: Vec<WorkerStatus>,
}

/// Where the snapshots come from.
#[derive(Clone)]
pub struct Teller {
    pipeline: String,
    started_at: Timestamp,
    page: Option<String>,
    last_report: Arc<Mutex<Option<String>>>,
    boards: Arc<[StatusBoard]>,
}

impl Teller {
    /// Tells of `pipeline`, whose roles show on `boards`.
    #[must_use]
    pub fn new(pipeline: &str, page: Option<String>, boards: Vec<StatusBoard>) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            started_at: Timestamp::now(),
            page,
            last_report: Arc::default(),
            boards: boards.into(),
        }
    }

    /// Keeps the sentence about a report that ended.
    pub fn reported(&self, line: &str) {
        *self
            .last_report
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(line.to_owned());
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            pipeline: self.pipeline.clone(),
            started_at: self.started_at,
            page: self.page.clone(),
            last_report: self
                .last_report
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            workers: self
                .boards
                .iter()
                .filter_map(StatusBoard::snapshot)
                .collect(),
        }
    }

    /// Serves `GET /snapshot` until `shutdown`.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let answer = |State(me): State<Self>| async move { Json(me.snapshot()) };
        let app = Router::new()
            .route("/snapshot", get(answer))
            .with_state(self);
        if let Err(error) = axum::serve(listener, app)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
        {
            tracing::warn!(%error, "the listener for `stockpipe top` ended");
        }
    }
}

/// The snapshot that the `up` at `addr` (`host:port`) gives now.
///
/// # Errors
/// Where nobody answers there, or something else does.
pub async fn ask(addr: &str) -> Result<Snapshot, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get("/snapshot")
        .header(http::header::HOST, addr)
        .body(Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.abort();
    if !status.is_success() {
        return Err(format!("{addr} answered {status}").into());
    }
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpipe_crds::worker_status::{ProduceStatus, RoleStatus, WorkerState};

    #[tokio::test]
    async fn a_snapshot_crosses_the_wire_as_it_was() {
        let board = StatusBoard::new("produce");
        board.publish(WorkerStatus {
            version: "0.1.0".into(),
            pipeline: "default/us".into(),
            instance: "host/1".into(),
            started_at: Timestamp::UNIX_EPOCH,
            state: WorkerState::Running,
            conditions: Vec::new(),
            role: RoleStatus::Produce(ProduceStatus {
                ticks_total: 7,
                ..ProduceStatus::default()
            }),
        });
        // A role that has said nothing yet is left out.
        let boards = vec![board, StatusBoard::new("land")];
        let teller = Teller::new("us", Some("http://127.0.0.1:8080".into()), boards);
        teller.reported("Report daily 2026-11-20: 8 rows");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let server = tokio::spawn(teller.clone().serve(listener, stop.clone()));
        let told = ask(&addr).await.unwrap();
        assert_eq!(told, teller.snapshot());
        assert_eq!(told.workers.len(), 1);
        stop.cancel();
        server.await.unwrap();
        assert!(ask(&addr).await.is_err(), "nobody is there any more");
    }
}
