//! aws-chunked bodies with trailers, as SDKs stream them, and broken ones.

use std::io::Write as _;
use std::time::SystemTime;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Running, bytes};

const UNSIGNED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

/// The SDK streams a file with signed chunks and a signed trailer over HTTP.
#[tokio::test]
async fn sdk_streams_a_file_with_a_trailer() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let data = bytes(5_000_000);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&data).unwrap();
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha256,
    ] {
        s3.client
            .put_object()
            .bucket("bucket")
            .key("k")
            .checksum_algorithm(algorithm)
            .body(ByteStream::from_path(file.path()).await.unwrap())
            .send()
            .await
            .unwrap();
        let got = s3
            .client
            .get_object()
            .bucket("bucket")
            .key("k")
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        assert_eq!(got.content_encoding(), None);
        assert!(got.body.collect().await.unwrap().to_vec() == data);
    }
    s3.wait_for_blobs(1).await;
    s3.stop().await;
}

/// Sends a PUT whose body is encoded by the test. `encode` gets the
/// signature of the headers.
async fn put_encoded(
    s3: &Running,
    payload: &str,
    headers: &[(&str, &str)],
    encode: impl FnOnce(&aws_sigv4::sign::v4::SigningParams<'_, ()>, &str) -> Vec<u8>,
) -> (u16, String) {
    let url = s3.url("/bucket/k");
    let identity = aws_credential_types::Credentials::new(
        &s3.credentials.access_key_id,
        &s3.credentials.secret_access_key,
        None,
        None,
        "test",
    )
    .into();
    let time = SystemTime::now();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(time)
        .settings(settings)
        .build()
        .unwrap();
    let chunk_params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(time)
        .settings(())
        .build()
        .unwrap();
    let signable = SignableRequest::new(
        "PUT",
        &url,
        headers.iter().copied(),
        SignableBody::Precomputed(payload.to_owned()),
    )
    .unwrap();
    let (instructions, signature) = sign(signable, &params.into()).unwrap().into_parts();
    let body = encode(&chunk_params, &signature);
    let mut request = http::Request::put(&url).body(body).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(
            http::HeaderName::try_from(*name).unwrap(),
            value.parse().unwrap(),
        );
    }
    instructions.apply_to_request_http1x(&mut request);
    let (parts, body) = request.into_parts();
    let answer = reqwest::Client::new()
        .put(&url)
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn crc32(data: &[u8]) -> String {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, data) as u32;
    BASE64.encode(crc.to_be_bytes())
}

/// A body in one chunk, however large, as the SDK for Go sends it.
fn unsigned(data: &[u8], trailer: &str) -> Vec<u8> {
    [
        format!("{:x}\r\n", data.len()).as_bytes(),
        data,
        format!("\r\n0\r\n{trailer}\r\n").as_bytes(),
    ]
    .concat()
}

#[tokio::test]
async fn unsigned_chunk_of_any_size_is_verified_by_its_trailer() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let data = bytes(3_000_000);
    let trailer = format!("x-amz-checksum-crc32:{}\r\n", crc32(&data));
    let headers = [
        ("x-amz-decoded-content-length", "3000000"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("content-encoding", "aws-chunked"),
    ];
    let (status, answer) =
        put_encoded(&s3, UNSIGNED, &headers, |_, _| unsigned(&data, &trailer)).await;
    assert_eq!(status, 200, "{answer}");
    assert!(s3.get("k").await == data);

    // What is wrong in any way does not replace it.
    let wrong = format!("x-amz-checksum-crc32:{}\r\n", crc32(b"other"));
    let (status, answer) =
        put_encoded(&s3, UNSIGNED, &headers, |_, _| unsigned(&data, &wrong)).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("<Code>BadDigest</Code>"), "{answer}");
    let (status, answer) = put_encoded(&s3, UNSIGNED, &headers, |_, _| unsigned(&data, "")).await;
    assert_eq!(status, 400);
    assert!(answer.contains("ended without it"), "{answer}");
    let (status, answer) = put_encoded(&s3, UNSIGNED, &headers, |_, _| {
        unsigned(&data[1..], &trailer)
    })
    .await;
    assert_eq!(status, 400);
    assert!(answer.contains("<Code>IncompleteBody</Code>"), "{answer}");
    // Cut off at the end of a chunk.
    let (status, answer) = put_encoded(&s3, UNSIGNED, &headers, |_, _| {
        let mut body = unsigned(&data, &trailer);
        body.truncate(body.len() - trailer.len() - "0\r\n\r\n".len());
        body
    })
    .await;
    assert_eq!(status, 400, "{answer}");
    assert!(s3.get("k").await == data);
    s3.wait_for_blobs(1).await;
    s3.stop().await;
}

#[tokio::test]
async fn signed_chunks_are_verified_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let data = bytes(200_000);
    let headers = [("x-amz-decoded-content-length", "200000")];
    let encode = |forged: bool| {
        let data = data.clone();
        move |params: &aws_sigv4::sign::v4::SigningParams<'_, ()>, seed: &str| {
            let mut body = Vec::new();
            let mut signature = seed.to_owned();
            for chunk in data.chunks(65_536).chain([&[] as &[u8]]) {
                let chunk = bytes::Bytes::copy_from_slice(chunk);
                let signed = aws_sigv4::sign::v4::sign_chunk(&chunk, &signature, params).unwrap();
                signature = signed.signature().to_owned();
                write!(body, "{:x};chunk-signature={signature}\r\n", chunk.len()).unwrap();
                body.extend_from_slice(&chunk);
                body.extend_from_slice(b"\r\n");
            }
            if forged {
                body[100_000] ^= 1;
            }
            body
        }
    };
    let (status, answer) = put_encoded(&s3, SIGNED, &headers, encode(false)).await;
    assert_eq!(status, 200, "{answer}");
    assert!(s3.get("k").await == data);
    let (status, answer) = put_encoded(&s3, SIGNED, &headers, encode(true)).await;
    assert_eq!(status, 403, "{answer}");
    assert!(
        answer.contains("<Code>SignatureDoesNotMatch</Code>"),
        "{answer}"
    );
    s3.wait_for_blobs(1).await;
    s3.stop().await;
}

#[tokio::test]
async fn body_that_is_not_the_signed_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let hash = {
        use s3s::crypto::Checksum as _;
        hex::encode(s3s::crypto::Sha256::checksum(b"signed"))
    };
    let (status, _) = put_encoded(&s3, &hash, &[], |_, _| b"signed".to_vec()).await;
    assert_eq!(status, 200);
    let (status, answer) = put_encoded(&s3, &hash, &[], |_, _| b"forged".to_vec()).await;
    assert_eq!(status, 400);
    assert!(
        answer.contains("<Code>XAmzContentSHA256Mismatch</Code>"),
        "{answer}"
    );
    assert_eq!(s3.get("k").await, b"signed");
    s3.stop().await;
}
