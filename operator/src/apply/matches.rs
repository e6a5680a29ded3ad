//! Whether a live object has all that is wanted of it; what others added stays.

use serde_json::Value;

use crate::children::Child;

/// Whether `live` has everything that `wanted` has, with the same values.
///
/// A list whose items have names is compared by name, because others may add
/// items (a sidecar, a volume); any other list must be the same.
#[must_use]
pub fn is_part_of(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().all(|(key, wanted)| {
            live.get(key).is_some_and(|live| is_part_of(wanted, live))
                || is_empty(wanted) && !live.contains_key(key)
        }),
        (Value::Array(wanted), Value::Array(live)) => {
            if let (true, Some(key)) = (live.len() >= wanted.len(), list_key(wanted)) {
                return wanted.iter().all(|wanted| {
                    live.iter()
                        .find(|live| live.get(key) == wanted.get(key))
                        .is_some_and(|live| is_part_of(wanted, live))
                });
            }
            wanted.len() == live.len()
                && wanted
                    .iter()
                    .zip(live)
                    .all(|(wanted, live)| is_part_of(wanted, live))
        }
        (Value::String(wanted), Value::String(live)) => {
            wanted == live || is_same_quantity(wanted, live)
        }
        _ => wanted == live,
    }
}

/// The field that tells the items of a list apart, where every item has it.
fn list_key(items: &[Value]) -> Option<&'static str> {
    ["name", "uid", "mountPath"].into_iter().find(|key| {
        !items.is_empty()
            && items
                .iter()
                .all(|item| item.get(key).is_some_and(Value::is_string))
    })
}

/// The API server leaves out what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::Null => true,
        _ => false,
    }
}

/// The API server writes quantities in their canonical form: 0.5 as 500m, 1024Mi
/// as 1Gi.
fn is_same_quantity(a: &str, b: &str) -> bool {
    matches!((nanos(a), nanos(b)), (Some(a), Some(b)) if a == b)
}

/// Billionths of a quantity without exponent.
fn nanos(quantity: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 14] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
        ("m", 0),
        ("", 1),
    ];
    let (unit, factor) = UNITS
        .into_iter()
        .find(|(unit, _)| quantity.ends_with(unit))?;
    let number = quantity.strip_suffix(unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 15
        || fraction.len() > 9
        || !digits(whole)
        || !digits(fraction)
    {
        return None;
    }
    let scaled: i128 = format!("{whole}{fraction:0<9}").parse().ok()?;
    Some(if unit == "m" {
        scaled / 1_000
    } else {
        scaled.checked_mul(factor)?
    })
}

/// Whether `live` has the labels, annotations and owners that `wanted` sets.
#[must_use]
pub fn metadata_is_part_of(wanted: &Value, live: &Child) -> bool {
    let metadata = &wanted["metadata"];
    let has = |field: &str, live: &std::collections::BTreeMap<String, String>| {
        metadata[field].as_object().is_none_or(|wanted| {
            wanted
                .iter()
                .all(|(key, value)| live.get(key).map(String::as_str) == value.as_str())
        })
    };
    let owned = metadata["ownerReferences"].as_array().is_none_or(|wanted| {
        wanted.iter().all(|owner| {
            live.owners
                .iter()
                .any(|live| owner["uid"].as_str() == Some(live.uid.as_str()))
        })
    });
    has("labels", &live.labels) && has("annotations", &live.annotations) && owned
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_add_is_no_difference_and_what_they_change_is() {
        for (wanted, live, part) in [
            (json!({"a": 1}), json!({"a": 1, "b": 2}), true),
            (json!({"a": 1}), json!({"a": 2}), false),
            (json!({"a": 1}), json!({"b": 1}), false),
            (json!({"a": {}}), json!({}), true),
            (json!({"a": {"b": []}}), json!({}), true),
            (json!({"a": {"b": 1}}), json!({}), false),
            (
                json!([{"name": "worker", "image": "x"}]),
                json!([{"name": "sidecar"}, {"name": "worker", "image": "x", "tty": false}]),
                true,
            ),
            (
                json!([{"name": "worker"}]),
                json!([{"name": "sidecar"}]),
                false,
            ),
            (json!(["a", "b"]), json!(["b", "a"]), false),
            (json!(["a"]), json!(["a", "b"]), false),
            (
                json!([{"port": 1}]),
                json!([{"port": 1, "protocol": "TCP"}]),
                true,
            ),
        ] {
            assert_eq!(is_part_of(&wanted, &live), part, "{wanted} in {live}");
        }
    }

    #[test]
    fn quantities_are_compared_by_value() {
        for (a, b, same) in [
            ("0.5", "500m", true),
            ("1024Mi", "1Gi", true),
            ("2", "2000m", true),
            ("1G", "1Gi", false),
            ("100m", "100M", false),
            ("Always", "Never", false),
            ("1e3", "1000", false),
        ] {
            assert_eq!(is_part_of(&json!(a), &json!(b)), same, "{a} {b}");
        }
    }
}
