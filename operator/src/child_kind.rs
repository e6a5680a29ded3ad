//! The kinds of objects that belong to a pipeline.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::core::{ApiResource, GroupVersionKind};

/// A kind of object that belongs to a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChildKind {
    /// A worker's file.
    ConfigMap,
    /// A worker's identity.
    ServiceAccount,
    /// Who may reach the workers.
    NetworkPolicy,
    /// Addresses of the producers and the page.
    Service,
    /// How many landers may be away at once.
    PodDisruptionBudget,
    /// Provisioning, teardown, runs.
    Job,
    /// Producers.
    StatefulSet,
    /// Landers, the page.
    Deployment,
    /// Schedules of reports and of the crawl.
    CronJob,
    /// What Prometheus scrapes.
    PodMonitor,
    /// Alerts.
    PrometheusRule,
    /// Made by a Deployment; watched, never written.
    ReplicaSet,
    /// Made by a workload; watched, never written.
    Pod,
}

impl ChildKind {
    /// Kinds that the operator writes, in the order in which it writes them:
    /// what a pod needs before the pod.
    pub const WRITTEN: [ChildKind; 11] = [
        ChildKind::ConfigMap,
        ChildKind::ServiceAccount,
        ChildKind::NetworkPolicy,
        ChildKind::Service,
        ChildKind::PodDisruptionBudget,
        ChildKind::Job,
        ChildKind::StatefulSet,
        ChildKind::Deployment,
        ChildKind::CronJob,
        ChildKind::PodMonitor,
        ChildKind::PrometheusRule,
    ];

    /// Kinds that every cluster has, and that are watched.
    pub const BUILT_IN: [ChildKind; 11] = [
        ChildKind::ConfigMap,
        ChildKind::ServiceAccount,
        ChildKind::NetworkPolicy,
        ChildKind::Service,
        ChildKind::PodDisruptionBudget,
        ChildKind::Job,
        ChildKind::StatefulSet,
        ChildKind::Deployment,
        ChildKind::CronJob,
        ChildKind::ReplicaSet,
        ChildKind::Pod,
    ];

    /// Kinds whose definition a cluster may lack.
    pub const OPTIONAL: [ChildKind; 2] = [ChildKind::PodMonitor, ChildKind::PrometheusRule];

    /// Group, version, kind and plural.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        fn built_in<K: Resource<DynamicType = ()>>() -> ApiResource {
            ApiResource::erase::<K>(&())
        }
        fn monitoring(kind: &str) -> ApiResource {
            ApiResource::from_gvk(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", kind))
        }
        match self {
            ChildKind::ConfigMap => built_in::<ConfigMap>(),
            ChildKind::ServiceAccount => built_in::<ServiceAccount>(),
            ChildKind::NetworkPolicy => built_in::<NetworkPolicy>(),
            ChildKind::Service => built_in::<Service>(),
            ChildKind::PodDisruptionBudget => built_in::<PodDisruptionBudget>(),
            ChildKind::Job => built_in::<Job>(),
            ChildKind::StatefulSet => built_in::<StatefulSet>(),
            ChildKind::Deployment => built_in::<Deployment>(),
            ChildKind::CronJob => built_in::<CronJob>(),
            ChildKind::PodMonitor => monitoring("PodMonitor"),
            ChildKind::PrometheusRule => monitoring("PrometheusRule"),
            ChildKind::ReplicaSet => built_in::<ReplicaSet>(),
            ChildKind::Pod => built_in::<Pod>(),
        }
    }

    /// Whether an object of this kind makes pods, which need others to be there
    /// before them.
    #[must_use]
    pub const fn makes_pods(self) -> bool {
        matches!(
            self,
            ChildKind::Job | ChildKind::StatefulSet | ChildKind::Deployment | ChildKind::CronJob
        )
    }

    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ChildKind::ConfigMap => "ConfigMap",
            ChildKind::ServiceAccount => "ServiceAccount",
            ChildKind::NetworkPolicy => "NetworkPolicy",
            ChildKind::Service => "Service",
            ChildKind::PodDisruptionBudget => "PodDisruptionBudget",
            ChildKind::Job => "Job",
            ChildKind::StatefulSet => "StatefulSet",
            ChildKind::Deployment => "Deployment",
            ChildKind::CronJob => "CronJob",
            ChildKind::PodMonitor => "PodMonitor",
            ChildKind::PrometheusRule => "PrometheusRule",
            ChildKind::ReplicaSet => "ReplicaSet",
            ChildKind::Pod => "Pod",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(kind: &str) -> Option<Self> {
        [ChildKind::ReplicaSet, ChildKind::Pod]
            .into_iter()
            .chain(ChildKind::WRITTEN)
            .find(|known| known.as_str() == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_the_name_that_its_resource_has() {
        for kind in ChildKind::WRITTEN.into_iter().chain(ChildKind::BUILT_IN) {
            assert_eq!(kind.resource().kind, kind.as_str());
            assert_eq!(ChildKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ChildKind::parse("Secret"), None);
    }
}
