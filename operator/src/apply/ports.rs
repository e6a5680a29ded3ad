//! Ports that somebody else has given other numbers.
//!
//! Server-side apply knows a port by its number. Where a person has changed that, ours would stand beside theirs of the
//! same name, which the API server refuses.

use serde_json::{Value, json};

/// Where a workload has its containers.
const CONTAINERS: &str = "/spec/template/spec/containers";

/// A strategic merge patch of `live` with the ports of `desired` in place of those that have their names and other
/// numbers; `None` where there are none.
#[must_use]
pub fn put_back(desired: &Value, live: &Value) -> Option<Value> {
    let ports = |object: &'_ Value| object.pointer("/spec/ports").cloned();
    if let (Some(ours), Some(theirs)) = (ports(desired), ports(live)) {
        return replaced(&ours, &theirs, "port").map(|ports| json!({"spec": {"ports": ports}}));
    }
    let theirs = live.pointer(CONTAINERS)?.as_array()?;
    let containers: Vec<Value> = desired
        .pointer(CONTAINERS)?
        .as_array()?
        .iter()
        .filter_map(|ours| {
            let theirs = theirs
                .iter()
                .find(|theirs| theirs.get("name") == ours.get("name"))?;
            let ports = replaced(ours.get("ports")?, theirs.get("ports")?, "containerPort")?;
            Some(json!({"name": ours["name"], "ports": ports}))
        })
        .collect();
    (!containers.is_empty())
        .then(|| json!({"spec": {"template": {"spec": {"containers": containers}}}}))
}

/// Items of a patch of ports, which `number` tells apart.
fn replaced(ours: &Value, theirs: &Value, number: &str) -> Option<Value> {
    let (ours, theirs) = (ours.as_array()?, theirs.as_array()?);
    let mut items = Vec::new();
    for wrong in theirs {
        let right = ours.iter().find(|ours| {
            ours.get("name") == wrong.get("name") && ours.get(number) != wrong.get(number)
        });
        if let Some(right) = right {
            items.push(json!({"$patch": "delete", (number): wrong[number]}));
            items.push(right.clone());
        }
    }
    (!items.is_empty()).then_some(items.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_our_name_and_another_number_is_replaced() {
        let service = |number| json!({"spec": {"ports": [{"name": "http", "port": number}]}});
        assert_eq!(put_back(&service(80), &service(80)), None);
        assert_eq!(
            put_back(&service(80), &service(81)),
            Some(json!({"spec": {"ports": [
                {"$patch": "delete", "port": 81},
                {"name": "http", "port": 80},
            ]}}))
        );
        let workload = |name, number| {
            let container =
                json!({"name": name, "ports": [{"name": "http", "containerPort": number}]});
            json!({"spec": {"template": {"spec": {"containers": [container]}}}})
        };
        assert_eq!(put_back(&workload("land", 1), &workload("other", 2)), None);
        assert_eq!(
            put_back(&workload("land", 1), &workload("land", 2)),
            Some(
                json!({"spec": {"template": {"spec": {"containers": [{"name": "land", "ports": [
                    {"$patch": "delete", "containerPort": 2},
                    {"name": "http", "containerPort": 1},
                ]}]}}}})
            )
        );
        assert_eq!(put_back(&json!({}), &json!({})), None);
    }
}
