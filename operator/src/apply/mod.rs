//! Puts what was built on the cluster: server-side apply of what is missing,
//! changed or drifted, and deletion of what is no longer wanted.

mod decide;
mod matches;
mod memory;
mod orphans;
mod ports;

use std::sync::Arc;

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};

pub use decide::{Step, decide};
pub use matches::{is_part_of, metadata_is_part_of};
pub use memory::{Memory, Record};
pub use orphans::orphans;

use crate::api::{ApiError, call, find};
use crate::build::Monitoring;
use crate::child_kind::ChildKind;
use crate::children::{Child, ChildCache, Children, digest};
use crate::labels::MANAGER;
use crate::metrics::{Metrics, WriteKind};
use crate::resources::{Applied, Desired, KubernetesResources, Prepared};

/// Children of one pipeline that are written at once.
const AT_ONCE: usize = 4;

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
    /// `children` nothing else. What pods need comes before what makes pods.
    /// Kinds that `monitoring` says may not be written are left alone.
    ///
    /// # Errors
    /// The first object that could not be written or deleted; the next attempt
    /// goes on from there.
    pub async fn apply(
        &self,
        resources: KubernetesResources<Prepared>,
        children: &Children,
        uid: &str,
        monitoring: Monitoring,
    ) -> Result<KubernetesResources<Applied>, ApiError> {
        for makes_pods in [false, true] {
            let mut wave = Vec::new();
            for desired in resources.iter() {
                if desired.kind.makes_pods() == makes_pods {
                    let live = children.get(desired.kind, &desired.name);
                    wave.push(self.apply_one(desired, live.map(Arc::as_ref)));
                }
            }
            let written: Vec<Result<(), ApiError>> = futures::stream::iter(wave)
                .buffered(AT_ONCE)
                .collect()
                .await;
            written.into_iter().collect::<Result<(), ApiError>>()?;
        }
        for orphan in orphans(&resources, children, uid, monitoring) {
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
            Err(error) if error.is_already_there() => Ok(()),
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
        let apply = || {
            call(
                action.clone(),
                api.patch(&desired.name, &parameters, &patch),
            )
        };
        let live = match apply().await {
            Err(error) if error.is_invalid() => {
                self.put_ports_back(desired, &api, error).await?;
                apply().await?
            }
            answered => answered?,
        };
        self.metrics.wrote(desired.kind, WriteKind::Apply);
        self.take_in(desired, &live);
        Ok(())
    }

    /// Undoes what keeps an object from being applied: its ports with other
    /// numbers. Anything else stays the `refusal` that it is.
    async fn put_ports_back(
        &self,
        desired: &Desired,
        api: &Api<DynamicObject>,
        refusal: ApiError,
    ) -> Result<(), ApiError> {
        let name = named(desired.kind, &desired.namespace, &desired.name);
        let Some(live) = find(format!("get {name}"), api.get(&desired.name)).await? else {
            return Err(refusal);
        };
        let live = serde_json::to_value(&live).expect("an object is JSON");
        let Some(patch) = ports::put_back(&desired.object, &live) else {
            return Err(refusal);
        };
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Strategic(&patch);
        call(
            format!("put the ports of {name} back"),
            api.patch(&desired.name, &parameters, &patch),
        )
        .await?;
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
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Drops what is remembered of a child that was deleted.
    pub fn forget(&self, uid: &str) {
        self.memory.forget(uid);
    }

    /// Drops what is remembered of children that a new list did not hold.
    pub fn forget_gone(&self) {
        let there = self.cache.uids();
        self.memory.retain(|uid| there.contains(uid));
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
