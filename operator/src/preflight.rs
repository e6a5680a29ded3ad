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
use crate::claims::NAME as CLAIM;
use crate::context::Context;
use crate::scope::Scope;

/// Between two looks while something is missing.
const AGAIN: Duration = Duration::from_secs(15);
/// Before the second look: an API server that has just begun allows nothing for a moment.
const SOON: Duration = Duration::from_secs(2);
/// Between two tries of one check that was not answered.
const RETRY: Duration = Duration::from_secs(1);

/// What may be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission<'a> {
    /// Group of the resource.
    pub group: &'a str,
    /// Resource, with its subresource.
    pub resource: &'a str,
    /// Verbs.
    pub verbs: &'a [&'a str],
    /// Of this object alone.
    pub name: Option<&'a str>,
}

const fn to(
    verbs: &'static [&'static str],
    resource: &'static str,
    group: &'static str,
) -> Permission<'static> {
    Permission {
        group,
        resource,
        verbs,
        name: None,
    }
}

/// What the operator does in every namespace that it watches. The chart's Role
/// is this list and [`MONITORING`].
pub const PERMISSIONS: [Permission<'static>; 18] = [
    to(
        &["list", "watch", "patch"],
        "stockpipelines",
        "stockpipe.dev",
    ),
    to(&["patch"], "stockpipelines/status", "stockpipe.dev"),
    to(&["update"], "stockpipelines/finalizers", "stockpipe.dev"),
    to(WRITTEN, "configmaps", ""),
    to(WRITTEN, "serviceaccounts", ""),
    to(WRITTEN, "services", ""),
    to(&["list", "watch"], "pods", ""),
    to(&["get"], "namespaces", ""),
    to(WRITTEN, "deployments", "apps"),
    to(WRITTEN, "statefulsets", "apps"),
    to(&["list", "watch"], "replicasets", "apps"),
    to(&["list", "watch", "create", "delete"], "jobs", "batch"),
    to(WRITTEN, "cronjobs", "batch"),
    to(WRITTEN, "networkpolicies", "networking.k8s.io"),
    to(WRITTEN, "poddisruptionbudgets", "policy"),
    to(&["create", "patch"], "events", "events.k8s.io"),
    // A name is not known yet when it is made.
    to(&["create"], "leases", "coordination.k8s.io"),
    Permission {
        name: Some(CLAIM),
        ..to(&["get", "update"], "leases", "coordination.k8s.io")
    },
];

/// What it does where the Prometheus operator is, if it may.
pub const MONITORING: [Permission<'static>; 2] = [
    to(WRITTEN, "podmonitors", "monitoring.coreos.com"),
    to(WRITTEN, "prometheusrules", "monitoring.coreos.com"),
];

/// What the operator does in its own namespace, where `lease` elects its leader. The chart's Role of the leader is
/// this list.
#[must_use]
pub fn leader_permissions(lease: &str) -> [Permission<'_>; 3] {
    [
        to(&["create"], "leases", "coordination.k8s.io"),
        Permission {
            name: Some(lease),
            ..to(&["get", "update"], "leases", "coordination.k8s.io")
        },
        to(&["create", "patch"], "events", "events.k8s.io"),
    ]
}

const WRITTEN: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// Checks the permissions of a scope until it has them all, and again when something was refused.
pub async fn run(context: Arc<Context>, scope: Scope) {
    let wait = format!("permission {} all", scope.namespace().unwrap_or("*"));
    let (place, namespace) = (scope.name(), scope.namespace());
    loop {
        until_allowed(&context, &wait, place, namespace, &PERMISSIONS).await;
        scope.enqueue_all();
        // Not again and again where a refusal has another reason than a Role.
        tokio::time::sleep(AGAIN).await;
        scope.doubted().await;
    }
}

/// Checks the permissions of the operator in its own namespace until it has them all.
pub async fn of_leader(context: Arc<Context>) {
    let install = &context.settings.install;
    let (place, lease) = (install.namespace.as_str(), install.lease());
    let permissions = leader_permissions(&lease);
    until_allowed(&context, "lead", place, Some(place), &permissions).await;
}

async fn until_allowed(
    context: &Context,
    wait: &str,
    place: &str,
    namespace: Option<&str>,
    permissions: &[Permission<'_>],
) {
    let checks = format!("the check of its permissions in {place}");
    context.readiness.wait_for(wait, checks);
    let mut told = String::new();
    loop {
        let mut missing = Vec::new();
        for permission in permissions {
            missing.extend(lacking(&context.client, *permission, namespace).await);
        }
        if missing.is_empty() {
            break;
        }
        let why = format!(
            "permission in {place} to {}; install the chart's Role there",
            missing.join(", ")
        );
        if why != told {
            tracing::error!("missing {why}");
        }
        context.readiness.wait_for(wait, &why);
        let again = if told.is_empty() { SOON } else { AGAIN };
        told = why;
        tokio::time::sleep(again).await;
    }
    context.readiness.arrived(wait);
}

/// What of a permission is missing in `namespace` (`None`: everywhere), as
/// `patch deployments.apps`.
pub async fn lacking(
    client: &Client,
    permission: Permission<'_>,
    namespace: Option<&str>,
) -> Vec<String> {
    let Permission {
        group,
        resource,
        verbs,
        name,
    } = permission;
    let mut lacking = Vec::new();
    for verb in verbs {
        let mut wanted = attributes(group, resource, verb, namespace);
        wanted.name = name.map(str::to_owned);
        if !answered(client, wanted).await {
            let dot = if group.is_empty() { "" } else { "." };
            let of = name.map(|name| format!(" {name}")).unwrap_or_default();
            lacking.push(format!("{verb} {resource}{dot}{group}{of}"));
        }
    }
    lacking
}

/// As [`is_allowed`], asked until there is an answer: of some eighty checks one
/// always fails while an API server has trouble, and none should be in vain.
async fn answered(client: &Client, wanted: ResourceAttributes) -> bool {
    loop {
        match is_allowed(client, wanted.clone()).await {
            Ok(allowed) => return allowed,
            // An answer too: who may not ask is told so, and not again each second.
            Err(error) if error.code() == Some(403) => {
                tracing::warn!("{error}");
                return false;
            }
            Err(error) => tracing::warn!("{error}"),
        }
        tokio::time::sleep(RETRY).await;
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
    use serde::Deserialize;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// `verb resource.group name`, once for each.
    fn of_operator(monitoring: &[Permission<'_>]) -> BTreeSet<String> {
        each(PERMISSIONS.iter().chain(monitoring))
    }

    fn each<'a>(permissions: impl IntoIterator<Item = &'a Permission<'a>>) -> BTreeSet<String> {
        let all = permissions.into_iter();
        all.flat_map(|permission| {
            let name = permission.name.unwrap_or("*");
            let of = format!("{}.{} {name}", permission.resource, permission.group);
            permission
                .verbs
                .iter()
                .map(move |verb| format!("{verb} {of}"))
        })
        .collect()
    }

    fn of_rules(rules: &[PolicyRule]) -> BTreeSet<String> {
        let mut allowed = BTreeSet::new();
        for rule in rules {
            assert_eq!(rule.non_resource_urls, None);
            let any = vec!["*".to_owned()];
            let names = rule.resource_names.as_ref().unwrap_or(&any);
            for group in rule.api_groups.iter().flatten() {
                for resource in rule.resources.iter().flatten() {
                    for (verb, name) in rule
                        .verbs
                        .iter()
                        .flat_map(|verb| names.iter().map(move |name| (verb, name)))
                    {
                        allowed.insert(format!("{verb} {resource}.{group} {name}"));
                    }
                }
            }
        }
        allowed
    }

    /// Rules of the roles of a rendered chart whose name ends so.
    fn rendered(golden: &str, kind: &str, suffix: &str) -> Vec<Vec<PolicyRule>> {
        serde_norway::Deserializer::from_str(golden)
            .map(|document| Value::deserialize(document).unwrap())
            .filter(|object| {
                object["kind"] == kind
                    && object["metadata"]["name"]
                        .as_str()
                        .is_some_and(|name| name.ends_with(suffix))
            })
            .map(|object| match kind {
                "Role" => Role::deserialize(object).unwrap().rules.unwrap(),
                _ => ClusterRole::deserialize(object).unwrap().rules.unwrap(),
            })
            .collect()
    }

    /// charts/check holds the golden files to what the chart renders.
    #[test]
    fn the_charts_role_is_what_is_asked_for_and_no_more() {
        for (golden, kind, monitoring) in [
            (
                include_str!("../../charts/stockpipe/golden/default.yaml"),
                "Role",
                &MONITORING[..],
            ),
            (
                include_str!("../../charts/stockpipe/golden/everything.yaml"),
                "Role",
                &MONITORING,
            ),
            // With rbac.prometheusOperator: false.
            (
                include_str!("../../charts/stockpipe/golden/cluster-wide.yaml"),
                "ClusterRole",
                &[],
            ),
        ] {
            let roles = rendered(golden, kind, ".pipelines");
            assert!(!roles.is_empty(), "{kind}");
            for rules in roles {
                let (allowed, wanted) = (of_rules(&rules), of_operator(monitoring));
                let unused: Vec<_> = allowed.difference(&wanted).collect();
                let missing: Vec<_> = wanted.difference(&allowed).collect();
                assert!(
                    unused.is_empty() && missing.is_empty(),
                    "the chart's {kind} allows more: {unused:?}; it lacks: {missing:?}"
                );
            }
        }
    }

    #[test]
    fn the_charts_role_of_the_leader_names_its_lease() {
        use crate::install::Install;
        let golden = include_str!("../../charts/stockpipe/golden/default.yaml");
        let roles = rendered(golden, "Role", ".leader");
        let install = Install::parse("stockpipe/stockpipe");
        let lease = install.lease();
        let wanted = each(&leader_permissions(&lease));
        assert_eq!(of_rules(&roles[0]), wanted);
        assert_eq!(roles.len(), 1);
        let told = "- name: INSTALL\n              value: \"stockpipe\"\n";
        assert!(golden.contains(told));
    }
}
