//! Which optional definitions the cluster has: those of the Prometheus
//! operator. Looked for again every five minutes; missing ones are a condition,
//! never a crash.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::{ApiError, find};
use crate::build::Monitoring;
use crate::child_kind::ChildKind;
use crate::context::Context;
use crate::preflight::{attributes, is_allowed};
use crate::scope::Scope;

/// Between two looks.
const AGAIN: Duration = Duration::from_secs(300);

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
        match look(&context, &scopes).await {
            Ok(monitoring) => {
                for kind in ChildKind::OPTIONAL {
                    if has(monitoring, kind) && watched.insert(kind) {
                        for scope in &scopes {
                            scope.start_watch(kind, &context, &shutdown);
                        }
                    }
                }
                if found
                    .send_if_modified(|known| std::mem::replace(known, monitoring) != monitoring)
                {
                    tracing::info!(
                        pod_monitor = monitoring.pod_monitor,
                        prometheus_rule = monitoring.prometheus_rule,
                        "the Prometheus operator's definitions changed"
                    );
                    scopes.iter().for_each(Scope::enqueue_all);
                }
            }
            Err(error) => tracing::warn!("{error}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn has(monitoring: Monitoring, kind: ChildKind) -> bool {
    match kind {
        ChildKind::PodMonitor => monitoring.pod_monitor,
        ChildKind::PrometheusRule => monitoring.prometheus_rule,
        _ => false,
    }
}

/// The definitions that are there and that the operator may use.
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
        if there && may_write(context, scopes, &resource.plural).await? {
            match kind {
                ChildKind::PodMonitor => monitoring.pod_monitor = true,
                _ => monitoring.prometheus_rule = true,
            }
        }
    }
    Ok(monitoring)
}

async fn may_write(context: &Context, scopes: &[Scope], plural: &str) -> Result<bool, ApiError> {
    for scope in scopes {
        for verb in ["get", "list", "watch", "create", "patch", "delete"] {
            let wanted = attributes("monitoring.coreos.com", plural, verb, scope.namespace());
            if !is_allowed(&context.client, wanted).await? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
