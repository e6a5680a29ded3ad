//! The page and its API over HTTP.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures::stream;
use include_dir::{Dir, include_dir};
use serde::Deserialize;
use stockpipe_market::tick::Symbol;

use crate::status::StatusBoard;

use super::feed::lock;
use super::hub::Hub;
use super::publication::STREAMED;
use super::series::BarSeries;
use super::wire::BarsInfo;

/// The built page.
static BUNDLE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../dashboard/dist");

/// Everything comes from this origin: no inline script, no inline style, no frame around the page.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; object-src 'none'";
/// Most rows of one answer.
const MAX_ROWS: usize = 1000;

#[derive(Clone)]
struct App {
    hub: Hub,
    board: StatusBoard,
}

/// The page's routes on a listener bound to `listener`.
pub fn router(hub: Hub, board: StatusBoard, listener: SocketAddr) -> Router {
    Router::new()
        .route("/api/v1/snapshot", get(snapshot))
        .route("/api/v1/stream", get(stream_events))
        .route("/api/v1/reports", get(reports))
        .route("/api/v1/symbols/{symbol}/bars", get(bars))
        .route("/status", get(status))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(get(asset))
        .layer(middleware::from_fn(move |request, next| {
            guard(listener, request, next)
        }))
        .with_state(App { hub, board })
}

/// Refuses foreign hosts and sets the headers of every answer.
async fn guard(listener: SocketAddr, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|h| h.to_str().ok());
    // A page of another site whose name was made to resolve to this machine sends its own name.
    let mut response = if listener.ip().is_loopback() && !host.is_some_and(is_local) {
        let shown = listener.port();
        (
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "this page answers only to http://127.0.0.1:{shown} and http://localhost:{shown}\n"
            ),
        )
            .into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a Host header names this machine, with or without a port.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[derive(Deserialize)]
struct PageQuery {
    #[serde(default)]
    search: String,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

async fn snapshot(State(app): State<App>, Query(query): Query<PageQuery>) -> Response {
    let limit = query.limit.unwrap_or(STREAMED).min(MAX_ROWS);
    let now_ms = jiff::Timestamp::now().as_millisecond();
    Json(app.hub.page(&query.search, query.offset, limit, now_ms)).into_response()
}

async fn stream_events(State(app): State<App>) -> Response {
    let Some(reader) = app.hub.follow() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(RETRY_AFTER, "5")],
            "too many pages follow this pipeline; close one\n",
        )
            .into_response();
    };
    let events = stream::unfold(reader, |mut reader| async {
        let bytes = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), reader))
    });
    (
        [(CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(events),
    )
        .into_response()
}

async fn reports(State(app): State<App>) -> Response {
    Json(app.hub.surroundings().reports).into_response()
}

async fn status(State(app): State<App>) -> Response {
    app.board.answer()
}

#[derive(Deserialize)]
struct BarsQuery {
    #[serde(default = "minute")]
    interval: String,
}

fn minute() -> String {
    "1m".to_owned()
}

async fn bars(
    State(app): State<App>,
    Path(symbol): Path<String>,
    Query(query): Query<BarsQuery>,
) -> Response {
    let market = lock(app.hub.market());
    let (Some(instrument), Ok(symbol)) = (market.instrument(&symbol), Symbol::new(&symbol)) else {
        let shown: String = symbol.chars().take(64).collect();
        return refuse(
            StatusCode::NOT_FOUND,
            &format!("no tick of `{shown}` has been seen; /api/v1/snapshot lists the symbols"),
        );
    };
    let (interval, series): (_, &BarSeries) = match query.interval.as_str() {
        "1s" => ("1s", instrument.seconds()),
        "1m" => ("1m", instrument.minutes()),
        _ => {
            return refuse(StatusCode::BAD_REQUEST, "interval: write 1s or 1m");
        }
    };
    let answer = BarsInfo {
        symbol,
        interval,
        bars: series.bars(),
    };
    drop(market);
    Json(answer).into_response()
}

fn refuse(status: StatusCode, sentence: &str) -> Response {
    (status, Json(serde_json::json!({"error": sentence}))).into_response()
}

async fn asset(uri: Uri) -> Response {
    let path = match uri.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let Some(file) = BUNDLE.get_file(path) else {
        return (StatusCode::NOT_FOUND, "no such page\n").into_response();
    };
    // Names under assets/ carry a hash of their content.
    let cache = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    (
        [(CONTENT_TYPE, media_type(path)), (CACHE_CONTROL, cache)],
        file.contents(),
    )
        .into_response()
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in [
            "127.0.0.1:8080",
            "localhost",
            "LOCALHOST:8080",
            "[::1]:8080",
            "127.0.0.2:1",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8080",
            "192.168.0.7:8080",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn the_bundle_is_whole_and_the_page_asks_for_nothing_that_its_policy_refuses() {
        let index = BUNDLE.get_file("index.html").unwrap();
        let html = index.contents_utf8().unwrap();
        assert!(
            !html.contains("<style") && !html.contains("style="),
            "{html}"
        );
        for (at, _) in html.match_indices("<script") {
            assert!(html[at..].starts_with("<script type=\"module\" crossorigin src=\"./assets/"));
        }
        let mut files = 0;
        for name in html.split('"').filter_map(|part| part.strip_prefix("./")) {
            assert!(BUNDLE.get_file(name).is_some(), "{name}");
            assert_ne!(media_type(name), "application/octet-stream", "{name}");
            files += 1;
        }
        assert!(files >= 3, "script, style and icon");
    }
}
