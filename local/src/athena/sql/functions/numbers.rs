//! Functions of numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, i256};

use super::super::super::fault::Fault;
use super::super::super::types::trino_name;
use super::super::arithmetic::{fit, round_half_up};
use super::overload::Call;
use super::{doubles, longs};

pub(super) fn float(call: &Call<'_>, f: fn(f64) -> f64) -> Result<ArrayRef, Fault> {
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

pub(super) fn test(call: &Call<'_>, f: fn(f64) -> bool) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        doubles(call, 0)
            .iter()
            .map(|v| v.map(f))
            .collect::<BooleanArray>(),
    ))
}

pub(super) fn constant(call: &Call<'_>, value: f64) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(Float64Array::from(vec![value; call.rows])))
}

pub(super) fn negate(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    numeric::neg(&call.args[0]).map_err(|_| {
        Fault::user(
            "NUMERIC_VALUE_OUT_OF_RANGE",
            format!("{} negation overflow", trino_name(call.args[0].data_type())),
        )
    })
}

pub(super) fn abs(call: &Call<'_>) -> Result<ArrayRef, Fault> {
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
pub(super) fn whole_decimal(args: &[DataType]) -> DataType {
    match &args[0] {
        DataType::Decimal128(p, s) => {
            DataType::Decimal128((*p as i8 - s + (*s).min(1)).clamp(1, 38) as u8, 0)
        }
        other => other.clone(),
    }
}

pub(super) fn decimal(
    call: &Call<'_>,
    f: impl Fn(i128) -> Result<i128, Fault>,
) -> Result<ArrayRef, Fault> {
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

pub(super) fn scale(call: &Call<'_>) -> u32 {
    match call.args[0].data_type() {
        DataType::Decimal128(_, s) => u32::from(s.unsigned_abs()),
        _ => 0,
    }
}

pub(super) fn round_decimal(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let unit = i256::from_i128(10i128.pow(scale(call)));
    decimal(call, |v| fit(round_half_up(i256::from_i128(v), unit)))
}

pub(super) fn round_decimal_to(call: &Call<'_>) -> Result<ArrayRef, Fault> {
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
pub(super) enum Whole {
    Up,
    Down,
    TowardsZero,
}

pub(super) fn whole(call: &Call<'_>, to: Whole) -> Result<ArrayRef, Fault> {
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
pub(super) fn round_double(value: f64, places: i64) -> f64 {
    let factor = 10f64.powi(places.clamp(-400, 400) as i32);
    let scaled = value * factor;
    if !scaled.is_finite() || factor == 0.0 || scaled.abs() >= 9.0e15 {
        return if factor == 0.0 { 0.0 } else { value };
    }
    let rounded = (scaled.abs() + 0.5).floor() / factor;
    if value < 0.0 { -rounded } else { rounded }
}
