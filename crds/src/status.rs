//! `status` of a `StockPipeline`: what the operator last saw, rounded so that
//! it changes seldom. Live numbers are in metrics and on the page.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator last saw. Under 10 kB: every list is bounded, history
/// lives in S3.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockPipelineStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for the whole: Pending, Provisioning, Running, Degraded,
    /// Suspended, Paused, Deleting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Conditions: Ready, Provisioned, Producing, Landing, Cataloged, Reporting,
    /// Healthy, Paused, WorkersReachable, Monitored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Which cluster the workers say they are of. Pinned when first seen: the
    /// lake is owned under it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub cluster_id: Option<String>,
    /// Image of the workers. Pinned until spec.version or the operator's own
    /// default changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersStatus>,
    /// Last time that topic, bucket and table were made or checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provision: Option<ProvisionStatus>,
    /// Producers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer: Option<ProducerStatus>,
    /// Landers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<ConsumerStatus>,
    /// The table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<CatalogStatus>,
    /// Last run of each report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub reports: Vec<ReportStatus>,
    /// Newest report run and its state, for kubectl get.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub last_report: Option<String>,
    /// Value of the annotation stockpipe.dev/run-now that was last handled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_run_now: Option<String>,
}

/// One word for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Not looked at yet.
    Pending,
    /// Topic, bucket and table are being made.
    Provisioning,
    /// Ticks flow.
    Running,
    /// Something is wrong; the conditions say what.
    Degraded,
    /// `spec.suspend` is set.
    Suspended,
    /// Applying is paused by annotation.
    Paused,
    /// The pipeline is being deleted.
    Deleting,
}

/// Image of the workers, and what it follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkersStatus {
    /// The image.
    #[schemars(length(max = 512))]
    pub image: String,
    /// spec.version when it was pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// The operator's default when it was pinned.
    #[schemars(length(max = 512))]
    pub default_image: String,
}

/// Last time that topic, bucket and table were made or checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionStatus {
    /// Job that did it.
    #[schemars(length(max = 63))]
    pub job: String,
    /// When it ended.
    #[schemars(length(max = 32))]
    pub time: String,
}

/// Producers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProducerStatus {
    /// Pods.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Ticks a second, to one significant digit: 50k/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub rate: Option<String>,
}

/// Landers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerStatus {
    /// Pods.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Pods that the autoscaler wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Last change that the autoscaler made for the lag's sake; the next one of
    /// the other direction waits for five minutes from then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scale: Option<ScaleStatus>,
    /// Label selector of the pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// Records that have not landed, to one significant digit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Event time up to which everything has landed, to the minute; to the hour while no tick is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub watermark: Option<String>,
    /// Delay from ingestion to landing, rounded: 20s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub freshness: Option<String>,
}

/// A change that the autoscaler made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleStatus {
    /// When.
    #[schemars(length(max = 32))]
    pub time: String,
    /// Pods before.
    pub from: i32,
    /// Pods after.
    pub to: i32,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogStatus {
    /// Last run of the crawler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_crawl: Option<CrawlStatus>,
    /// Schedule times up to this one are settled: crawled, or given up. Kept
    /// where catchUp is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub scheduled_through: Option<String>,
}

/// Last run of the crawler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrawlStatus {
    /// Run key: crawl/ticks@2026-11-20T1505Z.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub key: Option<String>,
    /// When it ended.
    #[schemars(length(max = 32))]
    pub time: String,
    /// How it ended.
    pub state: crate::run_record::RunState,
    /// Partitions that the table then had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}

/// Last run of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportStatus {
    /// Name of the report.
    #[schemars(length(max = 20))]
    pub name: String,
    /// Run key: report/daily-ohlcv@2026-11-20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_key: Option<String>,
    /// State of that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<crate::run_record::RunState>,
    /// When that run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub finished_at: Option<String>,
    /// Schedule times up to this one are settled: run, or given up. Kept where
    /// catchUp is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub scheduled_through: Option<String>,
    /// Rows of its result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Bytes that it scanned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanned_bytes: Option<i64>,
    /// What it cost in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub cost_usd: Option<String>,
    /// Where its result lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1100))]
    pub output: Option<String>,
}

/// Conditions as Kubernetes defines them, bounded, one of each type.
fn conditions_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "type": "string", "maxLength": 64 },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
                "lastTransitionTime": { "type": "string", "format": "date-time" },
                "reason": { "type": "string", "minLength": 1, "maxLength": 64 },
                "message": { "type": "string", "maxLength": 1024 }
            }
        }
    })
}
