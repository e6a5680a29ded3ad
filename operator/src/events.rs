//! Events: on transitions only.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::events::{Event, EventType};
use stockpipe_crds::StockPipeline;
use stockpipe_crds::status::StockPipelineStatus;

use crate::context::Context;
use crate::pipeline_ref::PipelineRef;
use crate::run_now::{self, Asked};
use crate::status::transitions;

/// Tells what changed from the last status of `resource` to `next`.
pub async fn tell(context: &Context, resource: &StockPipeline, next: &StockPipelineStatus) {
    let last = resource.status.clone().unwrap_or_default();
    let pipeline = PipelineRef::of(resource);
    let mut told: Vec<String> = Vec::new();
    for change in transitions(&last.conditions, &next.conditions) {
        let kind = if change.is_bad() {
            tracing::warn!(%pipeline, condition = %change.kind, status = %change.status, reason = %change.reason, "{}", change.message);
            EventType::Warning
        } else {
            tracing::info!(%pipeline, condition = %change.kind, status = %change.status, reason = %change.reason, "{}", change.message);
            EventType::Normal
        };
        // `Ready` comes first, and for the reason of the part that is broken.
        if told.contains(&change.reason) {
            continue;
        }
        let note = format!("{}: {}", change.kind, change.message);
        publish(
            context,
            &resource.object_ref(&()),
            kind,
            &change.reason,
            note,
        )
        .await;
        told.push(change.reason);
    }
    if let (Asked::Refused { why, text }, true) = (
        run_now::asked(resource),
        last.last_handled_run_now != next.last_handled_run_now,
    ) {
        let note = format!("cannot run {text:?}: {why}");
        publish(
            context,
            &resource.object_ref(&()),
            EventType::Warning,
            "RunNowRefused",
            note,
        )
        .await;
    }
    if let (Asked::Run { text, .. }, true) = (
        run_now::asked(resource),
        last.last_handled_run_now != next.last_handled_run_now,
    ) {
        let note = format!("runs {text}");
        publish(
            context,
            &resource.object_ref(&()),
            EventType::Normal,
            "RunNow",
            note,
        )
        .await;
    }
}

/// Tells that an object cannot be read, which only a definition of another
/// version lets happen.
pub async fn unreadable(context: &Context, invalid: &InvalidObject) {
    let meta = &invalid.metadata;
    let reference = ObjectReference {
        api_version: Some("stockpipe.dev/v1alpha1".to_owned()),
        kind: Some("StockPipeline".to_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    };
    let note = format!(
        "cannot be read: {}; apply the definition of this operator's version",
        invalid.error
    );
    tracing::warn!(name = ?meta.name, namespace = ?meta.namespace, "{note}");
    publish(context, &reference, EventType::Warning, "Unreadable", note).await;
}

/// Tells of a pipeline on the operator's own pod: the namespace of the pipeline
/// takes no events any more.
pub async fn on_own_pod(context: &Context, resource: &StockPipeline, message: &str) {
    let reference = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(context.settings.pod_name.clone()),
        namespace: Some(context.settings.install.namespace.clone()),
        ..ObjectReference::default()
    };
    let note = format!("{}: {message}", PipelineRef::of(resource));
    publish(
        context,
        &reference,
        EventType::Warning,
        "TeardownGivenUp",
        note,
    )
    .await;
}

/// An event that is lost is no reason to stop.
async fn publish(
    context: &Context,
    reference: &ObjectReference,
    kind: EventType,
    reason: &str,
    note: String,
) {
    let event = Event {
        type_: kind,
        reason: reason.to_owned(),
        note: Some(note.chars().take(1_000).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let published = crate::api::call(
        "publish an event",
        context.recorder.publish(&event, reference),
    );
    if let Err(error) = published.await {
        tracing::warn!("{error}");
    }
}
