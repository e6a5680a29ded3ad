//! What is no longer wanted: ours by label and by the owner's UID.

use std::collections::HashSet;
use std::sync::Arc;

use crate::build::Monitoring;
use crate::child_kind::ChildKind;
use crate::children::{Child, Children};
use crate::labels::CONFIG;
use crate::resources::KubernetesResources;

/// The children that the pipeline with `uid` owns and `resources` does not
/// hold.
///
/// A file is kept while a ReplicaSet, a Job or a pod names it: a rollout, or
/// its undoing, needs it. Jobs of CronJobs are not the pipeline's, and never
/// here.
#[must_use]
pub fn orphans<Stage>(
    resources: &KubernetesResources<Stage>,
    children: &Children,
    uid: &str,
    monitoring: Monitoring,
) -> Vec<Arc<Child>> {
    let in_use: HashSet<&str> = children
        .iter()
        .filter(|child| {
            matches!(
                child.kind,
                ChildKind::ReplicaSet | ChildKind::Job | ChildKind::Pod
            )
        })
        .filter_map(|child| child.labels.get(CONFIG).map(String::as_str))
        .collect();
    children
        .iter()
        .filter(|child| ChildKind::WRITTEN.contains(&child.kind) && !child.deleting)
        .filter(|child| child.owners.iter().any(|owner| owner.uid == uid))
        .filter(|child| !resources.contains(child.kind, &child.name))
        // What may not be written, or no longer, may not be deleted either.
        .filter(|child| monitoring.may_write(child.kind))
        .filter(|child| child.kind != ChildKind::ConfigMap || !in_use.contains(child.name.as_str()))
        // A run by hand ends by itself, and its Job is cleaned up by its TTL.
        .filter(|child| {
            child.kind != ChildKind::Job || !child.annotations.contains_key(crate::labels::RUN)
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Definition;
    use crate::children::Detail;
    use crate::labels;
    use crate::resources::Prepared;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    fn child(kind: ChildKind, name: &str, owner: Option<&str>) -> Child {
        Child {
            kind,
            namespace: "n".into(),
            name: name.into(),
            uid: name.into(),
            resource_version: "1".into(),
            generation: None,
            labels: labels::of("x", None),
            annotations: Default::default(),
            owners: owner
                .map(|uid| OwnerReference {
                    uid: uid.into(),
                    ..OwnerReference::default()
                })
                .into_iter()
                .collect(),
            created: None,
            deleting: false,
            detail: Detail::None,
        }
    }

    fn found(children: Vec<Child>) -> Vec<String> {
        let children = Children::new(children.into_iter().map(Arc::new));
        let resources = KubernetesResources::<Prepared>::new(Vec::new());
        orphans(&resources, &children, "mine", Monitoring::default())
            .iter()
            .map(|child| child.name.clone())
            .collect()
    }

    #[test]
    fn only_what_is_ours_by_label_and_owner_is_deleted() {
        assert_eq!(
            found(vec![
                child(ChildKind::Service, "ours", Some("mine")),
                child(ChildKind::Service, "anothers", Some("theirs")),
                child(ChildKind::Service, "nobodys", None),
                child(ChildKind::Job, "of-a-cron-job", Some("the-cron-job")),
                child(ChildKind::Pod, "pod", Some("mine")),
                Child {
                    deleting: true,
                    ..child(ChildKind::Service, "going", Some("mine"))
                },
            ]),
            ["ours"]
        );
    }

    #[test]
    fn what_may_no_longer_be_written_is_left_alone() {
        let monitor = || Arc::new(child(ChildKind::PodMonitor, "monitor", Some("mine")));
        for (pod_monitor, count) in [
            (Definition::There, 1),
            (Definition::Forbidden, 0),
            (Definition::Missing, 0),
        ] {
            let monitoring = Monitoring {
                pod_monitor,
                ..Monitoring::default()
            };
            let children = Children::new([monitor()]);
            let resources = KubernetesResources::<Prepared>::new(Vec::new());
            let found = orphans(&resources, &children, "mine", monitoring);
            assert_eq!(found.len(), count, "{pod_monitor:?}");
        }
    }

    #[test]
    fn a_file_is_kept_while_something_names_it() {
        for (kind, kept) in [
            (ChildKind::ReplicaSet, true),
            (ChildKind::Job, true),
            (ChildKind::Pod, true),
            (ChildKind::Service, false),
        ] {
            let mut user = child(kind, "user", Some("other"));
            user.labels.insert(CONFIG.into(), "file".into());
            let file = child(ChildKind::ConfigMap, "file", Some("mine"));
            assert_eq!(found(vec![file, user]).is_empty(), kept, "{kind:?}");
        }
    }
}
