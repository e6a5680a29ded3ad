//! One install runs the pipelines of a namespace: it holds a Lease there. A
//! second install finds it, and says whose it is.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::api::ApiError;
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

/// Between two tries where the permission is missing, which the preflight names.
const REFUSED: Duration = Duration::from_secs(15);

/// Namespaces whose pipelines this install runs, and until when without another renewal.
#[derive(Default)]
pub struct Claims {
    held: Mutex<HashMap<String, Instant>>,
}

impl Claims {
    /// Whether this install runs the pipelines of `namespace`.
    #[must_use]
    pub fn holds(&self, namespace: &str) -> bool {
        let until = self.lock().get(namespace).copied();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
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
        let watched: HashMap<String, Scope> = namespaces(&scopes)
            .into_iter()
            .map(|(scope, namespace)| (namespace, scope))
            .collect();
        known.retain(|namespace, _| {
            let there = watched.contains_key(namespace);
            if !there {
                // Its last pipeline is gone: whoever runs those to come, nobody waits for that.
                context.claims.lock().remove(namespace);
                context.readiness.arrived(&wait_name(namespace));
            }
            there
        });
        for namespace in watched.keys() {
            known
                .entry(namespace.clone())
                .or_insert_with(|| Claim::new(&context, namespace));
        }
        let looks = known.iter_mut().map(|(namespace, claim)| {
            let scope = &watched[namespace];
            renew(&context, scope, namespace, claim, leading)
        });
        // One that is not answered keeps no other from being renewed.
        futures::future::join_all(looks).await;
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
    refused: Option<Instant>,
    /// Whether it has been told that this waits for the end of an upgrade.
    stands_by: bool,
}

impl Claim {
    fn new(context: &Context, namespace: &str) -> Self {
        // Its pods share one claim.
        let identity = context.settings.install.identity();
        let hold = LeaseHold::new(context.client.clone(), namespace, NAME, &identity);
        Self {
            hold: hold.lasting(DURATION).renewing_also(is_ours),
            renewed: None,
            looked: None,
            refused: None,
            stands_by: false,
        }
    }
}

async fn renew(
    context: &Context,
    scope: &Scope,
    namespace: &str,
    claim: &mut Claim,
    leading: bool,
) {
    let refused = if !is_due(claim.refused, REFUSED) {
        return;
    } else if leading && is_due(claim.renewed, RENEW) {
        attempt(context, scope, namespace, claim).await
    } else if !leading && is_due(claim.looked, STANDBY_LOOK) {
        look(context, namespace, claim).await
    } else {
        return;
    };
    claim.refused = None;
    if let Err(error) = refused {
        if error.reason() == "Forbidden" {
            claim.refused = Some(Instant::now());
            scope.doubt();
        } else {
            tracing::warn!("{error}");
        }
    }
}

async fn attempt(
    context: &Context,
    scope: &Scope,
    namespace: &str,
    claim: &mut Claim,
) -> Result<(), ApiError> {
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
    match hold.attempt().await? {
        Held::Mine => {
            *renewed = Some(began);
            *stands_by = false;
            context.readiness.arrived(&wait_name(namespace));
            let until = began + GIVE_UP;
            let held = context.claims.lock().insert(namespace.to_owned(), until);
            if held.is_none_or(|until| until <= began) {
                scope.enqueue_all();
            }
        }
        Held::Others(holder) => {
            *renewed = None;
            context.claims.lock().remove(namespace);
            is_of(context, namespace, &holder, stands_by);
        }
        Held::Contended => {}
    }
    Ok(())
}

/// As [`attempt`], of one that may not write.
async fn look(context: &Context, namespace: &str, claim: &mut Claim) -> Result<(), ApiError> {
    match claim.hold.other_holder().await? {
        Some(holder) => is_of(context, namespace, &holder, &mut claim.stands_by),
        None => {
            context.readiness.arrived(&wait_name(namespace));
        }
    }
    claim.looked = Some(Instant::now());
    Ok(())
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
