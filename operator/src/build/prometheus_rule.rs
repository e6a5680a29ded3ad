//! Alerts on a pipeline, from what the operator's own metrics say of it.

use serde_json::{Value, json};

use super::{Blueprint, Definition};

/// The PrometheusRule `NAME`.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> Option<Value> {
    let wanted = blueprint
        .resource
        .spec
        .monitoring
        .prometheus
        .as_ref()
        .is_some_and(|prometheus| prometheus.rules);
    (wanted && blueprint.monitoring.prometheus_rule == Definition::There).then(|| {
        json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": blueprint.meta(blueprint.name(), None),
            "spec": {"groups": [{
                "name": format!("stockpipe.{}.{}", blueprint.namespace(), blueprint.name()),
                "rules": [
                    alert(blueprint, "StockpipeNotReady", "Ready", "15m", "warning",
                        "is not ready: kubectl describe spl says why"),
                    alert(blueprint, "StockpipeNotLanding", "Landing", "10m", "critical",
                        "lands nothing: ticks wait in Kafka until its retention drops them"),
                    alert(blueprint, "StockpipeReportFailed", "Reporting", "5m", "warning",
                        "has a report whose last run failed"),
                    alert(blueprint, "StockpipeNotCataloged", "Cataloged", "15m", "warning",
                        "has a table that falls behind: Glue takes no partitions, or the last crawl failed"),
                ],
            }]}
        })
    })
}

fn alert(
    blueprint: &Blueprint<'_>,
    name: &str,
    condition: &str,
    lasting: &str,
    severity: &str,
    summary: &str,
) -> Value {
    let (namespace, pipeline) = (blueprint.namespace(), blueprint.name());
    json!({
        "alert": name,
        "expr": format!(
            "max by (pipeline) (stockpipe_pipeline_condition{{pipeline=\"{namespace}/{pipeline}\",type=\"{condition}\"}}) == 0"
        ),
        "for": lasting,
        "labels": {"severity": severity, "stockpipe": format!("{namespace}/{pipeline}")},
        "annotations": {"summary": format!("Pipeline {namespace}/{pipeline} {summary}")},
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    #[test]
    fn every_alert_is_of_this_pipeline_alone() {
        let mut sample = Sample::full();
        assert_eq!(build(&blueprint(&sample)), None);
        sample.monitoring.prometheus_rule = Definition::There;
        let rule = build(&blueprint(&sample)).unwrap();
        let rules = rule["spec"]["groups"][0]["rules"]
            .as_array()
            .unwrap()
            .clone();
        assert_eq!(rules.len(), 4);
        for alert in rules {
            let expression = alert["expr"].as_str().unwrap();
            assert!(
                expression.contains("pipeline=\"market/us-equities\""),
                "{expression}"
            );
        }
    }
}
