//! What a cluster holds of each pipeline, as the watches tell it: a small
//! digest of every child, by pipeline.

mod cache;
mod digest;
mod watch;

pub use cache::{ChildCache, Listing, is_newer};
pub use digest::{
    CONTAINER, Child, Detail, JobDetail, JobOutcome, PodDetail, Termination, WorkloadDetail,
    digest, digest_metadata,
};
pub use watch::{Watched, watch_kind};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::child_kind::ChildKind;
use crate::labels::{self, Role};

/// The children of one pipeline at one moment.
#[derive(Clone, Debug, Default)]
pub struct Children {
    by_key: BTreeMap<(ChildKind, String), Arc<Child>>,
}

impl Children {
    /// These children.
    #[must_use]
    pub fn new(children: impl IntoIterator<Item = Arc<Child>>) -> Self {
        Self {
            by_key: children
                .into_iter()
                .map(|child| ((child.kind, child.name.clone()), child))
                .collect(),
        }
    }

    /// The child of that kind and name.
    #[must_use]
    pub fn get(&self, kind: ChildKind, name: &str) -> Option<&Arc<Child>> {
        self.by_key.get(&(kind, name.to_owned()))
    }

    /// Every child, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Child>> {
        self.by_key.values()
    }

    /// Every child of a kind.
    pub fn of_kind(&self, kind: ChildKind) -> impl Iterator<Item = &Arc<Child>> {
        self.iter().filter(move |child| child.kind == kind)
    }

    /// Whether a pod is being deleted.
    #[must_use]
    pub fn any_pod_is_ending(&self) -> bool {
        self.of_kind(ChildKind::Pod).any(|pod| pod.deleting)
    }

    /// The pods of a role.
    pub fn pods(&self, role: Role) -> impl Iterator<Item = (&Arc<Child>, &PodDetail)> {
        self.of_kind(ChildKind::Pod).filter_map(move |child| {
            let of_role =
                child.labels.get(labels::COMPONENT).map(String::as_str) == Some(role.as_str());
            match &child.detail {
                Detail::Pod(pod) if of_role => Some((child, pod)),
                _ => None,
            }
        })
    }

    /// The Jobs, with how far they are.
    pub fn jobs(&self) -> impl Iterator<Item = (&Arc<Child>, &JobDetail)> {
        self.of_kind(ChildKind::Job)
            .filter_map(|child| match &child.detail {
                Detail::Job(job) => Some((child, job)),
                _ => None,
            })
    }

    /// A Deployment or StatefulSet.
    #[must_use]
    pub fn workload(&self, kind: ChildKind, name: &str) -> Option<&WorkloadDetail> {
        match &self.get(kind, name)?.detail {
            Detail::Workload(workload) => Some(workload),
            _ => None,
        }
    }
}
