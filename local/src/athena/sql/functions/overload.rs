//! One way to call a function: its parameters by Trino's coercions, its result, and what computes it.

use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use super::super::super::fault::Fault;
use super::super::super::types::{TIMESTAMP, timestamp_utc, trino_name};
use super::super::coercion::{coerces, integer_digits, is_number, is_text, is_time};
use super::{CASTABLE, PERCENTILE_INPUT, ROUND_HALF_UP};

/// The kind of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
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
pub(in super::super) enum Returns {
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
    pub(super) fn resolve(self, args: &[DataType]) -> DataType {
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
pub(in super::super) struct Call<'a> {
    pub(in super::super) args: &'a [ArrayRef],
    pub(in super::super) rows: usize,
    pub(in super::super) returns: &'a DataType,
}

/// Computes a call's rows.
pub(in super::super) type Run = fn(&Call<'_>) -> Result<ArrayRef, Fault>;

/// One way to call a function.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Overload {
    pub(in super::super) params: &'static [Kind],
    pub(in super::super) returns: Returns,
    pub(in super::super) run: Run,
}

/// A function with its overloads.
#[derive(Debug)]
pub(in super::super) struct TrinoFunction {
    pub(in super::super) name: &'static str,
    pub(in super::super) overloads: Vec<Overload>,
    pub(in super::super) signature: Signature,
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
    pub(in super::super) fn select(&self, args: &[DataType]) -> Option<(&Overload, Vec<DataType>)> {
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
