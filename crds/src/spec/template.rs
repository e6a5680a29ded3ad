//! What worker pods carry besides stockpipe's own: a closed type. There is no
//! image, container, volume, security context, host access or service account
//! in it, so that the author of a pipeline gains no privilege by it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretName;
use crate::names::{AnnotationValue, EnvName, EnvValue, LabelKey, LabelValue, ObjectName};

/// What worker pods carry besides stockpipe's own; used on a cluster only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels; stockpipe's own win.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: Option<BTreeMap<LabelKey, LabelValue>>,
    /// Annotations; stockpipe's own win.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: Option<BTreeMap<LabelKey, AnnotationValue>>,
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: Option<BTreeMap<LabelKey, LabelValue>>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "kubernetes_list::<Toleration>")]
    pub tolerations: Option<Vec<Toleration>>,
    /// Which nodes and neighbours the pods prefer or need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "kubernetes::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// How the pods spread; instead of stockpipe's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "kubernetes_list::<TopologySpreadConstraint>")]
    pub topology_spread: Option<Vec<TopologySpreadConstraint>>,
    /// Priority class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<ObjectName>,
    /// Runtime class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<ObjectName>,
    /// Secrets to pull the image with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Option<Vec<SecretName>>,
    /// Environment variables with literal values.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Option<Vec<EnvVariable>>,
}

/// An environment variable with a literal value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVariable {
    /// Name.
    pub name: EnvName,
    /// Value.
    pub value: EnvValue,
}

/// CPU and memory of a pod; used on a cluster only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the scheduler sets aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// What the pod may use at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
}

/// Amounts of CPU, memory and disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceAmounts {
    /// CPUs, for instance 500m or 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory, for instance 512Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Local disk, for instance 1Gi.
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Quantity>,
}

/// The schema of a Kubernetes type, with bounds and without its prose, which
/// `kubectl explain pod` has.
fn kubernetes<T: JsonSchema>(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = generator.subschema_for::<T>().to_value();
    bound(&mut schema);
    schema.try_into().unwrap_or_default()
}

/// A list of a Kubernetes type, as [`kubernetes`].
fn kubernetes_list<T: JsonSchema>(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let items = kubernetes::<T>(generator);
    schemars::json_schema!({ "type": "array", "maxItems": 16, "items": items })
}

/// Adds bounds to every string, list and map, and takes the prose away.
fn bound(schema: &mut serde_json::Value) {
    let Some(node) = schema.as_object_mut() else {
        return;
    };
    node.remove("description");
    match node.get("type").and_then(|kind| kind.as_str()) {
        Some("string") => {
            node.entry("maxLength").or_insert(317.into());
        }
        Some("array") => {
            node.entry("maxItems").or_insert(16.into());
        }
        Some("object") if node.contains_key("additionalProperties") => {
            node.entry("maxProperties").or_insert(16.into());
        }
        _ => {}
    }
    if let Some(properties) = node.get_mut("properties").and_then(|p| p.as_object_mut()) {
        properties.values_mut().for_each(bound);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(key) {
            bound(child);
        }
    }
}
