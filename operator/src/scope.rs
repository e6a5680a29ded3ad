//! One namespace, or all: its watches and the loop that reconciles what they
//! show.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{FutureExt, StreamExt};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{Config, WatchStreamExt, applier, watcher as watch};
use stockpipe_crds::StockPipeline;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::child_kind::ChildKind;
use crate::children::{Watched, watch_kind};
use crate::context::Context;
use crate::controller::{after_failure, reconcile};
use crate::discovery::FIRST_LOOK;
use crate::patience::WatchBackoff;
use crate::pipeline_ref::PipelineRef;

/// Reconciles at once, of all scopes together.
pub const CONCURRENCY: u16 = 8;
/// Changes of one pipeline within this are one.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// A pipeline, or one that cannot be read.
pub type Guarded = DeserializeGuard<StockPipeline>;

/// One namespace, or all.
#[derive(Clone)]
pub struct Scope {
    namespace: Option<String>,
    queue: UnboundedSender<ObjectRef<Guarded>>,
    store: Store<Guarded>,
    doubts: Arc<Notify>,
}

/// The parts of a scope that its tasks take over.
pub struct ScopeTasks {
    receiver: UnboundedReceiver<ObjectRef<Guarded>>,
    writer: reflector::store::Writer<Guarded>,
}

impl Scope {
    /// The scope of `namespace` (`None`: all).
    #[must_use]
    pub fn new(namespace: Option<String>) -> (Self, ScopeTasks) {
        let (queue, receiver) = unbounded();
        let (store, writer) = reflector::store();
        let scope = Self {
            namespace,
            queue,
            store,
            doubts: Arc::default(),
        };
        (scope, ScopeTasks { receiver, writer })
    }

    /// Its name, as the readiness and the logs say it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.namespace.as_deref().unwrap_or("every namespace")
    }

    /// Its namespace; `None` is all.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether a pipeline of `namespace` is in it.
    #[must_use]
    pub fn holds(&self, namespace: &str) -> bool {
        self.namespace().is_none_or(|own| own == namespace)
    }

    /// The pipelines in it.
    #[must_use]
    pub fn pipelines(&self) -> Vec<Arc<Guarded>> {
        self.store.state()
    }

    /// Reconciles a pipeline soon.
    pub fn enqueue(&self, pipeline: &PipelineRef) {
        // Nobody listens any more while the process ends.
        let _ = self.queue.unbounded_send(pipeline.to_object_ref());
    }

    /// Something was refused: the permissions must be checked again.
    pub fn doubt(&self) {
        self.doubts.notify_one();
    }

    /// Waits until something was refused.
    pub async fn doubted(&self) {
        self.doubts.notified().await;
    }

    /// Reconciles every pipeline soon.
    pub fn enqueue_all(&self) {
        for pipeline in self.store.state() {
            let _ = self
                .queue
                .unbounded_send(ObjectRef::from_obj(pipeline.as_ref()));
        }
    }

    /// What the readiness calls the watch of `what` in this scope.
    fn wait_name(&self, what: &str) -> String {
        format!("watch {} {what}", self.namespace().unwrap_or("*"))
    }

    /// Whether every watch of the scope has its first list.
    fn is_complete(&self, context: &Context) -> bool {
        !context.readiness.waits_for(&self.wait_name(""))
    }

    /// Notes in the readiness every list that the scope needs.
    pub fn announce(&self, context: &Context) {
        let kinds = ChildKind::BUILT_IN.into_iter().map(ChildKind::as_str);
        for kind in std::iter::once("StockPipeline").chain(kinds) {
            context.readiness.wait_for(
                self.wait_name(kind),
                format!("the list of {kind}s in {}", self.name()),
            );
        }
    }

    /// Starts the watches and the loop; they end with `shutdown`.
    pub fn start(&self, tasks: ScopeTasks, context: &Arc<Context>, shutdown: &CancellationToken) {
        for kind in ChildKind::BUILT_IN {
            self.start_watch(kind, context, shutdown);
        }
        let pipelines = self.clone().watch_pipelines(tasks.writer, context.clone());
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(pipelines));
        let queue = tasks
            .receiver
            .map(Ok::<_, std::convert::Infallible>)
            .take_until(shutdown.clone().cancelled_owned());
        let reconciles = applier(
            |pipeline, context| reconcile(pipeline, context).boxed(),
            |pipeline, error, context| after_failure(&pipeline, error, &context),
            context.clone(),
            self.store.clone(),
            queue,
            Config::default()
                .concurrency(CONCURRENCY)
                .debounce(DEBOUNCE),
        );
        tokio::spawn(reconciles.for_each(|_| std::future::ready(())));
    }

    /// Starts the watch of one kind of child.
    pub fn start_watch(
        &self,
        kind: ChildKind,
        context: &Arc<Context>,
        shutdown: &CancellationToken,
    ) {
        let scope = self.clone();
        let (watching, client) = (context.clone(), context.client.clone());
        let namespace = self.namespace.clone();
        let task = async move {
            let cache = watching.cache.clone();
            let mut changes = std::pin::pin!(watch_kind(client, kind, namespace, cache));
            while let Some(change) = changes.next().await {
                match change {
                    Watched::Changed(pipeline) => scope.enqueue(&pipeline),
                    Watched::Gone(uid) => watching.applier.forget(&uid),
                    Watched::Complete => {
                        watching.applier.forget_gone();
                        scope.arrived(kind.as_str(), &watching);
                    }
                    Watched::Interrupted(error) => scope.interrupted(kind.as_str(), &error),
                }
                watching.metrics.children(watching.cache.len());
            }
        };
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(task));
    }

    async fn watch_pipelines(
        self,
        mut writer: reflector::store::Writer<Guarded>,
        context: Arc<Context>,
    ) {
        let api: Api<Guarded> = match &self.namespace {
            Some(namespace) => Api::namespaced(context.client.clone(), namespace),
            None => Api::all(context.client.clone()),
        };
        let mut events =
            std::pin::pin!(watch(api, watcher::Config::default()).backoff(WatchBackoff::default()));
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event.modify(strip),
                Err(error) => {
                    self.interrupted("StockPipeline", &error);
                    continue;
                }
            };
            writer.apply_watcher_event(&event);
            match event {
                Event::Apply(guard) | Event::InitApply(guard) => {
                    context.known.saw(&guard);
                    let _ = self.queue.unbounded_send(ObjectRef::from_obj(&guard));
                }
                Event::Delete(guard) => self.gone(&guard, &context),
                Event::InitDone => {
                    self.forget_gone(&context);
                    self.arrived("StockPipeline", &context);
                }
                Event::Init => {}
            }
        }
    }

    /// A new list tells of no deletion that came while the watch was broken.
    fn forget_gone(&self, context: &Context) {
        let there = self.store.state().iter().filter_map(|g| named(g)).collect();
        let listed = |pipeline: &PipelineRef| self.holds(&pipeline.namespace);
        for pipeline in context.known.retain(listed, &there) {
            context.metrics.forget(&pipeline);
        }
    }

    fn gone(&self, guard: &Guarded, context: &Context) {
        let Some(pipeline) = named(guard) else { return };
        context.known.forget(&pipeline);
        context.metrics.forget(&pipeline);
    }

    fn arrived(&self, what: &str, context: &Context) {
        if context.readiness.arrived(&self.wait_name(what)) && self.is_complete(context) {
            tracing::info!(scope = self.name(), "every list is here");
            self.enqueue_all();
        }
    }

    fn interrupted(&self, what: &str, error: &watcher::Error) {
        let of_preflight = |kind: ChildKind| kind.as_str() == what;
        let checked = what == "StockPipeline" || ChildKind::BUILT_IN.into_iter().any(of_preflight);
        if checked && is_refusal(error) {
            // The preflight says it once, of all that is missing.
            tracing::debug!(scope = self.name(), "the watch of {what}s: {error}");
            return self.doubt();
        }
        tracing::warn!(
            scope = self.name(),
            "the watch of {what}s was interrupted, it goes on: {error}"
        );
    }
}

/// Whether the API server answers that it is not allowed.
fn is_refusal(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => status.code == 403,
        WatchError(status) => status.code == 403,
        _ => false,
    }
}

fn named(guard: &Guarded) -> Option<PipelineRef> {
    let meta = match &guard.0 {
        Ok(resource) => &resource.metadata,
        Err(invalid) => &invalid.metadata,
    };
    Some(PipelineRef::new(
        meta.namespace.as_ref()?,
        meta.name.as_ref()?,
    ))
}

/// What nobody reads, and is a good part of an object.
fn strip(guard: &mut Guarded) {
    if let Ok(resource) = &mut guard.0 {
        resource.metadata.managed_fields = None;
        if let Some(annotations) = &mut resource.metadata.annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
}

impl Context {
    /// Whether pipelines of `namespace` may be reconciled: its lists are here,
    /// what it may make is known, and no other install runs them.
    #[must_use]
    pub fn may_run(&self, namespace: Option<&str>) -> bool {
        let namespace = namespace.unwrap_or_default();
        let waits = self.readiness.waits_for(&format!("watch {namespace} "))
            || self.readiness.waits_for("watch * ")
            || self
                .readiness
                .waits_for(&format!("permission {namespace} "))
            || self.readiness.waits_for("permission * ")
            || self.readiness.waits_for(FIRST_LOOK);
        !waits && self.claims.holds(namespace)
    }
}
