//! The process: what it starts, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::find;
use crate::apply::Applier;
use crate::build::Monitoring;
use crate::children::ChildCache;
use crate::claims;
use crate::context::Context;
use crate::discovery;
use crate::election::{LeaseHold, Lost, lead};
use crate::health;
use crate::labels::MANAGER;
use crate::metrics::Metrics;
use crate::poller;
use crate::preflight::{self, attributes, is_allowed};
use crate::readiness::Readiness;
use crate::scope::Scope;
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
    let client = client().await?;
    let listener = health::bind(settings.listen).await?;
    let metrics = Arc::new(Metrics::new());
    let readiness = Arc::new(Readiness::default());
    let cache = Arc::new(ChildCache::default());
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
        metrics: metrics.clone(),
        readiness: readiness.clone(),
        leads: leading.clone(),
        monitoring: monitored,
        cluster_id: cluster_id(&client).await,
        claims: Default::default(),
        known: Default::default(),
        settings,
    });
    let scopes = scopes(&context, &shutdown);
    tokio::spawn(health::serve(
        listener,
        readiness,
        metrics,
        shutdown.clone(),
    ));
    let until_shutdown = |task: BoxFuture<'static, ()>| {
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(task));
    };
    for scope in &scopes {
        until_shutdown(preflight::run(context.clone(), scope.clone()).boxed());
    }
    let discovered = discovery::run(
        context.clone(),
        scopes.clone(),
        monitoring,
        shutdown.clone(),
    );
    until_shutdown(discovered.boxed());
    until_shutdown(poller::run(context.clone(), scopes.clone()).boxed());
    until_shutdown(when_leading(context.clone(), scopes).boxed());
    let hold = LeaseHold::new(
        client,
        &context.settings.pod_namespace,
        MANAGER,
        &context.settings.pod_name,
    );
    lead(hold, Arc::new(leads), DRAIN, shutdown).await?;
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

/// Claims the namespaces once this process leads; a claim that is held makes
/// its pipelines be looked at.
async fn when_leading(context: Arc<Context>, scopes: Vec<Scope>) {
    let mut leads = context.leads.clone();
    if leads.wait_for(|leads| *leads).await.is_ok() {
        context.metrics.leads(true);
        claims::run(context.clone(), scopes).await;
    }
}

async fn client() -> Result<Client, OperatorError> {
    let config = Config::infer()
        .await
        .map_err(|error| OperatorError::NoCluster(error.to_string()))?;
    Client::try_from(config).map_err(|error| OperatorError::NoCluster(error.to_string()))
}

/// UID of the namespace kube-system, which names the cluster; `None` where it
/// may not be read.
async fn cluster_id(client: &Client) -> Option<String> {
    let mut wanted = attributes("", "namespaces", "get", Some("kube-system"));
    wanted.name = Some("kube-system".to_owned());
    if !matches!(is_allowed(client, wanted).await, Ok(true)) {
        return None;
    }
    let api: Api<Namespace> = Api::all(client.clone());
    match find("get Namespace kube-system", api.get("kube-system")).await {
        Ok(namespace) => namespace?.metadata.uid,
        Err(error) => {
            tracing::info!("pipelines are told apart by their own UID: {error}");
            None
        }
    }
}
