//! Whether the operator may do what it does: each missing permission is named,
//! instead of a hot loop of refusals.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};

use crate::api::{ApiError, call};
use crate::context::Context;
use crate::scope::Scope;

/// Between two looks while something is missing.
const AGAIN: Duration = Duration::from_secs(15);

/// Group, resource and verbs that the operator uses in every namespace that it
/// watches. The chart's Role is this list.
pub const PERMISSIONS: [(&str, &str, &[&str]); 17] = [
    (
        "stockpipe.dev",
        "stockpipelines",
        &["list", "watch", "patch"],
    ),
    ("stockpipe.dev", "stockpipelines/status", &["patch"]),
    ("stockpipe.dev", "stockpipelines/finalizers", &["update"]),
    ("", "configmaps", WRITTEN),
    ("", "serviceaccounts", WRITTEN),
    ("", "services", WRITTEN),
    ("", "pods", &["list", "watch"]),
    ("", "namespaces", &["get"]),
    ("apps", "deployments", WRITTEN),
    ("apps", "statefulsets", WRITTEN),
    ("apps", "replicasets", &["list", "watch"]),
    ("batch", "jobs", &["list", "watch", "create", "delete"]),
    ("batch", "cronjobs", WRITTEN),
    ("networking.k8s.io", "networkpolicies", WRITTEN),
    ("policy", "poddisruptionbudgets", WRITTEN),
    ("events.k8s.io", "events", &["create", "patch"]),
    (
        "coordination.k8s.io",
        "leases",
        &["get", "create", "update"],
    ),
];

const WRITTEN: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// Checks the permissions of a scope until it has them all.
pub async fn run(context: Arc<Context>, scope: Scope) {
    let wait = format!("permission {} all", scope.namespace().unwrap_or("*"));
    context.readiness.wait_for(
        &wait,
        format!("the check of its permissions in {}", scope.name()),
    );
    let mut told = String::new();
    loop {
        match missing(&context.client, scope.namespace()).await {
            Ok(missing) if missing.is_empty() => break,
            Ok(missing) => {
                let why = format!(
                    "permission in {} to {}; install the chart's Role there",
                    scope.name(),
                    missing.join(", ")
                );
                if why != told {
                    tracing::error!("missing {why}");
                }
                context.readiness.wait_for(&wait, &why);
                told = why;
            }
            Err(error) => tracing::warn!("{error}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
    context.readiness.arrived(&wait);
    scope.enqueue_all();
}

/// What is missing in `namespace` (`None`: everywhere), as `patch
/// deployments.apps`.
async fn missing(client: &Client, namespace: Option<&str>) -> Result<Vec<String>, ApiError> {
    let mut missing = Vec::new();
    for (group, resource, verbs) in PERMISSIONS {
        for verb in verbs {
            if !is_allowed(client, attributes(group, resource, verb, namespace)).await? {
                let dot = if group.is_empty() { "" } else { "." };
                missing.push(format!("{verb} {resource}{dot}{group}"));
            }
        }
    }
    Ok(missing)
}

/// A verb on a resource.
#[must_use]
pub fn attributes(
    group: &str,
    resource: &str,
    verb: &str,
    namespace: Option<&str>,
) -> ResourceAttributes {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    }
}

/// Whether the operator's user may do it.
///
/// # Errors
/// The API server's refusal, or its silence.
pub async fn is_allowed(client: &Client, attributes: ResourceAttributes) -> Result<bool, ApiError> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            non_resource_attributes: None,
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = call(
        "check a permission",
        api.create(&PostParams::default(), &review),
    )
    .await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
