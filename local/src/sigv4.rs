//! AWS Signature Version 4, verified.
//!
//! For the services of the AWS JSON protocol; S3 requests are verified by
//! `s3s`, which knows the variants that only S3 has (presigned URLs, signed
//! chunks). <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use crate::aws_json::AwsError;
use crate::credentials::Credentials;

/// How far a request's clock may be from ours, seconds.
const CLOCK_SKEW: i64 = 15 * 60;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Headers that must be signed if they are there: those that decide what a
/// request does.
const MUST_SIGN: [&str; 4] = ["host", "x-amz-date", "x-amz-target", "x-amz-content-sha256"];

/// A request as it is verified.
#[derive(Debug)]
pub struct SignedRequest<'a> {
    /// HTTP method.
    pub method: &'a Method,
    /// Path and query as they were sent.
    pub uri: &'a Uri,
    /// Headers as they were sent.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// The scope of a credential: `<key>/<date>/<region>/<service>/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Access key id.
    pub access_key_id: String,
    /// Day, `YYYYMMDD`, UTC.
    pub date: String,
    /// Region, any.
    pub region: String,
    /// Service: `s3`, `glue`, `athena`, `sts`.
    pub service: String,
}

impl Scope {
    /// Parses the value of `Credential` or `X-Amz-Credential`. An access key id
    /// may have slashes, the rest may not.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplitn(5, '/');
        if fields.next()? != "aws4_request" {
            return None;
        }
        let mut next = || {
            fields
                .next()
                .filter(|field| !field.is_empty())
                .map(str::to_owned)
        };
        Some(Self {
            service: next()?,
            region: next()?,
            date: next()?,
            access_key_id: next()?,
        })
    }

    /// The scope that a request is signed for, in its `Authorization` header
    /// or its query, if it is signed at all.
    pub fn of_request(headers: &HeaderMap, uri: &Uri) -> Option<Self> {
        if let Some(header) = headers.get(http::header::AUTHORIZATION) {
            return Authorization::parse(header.to_str().ok()?)
                .map(|authorization| authorization.scope);
        }
        url::form_urlencoded::parse(uri.query()?.as_bytes())
            .find(|(name, _)| name == "X-Amz-Credential")
            .and_then(|(_, value)| Self::parse(&value))
    }

    fn text(&self) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        )
    }
}

struct Authorization {
    scope: Scope,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    fn parse(header: &str) -> Option<Self> {
        let fields = header.strip_prefix(ALGORITHM)?;
        let (mut scope, mut signed_headers, mut signature) = (None, None, None);
        for field in fields.split(',') {
            match field.trim().split_once('=')? {
                ("Credential", value) => scope = Scope::parse(value),
                ("SignedHeaders", value) => {
                    signed_headers = Some(value.split(';').map(str::to_ascii_lowercase).collect());
                }
                ("Signature", value) => signature = Some(value.to_owned()),
                _ => return None,
            }
        }
        Some(Self {
            scope: scope?,
            signed_headers: signed_headers?,
            signature: signature?,
        })
    }
}

/// Verifies a request that is signed in its headers, at a time.
///
/// # Errors
/// As AWS names them: `MissingAuthenticationTokenException`,
/// `IncompleteSignatureException`, `UnrecognizedClientException`,
/// `InvalidSignatureException`.
pub fn verify(
    request: &SignedRequest<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<Scope, AwsError> {
    let header = request
        .headers
        .get(http::header::AUTHORIZATION)
        .ok_or_else(|| {
            AwsError::client(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            )
        })?;
    let authorization = header
        .to_str()
        .ok()
        .and_then(Authorization::parse)
        .ok_or_else(|| {
            incomplete(format!(
                "The Authorization header must be {ALGORITHM} with Credential, SignedHeaders and Signature."
            ))
        })?;
    let sent = date_of(request.headers)?;
    let scope = &authorization.scope;
    if scope.date != sent.strftime("%Y%m%d").to_string() {
        return Err(invalid(format!(
            "The credential's date {} is not that of X-Amz-Date.",
            scope.date
        )));
    }
    let sent_at = sent
        .to_zoned(TimeZone::UTC)
        .map_err(|_| incomplete("The request's date is out of range.".to_owned()))?
        .timestamp();
    let age = now.as_second() - sent_at.as_second();
    if age.abs() > CLOCK_SKEW {
        return Err(invalid(format!(
            "Signature {}: {} is more than 15 min. from {}.",
            if age > 0 {
                "expired"
            } else {
                "not yet current"
            },
            sent.strftime("%Y%m%dT%H%M%SZ"),
            now.strftime("%Y%m%dT%H%M%SZ"),
        )));
    }
    for name in MUST_SIGN {
        let signed = authorization
            .signed_headers
            .iter()
            .any(|signed| signed == name);
        if request.headers.contains_key(name) && !signed {
            return Err(invalid(format!("The header '{name}' must be signed.")));
        }
    }
    if scope.access_key_id != credentials.access_key_id {
        return Err(AwsError::client(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ));
    }
    let payload = hex::encode(Sha256::digest(request.body));
    if let Some(sent) = request.headers.get("x-amz-content-sha256")
        && sent.as_bytes() != payload.as_bytes()
    {
        return Err(invalid(
            "The x-amz-content-sha256 header is not the hash of the body.".to_owned(),
        ));
    }
    let canonical = canonical_request(request, &authorization.signed_headers, &payload)?;
    let to_sign = format!(
        "{ALGORITHM}\n{}\n{}\n{}",
        sent.strftime("%Y%m%dT%H%M%SZ"),
        scope.text(),
        hex::encode(Sha256::digest(canonical.as_bytes()))
    );
    let expected = hex::decode(&authorization.signature).unwrap_or_default();
    let mac = signing_key(&credentials.secret_access_key, scope).chain_update(to_sign.as_bytes());
    // In constant time.
    mac.verify_slice(&expected).map_err(|_| {
        invalid(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."
                .to_owned(),
        )
    })?;
    Ok(authorization.scope)
}

fn invalid(message: String) -> AwsError {
    AwsError::client("InvalidSignatureException", message)
}

fn incomplete(message: String) -> AwsError {
    AwsError::client("IncompleteSignatureException", message)
}

fn date_of(headers: &HeaderMap) -> Result<DateTime, AwsError> {
    headers
        .get("x-amz-date")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| DateTime::strptime("%Y%m%dT%H%M%SZ", value).ok())
        .ok_or_else(|| {
            incomplete("The X-Amz-Date header must be a time such as 20150830T123600Z.".to_owned())
        })
}

fn canonical_request(
    request: &SignedRequest<'_>,
    signed_headers: &[String],
    payload: &str,
) -> Result<String, AwsError> {
    let mut names = signed_headers.to_vec();
    names.sort_unstable();
    names.dedup();
    let mut headers = String::new();
    for name in &names {
        let mut values = Vec::new();
        for value in request.headers.get_all(name) {
            let value = value
                .to_str()
                .map_err(|_| invalid(format!("The header '{name}' is not ASCII.")))?;
            values.push(value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        }
        if values.is_empty() {
            return Err(invalid(format!(
                "The header '{name}' is signed and not there."
            )));
        }
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    Ok(format!(
        "{}\n{}\n{}\n{headers}\n{}\n{payload}",
        request.method,
        // Every service but S3 encodes the path twice: once as sent, once more.
        encode(request.uri.path(), true),
        canonical_query(request.uri.query().unwrap_or_default()),
        names.join(";"),
    ))
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (reencode(name), reencode(value))
        })
        .collect();
    pairs.sort_unstable();
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

/// Decodes `%XX` and encodes again, in the one way that signatures know.
fn reencode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    encode_bytes(&decoded, false)
}

fn encode(text: &str, keep_slash: bool) -> String {
    encode_bytes(text.as_bytes(), keep_slash)
}

fn encode_bytes(bytes: &[u8], keep_slash: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(*byte))
            }
            b'/' if keep_slash => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The key of a day, region and service, ready to take the text to sign.
fn signing_key(secret: &str, scope: &Scope) -> Hmac<Sha256> {
    let start = hmac(format!("AWS4{secret}").as_bytes());
    [&scope.date, &scope.region, &scope.service, "aws4_request"]
        .into_iter()
        .fold(start, |key, text| {
            hmac(&key.chain_update(text.as_bytes()).finalize().into_bytes())
        })
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use std::time::SystemTime;

    /// The key and the time of AWS's published test suite.
    fn suite_key() -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        }
    }

    fn suite_time() -> Timestamp {
        "2015-08-30T12:36:00Z".parse().unwrap()
    }

    fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn suite_headers(signature: &str) -> HeaderMap {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
        );
        header_map(&[
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
            ("authorization", &authorization),
        ])
    }

    fn verify_at(
        method: &Method,
        uri: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Scope, AwsError> {
        let request = SignedRequest {
            method,
            uri: &uri.parse().unwrap(),
            headers,
            body,
        };
        verify(&request, &suite_key(), now)
    }

    #[test]
    fn vectors_of_the_published_suite_verify() {
        for (name, method, uri, signature) in [
            (
                "get-vanilla",
                Method::GET,
                "/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                Method::GET,
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                Method::POST,
                "/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            let headers = suite_headers(signature);
            let scope = verify_at(&method, uri, &headers, b"", suite_time())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scope.service, "service");
            assert_eq!(scope.region, "us-east-1");
        }
    }

    /// Signs as the AWS SDKs do, by their own crate.
    fn signed(headers: &[(&str, &str)], body: &[u8], at: Timestamp) -> HeaderMap {
        use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
        let key = suite_key();
        let identity = aws_credential_types::Credentials::new(
            key.access_key_id,
            key.secret_access_key,
            None,
            None,
            "test",
        )
        .into();
        let params = aws_sigv4::sign::v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("glue")
            .time(SystemTime::from(at))
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let request = SignableRequest::new(
            "POST",
            "http://127.0.0.1:9000/",
            headers.iter().copied(),
            SignableBody::Bytes(body),
        )
        .unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let mut request = http::Request::post("http://127.0.0.1:9000/")
            .body(())
            .unwrap();
        *request.headers_mut() = header_map(headers);
        instructions.apply_to_request_http1x(&mut request);
        let mut headers = std::mem::take(request.headers_mut());
        headers.insert("host", "127.0.0.1:9000".parse().unwrap());
        headers
    }

    fn target() -> [(&'static str, &'static str); 2] {
        [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AWSGlue.GetTables"),
        ]
    }

    fn code(result: Result<Scope, AwsError>) -> &'static str {
        result.map_or_else(|error| error.code, |_| "ok")
    }

    #[test]
    fn request_of_an_sdk_verifies_for_any_region() {
        let headers = signed(&target(), b"{}", suite_time());
        let scope = verify_at(&Method::POST, "/", &headers, b"{}", suite_time()).unwrap();
        assert_eq!(
            (scope.service.as_str(), scope.region.as_str()),
            ("glue", "eu-west-1")
        );
    }

    #[test]
    fn anything_changed_after_signing_is_refused() {
        let headers = signed(&target(), b"{}", suite_time());
        let attempt = |method: &Method, uri: &str, headers: &HeaderMap, body: &[u8]| {
            code(verify_at(method, uri, headers, body, suite_time()))
        };
        assert_eq!(
            attempt(&Method::POST, "/", &headers, b"{ }"),
            "InvalidSignatureException"
        );
        assert_eq!(
            attempt(&Method::GET, "/", &headers, b"{}"),
            "InvalidSignatureException"
        );
        assert_eq!(
            attempt(&Method::POST, "/a", &headers, b"{}"),
            "InvalidSignatureException"
        );
        assert_eq!(
            attempt(&Method::POST, "/?a=b", &headers, b"{}"),
            "InvalidSignatureException"
        );
        let mut other = headers.clone();
        other.insert("x-amz-target", "AWSGlue.DeleteTable".parse().unwrap());
        assert_eq!(
            attempt(&Method::POST, "/", &other, b"{}"),
            "InvalidSignatureException"
        );
        let mut unsigned = signed(&target()[..1], b"{}", suite_time());
        unsigned.insert("x-amz-target", "AWSGlue.DeleteTable".parse().unwrap());
        assert_eq!(
            attempt(&Method::POST, "/", &unsigned, b"{}"),
            "InvalidSignatureException"
        );
    }

    #[test]
    fn requests_without_a_good_signature_have_the_codes_of_aws() {
        let now = suite_time();
        let attempt = |headers: &HeaderMap| code(verify_at(&Method::POST, "/", headers, b"", now));
        assert_eq!(
            attempt(&HeaderMap::new()),
            "MissingAuthenticationTokenException"
        );
        assert_eq!(
            attempt(&header_map(&[("authorization", "Bearer x")])),
            "IncompleteSignatureException"
        );
        let mut headers = suite_headers(&"0".repeat(64));
        assert_eq!(attempt(&headers), "InvalidSignatureException");
        assert_eq!(
            attempt(&suite_headers("not hexadecimal")),
            "InvalidSignatureException"
        );
        headers.remove("x-amz-date");
        assert_eq!(attempt(&headers), "IncompleteSignatureException");
        let mut stranger = suite_headers(&"0".repeat(64));
        let text = stranger["authorization"]
            .to_str()
            .unwrap()
            .replace("AKIDEXAMPLE", "AKIDOTHER");
        stranger.insert("authorization", text.parse().unwrap());
        assert_eq!(attempt(&stranger), "UnrecognizedClientException");
    }

    #[test]
    fn clock_may_be_fifteen_minutes_off_and_no_more() {
        let headers = signed(&target(), b"{}", suite_time());
        for (seconds, expected) in [
            (-901, "InvalidSignatureException"),
            (-900, "ok"),
            (900, "ok"),
            (901, "InvalidSignatureException"),
        ] {
            let now = Timestamp::from_second(suite_time().as_second() + seconds).unwrap();
            assert_eq!(
                code(verify_at(&Method::POST, "/", &headers, b"{}", now)),
                expected,
                "{seconds}"
            );
        }
    }

    #[test]
    fn scope_is_found_in_headers_and_in_presigned_urls() {
        let uri: Uri = "/b/k?X-Amz-Credential=AKID%2F20150830%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature=0"
            .parse()
            .unwrap();
        assert_eq!(
            Scope::of_request(&HeaderMap::new(), &uri).unwrap().service,
            "s3"
        );
        let headers = suite_headers("0");
        assert_eq!(
            Scope::of_request(&headers, &uri).unwrap().service,
            "service"
        );
        assert_eq!(
            Scope::of_request(&HeaderMap::new(), &"/".parse().unwrap()),
            None
        );
        assert_eq!(
            Scope::parse("a/b/20150830/r/s/aws4_request")
                .unwrap()
                .access_key_id,
            "a/b"
        );
    }
}
