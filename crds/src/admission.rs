//! The API server's validation, without an API server: structural schema, then
//! CEL over the defaulted object.

use std::cell::OnceCell;
use std::collections::HashSet;

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;

use crate::schema::{fill_defaults, object_schema};
use crate::structural;
use crate::violation::Violation;

/// Everything that is wrong with an object, as JSON, on its own or as an update
/// of `old`. CEL is only asked about an object whose structure is sound.
pub fn validate_object(object: &Value, old: Option<&Value>) -> Vec<Violation> {
    let schema = object_schema();
    let mut violations = metadata(object);
    violations.extend(structural::check(schema, object));
    if violations.is_empty() {
        violations = cel(&defaulted(object), old.map(defaulted).as_ref());
    }
    violations
}

/// An object as the API server hands it to CEL.
fn defaulted(object: &Value) -> Value {
    let mut object = object.clone();
    fill_defaults(object_schema(), &mut object);
    drop_nulls(&mut object);
    object
}

/// Takes nulls away: a null is unset, and neither CEL's `has` nor a typed field
/// must see it.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, child| !child.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// `metadata` is checked by the API server itself, outside the definition.
fn metadata(object: &Value) -> Vec<Violation> {
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    let mut violations = Vec::new();
    match metadata.get("name") {
        Some(Value::String(_)) => {}
        None | Some(Value::Null) => violations.push(Violation::new(
            "metadata.name",
            "is missing; name the pipeline, for instance us-equities",
        )),
        Some(other) => violations.push(Violation::new(
            "metadata.name",
            format!("must be text, not {other}; write it in quotes"),
        )),
    }
    if metadata.is_object() {
        let typed = serde_json::from_value::<
            k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
        >(metadata.clone());
        if let (true, Err(error)) = (violations.is_empty(), typed) {
            violations.push(Violation::new(
                "metadata",
                format!("cannot be read: {error}"),
            ));
        }
    }
    violations
}

thread_local! {
    /// Rules compiled and the validator, made once a thread: neither is `Sync`.
    static RULES: OnceCell<(Validator, CompiledSchema)> = const { OnceCell::new() };
}

fn cel(object: &Value, old: Option<&Value>) -> Vec<Violation> {
    let outcome = RULES.with(|rules| {
        let (validator, compiled) =
            rules.get_or_init(|| (Validator::new(), compile_schema(object_schema())));
        validator.validate_compiled(compiled, object, old)
    });
    let Err(errors) = outcome else {
        return Vec::new();
    };
    let mut fields = HashSet::new();
    errors
        .into_iter()
        // One sentence a field: the first rule that is broken.
        .filter(|error| fields.insert(error.field_path.clone()))
        .map(|error| {
            // No rule can point at `metadata`, which is outside the definition:
            // such a rule names the field in its message.
            match error.message.strip_prefix("metadata.name ") {
                Some(message) => Violation::new("metadata.name", message),
                None => Violation::new(error.field_path.trim_start_matches('.'), error.message),
            }
        })
        .collect()
}
