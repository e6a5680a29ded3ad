//! Checked arithmetic with Trino's result types: integers that overflow and
//! decimals that do not fit are errors, never wrapped.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array, Scalar};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Decimal128Type, i256};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::super::fault::Fault;
use super::super::types::trino_name;
use super::coercion::as_decimal;

/// The greatest value of 38 digits.
pub(super) const MAX_DECIMAL: i128 = 10i128.pow(38) - 1;

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulus,
}

impl Operator {
    /// The operator of this symbol.
    pub(super) fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "+" => Self::Add,
            "-" => Self::Subtract,
            "*" => Self::Multiply,
            "/" => Self::Divide,
            "%" => Self::Modulus,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Add => "$add",
            Self::Subtract => "$subtract",
            Self::Multiply => "$multiply",
            Self::Divide => "$divide",
            Self::Modulus => "$modulus",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Add => "addition",
            Self::Subtract => "subtraction",
            Self::Multiply => "multiplication",
            Self::Divide => "division",
            Self::Modulus => "modulus",
        }
    }

    /// Trino's result type for two decimals.
    ///
    /// # Errors
    /// When a product has more than 38 digits after the point.
    pub(super) fn decimal_type(
        self,
        (p1, s1): (u8, i8),
        (p2, s2): (u8, i8),
    ) -> Result<DataType, Fault> {
        let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
        let (precision, scale) = match self {
            Self::Add | Self::Subtract => {
                let scale = s1.max(s2);
                (scale + (p1 - s1).max(p2 - s2) + 1, scale)
            }
            Self::Multiply => (p1 + p2, s1 + s2),
            Self::Divide => (p1 + s2 + (s2 - s1).max(0), s1.max(s2)),
            Self::Modulus => ((p2 - s2).min(p1 - s1) + s1.max(s2), s1.max(s2)),
        };
        if scale > 38 {
            return Err(Fault::user(
                "INVALID_FUNCTION_ARGUMENT",
                format!(
                    "DECIMAL scale must be in range [0, 38], not {scale}: cast an operand to fewer digits"
                ),
            ));
        }
        Ok(DataType::Decimal128(
            precision.clamp(1, 38) as u8,
            scale as i8,
        ))
    }
}

/// The function behind an operator on integers of one type, or on decimals.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Arithmetic {
    operator: Operator,
    signature: Signature,
}

impl Arithmetic {
    /// The function of this operator.
    pub(super) fn udf(operator: Operator) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(Self {
            operator,
            signature: Signature::any(2, Volatility::Immutable),
        }))
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> DfResult<DataType> {
        match (&args[0], &args[1]) {
            (a @ DataType::Decimal128(..), b) | (a, b @ DataType::Decimal128(..)) => {
                match (as_decimal(a), as_decimal(b)) {
                    (Some(a), Some(b)) => Ok(self.operator.decimal_type(a, b)?),
                    _ => Err(Fault::system("decimal arithmetic on another type").into()),
                }
            }
            (a, _) => Ok(a.clone()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let returns = args.return_field.data_type();
        let scalars = args
            .args
            .iter()
            .all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let operand = |value: &ColumnarValue| -> DfResult<(ArrayRef, bool)> {
            Ok(match value {
                ColumnarValue::Array(array) => (Arc::clone(array), false),
                ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
            })
        };
        let (left, left_scalar) = operand(&args.args[0])?;
        let (right, right_scalar) = operand(&args.args[1])?;
        let result = match returns {
            DataType::Decimal128(p, s) => decimals(
                self.operator,
                (&left, left_scalar),
                (&right, right_scalar),
                *p,
                *s,
            )?,
            _ => integers(self.operator, (&left, left_scalar), (&right, right_scalar))?,
        };
        if scalars {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?))
        } else {
            Ok(ColumnarValue::Array(result))
        }
    }
}

fn integers(
    operator: Operator,
    (left, left_scalar): (&ArrayRef, bool),
    (right, right_scalar): (&ArrayRef, bool),
) -> Result<ArrayRef, Fault> {
    let (l, r);
    let left_datum: &dyn Datum = if left_scalar {
        l = Scalar::new(Arc::clone(left));
        &l
    } else {
        left
    };
    let right_datum: &dyn Datum = if right_scalar {
        r = Scalar::new(Arc::clone(right));
        &r
    } else {
        right
    };
    let result = match operator {
        Operator::Add => numeric::add(left_datum, right_datum),
        Operator::Subtract => numeric::sub(left_datum, right_datum),
        Operator::Multiply => numeric::mul(left_datum, right_datum),
        Operator::Divide => numeric::div(left_datum, right_datum),
        Operator::Modulus => numeric::rem(left_datum, right_datum),
    };
    result.map_err(|e| match e {
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ArithmeticOverflow(what) => {
            let values = what.rsplit("on: ").next().unwrap_or_default();
            Fault::user(
                "NUMERIC_VALUE_OUT_OF_RANGE",
                format!(
                    "{} {} overflow: {values}",
                    trino_name(left.data_type()),
                    operator.noun()
                ),
            )
        }
        other => Fault::system(other),
    })
}

fn division_by_zero() -> Fault {
    Fault::user("DIVISION_BY_ZERO", "Division by zero")
}

pub(super) fn decimal_overflow() -> Fault {
    Fault::user("NUMERIC_VALUE_OUT_OF_RANGE", "Decimal overflow")
}

/// Ten to the power of `exponent`, which is at most 76.
fn power(exponent: i32) -> i256 {
    i256::from_i128(10).wrapping_pow(exponent.unsigned_abs())
}

/// `dividend / divisor`, rounded half away from zero.
pub(super) fn round_half_up(dividend: i256, divisor: i256) -> i256 {
    let quotient = dividend.wrapping_div(divisor);
    let remainder = dividend.wrapping_rem(divisor);
    let twice = remainder.wrapping_abs().wrapping_mul(i256::from_i128(2));
    if twice >= divisor.wrapping_abs() {
        let away = if dividend.is_negative() == divisor.is_negative() {
            i256::ONE
        } else {
            i256::MINUS_ONE
        };
        quotient.wrapping_add(away)
    } else {
        quotient
    }
}

/// The value of a decimal result, which has at most 38 digits.
pub(super) fn fit(value: i256) -> Result<i128, Fault> {
    value
        .to_i128()
        .filter(|v| v.unsigned_abs() <= MAX_DECIMAL.unsigned_abs())
        .ok_or_else(decimal_overflow)
}

fn decimals(
    operator: Operator,
    (left, left_scalar): (&ArrayRef, bool),
    (right, right_scalar): (&ArrayRef, bool),
    precision: u8,
    scale: i8,
) -> DfResult<ArrayRef> {
    let left_scale = scale_of(left);
    let right_scale = scale_of(right);
    let left = left.as_primitive::<Decimal128Type>();
    let right = right.as_primitive::<Decimal128Type>();
    let scale = i32::from(scale);
    // Exact in 256 bits: 38 digits times at most 38 more.
    let apply = |a: i128, b: i128| -> Result<i128, Fault> {
        // The common case of small numbers stays in 128 bits.
        if let Operator::Multiply = operator
            && let Some(product) = a.checked_mul(b)
            && product.unsigned_abs() <= MAX_DECIMAL.unsigned_abs()
        {
            return Ok(product);
        }
        let (x, y) = (i256::from_i128(a), i256::from_i128(b));
        let aligned = || {
            (
                x.wrapping_mul(power(scale - left_scale)),
                y.wrapping_mul(power(scale - right_scale)),
            )
        };
        fit(match operator {
            Operator::Add => {
                let (x, y) = aligned();
                x.wrapping_add(y)
            }
            Operator::Subtract => {
                let (x, y) = aligned();
                x.wrapping_sub(y)
            }
            Operator::Multiply => x.checked_mul(y).ok_or_else(decimal_overflow)?,
            Operator::Divide => {
                if b == 0 {
                    return Err(division_by_zero());
                }
                let dividend = x
                    .checked_mul(power(scale - left_scale + right_scale))
                    .ok_or_else(decimal_overflow)?;
                round_half_up(dividend, y)
            }
            Operator::Modulus => {
                if b == 0 {
                    return Err(division_by_zero());
                }
                let (x, y) = aligned();
                x.wrapping_rem(y)
            }
        })
    };
    let rows = match (left_scalar, right_scalar) {
        (true, true) => 1,
        (true, false) => right.len(),
        _ => left.len(),
    };
    let mut values = Decimal128Array::builder(rows);
    for row in 0..rows {
        let (l, r) = (
            if left_scalar { 0 } else { row },
            if right_scalar { 0 } else { row },
        );
        if left.is_null(l) || right.is_null(r) {
            values.append_null();
        } else {
            values.append_value(apply(left.value(l), right.value(r))?);
        }
    }
    Ok(Arc::new(
        values
            .finish()
            .with_precision_and_scale(precision, scale as i8)?,
    ))
}

fn scale_of(array: &ArrayRef) -> i32 {
    match array.data_type() {
        DataType::Decimal128(_, s) => i32::from(*s),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(value: i128, precision: u8, scale: i8) -> ArrayRef {
        Arc::new(
            Decimal128Array::from(vec![value])
                .with_precision_and_scale(precision, scale)
                .unwrap(),
        )
    }

    fn compute(operator: Operator, a: &ArrayRef, b: &ArrayRef) -> DfResult<(i128, DataType)> {
        let of = operator.decimal_type(
            as_decimal(a.data_type()).unwrap(),
            as_decimal(b.data_type()).unwrap(),
        )?;
        let DataType::Decimal128(p, s) = of else {
            panic!("decimal");
        };
        let result = decimals(operator, (a, false), (b, true), p, s)?;
        Ok((result.as_primitive::<Decimal128Type>().value(0), of))
    }

    #[test]
    fn decimal_division_is_trinos() {
        // CAST(1 AS DECIMAL(5,2)) / 3 = 0.33 as decimal(5,2); the integer 3 is decimal(10,0).
        let (value, of) =
            compute(Operator::Divide, &decimal(100, 5, 2), &decimal(3, 10, 0)).unwrap();
        assert_eq!((value, of), (33, DataType::Decimal128(5, 2)));
        // 2 / 3 rounds half up: 0.67.
        let (value, _) =
            compute(Operator::Divide, &decimal(200, 5, 2), &decimal(3, 10, 0)).unwrap();
        assert_eq!(value, 67);
        let (value, _) =
            compute(Operator::Divide, &decimal(-200, 5, 2), &decimal(3, 10, 0)).unwrap();
        assert_eq!(value, -67);
        let (value, of) =
            compute(Operator::Divide, &decimal(10, 2, 1), &decimal(300, 5, 2)).unwrap();
        assert_eq!((value, of), (33, DataType::Decimal128(5, 2)));
    }

    #[test]
    fn sums_products_and_remainders_have_trinos_types() {
        let (price, size) = (
            decimal(191_250_000_000, 18, 9),
            decimal(1_000_000_000_000, 28, 10),
        );
        let (value, of) = compute(Operator::Multiply, &price, &size).unwrap();
        assert_eq!(of, DataType::Decimal128(38, 19));
        assert_eq!(value, 191_250_000_000 * 1_000_000_000_000);
        let (value, of) = compute(Operator::Add, &decimal(15, 2, 1), &decimal(25, 4, 2)).unwrap();
        assert_eq!((value, of), (175, DataType::Decimal128(5, 2)));
        let (value, of) =
            compute(Operator::Modulus, &decimal(75, 2, 1), &decimal(200, 4, 2)).unwrap();
        assert_eq!((value, of), (150, DataType::Decimal128(3, 2)));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let big = decimal(MAX_DECIMAL, 38, 0);
        for operator in [Operator::Add, Operator::Multiply] {
            let error = compute(operator, &big, &big).unwrap_err();
            assert_eq!(
                Fault::from(error).message,
                "NUMERIC_VALUE_OUT_OF_RANGE: Decimal overflow"
            );
        }
        let error = compute(Operator::Divide, &big, &decimal(0, 1, 0)).unwrap_err();
        assert_eq!(
            Fault::from(error).message,
            "DIVISION_BY_ZERO: Division by zero"
        );
        assert!(Operator::Multiply.decimal_type((38, 20), (38, 19)).is_err());
    }

    #[test]
    fn integers_overflow_with_trinos_words() {
        let array = |v: i32| -> ArrayRef { Arc::new(arrow::array::Int32Array::from(vec![v])) };
        let error =
            integers(Operator::Add, (&array(i32::MAX), false), (&array(1), true)).unwrap_err();
        assert_eq!(
            error.message,
            "NUMERIC_VALUE_OUT_OF_RANGE: integer addition overflow: 2147483647 + 1"
        );
        let error = integers(Operator::Divide, (&array(1), false), (&array(0), false)).unwrap_err();
        assert_eq!(error.message, "DIVISION_BY_ZERO: Division by zero");
        let half = integers(Operator::Divide, (&array(-7), false), (&array(2), true)).unwrap();
        assert_eq!(
            half.as_primitive::<arrow::datatypes::Int32Type>().value(0),
            -3
        );
    }
}
