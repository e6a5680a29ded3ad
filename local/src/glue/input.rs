//! Reading requests: names, required fields, pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::aws_json::AwsError;

/// An `InvalidInputException`.
pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::client("InvalidInputException", message)
}

/// An `EntityNotFoundException`.
pub(super) fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::client("EntityNotFoundException", message)
}

/// The text at `field`, which must be there.
pub(super) fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, AwsError> {
    match body.get(field) {
        Some(Value::String(s)) if !s.is_empty() => Ok(s),
        Some(Value::String(_)) => Err(invalid(format!("{field} must not be empty."))),
        Some(Value::Null) | None => Err(invalid(format!("{field} is required."))),
        Some(_) => Err(invalid(format!("{field} must be a string."))),
    }
}

/// A name of a database or table: lower-cased as Glue keeps it, 1 to 255
/// bytes, no control characters and no slash.
pub(super) fn name(body: &Value, field: &str) -> Result<String, AwsError> {
    let given = text(body, field)?;
    if given.len() > 255 || given.chars().any(|c| c.is_control() || c == '/') {
        return Err(invalid(format!(
            "{field} must have 1 to 255 characters and neither a slash nor control characters."
        )));
    }
    Ok(given.to_lowercase())
}

/// The object at `field`, without nulls, restricted to the fields that Glue
/// keeps.
pub(super) fn record(
    body: &Value,
    field: &str,
    kept: &[&str],
) -> Result<Map<String, Value>, AwsError> {
    let Some(Value::Object(given)) = body.get(field) else {
        return Err(invalid(format!("{field} is required.")));
    };
    Ok(kept
        .iter()
        .filter_map(|&k| {
            given
                .get(k)
                .filter(|v| !v.is_null())
                .map(|v| (k.to_owned(), without_nulls(v)))
        })
        .collect())
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k.clone(), without_nulls(v)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// A list of strings at `field`, which must be there.
pub(super) fn texts(body: &Value, field: &str) -> Result<Vec<String>, AwsError> {
    let Some(Value::Array(items)) = body.get(field) else {
        return Err(invalid(format!("{field} is required.")));
    };
    items
        .iter()
        .map(|v| {
            v.as_str()
                .map(str::to_owned)
                .ok_or_else(|| invalid(format!("{field} must be a list of strings.")))
        })
        .collect()
}

/// A list at `field`, which must be there and hold at most `most` items.
pub(super) fn list<'a>(body: &'a Value, field: &str, most: usize) -> Result<&'a [Value], AwsError> {
    match body.get(field) {
        Some(Value::Array(items)) if items.len() <= most => Ok(items),
        Some(Value::Array(items)) => Err(AwsError::client(
            "ValidationException",
            format!(
                "{field} has {} entries; at most {most} are allowed.",
                items.len()
            ),
        )),
        _ => Err(invalid(format!("{field} is required."))),
    }
}

/// Where a page starts (after this key) and how many entries it may hold.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) after: Option<String>,
    pub(super) size: usize,
}

/// The page that `NextToken` and `MaxResults` ask for.
pub(super) fn page(body: &Value, most: usize) -> Result<Page, AwsError> {
    let after = match body.get("NextToken") {
        Some(Value::String(token)) if !token.is_empty() => Some(
            URL_SAFE_NO_PAD
                .decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| invalid("NextToken is not one that this catalog gave."))?,
        ),
        _ => None,
    };
    let size = match body.get("MaxResults") {
        None | Some(Value::Null) => most,
        Some(n) => match n.as_u64() {
            Some(n) if n >= 1 && n <= most as u64 => n as usize,
            _ => {
                return Err(invalid(format!("MaxResults must be from 1 to {most}.")));
            }
        },
    };
    Ok(Page { after, size })
}

/// A token that makes the next page start after `key`.
pub(super) fn token(key: &str) -> Value {
    Value::String(URL_SAFE_NO_PAD.encode(key))
}
