//! `spec.transforms`: tables derived from the ticks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::IntervalLength;
use super::schedule::ScheduleSpec;
use crate::address::S3Uri;
use crate::amounts::DurationText;
use crate::names::{LabelKey, LabelValue, Sql, TableName, TransformName};

/// A table derived from the ticks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransformSpec {
    /// Name, unique within the pipeline.
    pub name: TransformName,
    /// Length of the data that a run covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<IntervalLength>,
    /// When it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleSpec>,
    /// A Glue job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glue_job: Option<GlueJobSpec>,
    /// A statement of Athena.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<TransformSql>,
}

/// A Glue job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GlueJobSpec {
    /// The script.
    pub script: S3Uri,
    /// Worker type, for instance G.1X.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_type: Option<LabelValue>,
    /// Arguments of the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32))]
    pub arguments: Option<BTreeMap<LabelKey, LabelValue>>,
    /// How long a run may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}

/// A statement of Athena.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransformSql {
    /// The statement.
    pub query: Sql,
    /// Table that its result goes to.
    pub output: TableName,
}
