//! Namespaces that are being deleted. What is in one goes in no order that could be relied on, and our Role goes with it:
//! a pipeline with a finalizer must be let go of before that, or the namespace stays for ever. The API server takes
//! some seconds from the deletion of a namespace to that of what is in it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::Resource;

use crate::context::Context;
use crate::finalizer;
use crate::pipeline_ref::PipelineRef;
use crate::scope::Scope;
use crate::teardown::namespace_is_terminating;

/// Between two looks: kube-controller-manager waits five seconds before it deletes what is in a namespace.
const LOOK: Duration = Duration::from_secs(2);
/// Namespaces that are asked for at once.
const AT_ONCE: usize = 16;

/// Namespaces that are known to be being deleted.
#[derive(Default)]
pub struct Leaving {
    namespaces: Mutex<HashSet<String>>,
}

impl Leaving {
    /// Whether `namespace` is being deleted, as far as is known.
    #[must_use]
    pub fn holds(&self, namespace: &str) -> bool {
        self.lock().contains(namespace)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks, for ever, whether a namespace that a pipeline holds back is being deleted, and makes its pipelines be
/// reconciled. Where every namespace is watched, our rights go with none of them.
pub async fn run(context: Arc<Context>, scopes: Vec<Scope>) {
    loop {
        if context.leads() {
            let owned = scopes.iter().cloned();
            let looks = owned.map(|scope| look(context.clone(), scope));
            futures::stream::iter(looks)
                .buffer_unordered(AT_ONCE)
                .collect::<()>()
                .await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(context: Arc<Context>, scope: Scope) {
    let Some(namespace) = scope.namespace() else {
        return;
    };
    let held_back = held_back(&scope);
    if held_back.is_empty() || !context.claims.holds(namespace) {
        return;
    }
    match namespace_is_terminating(&context, namespace).await {
        Ok(true) => {
            context.leaving.lock().insert(namespace.to_owned());
            for pipeline in held_back {
                scope.enqueue(&pipeline);
            }
        }
        Ok(false) => {
            context.leaving.lock().remove(namespace);
        }
        // Its reconciles say what is wrong.
        Err(error) => tracing::debug!("{error}"),
    }
}

/// The pipelines of a scope that have the finalizer.
fn held_back(scope: &Scope) -> Vec<PipelineRef> {
    let pipelines = scope.pipelines();
    let metas = pipelines.iter().map(|guard| guard.meta());
    metas
        .filter(|meta| finalizer::is_there(meta))
        .map(|meta| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            PipelineRef::new(text(&meta.namespace), text(&meta.name))
        })
        .collect()
}
