//! `spec.catalog`: the table in Glue.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schedule::ScheduleSpec;
use crate::names::{DatabaseName, TableName};
use crate::rules;

/// The table in Glue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::refused("crawler"),
    validation = rules::refused("schemaRegistry")
)]
pub struct CatalogSpec {
    /// Database; default stockpipe. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// Table; default NAME_ticks, after the pipeline, with '-' as '_'. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableName>,
    /// A Glue crawler over the lake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crawler: Option<CrawlerSpec>,
    /// The tick's schema in a Glue schema registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_registry: Option<SchemaRegistrySpec>,
}

/// A Glue crawler over the lake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrawlerSpec {
    /// When it runs.
    pub schedule: ScheduleSpec,
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
