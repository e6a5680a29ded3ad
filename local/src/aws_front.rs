//! One port for S3, Glue, Athena and a little STS.
//!
//! A request is routed by its `X-Amz-Target` and by the service that its
//! signature is scoped to; the two must agree. Every request is signed, and
//! its Host must be ours: a page in a browser can send requests to loopback
//! addresses (DNS rebinding), and a Glue job runs code. For the same reason no
//! CORS header is ever sent.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use s3s::Body;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::aws_json::{AwsError, JsonService};
use crate::credentials::Credentials;
use crate::s3::{self, Store};
use crate::sigv4::{self, Scope, SignedRequest};

/// Largest body of a JSON request, bytes.
const JSON_LIMIT: usize = 4 << 20;
/// How long requests under way may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(10);
/// How often lifecycle rules are carried out.
const HOUSEKEEPING: Duration = Duration::from_secs(60 * 60);
/// The account of the local cloud.
const ACCOUNT: &str = "000000000000";

/// Why the front could not start.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// Another program has the port.
    #[error("port {} on {} is taken by another program: stop it, or choose another port", addr.port(), addr.ip())]
    PortTaken {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr} for the AWS APIs: {source}")]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// A bound port, not served yet. Athena reaches S3 and Glue by the address of
/// the front that it is itself behind, so the address comes first.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// Binds an address; port 0 takes any free port.
    ///
    /// # Errors
    /// When the port is taken or the address is not this machine's.
    pub async fn bind(addr: SocketAddr) -> Result<Self, FrontError> {
        let listener = TcpListener::bind(addr)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => FrontError::PortTaken { addr },
                _ => FrontError::Listen { addr, source },
            })?;
        let addr = listener
            .local_addr()
            .map_err(|source| FrontError::Listen { addr, source })?;
        Ok(Self { listener, addr })
    }

    /// The address, with the port that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// What stands behind the front.
#[derive(Clone)]
pub struct Services {
    /// S3.
    pub store: Arc<Store>,
    /// Glue.
    pub glue: Arc<dyn JsonService>,
    /// Athena.
    pub athena: Arc<dyn JsonService>,
    /// The access key that signs every request.
    pub credentials: Credentials,
    /// Names by which clients may reach the front besides loopback ones, each
    /// `host` or `host:port`: that of its Service on a cluster, for instance.
    pub hosts: Vec<String>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// The front, serving.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Binds an address and serves it.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn start(
        listen: SocketAddr,
        store: Arc<Store>,
        glue: Arc<dyn JsonService>,
        athena: Arc<dyn JsonService>,
        credentials: Credentials,
    ) -> Result<Self, FrontError> {
        let services = Services {
            store,
            glue,
            athena,
            credentials,
            hosts: Vec::new(),
        };
        Ok(Self::serve(Listener::bind(listen).await?, services))
    }

    /// Serves a bound port until it is shut down.
    pub fn serve(listener: Listener, services: Services) -> Self {
        let stop = CancellationToken::new();
        let front = Arc::new(Front {
            s3: s3::service(&services.store, &services.credentials),
            services,
        });
        Self {
            addr: listener.addr,
            stop: stop.clone(),
            task: tokio::spawn(front.accept(listener.listener, stop)),
        }
    }

    /// The address, with the port that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no more requests, and waits up to ten seconds for those under way.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(panic) = self.task.await {
            tracing::error!(%panic, "the AWS front ended badly");
        }
    }
}

struct Front {
    s3: s3::Service,
    services: Services,
}

impl Front {
    async fn accept(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(housekeeping(Arc::clone(&self.services.store), stop.clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tasks.spawn(Arc::clone(&self).serve_connection(stream, stop.clone()));
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: let some close.
                        tracing::warn!(%error, "cannot accept a connection to the AWS APIs");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = tasks.join_next() => {}
            }
        }
        drop(listener);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            tracing::warn!("requests to the AWS APIs were cut off at shutdown");
        }
    }

    async fn serve_connection(self: Arc<Self>, stream: TcpStream, stop: CancellationToken) {
        // Answers are small and waited for.
        let _ = stream.set_nodelay(true);
        let Ok(local) = stream.local_addr() else {
            return;
        };
        let answer = service_fn(|request| {
            let front = Arc::clone(&self);
            async move { Ok::<_, Infallible>(front.answer(request, local).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the AWS APIs ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>, local: SocketAddr) -> Response<Body> {
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| is_our_host(host, local, &self.services.hosts)) {
            return text(
                StatusCode::FORBIDDEN,
                "The Host header names another server: use the address that this server printed, and path-style addressing for S3.",
            );
        }
        let target = request
            .headers()
            .get("x-amz-target")
            .map(|target| target.to_str().unwrap_or_default().to_owned());
        let service =
            Scope::of_request(request.headers(), request.uri()).map(|scope| scope.service);
        match (target, service.as_deref()) {
            (Some(target), _) => json_answer(self.json(&target, request).await),
            (None, None | Some("s3")) => self.s3.call(request).await,
            (None, Some("sts")) => self.sts(request).await,
            (None, Some(other)) => json_answer(Err(AwsError::client(
                "UnknownOperationException",
                format!(
                    "The request is signed for the service {other} and names no operation in X-Amz-Target."
                ),
            ))),
        }
    }

    async fn json(&self, target: &str, request: Request<Incoming>) -> Result<Value, AwsError> {
        let (name, service, op) = match target.split_once('.') {
            Some(("AWSGlue", op)) => ("glue", &self.services.glue, op),
            Some(("AmazonAthena", op)) => ("athena", &self.services.athena, op),
            _ => {
                return Err(AwsError::client(
                    "UnknownOperationException",
                    format!(
                        "There is no operation {target} here: the services are AWSGlue and AmazonAthena."
                    ),
                ));
            }
        };
        let body = self.verified(name, request).await?;
        let body = if body.is_empty() {
            Value::Object(serde_json::Map::new())
        } else {
            serde_json::from_slice(&body).map_err(|error| {
                AwsError::client(
                    "SerializationException",
                    format!("The body is not JSON: {error}."),
                )
            })?
        };
        if !body.is_object() {
            return Err(AwsError::client(
                "SerializationException",
                "The body is not a JSON object.",
            ));
        }
        // A task of its own: a client that goes away does not stop a change
        // halfway, and a panic is an answer.
        let (service, op) = (Arc::clone(service), op.to_owned());
        let running = tokio::spawn(async move { service.handle(&op, body).await });
        running.await.unwrap_or_else(|panic| {
            tracing::error!(%panic, target, "an operation of the AWS APIs panicked");
            Err(AwsError::internal("The operation failed unexpectedly."))
        })
    }

    /// The body of a request, once its signature is verified to be ours and
    /// for that service.
    async fn verified(&self, service: &str, request: Request<Incoming>) -> Result<Bytes, AwsError> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, JSON_LIMIT)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    AwsError::with_status(
                        413,
                        "RequestEntityTooLargeException",
                        format!("The body has more than {JSON_LIMIT} bytes."),
                    )
                } else {
                    AwsError::client("SerializationException", "The body ended early.")
                }
            })?
            .to_bytes();
        let signed = SignedRequest {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            body: &body,
        };
        let scope = sigv4::verify(&signed, &self.services.credentials, Timestamp::now())?;
        if scope.service != service {
            return Err(AwsError::client(
                "InvalidSignatureException",
                format!(
                    "Credential should be scoped to correct service: '{service}', and is to '{}'.",
                    scope.service
                ),
            ));
        }
        if parts.method != Method::POST {
            return Err(AwsError::client(
                "UnknownOperationException",
                "Operations are sent by POST.",
            ));
        }
        Ok(body)
    }

    /// GetCallerIdentity, by which tools find out whether a key is good.
    async fn sts(&self, request: Request<Incoming>) -> Response<Body> {
        let answer = self.verified("sts", request).await.and_then(|body| {
            let action = url::form_urlencoded::parse(&body)
                .find(|(name, _)| name == "Action")
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default();
            if action == "GetCallerIdentity" {
                Ok(())
            } else {
                Err(AwsError::client(
                    "InvalidAction",
                    format!("Could not find operation {action}: STS has GetCallerIdentity here."),
                ))
            }
        });
        let id = Uuid::new_v4();
        let (status, body) = match answer {
            Ok(()) => (
                StatusCode::OK,
                format!(
                    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:user/stockpipe</Arn><UserId>{}</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
                    self.services.credentials.access_key_id
                ),
            ),
            Err(error) => (
                status_of(&error),
                format!(
                    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>",
                    error.code.trim_end_matches("Exception"),
                    error.message.replace('&', "&amp;").replace('<', "&lt;")
                ),
            ),
        };
        answer_of(status, "text/xml", body.into_bytes())
    }
}

/// Carries out lifecycle rules now and then.
async fn housekeeping(store: Arc<Store>, stop: CancellationToken) {
    loop {
        if let Err(error) = store
            .abort_stale_uploads(Timestamp::now().as_millisecond())
            .await
        {
            tracing::warn!(%error, "lifecycle rules could not be carried out");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HOUSEKEEPING) => {}
        }
    }
}

/// Whether a Host header names this server: a loopback name or address, or
/// the very address that the connection came to, with our port; or a name
/// that is configured.
fn is_our_host(host: &str, local: SocketAddr, configured: &[String]) -> bool {
    let host = host.to_ascii_lowercase();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => match port.parse::<u16>() {
            Ok(port) => (name, Some(port)),
            Err(_) => return false,
        },
        _ => (host.as_str(), None),
    };
    if configured
        .iter()
        .map(|known| known.to_ascii_lowercase())
        .any(|known| known == host || known == name)
    {
        return true;
    }
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name)
        .parse::<IpAddr>();
    let ours = match address {
        Ok(address) => address.is_loopback() || address == local.ip(),
        Err(_) => name == "localhost",
    };
    ours && port.unwrap_or(80) == local.port()
}

fn status_of(error: &AwsError) -> StatusCode {
    StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn json_answer(answer: Result<Value, AwsError>) -> Response<Body> {
    let (status, body, code) = match &answer {
        Ok(body) => (StatusCode::OK, body.to_string(), None),
        Err(error) => (status_of(error), error.body().to_string(), Some(error.code)),
    };
    let mut response = answer_of(status, "application/x-amz-json-1.1", body.into_bytes());
    if let Some(code) = code {
        response
            .headers_mut()
            .insert("x-amzn-errortype", HeaderValue::from_static(code));
    }
    response
}

fn text(status: StatusCode, sentence: &'static str) -> Response<Body> {
    answer_of(status, "text/plain", format!("{sentence}\n").into_bytes())
}

fn answer_of(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::try_from(Uuid::new_v4().to_string()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

#[cfg(test)]
#[path = "aws_front/tests.rs"]
mod tests;
