//! `spec.monitoring`: the page, metrics, traces.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use crate::address::HttpUrl;
use crate::amounts::{DurationText, PercentText};
use crate::rules;

/// The page, metrics, traces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::refused("otlp"),
    validation = rules::refused("objectives")
)]
pub struct MonitoringSpec {
    /// Where metrics and traces are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpSpec>,
    /// What the operator makes for Prometheus; used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSpec>,
    /// The live page.
    #[serde(default)]
    pub dashboard: DashboardSpec,
    /// Service level objectives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objectives: Option<ObjectivesSpec>,
}

/// Where metrics and traces are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtlpSpec {
    /// OTLP endpoint.
    pub endpoint: HttpUrl,
    /// Share of ticks that are traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_sampling: Option<PercentText>,
}

/// What the operator makes for Prometheus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusSpec {
    /// A PodMonitor.
    #[serde(default)]
    pub pod_monitor: bool,
    /// A PrometheusRule.
    #[serde(default)]
    pub rules: bool,
}

/// The live page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DashboardSpec {
    /// Whether it runs.
    #[serde(default = "defaults::enabled")]
    pub enabled: bool,
}

/// Service level objectives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectivesSpec {
    /// How fresh the lake is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freshness: Option<FreshnessObjective>,
}

/// How fresh the lake is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreshnessObjective {
    /// Share of ticks.
    pub target: PercentText,
    /// Time within which they land.
    pub within: DurationText,
}
