//! Functions of strings.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray, StringBuilder};

use super::super::super::fault::Fault;
use super::overload::Call;
use super::{longs, strings};

pub(super) fn text(call: &Call<'_>, f: fn(&str) -> String) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        strings(call, 0)
            .iter()
            .map(|s| s.map(f))
            .collect::<StringArray>(),
    ))
}

pub(super) fn text2(
    call: &Call<'_>,
    f: fn(&str, &str) -> Option<String>,
) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        strings(call, 0)
            .iter()
            .zip(strings(call, 1))
            .map(|(a, b)| f(a?, b?))
            .collect::<StringArray>(),
    ))
}

pub(super) fn holds2(call: &Call<'_>, f: fn(&str, &str) -> bool) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        strings(call, 0)
            .iter()
            .zip(strings(call, 1))
            .map(|(a, b)| Some(f(a?, b?)))
            .collect::<BooleanArray>(),
    ))
}

pub(super) fn replace(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        strings(call, 0)
            .iter()
            .zip(strings(call, 1))
            .zip(strings(call, 2))
            .map(|((s, what), with)| Some(s?.replace(what?, with?)))
            .collect::<StringArray>(),
    ))
}

pub(super) fn strpos(call: &Call<'_>) -> Result<ArrayRef, Fault> {
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
pub(super) fn substr(call: &Call<'_>) -> Result<ArrayRef, Fault> {
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

pub(super) fn split_part(call: &Call<'_>) -> Result<ArrayRef, Fault> {
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

pub(super) fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef, Fault> {
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

pub(super) fn chr(call: &Call<'_>) -> Result<ArrayRef, Fault> {
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

pub(super) fn codepoint(call: &Call<'_>) -> Result<ArrayRef, Fault> {
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
