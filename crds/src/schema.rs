//! The custom resource definition, as it is applied to a cluster.
//!
//! The derived schema is polished: parents default to `{}`, so that each
//! default stands once, at its field; `nullable` goes, so that a null means
//! "unset", as everywhere in Kubernetes; integer formats that Kubernetes does
//! not know go, their bounds stay.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value};

use crate::spec::StockPipeline;

/// Name of the generated file below `crds/yaml/`.
pub const CRD_FILE: &str = "stockpipelines.stockpipe.dev.yaml";

/// Largest size of the generated file, in bytes. etcd takes 1.5 MiB, a
/// client-side `kubectl apply` annotates at most 256 KiB.
pub const MAX_CRD_BYTES: usize = 200 * 1024;

/// The custom resource definition of `StockPipeline`.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = StockPipeline::crd();
    for version in &mut crd.spec.versions {
        let Some(props) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        let mut schema = serde_json::to_value(&*props).expect("a schema is JSON");
        polish(&mut schema);
        *props = serde_json::from_value(schema).expect("polishing keeps a schema a schema");
    }
    crd
}

/// The definition as YAML, with a line that says where it comes from.
pub fn crd_yaml() -> String {
    let mut definition = serde_json::to_value(crd()).expect("a definition is JSON");
    write_bounds_as_whole_numbers(&mut definition);
    let yaml = serde_norway::to_string(&definition).expect("a definition is YAML");
    format!(
        "# Generated from crds/src/spec. Write it anew with: cargo run -p stockpipe-crds --example crd\n{yaml}"
    )
}

/// The Kubernetes types hold bounds as floats; ours are all whole.
fn write_bounds_as_whole_numbers(value: &mut Value) {
    match value {
        Value::Object(object) => object.values_mut().for_each(write_bounds_as_whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(write_bounds_as_whole_numbers),
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) = number.as_f64().filter(|float| float.fract() == 0.0) {
                *value = Value::from(whole as i64);
            }
        }
        _ => {}
    }
}

/// The polished schema of a whole `StockPipeline` object.
pub(crate) fn object_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        crd()
            .spec
            .versions
            .into_iter()
            .next()
            .and_then(|version| version.schema)
            .and_then(|schema| schema.open_api_v3_schema)
            .map(|props| serde_json::to_value(props).expect("a schema is JSON"))
            .expect("the definition has one version with a schema")
    });
    &SCHEMA
}

fn polish(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else {
        return;
    };
    node.remove("nullable");
    node.remove("title");
    if node.get("default") == Some(&Value::Null) {
        node.remove("default");
    }
    if node.contains_key("properties") && node.get("default").is_some_and(Value::is_object) {
        node.insert("default".to_owned(), Value::Object(Map::new()));
    }
    let known = ["int32", "int64", "date", "date-time"];
    if node
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|format| !known.contains(&format))
    {
        node.remove("format");
    }
    // An enum's list of variants ends with null where the field is optional.
    if let Some(values) = node.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(polish);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(key) {
            polish(child);
        }
    }
}

/// Fills `value` with the defaults of `schema`, as the API server does before
/// it validates: into defaulted parents too; a null where a default stands is
/// unset.
pub(crate) fn fill_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                for (name, child) in properties {
                    if object.get(name).is_some_and(Value::is_null) {
                        object.remove(name);
                    }
                    if let (false, Some(default)) =
                        (object.contains_key(name), child.get("default"))
                    {
                        object.insert(name.clone(), default.clone());
                    }
                    if let Some(present) = object.get_mut(name) {
                        fill_defaults(child, present);
                    }
                }
            } else if let Some(child) = schema.get("additionalProperties") {
                object
                    .values_mut()
                    .for_each(|present| fill_defaults(child, present));
            }
        }
        Value::Array(items) => {
            if let Some(child) = schema.get("items") {
                items.iter_mut().for_each(|item| fill_defaults(child, item));
            }
        }
        _ => {}
    }
}

/// Takes out of `value` what [`fill_defaults`] would put there, and nulls.
pub(crate) fn prune_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                for (name, child) in properties {
                    let Some(present) = object.get_mut(name) else {
                        continue;
                    };
                    prune_defaults(child, present);
                    let default = child.get("default").map(|default| {
                        let mut default = default.clone();
                        prune_defaults(child, &mut default);
                        default
                    });
                    if present.is_null() || default.as_ref() == Some(present) {
                        object.remove(name);
                    }
                }
            } else if let Some(child) = schema.get("additionalProperties") {
                object
                    .values_mut()
                    .for_each(|present| prune_defaults(child, present));
            }
        }
        Value::Array(items) => {
            if let Some(child) = schema.get("items") {
                items
                    .iter_mut()
                    .for_each(|item| prune_defaults(child, item));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pruned_comes_back_as_it_was() {
        let text = include_str!("../tests/everything.yaml");
        let smallest = "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: p}\n\
                        spec: {source: {simulated: {}}, lake: {bucket: acme}}\n";
        for text in [text, smallest] {
            let written = serde_json::to_value(crate::load(text, "p.yaml").unwrap()).unwrap();
            let mut filled = written.clone();
            fill_defaults(object_schema(), &mut filled);
            let mut pruned = filled.clone();
            prune_defaults(object_schema(), &mut pruned);
            assert_ne!(pruned, filled);
            fill_defaults(object_schema(), &mut pruned);
            crate::admission::drop_nulls(&mut filled);
            assert_eq!(pruned, filled);
        }
    }

    /// Visits every node with its path.
    fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
        let Some(node) = schema.as_object() else {
            return;
        };
        visit(path, node);
        if let Some(properties) = node.get("properties").and_then(Value::as_object) {
            for (name, child) in properties {
                walk(child, &format!("{path}.{name}"), visit);
            }
        }
        for key in ["items", "additionalProperties"] {
            if let Some(child) = node.get(key) {
                walk(child, &format!("{path}.{key}"), visit);
            }
        }
    }

    #[test]
    fn every_string_list_and_map_is_bounded() {
        walk(object_schema(), "", &mut |path, node| {
            let bounded = match node.get("type").and_then(Value::as_str) {
                Some("string") => {
                    node.contains_key("maxLength")
                        || node.contains_key("enum")
                        || node.contains_key("format")
                }
                Some("array") => node.contains_key("maxItems"),
                Some("object") if node.contains_key("additionalProperties") => {
                    node.contains_key("maxProperties")
                }
                Some("number") => false,
                _ => true,
            };
            assert!(bounded, "{path}: {node:?}");
        });
    }

    #[test]
    fn every_field_is_documented() {
        let mut fields = 0;
        walk(object_schema(), "", &mut |path, node| {
            let foreign = ["affinity", "tolerations", "topologySpread", "conditions"]
                .iter()
                .any(|name| path.contains(name));
            let Some(properties) = node.get("properties").and_then(Value::as_object) else {
                return;
            };
            for (name, child) in properties {
                fields += 1;
                if path.is_empty() || (foreign && child.get("description").is_none()) {
                    continue;
                }
                assert!(child.get("description").is_some(), "{path}.{name}");
            }
        });
        assert!(fields > 150, "{fields}");
    }

    #[test]
    fn every_parent_defaults_to_an_empty_mapping_that_fills_itself() {
        let mut object = serde_json::json!({
            "metadata": {"name": "x"},
            "spec": {"lake": {"bucket": "acme"}}
        });
        fill_defaults(object_schema(), &mut object);
        assert_eq!(object["spec"]["lake"]["roll"]["maxAge"], "60s");
        assert_eq!(object["spec"]["kafka"]["topic"]["partitions"], 3);
        assert_eq!(object["spec"]["monitoring"]["dashboard"]["enabled"], true);
        walk(object_schema(), "", &mut |path, node| {
            if let (true, Some(default)) = (node.contains_key("properties"), node.get("default")) {
                assert_eq!(default, &serde_json::json!({}), "{path}");
            }
        });
    }

    #[test]
    fn defaults_of_the_schema_and_of_the_types_are_one() {
        let bare = serde_json::json!({
            "apiVersion": "stockpipe.dev/v1alpha1",
            "kind": "StockPipeline",
            "metadata": {"name": "x"},
            "spec": {
                "lake": {"bucket": "acme"},
                "source": {"simulated": {}},
                "consumer": {"autoscaling": {"maxReplicas": 3, "outsideSession": {}}},
                "monitoring": {"prometheus": {}},
                "reports": [{"name": "r", "builtin": "daily-ohlcv", "schedule": {"cron": "@daily"}}]
            }
        });
        let typed: StockPipeline = serde_json::from_value(bare.clone()).unwrap();
        let mut filled = bare;
        fill_defaults(object_schema(), &mut filled);
        assert_eq!(serde_json::to_value(typed).unwrap(), filled);
    }

    #[test]
    fn columns_scale_short_name_and_category_are_there() {
        let crd = crd();
        let names = &crd.spec.names;
        assert_eq!(names.short_names.as_deref(), Some(&["spl".to_owned()][..]));
        assert_eq!(
            names.categories.as_deref(),
            Some(&["stockpipe".to_owned()][..])
        );
        let version = &crd.spec.versions[0];
        let columns: Vec<_> = version
            .additional_printer_columns
            .iter()
            .flatten()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(
            columns,
            ["Phase", "Rate", "Lag", "Freshness", "Last Report", "Age"]
        );
        let scale = version
            .subresources
            .as_ref()
            .and_then(|sub| sub.scale.as_ref())
            .unwrap();
        assert_eq!(scale.spec_replicas_path, ".spec.consumer.replicas");
    }
}
