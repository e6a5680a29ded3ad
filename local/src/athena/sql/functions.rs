//! Trino's scalar functions: their names, parameters and results.
//!
//! A function takes arguments by Trino's coercions alone; where none of its
//! overloads fits, the error lists what it takes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
    StringBuilder,
};
use arrow::compute::{CastOptions, cast_with_options, kernels::numeric};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, i256};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use regex::Regex;

use super::super::fault::Fault;
use super::super::render;
use super::super::types::{TIMESTAMP, timestamp_utc, trino_name};
use super::arithmetic::{fit, round_half_up};
use super::coercion::{coerces, integer_digits, is_number, is_text, is_time};
use super::datetime;

/// `-x`, checked.
pub(super) const NEGATE: &str = "$negate";
/// Rounds a number half up to a whole one; leaves other types.
pub(super) const ROUND_HALF_UP: &str = "$round_half_up";
/// CAST to varchar.
pub(super) const TO_VARCHAR: &str = "$to_varchar";
/// CAST to boolean.
pub(super) const TO_BOOLEAN: &str = "$to_boolean";
/// TRY_CAST to boolean.
pub(super) const TRY_TO_BOOLEAN: &str = "$try_to_boolean";
/// Its first argument, if Trino casts that to the type of the second.
pub(super) const CASTABLE: &str = "$castable";

/// The values of approx_percentile, as doubles.
pub(super) const PERCENTILE_INPUT: &str = "$percentile_input";

/// The kind of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Varchar,
    Bigint,
    Double,
    /// Any integer type, kept.
    Integer,
    /// Any decimal type, kept.
    Decimal,
    Real,
    Date,
    Timestamp,
    TimestampUtc,
    /// Anything, kept.
    Any,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Varchar => "varchar",
            Self::Bigint | Self::Integer => "bigint",
            Self::Double => "double",
            Self::Decimal => "decimal(p,s)",
            Self::Real => "real",
            Self::Date => "date",
            Self::Timestamp => "timestamp(3)",
            Self::TimestampUtc => "timestamp(3) with time zone",
            Self::Any => "T",
        }
    }

    /// The type that an argument takes as this parameter; with `exactly`,
    /// only without coercion.
    fn takes(self, of: &DataType, exactly: bool) -> Option<DataType> {
        let to = match self {
            Self::Any => return Some(of.clone()),
            Self::Integer => return integer_digits(of).map(|_| of.clone()),
            Self::Decimal => {
                return matches!(of, DataType::Decimal128(..)).then(|| of.clone());
            }
            Self::Varchar => DataType::Utf8,
            Self::Bigint => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Real => DataType::Float32,
            Self::Date => DataType::Date32,
            Self::Timestamp => TIMESTAMP,
            Self::TimestampUtc => timestamp_utc(),
        };
        let fits = if exactly { *of == to } else { coerces(of, &to) };
        fits.then_some(to)
    }
}

/// The type of a result.
#[derive(Clone, Copy, Debug)]
pub(super) enum Returns {
    Varchar,
    Bigint,
    Double,
    Boolean,
    Date,
    Timestamp,
    TimestampUtc,
    /// The type of the argument with this index.
    Same(usize),
    /// Computed from the arguments' types.
    Of(fn(&[DataType]) -> DataType),
}

impl Returns {
    fn resolve(self, args: &[DataType]) -> DataType {
        match self {
            Self::Varchar => DataType::Utf8,
            Self::Bigint => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => TIMESTAMP,
            Self::TimestampUtc => timestamp_utc(),
            Self::Same(i) => args[i].clone(),
            Self::Of(of) => of(args),
        }
    }
}

/// The arguments of a call, as arrays of one length, and the result's type.
pub(super) struct Call<'a> {
    pub(super) args: &'a [ArrayRef],
    pub(super) rows: usize,
    pub(super) returns: &'a DataType,
}

/// Computes a call's rows.
pub(super) type Run = fn(&Call<'_>) -> Result<ArrayRef, Fault>;

/// One way to call a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overload {
    pub(super) params: &'static [Kind],
    pub(super) returns: Returns,
    pub(super) run: Run,
}

/// A function with its overloads.
#[derive(Debug)]
struct TrinoFunction {
    name: &'static str,
    overloads: Vec<Overload>,
    signature: Signature,
}

impl PartialEq for TrinoFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for TrinoFunction {}

impl Hash for TrinoFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl TrinoFunction {
    fn select(&self, args: &[DataType]) -> Option<(&Overload, Vec<DataType>)> {
        [true, false].into_iter().find_map(|exactly| {
            self.overloads.iter().find_map(|overload| {
                if overload.params.len() != args.len() {
                    return None;
                }
                let types = overload
                    .params
                    .iter()
                    .zip(args)
                    .map(|(kind, of)| kind.takes(of, exactly))
                    .collect::<Option<Vec<_>>>()?;
                Some((overload, types))
            })
        })
    }

    fn mismatch(&self, args: &[DataType]) -> DataFusionError {
        let given: Vec<String> = args.iter().map(trino_name).collect();
        let wanted: Vec<String> = self
            .overloads
            .iter()
            .map(|o| {
                let params: Vec<&str> = o.params.iter().map(|k| k.name()).collect();
                format!("{}({})", self.name, params.join(", "))
            })
            .collect();
        Fault::user(
            "FUNCTION_NOT_FOUND",
            format!(
                "Unexpected parameters ({}) for function {}. Expected: {}",
                given.join(", "),
                self.name,
                wanted.join(", ")
            ),
        )
        .through_planning()
    }
}

impl ScalarUDFImpl for TrinoFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> DfResult<Vec<DataType>> {
        match self.select(args) {
            Some((_, types)) => Ok(types),
            None => Err(self.mismatch(args)),
        }
    }

    fn return_type(&self, args: &[DataType]) -> DfResult<DataType> {
        match self.select(args) {
            Some((overload, types)) => {
                if self.name == PERCENTILE_INPUT && integer_digits(&args[0]).is_some() {
                    return Err(Fault::unsupported(format!(
                        "approx_percentile of {} (cast it to double)",
                        trino_name(&args[0])
                    ))
                    .through_planning());
                }
                if self.name == CASTABLE || self.name == ROUND_HALF_UP {
                    castable(self.name, &types)?;
                }
                Ok(overload.returns.resolve(&types))
            }
            None => Err(self.mismatch(args)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let Some((overload, _)) = self.select(&types) else {
            return Err(self.mismatch(&types));
        };
        let scalar = args
            .args
            .iter()
            .all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args
            .args
            .iter()
            .map(|a| a.to_array(rows))
            .collect::<DfResult<Vec<_>>>()?;
        let call = Call {
            args: &arrays,
            rows,
            returns: args.return_field.data_type(),
        };
        let result = (overload.run)(&call)?;
        if scalar {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?))
        } else {
            Ok(ColumnarValue::Array(result))
        }
    }
}

/// Refuses the casts that Trino does not have, for instance of a timestamp to
/// a bigint.
fn castable(name: &str, types: &[DataType]) -> DfResult<()> {
    let from = &types[0];
    let to_integer = name == ROUND_HALF_UP;
    let to = types.get(1);
    let plain =
        is_number(from) || is_text(from) || matches!(from, DataType::Boolean | DataType::Null);
    let allowed = match to {
        _ if to_integer => plain,
        Some(to) if is_number(to) => plain,
        Some(to) if is_time(to) => is_time(from) || is_text(from) || *from == DataType::Null,
        Some(to) => from == to || *from == DataType::Null,
        None => false,
    };
    if allowed {
        return Ok(());
    }
    Err(Fault::user(
        "TYPE_MISMATCH",
        format!(
            "Cannot cast {} to {}",
            trino_name(from),
            to.map_or("an integer".to_owned(), trino_name)
        ),
    )
    .through_planning())
}

const SCALARS_BY_FORM: &[&str] = &[
    "if",
    "concat",
    "greatest",
    "least",
    "date",
    "mod",
    "pow",
    "ceiling",
    "substring",
    "dow",
    "doy",
    "yow",
    "week_of_year",
    "day_of_month",
    "now",
    "coalesce",
    "nullif",
    "current_timestamp",
    "current_date",
    "localtimestamp",
];

const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "every",
    "count_if",
    "arbitrary",
    "any_value",
    "max_by",
    "min_by",
    "approx_distinct",
    "approx_percentile",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "corr",
    "covar_pop",
    "covar_samp",
    "regr_slope",
    "regr_intercept",
    "array_agg",
];

const WINDOWS: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// Whether Athena's aggregate of this name is supported.
pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

/// Whether Athena's window function of this name is supported.
pub(super) fn is_window(name: &str) -> bool {
    WINDOWS.contains(&name)
}

/// Whether Athena's scalar function of this name is supported.
pub(super) fn is_scalar(name: &str) -> bool {
    !name.starts_with('$')
        && (SCALARS_BY_FORM.contains(&name) || table().iter().any(|(n, _)| *n == name))
}

/// Whether a function takes so many arguments; otherwise how many it takes.
pub(super) fn arity(name: &str, count: usize) -> Result<(), String> {
    let range = match name {
        "if" => 2..=3,
        "concat" | "greatest" | "least" | "coalesce" => 1..=100,
        "date" | "sum" | "avg" | "min" | "max" | "count_if" | "arbitrary" | "any_value"
        | "bool_and" | "bool_or" | "every" | "stddev" | "stddev_samp" | "stddev_pop"
        | "variance" | "var_samp" | "var_pop" | "array_agg" => 1..=1,
        "mod" | "pow" | "nullif" | "max_by" | "min_by" | "approx_percentile" | "corr"
        | "covar_pop" | "covar_samp" | "regr_slope" | "regr_intercept" => 2..=2,
        "count" => 0..=1,
        "approx_distinct" => 1..=1,
        "now" | "current_timestamp" | "current_date" | "localtimestamp" => 0..=0,
        _ => return Ok(()),
    };
    if range.contains(&count) {
        Ok(())
    } else if range.start() == range.end() {
        Err(range.start().to_string())
    } else {
        Err(format!("{} to {}", range.start(), range.end()))
    }
}

/// Every scalar function, the internal ones of the rewriting included.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let mut functions: Vec<Arc<ScalarUDF>> = table()
        .into_iter()
        .map(|(name, overloads)| {
            let signature = if overloads.iter().any(|o| o.params.is_empty()) {
                Signature::one_of(
                    vec![TypeSignature::Nullary, TypeSignature::UserDefined],
                    Volatility::Immutable,
                )
            } else {
                Signature::user_defined(Volatility::Immutable)
            };
            Arc::new(ScalarUDF::from(TrinoFunction {
                name,
                overloads,
                signature,
            }))
        })
        .collect();
    functions.extend([
        datafusion::functions::core::coalesce(),
        datafusion::functions::core::nullif(),
        datafusion::functions::core::greatest(),
        datafusion::functions::core::least(),
        datafusion::functions::core::get_field(),
    ]);
    functions
}

const fn overload(params: &'static [Kind], returns: Returns, run: Run) -> Overload {
    Overload {
        params,
        returns,
        run,
    }
}

fn table() -> Vec<(&'static str, Vec<Overload>)> {
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

pub(super) fn strings<'a>(call: &'a Call<'_>, index: usize) -> &'a StringArray {
    call.args[index].as_string::<i32>()
}

fn doubles<'a>(call: &'a Call<'_>, index: usize) -> &'a Float64Array {
    call.args[index].as_primitive::<Float64Type>()
}

pub(super) fn longs<'a>(call: &'a Call<'_>, index: usize) -> &'a Int64Array {
    call.args[index].as_primitive::<Int64Type>()
}

fn first(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    Ok(Arc::clone(&call.args[0]))
}

fn text(call: &Call<'_>, f: fn(&str) -> String) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        strings(call, 0)
            .iter()
            .map(|s| s.map(f))
            .collect::<StringArray>(),
    ))
}

fn text2(call: &Call<'_>, f: fn(&str, &str) -> Option<String>) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        strings(call, 0)
            .iter()
            .zip(strings(call, 1))
            .map(|(a, b)| f(a?, b?))
            .collect::<StringArray>(),
    ))
}

fn holds2(call: &Call<'_>, f: fn(&str, &str) -> bool) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        strings(call, 0)
            .iter()
            .zip(strings(call, 1))
            .map(|(a, b)| Some(f(a?, b?)))
            .collect::<BooleanArray>(),
    ))
}

fn float(call: &Call<'_>, f: fn(f64) -> f64) -> Result<ArrayRef, Fault> {
    // A real is rounded as the double it is.
    let widened;
    let values = match call.args[0].data_type() {
        DataType::Float32 => {
            widened = call.args[0]
                .as_primitive::<Float32Type>()
                .unary::<_, Float64Type>(f64::from);
            &widened
        }
        _ => doubles(call, 0),
    };
    Ok(Arc::new(values.unary::<_, Float64Type>(f)))
}

fn test(call: &Call<'_>, f: fn(f64) -> bool) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        doubles(call, 0)
            .iter()
            .map(|v| v.map(f))
            .collect::<BooleanArray>(),
    ))
}

fn constant(call: &Call<'_>, value: f64) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(Float64Array::from(vec![value; call.rows])))
}

fn negate(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    numeric::neg(&call.args[0]).map_err(|_| {
        Fault::user(
            "NUMERIC_VALUE_OUT_OF_RANGE",
            format!("{} negation overflow", trino_name(call.args[0].data_type())),
        )
    })
}

fn abs(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    use arrow::datatypes::{Int8Type, Int16Type, Int32Type};
    let overflow = || {
        Fault::user(
            "NUMERIC_VALUE_OUT_OF_RANGE",
            format!(
                "Value is out of range for abs({})",
                trino_name(call.returns)
            ),
        )
    };
    let array = &call.args[0];
    macro_rules! integers {
        ($of:ty) => {
            Arc::new(
                array
                    .as_primitive::<$of>()
                    .try_unary::<_, $of, Fault>(|v| v.checked_abs().ok_or_else(overflow))?,
            )
        };
    }
    Ok(match array.data_type() {
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(f32::abs),
        ),
        DataType::Float64 => Arc::new(doubles(call, 0).unary::<_, Float64Type>(f64::abs)),
        _ => decimal(call, |v| Ok(v.abs()))?,
    })
}

/// `decimal(p - s + min(s, 1), 0)`: room for the carry of rounding.
fn whole_decimal(args: &[DataType]) -> DataType {
    match &args[0] {
        DataType::Decimal128(p, s) => {
            DataType::Decimal128((*p as i8 - s + (*s).min(1)).clamp(1, 38) as u8, 0)
        }
        other => other.clone(),
    }
}

fn decimal(call: &Call<'_>, f: impl Fn(i128) -> Result<i128, Fault>) -> Result<ArrayRef, Fault> {
    let DataType::Decimal128(p, s) = call.returns else {
        return Err(Fault::system("a decimal function without a decimal result"));
    };
    let values: Decimal128Array = call.args[0]
        .as_primitive::<Decimal128Type>()
        .try_unary::<_, Decimal128Type, Fault>(f)?;
    Ok(Arc::new(
        values
            .with_precision_and_scale(*p, *s)
            .map_err(Fault::system)?,
    ))
}

fn scale(call: &Call<'_>) -> u32 {
    match call.args[0].data_type() {
        DataType::Decimal128(_, s) => u32::from(s.unsigned_abs()),
        _ => 0,
    }
}

fn round_decimal(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let unit = i256::from_i128(10i128.pow(scale(call)));
    decimal(call, |v| fit(round_half_up(i256::from_i128(v), unit)))
}

fn round_decimal_to(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let DataType::Decimal128(p, s) = call.returns else {
        return Err(Fault::system("a decimal function without a decimal result"));
    };
    let scale = i64::from(scale(call));
    let mut out = Decimal128Array::builder(call.rows);
    for (value, places) in call.args[0]
        .as_primitive::<Decimal128Type>()
        .iter()
        .zip(longs(call, 1))
    {
        match (value, places) {
            (Some(v), Some(n)) if n >= scale => out.append_value(v),
            (Some(v), Some(n)) => {
                let dropped = scale - n;
                if dropped > 38 {
                    out.append_value(0);
                } else {
                    let unit = i256::from_i128(10i128.pow(dropped as u32));
                    out.append_value(fit(
                        round_half_up(i256::from_i128(v), unit).wrapping_mul(unit)
                    )?);
                }
            }
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(
        out.finish()
            .with_precision_and_scale(*p, *s)
            .map_err(Fault::system)?,
    ))
}

#[derive(Clone, Copy)]
enum Whole {
    Up,
    Down,
    TowardsZero,
}

fn whole(call: &Call<'_>, to: Whole) -> Result<ArrayRef, Fault> {
    let unit = 10i128.pow(scale(call));
    decimal(call, |v| {
        let down = v.div_euclid(unit);
        let exact = v.rem_euclid(unit) == 0;
        Ok(match to {
            Whole::Down => down,
            Whole::Up => down + i128::from(!exact),
            Whole::TowardsZero => v / unit,
        })
    })
}

/// Rounds half up at `places` digits, as Trino: by a factor, away from zero.
fn round_double(value: f64, places: i64) -> f64 {
    let factor = 10f64.powi(places.clamp(-400, 400) as i32);
    let scaled = value * factor;
    if !scaled.is_finite() || factor == 0.0 || scaled.abs() >= 9.0e15 {
        return if factor == 0.0 { 0.0 } else { value };
    }
    let rounded = (scaled.abs() + 0.5).floor() / factor;
    if value < 0.0 { -rounded } else { rounded }
}

fn type_of(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let name = trino_name(call.args[0].data_type());
    Ok(Arc::new(StringArray::from(vec![name; call.rows])))
}

fn to_varchar(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let array = &call.args[0];
    if is_text(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    if matches!(
        array.data_type(),
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) | DataType::Binary
    ) {
        return Err(Fault::user(
            "TYPE_MISMATCH",
            format!("Cannot cast {} to varchar", trino_name(array.data_type())),
        ));
    }
    let mut out = StringBuilder::new();
    let mut shown = String::new();
    for row in 0..array.len() {
        shown.clear();
        let float = match array.data_type() {
            DataType::Float64 if array.is_valid(row) => {
                let v = array.as_primitive::<Float64Type>().value(row);
                Some((v, format!("{v:e}")))
            }
            DataType::Float32 if array.is_valid(row) => {
                let v = array.as_primitive::<Float32Type>().value(row);
                Some((f64::from(v), format!("{v:e}")))
            }
            _ => None,
        };
        match float {
            Some((v, digits)) if v.is_finite() => {
                // Trino: 1.5E0, always with a digit after the point.
                let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
                let point = if mantissa.contains('.') { "" } else { ".0" };
                out.append_value(format!("{mantissa}{point}E{exponent}"));
            }
            _ => {
                if render::value(array, row, &mut shown) {
                    out.append_value(&shown);
                } else {
                    out.append_null();
                }
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

fn to_boolean(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    booleans(call, |s| {
        Err(Fault::user(
            "INVALID_CAST_ARGUMENT",
            format!("Cannot cast '{s}' to boolean"),
        ))
    })
}

fn try_to_boolean(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    booleans(call, |_| Ok(None))
}

fn booleans(
    call: &Call<'_>,
    other: fn(&str) -> Result<Option<bool>, Fault>,
) -> Result<ArrayRef, Fault> {
    let array = &call.args[0];
    if is_text(array.data_type()) {
        let values = strings(call, 0)
            .iter()
            .map(|s| match s {
                None => Ok(None),
                Some(s) => match s.to_lowercase().as_str() {
                    "t" | "true" | "1" => Ok(Some(true)),
                    "f" | "false" | "0" => Ok(Some(false)),
                    _ => other(s),
                },
            })
            .collect::<Result<BooleanArray, Fault>>()?;
        return Ok(Arc::new(values));
    }
    if is_number(array.data_type())
        || matches!(array.data_type(), DataType::Boolean | DataType::Null)
    {
        return cast_with_options(array, &DataType::Boolean, &CastOptions::default())
            .map_err(Fault::system);
    }
    Err(Fault::user(
        "TYPE_MISMATCH",
        format!("Cannot cast {} to boolean", trino_name(array.data_type())),
    ))
}

fn replace(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        strings(call, 0)
            .iter()
            .zip(strings(call, 1))
            .zip(strings(call, 2))
            .map(|((s, what), with)| Some(s?.replace(what?, with?)))
            .collect::<StringArray>(),
    ))
}

fn strpos(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        strings(call, 0)
            .iter()
            .zip(strings(call, 1))
            .map(|(s, part)| {
                let s = s?;
                Some(
                    s.find(part?)
                        .map_or(0, |at| s[..at].chars().count() as i64 + 1),
                )
            })
            .collect::<Int64Array>(),
    ))
}

/// Positions count from 1, or from the end when negative; 0 is nowhere.
fn substr(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let mut out = StringBuilder::new();
    for row in 0..call.rows {
        if call.args.iter().any(|a| a.is_null(row)) {
            out.append_null();
            continue;
        }
        let s = strings(call, 0).value(row);
        let start = longs(call, 1).value(row);
        let length = match call.args.get(2) {
            Some(_) => longs(call, 2).value(row),
            None => i64::MAX,
        };
        let count = s.chars().count() as i64;
        let from = if start > 0 {
            start - 1
        } else {
            count.saturating_add(start)
        };
        if start == 0 || from < 0 || from >= count || length <= 0 {
            out.append_value("");
        } else {
            let taken: String = s
                .chars()
                .skip(from as usize)
                .take(length.min(count) as usize)
                .collect();
            out.append_value(taken);
        }
    }
    Ok(Arc::new(out.finish()))
}

fn split_part(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let mut out = StringBuilder::new();
    for row in 0..call.rows {
        if call.args.iter().any(|a| a.is_null(row)) {
            out.append_null();
            continue;
        }
        let (s, delimiter, index) = (
            strings(call, 0).value(row),
            strings(call, 1).value(row),
            longs(call, 2).value(row),
        );
        if index <= 0 {
            return Err(Fault::user(
                "INVALID_FUNCTION_ARGUMENT",
                "Index must be greater than zero",
            ));
        }
        let part = if delimiter.is_empty() {
            // Every character is a part.
            s.chars().nth(index as usize - 1).map(String::from)
        } else {
            s.split(delimiter)
                .nth(index as usize - 1)
                .map(str::to_owned)
        };
        out.append_option(part);
    }
    Ok(Arc::new(out.finish()))
}

fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef, Fault> {
    let mut out = StringBuilder::new();
    for row in 0..call.rows {
        if call.args.iter().any(|a| a.is_null(row)) {
            out.append_null();
            continue;
        }
        let (s, size, with) = (
            strings(call, 0).value(row),
            longs(call, 1).value(row),
            strings(call, 2).value(row),
        );
        if !(0..=i64::from(i32::MAX)).contains(&size) || with.is_empty() {
            return Err(Fault::user(
                "INVALID_FUNCTION_ARGUMENT",
                "Target length must be in the range [0..2147483647] and the padding must not be empty",
            ));
        }
        let size = size as usize;
        let count = s.chars().count();
        if count >= size {
            out.append_value(s.chars().take(size).collect::<String>());
        } else {
            let padding: String = with.chars().cycle().take(size - count).collect();
            out.append_value(if left {
                format!("{padding}{s}")
            } else {
                format!("{s}{padding}")
            });
        }
    }
    Ok(Arc::new(out.finish()))
}

fn chr(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let values = longs(call, 0)
        .iter()
        .map(|v| match v {
            None => Ok(None),
            Some(v) => u32::try_from(v)
                .ok()
                .and_then(char::from_u32)
                .map(|c| Some(c.to_string()))
                .ok_or_else(|| {
                    Fault::user(
                        "INVALID_FUNCTION_ARGUMENT",
                        format!("Not a valid Unicode code point: {v}"),
                    )
                }),
        })
        .collect::<Result<StringArray, Fault>>()?;
    Ok(Arc::new(values))
}

fn codepoint(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let values = strings(call, 0)
        .iter()
        .map(|s| match s {
            None => Ok(None),
            Some(s) => {
                let mut chars = s.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => Ok(Some(c as i32)),
                    _ => Err(Fault::user(
                        "INVALID_FUNCTION_ARGUMENT",
                        "Input string must be a single character string",
                    )),
                }
            }
        })
        .collect::<Result<arrow::array::Int32Array, Fault>>()?;
    Ok(Arc::new(values))
}

/// Patterns of Java that Rust's engine has, too; others are refused.
fn pattern(text: &str) -> Result<Regex, Fault> {
    Regex::new(text).map_err(|_| {
        Fault::unsupported(format!(
            "the regular expression '{text}' (neither lookaround nor backreferences)"
        ))
    })
}

/// Compiles each pattern once as long as it stays the same.
#[derive(Default)]
struct Patterns {
    last: Option<(String, Regex)>,
}

impl Patterns {
    fn get(&mut self, text: &str) -> Result<&Regex, Fault> {
        if self.last.as_ref().is_none_or(|(t, _)| t != text) {
            self.last = Some((text.to_owned(), pattern(text)?));
        }
        match &self.last {
            Some((_, regex)) => Ok(regex),
            None => Err(Fault::system("no pattern")),
        }
    }
}

fn regexp_like(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let mut patterns = Patterns::default();
    let values = strings(call, 0)
        .iter()
        .zip(strings(call, 1))
        .map(|(s, p)| match (s, p) {
            (Some(s), Some(p)) => Ok(Some(patterns.get(p)?.is_match(s))),
            _ => Ok(None),
        })
        .collect::<Result<BooleanArray, Fault>>()?;
    Ok(Arc::new(values))
}

fn regexp_extract(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let mut patterns = Patterns::default();
    let mut out = StringBuilder::new();
    for row in 0..call.rows {
        if call.args.iter().any(|a| a.is_null(row)) {
            out.append_null();
            continue;
        }
        let regex = patterns.get(strings(call, 1).value(row))?;
        let group = match call.args.get(2) {
            Some(_) => longs(call, 2).value(row),
            None => 0,
        };
        let group = usize::try_from(group)
            .ok()
            .filter(|g| *g < regex.captures_len())
            .ok_or_else(|| {
                Fault::user(
                    "INVALID_FUNCTION_ARGUMENT",
                    format!(
                        "Pattern has {} groups. Cannot access group {group}",
                        regex.captures_len() - 1
                    ),
                )
            })?;
        let found = regex
            .captures(strings(call, 0).value(row))
            .and_then(|c| c.get(group).map(|m| m.as_str().to_owned()));
        out.append_option(found);
    }
    Ok(Arc::new(out.finish()))
}

fn regexp_replace(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let mut patterns = Patterns::default();
    let mut out = StringBuilder::new();
    for row in 0..call.rows {
        if call.args.iter().any(|a| a.is_null(row)) {
            out.append_null();
            continue;
        }
        let regex = patterns.get(strings(call, 1).value(row))?;
        let with = match call.args.get(2) {
            Some(_) => groups(strings(call, 2).value(row)),
            None => String::new(),
        };
        out.append_value(regex.replace_all(strings(call, 0).value(row), with.as_str()));
    }
    Ok(Arc::new(out.finish()))
}

/// Java's `$1x` is the group 1 and an x; Rust would look for a group `1x`.
fn groups(replacement: &str) -> String {
    let mut out = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '$' => {
                let digits: String =
                    std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
                if digits.is_empty() {
                    out.push('$');
                } else {
                    out.push_str(&format!("${{{digits}}}"));
                }
            }
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(next) => out.push(next),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
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
}
