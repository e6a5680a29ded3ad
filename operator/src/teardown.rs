//! Carries out how a pipeline ends, as [`deletion`](crate::deletion) decides.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::controller::Action;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::amounts::DurationText;
use stockpipe_crds::resolve;

use crate::api::{ApiError, call, find};
use crate::build::{self, Blueprint, Monitoring};
use crate::context::Context;
use crate::deletion::{self, DEADLINE, DEADLINE_ANNOTATION, Next};
use crate::events;
use crate::finalizer;
use crate::labels::{self, Role};
use crate::pipeline_ref::PipelineRef;
use crate::status;
use crate::worker_image;

/// Between two looks while a pipeline ends.
const LOOK: Duration = Duration::from_secs(5);

/// Takes a pipeline that is being deleted one step further.
///
/// # Errors
/// A call that failed; the next attempt goes on from there.
pub async fn run(
    resource: &StockPipeline,
    pipeline: &PipelineRef,
    context: &Context,
) -> Result<Action, ApiError> {
    if !finalizer::is_there(&resource.metadata) {
        return Ok(Action::await_change());
    }
    if namespace_is_terminating(context, &pipeline.namespace).await? {
        return release_with_namespace(resource, context).await;
    }
    if !finalizer::is_wanted(resource) {
        return release(resource, context, None, false).await;
    }
    let Ok(resolved) = resolve(resource) else {
        let why = "its spec cannot be read any more";
        return release(resource, context, Some(why), false).await;
    };
    let last = resource.status.as_ref();
    let workers = worker_image::pin(
        last.and_then(|status| status.workers.as_ref()),
        resource
            .spec
            .version
            .as_ref()
            .map(|version| version.as_str()),
        &context.settings.workers.image,
    );
    let cluster_id = last
        .and_then(|status| status.cluster_id.clone())
        .or_else(|| context.cluster_id.clone())
        .or_else(|| resource.uid())
        .unwrap_or_default();
    let blueprint = Blueprint {
        resource,
        pipeline: &resolved,
        defaults: &context.settings.workers,
        cluster_id: &cluster_id,
        image: &workers.image,
        landers: 0,
        provisioned: true,
        monitoring: Monitoring::default(),
        runs: &[],
    };
    let children = context.cache.children(pipeline);
    let uid = resource.uid().unwrap_or_default();
    let now = Timestamp::now();
    let since = resource
        .metadata
        .deletion_timestamp
        .as_ref()
        .map_or(now, |time| time.0);
    let job = build::teardown::name(&blueprint);
    match deletion::next(&children, &uid, &job, since, deadline(resource), now) {
        Next::Stop(running) => {
            tell(
                resource,
                context,
                "Stopping",
                "its workers are being stopped",
            )
            .await?;
            for child in running {
                context.applier.delete(&child).await?;
            }
        }
        Next::WaitForPods { pod } => {
            let message = format!("pod {pod} finishes what it holds");
            tell(resource, context, "Stopping", &message).await?;
        }
        Next::TearDown { trouble } => {
            if live_workers(context, pipeline).await? {
                return Ok(Action::requeue(LOOK));
            }
            for object in build::teardown::build(&blueprint) {
                let live = children.get(object.kind, &object.name);
                context
                    .applier
                    .apply_one(&object, live.map(AsRef::as_ref))
                    .await?;
            }
            let (reason, message) = match trouble {
                Some(trouble) => ("TeardownRetrying", trouble),
                None => (
                    "TearingDown",
                    "what provision made is being deleted".to_owned(),
                ),
            };
            tell(resource, context, reason, &message).await?;
        }
        Next::Release => return finish(resource, context, None).await,
        Next::GiveUp { why } => return finish(resource, context, Some(&why)).await,
    }
    Ok(Action::requeue(LOOK))
}

/// Lets go of a pipeline that is being deleted and cannot be read: nobody knows
/// any more what a teardown would delete.
///
/// # Errors
/// A call that failed.
pub async fn release_unreadable(meta: &ObjectMeta, context: &Context) -> Result<Action, ApiError> {
    if meta.deletion_timestamp.is_some() && finalizer::is_there(meta) {
        let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
        tracing::warn!(
            namespace,
            name,
            "released without a teardown, because it cannot be read: what provision made may stay behind"
        );
        context.metrics.left_behind();
        finalizer::set(context.client.clone(), meta, false).await?;
    }
    Ok(Action::await_change())
}

/// Lets go of a pipeline whose namespace is being deleted.
///
/// # Errors
/// A call that failed.
pub async fn release_with_namespace(
    resource: &StockPipeline,
    context: &Context,
) -> Result<Action, ApiError> {
    if !finalizer::is_there(&resource.metadata) {
        return Ok(Action::await_change());
    }
    let why = "its namespace is being deleted, where no teardown can run";
    release(resource, context, Some(why), true).await
}

/// Removes the teardown's own objects, then releases the pipeline.
async fn finish(
    resource: &StockPipeline,
    context: &Context,
    gave_up: Option<&str>,
) -> Result<Action, ApiError> {
    let children = context.cache.children(&PipelineRef::of(resource));
    for child in children.iter() {
        let of_teardown = child.labels.get(labels::COMPONENT).map(String::as_str)
            == Some(Role::Teardown.as_str());
        if of_teardown && child.owners.is_empty() {
            context.applier.delete(child).await?;
        }
    }
    release(resource, context, gave_up, false).await
}

/// Removes the finalizer. Where something stays behind, says what: in the
/// status, by event, log and metric; where the namespace goes, by an event on
/// the operator's own pod.
async fn release(
    resource: &StockPipeline,
    context: &Context,
    gave_up: Option<&str>,
    namespace_goes: bool,
) -> Result<Action, ApiError> {
    if let Some(why) = gave_up {
        let stays = stays_behind(resource);
        let message = format!("released without a finished teardown, because {why}; {stays}");
        tracing::warn!(pipeline = %PipelineRef::of(resource), "{message}");
        context.metrics.left_behind();
        if namespace_goes {
            events::on_own_pod(context, resource, &message).await;
        } else {
            tell(resource, context, "TeardownGivenUp", &message).await?;
        }
    }
    let version = finalizer::set(context.client.clone(), &resource.metadata, false).await?;
    // Until the watch shows it, nothing is released, told and counted a second time.
    context.known.wrote(resource, version);
    Ok(Action::await_change())
}

/// What a teardown would have deleted, by name.
fn stays_behind(resource: &StockPipeline) -> String {
    use stockpipe_crds::spec::DeletionPolicy::Delete;
    let Ok(pipeline) = resolve(resource) else {
        return "nothing was deleted".to_owned();
    };
    let mut stays = Vec::new();
    if resource.spec.kafka.topic.deletion_policy == Delete {
        stays.push(format!("topic {}", pipeline.kafka.topic.name));
    }
    if resource.spec.lake.deletion_policy == Delete {
        stays.push(format!(
            "s3://{}/{}",
            pipeline.lake.bucket, pipeline.lake.prefix
        ));
        let (database, table) = (&pipeline.catalog.database, &pipeline.catalog.table);
        stays.push(format!("table {database}.{table}"));
    }
    format!("may stay behind: {}", stays.join(", "))
}

/// Says in the status, and where it is news by an event, how far it is.
async fn tell(
    resource: &StockPipeline,
    context: &Context,
    reason: &str,
    message: &str,
) -> Result<(), ApiError> {
    let Some(next) = status::deleting(resource, reason, message, Timestamp::now()) else {
        return Ok(());
    };
    match status::write(context.client.clone(), resource, &next).await {
        Ok(version) => {
            context.known.wrote(resource, version);
            context.metrics.wrote_status();
            events::tell(context, resource, &next).await;
            Ok(())
        }
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

fn deadline(resource: &StockPipeline) -> SignedDuration {
    resource
        .annotations()
        .get(DEADLINE_ANNOTATION)
        .and_then(|text| DurationText::new(text.as_str()).ok())
        .and_then(|text| SignedDuration::try_from(text.to_duration()).ok())
        .unwrap_or(DEADLINE)
}

/// Whether a worker's pod is still there, asked of the API server itself: what
/// is torn down must have no writer left.
async fn live_workers(context: &Context, pipeline: &PipelineRef) -> Result<bool, ApiError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &pipeline.namespace);
    let selector = format!(
        "{}={},{}!={}",
        labels::PIPELINE,
        pipeline.name,
        labels::COMPONENT,
        Role::Teardown
    );
    let list = call(
        format!("list pods in {}", pipeline.namespace),
        api.list(&ListParams::default().labels(&selector)),
    )
    .await?;
    let ended = |pod: &Pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    Ok(list.items.iter().any(|pod| !ended(pod)))
}

/// Whether a namespace is being deleted, or is gone.
///
/// # Errors
/// A call that failed.
pub async fn namespace_is_terminating(context: &Context, name: &str) -> Result<bool, ApiError> {
    let api: Api<Namespace> = Api::all(context.client.clone());
    let namespace = find(format!("get Namespace {name}"), api.get(name)).await?;
    Ok(namespace.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()))
}
