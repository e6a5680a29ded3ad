//! The Job that makes topic, bucket, database, table and workgroups, or checks
//! that they are there.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::ConfigMap;

use super::pod::{self, Worker};
use super::{Blueprint, config_map};
use crate::labels::{PROVISION_NOW, Role};
use crate::resources::hash_of;

/// Times that the Job's pod is started again, 10 s to 6 min apart.
const RETRIES: i32 = 6;
/// Seconds that all of them may take.
const DEADLINE: i64 = 1_800;
/// Bytes that it needs.
const MEMORY: u64 = 128 << 20;

/// Its file, and the Job `NAME-provision-HASH`: the name follows from all that
/// it reads and from how it is run, so that any change makes another Job.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> (ConfigMap, Job) {
    let role = Role::Provision;
    let file = config_map::of_role(blueprint, role);
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
    let mut template = pod::template(blueprint, &worker);
    let asked = blueprint
        .resource
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(PROVISION_NOW));
    if let (Some(asked), Some(metadata)) = (asked, &mut template.metadata) {
        metadata.annotations = Some(BTreeMap::from([(PROVISION_NOW.to_owned(), asked.clone())]));
    }
    let spec = JobSpec {
        backoff_limit: Some(RETRIES),
        active_deadline_seconds: Some(DEADLINE),
        template,
        ..JobSpec::default()
    };
    let hash = hash_of(&serde_json::to_value(&spec).expect("a Job is JSON"));
    let mut metadata = blueprint.meta(format!("{}-{role}-{hash}", blueprint.name()), Some(role));
    metadata.labels = Some(pod::labels(blueprint, &worker));
    let job = Job {
        metadata,
        spec: Some(spec),
        status: None,
    };
    (file, job)
}

/// Name of the Job that [`build`] makes.
#[must_use]
pub fn name(blueprint: &Blueprint<'_>) -> String {
    build(blueprint).1.metadata.name.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    #[test]
    fn whatever_it_reads_and_an_annotation_make_another_job() {
        let before = name(&blueprint(&Sample::full()));
        assert!(before.starts_with("us-equities-provision-"), "{before}");
        let edited = |edit: &dyn Fn(&mut Sample)| {
            let mut sample = Sample::full();
            edit(&mut sample);
            name(&blueprint(&sample)) != before
        };
        assert!(edited(
            &|sample| sample.edit(|spec| spec.kafka.topic.partitions = 6)
        ));
        assert!(edited(&|sample| sample.annotate(PROVISION_NOW, "1")));
        assert!(!edited(
            &|sample| sample.edit(|spec| spec.consumer.replicas = 7)
        ));
        assert!(!edited(&|sample| sample.annotate("example.com/x", "1")));
    }
}
