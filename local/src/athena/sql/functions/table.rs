//! Which functions there are, and what runs them.

use std::sync::Arc;

use arrow::array::{AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Int64Type};

use super::super::datetime;
use super::conversions::{to_boolean, to_varchar, try_to_boolean, type_of};
use super::numbers::{
    Whole, abs, constant, float, negate, round_decimal, round_decimal_to, round_double, test,
    whole, whole_decimal,
};
use super::overload::{Kind, Overload, Returns, Run};
use super::patterns::{regexp_extract, regexp_like, regexp_replace};
use super::strings::{
    chr, codepoint, holds2, pad, replace, split_part, strpos, substr, text, text2,
};
use super::{
    CASTABLE, NEGATE, PERCENTILE_INPUT, ROUND_HALF_UP, TO_BOOLEAN, TO_VARCHAR, TRY_TO_BOOLEAN,
    doubles, first, strings,
};

const fn overload(params: &'static [Kind], returns: Returns, run: Run) -> Overload {
    Overload {
        params,
        returns,
        run,
    }
}

pub(super) fn table() -> Vec<(&'static str, Vec<Overload>)> {
    use Kind::{Any, Bigint, Decimal, Double, Integer, Real, Varchar};
    let o = overload;
    let double = |run: Run| vec![o(&[Double], Returns::Double, run)];
    let mut table = vec![
        (
            NEGATE,
            vec![
                o(&[Integer], Returns::Same(0), negate),
                o(&[Decimal], Returns::Same(0), negate),
                o(&[Real], Returns::Same(0), negate),
                o(&[Double], Returns::Same(0), negate),
            ],
        ),
        (
            ROUND_HALF_UP,
            vec![
                o(&[Decimal], Returns::Of(whole_decimal), round_decimal),
                o(&[Real], Returns::Double, |c| float(c, f64::round)),
                o(&[Double], Returns::Double, |c| float(c, f64::round)),
                o(&[Any], Returns::Same(0), first),
            ],
        ),
        (TO_VARCHAR, vec![o(&[Any], Returns::Varchar, to_varchar)]),
        (TO_BOOLEAN, vec![o(&[Any], Returns::Boolean, to_boolean)]),
        (
            TRY_TO_BOOLEAN,
            vec![o(&[Any], Returns::Boolean, try_to_boolean)],
        ),
        (
            PERCENTILE_INPUT,
            vec![
                o(&[Integer], Returns::Same(0), first),
                o(&[Double], Returns::Double, first),
            ],
        ),
        (CASTABLE, vec![o(&[Any, Any], Returns::Same(0), first)]),
        ("typeof", vec![o(&[Any], Returns::Varchar, type_of)]),
        // Text.
        (
            "length",
            vec![o(&[Varchar], Returns::Bigint, |c| {
                Ok(Arc::new(
                    strings(c, 0)
                        .iter()
                        .map(|s| s.map(|s| s.chars().count() as i64))
                        .collect::<Int64Array>(),
                ))
            })],
        ),
        (
            "lower",
            vec![o(&[Varchar], Returns::Varchar, |c| {
                text(c, |s| s.to_lowercase())
            })],
        ),
        (
            "upper",
            vec![o(&[Varchar], Returns::Varchar, |c| {
                text(c, |s| s.to_uppercase())
            })],
        ),
        (
            "reverse",
            vec![o(&[Varchar], Returns::Varchar, |c| {
                text(c, |s| s.chars().rev().collect())
            })],
        ),
        (
            "trim",
            vec![
                o(&[Varchar], Returns::Varchar, |c| {
                    text(c, |s| s.trim().to_owned())
                }),
                o(&[Varchar, Varchar], Returns::Varchar, |c| {
                    text2(c, |s, w| Some(s.trim_matches(|x| w.contains(x)).to_owned()))
                }),
            ],
        ),
        (
            "ltrim",
            vec![
                o(&[Varchar], Returns::Varchar, |c| {
                    text(c, |s| s.trim_start().to_owned())
                }),
                o(&[Varchar, Varchar], Returns::Varchar, |c| {
                    text2(c, |s, w| {
                        Some(s.trim_start_matches(|x| w.contains(x)).to_owned())
                    })
                }),
            ],
        ),
        (
            "rtrim",
            vec![
                o(&[Varchar], Returns::Varchar, |c| {
                    text(c, |s| s.trim_end().to_owned())
                }),
                o(&[Varchar, Varchar], Returns::Varchar, |c| {
                    text2(c, |s, w| {
                        Some(s.trim_end_matches(|x| w.contains(x)).to_owned())
                    })
                }),
            ],
        ),
        (
            "replace",
            vec![
                o(&[Varchar, Varchar], Returns::Varchar, |c| {
                    text2(c, |s, w| Some(s.replace(w, "")))
                }),
                o(&[Varchar, Varchar, Varchar], Returns::Varchar, replace),
            ],
        ),
        (
            "strpos",
            vec![o(&[Varchar, Varchar], Returns::Bigint, strpos)],
        ),
        (
            "starts_with",
            vec![o(&[Varchar, Varchar], Returns::Boolean, |c| {
                holds2(c, |s, w| s.starts_with(w))
            })],
        ),
        (
            "substr",
            vec![
                o(&[Varchar, Bigint], Returns::Varchar, substr),
                o(&[Varchar, Bigint, Bigint], Returns::Varchar, substr),
            ],
        ),
        (
            "split_part",
            vec![o(&[Varchar, Varchar, Bigint], Returns::Varchar, split_part)],
        ),
        (
            "lpad",
            vec![o(&[Varchar, Bigint, Varchar], Returns::Varchar, |c| {
                pad(c, true)
            })],
        ),
        (
            "rpad",
            vec![o(&[Varchar, Bigint, Varchar], Returns::Varchar, |c| {
                pad(c, false)
            })],
        ),
        ("chr", vec![o(&[Bigint], Returns::Varchar, chr)]),
        (
            "codepoint",
            vec![o(&[Varchar], Returns::Of(|_| DataType::Int32), codepoint)],
        ),
        (
            "regexp_like",
            vec![o(&[Varchar, Varchar], Returns::Boolean, regexp_like)],
        ),
        (
            "regexp_extract",
            vec![
                o(&[Varchar, Varchar], Returns::Varchar, regexp_extract),
                o(
                    &[Varchar, Varchar, Bigint],
                    Returns::Varchar,
                    regexp_extract,
                ),
            ],
        ),
        (
            "regexp_replace",
            vec![
                o(&[Varchar, Varchar], Returns::Varchar, regexp_replace),
                o(
                    &[Varchar, Varchar, Varchar],
                    Returns::Varchar,
                    regexp_replace,
                ),
            ],
        ),
        // Numbers.
        (
            "abs",
            vec![
                o(&[Integer], Returns::Same(0), abs),
                o(&[Decimal], Returns::Same(0), abs),
                o(&[Real], Returns::Same(0), abs),
                o(&[Double], Returns::Same(0), abs),
            ],
        ),
        (
            "ceil",
            vec![
                o(&[Integer], Returns::Same(0), first),
                o(&[Decimal], Returns::Of(whole_decimal), |c| {
                    whole(c, Whole::Up)
                }),
                o(&[Double], Returns::Double, |c| float(c, f64::ceil)),
            ],
        ),
        (
            "floor",
            vec![
                o(&[Integer], Returns::Same(0), first),
                o(&[Decimal], Returns::Of(whole_decimal), |c| {
                    whole(c, Whole::Down)
                }),
                o(&[Double], Returns::Double, |c| float(c, f64::floor)),
            ],
        ),
        (
            "truncate",
            vec![
                o(
                    &[Decimal],
                    Returns::Of(|a| match &a[0] {
                        DataType::Decimal128(p, s) => {
                            DataType::Decimal128((*p as i8 - s).max(1) as u8, 0)
                        }
                        other => other.clone(),
                    }),
                    |c| whole(c, Whole::TowardsZero),
                ),
                o(&[Double], Returns::Double, |c| float(c, f64::trunc)),
            ],
        ),
        (
            "round",
            vec![
                o(&[Integer], Returns::Same(0), first),
                o(&[Decimal], Returns::Of(whole_decimal), round_decimal),
                o(&[Double], Returns::Double, |c| {
                    float(c, |v| round_double(v, 0))
                }),
                o(
                    &[Decimal, Bigint],
                    Returns::Of(|a| match &a[0] {
                        DataType::Decimal128(p, s) => DataType::Decimal128((*p + 1).min(38), *s),
                        other => other.clone(),
                    }),
                    round_decimal_to,
                ),
                o(&[Double, Bigint], Returns::Double, |c| {
                    let places = c.args[1].as_primitive::<Int64Type>();
                    Ok(Arc::new(
                        doubles(c, 0)
                            .iter()
                            .zip(places)
                            .map(|(v, n)| Some(round_double(v?, n?)))
                            .collect::<Float64Array>(),
                    ))
                }),
            ],
        ),
        (
            "sign",
            vec![o(&[Double], Returns::Double, |c| {
                float(c, |v| {
                    if v == 0.0 || v.is_nan() {
                        v
                    } else {
                        v.signum()
                    }
                })
            })],
        ),
        ("sqrt", double(|c| float(c, f64::sqrt))),
        ("cbrt", double(|c| float(c, f64::cbrt))),
        ("exp", double(|c| float(c, f64::exp))),
        ("ln", double(|c| float(c, f64::ln))),
        ("log2", double(|c| float(c, f64::log2))),
        ("log10", double(|c| float(c, f64::log10))),
        ("sin", double(|c| float(c, f64::sin))),
        ("cos", double(|c| float(c, f64::cos))),
        ("tan", double(|c| float(c, f64::tan))),
        ("radians", double(|c| float(c, f64::to_radians))),
        ("degrees", double(|c| float(c, f64::to_degrees))),
        (
            "power",
            vec![o(&[Double, Double], Returns::Double, |c| {
                Ok(Arc::new(
                    doubles(c, 0)
                        .iter()
                        .zip(doubles(c, 1))
                        .map(|(a, b)| Some(a?.powf(b?)))
                        .collect::<Float64Array>(),
                ))
            })],
        ),
        (
            "log",
            vec![o(&[Double, Double], Returns::Double, |c| {
                Ok(Arc::new(
                    doubles(c, 0)
                        .iter()
                        .zip(doubles(c, 1))
                        .map(|(b, x)| Some(x?.ln() / b?.ln()))
                        .collect::<Float64Array>(),
                ))
            })],
        ),
        (
            "is_nan",
            vec![o(&[Double], Returns::Boolean, |c| test(c, f64::is_nan))],
        ),
        (
            "is_finite",
            vec![o(&[Double], Returns::Boolean, |c| test(c, f64::is_finite))],
        ),
        (
            "is_infinite",
            vec![o(&[Double], Returns::Boolean, |c| {
                test(c, f64::is_infinite)
            })],
        ),
        (
            "pi",
            vec![o(&[], Returns::Double, |c| {
                constant(c, std::f64::consts::PI)
            })],
        ),
        (
            "e",
            vec![o(&[], Returns::Double, |c| {
                constant(c, std::f64::consts::E)
            })],
        ),
        (
            "nan",
            vec![o(&[], Returns::Double, |c| constant(c, f64::NAN))],
        ),
        (
            "infinity",
            vec![o(&[], Returns::Double, |c| constant(c, f64::INFINITY))],
        ),
    ];
    table.extend(datetime::table());
    table
}
