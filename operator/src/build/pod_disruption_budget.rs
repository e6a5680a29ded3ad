//! How many pods a drained node may take away at once.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Blueprint;
use crate::labels::{self, Role};

/// `NAME-produce` and `NAME-land`: one at a time. The page has one pod, which
/// may always go.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> Vec<PodDisruptionBudget> {
    [Role::Produce, Role::Land]
        .into_iter()
        .map(|role| PodDisruptionBudget {
            metadata: blueprint.meta(format!("{}-{role}", blueprint.name()), Some(role)),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(labels::label_selector(blueprint.name(), role)),
                // A pod that never becomes ready keeps no node from draining.
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
                ..PodDisruptionBudgetSpec::default()
            }),
            status: None,
        })
        .collect()
}
