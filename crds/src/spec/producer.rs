//! `spec.producer`: the processes that make ticks.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::template::{PodTemplate, Resources};

/// The processes that make ticks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProducerSpec {
    /// Number of producers; 1, until they are transactional.
    #[serde(default = "defaults::one")]
    #[schemars(range(min = 1))]
    #[x_kube(validation = Rule::new("self <= 1")
        .message("of more than 1 is not supported in this version; write 1"))]
    pub replicas: i32,
    /// CPU and memory of each; used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// What the pods carry besides; used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplate>,
}
