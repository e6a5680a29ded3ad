//! The live page over the embedded broker and S3: what its API answers, and to whom.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use stockpipe::aws_front::Server;
use stockpipe::aws_json::{AwsError, JsonService};
use stockpipe::broker::Broker;
use stockpipe::credentials::Credentials;
use stockpipe::s3;
use stockpipe_crds::run_record::RunRecord;
use stockpipe_market::tick::{Kind, Symbol, Tick};
use stockpipe_workers::analyze::{self, AnalyzeError};
use stockpipe_workers::aws::Clients;
use stockpipe_workers::context::Context;
use stockpipe_workers::kafka::admin;
use stockpipe_workers::ledger::{DaySummary, Ledger, Owner, Tip};
use stockpipe_workers::secrets::Secrets;
use stockpipe_workers::store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;

use crate::topic::{broker, context, create, grow};

const TOPIC: &str = "demo.ticks";
const BUCKET: &str = "it-lake";
const SECOND: i64 = 1_000_000_000;
/// 2026-11-20 15:00 UTC, within a session.
const START: i64 = 1_795_186_800 * SECOND;

/// The page reads neither Glue nor Athena.
struct Absent;

#[async_trait]
impl JsonService for Absent {
    async fn handle(&self, op: &str, _: Value) -> Result<Value, AwsError> {
        Err(AwsError::unknown_operation("Absent", op))
    }
}

/// A topic of two partitions, an S3, and the page above them.
struct Page {
    _data: tempfile::TempDir,
    kafka: Broker,
    s3: Option<Server>,
    producer: FutureProducer,
    address: SocketAddr,
    context: Context,
    /// A test that fails must not leave the role running: the runtime would wait for it.
    _stop: DropGuard,
    role: JoinHandle<Result<(), AnalyzeError>>,
}

impl Page {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let kafka = broker(&data.path().join("kafka")).await;
        let bootstrap = kafka.addr().to_string();
        create(&bootstrap, TOPIC, 2).await;
        let credentials = Credentials::load_or_generate(data.path()).unwrap();
        let objects = s3::Store::open(&data.path().join("s3"), s3::Durability::Kill).unwrap();
        let s3 = Server::start(
            free,
            objects,
            Arc::new(Absent),
            Arc::new(Absent),
            credentials,
        )
        .await
        .unwrap();
        let yaml = pipeline(&format!("http://{}", s3.addr()));
        let mut context = context(&yaml, data.path(), &bootstrap, "analyze");
        context.secrets = Secrets::new([data.path().join("secrets")]);
        let listener = tokio::net::TcpListener::bind(free).await.unwrap();
        let address = listener.local_addr().unwrap();
        let role = tokio::spawn({
            let context = context.clone();
            async move { analyze::serve(&context, listener).await }
        });
        Self {
            _data: data,
            kafka,
            s3: Some(s3),
            producer: producer(&bootstrap),
            address,
            _stop: context.shutdown.clone().drop_guard(),
            context,
            role,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(self.url(path)).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    async fn send(&self, tick: &Tick) {
        self.send_to(tick, None).await;
    }

    async fn send_to(&self, tick: &Tick, partition: Option<i32>) {
        let mut body = Vec::new();
        stockpipe_market::json::encode(tick, &mut body);
        let mut record = FutureRecord::to(TOPIC)
            .key(tick.symbol.as_str())
            .payload(&body);
        record.partition = partition;
        self.producer
            .send(record, Duration::from_secs(10))
            .await
            .unwrap();
    }

    async fn heartbeat(&self, until: i64) {
        for partition in 0..2 {
            let body = json!({"producer": "it/0", "until": until, "run": "r"}).to_string();
            let headers = OwnedHeaders::new().insert(Header {
                key: "stockpipe-kind",
                value: Some("heartbeat"),
            });
            let record = FutureRecord::<(), _>::to(TOPIC)
                .partition(partition)
                .headers(headers)
                .payload(&body);
            self.producer
                .send(record, Duration::from_secs(10))
                .await
                .unwrap();
        }
    }

    /// The snapshot, once it is as `wanted`.
    async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let snapshot = self.json("/api/v1/snapshot").await;
            if wanted(&snapshot) {
                return snapshot;
            }
            assert!(
                Instant::now() < deadline,
                "waited too long until {what}: {snapshot:#}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the role in order; a stream that is still open must not hold it.
    async fn stop(self) {
        self.context.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.role)
            .await
            .expect("the role ends")
            .unwrap()
            .unwrap();
        if let Some(s3) = self.s3 {
            s3.shutdown().await;
        }
        self.kafka.shutdown().await.unwrap();
    }
}

/// A client that learns of the topic as it is now.
fn producer(bootstrap: &str) -> FutureProducer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap()
}

fn pipeline(s3: &str) -> String {
    format!(
        r#"
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {{name: demo}}
spec:
  market: {{calendar: XNYS, symbols: [AAPL, MSFT]}}
  source: {{simulated: {{seed: 1}}}}
  kafka: {{topic: {{name: {TOPIC}, partitions: 2}}}}
  lake: {{bucket: {BUCKET}}}
  reports:
  - {{name: daily-ohlcv, builtin: daily-ohlcv}}
  aws:
    credentialsSecretRef: {{name: stockpipe-local}}
    endpoints: {{s3: "{s3}"}}
"#
    )
}

fn tick(kind: Kind, symbol: &str, seq: u64, ts_event_ns: i64) -> Tick {
    Tick::new(
        Symbol::new(symbol).unwrap(),
        "simulated".into(),
        kind,
        "r".into(),
        seq,
        ts_event_ns,
        jiff::civil::date(2026, 11, 20),
    )
}

/// `n` trades of `symbol`, one a second: 100, 100.01, 100.02, … of two shares each.
fn trades(symbol: &str, n: u64) -> Vec<Tick> {
    (0..n)
        .map(|seq| {
            let mut trade = tick(Kind::Trade, symbol, seq, START + seq as i64 * SECOND);
            trade.price = Some(
                format!("{}.{:02}", 100 + seq / 100, seq % 100)
                    .parse()
                    .unwrap(),
            );
            trade.size = Some("2".parse().unwrap());
            trade
        })
        .collect()
}

fn row<'a>(snapshot: &'a Value, symbol: &str) -> &'a Value {
    let rows = snapshot["rows"].as_array().unwrap();
    rows.iter()
        .find(|row| row["symbol"] == symbol)
        .unwrap_or(&Value::Null)
}

/// The stream of events as text.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(page: &Page) -> Self {
        let response = page.get("/api/v1/stream").await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// Name and data of the next event.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (name, data) = event.split_once('\n').unwrap();
                let name = name.strip_prefix("event: ").unwrap().to_owned();
                let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                self.text = rest.to_owned();
                return (name, data);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk())
                .await
                .expect("the stream says something every second")
                .unwrap()
                .expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_in_kafka_become_prices_bars_and_rates_of_the_page() {
    let page = Page::start().await;
    for trade in trades("AAPL", 200) {
        page.send(&trade).await;
    }
    for trade in trades("MSFT", 100) {
        page.send(&trade).await;
    }
    let mut quote = tick(Kind::Quote, "AAPL", 200, START + 200 * SECOND);
    quote.bid_price = Some("101.98".parse().unwrap());
    quote.ask_price = Some("102.00".parse().unwrap());
    page.send(&quote).await;
    page.heartbeat(START + 300 * SECOND).await;

    let snapshot = page
        .until("all ticks are read", |s| {
            s["market"]["ticks"] == 301 && s["market"]["time"] == "2026-11-20T15:05:00Z"
        })
        .await;
    assert_eq!(snapshot["pipeline"]["badge"], "SIMULATED");
    assert_eq!(snapshot["pipeline"]["table"], "stockpipe.demo_ticks");
    assert_eq!(snapshot["market"]["symbols"], 2);
    assert_eq!(snapshot["market"]["session"]["open"], true);
    let aapl = row(&snapshot, "AAPL");
    for (field, value) in [
        ("last", "101.99"),
        ("open", "100"),
        ("change", "1.99"),
        ("bid", "101.98"),
        ("ask", "102"),
        ("vwap", "100.995"),
        ("volume", "400"),
    ] {
        assert_eq!(aapl[field], value, "{field}: a decimal string, exactly");
    }
    assert!(aapl["spark"].as_array().unwrap().len() > 10);

    let minutes = page.json("/api/v1/symbols/AAPL/bars?interval=1m").await;
    let minutes = minutes["bars"].as_array().unwrap();
    let closes: Vec<&str> = minutes
        .iter()
        .map(|b| b["close"].as_str().unwrap())
        .collect();
    assert_eq!(closes, ["100.59", "101.19", "101.79", "101.99"]);
    assert_eq!(minutes[0]["time"], START / 1_000_000);
    assert_eq!(minutes[0]["volume"], "120");
    assert_eq!(minutes[0]["vwap"], "100.295");
    let seconds = page.json("/api/v1/symbols/MSFT/bars?interval=1s").await;
    assert_eq!(seconds["bars"].as_array().unwrap().len(), 100);

    let found = page.json("/api/v1/snapshot?search=ms").await;
    assert_eq!(found["rows"].as_array().unwrap().len(), 1);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = page.get("/status").await;
        // Not there yet in the first moments.
        let status: Value = answer.json().await.unwrap_or_default();
        if status["role"] == "analyze" && status["ticksTotal"] == 301 && status["symbols"] == 2 {
            break;
        }
        assert!(Instant::now() < deadline, "the status is renewed: {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    page.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_gives_a_snapshot_and_then_what_changes() {
    let page = Page::start().await;
    page.send(&trades("AAPL", 1)[0]).await;
    page.until("the tick is read", |s| s["market"]["ticks"] == 1)
        .await;

    let mut events = Events::open(&page).await;
    let (name, mut data) = events.next().await;
    assert_eq!(name, "snapshot");
    let mut seq = data["seq"].as_u64().unwrap();

    page.send(&trades("AAPL", 2)[1]).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while row(&data, "AAPL")["last"] != "100.01" {
        assert!(
            Instant::now() < deadline,
            "no delta tells the price: {data}"
        );
        let (name, next) = events.next().await;
        assert_eq!(name, "delta");
        assert!(
            next["seq"].as_u64().unwrap() > seq,
            "deltas are numbered upwards"
        );
        seq = next["seq"].as_u64().unwrap();
        data = next;
        if data["rows"].is_null() {
            data["rows"] = Value::Array(Vec::new());
        }
    }
    assert!(
        row(&data, "AAPL")["open"].is_null(),
        "a delta carries only what changed"
    );
    page.stop().await;
}

/// What a lander leaves behind: tips of both partitions, one of which has landed on an earlier day too.
async fn land(page: &Page) {
    let context = &page.context;
    let clients = Clients::connect(&context.pipeline.aws, &context.secrets)
        .await
        .unwrap();
    clients
        .s3
        .create_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    let store = Store::new(clients.s3, BUCKET);
    let owner = Owner {
        lake_id: "lake".to_owned(),
        identity: context.identity(),
    };
    let key = Owner::key(&context.pipeline.lake.prefix);
    store.put_json(&key, &owner).await.unwrap();
    let bootstrap = page.kafka.addr().to_string();
    let topic = admin::topic_id(&bootstrap, TOPIC).await.unwrap();
    let ledger = Ledger::open(store.clone(), "lake");
    let day = |day: i8, rows: u64| DaySummary {
        day: jiff::civil::date(2026, 11, day),
        start: 0,
        end: rows as i64 - 1,
        claims: 1,
        records: rows,
        rows,
        quarantined: 0,
        lost: 0,
        files: 2,
        bytes: 1000,
    };
    // As a lander does: a day's summary is there before the tip says that the day has ended.
    ledger
        .partition(topic, 0)
        .put_summary(&day(19, 100))
        .await
        .unwrap();
    for (partition, rows) in [(0, 10), (1, 20)] {
        let watermark = Some(START + rows as i64 * SECOND);
        let tip = Tip {
            claim_id: uuid::Uuid::new_v4(),
            start: 0,
            end: -1,
            epoch: 1,
            at: jiff::Timestamp::now(),
            watermark,
            visible_watermark: watermark,
            unregistered: std::collections::BTreeSet::new(),
            closed_through: None,
            day: day(20, rows),
        };
        ledger
            .partition(topic, partition)
            .put_tip(&tip)
            .await
            .unwrap();
    }
    let record: RunRecord = serde_json::from_value(json!({
        "runKey": "report/daily-ohlcv@2026-11-19",
        "attempt": 0,
        "state": "Succeeded",
        "owner": "it",
        "claimedAt": "2026-11-19T21:30:00Z",
        "dataDate": "2026-11-19",
        "intervalStart": "2026-11-19T14:30:00Z",
        "intervalEnd": "2026-11-19T21:00:00Z",
        "rows": 2,
        "scannedBytes": 10_485_760,
        "costUsd": "0.000048",
        "output": "s3://it-lake/results/1.csv",
    }))
    .unwrap();
    let key = RunRecord::object_key("lake", &record.run_key, 0);
    store.put_json(&key, &record).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_landed_comes_from_the_ledger_and_lag_from_kafkas_ends() {
    let page = Page::start().await;
    let before = page
        .until("the offsets are read", |s| s["lake"]["lag"] == 0)
        .await;
    assert_eq!(
        before["lake"]["rows"],
        Value::Null,
        "nobody has claimed the prefix"
    );
    assert_eq!(before["reports"][0]["state"], "NotRun");

    for trade in trades("AAPL", 30) {
        page.send(&trade).await;
    }
    land(&page).await;
    let after = page
        .until("the tips are read", |s| {
            s["lake"]["rows"] == 130 && s["lake"]["lag"] == 30 && s["reports"][0]["rows"] == 2
        })
        .await;
    assert_eq!(after["lake"]["files"], 6);
    assert_eq!(after["lake"]["bytes"], 3000);
    assert_eq!(after["lake"]["watermark"], "2026-11-20T15:00:10Z");
    assert_eq!(after["lake"]["watermarkDelayMs"], 19_000);
    assert_eq!(after["lake"]["problem"], Value::Null);
    let report = &after["reports"][0];
    assert_eq!(report["state"], "Succeeded");
    assert_eq!(report["costUsd"], "0.000048");
    assert_eq!(report["output"], "s3://it-lake/results/1.csv");
    assert_eq!(page.json("/api/v1/reports").await, after["reports"]);
    page.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_flow_while_s3_is_away_and_the_page_says_why_the_lake_is_unknown() {
    let mut page = Page::start().await;
    land(&page).await;
    page.until("the tips are read", |s| s["lake"]["rows"] == 130)
        .await;
    page.s3.take().unwrap().shutdown().await;
    page.send(&trades("AAPL", 1)[0]).await;
    let snapshot = page
        .until("S3 is missed", |s| {
            s["market"]["ticks"] == 1 && s["lake"]["problem"].is_string()
        })
        .await;
    assert_eq!(snapshot["market"]["connected"], true);
    assert_eq!(snapshot["lake"]["lag"], Value::Null);
    assert_eq!(snapshot["lake"]["rows"], 130, "what is known stays");
    let problem = snapshot["lake"]["problem"].as_str().unwrap();
    assert!(
        problem.contains("s3://") || problem.contains("S3"),
        "{problem}"
    );
    assert!(problem.contains("these figures are"), "{problem}");
    page.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_added_is_read_from_its_beginning() {
    let mut page = Page::start().await;
    page.send(&trades("AAPL", 1)[0]).await;
    page.until("the tick is read", |s| s["market"]["ticks"] == 1)
        .await;
    let bootstrap = page.kafka.addr().to_string();
    grow(&bootstrap, TOPIC, 3).await;
    page.producer = producer(&bootstrap);
    page.send_to(&trades("MSFT", 1)[0], Some(2)).await;
    let snapshot = page
        .until("the new partition is read", |s| s["market"]["ticks"] == 2)
        .await;
    assert_eq!(row(&snapshot, "MSFT")["last"], "100");
    page.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_keeps_to_its_own_origin_and_refuses_foreign_hosts() {
    let page = Page::start().await;
    let index = page.get("/").await;
    let headers = index.headers().clone();
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(headers.get("access-control-allow-origin").is_none());
    assert_eq!(headers["cache-control"], "no-cache");

    let html = index.text().await.unwrap();
    let script = html
        .split('"')
        .find_map(|part| {
            part.strip_prefix("./assets/")
                .filter(|p| p.ends_with(".js"))
        })
        .expect("the page has a script");
    let script = page.get(&format!("/assets/{script}")).await;
    assert_eq!(
        script.headers()["content-type"],
        "text/javascript; charset=utf-8"
    );
    assert!(
        script.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );

    let client = reqwest::Client::new();
    for host in [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
    ] {
        for path in ["/", "/api/v1/snapshot", "/api/v1/stream", "/status"] {
            let answer = client
                .get(page.url(path))
                .header("host", host)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 421, "{path} for {host}");
        }
    }
    let local = client
        .get(page.url("/healthz"))
        .header("host", format!("localhost:{}", page.address.port()))
        .send()
        .await
        .unwrap();
    assert_eq!(local.text().await.unwrap(), "ok\n");

    assert_eq!(page.get("/nothing").await.status(), 404);
    assert_eq!(page.get("/api/v1/symbols/NONE/bars").await.status(), 404);
    let posted = client
        .post(page.url("/api/v1/snapshot"))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 405);
    page.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_ends_at_once_though_a_page_is_open() {
    let page = Page::start().await;
    let mut events = Events::open(&page).await;
    events.next().await;
    page.stop().await;
}
