//! Files of every format, and those that are not what their table says.

use super::*;

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
