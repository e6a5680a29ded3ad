//! Athena with the real front, S3 and Glue, by the SDK clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use aws_sdk_athena::error::ProvideErrorMetadata as _;
use aws_sdk_athena::types::{
    QueryExecution, QueryExecutionContext, QueryExecutionState, ResultConfiguration,
};
use aws_sdk_glue::types::{
    Column, DatabaseInput, PartitionInput, SerDeInfo, StorageDescriptor, TableInput,
};
use parquet::arrow::ArrowWriter;

use super::{Athena, Backends};
use crate::aws_front::{Listener, Server, Services};
use crate::credentials::Credentials;
use crate::glue::Glue;
use crate::s3::{Durability, Store};

const PARQUET: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
const JSON: &str = "org.openx.data.jsonserde.JsonSerDe";
const OPEN_CSV: &str = "org.apache.hadoop.hive.serde2.OpenCSVSerde";

type Row = Vec<Option<String>>;

struct Cloud {
    server: Server,
    credentials: Credentials,
    glue: aws_sdk_glue::Client,
    s3: aws_sdk_s3::Client,
    athena: aws_sdk_athena::Client,
    dir: Arc<tempfile::TempDir>,
}

fn sdk(addr: SocketAddr, credentials: &Credentials) -> aws_config::SdkConfig {
    aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new("us-east-1"))
        .endpoint_url(format!("http://{addr}"))
        .credentials_provider(
            aws_credential_types::provider::SharedCredentialsProvider::new(
                aws_credential_types::Credentials::new(
                    &credentials.access_key_id,
                    &credentials.secret_access_key,
                    None,
                    None,
                    "test",
                ),
            ),
        )
        .build()
}

fn columns(list: &[(&str, &str)]) -> Vec<Column> {
    list.iter()
        .map(|(name, of)| Column::builder().name(*name).r#type(*of).build().unwrap())
        .collect()
}

impl Cloud {
    async fn start() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let cloud = Self::open(dir, Credentials::generate()).await;
        for bucket in ["lake", "results"] {
            cloud
                .s3
                .create_bucket()
                .bucket(bucket)
                .send()
                .await
                .unwrap();
        }
        let market = DatabaseInput::builder().name("market").build().unwrap();
        cloud
            .glue
            .create_database()
            .database_input(market)
            .send()
            .await
            .unwrap();
        cloud
    }

    async fn open(dir: Arc<tempfile::TempDir>, credentials: Credentials) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let config = sdk(listener.addr(), &credentials);
        let s3 = aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::config::Builder::from(&config)
                .force_path_style(true)
                .build(),
        );
        let glue = aws_sdk_glue::Client::new(&config);
        let backends = Backends {
            glue: glue.clone(),
            s3: s3.clone(),
            region: "us-east-1".to_owned(),
            default_output: None,
        };
        let services = Services {
            store: Store::open(&dir.path().join("s3"), Durability::Kill).unwrap(),
            glue: Arc::new(Glue::open(&dir.path().join("glue")).unwrap()),
            athena: Arc::new(Athena::open(&dir.path().join("athena"), backends).unwrap()),
            credentials: credentials.clone(),
            hosts: Vec::new(),
        };
        Self {
            server: Server::serve(listener, services),
            credentials,
            glue,
            s3,
            athena: aws_sdk_athena::Client::new(&config),
            dir,
        }
    }

    async fn table(&self, name: &str, serde: &str, data: &[(&str, &str)], keys: &[(&str, &str)]) {
        let storage = StorageDescriptor::builder()
            .location(format!("s3://lake/{name}/"))
            .set_columns(Some(columns(data)))
            .serde_info(SerDeInfo::builder().serialization_library(serde).build())
            .build();
        let input = TableInput::builder()
            .name(name)
            .table_type("EXTERNAL_TABLE")
            .set_partition_keys(Some(columns(keys)))
            .storage_descriptor(storage)
            .build()
            .unwrap();
        self.glue
            .create_table()
            .database_name("market")
            .table_input(input)
            .send()
            .await
            .unwrap();
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) {
        self.s3
            .put_object()
            .bucket("lake")
            .key(key)
            .body(bytes.into())
            .send()
            .await
            .unwrap();
    }

    async fn partition(&self, table: &str, folder: &str, values: &[&str]) {
        let storage = StorageDescriptor::builder()
            .location(format!("s3://lake/{table}/{folder}"))
            .build();
        let input = PartitionInput::builder()
            .set_values(Some(values.iter().map(|v| (*v).to_owned()).collect()))
            .storage_descriptor(storage)
            .build();
        let made = self
            .glue
            .batch_create_partition()
            .database_name("market")
            .table_name(table)
            .partition_input_list(input)
            .send()
            .await
            .unwrap();
        assert!(made.errors().is_empty(), "{:?}", made.errors());
    }

    /// The ticks of two days, three hours each, as the lander would lay them.
    async fn ticks(&self) {
        self.table(
            "ticks",
            PARQUET,
            &[
                ("symbol", "string"),
                ("price", "decimal(18,9)"),
                ("size", "decimal(28,10)"),
                ("ts_event", "timestamp"),
                ("trade_date", "date"),
            ],
            &[("dt", "string"), ("hour", "string")],
        )
        .await;
        for (d, day) in ["2026-11-19", "2026-11-20"].iter().enumerate() {
            for hour in [14, 15, 16] {
                let start = 1_795_046_400_000 + d as i64 * 86_400_000 + hour * 3_600_000;
                let file = parquet_ticks(start, 20_776 + d as i32);
                let folder = format!("dt={day}/hour={hour}/");
                self.put(&format!("ticks/{folder}a.parquet"), file.clone())
                    .await;
                self.put(&format!("ticks/{folder}_hidden.parquet"), b"no".to_vec())
                    .await;
                self.partition("ticks", &folder, &[day, &hour.to_string()])
                    .await;
            }
        }
    }

    async fn submit(&self, sql: &str) -> Result<String, String> {
        self.athena
            .start_query_execution()
            .query_string(sql)
            .query_execution_context(QueryExecutionContext::builder().database("market").build())
            .result_configuration(
                ResultConfiguration::builder()
                    .output_location("s3://results/q/")
                    .build(),
            )
            .send()
            .await
            .map(|started| started.query_execution_id().unwrap().to_owned())
            .map_err(|e| e.message().unwrap_or_default().to_owned())
    }

    async fn finished(&self, id: &str) -> QueryExecution {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let got = self
                .athena
                .get_query_execution()
                .query_execution_id(id)
                .send()
                .await
                .unwrap();
            let execution = got.query_execution().unwrap().clone();
            match execution.status().unwrap().state().unwrap() {
                QueryExecutionState::Queued | QueryExecutionState::Running => {}
                _ => return execution,
            }
            assert!(Instant::now() < deadline, "the query does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn run(&self, sql: &str) -> QueryExecution {
        let id = self.submit(sql).await.unwrap();
        self.finished(&id).await
    }

    /// The rows, header first.
    async fn rows(&self, sql: &str) -> Vec<Row> {
        let execution = self.run(sql).await;
        let status = execution.status().unwrap();
        assert_eq!(
            status.state(),
            Some(&QueryExecutionState::Succeeded),
            "{sql}: {:?}",
            status.state_change_reason()
        );
        let mut pages = self
            .athena
            .get_query_results()
            .query_execution_id(execution.query_execution_id().unwrap())
            .into_paginator()
            .send();
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            for row in page.result_set().unwrap().rows() {
                rows.push(
                    row.data()
                        .iter()
                        .map(|d| d.var_char_value().map(str::to_owned))
                        .collect(),
                );
            }
        }
        rows
    }

    /// One row's values, joined by `|`, NULL as `∅`.
    async fn one(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        assert_eq!(rows.len(), 2, "{sql}: {rows:?}");
        joined(&rows[1])
    }

    /// Why a statement fails, whether at its start or later.
    async fn refusal(&self, sql: &str) -> String {
        match self.submit(sql).await {
            Err(message) => message,
            Ok(id) => {
                let execution = self.finished(&id).await;
                let status = execution.status().unwrap();
                assert_eq!(
                    status.state(),
                    Some(&QueryExecutionState::Failed),
                    "{sql} should fail"
                );
                status.state_change_reason().unwrap().to_owned()
            }
        }
    }
}

fn joined(row: &Row) -> String {
    row.iter()
        .map(|v| v.as_deref().unwrap_or("∅"))
        .collect::<Vec<_>>()
        .join("|")
}

fn scanned(execution: &QueryExecution) -> i64 {
    execution
        .statistics()
        .unwrap()
        .data_scanned_in_bytes()
        .unwrap()
}

/// 600 ticks from `start` (epoch ms), a second apart; AAPL at 191.25 and up by
/// a billionth, MSFT without a price.
fn parquet_ticks(start: i64, trade_date: i32) -> Vec<u8> {
    let rows = 0..600;
    let symbols: StringArray = rows
        .clone()
        .map(|i| Some(if i % 2 == 0 { "AAPL" } else { "MSFT" }))
        .collect();
    let prices: Decimal128Array = rows
        .clone()
        .map(|i| (i % 2 == 0).then_some(191_250_000_000 + i128::from(i)))
        .collect();
    let sizes: Decimal128Array = rows.clone().map(|_| Some(10_000_000_001)).collect();
    let times: TimestampMillisecondArray = rows
        .clone()
        .map(|i| Some(start + i64::from(i) * 1000))
        .collect();
    let dates: Date32Array = rows.map(|_: i32| Some(trade_date)).collect();
    let batch = RecordBatch::try_from_iter([
        ("Symbol", Arc::new(symbols) as ArrayRef),
        (
            "price",
            Arc::new(prices.with_precision_and_scale(18, 9).unwrap()) as _,
        ),
        (
            "size",
            Arc::new(sizes.with_precision_and_scale(28, 10).unwrap()) as _,
        ),
        ("ts_event", Arc::new(times) as _),
        ("trade_date", Arc::new(dates) as _),
    ])
    .unwrap();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_pruned_and_decimals_exact() {
    let cloud = Cloud::start().await;
    cloud.ticks().await;
    let rows = cloud
        .rows(
            "SELECT Symbol, count(*) AS Ticks, max(price) hi, sum(size) vol, min(ts_event) FROM ticks \
             WHERE dt = '2026-11-20' AND hour IN ('14', '15') GROUP BY symbol ORDER BY 1",
        )
        .await;
    assert_eq!(joined(&rows[0]), "Symbol|Ticks|hi|vol|_col4");
    assert_eq!(
        joined(&rows[1]),
        "AAPL|600|191.250000598|600.0000000600|2026-11-20 14:00:00.000"
    );
    assert_eq!(
        joined(&rows[2]),
        "MSFT|600|∅|600.0000000600|2026-11-20 14:00:01.000"
    );
    let all = scanned(&cloud.run("SELECT sum(price) FROM ticks").await);
    let day = scanned(
        &cloud
            .run("SELECT sum(price) FROM ticks WHERE dt = '2026-11-20'")
            .await,
    );
    let hour = scanned(
        &cloud
            .run("SELECT sum(price) FROM ticks WHERE dt LIKE '%-20' AND substr(hour, 2) = '4'")
            .await,
    );
    assert!(
        all > 0 && day * 2 == all && hour * 6 == all,
        "{all} {day} {hour}"
    );
    let none = cloud
        .run("SELECT * FROM ticks WHERE dt = '2020-01-01'")
        .await;
    assert_eq!(scanned(&none), 0);
    assert_eq!(cloud.one("SELECT count(*) FROM ticks").await, "3600");
    assert_eq!(
        cloud
            .one("SELECT count(*), min(trade_date) FROM ticks WHERE trade_date = date '2026-11-20'")
            .await,
        "1800|2026-11-20"
    );
    assert_eq!(
        cloud
            .one("SELECT sum(price * size) / sum(size) FROM ticks WHERE ts_event >= timestamp '2026-11-20 16:09:58' AND price > 1")
            .await,
        "191.2500005980000000000"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_typed_quoted_and_stored() {
    let cloud = Cloud::start().await;
    let id = cloud
        .submit("SELECT 'a\"b' AS t, '' e, CAST(NULL AS varchar) n, 1.50 d, true b, date '2026-11-20' dd, 1e0 f")
        .await
        .unwrap();
    let execution = cloud.finished(&id).await;
    let output = execution
        .result_configuration()
        .unwrap()
        .output_location()
        .unwrap();
    assert_eq!(output, format!("s3://results/q/{id}.csv"));
    let object = cloud
        .s3
        .get_object()
        .bucket("results")
        .key(format!("q/{id}.csv"))
        .send()
        .await
        .unwrap();
    let bytes = object.body.collect().await.unwrap().into_bytes();
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        "\"t\",\"e\",\"n\",\"d\",\"b\",\"dd\",\"f\"\n\"a\"\"b\",\"\",,\"1.50\",\"true\",\"2026-11-20\",\"1.0\"\n"
    );
    let results = cloud
        .athena
        .get_query_results()
        .query_execution_id(&id)
        .send()
        .await
        .unwrap();
    let set = results.result_set().unwrap();
    let types: Vec<(&str, i32, i32)> = set
        .result_set_metadata()
        .unwrap()
        .column_info()
        .iter()
        .map(|c| (c.r#type(), c.precision(), c.scale()))
        .collect();
    assert_eq!(
        types,
        [
            ("varchar", 2_147_483_647, 0),
            ("varchar", 2_147_483_647, 0),
            ("varchar", 2_147_483_647, 0),
            ("decimal", 3, 2),
            ("boolean", 0, 0),
            ("date", 0, 0),
            ("double", 17, 0),
        ]
    );
    assert_eq!(set.rows()[1].data()[2].var_char_value(), None);
    assert_eq!(set.rows()[1].data()[1].var_char_value(), Some(""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_mean_what_they_mean_in_trino() {
    let cloud = Cloud::start().await;
    for (expression, value) in [
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("typeof(1)", "integer"),
        ("typeof(2147483648)", "bigint"),
        ("typeof(1 + 2147483648)", "bigint"),
        ("typeof(1.50)", "decimal(3,2)"),
        ("typeof(0.5)", "decimal(1,1)"),
        ("typeof(1e0)", "double"),
        ("typeof(1.5 + 1)", "decimal(12,1)"),
        ("typeof(1.5 * 1.25)", "decimal(5,3)"),
        ("1.5 * 1.25", "1.875"),
        ("CAST(1 AS decimal(5,2)) / 3", "0.33"),
        ("typeof(CAST(1 AS decimal(5,2)) / 3)", "decimal(5,2)"),
        ("1.0 / 3", "0.3"),
        ("1 / 3e0", "0.3333333333333333"),
        ("1e0 / 0", "Infinity"),
        ("0.1 + 0.2", "0.3"),
        ("1 + NULL", "∅"),
        ("CAST(2.5 AS integer)", "3"),
        ("CAST(-2.5e0 AS bigint)", "-3"),
        ("CAST('42' AS integer) + 1", "43"),
        ("TRY_CAST('x' AS integer)", "∅"),
        ("TRY_CAST('x' AS boolean)", "∅"),
        ("CAST(1.5e0 AS varchar)", "1.5E0"),
        ("CAST(1.50 AS varchar)", "1.50"),
        ("CAST(12345 AS varchar(3))", "123"),
        ("CAST(0.005 AS decimal(5,2))", "0.01"),
        ("CAST('2026-11-20' AS date)", "2026-11-20"),
        (
            "CAST(date '2026-11-20' AS timestamp)",
            "2026-11-20 00:00:00.000",
        ),
        (
            "CAST(timestamp '2026-11-20 15:00:00.5' AS date)",
            "2026-11-20",
        ),
        ("'a' || 'b' || CAST(1 AS varchar)", "ab1"),
        ("concat('a', NULL, 'b')", "∅"),
        ("greatest(1, NULL, 3)", "∅"),
        ("greatest(1, 2.5)", "2.5"),
        ("coalesce(NULL, 2, 3)", "2"),
        ("nullif(1, 1)", "∅"),
        ("if(1 > 2, 'a')", "∅"),
        ("CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'c' END", "c"),
        ("3 BETWEEN 1 AND 3", "true"),
        ("NOT 3 BETWEEN 1 AND 2", "true"),
        ("2 IN (1, 2)", "true"),
        ("2 NOT IN (1, NULL)", "∅"),
        ("NULL IS NOT DISTINCT FROM NULL", "true"),
        ("'50%' LIKE '50#%' ESCAPE '#'", "true"),
        ("'a\\b' LIKE 'a\\b'", "true"),
        ("substr('Quadratic', -3)", "tic"),
        ("substring('Quadratic' FROM 1 FOR 4)", "Quad"),
        ("split_part('a,b', ',', 3)", "∅"),
        ("length('Zürich')", "6"),
        ("trim('  x ')", "x"),
        ("trim(BOTH 'x' FROM 'xax')", "a"),
        ("position('b' IN 'abc')", "2"),
        ("upper('a') = 'A'", "true"),
        ("round(2.5)", "3"),
        ("round(191.2355, 2)", "191.2400"),
        ("round(-2.5e0)", "-3.0"),
        ("ceil(1.2)", "2"),
        ("floor(-1.2e0)", "-2.0"),
        ("abs(-5)", "5"),
        ("sqrt(2.25)", "1.5"),
        ("power(2, 10)", "1024.0"),
        ("mod(7, 3)", "1"),
        ("date_trunc('week', date '2026-11-20')", "2026-11-16"),
        (
            "date_trunc('minute', timestamp '2026-11-20 15:04:05.678')",
            "2026-11-20 15:04:00.000",
        ),
        ("date_add('month', 1, date '2026-01-31')", "2026-02-28"),
        (
            "date_diff('day', date '2026-11-01', date '2026-11-20')",
            "19",
        ),
        ("date '2026-11-20' + interval '1' day", "2026-11-21"),
        (
            "timestamp '2026-11-20 15:00:00' - interval '90' minute",
            "2026-11-20 13:30:00.000",
        ),
        ("EXTRACT(hour FROM timestamp '2026-11-20 15:04:05')", "15"),
        ("day_of_week(date '2026-11-22')", "7"),
        ("from_unixtime(1795186800)", "2026-11-20 15:00:00.000 UTC"),
        (
            "to_unixtime(timestamp '2026-11-20 15:00:00')",
            "1.7951868E9",
        ),
        (
            "date_format(timestamp '2026-11-20 15:04:05', '%Y-%m-%d %H:%i')",
            "2026-11-20 15:04",
        ),
        (
            "date_parse('20/11/2026', '%d/%m/%Y')",
            "2026-11-20 00:00:00.000",
        ),
        ("regexp_extract('AAPL.O', '([A-Z]+)[.]', 1)", "AAPL"),
        ("regexp_like('AAPL', '^A')", "true"),
        ("1000000 * 1000", "1000000000"),
        (
            "date '2026-11-20' < timestamp '2026-11-20 00:00:01'",
            "true",
        ),
        ("(SELECT max(x) FROM (VALUES (1), (5), (3)) t(x))", "5"),
    ] {
        let sql = format!("SELECT {expression}");
        assert_eq!(cloud.one(&sql).await, value, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregates_windows_and_orders_are_trinos() {
    let cloud = Cloud::start().await;
    let values =
        "(VALUES (1, 'a', 1.5), (2, 'b', 2.5), (3, NULL, NULL), (NULL, 'd', 4.0)) t(n, s, d)";
    for (select, value) in [
        ("sum(n), avg(n), count(n), count(*)", "6|2.0|3|4"),
        (
            "sum(d), avg(d), typeof(avg(d)), typeof(sum(d))",
            "8.0|2.7|decimal(2,1)|decimal(38,1)",
        ),
        ("max_by(s, n), min_by(s, n), max_by(s, d)", "∅|a|d"),
        (
            "count_if(n > 1), bool_and(n > 0), bool_or(n > 2)",
            "2|true|true",
        ),
        ("arbitrary(s) IS NOT NULL", "true"),
        ("count(DISTINCT s), approx_distinct(s)", "3|3"),
        ("sum(n) FILTER (WHERE s IS NOT NULL)", "3"),
        ("approx_percentile(d, 0.5)", "2.5"),
        ("stddev_pop(n)", "0.816496580927726"),
    ] {
        assert_eq!(
            cloud.one(&format!("SELECT {select} FROM {values}")).await,
            value,
            "{select}"
        );
    }
    let order = |rows: Vec<Row>| rows[1..].iter().map(joined).collect::<Vec<_>>().join(" ");
    let asc = cloud
        .rows(&format!("SELECT n FROM {values} ORDER BY n"))
        .await;
    assert_eq!(order(asc), "1 2 3 ∅");
    let desc = cloud
        .rows(&format!("SELECT n FROM {values} ORDER BY n DESC"))
        .await;
    assert_eq!(order(desc), "3 2 1 ∅");
    let windows = cloud
        .rows(&format!(
            "SELECT n, row_number() OVER (ORDER BY n DESC) r, lag(n, 1, 0) OVER (ORDER BY n) p, \
             sum(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) w FROM {values} ORDER BY n LIMIT 3"
        ))
        .await;
    assert_eq!(order(windows), "1|3|0|1 2|2|1|3 3|1|2|5");
    let grouped = cloud
        .rows(&format!(
            "WITH g AS (SELECT n % 2 AS odd, count(*) c FROM {values} WHERE n IS NOT NULL GROUP BY 1) \
             SELECT odd, c FROM g WHERE c > 0 ORDER BY 2 DESC, 1"
        ))
        .await;
    assert_eq!(order(grouped), "1|2 0|1");
    let union = cloud
        .rows("SELECT 1 AS A UNION ALL SELECT 2.5 ORDER BY a")
        .await;
    assert_eq!(order(union), "1.0 2.5");
    let distinct = cloud
        .rows(&format!(
            "SELECT DISTINCT upper(s) FROM {values} ORDER BY upper(s) DESC"
        ))
        .await;
    assert_eq!(order(distinct), "D B A ∅");
    let bare = cloud.rows("VALUES (1, 'a'), (2, 'b')").await;
    assert_eq!(joined(&bare[0]), "_col0|_col1");
    let doubled = cloud.rows("SELECT 1 AS x, 2 AS X, 3").await;
    assert_eq!(joined(&doubled[0]), "x|X|_col2");
    assert_eq!(joined(&doubled[1]), "1|2|3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_in_athenas_words() {
    let cloud = Cloud::start().await;
    cloud.ticks().await;
    for (sql, message) in [
        (
            "SELECT x FROM ticks",
            "COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved",
        ),
        (
            "SELECT 1 FROM\n nope",
            "TABLE_NOT_FOUND: line 2:2: Table 'awsdatacatalog.market.nope' does not exist",
        ),
        (
            "SELECT 1 FROM nope.t",
            "SCHEMA_NOT_FOUND: line 1:15: Schema 'nope' does not exist",
        ),
        (
            "SELECT frob(1)",
            "FUNCTION_NOT_FOUND: line 1:8: Function 'frob' not registered",
        ),
        (
            "SELEC 1",
            "line 1:1: mismatched input 'SELEC'. Expecting: 'ALTER'",
        ),
        (
            "SELECT 'a' + 1",
            "TYPE_MISMATCH: line 1:12: Cannot apply operator: varchar + integer",
        ),
        (
            "SELECT 1 FROM ticks WHERE hour = 15",
            "TYPE_MISMATCH: line 1:32: Cannot apply operator: varchar = integer",
        ),
        (
            "SELECT 1 FROM ticks WHERE trade_date = '2026-11-20'",
            "TYPE_MISMATCH: line 1:38: Cannot apply operator: date = varchar",
        ),
        (
            "SELECT 1 FROM ticks WHERE hour IN (15)",
            "TYPE_MISMATCH: IN value and list items",
        ),
        (
            "SELECT CASE WHEN true THEN 1 ELSE 'a' END",
            "TYPE_MISMATCH: All results must be the same type",
        ),
        (
            "SELECT 1 UNION SELECT 'a'",
            "TYPE_MISMATCH: column 1 in UNION query has incompatible types: integer, varchar",
        ),
        (
            "SELECT 2147483647 + 1",
            "NUMERIC_VALUE_OUT_OF_RANGE: integer addition overflow: 2147483647 + 1",
        ),
        (
            "SELECT 9223372036854775807 * 2",
            "NUMERIC_VALUE_OUT_OF_RANGE: bigint multiplication overflow: 9223372036854775807 * 2",
        ),
        (
            "SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) t(x)",
            "NUMERIC_VALUE_OUT_OF_RANGE: bigint addition overflow",
        ),
        ("SELECT 1 / 0", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT 1.0 / 0", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT CAST('x' AS integer)", "INVALID_CAST_ARGUMENT: "),
        (
            "SELECT CAST(3000000000 AS integer)",
            "NUMERIC_VALUE_OUT_OF_RANGE: ",
        ),
        (
            "SELECT CAST(timestamp '2026-11-20 15:00:00' AS bigint)",
            "TYPE_MISMATCH: Cannot cast timestamp(3) to an integer",
        ),
        (
            "SELECT length(5)",
            "FUNCTION_NOT_FOUND: Unexpected parameters (integer) for function length. Expected: length(varchar)",
        ),
        (
            "SELECT sum(symbol) FROM ticks",
            "FUNCTION_NOT_FOUND: Unexpected parameters (varchar) for function sum. Expected: sum(bigint)",
        ),
        (
            "SELECT symbol, count(*) FROM ticks",
            "EXPRESSION_NOT_AGGREGATE: line 1:8: 'symbol' must be an aggregate expression",
        ),
        (
            "SELECT 1 FROM ticks WHERE price",
            "TYPE_MISMATCH: WHERE clause must evaluate to a boolean",
        ),
        (
            "SELECT NOT symbol FROM ticks",
            "TYPE_MISMATCH: Unary operator 'NOT' requires a boolean expression, got varchar",
        ),
        (
            "SELECT EXISTS (SELECT 1 FROM ticks)",
            "NOT_SUPPORTED: this form of query or subquery",
        ),
        (
            "SELECT timestamp '2026-11-20 15:00:00 Europe/Paris'",
            "NOT_SUPPORTED: a timestamp literal in another zone than UTC",
        ),
        (
            "SELECT approx_percentile(1, 0.5)",
            "NOT_SUPPORTED: approx_percentile of integer (cast it to double)",
        ),
        (
            "SELECT 1 AS `a`",
            "line 1:13: backquoted identifiers are not supported",
        ),
        ("SELECT 1::bigint", "SYNTAX_ERROR: "),
        (
            "INSERT INTO ticks SELECT 1",
            "NOT_SUPPORTED: the statement INSERT INTO is not supported",
        ),
        (
            "SELECT * FROM UNNEST(ARRAY[1])",
            "NOT_SUPPORTED: the table function UNNEST is not supported",
        ),
        ("SELECT row_number() FROM ticks", "MISSING_OVER: line 1:8: "),
        (
            "SELECT timestamp '2026-11-20 15:00:00.123456'",
            "NOT_SUPPORTED: a timestamp literal finer than milliseconds",
        ),
        ("SELECT ?", "INVALID_PARAMETER_USAGE: "),
    ] {
        let said = cloud.refusal(sql).await;
        assert!(
            said.starts_with(message),
            "{sql}\n said {said}\n not {message}"
        );
        assert!(!said.contains('\n') && said.len() < 600, "{sql}: {said}");
        for dump in [
            "DataFusion",
            "Projection:",
            "TableScan",
            "backtrace",
            "Utf8(",
            "Int32(",
        ] {
            assert!(!said.contains(dump), "{sql}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_and_csv_are_read_like_parquet() {
    use std::io::Write as _;
    let cloud = Cloud::start().await;
    let data = [
        ("symbol", "string"),
        ("price", "decimal(18,9)"),
        ("seq", "bigint"),
    ];
    cloud.table("raw", JSON, &data, &[("day", "date")]).await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for seq in 0..10_000 {
        writeln!(
            packed,
            "{{\"symbol\":\"AAPL\",\"price\":191.000000001,\"seq\":{seq},\"more\":[1]}}"
        )
        .unwrap();
    }
    cloud
        .put("raw/day=2026-11-20/a.json.gz", packed.finish().unwrap())
        .await;
    cloud
        .put(
            "raw/day=2026-11-19/b.json",
            b"{\"symbol\":\"MSFT\",\"price\":null,\"seq\":1}\n{\"symbol\":\"\"}".to_vec(),
        )
        .await;
    cloud
        .partition("raw", "day=2026-11-20/", &["2026-11-20"])
        .await;
    cloud
        .partition("raw", "day=2026-11-19/", &["2026-11-19"])
        .await;
    assert_eq!(
        cloud
            .one("SELECT count(*), sum(price), max(seq) FROM raw WHERE day = date '2026-11-20'")
            .await,
        "10000|1910000.000010000|9999"
    );
    assert_eq!(
        cloud
            .one("SELECT count(*), count(price), min(day) FROM raw")
            .await,
        "10002|10000|2026-11-19"
    );
    let rows = cloud
        .rows("SELECT * FROM raw WHERE day < date '2026-11-20' ORDER BY seq")
        .await;
    assert_eq!(joined(&rows[0]), "symbol|price|seq|day");
    assert_eq!(joined(&rows[1]), "MSFT|∅|1|2026-11-19");
    assert_eq!(joined(&rows[2]), "|∅|∅|2026-11-19");
    cloud
        .put(
            "raw/day=2026-11-19/bad.json",
            b"{\"symbol\":\"MSFT\",\"seq\":\"x\"}".to_vec(),
        )
        .await;
    let said = cloud.refusal("SELECT sum(seq) FROM raw").await;
    assert!(
        said.starts_with(
            "HIVE_BAD_DATA: Error parsing a row of s3://lake/raw/day=2026-11-19/bad.json"
        ),
        "{said}"
    );
    let said = {
        cloud.table("typed", OPEN_CSV, &data, &[]).await;
        cloud.refusal("SELECT symbol FROM typed").await
    };
    assert!(
        said.contains("OpenCSVSerde reads no decimal(18,9): declare column price of"),
        "{said}"
    );
    let texts = [("symbol", "string"), ("price", "string"), ("seq", "bigint")];
    cloud.table("closes", OPEN_CSV, &texts, &[]).await;
    cloud
        .put("closes/a.csv", b"\"A,B\",1.5,7\nC,,8\n".to_vec())
        .await;
    assert_eq!(
        cloud
            .one("SELECT min(symbol), sum(CAST(NULLIF(price, '') AS decimal(18,9))), sum(seq) FROM closes")
            .await,
        "A,B|1.500000000|15"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_type_is_refused_and_a_missing_column_is_null() {
    let cloud = Cloud::start().await;
    cloud
        .table(
            "odd",
            PARQUET,
            &[
                ("symbol", "bigint"),
                ("price", "decimal(28,10)"),
                ("venue", "string"),
            ],
            &[],
        )
        .await;
    cloud.put("odd/a.parquet", parquet_ticks(0, 0)).await;
    assert_eq!(
        cloud.one("SELECT max(price), count(venue) FROM odd").await,
        "191.2500005980|0"
    );
    let said = cloud.refusal("SELECT max(symbol) FROM odd").await;
    assert!(
        said.starts_with("HIVE_BAD_DATA: Malformed Parquet file. Field symbol's type varchar"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_makes_one_execution() {
    let cloud = Cloud::start().await;
    let token = "0123456789abcdef0123456789abcdef";
    let start = |sql: &'static str| {
        cloud
            .athena
            .start_query_execution()
            .query_string(sql)
            .client_request_token(token)
            .result_configuration(
                ResultConfiguration::builder()
                    .output_location("s3://results/")
                    .build(),
            )
            .send()
    };
    let first = start("SELECT 1").await.unwrap();
    let again = start("SELECT 1").await.unwrap();
    assert_eq!(first.query_execution_id(), again.query_execution_id());
    let other = start("SELECT 2").await.unwrap_err();
    assert_eq!(other.code(), Some("InvalidRequestException"));
    let listed = cloud.athena.list_query_executions().send().await.unwrap();
    assert_eq!(listed.query_execution_ids().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workgroups_cutoff_stops_a_query() {
    use aws_sdk_athena::types::WorkGroupConfiguration;
    let cloud = Cloud::start().await;
    cloud.table("wide", JSON, &[("text", "string")], &[]).await;
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1000));
    cloud
        .put("wide/a.json", line.repeat(12_000).into_bytes())
        .await;
    cloud
        .athena
        .create_work_group()
        .name("small")
        .configuration(
            WorkGroupConfiguration::builder()
                .bytes_scanned_cutoff_per_query(10_000_000)
                .result_configuration(
                    ResultConfiguration::builder()
                        .output_location("s3://results/small/")
                        .build(),
                )
                .build(),
        )
        .send()
        .await
        .unwrap();
    let started = cloud
        .athena
        .start_query_execution()
        .query_string("SELECT count(text) FROM market.wide")
        .work_group("small")
        .send()
        .await
        .unwrap();
    let execution = cloud.finished(started.query_execution_id().unwrap()).await;
    let status = execution.status().unwrap();
    assert_eq!(status.state(), Some(&QueryExecutionState::Cancelled));
    assert_eq!(
        status.state_change_reason(),
        Some("Bytes scanned limit was exceeded")
    );
    assert!(scanned(&execution) > 10_000_000 && scanned(&execution) < 12_000_000);
    let free = cloud.run("SELECT count(text) FROM wide").await;
    assert!(scanned(&free) > 12_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_paged() {
    let cloud = Cloud::start().await;
    cloud.ticks().await;
    let rows = cloud
        .rows("SELECT symbol, ts_event FROM ticks ORDER BY ts_event, symbol")
        .await;
    assert_eq!(rows.len(), 3601);
    assert_eq!(joined(&rows[3600]), "MSFT|2026-11-20 16:09:59.000");
    let id = cloud
        .submit("SELECT symbol FROM ticks LIMIT 10")
        .await
        .unwrap();
    cloud.finished(&id).await;
    let page = cloud
        .athena
        .get_query_results()
        .query_execution_id(&id)
        .max_results(4)
        .send()
        .await
        .unwrap();
    assert_eq!(
        page.result_set().unwrap().rows().len(),
        4,
        "header and three rows"
    );
    let last = cloud
        .athena
        .get_query_results()
        .query_execution_id(&id)
        .set_next_token(page.next_token().map(str::to_owned))
        .send()
        .await
        .unwrap();
    assert_eq!(last.result_set().unwrap().rows().len(), 7);
    assert_eq!(last.next_token(), None);
    let too_many = cloud
        .athena
        .get_query_results()
        .query_execution_id(&id)
        .max_results(1001)
        .send()
        .await;
    assert_eq!(
        too_many.unwrap_err().code(),
        Some("InvalidRequestException")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_query_is_stopped() {
    let cloud = Cloud::start().await;
    cloud.ticks().await;
    // A product of 3600 × 3600 × 3600 rows takes longer than anyone waits.
    let id = cloud
        .submit("SELECT count(*) FROM ticks a, ticks b, ticks c WHERE a.ts_event < b.ts_event AND b.ts_event < c.ts_event")
        .await
        .unwrap();
    cloud
        .athena
        .stop_query_execution()
        .query_execution_id(&id)
        .send()
        .await
        .unwrap();
    let execution = cloud.finished(&id).await;
    assert_eq!(
        execution.status().unwrap().state(),
        Some(&QueryExecutionState::Cancelled)
    );
    let results = cloud
        .athena
        .get_query_results()
        .query_execution_id(&id)
        .send()
        .await;
    assert!(
        results
            .unwrap_err()
            .message()
            .unwrap()
            .contains("CANCELLED")
    );
    assert_eq!(cloud.one("SELECT 1").await, "1", "its place is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctas_makes_a_table_that_reads_back() {
    let cloud = Cloud::start().await;
    cloud.ticks().await;
    let made = cloud
        .run(
            "CREATE TABLE bars WITH (format = 'PARQUET', external_location = 's3://lake/bars/', write_compression = 'ZSTD') AS \
             SELECT symbol, date_trunc('hour', ts_event) AS hour, max(price) AS High, count(*) AS n FROM ticks GROUP BY 1, 2",
        )
        .await;
    assert_eq!(
        made.status().unwrap().state(),
        Some(&QueryExecutionState::Succeeded),
        "{made:?}"
    );
    assert_eq!(made.statement_type().unwrap().as_str(), "DDL");
    assert_eq!(
        cloud
            .one("SELECT count(*), sum(n), max(high) FROM bars")
            .await,
        "12|3600|191.250000598"
    );
    let rows = cloud.rows("DESCRIBE bars").await;
    let described: Vec<String> = rows.iter().map(|r| joined(r).replace(' ', "")).collect();
    assert_eq!(
        described,
        [
            "symbol\tstring\t",
            "hour\ttimestamp\t",
            "high\tdecimal(18,9)\t",
            "n\tbigint\t"
        ]
    );
    let again = cloud.refusal("CREATE TABLE bars AS SELECT 1 AS x").await;
    assert!(again.starts_with("TABLE_ALREADY_EXISTS: line 1:14: Destination table 'awsdatacatalog.market.bars' already exists"), "{again}");
    let there = cloud
        .refusal("CREATE TABLE other WITH (external_location = 's3://lake/bars/') AS SELECT 1 AS x")
        .await;
    assert!(there.starts_with("HIVE_PATH_ALREADY_EXISTS"), "{there}");
    let unnamed = cloud.refusal("CREATE TABLE other AS SELECT 1").await;
    assert!(unnamed.starts_with("MISSING_COLUMN_NAME"), "{unnamed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_is_shown_and_changed() {
    let cloud = Cloud::start().await;
    cloud.ticks().await;
    let list = |rows: Vec<Row>| rows.iter().map(joined).collect::<Vec<_>>();
    assert_eq!(list(cloud.rows("SHOW DATABASES").await), ["market"]);
    assert_eq!(
        list(cloud.rows("SHOW TABLES IN market 'tick*'").await),
        ["ticks"]
    );
    let partitions = list(cloud.rows("SHOW PARTITIONS ticks").await);
    assert_eq!(partitions.len(), 6);
    assert_eq!(partitions[0], "dt=2026-11-19/hour=14");
    let columns = list(cloud.rows("SHOW COLUMNS IN ticks").await);
    assert_eq!(columns[6].trim_end(), "hour");
    cloud
        .put("ticks/dt=2026-11-21/hour=14/a.parquet", parquet_ticks(0, 0))
        .await;
    let repaired = list(cloud.rows("MSCK REPAIR TABLE ticks").await);
    assert_eq!(
        repaired,
        ["Repair: Added partition to metastore ticks:dt=2026-11-21/hour=14"]
    );
    assert_eq!(
        cloud
            .one("SELECT count(*) FROM ticks WHERE dt = '2026-11-21'")
            .await,
        "600"
    );
    cloud
        .rows("CREATE DATABASE IF NOT EXISTS scratch COMMENT 'mine'")
        .await;
    cloud.rows("DROP TABLE ticks").await;
    assert!(
        cloud
            .refusal("DESCRIBE ticks")
            .await
            .starts_with("TABLE_NOT_FOUND: line 1:10")
    );
    cloud.rows("DROP DATABASE scratch").await;
    let plan = list(
        cloud
            .rows("EXPLAIN SELECT count(*) FROM (VALUES (1), (2)) t(x)")
            .await,
    );
    assert!(
        plan.iter().any(|line| line.contains("ProjectionExec")),
        "{plan:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_outlive_a_restart_and_interrupted_ones_failed() {
    let cloud = Cloud::start().await;
    cloud.ticks().await;
    let done = cloud.submit("SELECT count(*) FROM ticks").await.unwrap();
    cloud.finished(&done).await;
    let Cloud {
        server,
        credentials,
        dir,
        ..
    } = cloud;
    server.shutdown().await;
    // What a process leaves that was killed: an execution that says it runs.
    let id = uuid::Uuid::new_v4().to_string();
    {
        let now = 0;
        let records = super::records::Records::open(
            &dir.path().join("athena"),
            &super::records::WorkGroup::new("primary", now),
            now,
        );
        // The file is free only once the server let it go.
        let records = records.unwrap();
        let mut running = records.execution(&done).unwrap().unwrap();
        running.id = id.clone();
        running.state = super::records::State::Running;
        running.completed = None;
        assert!(records.submit(&running, None).unwrap().is_none());
    }
    let cloud = Cloud::open(dir, credentials).await;
    let execution = cloud.finished(&id).await;
    let status = execution.status().unwrap();
    assert_eq!(status.state(), Some(&QueryExecutionState::Failed));
    assert!(
        status
            .state_change_reason()
            .unwrap()
            .contains("stopped while the query was running")
    );
    assert!(status.athena_error().unwrap().retryable());
    let results = cloud
        .athena
        .get_query_results()
        .query_execution_id(&done)
        .send()
        .await
        .unwrap();
    assert_eq!(
        results.result_set().unwrap().rows()[1].data()[0].var_char_value(),
        Some("3600")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_an_output_location_is_told_where_to_set_one() {
    let cloud = Cloud::start().await;
    let refused = cloud
        .athena
        .start_query_execution()
        .query_string("SELECT 1")
        .send()
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("InvalidRequestException"));
    assert!(
        refused
            .message()
            .unwrap()
            .contains("output location is required")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_take_the_place_of_question_marks() {
    let cloud = Cloud::start().await;
    let started = cloud
        .athena
        .start_query_execution()
        .query_string("SELECT ? || ?, ? + 1")
        .execution_parameters("'a'")
        .execution_parameters("'b''c'")
        .execution_parameters("41")
        .result_configuration(
            ResultConfiguration::builder()
                .output_location("s3://results/")
                .build(),
        )
        .send()
        .await
        .unwrap();
    let id = started.query_execution_id().unwrap();
    let execution = cloud.finished(id).await;
    assert_eq!(
        execution.status().unwrap().state(),
        Some(&QueryExecutionState::Succeeded),
        "{execution:?}"
    );
    let results = cloud
        .athena
        .get_query_results()
        .query_execution_id(id)
        .send()
        .await
        .unwrap();
    let row = &results.result_set().unwrap().rows()[1];
    assert_eq!(row.data()[0].var_char_value(), Some("ab'c"));
    assert_eq!(row.data()[1].var_char_value(), Some("42"));
}
