//! Puts what was built on the cluster: server-side apply of what is missing,
//! changed or drifted, and deletion of what is no longer wanted.

mod decide;
mod matches;
mod memory;
mod orphans;

use std::sync::Arc;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};

pub use decide::{Step, decide};
pub use matches::{is_part_of, metadata_is_part_of};
pub use memory::{Memory, Record};
pub use orphans::orphans;

use crate::api::{ApiError, call, find};
use crate::child_kind::ChildKind;
use crate::children::{Child, ChildCache, Children, digest};
use crate::labels::MANAGER;
use crate::metrics::{Metrics, WriteKind};
use crate::resources::{Applied, Desired, KubernetesResources, Prepared};

/// Writes children.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    cache: Arc<ChildCache>,
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
}

impl Applier {
    /// Writes by `client` and tells `cache` what was answered.
    #[must_use]
    pub fn new(client: Client, cache: Arc<ChildCache>, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            cache,
            memory: Arc::default(),
            metrics,
        }
    }

    /// Makes the cluster hold `resources`, and of what `uid` owns among
    /// `children` nothing else.
    ///
    /// # Errors
    /// The first object that could not be written or deleted; the next attempt
    /// goes on from there.
    pub async fn apply(
        &self,
        resources: KubernetesResources<Prepared>,
        children: &Children,
        uid: &str,
    ) -> Result<KubernetesResources<Applied>, ApiError> {
        for desired in resources.iter() {
            let live = children.get(desired.kind, &desired.name);
            self.apply_one(desired, live.map(Arc::as_ref)).await?;
        }
        for orphan in orphans(&resources, children, uid) {
            self.delete(&orphan).await?;
        }
        Ok(resources.into_applied())
    }

    /// Writes one object where it is missing, changed or drifted.
    ///
    /// # Errors
    /// The API server's refusal.
    pub async fn apply_one(&self, desired: &Desired, live: Option<&Child>) -> Result<(), ApiError> {
        match decide(
            desired,
            live,
            live.and_then(|live| self.memory.get(&live.uid)),
        ) {
            Step::Skip => Ok(()),
            Step::Create => self.create(desired).await,
            Step::Write => self.write(desired).await,
            Step::Compare => self.compare(desired).await,
        }
    }

    /// Makes an object that is never changed: a Job.
    async fn create(&self, desired: &Desired) -> Result<(), ApiError> {
        let action = format!(
            "create {}",
            named(desired.kind, &desired.namespace, &desired.name)
        );
        let object: DynamicObject =
            serde_json::from_value(desired.object.clone()).expect("built objects are objects");
        let parameters = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let api = self.api(desired.kind, &desired.namespace);
        match call(action, api.create(&parameters, &object)).await {
            Ok(made) => {
                self.metrics.wrote(desired.kind, WriteKind::Create);
                self.take_in(desired, &made);
                Ok(())
            }
            // Whoever was first: one Job of that name is what is wanted.
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Applies an object, and takes over the fields that it sets.
    async fn write(&self, desired: &Desired) -> Result<(), ApiError> {
        let action = format!(
            "apply {}",
            named(desired.kind, &desired.namespace, &desired.name)
        );
        let parameters = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(&desired.object);
        let api = self.api(desired.kind, &desired.namespace);
        let live = call(action, api.patch(&desired.name, &parameters, &patch)).await?;
        self.metrics.wrote(desired.kind, WriteKind::Apply);
        self.take_in(desired, &live);
        Ok(())
    }

    /// Reads an object that this process has not written, and writes it only
    /// where it differs from what is wanted.
    async fn compare(&self, desired: &Desired) -> Result<(), ApiError> {
        let action = format!(
            "get {}",
            named(desired.kind, &desired.namespace, &desired.name)
        );
        let api = self.api(desired.kind, &desired.namespace);
        match find(action, api.get(&desired.name)).await? {
            Some(live) => {
                let value = serde_json::to_value(&live).expect("an object is JSON");
                if is_part_of(&desired.object, &value) {
                    self.take_in(desired, &live);
                    Ok(())
                } else {
                    self.write(desired).await
                }
            }
            None => self.write(desired).await,
        }
    }

    /// Deletes a child, if it is still the one that was seen.
    ///
    /// # Errors
    /// The API server's refusal.
    pub async fn delete(&self, child: &Child) -> Result<(), ApiError> {
        let action = format!(
            "delete {}",
            named(child.kind, &child.namespace, &child.name)
        );
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(child.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        let api = self.api(child.kind, &child.namespace);
        match call(action, api.delete(&child.name, &parameters)).await {
            Ok(_) => {
                self.metrics.wrote(child.kind, WriteKind::Delete);
                self.memory.forget(&child.uid);
                Ok(())
            }
            // Gone, or another of the same name.
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Remembers what is on the cluster after a write or a comparison.
    fn take_in(&self, desired: &Desired, live: &DynamicObject) {
        let value = serde_json::to_value(live).expect("an object is JSON");
        if let Some(child) = digest(desired.kind, &value) {
            self.memory
                .remember(&child.uid, Record::of(desired, &child));
            self.cache.apply(child);
        }
    }

    fn api(&self, kind: ChildKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }
}

fn named(kind: ChildKind, namespace: &str, name: &str) -> String {
    format!("{} {namespace}/{name}", kind.as_str())
}
