//! S3 as a service of HTTP requests.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3Result, StdError, s3_error};
use uuid::Uuid;

use super::api::Api;
use super::rechunk::Rechunk;
use super::store::Store;
use crate::credentials::Credentials;

/// How much of a body is read after it was refused, bytes, so that a client
/// that writes before it reads gets to see why.
const DRAIN: u64 = 64 << 20;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// S3 on a store, with every request signed by one access key (SigV4 in a
/// header or a presigned URL).
#[derive(Clone)]
pub struct Service {
    inner: S3Service,
}

/// Serves a store to the holder of an access key.
pub fn service(store: &Arc<Store>, credentials: &Credentials) -> Service {
    let mut builder = S3ServiceBuilder::new(Api {
        store: Arc::clone(store),
    });
    builder.set_auth(OneKey(credentials.clone()));
    Service {
        inner: builder.build(),
    }
}

struct OneKey(Credentials);

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.0.access_key_id {
            Ok(SecretKey::from(self.0.secret_access_key.as_str()))
        } else {
            Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS access key Id you provided does not exist in our records."
            ))
        }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// Answers one request. Errors of S3 are answers.
    pub async fn call(&self, request: Request<Incoming>) -> Response<Body> {
        let rest = Arc::new(Mutex::new(None));
        let mut response = if is_signature_v2(&request) {
            let (_, body) = request.into_parts();
            put_back(&rest, body);
            refused(s3_error!(
                InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
            ))
        } else {
            let request = request_of(request, &rest);
            match self.inner.call(request).await {
                Ok(response) => response,
                Err(failure) => {
                    tracing::error!(?failure, "S3 could not answer a request");
                    refused(s3_error!(
                        InternalError,
                        "The request could not be answered."
                    ))
                }
            }
        };
        if !response.status().is_success() {
            drain(&rest).await;
        }
        let id = Uuid::new_v4().as_simple().to_string().to_uppercase();
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert("x-amz-request-id", id);
        }
        response
    }
}

fn refused(error: s3s::S3Error) -> Response<Body> {
    error.to_http_response().unwrap_or_else(|failure| {
        tracing::error!(%failure, "an error of S3 could not be written");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Signature Version 2 in a header says nothing of when it expires, so that a
/// request could be sent again at any time. In a presigned URL it does, and
/// boto3 and the aws CLI still make such URLs; s3s verifies them.
fn is_signature_v2(request: &Request<Incoming>) -> bool {
    request
        .headers()
        .get(http::header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes().starts_with(b"AWS "))
}

/// The request as s3s takes it, with a body that can be drained afterwards.
fn request_of(request: Request<Incoming>, rest: &Rest) -> Request<Body> {
    let (parts, body) = request.into_parts();
    let payload = Payload {
        rechunk: rechunk_of(&parts.headers),
        ready: VecDeque::new(),
        body: Some(body),
        rest: Arc::clone(rest),
    };
    let body = match payload.body.as_ref().map(Incoming::size_hint) {
        // Nothing is to come: let s3s know.
        Some(hint) if hint.exact() == Some(0) => Body::empty(),
        _ => s3s::dto::StreamingBlob::new(payload).into(),
    };
    Request::from_parts(parts, body)
}

fn rechunk_of(headers: &HeaderMap) -> Option<Rechunk> {
    let value = headers.get("x-amz-content-sha256")?.to_str().ok()?;
    match value.strip_prefix("STREAMING-")? {
        "UNSIGNED-PAYLOAD-TRAILER" => Some(Rechunk::new(false)),
        _ => Some(Rechunk::new(true)),
    }
}

type Rest = Arc<Mutex<Option<Incoming>>>;

fn put_back(rest: &Rest, body: Incoming) {
    *rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
}

/// Reads on, up to a limit, what a refused request is still sending.
async fn drain(rest: &Rest) {
    let body = rest.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut body) = body else { return };
    let read = async {
        let mut left = DRAIN;
        while let Some(Ok(frame)) = body.frame().await {
            let len = frame.data_ref().map_or(0, Bytes::len) as u64;
            if len > left {
                break;
            }
            left -= len;
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

/// A request's body. What is not read of it is put back when it is dropped.
struct Payload {
    body: Option<Incoming>,
    rechunk: Option<Rechunk>,
    ready: VecDeque<Bytes>,
    rest: Rest,
}

impl Stream for Payload {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            let frame = match std::task::ready!(Pin::new(body).poll_frame(context)) {
                None => {
                    this.body = None;
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    this.body = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Ok(frame)) => frame,
            };
            // HTTP trailers carry nothing: those of S3 are in the body.
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            match &mut this.rechunk {
                None => this.ready.push_back(bytes),
                Some(rechunk) => match rechunk.push(bytes) {
                    Ok(pieces) => this.ready.extend(pieces),
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                },
            }
        }
    }
}

impl s3s::stream::ByteStream for Payload {
    fn remaining_length(&self) -> s3s::stream::RemainingLength {
        match (&self.rechunk, &self.body) {
            (None, Some(body)) => body.size_hint().into(),
            (None, None) => s3s::stream::RemainingLength::new_exact(0),
            (Some(_), _) => s3s::stream::RemainingLength::unknown(),
        }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            put_back(&self.rest, body);
        }
    }
}
