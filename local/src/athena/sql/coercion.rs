//! Trino's rules for bringing two types together.

use arrow::datatypes::{DataType, TimeUnit};

use super::super::types::{TIMESTAMP, timestamp_utc};

/// Digits that hold every value of an integer type.
pub(super) fn integer_digits(of: &DataType) -> Option<u8> {
    match of {
        DataType::Int8 => Some(3),
        DataType::Int16 => Some(5),
        DataType::Int32 => Some(10),
        DataType::Int64 => Some(19),
        _ => None,
    }
}

/// Whether the type is text.
pub(super) fn is_text(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// Whether the type is a number.
pub(super) fn is_number(of: &DataType) -> bool {
    integer_digits(of).is_some()
        || matches!(
            of,
            DataType::Float32 | DataType::Float64 | DataType::Decimal128(..)
        )
}

/// Whether the type is a point in time.
pub(super) fn is_time(of: &DataType) -> bool {
    matches!(of, DataType::Date32 | DataType::Timestamp(..))
}

/// Precision and scale of a decimal or of an integer as a decimal.
pub(super) fn as_decimal(of: &DataType) -> Option<(u8, i8)> {
    match of {
        DataType::Decimal128(p, s) => Some((*p, *s)),
        other => integer_digits(other).map(|p| (p, 0)),
    }
}

/// The least type that both coerce to without being asked, or `None` where
/// Trino refuses the combination (`varchar` and `integer`, `date` and
/// `varchar`).
pub(super) fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (DataType::Null, other) | (other, DataType::Null) => return Some(other.clone()),
        (a, b) if is_text(a) && is_text(b) => return Some(DataType::Utf8),
        _ => {}
    }
    if is_number(a) && is_number(b) {
        return Some(common_number(a, b));
    }
    match (a, b) {
        (DataType::Interval(_), DataType::Interval(_)) => Some(b.clone()),
        (a, b) if is_time(a) && is_time(b) => {
            let zoned = |t: &DataType| matches!(t, DataType::Timestamp(_, Some(_)));
            Some(if zoned(a) || zoned(b) {
                timestamp_utc()
            } else {
                TIMESTAMP
            })
        }
        (DataType::List(x), DataType::List(y)) => {
            common(x.data_type(), y.data_type()).map(|item| {
                DataType::List(std::sync::Arc::new(arrow::datatypes::Field::new(
                    "item", item, true,
                )))
            })
        }
        _ => None,
    }
}

fn common_number(a: &DataType, b: &DataType) -> DataType {
    if *a == DataType::Float64 || *b == DataType::Float64 {
        return DataType::Float64;
    }
    if *a == DataType::Float32 || *b == DataType::Float32 {
        return DataType::Float32;
    }
    match (integer_digits(a), integer_digits(b)) {
        (Some(x), Some(y)) => {
            if x >= y {
                a.clone()
            } else {
                b.clone()
            }
        }
        _ => {
            let (p1, s1) = as_decimal(a).unwrap_or((38, 0));
            let (p2, s2) = as_decimal(b).unwrap_or((38, 0));
            let scale = s1.max(s2);
            let whole = (p1 as i8 - s1).max(p2 as i8 - s2);
            DataType::Decimal128((whole + scale).min(38) as u8, scale)
        }
    }
}

/// Whether a value of `from` is taken where `to` is asked for, without a cast.
pub(super) fn coerces(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        // Any timestamp is of milliseconds here.
        (DataType::Timestamp(_, None), DataType::Timestamp(TimeUnit::Millisecond, None)) => true,
        _ => common(from, to).as_ref() == Some(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::{Boolean, Date32, Decimal128, Float32, Float64, Int8, Int32, Int64, Utf8};

    #[test]
    fn common_types_are_those_of_trino() {
        for (a, b, common_type) in [
            (Int32, Int64, Some(Int64)),
            (Int8, Int32, Some(Int32)),
            (Int64, Float32, Some(Float32)),
            (Decimal128(18, 9), Float64, Some(Float64)),
            (Decimal128(18, 9), Int32, Some(Decimal128(19, 9))),
            (
                Decimal128(18, 9),
                Decimal128(28, 10),
                Some(Decimal128(28, 10)),
            ),
            (
                Decimal128(38, 0),
                Decimal128(38, 10),
                Some(Decimal128(38, 10)),
            ),
            (Int64, Decimal128(5, 2), Some(Decimal128(21, 2))),
            (Date32, TIMESTAMP, Some(TIMESTAMP)),
            (TIMESTAMP, timestamp_utc(), Some(timestamp_utc())),
            (DataType::Null, Utf8, Some(Utf8)),
            (Utf8, Int32, None),
            (Date32, Utf8, None),
            (Boolean, Int32, None),
            (TIMESTAMP, Int64, None),
        ] {
            assert_eq!(common(&a, &b), common_type, "{a} and {b}");
            assert_eq!(common(&b, &a), common_type, "{b} and {a}");
        }
    }

    #[test]
    fn narrowing_is_never_implied() {
        assert!(coerces(&Int32, &Int64));
        assert!(!coerces(&Int64, &Int32));
        assert!(coerces(&Decimal128(5, 2), &Float64));
        assert!(!coerces(&Float64, &Decimal128(5, 2)));
        assert!(coerces(&DataType::Null, &Utf8));
    }
}
