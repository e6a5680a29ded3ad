//! The mark that keeps a pipeline until its teardown is done: there only while
//! some `deletionPolicy` is Delete.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::spec::{DeletionPolicy, ProvisioningMode};

use crate::api::{ApiError, call};
use crate::labels::FINALIZER;

/// The finalizer has a manager of its own, so that applying it touches nothing
/// else.
const MANAGER: &str = "stockpipe-operator-finalizer";

/// Whether deleting the pipeline deletes anything that provision made.
#[must_use]
pub fn is_wanted(resource: &StockPipeline) -> bool {
    let spec = &resource.spec;
    let deletes = |policy| policy == DeletionPolicy::Delete;
    spec.provisioning == ProvisioningMode::Manage
        && (deletes(spec.kafka.topic.deletion_policy) || deletes(spec.lake.deletion_policy))
}

/// Whether it is there.
#[must_use]
pub fn is_there(meta: &ObjectMeta) -> bool {
    meta.finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == FINALIZER)
}

/// Puts it there, or takes it away; the object's version after that. Nothing of
/// the pipeline but its metadata is read.
///
/// # Errors
/// The API server's refusal. A pipeline that is gone is none.
pub async fn set(
    client: kube::Client,
    meta: &ObjectMeta,
    there: bool,
) -> Result<Option<String>, ApiError> {
    let namespace = meta.namespace.clone().unwrap_or_default();
    let name = meta.name.clone().unwrap_or_default();
    let api: Api<StockPipeline> = Api::namespaced(client, &namespace);
    let patch = json!({
        "apiVersion": "stockpipe.dev/v1alpha1",
        "kind": "StockPipeline",
        // With the UID an apply cannot make a pipeline that is gone.
        "metadata": {
            "uid": meta.uid,
            "finalizers": if there { vec![FINALIZER] } else { Vec::new() },
        },
    });
    let action = format!(
        "{} the finalizer of StockPipeline {namespace}/{name}",
        if there { "set" } else { "remove" }
    );
    let parameters = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(&patch);
    match call(action, api.patch_metadata(&name, &parameters, &patch)).await {
        Ok(written) => Ok(written.metadata.resource_version),
        Err(error) if !there && (error.is_not_found() || error.is_conflict()) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::samples::Sample;
    use stockpipe_crds::spec::StockPipelineSpec;

    #[test]
    fn it_is_wanted_while_something_of_ours_would_be_deleted() {
        for (edit, wanted) in [
            ((|_| ()) as fn(&mut StockPipelineSpec), false),
            (
                |spec| spec.lake.deletion_policy = DeletionPolicy::Delete,
                true,
            ),
            (
                |spec| spec.kafka.topic.deletion_policy = DeletionPolicy::Delete,
                true,
            ),
            (
                |spec| {
                    spec.lake.deletion_policy = DeletionPolicy::Delete;
                    spec.provisioning = ProvisioningMode::Verify;
                },
                false,
            ),
        ] {
            let mut sample = Sample::full();
            sample.edit(edit);
            assert_eq!(is_wanted(&sample.resource), wanted);
        }
    }
}
