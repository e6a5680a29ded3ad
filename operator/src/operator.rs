//! The process: what it starts, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::client::ClientBuilder;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::api::{ApiError, find};
use crate::apply::Applier;
use crate::build::Monitoring;
use crate::children::ChildCache;
use crate::claims;
use crate::context::Context;
use crate::discovery;
use crate::election::{LeaseHold, Lost, lead};
use crate::fence::Fence;
use crate::health;
use crate::labels::MANAGER;
use crate::leaving;
use crate::metrics::Metrics;
use crate::poller;
use crate::preflight::{self, attributes, is_allowed};
use crate::readiness::Readiness;
use crate::scope::{CONCURRENCY, Scope};
use crate::settings::{Settings, WatchScope};

/// Time that reconciles have to end when the process is told to.
const DRAIN: Duration = Duration::from_millis(500);

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No configuration of a cluster.
    #[error("cannot find a cluster: {0}; run in a pod with a service account, or set KUBECONFIG")]
    NoCluster(String),
    /// No listener.
    #[error(transparent)]
    Listen(#[from] health::ListenError),
    /// No longer the leader.
    #[error("{0}; the process ends, so that only one writes")]
    Lost(#[from] Lost),
}

/// Runs until SIGTERM, or until it no longer leads.
///
/// # Errors
/// Where it cannot start, or no longer leads.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> Result<(), OperatorError> {
    let fence = Fence::default();
    let client = client(&fence).await?;
    let listener = health::bind(settings.listen).await?;
    let metrics = Arc::new(Metrics::new());
    let readiness = Arc::new(Readiness::default());
    let cache = Arc::new(ChildCache::default());
    tokio::spawn(health::serve(
        listener,
        readiness.clone(),
        metrics.clone(),
        shutdown.clone(),
    ));
    let cluster_id = cluster_id(&client, &readiness);
    let Some(cluster_id) = shutdown.run_until_cancelled(cluster_id).await else {
        return Ok(());
    };
    let (leads, leading) = watch::channel(false);
    let (monitoring, monitored) = watch::channel(Monitoring::default());
    let context = Arc::new(Context {
        client: client.clone(),
        applier: Applier::new(client.clone(), cache.clone(), metrics.clone()),
        recorder: Recorder::new(
            client.clone(),
            Reporter {
                controller: MANAGER.to_owned(),
                instance: Some(settings.pod_name.clone()),
            },
        ),
        cache,
        metrics,
        readiness,
        leads: leading.clone(),
        monitoring: monitored,
        cluster_id,
        claims: Default::default(),
        leaving: Default::default(),
        known: Default::default(),
        slots: Semaphore::new(CONCURRENCY.into()),
        settings,
    });
    let scopes = scopes(&context, &shutdown);
    let until_shutdown = |task: BoxFuture<'static, ()>| {
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(task));
    };
    for scope in &scopes {
        until_shutdown(preflight::run(context.clone(), scope.clone()).boxed());
    }
    discovery::announce(&context);
    let discovered = discovery::run(
        context.clone(),
        scopes.clone(),
        monitoring,
        shutdown.clone(),
    );
    until_shutdown(discovered.boxed());
    until_shutdown(poller::run(context.clone(), scopes.clone()).boxed());
    until_shutdown(leaving::run(context.clone(), scopes.clone()).boxed());
    until_shutdown(claims::run(context.clone(), scopes).boxed());
    until_shutdown(preflight::of_leader(context.clone()).boxed());
    let hold = LeaseHold::new(
        client,
        &context.settings.install.namespace,
        &context.settings.install.lease(),
        &context.settings.pod_name,
    );
    lead(hold, Arc::new(leads), fence, DRAIN, shutdown).await?;
    Ok(())
}

fn scopes(context: &Arc<Context>, shutdown: &CancellationToken) -> Vec<Scope> {
    let namespaces = match &context.settings.scope {
        WatchScope::Cluster => vec![None],
        WatchScope::Namespaces(names) => names.iter().cloned().map(Some).collect(),
    };
    namespaces
        .into_iter()
        .map(|namespace| {
            let (scope, tasks) = Scope::new(namespace);
            scope.announce(context);
            scope.start(tasks, context, shutdown);
            scope
        })
        .collect()
}

async fn client(fence: &Fence) -> Result<Client, OperatorError> {
    let config = Config::infer()
        .await
        .map_err(|error| OperatorError::NoCluster(error.to_string()))?;
    let builder = ClientBuilder::try_from(config)
        .map_err(|error| OperatorError::NoCluster(error.to_string()))?;
    Ok(builder.with_layer(fence).build())
}

/// UID of the namespace kube-system, which names the cluster; `None` where it
/// may not be read. New pipelines keep for good what is said here, so a fault
/// that passes must not decide it.
async fn cluster_id(client: &Client, readiness: &Readiness) -> Option<String> {
    const WAIT: &str = "cluster";
    readiness.wait_for(WAIT, "the API server to tell which cluster this is");
    let id = loop {
        match ask_cluster_id(client).await {
            Ok(id) => break id,
            Err(error) => tracing::warn!("{error}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    if id.is_none() {
        tracing::warn!("new pipelines are told apart by their own UID, not by the cluster's");
    }
    readiness.arrived(WAIT);
    id
}

async fn ask_cluster_id(client: &Client) -> Result<Option<String>, ApiError> {
    let mut wanted = attributes("", "namespaces", "get", Some("kube-system"));
    wanted.name = Some("kube-system".to_owned());
    if !is_allowed(client, wanted).await? {
        return Ok(None);
    }
    let api: Api<Namespace> = Api::all(client.clone());
    let namespace = find("get Namespace kube-system", api.get("kube-system")).await?;
    Ok(namespace.and_then(|namespace| namespace.metadata.uid))
}
