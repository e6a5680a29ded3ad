//! `spec.consumer`: the landers.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::template::{PodTemplate, Resources};
use crate::amounts::{ByteText, DurationText};
use crate::rules;

/// The landers: processes that carry ticks from Kafka to the lake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.autoscaling) || !has(oldSelf.autoscaling) || self.replicas == oldSelf.replicas")
    .message("is set by the autoscaler; change autoscaling.minReplicas and maxReplicas, or remove autoscaling")
    .field_path(".replicas"))]
pub struct ConsumerSpec {
    /// Number of landers.
    #[serde(default = "defaults::one")]
    #[schemars(range(min = 0, max = 1_000))]
    pub replicas: i32,
    /// Lets the lag set the number of landers; used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSpec>,
    /// Bytes that a lander may buffer, librdkafka's queue included.
    #[serde(default = "defaults::memory_budget")]
    #[x_kube(validation = rules::bytes_between("16Mi", "64Gi"))]
    pub memory_budget: ByteText,
    /// CPU and memory of each; used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// What the pods carry besides; used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplate>,
}

/// Lets the lag set the number of landers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("must not exceed maxReplicas")
    .field_path(".minReplicas"))]
pub struct AutoscalingSpec {
    /// Fewest landers within the session.
    #[serde(default = "defaults::one")]
    #[schemars(range(min = 1, max = 1_000))]
    pub min_replicas: i32,
    /// Most landers; more than the topic has partitions are never used.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_replicas: i32,
    /// Time within which the lag should be drained.
    #[serde(default = "defaults::drain_target")]
    #[x_kube(validation = rules::duration_between("1s", "1d"))]
    pub drain_target: DurationText,
    /// Landers outside the session of market.calendar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside_session: Option<OutsideSession>,
}

/// Landers outside the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutsideSession {
    /// How many.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000))]
    pub replicas: i32,
    /// How long before the session the landers start.
    #[serde(default = "defaults::wake_before")]
    #[x_kube(validation = rules::duration_between("0s", "1d"))]
    pub wake_before: DurationText,
}
