//! A proxy in front of the API server that fails as API servers do: it refuses
//! requests, carries others out and loses the answer, and cuts watches.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use hyper::body::Bytes;
use kube::Client;
use serde_json::json;

/// Longest body that is passed on, in bytes.
const LONGEST: usize = 4 << 20;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It is refused with this code, and not carried out.
    Refused(u16),
    /// It is carried out, and answered with this code all the same.
    Lost(u16),
}

/// A proxy that listens on loopback, without TLS.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    upstream: Client,
    seed: u64,
    faulty: AtomicBool,
    /// Whether renewals of a Lease are left unanswered.
    deaf: AtomicBool,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    /// Requests so far, by method and path.
    asked: BTreeMap<String, u64>,
    /// Objects that were made, by path.
    made: BTreeMap<String, u32>,
    /// Faults, by what they were.
    faults: BTreeMap<String, u32>,
    /// When something but a Lease was written, and what.
    written: Vec<(Instant, String)>,
}

impl Proxy {
    /// Starts one in front of `upstream`; `seed` decides what fails.
    pub(crate) async fn start(upstream: Client, seed: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            upstream,
            seed,
            faulty: AtomicBool::new(true),
            deaf: AtomicBool::new(false),
            log: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, inner }
    }

    /// From now on nothing fails.
    pub(crate) fn heal(&self) {
        self.inner.faulty.store(false, Ordering::Relaxed);
    }

    /// From now on no renewal of a Lease is answered, nor carried out.
    pub(crate) fn renew_nothing(&self) {
        self.inner.deaf.store(true, Ordering::Relaxed);
    }

    /// When something but a Lease was written, and what.
    pub(crate) fn written(&self) -> Vec<(Instant, String)> {
        self.inner.log.lock().unwrap().written.clone()
    }

    /// Faults so far, as `refused 409`, `lost 500`, `watch cut`.
    pub(crate) fn faults(&self) -> BTreeMap<String, u32> {
        self.inner.log.lock().unwrap().faults.clone()
    }

    /// Objects that the API server made, as `jobs/demo-provision-1`, and how
    /// often.
    pub(crate) fn made(&self) -> BTreeMap<String, u32> {
        self.inner.log.lock().unwrap().made.clone()
    }
}

impl Inner {
    /// A number that follows from the seed, the request and how often it came:
    /// not from who else asks at the same time.
    fn dice(&self, key: &str, number: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, key, number).hash(&mut hasher);
        hasher.finish()
    }

    /// How often this request came before.
    fn count(&self, key: &str) -> u64 {
        let mut log = self.log.lock().unwrap();
        let asked = log.asked.entry(key.to_owned()).or_default();
        *asked += 1;
        *asked - 1
    }

    fn note(&self, fault: String) {
        *self.log.lock().unwrap().faults.entry(fault).or_default() += 1;
    }

    /// What happens to the request. Every third of its like passes, so that
    /// nothing fails for ever.
    fn fault(&self, key: &str, number: u64) -> Option<Fault> {
        if !self.faulty.load(Ordering::Relaxed) || number % 3 == 2 {
            return None;
        }
        match self.dice(key, number) % 100 {
            0..=4 => Some(Fault::Refused(409)),
            5..=8 => Some(Fault::Refused(429)),
            9..=11 => Some(Fault::Refused(500)),
            12..=14 => Some(Fault::Refused(503)),
            15..=17 => Some(Fault::Lost(500)),
            18..=20 => Some(Fault::Lost(503)),
            _ => None,
        }
    }
}

async fn pass(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let key = format!("{} {}", request.method(), request.uri().path());
    let number = inner.count(&key);
    let (method, path) = (request.method(), request.uri().path());
    let lease = path.contains("/leases");
    if lease && method == Method::PUT && inner.deaf.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    if !lease && method != Method::GET && !path.starts_with("/apis/authorization.k8s.io/") {
        let mut log = inner.log.lock().unwrap();
        log.written.push((Instant::now(), key.clone()));
    }
    let watches = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch="));
    let fault = inner.fault(&key, number);
    if let Some(Fault::Refused(code)) = fault {
        inner.note(format!("refused {code}"));
        return failure(code);
    }
    let answer = match forward(&inner, request).await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error).into_response(),
    };
    match fault {
        Some(Fault::Lost(code)) => {
            inner.note(format!("lost {code}"));
            failure(code)
        }
        _ if watches && inner.faulty.load(Ordering::Relaxed) => {
            // Some are cut at once, some after a while, in the midst of a line.
            let bytes = inner.dice(&key, number) % 20_000;
            cut(inner, answer, usize::try_from(bytes).unwrap())
        }
        _ => answer,
    }
}

async fn forward(inner: &Inner, request: Request) -> Result<Response, String> {
    let creates = request.method() == Method::POST;
    let path = request.uri().path().to_owned();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LONGEST)
        .await
        .map_err(|error| error.to_string())?;
    let sent: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut passed = hyper::Request::builder()
        .method(parts.method)
        .uri(parts.uri.path_and_query().map_or("/", |path| path.as_str()));
    for name in [header::ACCEPT, header::CONTENT_TYPE] {
        if let Some(value) = parts.headers.get(&name) {
            passed = passed.header(name, value);
        }
    }
    let passed = passed
        .body(kube::client::Body::from(body.to_vec()))
        .map_err(|error| error.to_string())?;
    let answer = inner
        .upstream
        .send(passed)
        .await
        .map_err(|error| error.to_string())?;
    if creates && answer.status() == StatusCode::CREATED {
        let plural = path.rsplit('/').next().unwrap_or_default();
        let name = sent["metadata"]["name"].as_str().unwrap_or_default();
        let made = format!("{plural}/{name}");
        *inner.log.lock().unwrap().made.entry(made).or_default() += 1;
    }
    let (mut parts, body) = answer.into_parts();
    // How the body is framed is this connection's business.
    for name in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    Ok(Response::from_parts(parts, Body::new(body)))
}

/// A refusal as the API server words it.
fn failure(code: u16) -> Response {
    let reason = match code {
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": format!("the test's {code}"),
    });
    let code = StatusCode::from_u16(code).unwrap();
    if code == StatusCode::TOO_MANY_REQUESTS {
        status["details"] = json!({"retryAfterSeconds": 1});
        return (code, [(header::RETRY_AFTER, "1")], axum::Json(status)).into_response();
    }
    (code, axum::Json(status)).into_response()
}

/// Ends the connection of a watch after so many bytes, in the midst of an event.
/// What was cut off comes again when the watch goes on.
fn cut(inner: Arc<Inner>, answer: Response, bytes: usize) -> Response {
    let (parts, body) = answer.into_parts();
    let mut left = bytes;
    let body = body.into_data_stream().flat_map(move |chunk| {
        let pieces: Vec<Result<Bytes, std::io::Error>> = match chunk {
            Err(error) => vec![Err(std::io::Error::other(error))],
            Ok(chunk) if chunk.len() <= left || !inner.faulty.load(Ordering::Relaxed) => {
                left = left.saturating_sub(chunk.len());
                vec![Ok(chunk)]
            }
            Ok(chunk) => {
                inner.note("watch cut".to_owned());
                let end = Err(std::io::Error::other("cut"));
                // At once: an event that were held back would be no fault that heals.
                [Ok(chunk.slice(..left)), end]
                    .into_iter()
                    .filter(|piece| !piece.as_ref().is_ok_and(Bytes::is_empty))
                    .collect()
            }
        };
        futures::stream::iter(pieces)
    });
    Response::from_parts(parts, Body::from_stream(body))
}
