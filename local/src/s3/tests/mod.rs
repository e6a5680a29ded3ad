//! End to end: the AWS SDK for Rust against the front, on a free port.

mod access;
mod chunked;
mod durability;
mod listings;
mod objects;
mod throughput;
mod uploads;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials as SdkCredentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use serde_json::Value;

use super::{Durability, Store};
use crate::aws_front::Server;
use crate::aws_json::{AwsError, JsonService};
use crate::credentials::Credentials;

/// A service that has no operation: these tests are about S3.
struct Absent;

#[async_trait]
impl JsonService for Absent {
    async fn handle(&self, op: &str, _: Value) -> Result<Value, AwsError> {
        Err(AwsError::unknown_operation("Absent", op))
    }
}

/// A running store with the bucket `bucket` in it.
struct Running {
    server: Server,
    store: Arc<Store>,
    credentials: Credentials,
    client: Client,
}

impl Running {
    async fn start(dir: &Path) -> Self {
        Self::start_as(dir, Durability::Kill).await
    }

    async fn start_as(dir: &Path, durability: Durability) -> Self {
        let credentials = Credentials::load_or_generate(dir).unwrap();
        let store = Store::open(&dir.join("s3"), durability).unwrap();
        let server = Server::start(
            "127.0.0.1:0".parse().unwrap(),
            Arc::clone(&store),
            Arc::new(Absent),
            Arc::new(Absent),
            credentials.clone(),
        )
        .await
        .unwrap();
        let client = client(&server.addr().to_string(), &credentials);
        match client.create_bucket().bucket("bucket").send().await {
            Ok(_) => {}
            Err(error) => assert_eq!(code(&error), "BucketAlreadyOwnedByYou"),
        }
        Self {
            server,
            store,
            credentials,
            client,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.addr())
    }

    async fn stop(self) {
        self.server.shutdown().await;
        drop(self.store);
    }

    async fn put(&self, key: &str, body: impl Into<Vec<u8>>) {
        self.client
            .put_object()
            .bucket("bucket")
            .key(key)
            .body(ByteStream::from(body.into()))
            .send()
            .await
            .unwrap();
    }

    async fn get(&self, key: &str) -> Vec<u8> {
        let got = self
            .client
            .get_object()
            .bucket("bucket")
            .key(key)
            .send()
            .await
            .unwrap();
        got.body.collect().await.unwrap().to_vec()
    }

    /// Waits until exactly so many blob files are left.
    async fn wait_for_blobs(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.store.blobs().count() != count {
            assert!(
                Instant::now() < deadline,
                "there are {} blob files, not {count}",
                self.store.blobs().count()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn client(authority: &str, credentials: &Credentials) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{authority}"))
        .region(Region::new("us-east-1"))
        .credentials_provider(SdkCredentials::new(
            &credentials.access_key_id,
            &credentials.secret_access_key,
            None,
            None,
            "test",
        ))
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

/// The S3 code of an SDK error, or its HTTP status where there is no body.
fn code<E: ProvideErrorMetadata + std::fmt::Debug>(
    error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> String {
    error.code().map(str::to_owned).unwrap_or_else(|| {
        error.raw_response().map_or_else(
            || format!("{error:?}"),
            |response| response.status().as_u16().to_string(),
        )
    })
}

/// Bytes that repeat with no power of two.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}
