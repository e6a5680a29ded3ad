//! Athena with the real front, S3 and Glue, by the SDK clients.

mod catalog;
mod executions;
mod files;
mod language;
mod refusals;
mod results;

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
