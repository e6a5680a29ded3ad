//! Which optional definitions the cluster has: those of the Prometheus
//! operator. Looked for again every five minutes; missing ones are a condition,
//! never a crash.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::{ApiError, find};
use crate::build::{Definition, Monitoring};
use crate::child_kind::ChildKind;
use crate::context::Context;
use crate::preflight::{MONITORING, lacking};
use crate::scope::Scope;

/// Between two looks.
const AGAIN: Duration = Duration::from_secs(300);
/// After a look that failed.
const RETRY: Duration = Duration::from_secs(5);

/// What the readiness calls the first look: until then nothing is said of them.
pub const FIRST_LOOK: &str = "definitions";

/// Notes in the readiness that the first look is to come.
pub fn announce(context: &Context) {
    context.readiness.wait_for(
        FIRST_LOOK,
        "the first look for the Prometheus operator's definitions",
    );
}

/// Looks for the definitions, for ever; starts the watches of those that it
/// finds.
pub async fn run(
    context: Arc<Context>,
    scopes: Vec<Scope>,
    found: watch::Sender<Monitoring>,
    shutdown: CancellationToken,
) {
    let mut watched: HashSet<ChildKind> = HashSet::new();
    loop {
        let wait = match look(&context, &scopes).await {
            Ok(monitoring) => {
                for kind in ChildKind::OPTIONAL {
                    if monitoring.may_write(kind) && watched.insert(kind) {
                        for scope in &scopes {
                            scope.start_watch(kind, &context, &shutdown);
                        }
                    }
                }
                if found
                    .send_if_modified(|known| std::mem::replace(known, monitoring) != monitoring)
                {
                    tracing::info!(
                        pod_monitor = ?monitoring.pod_monitor,
                        prometheus_rule = ?monitoring.prometheus_rule,
                        "the Prometheus operator's definitions changed"
                    );
                    scopes.iter().for_each(Scope::enqueue_all);
                }
                AGAIN
            }
            Err(error) => {
                tracing::warn!("{error}");
                RETRY
            }
        };
        if context.readiness.arrived(FIRST_LOOK) {
            scopes.iter().for_each(Scope::enqueue_all);
        }
        tokio::time::sleep(wait).await;
    }
}

/// The definitions that are there, and whether the operator may use them.
async fn look(context: &Context, scopes: &[Scope]) -> Result<Monitoring, ApiError> {
    let group = context
        .client
        .list_api_group_resources("monitoring.coreos.com/v1");
    let Some(group) = find("list monitoring.coreos.com/v1", group).await? else {
        return Ok(Monitoring::default());
    };
    let mut monitoring = Monitoring::default();
    for kind in ChildKind::OPTIONAL {
        let resource = kind.resource();
        let there = group
            .resources
            .iter()
            .any(|known| known.kind == resource.kind);
        let definition = if !there {
            Definition::Missing
        } else if may_write(context, scopes, &resource.plural).await {
            Definition::There
        } else {
            Definition::Forbidden
        };
        match kind {
            ChildKind::PodMonitor => monitoring.pod_monitor = definition,
            _ => monitoring.prometheus_rule = definition,
        }
    }
    Ok(monitoring)
}

async fn may_write(context: &Context, scopes: &[Scope], plural: &str) -> bool {
    for scope in scopes {
        for permission in MONITORING {
            if permission.resource == plural
                && !lacking(&context.client, permission, scope.namespace())
                    .await
                    .is_empty()
            {
                return false;
            }
        }
    }
    true
}
