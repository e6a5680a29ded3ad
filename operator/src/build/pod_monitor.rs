//! What Prometheus scrapes, where its operator is there and the pipeline asks.

use serde_json::{Value, json};

use super::pod::STATUS_PORT_NAME;
use super::{Blueprint, Definition};
use crate::labels;

/// The PodMonitor `NAME`.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> Option<Value> {
    let wanted = blueprint
        .resource
        .spec
        .monitoring
        .prometheus
        .as_ref()
        .is_some_and(|prometheus| prometheus.pod_monitor);
    (wanted && blueprint.monitoring.pod_monitor == Definition::There).then(|| {
        json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": blueprint.meta(blueprint.name(), None),
            "spec": {
                "selector": {"matchLabels": {
                    labels::NAME: labels::APP,
                    labels::INSTANCE: blueprint.name(),
                }},
                "podTargetLabels": [labels::PIPELINE, labels::COMPONENT],
                "podMetricsEndpoints": [{"port": STATUS_PORT_NAME, "path": "/metrics"}],
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    #[test]
    fn it_is_made_where_it_is_asked_for_and_can_be() {
        let mut sample = Sample::full();
        assert_eq!(build(&blueprint(&sample)), None);
        sample.monitoring.pod_monitor = Definition::Forbidden;
        assert_eq!(build(&blueprint(&sample)), None);
        sample.monitoring.pod_monitor = Definition::There;
        assert!(build(&blueprint(&sample)).is_some());
        sample.edit(|spec| spec.monitoring.prometheus = None);
        assert_eq!(build(&blueprint(&sample)), None);
    }
}
