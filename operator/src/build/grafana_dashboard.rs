//! A dashboard of the pipeline, for Grafana's sidecar to load.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::Blueprint;
use crate::resources::hash_of_text;

/// Width of the page, in Grafana's units.
const WIDTH: usize = 24;
/// Panels beside each other.
const COLUMNS: usize = 2;
/// Height of a panel.
const HEIGHT: usize = 8;

/// The ConfigMap `NAME-dashboard`, where dashboards are asked for of the
/// operator and metrics of the pipeline.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> Option<ConfigMap> {
    let labels = &blueprint.defaults.dashboard_labels;
    let prometheus = blueprint.resource.spec.monitoring.prometheus.as_ref();
    if labels.is_empty() || !prometheus.is_some_and(|prometheus| prometheus.pod_monitor) {
        return None;
    }
    let pipeline = format!("{}/{}", blueprint.namespace(), blueprint.name());
    let mut metadata = blueprint.meta(format!("{}-dashboard", blueprint.name()), None);
    let ours = metadata.labels.get_or_insert_default();
    for (key, value) in labels {
        ours.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let file = format!(
        "stockpipe-{}-{}.json",
        blueprint.namespace(),
        blueprint.name()
    );
    Some(ConfigMap {
        metadata,
        data: Some(BTreeMap::from([(file, dashboard(&pipeline).to_string())])),
        ..ConfigMap::default()
    })
}

fn dashboard(pipeline: &str) -> Value {
    json!({
        "title": format!("Pipeline {pipeline}"),
        // Grafana takes at most 40 characters.
        "uid": format!("stockpipe-{}", hash_of_text(pipeline)),
        "tags": ["stockpipe"],
        "schemaVersion": 39,
        "editable": false,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
        ]},
        "panels": PANELS.iter().enumerate().map(|(at, panel)| panel.json(at, pipeline)).collect::<Vec<_>>(),
    })
}

/// A graph over time.
struct Panel {
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    /// Expression, in which `$P` selects the pipeline, and legend.
    series: &'static [(&'static str, &'static str)],
}

impl Panel {
    fn json(&self, at: usize, pipeline: &str) -> Value {
        let source = json!({"type": "prometheus", "uid": "${datasource}"});
        let selects = format!("pipeline=\"{pipeline}\"");
        let targets = self
            .series
            .iter()
            .zip('A'..)
            .map(|((expression, legend), id)| {
                json!({
                    "refId": id.to_string(), "datasource": source,
                    "expr": expression.replace("$P", &selects), "legendFormat": legend,
                })
            });
        let width = WIDTH / COLUMNS;
        json!({
            "id": at + 1,
            "type": "timeseries",
            "title": self.title,
            "description": self.description,
            "datasource": source,
            "gridPos": {"h": HEIGHT, "w": width, "x": at % COLUMNS * width, "y": at / COLUMNS * HEIGHT},
            "fieldConfig": {"defaults": {"unit": self.unit}, "overrides": []},
            "targets": targets.collect::<Vec<_>>(),
        })
    }
}

const PANELS: [Panel; 10] = [
    Panel {
        title: "Conditions",
        description: "1 true, 0 false, -1 unknown; kubectl describe spl says why.",
        unit: "short",
        series: &[(
            "max by (type) (stockpipe_pipeline_condition{$P} and on (namespace, pod) stockpipe_operator_leader == 1)",
            "{{type}}",
        )],
    },
    Panel {
        title: "What workers say is wrong",
        description: "Empty while all is well.",
        unit: "short",
        series: &[(
            "count by (role, type, reason) (stockpipe_worker_condition{$P} == 0)",
            "{{role}}: {{type}} {{reason}}",
        )],
    },
    Panel {
        title: "Ticks a second",
        description: "What Kafka acknowledged, and what landed.",
        unit: "short",
        series: &[
            ("sum(rate(stockpipe_produce_ticks_total{$P}[2m]))", "made"),
            ("sum(rate(stockpipe_land_rows_total{$P}[2m]))", "landed"),
        ],
    },
    Panel {
        title: "Records that have not landed",
        description: "By partition, as its owner says.",
        unit: "short",
        series: &[(
            "max by (partition) (stockpipe_land_lag_records{$P})",
            "partition {{partition}}",
        )],
    },
    Panel {
        title: "Freshness",
        description: "From ingestion to landing, of the newest published range.",
        unit: "s",
        series: &[("max(stockpipe_land_freshness_seconds{$P})", "freshness")],
    },
    Panel {
        title: "Age of the watermark",
        description: "Event time up to which everything has landed, before now.",
        unit: "s",
        series: &[(
            "time() - min(max by (partition) (stockpipe_land_watermark_seconds{$P}))",
            "age",
        )],
    },
    Panel {
        title: "Files published a minute",
        description: "Many small files make queries slow.",
        unit: "short",
        series: &[(
            "60 * sum(rate(stockpipe_land_files_total{$P}[5m]))",
            "files",
        )],
    },
    Panel {
        title: "Bytes published a second",
        description: "Of the files in the lake.",
        unit: "Bps",
        series: &[("sum(rate(stockpipe_land_bytes_total{$P}[5m]))", "bytes")],
    },
    Panel {
        title: "Memory of the landers' buffers",
        description: "As a share of consumer.memoryBudget.",
        unit: "percentunit",
        series: &[(
            "stockpipe_land_buffered_bytes{$P} / stockpipe_land_budget_bytes{$P}",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Records of the last hour that are not where the others are",
        description: "Records that are no ticks, rows of a closed period, and rows of files that cannot be read.",
        unit: "short",
        series: &[
            (
                "sum(increase(stockpipe_land_quarantined_total{$P}[1h]))",
                "quarantined",
            ),
            (
                "sum(increase(stockpipe_land_late_rows_total{$P}[1h]))",
                "late",
            ),
            (
                "sum(increase(stockpipe_produce_bad_rows_total{$P}[1h]))",
                "bad rows",
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    fn wanted() -> Sample {
        let mut sample = Sample::full();
        sample.defaults.dashboard_labels =
            [("grafana_dashboard".to_owned(), "1".to_owned())].into();
        sample
    }

    #[test]
    fn it_is_made_where_operator_and_pipeline_ask_for_it() {
        assert_eq!(build(&blueprint(&Sample::full())), None);
        let mut sample = wanted();
        let made = build(&blueprint(&sample)).unwrap();
        assert_eq!(made.metadata.name.as_deref(), Some("us-equities-dashboard"));
        let labels = made.metadata.labels.unwrap();
        assert_eq!(labels["grafana_dashboard"], "1");
        assert_eq!(labels["stockpipe.dev/pipeline"], "us-equities");
        sample.edit(|spec| spec.monitoring.prometheus = None);
        assert_eq!(build(&blueprint(&sample)), None);
    }

    #[test]
    fn every_panel_is_of_this_pipeline_and_of_metrics_that_are_documented() {
        let documented = include_str!("../../../docs/reference/metrics.md");
        let made = build(&blueprint(&wanted())).unwrap();
        let (file, text) = made.data.unwrap().pop_first().unwrap();
        assert_eq!(file, "stockpipe-market-us-equities.json");
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        assert!(dashboard["uid"].as_str().unwrap().len() <= 40);
        let panels = dashboard["panels"].as_array().unwrap();
        assert_eq!(panels.len(), PANELS.len());
        for panel in panels {
            for target in panel["targets"].as_array().unwrap() {
                let expression = target["expr"].as_str().unwrap();
                assert!(
                    expression.contains("{pipeline=\"market/us-equities\"}"),
                    "{expression}"
                );
                let names = expression
                    .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .filter(|word| word.starts_with("stockpipe_"));
                for name in names {
                    assert!(documented.contains(&format!("`{name}`")), "{name}");
                }
            }
        }
    }
}
