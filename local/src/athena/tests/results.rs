//! What a query gives back: rows, types, pages, the file in S3.

use super::*;

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
