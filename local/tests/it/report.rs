//! Reports: the numbers of the file, once for each run key, whatever happens in between.

use std::time::Duration;

use stockpipe_crds::run_record::{RunRecord, RunState};
use stockpipe_workers::context::Context;
use stockpipe_workers::ledger::Owner;
use stockpipe_workers::store::Store;
use stockpipe_workers::{land, produce, provision, report};
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;

const PRICES: &str = "Date,Symbol,Open,High,Low,Close,Volume
11/19/2026,AAPL,270.5,275.25,269.125,274,1000
11/19/2026,MSFT,400,404.5,399,402.75,2500.5
11/20/2026,AAPL,274,276,271.5,272.000000001,1200
11/20/2026,MSFT,402.75,410,402,409.5,2600
";

const PIPELINE: &str = r#"
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {name: us}
spec:
  market: {calendar: XNYS, symbols: [AAPL, MSFT]}
  source:
    replay:
      uri: prices.csv
      speed: 0
      columns: {symbol: Symbol, date: Date, timeFormat: "%m/%d/%Y", open: Open, high: High, low: Low, close: Close, volume: Volume}
  kafka: {topic: {partitions: 2}}
  lake: {bucket: it-lake, prefix: us, partitionBy: Day, roll: {maxAge: 1s}}
  catalog: {database: market, table: ticks}
  reports:
    - {name: daily-ohlcv, builtin: daily-ohlcv, interval: Session, deadline: 1m}
    - {name: hurried, builtin: daily-ohlcv, interval: Session, deadline: 1s}
    - name: count
      sql: {query: "SELECT count(*) AS n, sum(volume) AS volume FROM \"{{database}}\".\"{{table}}\" WHERE {{where}}"}
      interval: Session
      deadline: 1m
    - name: wrong
      sql: {query: "SELECT nothing_of_that_name FROM {{table}}"}
      interval: Session
      deadline: 1s
    - name: misspelt
      sql: {query: "SELECT {{tabel}}"}
      interval: Session
      deadline: 1s
"#;

/// A lake with the file's rows in it; the lander drains when the token is cancelled.
async fn landed(cloud: &Cloud) {
    std::fs::write(cloud.path().join("prices.csv"), PRICES).unwrap();
    provision::run(&cloud.context(PIPELINE, "provision"))
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let role = |name: &str| Context {
        shutdown: stop.clone(),
        ..cloud.context(PIPELINE, name)
    };
    let producer = tokio::spawn({
        let context = role("produce");
        async move { produce::run(&context).await }
    });
    let lander = tokio::spawn({
        let context = role("land");
        async move { land::run(&context).await }
    });
    let expected: jiff::Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    let reader = role("report");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while report::watermark(&reader)
        .await
        .unwrap()
        .is_none_or(|w| w < expected)
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the watermark stays behind"
        );
        assert!(!producer.is_finished() && !lander.is_finished());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.cancel();
    producer.await.unwrap().unwrap();
    lander.await.unwrap().unwrap();
}

fn cells(outcome: &report::Outcome) -> Vec<Vec<&str>> {
    outcome
        .rows
        .rows
        .iter()
        .map(|row| row.iter().map(|c| c.as_deref().unwrap_or("NULL")).collect())
        .collect()
}

async fn run(cloud: &Cloud, key: &str) -> report::Outcome {
    report::run(&cloud.context(PIPELINE, "report"), key)
        .await
        .unwrap()
}

async fn stored(cloud: &Cloud, record: &RunRecord) -> (String, Store) {
    let store = Store::new(cloud.clients().await.s3, "it-lake");
    let owner = Owner::read(&store, "us").await.unwrap().unwrap();
    let key = RunRecord::object_key(&owner.lake_id, &record.run_key, record.attempt);
    (key, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daily_report_is_the_files_row_and_is_asked_once() {
    let cloud = Cloud::start().await;
    landed(&cloud).await;
    let first = run(&cloud, "report/daily-ohlcv@2026-11-20").await;
    let record = &first.record;
    assert_eq!(record.state, RunState::Succeeded, "{record:?}");
    assert!(!record.partial);
    assert_eq!(record.rows, Some(2));
    assert!(record.scanned_bytes.unwrap() > 0);
    assert_eq!(
        first
            .rows
            .columns
            .iter()
            .map(|c| c.0.as_str())
            .collect::<Vec<_>>(),
        [
            "symbol", "open", "high", "low", "close", "volume", "vwap", "trades"
        ]
    );
    assert_eq!(
        cells(&first),
        [
            [
                "AAPL",
                "274.000000000",
                "276.000000000",
                "271.500000000",
                "272.000000001",
                "1200.0000000000",
                "NULL",
                "NULL"
            ],
            [
                "MSFT",
                "402.750000000",
                "410.000000000",
                "402.000000000",
                "409.500000000",
                "2600.0000000000",
                "NULL",
                "NULL"
            ],
        ]
    );

    // Again: the stored result, with the rows. By hand as attempt 1: another execution.
    let again = run(&cloud, "report/daily-ohlcv@2026-11-20").await;
    assert_eq!(&again.record, record);
    assert_eq!(again.rows, first.rows);
    let by_hand = run(&cloud, "report/daily-ohlcv@2026-11-20#1").await;
    assert_ne!(by_hand.record.query_execution_id, record.query_execution_id);

    // A worker that died after its query had started left the record unfinished: the next one
    // attaches to the same execution.
    let (key, store) = stored(&cloud, record).await;
    let unfinished = RunRecord {
        state: RunState::Running,
        finished_at: None,
        query_execution_id: None,
        rows: None,
        ..record.clone()
    };
    store.put_json(&key, &unfinished).await.unwrap();
    let taken_over = run(&cloud, "report/daily-ohlcv@2026-11-20").await.record;
    assert_eq!(taken_over.query_execution_id, record.query_execution_id);
    assert_eq!(taken_over.state, RunState::Succeeded);

    let newest = report::list(&cloud.context(PIPELINE, "report"))
        .await
        .unwrap();
    assert_eq!(newest.len(), 1);
    assert_eq!(
        (newest[0].run_key.to_string().as_str(), newest[0].attempt),
        ("report/daily-ohlcv@2026-11-20", 1)
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn free_sql_sees_exactly_the_rows_of_its_interval() {
    let cloud = Cloud::start().await;
    landed(&cloud).await;
    let outcome = run(&cloud, "report/count@2026-11-19").await;
    assert_eq!(cells(&outcome), [["2", "3500.5000000000"]]);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_data_never_come_runs_as_partial_after_its_deadline() {
    let cloud = Cloud::start().await;
    landed(&cloud).await;
    let outcome = run(&cloud, "report/hurried@2026-11-23").await;
    assert_eq!(
        outcome.record.state,
        RunState::Succeeded,
        "{:?}",
        outcome.record
    );
    assert!(outcome.record.partial);
    assert_eq!(outcome.record.rows, Some(0));
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_told_in_one_sentence() {
    let cloud = Cloud::start().await;
    let context = cloud.context(PIPELINE, "report");
    let error = async |key: &str| report::run(&context, key).await.unwrap_err().to_string();
    let before = error("report/wrong@2026-11-20").await;
    assert!(
        before.contains("is not there")
            || before.contains("not provisioned")
            || before.contains("NoSuchBucket"),
        "{before}"
    );
    provision::run(&cloud.context(PIPELINE, "provision"))
        .await
        .unwrap();
    for (key, part) in [
        (
            "report/none@2026-11-20",
            "there is no report `none`: the pipeline has daily-ohlcv,",
        ),
        (
            "report/wrong@2026-11-26",
            "names no session of calendar XNYS",
        ),
        ("report/misspelt@2026-11-20", "{{tabel}}"),
        ("wrong", "is not a run key"),
    ] {
        let error = error(key).await;
        assert!(error.contains(part), "{part} in {error}");
    }
    // A statement that Athena refuses is a run that ended, with the reason.
    let failed = run(&cloud, "report/wrong@2026-11-20").await.record;
    assert_eq!(failed.state, RunState::Failed);
    let reason = failed.error.unwrap();
    assert!(
        ["QueryFailed", "QueryRefused"].contains(&reason.reason.as_str()),
        "{reason:?}"
    );
    assert!(
        reason
            .message
            .to_lowercase()
            .contains("nothing_of_that_name"),
        "{reason:?}"
    );
    cloud.stop().await;
}
