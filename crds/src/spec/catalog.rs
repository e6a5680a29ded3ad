//! `spec.catalog`: the table in Glue.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::report::CatchUpSpec;
use super::schedule::ScheduleSpec;
use crate::amounts::DurationText;
use crate::names::{DatabaseName, RoleArn, TableName, TablePrefix};
use crate::rules;

/// The table in Glue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::refused("schemaRegistry"))]
pub struct CatalogSpec {
    /// Database; default stockpipe. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// Table; default NAME_ticks, after the pipeline, with '-' as '_'. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableName>,
    /// A Glue crawler over the lake. The table of what lands needs none; on AWS
    /// each crawl is billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crawler: Option<CrawlerSpec>,
    /// The tick's schema in a Glue schema registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_registry: Option<SchemaRegistrySpec>,
}

/// A Glue crawler over the lake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::read_only_where("recrawl", "self.target == 'S3'")
        .message("is read with target: S3 only; leave it out, or write target: S3"),
    validation = rules::read_only_where("tablePrefix", "self.target == 'S3'")
        .message("is read with target: S3 only; leave it out, or write target: S3"),
    validation = rules::read_only_where("catchUp", "self.catchUp.policy != 'All'")
        .message("makes up for the last crawl only, since one crawl sees all that has landed; write catchUp: {policy: Last}")
)]
pub struct CrawlerSpec {
    /// When it runs; without it only by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleSpec>,
    /// What it crawls: Catalog is the pipeline's own table, which gets the
    /// partitions that it lacks and keeps its columns; S3 is the files, of which
    /// it makes a table of its own, with the columns that it infers.
    #[serde(default = "defaults::crawl_target")]
    pub target: CrawlTarget,
    /// With target S3, which folders it looks at: Everything or NewFolders;
    /// default Everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recrawl: Option<Recrawl>,
    /// With target S3, how the name of its table begins; default crawled_.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_prefix: Option<TablePrefix>,
    /// ARN of the role under which Glue's crawler reads the lake. Needed on AWS;
    /// aws.roles.crawl is who starts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<RoleArn>,
    /// How long a crawl may take; then its run has failed, and a crawl that it
    /// started is stopped.
    #[serde(default = "defaults::crawl_timeout")]
    #[x_kube(validation = rules::duration_between("1m", "1d"))]
    pub timeout: DurationText,
    /// What happens to crawls that were missed: None or Last. Without it they
    /// stay missed on a cluster, and `stockpipe up` runs the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUpSpec>,
}

/// What a crawler looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CrawlTarget {
    /// The pipeline's own table.
    Catalog,
    /// The files.
    S3,
}

/// Which folders a crawler of files looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Recrawl {
    /// All of them.
    Everything,
    /// Those that no crawl has seen.
    NewFolders,
}

/// The tick's schema in a Glue schema registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchemaRegistrySpec {
    /// Name of the registry.
    pub name: DatabaseName,
    /// Which later schemas are compatible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<SchemaCompatibility>,
}

/// Which later schemas are compatible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SchemaCompatibility {
    /// Not checked.
    None,
    /// New readers read old data.
    Backward,
    /// Old readers read new data.
    Forward,
    /// Both.
    Full,
}
