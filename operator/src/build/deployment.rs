//! The landers and the page: Deployments.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::{self, Worker};
use super::{Blueprint, config_map};
use crate::labels::{self, Role};

/// Bytes that a lander needs besides its budget.
const LANDER_BASE: u64 = 150 << 20;
/// Bytes that the page needs.
const ANALYZER_MEMORY: u64 = 256 << 20;
/// Seconds that a lander may take to stage, claim and publish what it holds.
const LANDER_GRACE: i64 = 120;

/// The landers' file and the Deployment `NAME-land`.
#[must_use]
pub fn lander(blueprint: &Blueprint<'_>) -> (ConfigMap, Deployment) {
    let spec = &blueprint.resource.spec;
    let file = config_map::of_role(blueprint, Role::Land);
    let template = pod::template(
        blueprint,
        &Worker {
            role: Role::Land,
            file: config_map::name(&file),
            run: None,
            report: None,
            template: spec.consumer.template.as_ref(),
            resources: spec.consumer.resources.as_ref(),
            memory: blueprint.pipeline.consumer.memory_budget + LANDER_BASE,
            grace: LANDER_GRACE,
            long_running: true,
        },
    );
    let replicas = if spec.suspend { 0 } else { blueprint.landers };
    let deployment = deployment(blueprint, Role::Land, replicas, template);
    (file, deployment)
}

/// The page's file and the Deployment `NAME-analyze`.
#[must_use]
pub fn analyzer(blueprint: &Blueprint<'_>) -> (ConfigMap, Deployment) {
    let file = config_map::of_role(blueprint, Role::Analyze);
    let template = pod::template(
        blueprint,
        &Worker {
            role: Role::Analyze,
            file: config_map::name(&file),
            run: None,
            report: None,
            template: None,
            resources: None,
            memory: ANALYZER_MEMORY,
            grace: 30,
            long_running: true,
        },
    );
    let replicas = i32::from(!blueprint.resource.spec.suspend);
    let deployment = deployment(blueprint, Role::Analyze, replicas, template);
    (file, deployment)
}

fn deployment(
    blueprint: &Blueprint<'_>,
    role: Role,
    replicas: i32,
    template: PodTemplateSpec,
) -> Deployment {
    Deployment {
        metadata: blueprint.meta(name(blueprint.name(), role), Some(role)),
        spec: Some(DeploymentSpec {
            // Always there: a field that only we own would fall back to 1.
            replicas: Some(replicas),
            revision_history_limit: Some(2),
            selector: labels::label_selector(blueprint.name(), role),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// Name of the Deployment of `role`.
#[must_use]
pub fn name(pipeline: &str, role: Role) -> String {
    format!("{pipeline}-{role}")
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    #[test]
    fn a_lander_has_memory_for_its_budget_and_suspension_stops_it() {
        let mut sample = Sample::full();
        sample.edit(|spec| spec.consumer.resources = None);
        let landers = |sample: &Sample| {
            let mut blueprint = blueprint(sample);
            blueprint.landers = 3;
            lander(&blueprint).1.spec.unwrap()
        };
        let spec = landers(&sample);
        assert_eq!(spec.replicas, Some(3));
        let resources = spec.template.spec.unwrap().containers[0]
            .resources
            .clone()
            .unwrap();
        assert_eq!(resources.requests.unwrap()["memory"].0, "406Mi");
        assert_eq!(resources.limits.unwrap()["memory"].0, "609Mi");
        sample.edit(|spec| spec.suspend = true);
        assert_eq!(landers(&sample).replicas, Some(0));
    }
}
