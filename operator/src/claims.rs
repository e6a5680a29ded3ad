//! One install runs the pipelines of a namespace: it holds a Lease there. A
//! second install finds it, and says whose it is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::election::{Held, LeaseHold};
use crate::install::Install;
use crate::scope::Scope;

/// Name of the Lease in each namespace.
pub const NAME: &str = "stockpipe-pipelines";
/// For how long a claim holds without being renewed.
const DURATION: Duration = Duration::from_secs(120);
/// Between two renewals.
const RENEW: Duration = Duration::from_secs(40);
/// Without a renewal for so long, nothing more is written there: sooner than
/// another install may take the claim.
const GIVE_UP: Duration = Duration::from_secs(100);
/// Between two looks for new namespaces, and for a claim to become free.
const LOOK: Duration = Duration::from_secs(2);
/// Between two looks of a standby at each claim: it is as little ready as its leader where another install is.
const STANDBY_LOOK: Duration = Duration::from_secs(10);

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

/// Claims the namespaces of `scopes` while this process leads; of a scope that is all, those with pipelines. A standby
/// looks only.
pub async fn run(context: Arc<Context>, scopes: Vec<Scope>) {
    let mut leads = context.leads.clone();
    let mut known: HashMap<String, Claim> = HashMap::new();
    loop {
        let leading = *leads.borrow_and_update();
        context.metrics.leads(leading);
        for (scope, namespace) in namespaces(&scopes) {
            let claim = known.entry(namespace.clone()).or_insert_with(|| {
                // Its pods share one claim.
                let identity = context.settings.install.identity();
                let hold = LeaseHold::new(context.client.clone(), &namespace, NAME, &identity);
                Claim {
                    hold: hold.lasting(DURATION).renewing_also(is_ours),
                    renewed: None,
                    looked: None,
                    stands_by: false,
                }
            });
            if leading {
                if is_due(claim.renewed, RENEW) {
                    attempt(&context, &scope, &namespace, claim).await;
                }
            } else if is_due(claim.looked, STANDBY_LOOK) {
                look(&context, &namespace, claim).await;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            // Nobody tells any more once the process ends.
            told = leads.changed() => if told.is_err() { return },
        }
    }
}

fn is_due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= every)
}

/// A namespace, as far as it is claimed.
struct Claim {
    hold: LeaseHold,
    renewed: Option<Instant>,
    looked: Option<Instant>,
    /// Whether it has been told that this waits for the end of an upgrade.
    stands_by: bool,
}

async fn attempt(context: &Context, scope: &Scope, namespace: &str, claim: &mut Claim) {
    let Claim {
        hold,
        renewed,
        stands_by,
        ..
    } = claim;
    if renewed.is_some_and(|renewed| renewed.elapsed() >= GIVE_UP) {
        // Another install may take it now.
        *renewed = None;
        context.claims.lock().remove(namespace);
        tracing::warn!("the claim on namespace {namespace} could not be renewed");
    }
    let began = Instant::now();
    match hold.attempt().await {
        Ok(Held::Mine) => {
            *renewed = Some(began);
            *stands_by = false;
            context.readiness.arrived(&wait_name(namespace));
            if context.claims.lock().insert(namespace.to_owned()) {
                scope.enqueue_all();
            }
        }
        Ok(Held::Others(holder)) => {
            *renewed = None;
            context.claims.lock().remove(namespace);
            is_of(context, namespace, &holder, stands_by);
        }
        Ok(Held::Contended) => {}
        // A permission that is missing is named by the preflight.
        Err(error) if error.reason() == "Forbidden" => {}
        Err(error) => tracing::warn!("{error}"),
    }
}

/// As [`attempt`], of one that may not write.
async fn look(context: &Context, namespace: &str, claim: &mut Claim) {
    match claim.hold.other_holder().await {
        Ok(Some(holder)) => is_of(context, namespace, &holder, &mut claim.stands_by),
        Ok(None) => {
            context.readiness.arrived(&wait_name(namespace));
        }
        Err(error) if error.reason() == "Forbidden" => {}
        Err(error) => return tracing::warn!("{error}"),
    }
    claim.looked = Some(Instant::now());
}

fn wait_name(namespace: &str) -> String {
    format!("claim {namespace}")
}

/// Another install runs the pipelines of `namespace`: this one is not ready, unless the two are one that is upgraded.
fn is_of(context: &Context, namespace: &str, holder: &str, stands_by: &mut bool) {
    let wait = wait_name(namespace);
    let install = Install::parse(holder);
    if context.settings.install.may_be(&install) {
        // Its pods go once this one is ready, and its claim runs out after them.
        if !std::mem::replace(stands_by, true) {
            tracing::info!(
                "stands by: {install} runs the pipelines of namespace {namespace}, until it has been upgraded"
            );
        }
        context.readiness.arrived(&wait);
        return;
    }
    let why = format!(
        "namespace {namespace}, whose pipelines {install} runs; let one of the two watch it"
    );
    if !context.readiness.waits_for(&wait) {
        tracing::error!("waits for {why}");
    }
    context.readiness.wait_for(wait, why);
}

/// Whether a claim of `holder` is that of `identity` from before an upgrade: its
/// pods are led by the Lease that this process holds, so none of them runs
/// anything.
fn is_ours(identity: &str, holder: &str) -> bool {
    Install::parse(identity).shares_leader_with(&Install::parse(holder))
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
