//! Every pipeline of `bad_specs.yaml` is refused with its sentence, and every
//! change of `bad_updates.yaml` is judged as it says.

use serde::Deserialize;
use stockpipe_crds::admission::validate_object;
use stockpipe_crds::validate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BadSpec {
    name: String,
    refused_by: RefusedBy,
    yaml: String,
    message: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum RefusedBy {
    Schema,
    Rule,
    Worker,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    name: String,
    old: String,
    new: String,
    message: String,
}

#[test]
fn every_bad_spec_is_refused_with_its_sentence_and_line() {
    let table: Vec<BadSpec> = serde_norway::from_str(include_str!("../bad_specs.yaml")).unwrap();
    assert!(table.len() >= 40, "{}", table.len());
    let mut wrong = Vec::new();
    for row in &table {
        let violations = validate(&row.yaml);
        let said: Vec<_> = violations.iter().map(ToString::to_string).collect();
        if said.len() != 1 || !said[0].starts_with(&row.message) {
            wrong.push(format!("{}: {said:#?}", row.name));
        }
        if violations.iter().any(|violation| violation.line.is_none()) {
            wrong.push(format!("{}: no line", row.name));
        }
        let server_takes = serde_norway::from_str::<serde_json::Value>(&row.yaml)
            .is_ok_and(|object| validate_object(&object, None).is_empty());
        let expected = match row.refused_by {
            // Some of these rows are about the file, not the object.
            RefusedBy::Schema => server_takes,
            RefusedBy::Rule => false,
            RefusedBy::Worker => true,
        };
        if server_takes != expected {
            wrong.push(format!("{}: not refused by {:?}", row.name, row.refused_by));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn changes_are_judged_by_resolved_values() {
    let table: Vec<Update> = serde_norway::from_str(include_str!("../bad_updates.yaml")).unwrap();
    let mut wrong = Vec::new();
    for row in &table {
        let object = |spec: &str| {
            let spec: serde_json::Value = serde_norway::from_str(spec).unwrap();
            serde_json::json!({
                "apiVersion": "stockpipe.dev/v1alpha1",
                "kind": "StockPipeline",
                "metadata": {"name": "us-equities"},
                "spec": spec,
            })
        };
        let (old, new) = (object(&row.old), object(&row.new));
        assert_eq!(validate_object(&old, None), [], "{}", row.name);
        assert_eq!(validate_object(&new, None), [], "{}", row.name);
        let said: Vec<_> = validate_object(&new, Some(&old))
            .iter()
            .map(ToString::to_string)
            .collect();
        let right = match said.as_slice() {
            [] => row.message.is_empty(),
            [one] => !row.message.is_empty() && one.starts_with(&row.message),
            _ => false,
        };
        if !right {
            wrong.push(format!("{}: {said:#?}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
