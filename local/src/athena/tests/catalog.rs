//! Statements that change the catalog, or make tables.

use super::*;

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
