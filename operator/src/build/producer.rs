//! The producers: a StatefulSet, whose ordinal is the shard.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::ConfigMap;

use super::pod::{self, Worker};
use super::{Blueprint, config_map};
use crate::labels::{self, Role};

/// Bytes that a producer needs.
const MEMORY: u64 = 192 << 20;

/// Its file and the StatefulSet `NAME-produce`.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> (ConfigMap, StatefulSet) {
    let role = Role::Produce;
    let spec = &blueprint.resource.spec;
    let file = config_map::of_role(blueprint, role);
    let template = pod::template(
        blueprint,
        &Worker {
            role,
            file: config_map::name(&file),
            run: None,
            report: None,
            template: spec.producer.template.as_ref(),
            resources: spec.producer.resources.as_ref(),
            memory: MEMORY,
            grace: 30,
            long_running: true,
        },
    );
    let name = name(blueprint.name());
    let replicas = if spec.suspend {
        0
    } else {
        spec.producer.replicas
    };
    let stateful_set = StatefulSet {
        metadata: blueprint.meta(name.clone(), Some(role)),
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            service_name: Some(name),
            // Shards do not wait for one another.
            pod_management_policy: Some("Parallel".to_owned()),
            revision_history_limit: Some(2),
            selector: labels::label_selector(blueprint.name(), role),
            template,
            ..StatefulSetSpec::default()
        }),
        status: None,
    };
    (file, stateful_set)
}

/// Name of the StatefulSet and of its Service.
#[must_use]
pub fn name(pipeline: &str) -> String {
    format!("{pipeline}-{}", Role::Produce)
}
