//! Expressions and aggregates mean what they mean in Trino.

use super::*;

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
