//! What is wrong with a statement is said in Athena's words.

use super::*;

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
