//! Who may: only the holder of the access key.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;

use super::{Running, bytes, client, code};
use crate::credentials::Credentials;

#[tokio::test]
async fn wrong_keys_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let address = s3.server.addr().to_string();
    let wrong_secret = Credentials {
        secret_access_key: "wrong".to_owned(),
        ..s3.credentials.clone()
    };
    let stranger = Credentials::generate();
    for (credentials, expected) in [
        (wrong_secret, "SignatureDoesNotMatch"),
        (stranger, "InvalidAccessKeyId"),
    ] {
        let client = client(&address, &credentials);
        let refused = client.list_buckets().send().await;
        assert_eq!(code(&refused.unwrap_err()), expected);
        // With a body that is sent before the answer is read.
        let refused = client
            .put_object()
            .bucket("bucket")
            .key("k")
            .body(ByteStream::from(bytes(9_000_000)))
            .send()
            .await;
        assert_eq!(code(&refused.unwrap_err()), expected);
    }
    s3.stop().await;
}

#[tokio::test]
async fn unsigned_and_old_signatures_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    s3.put("k", "secret").await;
    let unsigned = reqwest::get(s3.url("/bucket/k")).await.unwrap();
    assert_eq!(unsigned.status(), 403);
    assert!(unsigned.headers().contains_key("x-amz-request-id"));
    assert!(
        unsigned
            .text()
            .await
            .unwrap()
            .contains("<Code>AccessDenied</Code>")
    );
    let http = reqwest::Client::new();
    let v2 = http
        .get(s3.url("/bucket/k"))
        .header(
            "Authorization",
            format!("AWS {}:x", s3.credentials.access_key_id),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(v2.status(), 400);
    assert!(
        v2.text()
            .await
            .unwrap()
            .contains("Please use AWS4-HMAC-SHA256")
    );
    let v2 = reqwest::get(s3.url("/bucket/k?AWSAccessKeyId=x&Signature=y&Expires=9999999999"))
        .await
        .unwrap();
    assert_eq!(v2.status(), 400);
    s3.stop().await;
}

#[tokio::test]
async fn presigned_urls_work_until_they_expire() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let lasting = || PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let put = s3
        .client
        .put_object()
        .bucket("bucket")
        .key("a b/é")
        .presigned(lasting())
        .await
        .unwrap();
    let http = reqwest::Client::new();
    let answer = http.put(put.uri()).body("hello").send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let get = s3
        .client
        .get_object()
        .bucket("bucket")
        .key("a b/é")
        .presigned(lasting())
        .await
        .unwrap();
    assert_eq!(
        reqwest::get(get.uri()).await.unwrap().text().await.unwrap(),
        "hello"
    );
    // A URL for one key does not open another.
    let other = get.uri().replace("a%20b", "c");
    assert_eq!(reqwest::get(other).await.unwrap().status(), 403);
    let past = PresigningConfig::builder()
        .start_time(std::time::SystemTime::now() - Duration::from_secs(120))
        .expires_in(Duration::from_secs(60))
        .build()
        .unwrap();
    let expired = s3
        .client
        .get_object()
        .bucket("bucket")
        .key("a b/é")
        .presigned(past)
        .await
        .unwrap();
    let answer = reqwest::get(expired.uri()).await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("Request has expired"));
    s3.stop().await;
}
