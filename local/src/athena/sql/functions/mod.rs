//! Trino's scalar functions: their names, parameters and results.
//!
//! A function takes arguments by Trino's coercions alone; where none of its
//! overloads fits, the error lists what it takes.

mod conversions;
mod names;
mod numbers;
mod overload;
mod patterns;
mod strings;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};

use super::super::fault::Fault;
pub(super) use names::{arity, is_aggregate, is_scalar, is_window};
use overload::TrinoFunction;
pub(super) use overload::{Call, Kind, Overload, Returns, Run};
use table::table;

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
