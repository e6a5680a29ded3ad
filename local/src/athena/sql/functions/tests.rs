//! Each function's values, as Trino gives them.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Signature, Volatility};

use super::super::super::fault::Fault;
use super::overload::{Call, TrinoFunction};
use super::table::table;
use super::*;

fn call(name: &str, args: &[ScalarValue]) -> Result<ScalarValue, Fault> {
    let (_, overloads) = table().into_iter().find(|(n, _)| *n == name).unwrap();
    let function = TrinoFunction {
        name: "f",
        overloads,
        signature: Signature::user_defined(Volatility::Immutable),
    };
    let types: Vec<DataType> = args.iter().map(ScalarValue::data_type).collect();
    let (overload, types) = function.select(&types).expect("an overload");
    let arrays: Vec<ArrayRef> = args
        .iter()
        .zip(&types)
        .map(|(a, t)| a.cast_to(t).unwrap().to_array().unwrap())
        .collect();
    let returns = overload.returns.resolve(&types);
    let result = (overload.run)(&Call {
        args: &arrays,
        rows: 1,
        returns: &returns,
    })?;
    assert_eq!(*result.data_type(), returns);
    Ok(ScalarValue::try_from_array(&result, 0).unwrap())
}

fn text(s: &str) -> ScalarValue {
    ScalarValue::from(s)
}

fn long(v: i64) -> ScalarValue {
    ScalarValue::from(v)
}

fn decimal(v: i128, p: u8, s: i8) -> ScalarValue {
    ScalarValue::Decimal128(Some(v), p, s)
}

#[test]
fn text_functions_count_characters_as_trino() {
    for (name, args, result) in [
        ("substr", vec![text("Quadratic"), long(5)], text("ratic")),
        ("substr", vec![text("Quadratic"), long(-3)], text("tic")),
        ("substr", vec![text("Quadratic"), long(0)], text("")),
        ("substr", vec![text("Zürich"), long(2), long(2)], text("ür")),
        ("substr", vec![text("abc"), long(-5)], text("")),
        ("length", vec![text("Zürich")], long(6)),
        ("strpos", vec![text("Zürich"), text("rich")], long(3)),
        ("strpos", vec![text("abc"), text("x")], long(0)),
        (
            "split_part",
            vec![text("a,b"), text(","), long(2)],
            text("b"),
        ),
        (
            "split_part",
            vec![text("a,b"), text(","), long(3)],
            ScalarValue::Utf8(None),
        ),
        ("lpad", vec![text("7"), long(3), text("0")], text("007")),
        ("rpad", vec![text("abc"), long(2), text("x")], text("ab")),
        (
            "regexp_extract",
            vec![text("1a 2b"), text("(\\d+)([a-z]+)"), long(2)],
            text("a"),
        ),
        (
            "regexp_replace",
            vec![text("1a 2b"), text("(\\d+)([ab])"), text("$2$1x")],
            text("a1x b2x"),
        ),
    ] {
        assert_eq!(call(name, &args).unwrap(), result, "{name}{args:?}");
    }
    assert!(call("regexp_like", &[text("a"), text("(?=a)")]).is_err());
}

#[test]
fn rounding_is_half_up_and_keeps_trinos_types() {
    for (name, args, result) in [
        ("round", vec![decimal(25, 2, 1)], decimal(3, 2, 0)),
        ("round", vec![decimal(-25, 2, 1)], decimal(-3, 2, 0)),
        (
            "round",
            vec![decimal(12345, 5, 3), long(1)],
            decimal(12300, 6, 3),
        ),
        (
            "round",
            vec![decimal(12355, 5, 3), long(1)],
            decimal(12400, 6, 3),
        ),
        ("floor", vec![decimal(-25, 2, 1)], decimal(-3, 2, 0)),
        ("ceil", vec![decimal(-25, 2, 1)], decimal(-2, 2, 0)),
        ("truncate", vec![decimal(-25, 2, 1)], decimal(-2, 1, 0)),
        ("abs", vec![decimal(-25, 2, 1)], decimal(25, 2, 1)),
        (
            "round",
            vec![ScalarValue::from(2.5f64)],
            ScalarValue::from(3.0f64),
        ),
        (
            "round",
            vec![ScalarValue::from(-2.5f64)],
            ScalarValue::from(-3.0f64),
        ),
        (
            "round",
            vec![ScalarValue::from(191.2345f64), long(2)],
            ScalarValue::from(191.23f64),
        ),
        (ROUND_HALF_UP, vec![decimal(15, 2, 1)], decimal(2, 2, 0)),
        (
            ROUND_HALF_UP,
            vec![ScalarValue::from(-1.5f64)],
            ScalarValue::from(-2.0f64),
        ),
    ] {
        assert_eq!(call(name, &args).unwrap(), result, "{name}{args:?}");
    }
}

#[test]
fn casts_to_varchar_look_as_in_trino() {
    for (value, shown) in [
        (ScalarValue::from(1.5f64), "1.5E0"),
        (ScalarValue::from(100.0f64), "1.0E2"),
        (decimal(150, 3, 2), "1.50"),
        (ScalarValue::from(true), "true"),
        (ScalarValue::Date32(Some(20_777)), "2026-11-20"),
    ] {
        assert_eq!(call(TO_VARCHAR, &[value]).unwrap(), text(shown));
    }
}

#[test]
fn overflow_is_an_error() {
    assert!(call(NEGATE, &[long(i64::MIN)]).is_err());
    assert!(call("abs", &[long(i64::MIN)]).is_err());
    assert_eq!(call(NEGATE, &[long(5)]).unwrap(), long(-5));
}
