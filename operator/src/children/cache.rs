//! The digests, by pipeline; fed by the watches and by our own writes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Child, Children};
use crate::child_kind::ChildKind;
use crate::labels;
use crate::pipeline_ref::PipelineRef;

/// Deleted objects whose UIDs are remembered, so that an answer to our own
/// write that arrives after the deletion brings none of them back.
const REMEMBERED_DELETIONS: usize = 4096;

/// The children of every pipeline.
#[derive(Default)]
pub struct ChildCache {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_pipeline: HashMap<PipelineRef, BTreeMap<(ChildKind, String), Arc<Child>>>,
    /// How many children there are: asked for at every event of a watch.
    count: usize,
    /// By UID, with the version of the deletion.
    deleted: HashMap<String, String>,
    deleted_in_order: VecDeque<String>,
}

/// The objects that a watch lists anew, gathered until the list is whole.
#[derive(Default)]
pub struct Listing {
    seen: HashSet<(PipelineRef, String)>,
}

impl ChildCache {
    /// The children of a pipeline now.
    #[must_use]
    pub fn children(&self, pipeline: &PipelineRef) -> Children {
        Children::new(
            self.lock()
                .by_pipeline
                .get(pipeline)
                .into_iter()
                .flat_map(|children| children.values().cloned()),
        )
    }

    /// Every pod, with the pipeline that its label names.
    #[must_use]
    pub fn pods(&self) -> Vec<(PipelineRef, Arc<Child>)> {
        let state = self.lock();
        state
            .by_pipeline
            .iter()
            .flat_map(|(pipeline, children)| {
                children
                    .values()
                    .filter(|child| child.kind == ChildKind::Pod)
                    .map(|child| (pipeline.clone(), child.clone()))
            })
            .collect()
    }

    /// The UID of every child.
    #[must_use]
    pub fn uids(&self) -> HashSet<String> {
        let state = self.lock();
        let children = state.by_pipeline.values().flat_map(BTreeMap::values);
        children.map(|child| child.uid.clone()).collect()
    }

    /// How many children there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().by_pipeline.is_empty()
    }

    /// Takes in what a watch, or the answer to a write, says. Returns the
    /// pipeline that its label names, where the digest is news.
    pub fn apply(&self, child: Child) -> Option<PipelineRef> {
        let pipeline = pipeline_of(&child)?;
        let state = &mut *self.lock();
        if let Some(deletion) = state.deleted.get(&child.uid) {
            if !is_newer(&child.resource_version, deletion) {
                return None;
            }
            // It had lost its label, and has it again.
            state.deleted.remove(&child.uid);
        }
        let children = state.by_pipeline.entry(pipeline.clone()).or_default();
        let key = (child.kind, child.name.clone());
        if let Some(known) = children.get(&key)
            && known.uid == child.uid
            && !is_newer(&child.resource_version, &known.resource_version)
        {
            return None;
        }
        if children.insert(key, Arc::new(child)).is_none() {
            state.count += 1;
        }
        Some(pipeline)
    }

    /// Forgets a deleted child. Returns the pipeline that it was of.
    pub fn delete(&self, child: &Child) -> Option<PipelineRef> {
        let pipeline = pipeline_of(child)?;
        let state = &mut *self.lock();
        state.remember_deletion(child);
        let Some(children) = state.by_pipeline.get_mut(&pipeline) else {
            return Some(pipeline);
        };
        let key = (child.kind, child.name.clone());
        // One of the same name may have been made since.
        if children
            .get(&key)
            .is_some_and(|known| known.uid == child.uid)
        {
            children.remove(&key);
            state.count -= 1;
        }
        if children.is_empty() {
            state.by_pipeline.remove(&pipeline);
        }
        Some(pipeline)
    }

    /// Takes in one object of a new list.
    pub fn list(&self, listing: &mut Listing, child: Child) -> Option<PipelineRef> {
        let pipeline = pipeline_of(&child)?;
        listing.seen.insert((pipeline, child.name.clone()));
        self.apply(child)
    }

    /// Ends a new list of `kind` in `namespace` (`None`: all): what it did not
    /// hold is gone. Returns the pipelines that lost something.
    pub fn listed(
        &self,
        listing: &Listing,
        kind: ChildKind,
        namespace: Option<&str>,
    ) -> Vec<PipelineRef> {
        let mut lost = Vec::new();
        let state = &mut *self.lock();
        for (pipeline, children) in &mut state.by_pipeline {
            if namespace.is_some_and(|namespace| namespace != pipeline.namespace) {
                continue;
            }
            let before = children.len();
            children.retain(|(of, name), _| {
                *of != kind || listing.seen.contains(&(pipeline.clone(), name.clone()))
            });
            if children.len() < before {
                state.count -= before - children.len();
                lost.push(pipeline.clone());
            }
        }
        state.by_pipeline.retain(|_, children| !children.is_empty());
        lost
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember_deletion(&mut self, child: &Child) {
        let (uid, version) = (child.uid.clone(), child.resource_version.clone());
        if self.deleted.insert(uid.clone(), version).is_none() {
            self.deleted_in_order.push_back(uid);
        }
        if self.deleted_in_order.len() > REMEMBERED_DELETIONS
            && let Some(oldest) = self.deleted_in_order.pop_front()
        {
            self.deleted.remove(&oldest);
        }
    }
}

fn pipeline_of(child: &Child) -> Option<PipelineRef> {
    let name = child.labels.get(labels::PIPELINE)?;
    Some(PipelineRef::new(&child.namespace, name))
}

/// Whether version `a` of an object is later than its version `b`. Versions of
/// one object are decimal numbers that grow
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>).
#[must_use]
pub fn is_newer(a: &str, b: &str) -> bool {
    match (a.parse::<u128>(), b.parse::<u128>()) {
        (Ok(a), Ok(b)) => a > b,
        _ => a != b,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Detail;
    use super::*;

    fn child(name: &str, uid: &str, version: &str) -> Child {
        Child {
            kind: ChildKind::ConfigMap,
            namespace: "market".into(),
            name: name.into(),
            uid: uid.into(),
            resource_version: version.into(),
            generation: None,
            labels: labels::of("us-equities", None),
            annotations: BTreeMap::new(),
            owners: Vec::new(),
            created: None,
            deleting: false,
            detail: Detail::None,
        }
    }

    fn pipeline() -> PipelineRef {
        PipelineRef::new("market", "us-equities")
    }

    #[test]
    fn an_older_version_changes_nothing() {
        let cache = ChildCache::default();
        assert_eq!(cache.apply(child("a", "1", "10")), Some(pipeline()));
        for stale in ["10", "9"] {
            assert_eq!(cache.apply(child("a", "1", stale)), None, "{stale}");
        }
        assert_eq!(cache.apply(child("a", "1", "11")), Some(pipeline()));
        // Made anew under the same name.
        assert_eq!(cache.apply(child("a", "2", "5")), Some(pipeline()));
    }

    #[test]
    fn a_deleted_child_stays_gone_though_an_answer_comes_late() {
        let cache = ChildCache::default();
        cache.apply(child("a", "1", "10"));
        assert_eq!(cache.delete(&child("a", "1", "15")), Some(pipeline()));
        assert_eq!(cache.apply(child("a", "1", "12")), None);
        assert!(cache.is_empty());
        // It had only lost its label for a while.
        assert_eq!(cache.apply(child("a", "1", "16")), Some(pipeline()));
    }

    #[test]
    fn deleting_an_old_one_keeps_the_new_one_of_the_same_name() {
        let cache = ChildCache::default();
        cache.apply(child("a", "2", "20"));
        cache.delete(&child("a", "1", "10"));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn what_a_new_list_lacks_is_gone_and_other_kinds_and_namespaces_stay() {
        let cache = ChildCache::default();
        cache.apply(child("a", "1", "1"));
        cache.apply(child("b", "2", "2"));
        cache.apply(Child {
            kind: ChildKind::Service,
            ..child("b", "3", "3")
        });
        cache.apply(Child {
            namespace: "other".into(),
            ..child("b", "4", "4")
        });
        let mut listing = Listing::default();
        cache.list(&mut listing, child("a", "1", "1"));
        let lost = cache.listed(&listing, ChildKind::ConfigMap, Some("market"));
        assert_eq!(lost, [pipeline()]);
        let children = cache.children(&pipeline());
        assert!(children.get(ChildKind::ConfigMap, "a").is_some());
        assert!(children.get(ChildKind::ConfigMap, "b").is_none());
        assert!(children.get(ChildKind::Service, "b").is_some());
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn an_object_without_our_label_is_nobodys() {
        let cache = ChildCache::default();
        let mut stranger = child("a", "1", "1");
        stranger.labels.remove(labels::PIPELINE);
        assert_eq!(cache.apply(stranger), None);
        assert!(cache.is_empty());
    }
}
