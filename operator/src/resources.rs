//! The objects of a pipeline, before and after they are on the cluster.

use std::marker::PhantomData;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::child_kind::ChildKind;

/// What should be on the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared;
/// What is on the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied;

/// The objects of a pipeline. A status can be computed of applied ones only;
/// only [`apply`](crate::apply) makes them.
#[derive(Clone, Debug, PartialEq)]
pub struct KubernetesResources<Stage> {
    objects: Vec<Desired>,
    stage: PhantomData<Stage>,
}

/// One object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The whole object, as it is applied.
    pub object: Value,
    /// Changes with every change of the object.
    pub hash: String,
}

impl Desired {
    /// An object of a kind that the operator writes.
    ///
    /// # Panics
    /// Where `object` is of another kind, or has no name or namespace: a fault
    /// of the builder, which its tests would show.
    #[must_use]
    pub fn new(object: impl Serialize) -> Self {
        let object = serde_json::to_value(object).expect("Kubernetes objects are JSON");
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .expect("built objects have a kind, a name and a namespace")
                .to_owned()
        };
        Self {
            kind: ChildKind::parse(&text("/kind")).expect("only child kinds are built"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            hash: hash_of(&object),
            object,
        }
    }
}

impl KubernetesResources<Prepared> {
    /// These objects, in the order in which they are written.
    #[must_use]
    pub fn new(mut objects: Vec<Desired>) -> Self {
        let rank = |kind| ChildKind::WRITTEN.iter().position(|known| *known == kind);
        objects.sort_by(|a, b| (rank(a.kind), &a.name).cmp(&(rank(b.kind), &b.name)));
        Self {
            objects,
            stage: PhantomData,
        }
    }

    /// What [`apply`](crate::apply) has written.
    pub(crate) fn into_applied(self) -> KubernetesResources<Applied> {
        KubernetesResources {
            objects: self.objects,
            stage: PhantomData,
        }
    }
}

impl<Stage> KubernetesResources<Stage> {
    /// Every object.
    pub fn iter(&self) -> impl Iterator<Item = &Desired> {
        self.objects.iter()
    }

    /// The object of that kind and name.
    #[must_use]
    pub fn get(&self, kind: ChildKind, name: &str) -> Option<&Desired> {
        self.iter()
            .find(|object| object.kind == kind && object.name == name)
    }

    /// Whether there is one of that kind and name.
    #[must_use]
    pub fn contains(&self, kind: ChildKind, name: &str) -> bool {
        self.get(kind, name).is_some()
    }
}

/// Ten hexadecimal digits that change with every change of `value`.
#[must_use]
pub fn hash_of(value: &Value) -> String {
    // serde_json's maps are sorted, so that equal values are equal text.
    hash_of_text(&value.to_string())
}

/// As [`hash_of`], of text.
#[must_use]
pub fn hash_of_text(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..5])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(kind: &str, name: &str) -> Desired {
        Desired::new(json!({"kind": kind, "metadata": {"name": name, "namespace": "n"}}))
    }

    #[test]
    fn what_a_pod_needs_is_written_before_it() {
        let resources = KubernetesResources::<Prepared>::new(vec![
            object("Deployment", "x"),
            object("Job", "x"),
            object("ServiceAccount", "x"),
            object("ConfigMap", "b"),
            object("ConfigMap", "a"),
        ]);
        let order: Vec<_> = resources
            .iter()
            .map(|object| format!("{} {}", object.kind.as_str(), object.name))
            .collect();
        assert_eq!(
            order,
            [
                "ConfigMap a",
                "ConfigMap b",
                "ServiceAccount x",
                "Job x",
                "Deployment x"
            ]
        );
    }

    #[test]
    fn a_hash_follows_the_content_and_not_the_order_of_keys() {
        assert_eq!(
            hash_of(&json!({"a": 1, "b": 2})),
            hash_of(&json!({"b": 2, "a": 1}))
        );
        assert_ne!(hash_of(&json!({"a": 1})), hash_of(&json!({"a": 2})));
        assert_eq!(hash_of_text("").len(), 10);
    }
}
