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
    - {name: vwap, builtin: vwap, deadline: 1m}
    - {name: movers, builtin: top-movers, deadline: 1m}
    - {name: volatility, builtin: volatility, deadline: 1m}
    - {name: quality, builtin: data-quality, deadline: 1m}
    - {name: balance, builtin: reconciliation, deadline: 1m}
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
    landed_as(cloud, PIPELINE).await;
}

async fn landed_as(cloud: &Cloud, pipeline: &str) {
    std::fs::write(cloud.path().join("prices.csv"), PRICES).unwrap();
    provision::run(&cloud.context(pipeline, "provision"))
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let role = |name: &str| Context {
        shutdown: stop.clone(),
        ..cloud.context(pipeline, name)
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
            "symbol", "currency", "open", "high", "low", "close", "volume", "vwap", "trades"
        ]
    );
    assert_eq!(
        cells(&first),
        [
            [
                "AAPL",
                "NULL",
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
                "NULL",
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

/// These columns of every row.
fn picked<'a>(outcome: &'a report::Outcome, columns: &[&str]) -> Vec<Vec<&'a str>> {
    assert_eq!(
        outcome.record.state,
        RunState::Succeeded,
        "{:?}",
        outcome.record
    );
    let at = |name: &str| {
        let mut names = outcome.rows.columns.iter().map(|c| c.0.as_str());
        names.position(|n| n == name).unwrap()
    };
    let places: Vec<_> = columns.iter().map(|name| at(name)).collect();
    cells(outcome)
        .into_iter()
        .map(|row| places.iter().map(|at| row[*at]).collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_built_in_report_of_bars_is_what_the_file_says() {
    let cloud = Cloud::start().await;
    landed(&cloud).await;
    let vwap = run(&cloud, "report/vwap@2026-11-20").await;
    assert_eq!(
        picked(&vwap, &["symbol", "basis", "vwap", "turnover", "prints"]),
        [
            ["AAPL", "bars", "273.166666667", "327800.000000400", "1"],
            ["MSFT", "bars", "407.166666667", "1058633.333333333", "1"],
        ]
    );
    let columns = [
        "move",
        "symbol",
        "previous_date",
        "change",
        "change_percent",
    ];
    let movers = run(&cloud, "report/movers@2026-11-20").await;
    assert_eq!(
        picked(&movers, &columns),
        [
            ["up", "MSFT", "2026-11-19", "6.750000000", "1.675978"],
            ["down", "AAPL", "2026-11-19", "-1.999999999", "-0.729927"],
        ]
    );
    // Nothing before the first day, and no session is bridged.
    let first = run(&cloud, "report/movers@2026-11-19").await;
    assert_eq!(
        picked(&first, &columns),
        [
            ["unknown", "AAPL", "2026-11-18", "NULL", "NULL"],
            ["unknown", "MSFT", "2026-11-18", "NULL", "NULL"],
        ]
    );
    // ln(272.000000001 / 274), and √252 times it.
    let volatility = run(&cloud, "report/volatility@2026-11-20").await;
    assert_eq!(
        picked(
            &volatility,
            &["symbol", "returns", "realized", "realized_annual"]
        )[0],
        ["AAPL", "1", "0.007326040", "0.116297281"]
    );
    let quality = run(&cloud, "report/quality@2026-11-20").await;
    assert_eq!(
        picked(&quality, &["symbol", "ticks", "bars", "missing", "verdict"]),
        [
            ["AAPL", "1", "1", "0", "good"],
            ["MSFT", "1", "1", "0", "good"]
        ]
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconciliation_tells_rows_that_are_gone_and_rows_that_nobody_claimed() {
    const COLUMNS: [&str; 5] = [
        "period",
        "sent_ticks",
        "claimed_rows",
        "landed_rows",
        "verdict",
    ];
    let cloud = Cloud::start().await;
    landed(&cloud).await;
    let balanced = run(&cloud, "report/balance@2026-11-19").await;
    assert_eq!(
        picked(&balanced, &COLUMNS),
        [
            ["dt=2026-11-19", "2", "2", "2", "balanced"],
            ["dt=2026-11-20", "2", "2", "2", "balanced"],
        ]
    );
    // Every object of one day goes, and an object of the other is there a second time.
    let store = Store::new(cloud.clients().await.s3, "it-lake");
    let objects = async |folder: &str| {
        let page = store.list(folder).next().await.unwrap().unwrap();
        page.into_iter().map(|o| o.key).collect::<Vec<_>>()
    };
    for key in objects("us/dt=2026-11-19/").await {
        store.delete(&key).await.unwrap();
    }
    let key = objects("us/dt=2026-11-20/").await.remove(0);
    let copy = store.get(&key).await.unwrap().unwrap();
    store
        .put(&key.replace(".parquet", "-copy.parquet"), copy)
        .await
        .unwrap();
    let broken = run(&cloud, "report/balance@2026-11-19#1").await;
    let rows = picked(&broken, &COLUMNS);
    assert_eq!(
        rows[0],
        ["dt=2026-11-19", "0", "2", "0", "rows-missing"],
        "{rows:?}"
    );
    assert_eq!(
        (rows[1][2], rows[1][4]),
        ("2", "rows-unclaimed"),
        "{rows:?}"
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
            "there is no report `none`: the pipeline has daily-ohlcv, vwap,",
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

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_csv_has_the_same_numbers_with_their_types() {
    let cloud = Cloud::start().await;
    let pipeline = PIPELINE
        .replace("partitionBy: Day,", "partitionBy: Day, format: Csv,")
        .replace(
            r#"FROM \"{{database}}\".\"{{table}}\" WHERE"#,
            "FROM {{ticks}} WHERE",
        );
    landed_as(&cloud, &pipeline).await;
    let ask = async |key: &str| {
        report::run(&cloud.context(&pipeline, "report"), key)
            .await
            .unwrap()
    };
    let daily = ask("report/daily-ohlcv@2026-11-20").await;
    assert_eq!(
        daily.record.state,
        RunState::Succeeded,
        "{:?}",
        daily.record
    );
    let types: Vec<_> = daily.rows.columns.iter().map(|c| c.1.as_str()).collect();
    assert!(
        types[0] == "varchar" && types[2].starts_with("decimal"),
        "{types:?}"
    );
    let close: Vec<_> = cells(&daily)
        .iter()
        .map(|row| (row[0], row[5], row[6]))
        .collect();
    assert_eq!(
        close,
        [
            ("AAPL", "272.000000001", "1200.0000000000"),
            ("MSFT", "409.500000000", "2600.0000000000"),
        ]
    );
    let own = ask("report/count@2026-11-19").await;
    assert_eq!(cells(&own), [["2", "3500.5000000000"]]);
}
