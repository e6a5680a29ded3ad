//! `stockpipe-operator check`: whether an installation works, for `helm test`.

use std::time::{Duration, Instant};

use clap::Parser;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use kube::Client;
use tokio::net::TcpStream;

use crate::api::find;

/// The API that StockPipelines are served in.
const API: &str = "stockpipe.dev/v1alpha1";
/// Its resource.
const RESOURCE: &str = "stockpipelines";
/// How long an installation may take to become ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time that one question may take.
const ONE_QUESTION: Duration = Duration::from_secs(5);
/// Between two questions.
const AGAIN: Duration = Duration::from_millis(500);
/// Bytes of an answer that are read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Says whether an operator is ready and the API server serves StockPipelines.
#[derive(Clone, Debug, Parser)]
#[command(name = "stockpipe-operator check", version)]
pub struct CheckArgs {
    /// The operator's Service, as http://HOST:PORT.
    #[arg(long, value_name = "URL", value_parser = address)]
    pub operator: Uri,
}

/// An address that can be dialled: http, a host and a port.
fn address(text: &str) -> Result<Uri, String> {
    let uri: Uri = text
        .parse()
        .map_err(|_| "write http://HOST:PORT".to_owned())?;
    let plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
    match (uri.host(), uri.port_u16()) {
        (Some(_), Some(_)) if plain => Ok(uri),
        _ => Err("write http://HOST:PORT".to_owned()),
    }
}

/// Waits up to a minute for both.
///
/// # Errors
/// One sentence that says which of the two is missing, and what was answered last.
pub async fn run(args: &CheckArgs) -> Result<String, String> {
    let began = Instant::now();
    until(began, PATIENCE, async || ready(&args.operator).await).await?;
    until(began, PATIENCE, async || served().await).await?;
    Ok(format!(
        "the operator at {} is ready, and {API} is served",
        authority(&args.operator)
    ))
}

/// Asks again until it goes well, or for as long as there is patience.
async fn until(
    began: Instant,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), String> {
    loop {
        let said = match tokio::time::timeout(ONE_QUESTION, ask()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(said)) => said,
            Err(_) => format!("no answer within {} s", ONE_QUESTION.as_secs()),
        };
        if began.elapsed() >= patience {
            return Err(format!("{said} (asked for {} s)", patience.as_secs()));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn authority(operator: &Uri) -> &str {
    operator.authority().map_or("", |a| a.as_str())
}

/// `/readyz` of the operator.
async fn ready(operator: &Uri) -> Result<(), String> {
    let place = authority(operator);
    let cannot = |why: &dyn std::fmt::Display| format!("cannot ask the operator at {place}: {why}");
    let stream = TcpStream::connect(place).await.map_err(|e| cannot(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|e| cannot(&e))?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/readyz")
        .header(hyper::header::HOST, place)
        .body(Empty::new())
        .map_err(|e| cannot(&e))?;
    let answer = sender.send_request(request).await.map_err(|e| cannot(&e))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER)
        .collect()
        .await;
    connection.abort();
    let body = body.map_err(|e| cannot(&e))?.to_bytes();
    if status == StatusCode::OK {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&body);
    Err(format!(
        "the operator at {place} is not ready ({status}): {}",
        said.lines().next().unwrap_or_default()
    ))
}

/// Discovery by the API server.
async fn served() -> Result<(), String> {
    let client = Client::try_default()
        .await
        .map_err(|e| format!("cannot reach the API server: {e}"))?;
    let action = format!("list {API}");
    let group = find(action, client.list_api_group_resources(API))
        .await
        .map_err(|e| e.to_string())?;
    let there = group.is_some_and(|g| g.resources.iter().any(|r| r.name == RESOURCE));
    if there {
        return Ok(());
    }
    Err(format!(
        "the API server has no {RESOURCE} in {API}: apply crds/yaml, or install the chart with crds.install=true"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_a_host_and_a_port() {
        assert!(address("http://stockpipe.ns.svc:8081").is_ok());
        for wrong in [
            "stockpipe:8081",
            "https://stockpipe:8081",
            "http://stockpipe",
            "http://stockpipe:8081/readyz",
            "",
        ] {
            assert_eq!(
                address(wrong).unwrap_err(),
                "write http://HOST:PORT",
                "{wrong}"
            );
        }
    }

    async fn operator(status: StatusCode, body: &'static str) -> Uri {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().route(
            "/readyz",
            axum::routing::get(move || async move { (status, body) }),
        );
        tokio::spawn(async move { axum::serve(listener, app).await });
        uri.parse().unwrap()
    }

    #[tokio::test]
    async fn an_operator_that_is_not_ready_is_quoted() {
        assert_eq!(ready(&operator(StatusCode::OK, "ok\n").await).await, Ok(()));
        let waiting = operator(StatusCode::SERVICE_UNAVAILABLE, "waits for pods\nmore").await;
        let said = ready(&waiting).await.unwrap_err();
        assert!(
            said.contains("is not ready (503 Service Unavailable): waits for pods"),
            "{said}"
        );
        assert!(!said.contains("more"), "{said}");
    }

    #[tokio::test]
    async fn what_fails_is_asked_again_until_the_patience_ends() {
        let began = Instant::now();
        let mut asked = 0;
        let said = until(began, Duration::ZERO, async || {
            asked += 1;
            Err("no".to_owned())
        })
        .await;
        assert_eq!((said, asked), (Err("no (asked for 0 s)".to_owned()), 1));
        let mut asked = 0;
        let ok = until(began, Duration::from_secs(60), async || {
            asked += 1;
            if asked < 2 {
                Err("no".to_owned())
            } else {
                Ok(())
            }
        })
        .await;
        assert_eq!((ok, asked), (Ok(()), 2));
    }
}
