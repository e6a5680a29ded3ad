//! One reconcile, from top to bottom: dereference → validate → build → apply →
//! status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use stockpipe_crds::StockPipeline;
use stockpipe_crds::pipeline::{Pipeline, Provisioning};
use stockpipe_crds::status::{ScaleStatus, StockPipelineStatus, WorkersStatus};

use crate::api::ApiError;
use crate::autoscaler::{self, Decision, Signals};
use crate::build::{self, Blueprint, Run, deployment, provision_job};
use crate::child_kind::ChildKind;
use crate::children::{Child, Children, JobDetail};
use crate::context::{Context, Known};
use crate::events;
use crate::finalizer;
use crate::labels::{PAUSE_RECONCILE, Role};
use crate::pipeline_ref::PipelineRef;
use crate::provision::{self, Progress};
use crate::replay::{self, Replays};
use crate::resources::{Applied, KubernetesResources};
use crate::run_now::{self, Asked};
use crate::sessions::MarketSessions;
use crate::status::{self, Observation, Problem, Settled};
use crate::teardown;
use crate::validate::{self, Places};
use crate::worker_image;

/// Without any change, a pipeline is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1_800);
/// A pipeline whose place is taken is looked at again after this.
const LOOK_AGAIN_IF_TAKEN: Duration = Duration::from_secs(60);
/// While the watch has not shown our own last write; its event comes first.
const OWN_WRITE: Duration = Duration::from_secs(2);
/// While the caches fill, or another process leads.
const NOT_YET: Duration = Duration::from_secs(30);

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A call.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl ReconcileError {
    /// One word for the kind of failure.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api(error) => error.reason(),
        }
    }
}

/// What was found about a pipeline.
struct Dereferenced {
    children: Children,
    known: Known,
    paused: bool,
    workers: WorkersStatus,
    cluster_id: String,
    now: Timestamp,
}

/// What follows from the spec, where it can be run.
struct Plan {
    pipeline: Pipeline,
    provision_job: Option<String>,
    progress: Progress,
    landers: i32,
    outside_session: bool,
    scale: Option<ScaleStatus>,
    asked: Asked,
    replays: Replays,
}

/// Reconciles one pipeline.
///
/// # Errors
/// A call that failed; the runtime tries again, each time later.
pub async fn reconcile(
    guard: Arc<DeserializeGuard<StockPipeline>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    if !context.leads() || !context.may_run(guard.meta().namespace.as_deref()) {
        return Ok(Action::requeue(NOT_YET));
    }
    let resource = match &guard.0 {
        Ok(resource) => resource,
        Err(invalid) => {
            events::unreadable(&context, invalid).await;
            return Ok(teardown::release_unreadable(&invalid.metadata, &context).await?);
        }
    };
    let pipeline = PipelineRef::of(resource);
    let _slot = context.slots.acquire().await.expect("it is never closed");
    let started = Instant::now();
    if context.known.of(&pipeline).is_ahead_of(resource, started) {
        return Ok(Action::requeue(OWN_WRITE));
    }
    let result = run(resource, &pipeline, &context).await;
    context.metrics.reconciled(started.elapsed());
    match &result {
        Ok(_) => context.known.update(&pipeline, |known| known.failures = 0),
        Err(error) => context.metrics.failed(error.reason()),
    }
    result
}

async fn run(
    resource: &StockPipeline,
    pipeline: &PipelineRef,
    context: &Context,
) -> Result<Action, ReconcileError> {
    if resource.metadata.deletion_timestamp.is_some() {
        return Ok(teardown::run(resource, pipeline, context).await?);
    }
    let mut found = dereference(resource, pipeline, context);
    let wanted = finalizer::is_wanted(resource);
    let there = finalizer::is_there(&resource.metadata);
    // A namespace that is deleted takes our Role in it along: it is time to let go of the pipeline.
    if wanted
        && (!there
            || found.children.any_pod_is_ending()
            || context.leaving.holds(&pipeline.namespace))
        && teardown::namespace_is_terminating(context, &pipeline.namespace).await?
    {
        return Ok(teardown::release_with_namespace(resource, context).await?);
    }
    if wanted != there {
        let version = finalizer::set(context.client.clone(), &resource.metadata, wanted).await?;
        // Of the object as it was, no status could be written any more.
        context.known.wrote(resource, version);
        return Ok(Action::requeue(OWN_WRITE));
    }
    let plan = validate(resource, &found, context);
    let outcome = build_and_apply(resource, &found, plan, context).await;
    // With what was just written: a status less, which is the dearest write.
    found.children = context.cache.children(pipeline);
    let status = observe(resource, &found, &outcome, context);
    if let Outcome::Refused(_, error) = &outcome
        && error.is_namespace_terminating()
    {
        // Nothing can be made in it any more, and it takes what there is along.
        return Ok(Action::await_change());
    }
    let numbers = write_status(resource, pipeline, &found, status, context).await?;
    outcome.into_action(&found, numbers)
}

/// What the watches and the poller know of a pipeline.
fn dereference(
    resource: &StockPipeline,
    pipeline: &PipelineRef,
    context: &Context,
) -> Dereferenced {
    let last = resource.status.as_ref();
    Dereferenced {
        children: context.cache.children(pipeline),
        known: context.known.of(pipeline),
        paused: resource
            .annotations()
            .get(PAUSE_RECONCILE)
            .map(String::as_str)
            == Some("true"),
        workers: worker_image::pin(
            last.and_then(|status| status.workers.as_ref()),
            resource
                .spec
                .version
                .as_ref()
                .map(|version| version.as_str()),
            &context.settings.workers.image,
        ),
        // Pinned: the lake is owned under it.
        cluster_id: last
            .and_then(|status| status.cluster_id.clone())
            .or_else(|| context.cluster_id.clone())
            .or_else(|| resource.uid())
            .unwrap_or_default(),
        now: Timestamp::now(),
    }
}

/// Checks what the API server cannot, and decides how many landers run and what
/// else is due.
fn validate(
    resource: &StockPipeline,
    found: &Dereferenced,
    context: &Context,
) -> Result<Plan, validate::Invalid> {
    let pipeline = validate::resolved(resource)?;
    context.known.not_taken(&Places::of(resource, &pipeline))?;
    let landers = landers(resource, &pipeline, found, context);
    let mut plan = Plan {
        landers: landers.replicas,
        outside_session: landers.outside_session,
        scale: landers.scale,
        replays: replay::replays(resource, &pipeline, &found.children, found.now),
        provision_job: None,
        progress: Progress::None,
        asked: run_now::asked(resource),
        pipeline,
    };
    if plan.pipeline.provisioning != Provisioning::None {
        let wanted = provision_job::name(&blueprint(resource, &plan, found, context, &[]));
        plan.progress = provision::progress(
            &wanted,
            job(&found.children, &wanted),
            resource
                .status
                .as_ref()
                .and_then(|status| status.provision.as_ref()),
            found.now,
        );
        plan.provision_job = Some(wanted);
    }
    Ok(plan)
}

/// How many landers should run: as the spec says, or as the autoscaler decides.
fn landers(
    resource: &StockPipeline,
    pipeline: &Pipeline,
    found: &Dereferenced,
    context: &Context,
) -> Decision {
    let replicas = resource.spec.consumer.replicas;
    let fixed = Decision {
        replicas,
        outside_session: false,
        scale: None,
        why: "spec.consumer.replicas",
    };
    let (Some(spec), Ok(sessions)) = (
        &resource.spec.consumer.autoscaling,
        MarketSessions::parse(&pipeline.market.calendar),
    ) else {
        return fixed;
    };
    let consumer = resource
        .status
        .as_ref()
        .and_then(|status| status.consumer.as_ref());
    let name = deployment::name(&pipeline.name, Role::Land);
    let workload = found.children.workload(ChildKind::Deployment, &name);
    let current = consumer
        .and_then(|consumer| consumer.desired_replicas)
        .unwrap_or(replicas);
    if pipeline.suspend || found.paused {
        return Decision {
            replicas: current,
            ..fixed
        };
    }
    let signals = Signals {
        spec,
        sessions: &sessions,
        current,
        last_scale: consumer.and_then(|consumer| consumer.last_scale.as_ref()),
        ready: workload.map_or(0, |workload| workload.ready),
        partitions: pipeline.kafka.topic.partitions,
        roll_age: pipeline.lake.roll.max_age,
        reports: &found.known.reports,
        now: found.now,
    };
    let of = PipelineRef::of(resource);
    let decision = context.known.update(&of, |known| {
        autoscaler::decide(&signals, &mut known.history)
    });
    if decision.replicas != current {
        tracing::info!(pipeline = %of, from = current, to = decision.replicas, "scales the landers: {}", decision.why);
    }
    decision
}

fn job<'a>(children: &'a Children, name: &str) -> Option<(&'a Child, &'a JobDetail)> {
    children
        .jobs()
        .find(|(child, _)| child.name == name)
        .map(|(child, job)| (child.as_ref(), job))
}

/// What came of building and applying.
enum Outcome {
    /// It is on the cluster.
    Applied(Plan, KubernetesResources<Applied>),
    /// Nothing was applied, because applying is paused.
    Paused(Plan),
    /// The spec cannot be run.
    Invalid(validate::Invalid),
    /// The API server refused.
    Refused(Plan, ApiError),
}

async fn build_and_apply(
    resource: &StockPipeline,
    found: &Dereferenced,
    plan: Result<Plan, validate::Invalid>,
    context: &Context,
) -> Outcome {
    let plan = match plan {
        Ok(plan) => plan,
        Err(invalid) => return Outcome::Invalid(invalid),
    };
    if found.paused {
        return Outcome::Paused(plan);
    }
    let mut runs: Vec<Run> = plan.replays.runs.clone();
    if let Asked::Run { run, .. } = &plan.asked {
        runs.push(run.clone());
    }
    let prepared = build::build(&blueprint(resource, &plan, found, context, &runs));
    let uid = resource.uid().unwrap_or_default();
    let monitoring = *context.monitoring.borrow();
    let applied = context
        .applier
        .apply(prepared, &found.children, &uid, monitoring)
        .await;
    match applied {
        Ok(applied) => match repeat_provision(&plan, found, context).await {
            Ok(()) => Outcome::Applied(plan, applied),
            Err(error) => Outcome::Refused(plan, error),
        },
        Err(error) => Outcome::Refused(plan, error),
    }
}

/// Makes room for another provision Job where the last has ended long enough
/// ago.
async fn repeat_provision(
    plan: &Plan,
    found: &Dereferenced,
    context: &Context,
) -> Result<(), ApiError> {
    let wanted = plan.provision_job.as_deref().unwrap_or_default();
    let ended = job(&found.children, wanted)
        .filter(|(_, job)| again_at(plan, job).is_some_and(|at| at <= found.now));
    match ended {
        Some((child, _)) if !child.deleting => context.applier.delete(child).await,
        _ => Ok(()),
    }
}

fn blueprint<'a>(
    resource: &'a StockPipeline,
    plan: &'a Plan,
    found: &'a Dereferenced,
    context: &'a Context,
    runs: &'a [Run],
) -> Blueprint<'a> {
    let workload = |kind| found.children.of_kind(kind).next().is_some();
    Blueprint {
        resource,
        pipeline: &plan.pipeline,
        defaults: &context.settings.workers,
        cluster_id: &found.cluster_id,
        image: &found.workers.image,
        landers: plan.landers,
        // Workers that run are not stopped by a later failure to provision.
        provisioned: plan.provision_job.is_none()
            || matches!(plan.progress, Progress::Done { .. })
            || workload(ChildKind::StatefulSet)
            || workload(ChildKind::Deployment),
        monitoring: *context.monitoring.borrow(),
        runs,
    }
}

/// The status that follows.
fn observe(
    resource: &StockPipeline,
    found: &Dereferenced,
    outcome: &Outcome,
    context: &Context,
) -> StockPipelineStatus {
    let (plan, applied, problem) = match outcome {
        Outcome::Applied(plan, applied) => (Some(plan), Some(applied), None),
        Outcome::Paused(plan) => (Some(plan), None, None),
        Outcome::Invalid(invalid) => (
            None,
            None,
            Some(Problem {
                reason: invalid.reason().to_owned(),
                message: invalid.to_string(),
            }),
        ),
        Outcome::Refused(plan, error) => (
            Some(plan),
            None,
            // What passes by itself is no state of the pipeline.
            matches!(error.reason(), "Forbidden" | "Rejected").then(|| Problem {
                reason: error.reason().to_owned(),
                message: error.to_string(),
            }),
        ),
    };
    let handled = match (plan.map(|plan| &plan.asked), applied) {
        (
            Some(Asked::Run {
                text,
                run: Run::Now { run, .. },
            }),
            Some(applied),
        ) => {
            let job = build::run_job::name(&resource.name_any(), run);
            applied.contains(ChildKind::Job, &job).then(|| text.clone())
        }
        (Some(Asked::Refused { text, .. }), _) => Some(text.clone()),
        _ => None,
    };
    let provision_job = match plan {
        Some(plan) => plan.provision_job.as_deref(),
        None => Some(""),
    };
    status::compute(&Observation {
        resource,
        applied,
        problem: problem.as_ref(),
        paused: found.paused,
        children: &found.children,
        reports: &found.known.reports,
        partitions: resource.spec.kafka.topic.partitions,
        provision_job,
        provision: plan.map_or(Progress::None, |plan| plan.progress.clone()),
        monitoring: *context.monitoring.borrow(),
        landers: plan.map_or(resource.spec.consumer.replicas, |plan| plan.landers),
        outside_session: plan.is_some_and(|plan| plan.outside_session),
        closed: plan.and_then(|plan| closed(&plan.pipeline, found.now)),
        scale: plan.and_then(|plan| plan.scale.clone()),
        cluster_id: &found.cluster_id,
        workers: plan.map(|_| &found.workers),
        handled_run_now: handled,
        settled: plan
            .map(|plan| plan.replays.settled.clone())
            .unwrap_or_default(),
        now: found.now,
    })
}

/// Where the market is closed, the age at which a file is closed.
fn closed(pipeline: &Pipeline, now: Timestamp) -> Option<Duration> {
    let sessions = MarketSessions::parse(&pipeline.market.calendar).ok()?;
    (!sessions.is_open(now)).then_some(pipeline.lake.roll.max_age)
}

/// Writes the status where it differs, and tells what changed by events. Says
/// when numbers that wait may be written.
async fn write_status(
    resource: &StockPipeline,
    pipeline: &PipelineRef,
    found: &Dereferenced,
    next: StockPipelineStatus,
    context: &Context,
) -> Result<Option<Timestamp>, ApiError> {
    context.metrics.pipeline(pipeline, &next);
    let last = resource.status.as_ref();
    let next = match status::settle(last, next, found.known.numbers_written, found.now) {
        Settled::Same => return Ok(None),
        Settled::Later(at) => return Ok(Some(at)),
        Settled::Write(next) => next,
    };
    let version = status::write(context.client.clone(), resource, &next).await?;
    context.known.wrote(resource, version);
    context.metrics.wrote_status();
    if status::numbers_differ(last, &next) {
        context
            .known
            .update(pipeline, |known| known.numbers_written = Some(found.now));
    }
    events::tell(context, resource, &next).await;
    Ok(None)
}

impl Outcome {
    /// When to look again: at the latest when live numbers may be written.
    fn into_action(
        self,
        found: &Dereferenced,
        numbers: Option<Timestamp>,
    ) -> Result<Action, ReconcileError> {
        match self {
            Self::Applied(plan, _) => Ok(Action::requeue(next_look(&plan, found, numbers))),
            Self::Paused(_) => Ok(Action::requeue(LOOK_AGAIN)),
            Self::Invalid(validate::Invalid::Taken { .. }) => {
                Ok(Action::requeue(LOOK_AGAIN_IF_TAKEN))
            }
            Self::Invalid(_) => Ok(Action::requeue(LOOK_AGAIN)),
            Self::Refused(_, error) => Err(error.into()),
        }
    }
}

/// When provision runs again; what is suspended has nothing to repair.
fn again_at(plan: &Plan, job: &JobDetail) -> Option<Timestamp> {
    provision::again_at(job).filter(|_| !plan.pipeline.suspend)
}

fn next_look(plan: &Plan, found: &Dereferenced, numbers: Option<Timestamp>) -> Duration {
    let wanted = plan.provision_job.as_deref().unwrap_or_default();
    let provision = job(&found.children, wanted).and_then(|(_, job)| again_at(plan, job));
    let wait = [provision, plan.replays.again, numbers]
        .into_iter()
        .flatten()
        .min()
        .and_then(|at| Duration::try_from(at.duration_since(found.now)).ok())
        .map_or(LOOK_AGAIN, |wait| wait + Duration::from_secs(1));
    wait.min(LOOK_AGAIN)
}

/// When to try again after a failure: later each time, up to five minutes, and
/// not all at once.
pub fn after_failure(
    guard: &DeserializeGuard<StockPipeline>,
    error: &ReconcileError,
    context: &Context,
) -> Action {
    let meta = guard.meta();
    let pipeline = PipelineRef::new(
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    );
    let failures = context.known.update(&pipeline, |known| {
        known.failures = known.failures.saturating_add(1);
        known.failures
    });
    let ReconcileError::Api(cause) = error;
    let wait = backoff(failures, pipeline.spread()).max(cause.retry_after());
    // Somebody else wrote first; the watch shows it in a moment.
    if error.reason() != "Conflict" || failures > 3 {
        tracing::warn!(%pipeline, failures, "{error}");
    }
    Action::requeue(wait)
}

/// Wait after so many failures in a row; `spread` in 0..1 takes up to half of it
/// away, so that not all try at once.
fn backoff(failures: u32, spread: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(9);
    let seconds = f64::from(1_u32 << doublings).min(300.0);
    Duration::from_secs_f64(seconds * (1.0 - spread / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_twice_as_long_up_to_five_minutes() {
        for (failures, seconds) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (5, 16),
            (9, 256),
            (10, 300),
            (u32::MAX, 300),
        ] {
            assert_eq!(
                backoff(failures, 0.0),
                Duration::from_secs(seconds),
                "{failures}"
            );
        }
        assert_eq!(backoff(2, 0.5), Duration::from_millis(1_500));
    }
}
