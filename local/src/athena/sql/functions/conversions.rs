//! Functions that turn one type into another.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use super::super::super::fault::Fault;
use super::super::super::render;
use super::super::super::types::trino_name;
use super::super::coercion::{is_number, is_text};
use super::overload::Call;
use super::strings;

pub(super) fn type_of(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let name = trino_name(call.args[0].data_type());
    Ok(Arc::new(StringArray::from(vec![name; call.rows])))
}

pub(super) fn to_varchar(call: &Call<'_>) -> Result<ArrayRef, Fault> {
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

pub(super) fn to_boolean(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    booleans(call, |s| {
        Err(Fault::user(
            "INVALID_CAST_ARGUMENT",
            format!("Cannot cast '{s}' to boolean"),
        ))
    })
}

pub(super) fn try_to_boolean(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    booleans(call, |_| Ok(None))
}

pub(super) fn booleans(
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
