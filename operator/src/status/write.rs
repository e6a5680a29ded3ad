//! Writes a status, guarded by the version that it was computed of.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::status::{Phase, StockPipelineStatus};

use super::conditions;
use crate::api::{ApiError, call};
use crate::labels::MANAGER;

/// Writes the status of `resource`; the object's version after that.
///
/// # Errors
/// The API server's refusal: a conflict where somebody wrote meanwhile.
pub async fn write(
    client: kube::Client,
    resource: &StockPipeline,
    status: &StockPipelineStatus,
) -> Result<Option<String>, ApiError> {
    let (namespace, name) = (
        resource.namespace().unwrap_or_default(),
        resource.name_any(),
    );
    let api: Api<StockPipeline> = Api::namespaced(client, &namespace);
    let patch = json!({
        "apiVersion": "stockpipe.dev/v1alpha1",
        "kind": "StockPipeline",
        "metadata": {"uid": resource.uid(), "resourceVersion": resource.resource_version()},
        "status": status,
    });
    let parameters = PatchParams::apply(MANAGER).force();
    let action = format!("write the status of StockPipeline {namespace}/{name}");
    let patch = Patch::Apply(&patch);
    call(action, api.patch_status(&name, &parameters, &patch))
        .await
        .map(|written| written.metadata.resource_version)
}

/// The status of a pipeline that is being deleted; `None` where it says so
/// already.
#[must_use]
pub fn deleting(
    resource: &StockPipeline,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Option<StockPipelineStatus> {
    let last = resource.status.clone().unwrap_or_default();
    let mut next = last.clone();
    next.observed_generation = resource.metadata.generation;
    next.phase = Some(Phase::Deleting);
    conditions::replace_ready(
        &mut next.conditions,
        reason,
        message,
        resource.metadata.generation,
        now,
    );
    (next != last).then_some(next)
}
