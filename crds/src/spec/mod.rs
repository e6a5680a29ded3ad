//! The `StockPipeline` resource, version v1alpha1, as a user writes it.
//!
//! Each module is one parent of the spec. Defaults that follow from the
//! pipeline's name are not here but in [`resolve`](crate::resolve::resolve).

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::WorkerVersion;
use crate::rules;
use crate::status::StockPipelineStatus;

pub mod aws;
pub mod catalog;
pub mod consumer;
mod defaults;
pub mod kafka;
pub mod lake;
pub mod live;
pub mod market;
pub mod monitoring;
pub mod producer;
pub mod replay;
pub mod report;
pub mod schedule;
pub mod secret;
pub mod source;
pub mod template;
pub mod transform;

/// API group.
pub const GROUP: &str = "stockpipe.dev";
/// API version within [`GROUP`].
pub const VERSION: &str = "v1alpha1";
/// Kind of the resource.
pub const KIND: &str = "StockPipeline";

/// A market-data pipeline: from a source through Kafka into a lake that SQL
/// answers.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "stockpipe.dev",
    version = "v1alpha1",
    kind = "StockPipeline",
    namespaced,
    doc = "A market-data pipeline: from a source through Kafka into a lake that SQL answers.",
    status = "StockPipelineStatus",
    derive = "PartialEq",
    shortname = "spl",
    category = "stockpipe",
    scale(
        spec_replicas_path = ".spec.consumer.replicas",
        status_replicas_path = ".status.consumer.replicas",
        label_selector_path = ".status.consumer.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Rate", type_ = "string", json_path = ".status.producer.rate", description = "Ticks a second"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.consumer.lag", description = "Records that have not landed"),
    printcolumn(name = "Freshness", type_ = "string", json_path = ".status.consumer.freshness", description = "Delay from ingestion to landing"),
    printcolumn(name = "Last Report", type_ = "string", json_path = ".status.lastReport", description = "Newest report and its state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 24 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be at most 24 lower-case letters, digits and '-', starting with a letter, because it prefixes every child's name; write for instance us-equities"),
    validation = rules::immutable("lake.bucket"),
    validation = rules::immutable_or_default("lake.prefix", "{}.metadata.name + '/ticks'"),
    validation = rules::immutable("lake.partitionBy"),
    validation = rules::immutable("lake.format"),
    validation = rules::immutable_or_default("kafka.topic.name", "{}.metadata.name + '.ticks'"),
    validation = rules::immutable("kafka.topic.replicationFactor"),
    validation = rules::immutable_or_default("catalog.database", "'stockpipe'"),
    validation = rules::immutable_or_default("catalog.table", "{}.metadata.name.replace('-', '_') + '_ticks'"),
    validation = Rule::new("self.spec.kafka.topic.partitions >= oldSelf.spec.kafka.topic.partitions")
        .message("may only grow: Kafka cannot take partitions away")
        .field_path(".spec.kafka.topic.partitions"),
    validation = Rule::new("has(self.spec.source.replay) == has(oldSelf.spec.source.replay) && has(self.spec.source.live) == has(oldSelf.spec.source.live)")
        .message("is of an immutable kind; make a pipeline of another name instead")
        .field_path(".spec.source")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::refused_list("transforms"),
    validation = Rule::new("!has(self.source.live) || self.producer.replicas <= 1")
        .message("of more than 1 would open a second connection to the live feed, which some refuse, and each tick would come twice; write 1")
        .field_path(".producer.replicas"),
    validation = Rule::new("!has(self.source.live) || !has(self.market.universe)")
        .message("generates symbols that no live feed knows; leave it out and write market.symbols")
        .field_path(".market.universe"),
    validation = Rule::new("!has(self.catalog.crawler) || self.catalog.crawler.target == 'S3' || self.lake.partitionBy != 'None'")
        .message("has nothing to add to a table without partitions; leave it out, or write target: S3")
        .field_path(".catalog.crawler")
)]
pub struct StockPipelineSpec {
    /// Stops producers, landers and schedules while set; nothing is deleted.
    #[serde(default)]
    pub suspend: bool,
    /// Version of the workers; default the chart's. Used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<WorkerVersion>,
    /// The market: which exchange's hours, which symbols.
    #[serde(default)]
    pub market: market::MarketSpec,
    /// Where ticks come from: simulated, replay or live. Default: simulated.
    #[serde(default)]
    pub source: source::SourceSpec,
    /// The brokers and the topic.
    #[serde(default)]
    pub kafka: kafka::KafkaSpec,
    /// The processes that make ticks.
    #[serde(default)]
    pub producer: producer::ProducerSpec,
    /// The landers: processes that carry ticks from Kafka to the lake.
    #[serde(default)]
    pub consumer: consumer::ConsumerSpec,
    /// Where and how ticks land.
    pub lake: lake::LakeSpec,
    /// The table in Glue.
    #[serde(default)]
    pub catalog: catalog::CatalogSpec,
    /// Tables derived from the ticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub transforms: Option<Vec<transform::TransformSpec>>,
    /// Scheduled questions to Athena.
    #[serde(default)]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub reports: Vec<report::ReportSpec>,
    /// The page, metrics, traces.
    #[serde(default)]
    pub monitoring: monitoring::MonitoringSpec,
    /// What stockpipe does about topic, bucket, database, table and workgroups:
    /// Manage makes what is missing, Verify only checks, None does nothing.
    #[serde(default = "defaults::provisioning")]
    pub provisioning: ProvisioningMode,
    /// Region, addresses and identity.
    #[serde(default)]
    pub aws: aws::AwsSpec,
}

/// What stockpipe does about topic, bucket, database, table and workgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProvisioningMode {
    /// Makes what is missing.
    Manage,
    /// Only checks.
    Verify,
    /// Does nothing.
    None,
}

/// What happens to a thing that stockpipe made when the pipeline is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is kept.
    Retain,
    /// It is deleted, if it carries the pipeline's ownership marker.
    Delete,
}
