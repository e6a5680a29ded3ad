//! Values as Athena writes them into results.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt64Type,
};

/// Appends the text of `array[row]` to `out`; returns false, appending
/// nothing, for NULL.
pub(super) fn value(array: &ArrayRef, row: usize, out: &mut String) -> bool {
    use std::fmt::Write as _;
    if array.is_null(row) {
        return false;
    }
    let written = match array.data_type() {
        DataType::Null => return false,
        DataType::Boolean => write!(out, "{}", array.as_boolean().value(row)),
        DataType::Int8 => write!(out, "{}", array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => write!(out, "{}", array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => write!(out, "{}", array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => {
            let v = array.as_primitive::<Float32Type>().value(row);
            java(f64::from(v), &format!("{v:e}"), out);
            Ok(())
        }
        DataType::Float64 => {
            double(array.as_primitive::<Float64Type>().value(row), out);
            Ok(())
        }
        DataType::Decimal128(_, scale) => {
            decimal(
                array.as_primitive::<Decimal128Type>().value(row),
                *scale,
                out,
            );
            Ok(())
        }
        DataType::Utf8 => out.write_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.write_str(array.as_string::<i64>().value(row)),
        DataType::Utf8View => out.write_str(array.as_string_view().value(row)),
        DataType::Binary => {
            bytes(array.as_binary::<i32>().value(row), out);
            Ok(())
        }
        DataType::Date32 => {
            date(array.as_primitive::<Date32Type>().value(row), out);
            Ok(())
        }
        DataType::Timestamp(unit, zone) => {
            let millis = match unit {
                TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row) * 1000,
                TimeUnit::Millisecond => {
                    array.as_primitive::<TimestampMillisecondType>().value(row)
                }
                TimeUnit::Microsecond => array
                    .as_primitive::<TimestampMicrosecondType>()
                    .value(row)
                    .div_euclid(1000),
                TimeUnit::Nanosecond => array
                    .as_primitive::<TimestampNanosecondType>()
                    .value(row)
                    .div_euclid(1_000_000),
            };
            timestamp(millis, out);
            if zone.is_some() {
                out.push_str(" UTC");
            }
            Ok(())
        }
        DataType::Interval(unit) => {
            use arrow::datatypes::IntervalUnit;
            let (months, millis) = match unit {
                IntervalUnit::YearMonth => {
                    (array.as_primitive::<IntervalYearMonthType>().value(row), 0)
                }
                IntervalUnit::DayTime => {
                    let v = array.as_primitive::<IntervalDayTimeType>().value(row);
                    (
                        0,
                        i64::from(v.days) * 86_400_000 + i64::from(v.milliseconds),
                    )
                }
                IntervalUnit::MonthDayNano => {
                    let v = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                    (
                        v.months,
                        i64::from(v.days) * 86_400_000 + v.nanoseconds / 1_000_000,
                    )
                }
            };
            interval(months, millis, out);
            Ok(())
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for i in 0..items.len() {
                if i > 0 {
                    out.push_str(", ");
                }
                nested(&items, i, out);
            }
            out.push(']');
            Ok(())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            out.push('{');
            for (i, field) in fields.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                out.push_str(field.name());
                out.push('=');
                nested(columns.column(i), row, out);
            }
            out.push('}');
            Ok(())
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for i in 0..entries.len() {
                if i > 0 {
                    out.push_str(", ");
                }
                nested(entries.column(0), i, out);
                out.push('=');
                nested(entries.column(1), i, out);
            }
            out.push('}');
            Ok(())
        }
        _ => match arrow::util::display::array_value_to_string(array, row) {
            Ok(text) => out.write_str(&text),
            Err(_) => return false,
        },
    };
    written.is_ok()
}

fn nested(array: &ArrayRef, row: usize, out: &mut String) {
    if !value(array, row, out) {
        out.push_str("null");
    }
}

/// A double as Java's `Double.toString` writes it: plain between 10⁻³ and
/// 10⁷, otherwise `1.5E10`; always with a digit after the point.
pub(super) fn double(v: f64, out: &mut String) {
    java(v, &format!("{v:e}"), out);
}

/// Java's notation from the shortest scientific digits (`1.5e10`).
fn java(v: f64, scientific: &str, out: &mut String) {
    if v.is_nan() {
        out.push_str("NaN");
        return;
    }
    if v.is_infinite() {
        out.push_str(if v > 0.0 { "Infinity" } else { "-Infinity" });
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.push_str(sign);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if v == 0.0 {
        out.push_str("0.0");
    } else if (-3..7).contains(&exponent) {
        if exponent < 0 {
            out.push_str("0.");
            out.extend(std::iter::repeat_n(
                '0',
                (-exponent - 1).unsigned_abs() as usize,
            ));
            out.push_str(&digits);
        } else {
            let whole = exponent.unsigned_abs() as usize + 1;
            let padded = format!("{digits:0<whole$}");
            out.push_str(&padded[..whole]);
            out.push('.');
            out.push_str(if padded.len() > whole {
                &padded[whole..]
            } else {
                "0"
            });
        }
    } else {
        out.push_str(&digits[..1]);
        out.push('.');
        out.push_str(if digits.len() > 1 { &digits[1..] } else { "0" });
        out.push_str(&format!("E{exponent}"));
    }
}

/// A decimal in plain notation with all the digits of its scale.
pub(super) fn decimal(unscaled: i128, scale: i8, out: &mut String) {
    let digits = unscaled.unsigned_abs().to_string();
    if unscaled < 0 {
        out.push('-');
    }
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale == 0 {
        out.push_str(&digits);
        return;
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let point = padded.len() - scale;
    out.push_str(&padded[..point]);
    out.push('.');
    out.push_str(&padded[point..]);
}

/// `2026-11-20`, from days since 1970-01-01.
pub(super) fn date(days: i32, out: &mut String) {
    let (year, month, day) = civil(i64::from(days));
    out.push_str(&format!("{year:04}-{month:02}-{day:02}"));
}

/// `2026-11-20 15:00:00.000`, from milliseconds since 1970-01-01 UTC.
pub(super) fn timestamp(millis: i64, out: &mut String) {
    let (year, month, day) = civil(millis.div_euclid(86_400_000));
    let of_day = millis.rem_euclid(86_400_000);
    out.push_str(&format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}",
        of_day / 3_600_000,
        of_day / 60_000 % 60,
        of_day / 1000 % 60,
        of_day % 1000
    ));
}

/// Year, month and day of a day number, in the proleptic Gregorian calendar
/// (Howard Hinnant's `civil_from_days`).
pub(super) fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `2 03:04:05.678` or `1-2` (years and months), as Trino shows intervals.
fn interval(months: i32, millis: i64, out: &mut String) {
    if months != 0 {
        let sign = if months < 0 { "-" } else { "" };
        let months = months.unsigned_abs();
        out.push_str(&format!("{sign}{}-{}", months / 12, months % 12));
        return;
    }
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    out.push_str(&format!(
        "{sign}{} {:02}:{:02}:{:02}.{:03}",
        millis / 86_400_000,
        millis / 3_600_000 % 24,
        millis / 60_000 % 60,
        millis / 1000 % 60,
        millis % 1000
    ));
}

/// `48 65 6c`: bytes in hex, apart.
fn bytes(bytes: &[u8], out: &mut String) {
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        out.push_str(&format!("{byte:02x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Int64Array,
        ListArray, StringArray, TimestampMillisecondArray,
    };
    use std::sync::Arc;

    fn shown(array: impl Array + 'static) -> Option<String> {
        let array: ArrayRef = Arc::new(array);
        let mut out = String::new();
        value(&array, 0, &mut out).then_some(out)
    }

    #[test]
    fn doubles_look_as_in_java() {
        for (v, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (123_456.789, "123456.789"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1.5e300, "1.5E300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = String::new();
            double(v, &mut out);
            assert_eq!(out, text);
        }
        assert_eq!(shown(Float32Array::from(vec![0.1f32])).unwrap(), "0.1");
    }

    #[test]
    fn decimals_keep_every_digit() {
        for (unscaled, scale, text) in [
            (0, 0, "0"),
            (123, 0, "123"),
            (5, 9, "0.000000005"),
            (-191_250_000_000, 9, "-191.250000000"),
            (i128::from(i64::MAX), 10, "922337203.6854775807"),
        ] {
            let array = Decimal128Array::from(vec![unscaled])
                .with_precision_and_scale(38, scale)
                .unwrap();
            assert_eq!(shown(array).unwrap(), text);
        }
    }

    #[test]
    fn times_have_three_digits_and_survive_the_epoch() {
        let at = |millis: i64| shown(TimestampMillisecondArray::from(vec![millis])).unwrap();
        assert_eq!(at(1_795_186_800_000), "2026-11-20 15:00:00.000");
        assert_eq!(at(-1), "1969-12-31 23:59:59.999");
        assert_eq!(
            shown(TimestampMillisecondArray::from(vec![0]).with_timezone("UTC")).unwrap(),
            "1970-01-01 00:00:00.000 UTC"
        );
        assert_eq!(
            shown(Date32Array::from(vec![20_777])).unwrap(),
            "2026-11-20"
        );
        assert_eq!(
            shown(Date32Array::from(vec![-719_162])).unwrap(),
            "0001-01-01"
        );
        assert_eq!(
            shown(Date32Array::from(vec![11_016])).unwrap(),
            "2000-02-29"
        );
    }

    #[test]
    fn null_is_no_value_and_empty_text_is_one() {
        assert_eq!(shown(StringArray::from(vec![None::<&str>])), None);
        assert_eq!(shown(StringArray::from(vec![""])).unwrap(), "");
        assert_eq!(shown(BooleanArray::from(vec![true])).unwrap(), "true");
        assert_eq!(
            shown(Int64Array::from(vec![i64::MIN])).unwrap(),
            "-9223372036854775808"
        );
        assert_eq!(
            shown(BinaryArray::from(vec![b"Hi".as_slice()])).unwrap(),
            "48 69"
        );
    }

    #[test]
    fn lists_show_null_inside() {
        let list =
            ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(vec![Some(vec![
                Some(1),
                None,
            ])]);
        assert_eq!(shown(list).unwrap(), "[1, null]");
    }
}
