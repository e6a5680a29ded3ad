//! The Job that deletes what provision made. It, its service account and its
//! file have no owner: with one, a foreground deletion would collect them
//! before they have done their work.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use stockpipe_crds::worker_status::REFUSED_EXIT_CODE;

use super::pod::{self, Worker};
use super::{Blueprint, config_map, service_account};
use crate::children::CONTAINER;
use crate::labels::Role;
use crate::resources::{Desired, hash_of_text};

/// Bytes that it needs.
const MEMORY: u64 = 128 << 20;
/// Times that its pod is started again; the operator's own deadline ends it.
const RETRIES: i32 = 20;

/// Service account (unless the pipeline names its own), file and Job
/// `NAME-teardown-HASH`; the hash is of the pipeline's UID, so that a later
/// pipeline of the same name has another.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> Vec<Desired> {
    let role = Role::Teardown;
    let mut objects = Vec::new();
    if blueprint.resource.spec.aws.service_account_name.is_none() {
        let name = service_account::name(blueprint, role);
        let mut account: ServiceAccount = service_account::account(blueprint, name, Some(role));
        account.metadata.owner_references = None;
        objects.push(Desired::new(account));
    }
    let mut file: ConfigMap = config_map::of_role(blueprint, role);
    file.metadata.owner_references = None;
    let worker = Worker {
        role,
        file: config_map::name(&file),
        run: None,
        report: None,
        template: None,
        resources: None,
        memory: MEMORY,
        grace: 30,
        long_running: false,
    };
    let mut metadata = blueprint.meta(name(blueprint), Some(role));
    metadata.labels = Some(pod::labels(blueprint, &worker));
    metadata.owner_references = None;
    let job = Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            pod_failure_policy: Some(gives_up_when_refused()),
            template: pod::template(blueprint, &worker),
            ..JobSpec::default()
        }),
        status: None,
    };
    objects.push(Desired::new(file));
    objects.push(Desired::new(job));
    objects
}

/// What belongs to another pipeline is refused at every try: the first one ends the Job.
fn gives_up_when_refused() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "FailJob".to_owned(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                container_name: Some(CONTAINER.to_owned()),
                operator: "In".to_owned(),
                values: vec![i32::from(REFUSED_EXIT_CODE)],
            }),
            ..PodFailurePolicyRule::default()
        }],
    }
}

/// Name of the Job.
#[must_use]
pub fn name(blueprint: &Blueprint<'_>) -> String {
    let uid = blueprint.pipeline.uid.as_deref().unwrap_or_default();
    format!(
        "{}-{}-{}",
        blueprint.name(),
        Role::Teardown,
        hash_of_text(uid)
    )
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    #[test]
    fn nothing_of_it_has_an_owner_and_its_identity_is_provisions() {
        let objects = build(&blueprint(&Sample::full()));
        assert_eq!(objects.len(), 3);
        for object in &objects {
            assert!(object.object["metadata"].get("ownerReferences").is_none());
        }
        let arn = &objects[0].object["metadata"]["annotations"]["eks.amazonaws.com/role-arn"];
        assert_eq!(arn, "arn:aws:iam::123456789012:role/stockpipe-provision");
    }
}
