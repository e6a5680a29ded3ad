//! Landing, end to end: every record once, whatever happens, and an audit that agrees.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use stockpipe::athena::{Athena, Backends};
use stockpipe::aws_front::{Listener, Server, Services};
use stockpipe::broker::{Broker, Config};
use stockpipe::credentials::Credentials;
use stockpipe::glue::Glue;
use stockpipe::s3;
use stockpipe_crds::Pipeline;
use stockpipe_crds::pipeline::{Aws, Endpoint, Endpoints};
use stockpipe_crds::worker_status::RoleStatus;
use stockpipe_workers::audit::{self, AuditReport};
use stockpipe_workers::aws::Clients;
use stockpipe_workers::context::Context;
use stockpipe_workers::kafka::{KIND_HEADER, admin};
use stockpipe_workers::land::{self, LandError};
use stockpipe_workers::ledger::{AmendmentKind, ClaimKind, Ledger, Owner};
use stockpipe_workers::provision;
use stockpipe_workers::repair::{self, Diagnosis};
use stockpipe_workers::secrets::Secrets;
use stockpipe_workers::status::StatusBoard;
use stockpipe_workers::store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const BUCKET: &str = "it-lake";
const TOPIC: &str = "us.ticks";
const PARTITIONS: i32 = 3;
const SECRET: &str = "stockpipe-local";
const HOUR_NS: i64 = 3_600_000_000_000;
/// 2026-11-20T14:00:00Z.
const OPEN_NS: i64 = 1_795_183_200_000_000_000;
const SYMBOLS: [&str; 7] = ["AAPL", "AMZN", "GOOG", "META", "MSFT", "NVDA", "TSLA"];

/// Kafka and the AWS APIs of the test's own, each of which can be stopped and started again at its address.
struct Bed {
    directory: tempfile::TempDir,
    credentials: Credentials,
    kafka: Option<Broker>,
    kafka_at: SocketAddr,
    s3: Option<Server>,
    s3_at: SocketAddr,
}

impl Bed {
    async fn start() -> Self {
        // Ignored: another test of this process may have installed the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_env("STOCKPIPE_LOG"))
            .with_test_writer()
            .try_init();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let credentials = Credentials::generate();
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secrets").join(SECRET);
        std::fs::create_dir_all(&secret).unwrap();
        std::fs::write(secret.join("AWS_ACCESS_KEY_ID"), &credentials.access_key_id).unwrap();
        std::fs::write(
            secret.join("AWS_SECRET_ACCESS_KEY"),
            &credentials.secret_access_key,
        )
        .unwrap();
        let mut bed = Self {
            directory,
            credentials,
            kafka: None,
            kafka_at: any,
            s3: None,
            s3_at: any,
        };
        bed.start_kafka("kafka").await;
        bed.start_s3().await;
        let clients = bed.clients().await;
        clients
            .s3
            .create_bucket()
            .bucket(BUCKET)
            .send()
            .await
            .unwrap();
        create_topic(&bed.bootstrap(), &[]).await;
        bed
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn start_kafka(&mut self, folder: &str) {
        let mut config = Config::new(self.path().join(folder), self.kafka_at);
        config.retention_interval = Duration::from_millis(200);
        let broker = Broker::start(config).await.unwrap();
        self.kafka_at = broker.addr();
        self.kafka = Some(broker);
    }

    async fn stop_kafka(&mut self) {
        self.kafka.take().unwrap().shutdown().await.unwrap();
    }

    async fn start_s3(&mut self) {
        let store = until_some("the S3 directory is free", || async {
            s3::Store::open(&self.path().join("s3"), s3::Durability::Kill).ok()
        })
        .await;
        let listener = Listener::bind(self.s3_at).await.unwrap();
        self.s3_at = listener.addr();
        let clients = self.clients().await;
        let backends = Backends {
            glue: clients.glue,
            s3: clients.s3,
            region: "us-east-1".to_owned(),
            default_output: None,
        };
        let services = Services {
            store,
            glue: Arc::new(Glue::open(&self.path().join("glue")).unwrap()),
            athena: Arc::new(Athena::open(&self.path().join("athena"), backends).unwrap()),
            credentials: self.credentials.clone(),
            hosts: Vec::new(),
        };
        self.s3 = Some(Server::serve(listener, services));
    }

    async fn stop_s3(&mut self) {
        self.s3.take().unwrap().shutdown().await;
    }

    fn bootstrap(&self) -> String {
        self.kafka_at.to_string()
    }

    async fn clients(&self) -> Clients {
        Clients::connect(&self.aws(), &Secrets::new([self.path().join("secrets")]))
            .await
            .unwrap()
    }

    fn aws(&self) -> Aws {
        let url = || Endpoint::Url(format!("http://{}", self.s3_at));
        Aws {
            region: "us-east-1".to_owned(),
            credentials_secret: Some(SECRET.to_owned()),
            endpoints: Endpoints {
                s3: url(),
                glue: url(),
                athena: url(),
            },
            s3_path_style: true,
        }
    }

    /// What a lander of the pipeline `name` is given.
    fn context(&self, name: &str, lake: &str) -> Context {
        let yaml = format!(
            "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: {name}}}\nspec:\n  \
             kafka: {{topic: {{name: {TOPIC}, partitions: {PARTITIONS}}}}}\n  \
             lake: {{bucket: {BUCKET}, prefix: us/ticks, {lake}}}\n"
        );
        let mut pipeline = Pipeline::from_yaml(&yaml, "pipeline.yaml").unwrap();
        pipeline.kafka.bootstrap_servers = Some(self.bootstrap());
        pipeline.aws = self.aws();
        // Shorter than a file may say, so that the tests see many ranges.
        pipeline.lake.roll.max_age = Duration::from_millis(200);
        Context {
            pipeline: Arc::new(pipeline),
            secrets: Secrets::new([self.path().join("secrets")]),
            cluster_id: "it".to_owned(),
            base_dir: self.path().to_owned(),
            shutdown: CancellationToken::new(),
            status: StatusBoard::new("land"),
        }
    }

    async fn store(&self) -> Store {
        Store::new(self.clients().await.s3, BUCKET)
    }

    async fn ledger(&self) -> Ledger {
        Ledger::open(self.store().await, "lake-1")
    }

    /// Makes `ctx`'s pipeline the owner of the prefix, as `provision` does.
    async fn own(&self, ctx: &Context) {
        let owner = Owner {
            lake_id: "lake-1".to_owned(),
            identity: ctx.identity(),
        };
        self.store()
            .await
            .put_json(&Owner::key("us/ticks"), &owner)
            .await
            .unwrap();
    }

    /// Waits until the chains hold `records` offsets.
    async fn landed(&self, offsets: i64) {
        let ledger = self.ledger().await;
        let topic_id = admin::topic_id(&self.bootstrap(), TOPIC).await.unwrap();
        until(&format!("{offsets} offsets are claimed"), || async {
            let mut found = 0;
            for partition in 0..PARTITIONS {
                let tip = ledger.tip(topic_id, partition).await.ok().flatten();
                found += tip.map_or(0, |t| t.end + 1);
            }
            assert!(found <= offsets, "{found} offsets are claimed of {offsets}");
            found == offsets
        })
        .await;
    }
}

/// A lander that runs until it is stopped.
struct Running {
    ctx: Context,
    task: JoinHandle<Result<(), LandError>>,
}

impl Running {
    fn start(ctx: &Context) -> Self {
        let ctx = ctx.for_role("land");
        let task = tokio::spawn({
            let ctx = ctx.clone();
            async move { land::run(&ctx).await }
        });
        Self { ctx, task }
    }

    async fn stop(self) {
        self.ctx.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// The condition `Landing`, once it has this reason.
    async fn condition(&self, reason: &str) -> String {
        until_some(&format!("the lander says {reason}"), || async {
            assert!(!self.task.is_finished(), "the lander ended");
            let conditions = self.ctx.status.snapshot()?.conditions;
            let found = conditions.into_iter().find(|c| c.reason == reason)?;
            Some(found.message)
        })
        .await
    }
}

/// Writes ticks and what else may lie in a topic.
struct Market {
    producer: ThreadedProducer<DefaultProducerContext>,
    next: u64,
}

impl Market {
    fn open(bootstrap: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Self { producer, next: 0 }
    }

    /// `count` ticks over the symbols, `step_ns` of event time apart.
    fn ticks(&mut self, count: u64, step_ns: i64) {
        for _ in 0..count {
            let symbol = (self.next % SYMBOLS.len() as u64) as usize;
            let ts = OPEN_NS + self.next as i64 * step_ns;
            let value = format!(
                r#"{{"symbol":"{}","source":"simulated","kind":"trade","run":"it","seq":{},"ts_event_ns":{ts},"ts_ingest_ns":{ts},"trade_date":"2026-11-20","price":{}.25,"size":100}}"#,
                SYMBOLS[symbol],
                self.next / SYMBOLS.len() as u64 + 1,
                100 + symbol,
            );
            self.send(
                symbol as i32 % PARTITIONS,
                SYMBOLS[symbol],
                value.as_bytes(),
                None,
            );
            self.next += 1;
        }
        self.flush();
    }

    fn heartbeats(&self, until: i64) {
        let body = format!(r#"{{"producer":"p","until":{until},"run":"it"}}"#);
        for partition in 0..PARTITIONS {
            self.send(partition, "", body.as_bytes(), Some("heartbeat"));
        }
        self.flush();
    }

    fn send(&self, partition: i32, key: &str, value: &[u8], kind: Option<&str>) {
        let mut record = BaseRecord::to(TOPIC)
            .partition(partition)
            .key(key)
            .payload(value);
        if let Some(kind) = kind {
            record = record.headers(OwnedHeaders::new().insert(Header {
                key: KIND_HEADER,
                value: Some(kind),
            }));
        }
        let mut next = Some(record);
        while let Some(record) = next.take() {
            if let Err((_, back)) = self.producer.send(record) {
                std::thread::sleep(Duration::from_millis(5));
                next = Some(back);
            }
        }
    }

    fn flush(&self) {
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }
}

async fn create_topic(bootstrap: &str, config: &[(&str, &str)]) {
    let client: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let mut topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
    for (name, value) in config {
        topic = topic.set(name, value);
    }
    let made = client
        .create_topics([&topic], &AdminOptions::new())
        .await
        .unwrap();
    assert!(made[0].is_ok(), "{made:?}");
}

async fn until_some<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "60 s passed before {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    until_some(what, || {
        let looked = look();
        async move { looked.await.then_some(()) }
    })
    .await;
}

async fn audited(ctx: &Context) -> AuditReport {
    let report = audit::verify(ctx).await.unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    report
}

const FAST: &str = "partitionBy: Hour";

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_ticks_land_once_and_the_audit_agrees() {
    let bed = Bed::start().await;
    let ctx = bed.context("one", FAST);
    let mut market = Market::open(&bed.bootstrap());
    // Waits for its owner record quietly.
    let lander = Running::start(&ctx);
    market.heartbeats(OPEN_NS);
    market.ticks(25_000, HOUR_NS / 10_000);
    bed.own(&ctx).await;
    bed.landed(25_003).await;
    for bad in [&b"{\"symbol\":"[..], b"", b"{\"price\":1e400}"] {
        market.send(1, "AAPL", bad, None);
    }
    market.ticks(25_000, HOUR_NS / 10_000);
    market.heartbeats(OPEN_NS + 5 * HOUR_NS);
    bed.landed(50_009).await;
    lander.stop().await;

    let report = audited(&ctx).await;
    assert_eq!(report.total(|p| p.rows), 50_000);
    assert_eq!(report.total(|p| p.heartbeats), 6);
    assert_eq!(report.total(|p| p.quarantined), 3);
    assert_eq!(report.total(|p| p.compared), 50_009);
    assert_eq!((report.sequences.series, report.sequences.missing), (7, 0));
    // Five hours, landed in several ranges.
    assert!(report.total(|p| p.files) >= 5 * 3);
    let topic_id = report.partitions[0].topic_id;
    let tip = bed.ledger().await.tip(topic_id, 0).await.unwrap().unwrap();
    assert_eq!(tip.watermark, Some(OPEN_NS + 5 * HOUR_NS));
    assert_eq!(
        tip.closed_through.unwrap().to_string(),
        "dt=2026-11-20/hour=18"
    );
    assert_eq!(
        tip.visible_watermark, None,
        "Glue has no table: reports must wait"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_is_visible_once_its_periods_are_registered_in_glue() {
    let bed = Bed::start().await;
    let ctx = bed.context("glue", FAST);
    provision::run(&ctx).await.unwrap();
    let mut market = Market::open(&bed.bootstrap());
    market.ticks(700, HOUR_NS / 300);
    market.heartbeats(OPEN_NS + 3 * HOUR_NS);
    let lander = Running::start(&ctx);
    let owner = Owner::read(&bed.store().await, "us/ticks")
        .await
        .unwrap()
        .unwrap();
    let ledger = Ledger::open(bed.store().await, &owner.lake_id);
    let topic_id = admin::topic_id(&bed.bootstrap(), TOPIC).await.unwrap();
    until("the watermark is visible", || async {
        ledger.watermark(topic_id, PARTITIONS).await.unwrap() == Some(OPEN_NS + 3 * HOUR_NS)
    })
    .await;
    lander.stop().await;
    let catalog = &ctx.pipeline.catalog;
    let glue = bed.clients().await.glue;
    let found = glue
        .get_partitions()
        .database_name(&catalog.database)
        .table_name(&catalog.table)
        .send()
        .await
        .unwrap();
    let mut values: Vec<_> = found
        .partitions()
        .iter()
        .map(|p| p.values().join(" "))
        .collect();
    values.sort();
    // Three hours with rows, and the next one ahead of its rows.
    assert_eq!(
        values,
        [
            "2026-11-20 14",
            "2026-11-20 15",
            "2026-11-20 16",
            "2026-11-20 17"
        ]
    );
    let location = found.partitions()[0]
        .storage_descriptor()
        .unwrap()
        .location()
        .unwrap();
    assert!(
        location.starts_with("s3://it-lake/us/ticks/dt=2026-11-20/hour="),
        "{location}"
    );
    audited(&ctx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_land_as_parquet_does() {
    let bed = Bed::start().await;
    let ctx = bed.context("json", "format: Json, compression: Gzip, partitionBy: Day");
    bed.own(&ctx).await;
    let mut market = Market::open(&bed.bootstrap());
    market.ticks(10_000, 1_000_000);
    let lander = Running::start(&ctx);
    bed.landed(10_000).await;
    lander.stop().await;
    let report = audited(&ctx).await;
    assert_eq!(report.total(|p| p.rows), 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lander_that_is_stopped_goes_on_where_it_ended() {
    let bed = Bed::start().await;
    let ctx = bed.context("again", FAST);
    bed.own(&ctx).await;
    let mut market = Market::open(&bed.bootstrap());
    for round in 1..=3 {
        market.ticks(5_000, 1_000_000);
        let lander = Running::start(&ctx);
        bed.landed(5_000 * round).await;
        lander.stop().await;
    }
    let report = audited(&ctx).await;
    assert_eq!(report.total(|p| p.rows), 15_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn landers_of_one_group_share_the_partitions_and_hand_them_over() {
    let bed = Bed::start().await;
    let ctx = bed.context("group", FAST);
    bed.own(&ctx).await;
    let mut market = Market::open(&bed.bootstrap());
    let first = Running::start(&ctx);
    market.ticks(5_000, 1_000_000);
    let second = Running::start(&ctx);
    let assigned = |r: &Running| match r.ctx.status.snapshot().map(|s| s.role) {
        Some(RoleStatus::Land(status)) => status.partitions.len(),
        _ => 0,
    };
    for _ in 0..20 {
        market.ticks(500, 1_000_000);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("both have partitions", || async {
        assigned(&first) + assigned(&second) == 3 && assigned(&second) > 0
    })
    .await;
    first.stop().await;
    market.ticks(5_000, 1_000_000);
    bed.landed(20_000).await;
    second.stop().await;
    let report = audited(&ctx).await;
    assert_eq!(report.total(|p| p.rows), 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_landers_that_know_nothing_of_one_another_land_every_record_once() {
    let bed = Bed::start().await;
    let mut market = Market::open(&bed.bootstrap());
    // The prefix changes hands while the first lander runs: both believe that they own it, and each reads
    // every partition in a group of its own.
    let first = bed.context("first", FAST);
    bed.own(&first).await;
    let one = Running::start(&first);
    market.ticks(1_000, 1_000_000);
    bed.landed(1_000).await;
    let second = bed.context("second", FAST);
    bed.own(&second).await;
    let two = Running::start(&second);
    let mut offsets = 1_000;
    for _ in 0..25 {
        market.ticks(500, HOUR_NS / 5_000);
        offsets += 500;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    bed.landed(offsets).await;
    // Whichever was quicker so far: the second alone lands the rest.
    one.stop().await;
    market.ticks(7_500, HOUR_NS / 5_000);
    bed.landed(offsets + 7_500).await;
    two.stop().await;
    let report = audited(&second).await;
    assert_eq!(report.total(|p| p.rows), 21_000);
    let mut owners = std::collections::BTreeSet::new();
    let ledger = bed.ledger().await;
    for partition in 0..PARTITIONS {
        let mut next = 0;
        let chain = ledger.partition(report.partitions[0].topic_id, partition);
        while let Some(claim) = chain.claim(next).await.unwrap() {
            next = claim.end + 1;
            owners.insert(claim.owner);
        }
    }
    assert_eq!(owners.len(), 2, "both landed something: {owners:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_s3_is_away() {
    let mut bed = Bed::start().await;
    let ctx = bed.context("away", FAST);
    bed.own(&ctx).await;
    let mut market = Market::open(&bed.bootstrap());
    let lander = Running::start(&ctx);
    market.ticks(5_000, 1_000_000);
    bed.landed(5_000).await;
    bed.stop_s3().await;
    market.ticks(5_000, 1_000_000);
    lander.condition("StoreUnreachable").await;
    market.ticks(5_000, 1_000_000);
    bed.start_s3().await;
    bed.landed(15_000).await;
    lander.stop().await;
    let report = audited(&ctx).await;
    assert_eq!(report.total(|p| p.rows), 15_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_kafka_is_away() {
    let mut bed = Bed::start().await;
    let ctx = bed.context("kafka-away", FAST);
    bed.own(&ctx).await;
    let lander = Running::start(&ctx);
    let mut market = Market::open(&bed.bootstrap());
    market.ticks(5_000, 1_000_000);
    bed.landed(5_000).await;
    bed.stop_kafka().await;
    bed.start_kafka("kafka").await;
    market.ticks(5_000, 1_000_000);
    bed.landed(10_000).await;
    lander.stop().await;
    let report = audited(&ctx).await;
    assert_eq!(report.total(|p| p.rows), 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_the_store_dropped_are_written_again_from_kafka() {
    let bed = Bed::start().await;
    let ctx = bed.context("rebuilt", FAST);
    bed.own(&ctx).await;
    let mut market = Market::open(&bed.bootstrap());
    market.heartbeats(OPEN_NS);
    market.ticks(3_000, HOUR_NS / 500);
    let lander = Running::start(&ctx);
    bed.landed(3_003).await;
    lander.stop().await;
    let report = audited(&ctx).await;
    // As a store without the uploads: the newest claim has neither files nor uploads.
    let (store, ledger) = (bed.store().await, bed.ledger().await);
    let topic_id = report.partitions[0].topic_id;
    let tip = ledger.exact_tip(topic_id, 0).await.unwrap().unwrap();
    for file in &tip.files {
        store.delete(&file.key).await.unwrap();
    }
    let broken = audit::verify(&ctx).await.unwrap();
    assert_eq!(
        broken.findings.list[0].offsets,
        Some((tip.start, tip.end)),
        "{broken:#?}"
    );

    let lander = Running::start(&ctx);
    market.ticks(3_000, HOUR_NS / 500);
    bed.landed(6_003).await;
    lander.stop().await;
    let report = audited(&ctx).await;
    assert_eq!(report.total(|p| p.rows), 6_000);
    assert_eq!(report.total(|p| p.amended), tip.files.len() as u64);
    let amendments = ledger
        .partition(topic_id, 0)
        .amendments(tip.start)
        .await
        .unwrap();
    assert_eq!(amendments[0].kind, AmendmentKind::Rebuilt);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_lost_to_retention_are_a_claim_and_are_told_loudly() {
    let mut bed = Bed::start().await;
    // Another topic on another broker directory, with tiny segments that do not live long.
    bed.stop_kafka().await;
    bed.start_kafka("short").await;
    create_topic(
        &bed.bootstrap(),
        &[("segment.bytes", "16384"), ("retention.bytes", "32768")],
    )
    .await;
    let ctx = bed.context("short", FAST);
    bed.own(&ctx).await;
    let mut market = Market::open(&bed.bootstrap());
    market.ticks(100, 1_000_000);
    let lander = Running::start(&ctx);
    bed.landed(100).await;
    lander.stop().await;
    market.ticks(20_000, 1_000_000);
    let topic_id = admin::topic_id(&bed.bootstrap(), TOPIC).await.unwrap();
    let reader =
        stockpipe_workers::kafka::reader::RangeReader::open(&ctx.pipeline.kafka, "it").unwrap();
    let reader = Arc::new(reader);
    until("retention has dropped records", || {
        let reader = Arc::clone(&reader);
        async move {
            tokio::task::spawn_blocking(move || reader.retained(0).unwrap().low)
                .await
                .unwrap()
                > 1_000
        }
    })
    .await;
    let lander = Running::start(&ctx);
    let sentence = lander.condition("RecordsLost").await;
    assert!(sentence.contains("retention.ms"), "{sentence}");
    bed.landed(20_100).await;
    lander.stop().await;
    let report = audited(&ctx).await;
    for partition in &report.partitions {
        assert_eq!(partition.losses.len(), 1, "{partition:?}");
    }
    let lost = bed
        .ledger()
        .await
        .partition(topic_id, 0)
        .claim(report.partitions[0].losses[0].start)
        .await;
    assert_eq!(lost.unwrap().unwrap().kind, ClaimKind::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_or_made_again_is_not_landed_in_silence() {
    let mut bed = Bed::start().await;
    let ctx = bed.context("cut", FAST);
    bed.own(&ctx).await;
    let mut market = Market::open(&bed.bootstrap());
    market.ticks(700, 1_000_000);
    bed.kafka.as_ref().unwrap().flush().await.unwrap();
    // A copy of the log as it is now is what an unclean election leaves behind.
    copy(&bed.path().join("kafka"), &bed.path().join("stale"));
    market.ticks(700, 1_000_000);
    let lander = Running::start(&ctx);
    bed.landed(1_400).await;
    lander.stop().await;
    drop(market);
    bed.stop_kafka().await;
    bed.start_kafka("stale").await;

    // The log ends before the chain.
    let lander = Running::start(&ctx);
    let sentence = lander.condition("LogDiverged").await;
    assert!(
        sentence.contains("ends before offset") && sentence.contains("stockpipe repair"),
        "{sentence}"
    );
    lander.stop().await;
    let report = audit::verify(&ctx).await.unwrap();
    assert!(
        report
            .findings
            .list
            .iter()
            .any(|f| f.message.contains("not the log that was landed")),
        "{report:#?}"
    );

    let Diagnosis::Diverged { partitions } = repair::diagnose(&ctx).await.unwrap() else {
        panic!("the cut is seen");
    };
    assert!(
        partitions.iter().all(|p| p.high <= p.landed_to),
        "{partitions:?}"
    );

    // Then it is filled with other records: the last landed one is not recognised.
    let mut other = Market::open(&bed.bootstrap());
    other.next = 1_000_000;
    other.ticks(2_100, 1_000_000);
    let lander = Running::start(&ctx);
    let sentence = lander.condition("LogDiverged").await;
    assert!(sentence.contains("had CRC"), "{sentence}");
    lander.stop().await;
    drop(other);
    let found = repair::diagnose(&ctx).await.unwrap();
    assert!(matches!(found, Diagnosis::Diverged { .. }), "{found:?}");

    // And then the topic is another one altogether.
    bed.stop_kafka().await;
    bed.start_kafka("new").await;
    create_topic(&bed.bootstrap(), &[]).await;
    let mut fresh = Market::open(&bed.bootstrap());
    fresh.next = 2_000_000;
    fresh.ticks(300, 1_000_000);
    let lander = Running::start(&ctx);
    let sentence = lander.condition("LogDiverged").await;
    assert!(sentence.contains("made again"), "{sentence}");
    let found = repair::diagnose(&ctx).await.unwrap();
    let Diagnosis::MadeAgain {
        landed,
        topic_id,
        offsets,
        ..
    } = found
    else {
        panic!("{found:?}");
    };
    assert_eq!((landed[0].offsets, offsets), (1_400, 300));
    repair::follow(&ctx, topic_id).await.unwrap();
    bed.landed(300).await;
    lander.stop().await;
    assert_eq!(repair::diagnose(&ctx).await.unwrap(), Diagnosis::Sound);
    // The numbers of these ticks leap, so only what was landed counts here.
    let report = audit::verify(&ctx).await.unwrap();
    assert_eq!(report.total(|p| p.rows), 1_700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_of_another_pipeline_is_refused() {
    let bed = Bed::start().await;
    bed.own(&bed.context("mine", FAST)).await;
    let theirs = bed.context("theirs", FAST);
    let refused = land::run(&theirs).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "s3://it-lake/us/ticks belongs to pipeline `it/default/mine`, and this is `it/default/theirs`: choose \
         another lake.prefix"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_names_what_was_tampered_with() {
    let bed = Bed::start().await;
    let ctx = bed.context("tampered", FAST);
    bed.own(&ctx).await;
    let mut market = Market::open(&bed.bootstrap());
    market.ticks(3_000, 1_000_000);
    let lander = Running::start(&ctx);
    bed.landed(3_000).await;
    lander.stop().await;
    let report = audited(&ctx).await;
    let (store, ledger) = (bed.store().await, bed.ledger().await);
    let claim = ledger
        .partition(report.partitions[1].topic_id, 1)
        .claim(0)
        .await
        .unwrap()
        .unwrap();

    // A copy of a file doubles its rows for every reader.
    let bytes = store.get(&claim.files[0].key).await.unwrap().unwrap();
    let copy = claim.files[0].key.replace(".parquet", "-copy.parquet");
    store.put(&copy, bytes.clone()).await.unwrap();
    let report = audit::verify(&ctx).await.unwrap();
    assert!(
        report
            .findings
            .list
            .iter()
            .any(|f| f.message.contains(&copy)),
        "{:?}",
        report.findings
    );
    store.delete(&copy).await.unwrap();

    // Another object in place of a file.
    store.put(&claim.files[0].key, bytes).await.unwrap();
    let report = audit::verify(&ctx).await.unwrap();
    let found = report
        .findings
        .list
        .iter()
        .find(|f| f.message.contains("another object"))
        .unwrap();
    assert_eq!(
        (found.partition, found.offsets),
        (Some(1), Some((0, claim.end)))
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
