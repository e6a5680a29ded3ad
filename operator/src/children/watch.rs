//! Watches one kind of child and keeps the cache true to it.

use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt};
use kube::Client;
use kube::Resource;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, DynamicResourceScope, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};

use super::cache::{ChildCache, Listing};
use super::digest::{Child, digest, digest_metadata};
use crate::child_kind::ChildKind;
use crate::labels;
use crate::patience::WatchBackoff;
use crate::pipeline_ref::PipelineRef;

/// What a watch reports to whoever runs it.
#[derive(Debug)]
pub enum Watched {
    /// Something of a pipeline changed.
    Changed(PipelineRef),
    /// The object with that UID was deleted.
    Gone(String),
    /// The cache holds everything of this kind.
    Complete,
    /// The watch was interrupted; it goes on by itself.
    Interrupted(watcher::Error),
}

/// Watches `kind` in `namespace` (`None`: all) and feeds `cache`.
pub fn watch_kind(
    client: Client,
    kind: ChildKind,
    namespace: Option<String>,
    cache: Arc<ChildCache>,
) -> impl Stream<Item = Watched> + Send {
    let resource = kind.resource();
    let config = watcher::Config::default().labels(&labels::watched());
    let events = match kind {
        ChildKind::Deployment
        | ChildKind::StatefulSet
        | ChildKind::Job
        | ChildKind::CronJob
        | ChildKind::Pod => {
            let api: Api<DynamicObject> = scoped(client, namespace.as_deref(), &resource);
            watch(api, config)
                .backoff(WatchBackoff::default())
                .map_ok(move |event| map_event(event, &|object| full(kind, object)))
                .boxed()
        }
        _ => {
            let api: Api<PartialObjectMeta<DynamicObject>> =
                scoped(client, namespace.as_deref(), &resource);
            watch(api, config)
                .backoff(WatchBackoff::default())
                .map_ok(move |event| {
                    map_event(event, &|object| digest_metadata(kind, &object.metadata))
                })
                .boxed()
        }
    };
    let mut listing = Listing::default();
    events.flat_map(move |event| {
        let reports = match event {
            Ok(event) => take_in(event, kind, namespace.as_deref(), &cache, &mut listing),
            Err(error) => vec![Watched::Interrupted(error)],
        };
        futures::stream::iter(reports)
    })
}

fn scoped<K>(client: Client, namespace: Option<&str>, resource: &ApiResource) -> Api<K>
where
    K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    }
}

fn full(kind: ChildKind, object: &DynamicObject) -> Option<Child> {
    digest(kind, &serde_json::to_value(object).ok()?)
}

/// An event about a digest; `None` where the object has none.
fn map_event<T>(event: Event<T>, digest: &dyn Fn(&T) -> Option<Child>) -> Event<Option<Child>> {
    match event {
        Event::Apply(object) => Event::Apply(digest(&object)),
        Event::Delete(object) => Event::Delete(digest(&object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(digest(&object)),
        Event::InitDone => Event::InitDone,
    }
}

fn take_in(
    event: Event<Option<Child>>,
    kind: ChildKind,
    namespace: Option<&str>,
    cache: &ChildCache,
    listing: &mut Listing,
) -> Vec<Watched> {
    let changed = |pipeline: Option<PipelineRef>| pipeline.map(Watched::Changed);
    match event {
        Event::Init => {
            *listing = Listing::default();
            Vec::new()
        }
        Event::InitApply(child) => child
            .and_then(|child| changed(cache.list(listing, child)))
            .into_iter()
            .collect(),
        Event::InitDone => cache
            .listed(&std::mem::take(listing), kind, namespace)
            .into_iter()
            .map(Watched::Changed)
            .chain([Watched::Complete])
            .collect(),
        Event::Apply(child) => child
            .and_then(|child| changed(cache.apply(child)))
            .into_iter()
            .collect(),
        Event::Delete(Some(child)) => changed(cache.delete(&child))
            .into_iter()
            .chain([Watched::Gone(child.uid)])
            .collect(),
        Event::Delete(None) => Vec::new(),
    }
}
