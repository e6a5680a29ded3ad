//! Crawls: what lies in the lake gets into the catalog, once for each run key, and the pipeline's own columns stay.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_glue::types::{Crawler, CrawlerState, CrawlerTargets, S3Target};
use aws_sdk_s3::primitives::ByteStream;
use stockpipe_crds::run_record::{RunRecord, RunState};
use stockpipe_crds::worker_status::{RoleStatus, WorkerState};
use stockpipe_workers::aws::Clients;
use stockpipe_workers::ledger::Owner;
use stockpipe_workers::store::Store;
use stockpipe_workers::{crawl, provision, report, teardown};

use crate::cloud::Cloud;

fn pipeline(catalog: &str) -> String {
    format!(
        "
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {{name: us}}
spec:
  market: {{calendar: 24x7, symbols: [AAPL]}}
  kafka: {{topic: {{partitions: 1}}}}
  lake: {{bucket: it-lake, prefix: us/ticks, format: Json, partitionBy: Day, deletionPolicy: Delete}}
  catalog: {{database: market, table: ticks, crawler: {catalog}}}
  reports:
    - name: crawled
      sql: {{query: \"SELECT count(*), sum(size), min(dt), max(dt) FROM market.crawled_ticks\"}}
      interval: Day
      deadline: 1s
"
    )
}

const OF_THE_TABLE: &str = "{schedule: {cron: '5 * * * *'}}";
const OF_THE_FILES: &str = "{target: S3}";
const KEY: &str = "crawl/ticks@2026-11-20T1505Z";

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

async fn put(clients: &Clients, key: &str, body: Vec<u8>) {
    let call = clients.s3.put_object().bucket("it-lake").key(key);
    call.body(ByteStream::from(body)).send().await.unwrap();
}

/// A lake of two days, whose files have a column that the table has not.
async fn lake(cloud: &Cloud, catalog: &str) -> Clients {
    provision::run(&cloud.context(&pipeline(catalog), "provision"))
        .await
        .unwrap();
    let clients = cloud.clients().await;
    for day in ["2026-11-19", "2026-11-20"] {
        let line = "{\"symbol\": \"AAPL\", \"price\": 274.5, \"size\": 100, \"halted\": false}\n";
        let key = format!("us/ticks/dt={day}/a.json.gz");
        put(&clients, &key, gzip(&line.repeat(3))).await;
    }
    clients
}

async fn crawled(cloud: &Cloud, catalog: &str, key: &str) -> RunRecord {
    crawl::run(&cloud.context(&pipeline(catalog), "crawl"), key)
        .await
        .unwrap()
}

async fn columns(clients: &Clients, table: &str) -> Vec<String> {
    let call = clients.glue.get_table().database_name("market").name(table);
    let table = call.send().await.unwrap().table.unwrap();
    table
        .storage_descriptor
        .unwrap()
        .columns()
        .iter()
        .map(|c| format!("{} {}", c.name(), c.r#type().unwrap_or_default()))
        .collect()
}

async fn partitions(clients: &Clients, table: &str) -> Vec<String> {
    let call = clients.glue.get_partitions().database_name("market");
    let found = call.table_name(table).send().await.unwrap();
    found
        .partitions()
        .iter()
        .map(|p| p.values().join("/"))
        .collect()
}

async fn crawler(clients: &Clients) -> Option<Crawler> {
    let found = clients.glue.get_crawlers().send().await.unwrap();
    found.crawlers.unwrap_or_default().into_iter().next()
}

/// Makes the only run's record one that was claimed on the day before.
async fn claimed_long_ago(clients: &Clients) {
    let call = clients.s3.list_objects_v2().bucket("it-lake");
    let objects = call.prefix("_stockpipe/").send().await.unwrap();
    let is_run = |key: &&str| key.contains("/runs/") && key.ends_with("/0.json");
    let mut keys = objects.contents().iter().filter_map(|object| object.key());
    let key = keys.find(is_run).unwrap();
    let call = clients.s3.get_object().bucket("it-lake").key(key);
    let body = call.send().await.unwrap().body.collect().await.unwrap();
    let mut record: RunRecord = serde_json::from_slice(&body.into_bytes()).unwrap();
    record.claimed_at -= jiff::SignedDuration::from_hours(24);
    put(clients, key, serde_json::to_vec(&record).unwrap()).await;
}

/// What the crawled table holds, by the report that asks it through Athena.
async fn assert_athena_reads_the_crawled_table(cloud: &Cloud, yaml: &str) {
    let context = cloud.context(yaml, "report");
    let run = report::run(&context, "report/crawled@2026-11-20");
    let report = run.await.unwrap();
    let record = &report.record;
    assert_eq!(record.state, RunState::Succeeded, "{record:?}");
    let cells: Vec<_> = report.rows.rows[0].iter().flatten().collect();
    assert_eq!(cells, ["6", "600", "2026-11-19", "2026-11-20"]);
}

async fn until_ready(clients: &Clients, name: &str) -> Crawler {
    loop {
        let found = clients.glue.get_crawler().name(name).send().await.unwrap();
        let crawler = found.crawler.unwrap();
        if crawler.state() == Some(&CrawlerState::Ready) {
            return crawler;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_adds_the_partitions_that_the_table_lacks_and_changes_none_of_its_columns() {
    let cloud = Cloud::start().await;
    let clients = lake(&cloud, OF_THE_TABLE).await;
    let before = columns(&clients, "ticks").await;
    let context = cloud.context(&pipeline(OF_THE_TABLE), "crawl");
    let record = crawl::run(&context, KEY).await.unwrap();
    assert_eq!(record.state, RunState::Succeeded, "{record:?}");
    assert_eq!(record.run_key.to_string(), KEY);
    let done = record.crawl.as_ref().unwrap();
    assert_eq!((done.partitions, done.tables_updated), (Some(2), Some(0)));
    assert!(!done.attached);
    assert_eq!(crawl::failure(&record), None);
    let shown = context.status.snapshot().unwrap();
    assert_eq!(shown.state, WorkerState::Done);
    assert!(
        matches!(shown.role, RoleStatus::Crawl(status) if status.run_state == RunState::Succeeded)
    );
    assert_eq!(columns(&clients, "ticks").await, before);
    assert_eq!(before.len(), 31);
    assert_eq!(
        partitions(&clients, "ticks").await,
        ["2026-11-19", "2026-11-20"]
    );

    // The same run again is its stored result, and no other crawl.
    let last = |crawler: Crawler| crawler.last_crawl.unwrap().start_time;
    let start = last(crawler(&clients).await.unwrap());
    assert_eq!(crawled(&cloud, OF_THE_TABLE, KEY).await, record);
    assert_eq!(last(crawler(&clients).await.unwrap()), start);
    let newest = crawl::newest(&context).await.unwrap();
    assert_eq!(newest.as_ref(), Some(&record));

    // A worker that died while the crawler ran left the record unfinished: the crawl is the next one's result.
    let store = Store::new(clients.s3.clone(), "it-lake");
    let owner = Owner::read(&store, "us/ticks").await.unwrap().unwrap();
    let key = RunRecord::object_key(&owner.lake_id, &record.run_key, 0);
    let unfinished = RunRecord {
        state: RunState::Running,
        finished_at: None,
        ..record.clone()
    };
    store.put_json(&key, &unfinished).await.unwrap();
    let taken_over = crawled(&cloud, OF_THE_TABLE, KEY).await;
    assert_eq!(taken_over.state, RunState::Succeeded);
    assert_eq!(last(crawler(&clients).await.unwrap()), start);

    // Another attempt crawls again.
    let again = crawled(&cloud, OF_THE_TABLE, &format!("{KEY}#1")).await;
    assert_eq!(again.crawl.unwrap().partitions, Some(2));
    assert_ne!(last(crawler(&clients).await.unwrap()), start);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_of_the_files_makes_a_table_that_athena_reads() {
    let cloud = Cloud::start().await;
    let clients = lake(&cloud, OF_THE_FILES).await;
    let own = columns(&clients, "ticks").await;
    let record = crawled(&cloud, OF_THE_FILES, KEY).await;
    let done = record.crawl.unwrap();
    assert_eq!((done.tables_created, done.partitions), (Some(1), Some(2)));
    assert_eq!(
        columns(&clients, "crawled_ticks").await,
        [
            "symbol string",
            "price double",
            "size int",
            "halted boolean"
        ]
    );
    assert_eq!(columns(&clients, "ticks").await, own);
    assert_athena_reads_the_crawled_table(&cloud, &pipeline(OF_THE_FILES)).await;

    // A new day with a new column: the table grows, and the crawler's settings may change.
    let line =
        "{\"symbol\": \"AAPL\", \"price\": 1, \"size\": 1, \"halted\": true, \"venue\": \"X\"}\n";
    put(&clients, "us/ticks/dt=2026-11-21/b.json", line.into()).await;
    let record = crawled(&cloud, OF_THE_FILES, "crawl/ticks@2026-11-20T1506Z").await;
    let done = record.crawl.unwrap();
    assert_eq!((done.tables_updated, done.partitions), (Some(1), Some(3)));
    assert_eq!(
        columns(&clients, "crawled_ticks").await.last().unwrap(),
        "venue string"
    );
    let new_only = "{target: S3, recrawl: NewFolders}";
    let context = cloud.context(&pipeline(new_only), "provision");
    provision::run(&context).await.unwrap();
    let RoleStatus::Provision(status) = context.status.snapshot().unwrap().role else {
        panic!("provision says what it did");
    };
    assert!(
        status.changes[0].starts_with("altered Glue crawler"),
        "{status:?}"
    );
    put(&clients, "us/ticks/dt=2026-11-22/c.json", line.into()).await;
    let record = crawled(&cloud, new_only, "crawl/ticks@2026-11-20T1507Z").await;
    let done = record.crawl.unwrap();
    assert_eq!((done.tables_updated, done.partitions), (Some(0), Some(4)));
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_json_and_parquet_of_any_tool_become_tables() {
    let cloud = Cloud::start().await;
    let clients = lake(&cloud, OF_THE_TABLE).await;
    let csv = "Symbol;Close\nAAPL;274.5\nMSFT;402\n";
    put(&clients, "mixed/prices/a.csv", csv.into()).await;
    put(&clients, "mixed/prices/b.csv.gz", gzip(csv)).await;
    put(
        &clients,
        "mixed/quotes/2026/a.json",
        "{\"bid\": 1, \"ask\": 3000000000}\n".into(),
    )
    .await;
    put(&clients, "mixed/_tmp/x.json", "{\"a\": 1}\n".into()).await;
    put(&clients, "mixed/skipped/x.json", "{\"a\": 1}\n".into()).await;
    let target = S3Target::builder()
        .path("s3://it-lake/mixed")
        .exclusions("skipped/**")
        .build();
    let create = clients.glue.create_crawler().name("mine").role("r");
    create
        .database_name("market")
        .targets(CrawlerTargets::builder().s3_targets(target).build())
        .send()
        .await
        .unwrap();
    clients
        .glue
        .start_crawler()
        .name("mine")
        .send()
        .await
        .unwrap();
    let last = until_ready(&clients, "mine").await.last_crawl.unwrap();
    assert_eq!(
        last.status.unwrap().as_str(),
        "SUCCEEDED",
        "{:?}",
        last.error_message
    );
    assert_eq!(
        columns(&clients, "prices").await,
        ["symbol string", "close double"]
    );
    assert_eq!(columns(&clients, "quotes").await, ["bid int", "ask bigint"]);
    assert_eq!(partitions(&clients, "quotes").await, ["2026"]);
    let tables = clients
        .glue
        .get_tables()
        .database_name("market")
        .send()
        .await
        .unwrap();
    let names: Vec<_> = tables.table_list().iter().map(|t| t.name()).collect();
    assert_eq!(names, ["prices", "quotes", "ticks"]);
    let prices = &tables.table_list()[0];
    assert_eq!(prices.parameters().unwrap()["skip.header.line.count"], "1");
    cloud.stop().await;
}

/// Two days of a lake of CSV as it lands.
async fn lake_of_csv(cloud: &Cloud, yaml: &str) -> Clients {
    provision::run(&cloud.context(yaml, "provision"))
        .await
        .unwrap();
    let clients = cloud.clients().await;
    for (day, at) in [("2026-11-19", 1_795_046_400), ("2026-11-20", 1_795_132_800)] {
        let mut file = Vec::new();
        stockpipe_market::csv::header(&mut file);
        for seq in 0..3 {
            let record = format!(
                r#"{{"symbol":"AAPL","source":"feed","kind":"trade","run":"r","seq":{seq},"ts_event_ns":{at}000000000,"trade_date":"{day}","price":274.5,"size":100}}"#
            );
            let tick = stockpipe_market::json::decode(record.as_bytes()).unwrap();
            stockpipe_market::csv::encode(&tick, &mut file);
        }
        let key = format!("us/ticks/dt={day}/a.csv.gz");
        put(&clients, &key, gzip(std::str::from_utf8(&file).unwrap())).await;
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_csv_is_crawled_as_csv() {
    for target in [OF_THE_TABLE, OF_THE_FILES] {
        let yaml = pipeline(target)
            .replace("format: Json", "format: Csv")
            .replace("sum(size)", "CAST(sum(size) AS bigint)");
        let cloud = Cloud::start().await;
        let clients = lake_of_csv(&cloud, &yaml).await;
        let own = columns(&clients, "ticks").await;
        assert!(
            own.len() == 31 && own.iter().all(|c| c.ends_with(" string")),
            "{own:?}"
        );
        let context = cloud.context(&yaml, "crawl");
        let record = crawl::run(&context, KEY).await.unwrap();
        assert_eq!(record.state, RunState::Succeeded, "{record:?}");
        assert_eq!(record.crawl.unwrap().partitions, Some(2));
        assert_eq!(columns(&clients, "ticks").await, own);
        if target == OF_THE_TABLE {
            let days = ["2026-11-19", "2026-11-20"];
            assert_eq!(partitions(&clients, "ticks").await, days);
        } else {
            let call = clients.glue.get_table().database_name("market");
            let found = call.name("crawled_ticks").send().await.unwrap();
            let parameters = found.table.unwrap().parameters.unwrap();
            assert_eq!(parameters["classification"], "csv");
            assert_eq!(parameters["skip.header.line.count"], "1");
            assert_athena_reads_the_crawled_table(&cloud, &yaml).await;
        }
        cloud.stop().await;
    }
}

/// An S3 that takes calls and answers none, for as long as the listener is kept.
async fn silent() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_joins_a_crawl_that_is_under_way_and_tells_how_that_one_ended() {
    let (_silent, url) = silent().await;
    let cloud = Cloud::start_with(Some(url)).await;
    let clients = lake(&cloud, OF_THE_TABLE).await;
    let name = crawler(&clients).await.unwrap().name.unwrap();
    let glue = &clients.glue;
    glue.start_crawler().name(&name).send().await.unwrap();
    let twice = glue.start_crawler().name(&name).send().await.unwrap_err();
    assert!(twice.into_service_error().is_crawler_running_exception());
    let update = glue.update_crawler().name(&name).description("x");
    let busy = update.send().await.unwrap_err();
    assert!(busy.into_service_error().is_crawler_running_exception());

    let context = cloud.context(&pipeline(OF_THE_TABLE), "crawl");
    let run = tokio::spawn({
        let context = context.clone();
        async move { crawl::run(&context, KEY).await }
    });
    // Once it is under way, it has noted that it waits for another's crawl.
    loop {
        let status = context.status.snapshot();
        if status.is_some_and(
            |s| matches!(s.role, RoleStatus::Crawl(run) if run.run_state == RunState::Running),
        ) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!run.is_finished());
    glue.stop_crawler().name(&name).send().await.unwrap();
    let record = run.await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Failed);
    assert!(record.crawl.as_ref().unwrap().attached);
    let said = crawl::failure(&record).unwrap();
    assert_eq!(
        said,
        format!("{KEY} failed: crawler {name} was stopped before its end")
    );
    let stopped = glue.stop_crawler().name(&name).send().await.unwrap_err();
    assert!(
        stopped
            .into_service_error()
            .is_crawler_not_running_exception()
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_takes_too_long_has_failed_and_is_stopped() {
    let (_silent, url) = silent().await;
    let cloud = Cloud::start_with(Some(url)).await;
    let clients = lake(&cloud, OF_THE_TABLE).await;
    let mut context = cloud.context(&pipeline(OF_THE_TABLE), "crawl");
    let hurried = Arc::get_mut(&mut context.pipeline).unwrap();
    hurried.catalog.crawler.as_mut().unwrap().timeout = Duration::from_millis(300);
    let record = crawl::run(&context, KEY).await.unwrap();
    let error = record.error.unwrap();
    assert_eq!(error.reason, "CrawlTimedOut");
    let name = record.crawl.unwrap().crawler;
    let last = until_ready(&clients, &name).await.last_crawl.unwrap();
    assert_eq!(last.status.unwrap().as_str(), "CANCELLED");

    // Teardown stops a crawl that is under way, deletes the crawler, and leaves another's.
    let glue = &clients.glue;
    glue.start_crawler().name(&name).send().await.unwrap();
    let target = S3Target::builder().path("s3://it-lake/x").build();
    let create = glue.create_crawler().name("foreign").role("r");
    create
        .database_name("market")
        .targets(CrawlerTargets::builder().s3_targets(target).build())
        .send()
        .await
        .unwrap();
    let status = teardown::run(&cloud.context(&pipeline(OF_THE_TABLE), "teardown"))
        .await
        .unwrap();
    assert!(
        status.deleted.contains(&format!("Glue crawler {name}")),
        "{status:?}"
    );
    let left = glue.list_crawlers().send().await.unwrap();
    assert_eq!(left.crawler_names(), ["foreign"]);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawler_that_the_file_no_longer_names_goes_and_anothers_stays() {
    let cloud = Cloud::start().await;
    let clients = lake(&cloud, OF_THE_TABLE).await;
    let name = crawler(&clients).await.unwrap().name.unwrap();
    let without = pipeline("null");
    let provisioned = async |yaml: &str| {
        let context = cloud.context(yaml, "provision");
        provision::run(&context).await.unwrap();
        match context.status.snapshot().unwrap().role {
            RoleStatus::Provision(status) => status.changes,
            role => panic!("provision says what it did: {role:?}"),
        }
    };
    // Who only verifies deletes nothing.
    let verifies = without.replace("spec:", "spec:\n  provisioning: Verify");
    assert!(provisioned(&verifies).await.is_empty());
    assert!(crawler(&clients).await.is_some());
    // A crawl that is under way is stopped first.
    let glue = &clients.glue;
    glue.start_crawler().name(&name).send().await.unwrap();
    let told = format!("deleted Glue crawler {name}, which catalog.crawler no longer asks for");
    assert_eq!(provisioned(&without).await, [told]);
    assert!(crawler(&clients).await.is_none());
    assert!(provisioned(&without).await.is_empty());
    // One of that name that another made.
    let target = S3Target::builder().path("s3://it-lake/x").build();
    let create = glue.create_crawler().name(&name).role("r");
    create
        .database_name("market")
        .targets(CrawlerTargets::builder().s3_targets(target).build())
        .send()
        .await
        .unwrap();
    assert!(provisioned(&without).await.is_empty());
    assert!(crawler(&clients).await.is_some());
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_crawled_is_told_in_one_sentence() {
    let cloud = Cloud::start().await;
    let clients = lake(&cloud, OF_THE_TABLE).await;
    let name = crawler(&clients).await.unwrap().name.unwrap();
    clients
        .glue
        .delete_crawler()
        .name(&name)
        .send()
        .await
        .unwrap();
    let context = cloud.context(&pipeline(OF_THE_TABLE), "crawl");
    let error = crawl::run(&context, KEY).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("Glue crawler `{name}` does not exist yet: it is made by the role `provision`")
    );
    // A minute later it is not being made either: that is what the run comes to.
    claimed_long_ago(&clients).await;
    let record = crawl::run(&context, KEY).await.unwrap();
    assert_eq!(record.state, RunState::Failed);
    let told = crawl::failure(&record).unwrap();
    let start = format!("{KEY} failed: Glue crawler `{name}` does not exist: provision makes it");
    assert!(told.starts_with(&start), "{told}");
    assert_eq!(record.crawl.unwrap().crawler, name);
    let minutes = 1_763_650_800 / 60 + 5;
    let key = crawl::scheduled_key(&context, Some(&format!("us-crawl-{minutes}"))).unwrap();
    assert_eq!(key, "crawl/ticks@2025-11-20T1505Z");
    let by_hand = crawl::scheduled_key(&context, Some("us-crawl-by-hand")).unwrap_err();
    assert!(
        by_hand.to_string().contains("stockpipe.dev/run-now"),
        "{by_hand}"
    );
    cloud.stop().await;
}
