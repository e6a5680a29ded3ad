use super::*;
use crate::s3::Durability;
use async_trait::async_trait;
use aws_sdk_glue::error::ProvideErrorMetadata as _;
use serde_json::json;
use std::time::SystemTime;

/// Answers with what it was asked.
struct Echo(&'static str);

#[async_trait]
impl JsonService for Echo {
    async fn handle(&self, op: &str, body: Value) -> Result<Value, AwsError> {
        match op {
            "Echo" => Ok(json!({"service": self.0, "body": body})),
            "GetTables" => Ok(json!({"TableList": [{"Name": "ticks"}]})),
            "Panic" => panic!("as the test wants"),
            other => Err(AwsError::unknown_operation(self.0, other)),
        }
    }
}

struct Running {
    server: Server,
    credentials: Credentials,
    _dir: tempfile::TempDir,
}

async fn start(hosts: &[&str]) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let credentials = Credentials::generate();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let bound = listener.addr();
    let server = Server::serve(
        listener,
        Services {
            store: Store::open(dir.path(), Durability::Kill).unwrap(),
            glue: Arc::new(Echo("glue")),
            athena: Arc::new(Echo("athena")),
            credentials: credentials.clone(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        },
    );
    assert_eq!(bound, server.addr());
    Running {
        server,
        credentials,
        _dir: dir,
    }
}

struct Call<'a> {
    service: &'a str,
    target: Option<&'a str>,
    host: Option<&'a str>,
    body: &'a str,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self {
            service: "glue",
            target: Some("AWSGlue.Echo"),
            host: None,
            body: "{}",
        }
    }
}

/// Sends a signed request.
async fn send(running: &Running, call: Call<'_>) -> reqwest::Response {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    let authority = call
        .host
        .map_or_else(|| running.server.addr().to_string(), str::to_owned);
    let url = format!("http://{authority}/");
    let identity = aws_credential_types::Credentials::new(
        &running.credentials.access_key_id,
        &running.credentials.secret_access_key,
        None,
        None,
        "test",
    )
    .into();
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name(call.service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let mut headers = vec![("content-type", "application/x-amz-json-1.1")];
    headers.extend(call.target.map(|target| ("x-amz-target", target)));
    let signable = SignableRequest::new(
        "POST",
        &url,
        headers.iter().copied(),
        SignableBody::Bytes(call.body.as_bytes()),
    )
    .unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let mut request = Request::post(&url).body(()).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    instructions.apply_to_request_http1x(&mut request);
    request
        .headers_mut()
        .insert("host", authority.parse().unwrap());
    reqwest::Client::new()
        .post(format!("http://{}/", running.server.addr()))
        .headers(std::mem::take(request.headers_mut()))
        .body(call.body.to_owned())
        .send()
        .await
        .unwrap()
}

async fn refusal(response: reqwest::Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (status, text("__type"), text("message"))
}

#[tokio::test]
async fn requests_go_to_the_service_that_they_name() {
    let running = start(&[]).await;
    for (service, target) in [("glue", "AWSGlue.Echo"), ("athena", "AmazonAthena.Echo")] {
        let call = Call {
            service,
            target: Some(target),
            body: r#"{"a":1}"#,
            ..Call::default()
        };
        let response = send(&running, call).await;
        assert_eq!(
            response.headers()["content-type"],
            "application/x-amz-json-1.1"
        );
        let body: Value = response.json().await.unwrap();
        assert_eq!(body, json!({"service": service, "body": {"a": 1}}));
    }
    let empty = send(
        &running,
        Call {
            body: "",
            ..Call::default()
        },
    )
    .await;
    assert_eq!(empty.json::<Value>().await.unwrap()["body"], json!({}));
    running.server.shutdown().await;
}

#[tokio::test]
async fn target_and_signature_must_name_the_same_service() {
    let running = start(&[]).await;
    for (service, target) in [
        ("athena", "AWSGlue.Echo"),
        ("glue", "AmazonAthena.Echo"),
        ("s3", "AWSGlue.Echo"),
    ] {
        let response = send(
            &running,
            Call {
                service,
                target: Some(target),
                ..Call::default()
            },
        )
        .await;
        let (status, code, message) = refusal(response).await;
        assert_eq!((status, code.as_str()), (400, "InvalidSignatureException"));
        assert!(message.contains("scoped to correct service"), "{message}");
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn what_is_unknown_is_said_to_be() {
    let running = start(&[]).await;
    for target in [
        "AWSGlue.MakeCoffee",
        "DynamoDB_20120810.GetItem",
        "nonsense",
    ] {
        let response = send(
            &running,
            Call {
                target: Some(target),
                ..Call::default()
            },
        )
        .await;
        assert_eq!(
            response.headers()["x-amzn-errortype"],
            "UnknownOperationException"
        );
        let (status, code, _) = refusal(response).await;
        assert_eq!(
            (status, code.as_str()),
            (400, "UnknownOperationException"),
            "{target}"
        );
    }
    let (status, code, _) = refusal(
        send(
            &running,
            Call {
                target: None,
                ..Call::default()
            },
        )
        .await,
    )
    .await;
    assert_eq!((status, code.as_str()), (400, "UnknownOperationException"));
    for body in ["[]", "{", "\"text\""] {
        let (status, code, _) = refusal(
            send(
                &running,
                Call {
                    body,
                    ..Call::default()
                },
            )
            .await,
        )
        .await;
        assert_eq!(
            (status, code.as_str()),
            (400, "SerializationException"),
            "{body}"
        );
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn operation_that_panics_is_answered() {
    let running = start(&[]).await;
    let response = send(
        &running,
        Call {
            target: Some("AWSGlue.Panic"),
            ..Call::default()
        },
    )
    .await;
    let (status, code, _) = refusal(response).await;
    assert_eq!((status, code.as_str()), (500, "InternalServiceException"));
    assert_eq!(send(&running, Call::default()).await.status(), 200);
    running.server.shutdown().await;
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_requests_are_refused() {
    let running = start(&[]).await;
    let unsigned = reqwest::Client::new()
        .post(format!("http://{}/", running.server.addr()))
        .header("x-amz-target", "AWSGlue.Echo")
        .body("{}")
        .send()
        .await
        .unwrap();
    let (status, code, _) = refusal(unsigned).await;
    assert_eq!(
        (status, code.as_str()),
        (400, "MissingAuthenticationTokenException")
    );
    let stranger = Running {
        credentials: Credentials::generate(),
        ..running
    };
    let (status, code, _) = refusal(send(&stranger, Call::default()).await).await;
    assert_eq!(
        (status, code.as_str()),
        (400, "UnrecognizedClientException")
    );
    stranger.server.shutdown().await;
}

#[tokio::test]
async fn body_has_a_limit() {
    let running = start(&[]).await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(JSON_LIMIT));
    let (status, code, _) = refusal(
        send(
            &running,
            Call {
                body: &large,
                ..Call::default()
            },
        )
        .await,
    )
    .await;
    assert_eq!(
        (status, code.as_str()),
        (413, "RequestEntityTooLargeException")
    );
    running.server.shutdown().await;
}

#[tokio::test]
async fn request_by_another_name_is_refused_and_no_answer_has_cors_headers() {
    let running = start(&["cloud.example:9000"]).await;
    let rebound = send(
        &running,
        Call {
            host: Some("evil.example:9000"),
            ..Call::default()
        },
    )
    .await;
    assert_eq!(rebound.status(), 403);
    assert!(rebound.text().await.unwrap().contains("path-style"));
    assert_eq!(
        send(
            &running,
            Call {
                host: Some("cloud.example:9000"),
                ..Call::default()
            }
        )
        .await
        .status(),
        200
    );
    let preflight = reqwest::Client::new()
        .request(
            Method::OPTIONS,
            format!("http://{}/bucket", running.server.addr()),
        )
        .header("Origin", "http://evil.example")
        .header("Access-Control-Request-Method", "PUT")
        .send()
        .await
        .unwrap();
    assert!(!preflight.status().is_success());
    assert!(
        preflight
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );
    running.server.shutdown().await;
}

#[test]
fn our_hosts_are_loopback_ones_with_our_port_and_configured_ones() {
    let local: SocketAddr = "10.1.2.3:9000".parse().unwrap();
    let configured = vec!["cloud".to_owned(), "lake.example:8443".to_owned()];
    for (host, expected) in [
        ("127.0.0.1:9000", true),
        ("127.9.9.9:9000", true),
        ("localhost:9000", true),
        ("LOCALHOST:9000", true),
        ("[::1]:9000", true),
        ("10.1.2.3:9000", true),
        ("cloud", true),
        ("Cloud:1234", true),
        ("lake.example:8443", true),
        ("127.0.0.1", false),
        ("127.0.0.1:9001", false),
        ("localhost:x", false),
        ("10.1.2.4:9000", false),
        ("lake.example:9000", false),
        ("evil.example:9000", false),
        ("localhost.evil.example:9000", false),
        ("bucket.localhost:9000", false),
        ("", false),
    ] {
        assert_eq!(is_our_host(host, local, &configured), expected, "{host}");
    }
    assert!(is_our_host(
        "localhost",
        "127.0.0.1:80".parse().unwrap(),
        &[]
    ));
}

#[tokio::test]
async fn taken_port_is_said_in_one_sentence() {
    let first = Listener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let error = Listener::bind(first.addr()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "port {} on 127.0.0.1 is taken by another program: stop it, or choose another port",
            first.addr().port()
        )
    );
}

#[tokio::test]
async fn sdk_client_of_glue_reaches_glue() {
    let running = start(&[]).await;
    let config = aws_sdk_glue::Config::builder()
        .behavior_version(aws_sdk_glue::config::BehaviorVersion::latest())
        .endpoint_url(format!("http://{}", running.server.addr()))
        .region(aws_sdk_glue::config::Region::new("eu-central-1"))
        .credentials_provider(aws_sdk_glue::config::Credentials::new(
            &running.credentials.access_key_id,
            &running.credentials.secret_access_key,
            None,
            None,
            "test",
        ))
        .build();
    let glue = aws_sdk_glue::Client::from_conf(config);
    let tables = glue
        .get_tables()
        .database_name("market")
        .send()
        .await
        .unwrap();
    assert_eq!(tables.table_list()[0].name(), "ticks");
    let unknown = glue.get_databases().send().await.unwrap_err();
    assert_eq!(unknown.code(), Some("UnknownOperationException"));
    running.server.shutdown().await;
}

#[tokio::test]
async fn sts_says_whose_key_it_is() {
    let running = start(&[]).await;
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let call = Call {
        service: "sts",
        target: None,
        body,
        ..Call::default()
    };
    let answer = send(&running, call).await;
    assert_eq!(answer.status(), 200);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("<Account>000000000000</Account>")
    );
    let call = Call {
        service: "sts",
        target: None,
        body: "Action=AssumeRole",
        ..Call::default()
    };
    let answer = send(&running, call).await;
    assert_eq!(answer.status(), 400);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("<Code>InvalidAction</Code>")
    );
    running.server.shutdown().await;
}
