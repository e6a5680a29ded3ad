//! Checks an object against the definition's structural schema, as the API
//! server does: unknown and missing fields, types, bounds, lists keyed by name.
//! The sentences are ours, because the reader edits a file.

use serde_json::{Map, Value};

use crate::violation::Violation;

/// Appends what is wrong with `value` under `schema`.
pub(crate) fn check(root: &Value, value: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    Checker { root }.node(root, value, "", &mut found);
    found
}

struct Checker<'a> {
    /// Schema of the whole object, to find where a misplaced field belongs.
    root: &'a Value,
}

impl Checker<'_> {
    fn node(&self, schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
        if let Some(message) = wrong_type(schema, value) {
            found.push(Violation::new(path, message));
            return;
        }
        match value {
            Value::Object(object) => self.object(schema, object, path, found),
            Value::Array(items) => self.list(schema, items, path, found),
            Value::String(text) => {
                found.extend(wrong_text(schema, text).map(|message| Violation::new(path, message)))
            }
            Value::Number(number) => found.extend(
                number
                    .as_i64()
                    .and_then(|number| out_of_bounds(schema, number))
                    .map(|message| Violation::new(path, message)),
            ),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn object(
        &self,
        schema: &Value,
        object: &Map<String, Value>,
        path: &str,
        found: &mut Vec<Violation>,
    ) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, value) in object {
                // The root's own fields are not in a definition's schema.
                if path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
                    continue;
                }
                let child_path = join(path, name);
                match properties.get(name) {
                    // A null is unset, as for the API server.
                    Some(_) if value.is_null() => {}
                    Some(child) => self.node(child, value, &child_path, found),
                    None => found.push(Violation::new(
                        child_path,
                        self.unknown(name, path, properties),
                    )),
                }
            }
            for name in schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                if object.get(name).is_none_or(Value::is_null) {
                    let child = properties.get(name).unwrap_or(&Value::Null);
                    found.push(Violation::new(join(path, name), missing(child)));
                }
            }
        } else if let Some(child) = schema.get("additionalProperties") {
            if let Some(most) =
                bound(schema, "maxProperties").filter(|most| object.len() as i64 > *most)
            {
                found.push(Violation::new(
                    path,
                    format!("has {} entries; write at most {most}", object.len()),
                ));
            }
            for (name, value) in object {
                self.node(child, value, &join(path, name), found);
            }
        }
    }

    fn list(&self, schema: &Value, items: &[Value], path: &str, found: &mut Vec<Violation>) {
        let count = items.len() as i64;
        if let Some(most) = bound(schema, "maxItems").filter(|most| count > *most) {
            found.push(Violation::new(
                path,
                format!("has {count} entries; write at most {most}"),
            ));
        }
        if let Some(least) = bound(schema, "minItems").filter(|least| count < *least) {
            found.push(Violation::new(
                path,
                format!("has {count} entries; write at least {least}"),
            ));
        }
        if let Some(child) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.node(child, item, &format!("{path}[{index}]"), found);
            }
        }
        let keyed = schema.get("x-kubernetes-list-type").and_then(Value::as_str);
        let mut seen = std::collections::HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let (key, at) = match keyed {
                Some("set") => (Some(item), format!("{path}[{index}]")),
                Some("map") => {
                    let name = schema
                        .get("x-kubernetes-list-map-keys")
                        .and_then(|keys| keys.get(0))
                        .and_then(Value::as_str)
                        .unwrap_or("name");
                    (item.get(name), format!("{path}[{index}].{name}"))
                }
                _ => return,
            };
            if let Some(key) = key.filter(|key| !seen.insert(key.to_string())) {
                found.push(Violation::new(
                    at,
                    format!("is {key} a second time; each may stand once"),
                ));
            }
        }
    }

    /// What to say about a field that is not in the API.
    fn unknown(&self, name: &str, path: &str, properties: &Map<String, Value>) -> String {
        let nearest = properties
            .keys()
            .map(|known| {
                let (a, b) = (known.to_lowercase(), name.to_lowercase());
                (strsim::damerau_levenshtein(&a, &b), known)
            })
            .filter(|(distance, known)| {
                *distance <= 2.max(known.len() / 3) && *distance < known.len()
            })
            .min();
        if let Some((_, known)) = nearest {
            return format!("is not a field; write {known}");
        }
        let mut homes = Vec::new();
        find_field(self.root, "", name, &mut homes);
        if let [home] = homes.as_slice() {
            return format!("is not a field here; it belongs to {home}");
        }
        let mut known: Vec<_> = properties.keys().map(String::as_str).collect();
        known.sort_unstable();
        let parent = if path.is_empty() { "the file" } else { path };
        format!(
            "is not a field; the fields of {parent} are {}",
            known.join(", ")
        )
    }
}

/// Parents below `spec` that have a field `name`.
fn find_field(schema: &Value, path: &str, name: &str, homes: &mut Vec<String>) {
    if path.starts_with("status") {
        return;
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        if properties.contains_key(name) {
            homes.push(path.to_owned());
        }
        for (field, child) in properties {
            find_field(child, &join(path, field), name, homes);
        }
    }
    if let Some(items) = schema.get("items") {
        find_field(items, &format!("{path}[]"), name, homes);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn bound(schema: &Value, key: &str) -> Option<i64> {
    // Bounds are serialised as floats by the Kubernetes types.
    schema.get(key).and_then(|bound| {
        bound
            .as_i64()
            .or_else(|| bound.as_f64().map(|float| float as i64))
    })
}

/// What is wrong with the JSON type of `value`, if something is.
fn wrong_type(schema: &Value, value: &Value) -> Option<String> {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return (!value.is_string() && !value.is_i64())
            .then(|| format!("must be a quantity such as 500m, not {}", describe(value)));
    }
    let wanted = schema.get("type").and_then(Value::as_str)?;
    let fits = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        _ => true,
    };
    if fits {
        return None;
    }
    let written = describe(value);
    Some(match wanted {
        "object" => format!("must be a mapping of fields, not {written}"),
        "array" => format!("must be a list, not {written}; write [ … ]"),
        "string" if !value.is_object() && !value.is_array() => {
            format!(
                "must be text, not {written}; write it in quotes: \"{}\"",
                plain(value)
            )
        }
        "string" => format!("must be text, not {written}"),
        "boolean" => format!("must be true or false, not {written}"),
        _ => match value.as_str().filter(|text| text.parse::<i64>().is_ok()) {
            Some(text) => format!("must be a whole number; write {text} without quotes"),
            None => format!("must be a whole number, not {written}"),
        },
    })
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::Bool(flag) => format!("{flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What is wrong with a string, if something is.
fn wrong_text(schema: &Value, text: &str) -> Option<String> {
    if let Some(known) = schema.get("enum").and_then(Value::as_array) {
        let known: Vec<_> = known.iter().filter_map(Value::as_str).collect();
        if !known.contains(&text) {
            return Some(match known.as_slice() {
                [only] => format!("may not be {text:?}; write {only}"),
                _ => format!("may not be {text:?}; write one of {}", known.join(", ")),
            });
        }
    }
    if let Some(most) =
        bound(schema, "maxLength").filter(|most| text.chars().count() as i64 > *most)
    {
        return Some(format!("is too long; write at most {most} characters"));
    }
    if let Some(least) =
        bound(schema, "minLength").filter(|least| (text.chars().count() as i64) < *least)
    {
        return Some(format!("is too short; write at least {least} characters"));
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("date") if text.parse::<jiff::civil::Date>().is_err() || text.len() != 10 => {
            Some(format!("may not be {text:?}; write a date as YYYY-MM-DD"))
        }
        Some("date-time") if text.parse::<jiff::Timestamp>().is_err() => Some(format!(
            "may not be {text:?}; write a time as 2026-11-20T21:00:00Z"
        )),
        _ => None,
    }
}

/// What is wrong with a number, if something is.
fn out_of_bounds(schema: &Value, number: i64) -> Option<String> {
    let (least, most) = (bound(schema, "minimum"), bound(schema, "maximum"));
    let below = least.is_some_and(|least| number < least);
    let above = most.is_some_and(|most| number > most);
    match (least, most) {
        _ if !below && !above => None,
        (Some(least), Some(most)) => Some(format!("is {number}; write {least} to {most}")),
        (Some(least), None) => Some(format!("is {number}; write {least} or more")),
        (_, most) => Some(format!(
            "is {number}; write at most {}",
            most.unwrap_or(i64::MAX)
        )),
    }
}

/// What to say about a field that must be there.
fn missing(schema: &Value) -> String {
    let description = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let first = description
        .split_inclusive(". ")
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let first = first.trim_end_matches('.');
    let inner: Vec<_> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let with = if inner.is_empty() {
        String::new()
    } else {
        format!(" with {}", inner.join(", "))
    };
    if first.is_empty() {
        format!("is missing; add it{with}")
    } else {
        format!("is missing; add it{with} ({first})")
    }
}
