//! One install runs the pipelines of a namespace: it holds a Lease there. A
//! second install finds it, and says whose it is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::election::{Held, LeaseHold};
use crate::scope::Scope;

/// Name of the Lease in each namespace.
const NAME: &str = "stockpipe-pipelines";
/// For how long a claim holds without being renewed.
const DURATION: Duration = Duration::from_secs(120);
/// Between two renewals.
const RENEW: Duration = Duration::from_secs(40);
/// Between two looks for new namespaces, and for a claim to become free.
const LOOK: Duration = Duration::from_secs(2);

/// Namespaces whose pipelines this install runs.
#[derive(Default)]
pub struct Claims {
    held: Mutex<HashSet<String>>,
}

impl Claims {
    /// Whether this install runs the pipelines of `namespace`.
    #[must_use]
    pub fn holds(&self, namespace: &str) -> bool {
        self.lock().contains(namespace)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Claims the namespaces of `scopes`, for ever; of a scope that is all, those
/// with pipelines.
pub async fn run(context: Arc<Context>, scopes: Vec<Scope>) {
    let mut holds: HashMap<String, (LeaseHold, Option<Instant>)> = HashMap::new();
    loop {
        for (scope, namespace) in namespaces(&scopes) {
            let (hold, renewed) = holds.entry(namespace.clone()).or_insert_with(|| {
                // Its pods share one claim.
                let identity = &context.settings.pod_namespace;
                let hold = LeaseHold::new(context.client.clone(), &namespace, NAME, identity);
                (hold.lasting(DURATION), None)
            });
            if renewed.is_none_or(|renewed| renewed.elapsed() >= RENEW) {
                claim(&context, &scope, &namespace, hold, renewed).await;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn claim(
    context: &Context,
    scope: &Scope,
    namespace: &str,
    hold: &mut LeaseHold,
    renewed: &mut Option<Instant>,
) {
    let wait = format!("claim {namespace}");
    match hold.attempt().await {
        Ok(Held::Mine) => {
            *renewed = Some(Instant::now());
            context.readiness.arrived(&wait);
            if context.claims.lock().insert(namespace.to_owned()) {
                scope.enqueue_all();
            }
        }
        Ok(Held::Others(install)) => {
            *renewed = None;
            context.claims.lock().remove(namespace);
            let why = format!(
                "namespace {namespace}, whose pipelines the install in namespace {install} runs; let one of the two watch it"
            );
            if !context.readiness.waits_for(&wait) {
                tracing::error!("waits for {why}");
            }
            context.readiness.wait_for(wait, why);
        }
        Ok(Held::Contended) => {}
        // A permission that is missing is named by the preflight.
        Err(error) if error.reason() == "Forbidden" => {}
        Err(error) => tracing::warn!("{error}"),
    }
}

fn namespaces(scopes: &[Scope]) -> Vec<(Scope, String)> {
    scopes
        .iter()
        .flat_map(|scope| {
            let names: BTreeSet<String> = match scope.namespace() {
                Some(namespace) => [namespace.to_owned()].into(),
                None => scope
                    .pipelines()
                    .iter()
                    .filter_map(|guard| kube::Resource::meta(guard.as_ref()).namespace.clone())
                    .collect(),
            };
            names.into_iter().map(|name| (scope.clone(), name))
        })
        .collect()
}
