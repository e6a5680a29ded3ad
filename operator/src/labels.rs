//! Labels, annotations and names that the operator's objects carry.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Name that the operator applies under, and its `managed-by` label.
pub const MANAGER: &str = "stockpipe-operator";
/// `app.kubernetes.io/name` of everything that belongs to a pipeline.
pub const APP: &str = "stockpipe";

/// The application.
pub const NAME: &str = "app.kubernetes.io/name";
/// The pipeline, in the recommended labels.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The role.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Who made the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The pipeline that an object belongs to: what watches are mapped by.
pub const PIPELINE: &str = "stockpipe.dev/pipeline";
/// Name of the ConfigMap that a pod reads, on pods, ReplicaSets and Jobs: it is
/// kept while one of them names it.
pub const CONFIG: &str = "stockpipe.dev/config";
/// The report that a CronJob, Job or pod runs.
pub const REPORT: &str = "stockpipe.dev/report";

/// Freezes applying, never deletion.
pub const PAUSE_RECONCILE: &str = "stockpipe.dev/pause-reconcile";
/// `<run key>#<attempt>`: runs it now.
pub const RUN_NOW: &str = "stockpipe.dev/run-now";
/// Any new value provisions again.
pub const PROVISION_NOW: &str = "stockpipe.dev/provision-now";
/// The run of a Job that was asked for by hand.
pub const RUN: &str = "stockpipe.dev/run";
/// Cluster that a worker's pipeline is of, in its file.
pub const CLUSTER_ID: &str = "stockpipe.dev/cluster-id";
/// Keeps a pipeline until its teardown is done.
pub const FINALIZER: &str = "stockpipe.dev/teardown";

/// What a worker does: the first argument of `stockpipe-worker`, and the
/// component of its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Makes topic, bucket, database, table, workgroups.
    Provision,
    /// Makes ticks.
    Produce,
    /// Lands ticks.
    Land,
    /// Serves the page.
    Analyze,
    /// Runs a report.
    Report,
    /// Runs the crawler.
    Crawl,
    /// Deletes what provision made.
    Teardown,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 7] = [
        Role::Provision,
        Role::Produce,
        Role::Land,
        Role::Analyze,
        Role::Report,
        Role::Crawl,
        Role::Teardown,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Provision => "provision",
            Role::Produce => "produce",
            Role::Land => "land",
            Role::Analyze => "analyze",
            Role::Report => "report",
            Role::Crawl => "crawl",
            Role::Teardown => "teardown",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Labels of an object of `pipeline`; with the role where it is of one.
#[must_use]
pub fn of(pipeline: &str, role: Option<Role>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (NAME.to_owned(), APP.to_owned()),
        (INSTANCE.to_owned(), pipeline.to_owned()),
        (MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (PIPELINE.to_owned(), pipeline.to_owned()),
    ]);
    if let Some(role) = role {
        labels.insert(COMPONENT.to_owned(), role.to_string());
    }
    labels
}

/// The labels that a workload selects its pods by. They never change, because
/// a selector cannot.
#[must_use]
pub fn selector(pipeline: &str, role: Role) -> BTreeMap<String, String> {
    BTreeMap::from([
        (NAME.to_owned(), APP.to_owned()),
        (INSTANCE.to_owned(), pipeline.to_owned()),
        (COMPONENT.to_owned(), role.to_string()),
    ])
}

/// [`selector`] as a workload holds it.
#[must_use]
pub fn label_selector(pipeline: &str, role: Role) -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector(pipeline, role)),
        match_expressions: None,
    }
}

/// [`selector`] as text, for the scale subresource.
#[must_use]
pub fn selector_text(pipeline: &str, role: Role) -> String {
    selector(pipeline, role)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// Selects everything that the operator watches: what any install of it made.
#[must_use]
pub fn watched() -> String {
    format!("{MANAGED_BY}={MANAGER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_a_part_of_the_labels() {
        for role in Role::ALL {
            let labels = of("us-equities", Some(role));
            for (key, value) in selector("us-equities", role) {
                assert_eq!(labels.get(&key), Some(&value), "{role}");
            }
        }
    }

    #[test]
    fn the_scale_subresource_reads_the_selector_as_text() {
        assert_eq!(
            selector_text("us-equities", Role::Land),
            "app.kubernetes.io/component=land,app.kubernetes.io/instance=us-equities,app.kubernetes.io/name=stockpipe"
        );
    }
}
