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
    let forged = "/bucket/k?AWSAccessKeyId={}&Signature=y&Expires=9999999999"
        .replace("{}", &s3.credentials.access_key_id);
    let v2 = reqwest::get(s3.url(&forged)).await.unwrap();
    assert_eq!(v2.status(), 403);
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

/// boto3 and the aws CLI presign with Signature Version 2 unless told otherwise:
/// HMAC-SHA1 over method, expiry and path.
#[tokio::test]
async fn presigned_urls_of_boto3_work_until_they_expire() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    s3.put("k", "hello").await;
    let now = jiff::Timestamp::now().as_second();
    let good = reqwest::get(presigned_v2(&s3, "/bucket/k", "", now + 60))
        .await
        .unwrap();
    assert_eq!(good.text().await.unwrap(), "hello");
    let expired = reqwest::get(presigned_v2(&s3, "/bucket/k", "", now - 1))
        .await
        .unwrap();
    assert_eq!(expired.status(), 403);
    s3.stop().await;
}

/// A URL for a GET that is presigned as boto3 does it, until `expires`.
pub(super) fn presigned_v2(s3: &Running, path: &str, query: &str, expires: i64) -> String {
    let signature = hmac_sha1(
        &s3.credentials.secret_access_key,
        &format!("GET\n\n\n{expires}\n{path}"),
    );
    let signed = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("AWSAccessKeyId", &s3.credentials.access_key_id)
        .append_pair("Signature", &signature)
        .append_pair("Expires", &expires.to_string())
        .finish();
    s3.url(&format!("{path}?{query}&{signed}"))
}

/// HMAC by its definition (RFC 2104), as base64.
fn hmac_sha1(key: &str, text: &str) -> String {
    use base64::Engine as _;
    use s3s::crypto::{Checksum as _, Sha1};
    let pad = |with: u8| -> Vec<u8> {
        (0..64)
            .map(|at| key.as_bytes().get(at).copied().unwrap_or(0) ^ with)
            .collect()
    };
    let inner = Sha1::checksum(&[pad(0x36), text.as_bytes().to_vec()].concat());
    let outer = Sha1::checksum(&[pad(0x5c), AsRef::<[u8]>::as_ref(&inner).to_vec()].concat());
    base64::engine::general_purpose::STANDARD.encode(outer)
}
