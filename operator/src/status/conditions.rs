//! The conditions of a pipeline; docs/reference/conditions.md is their table.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use stockpipe_crds::run_record::RunState;
use stockpipe_crds::status::StockPipelineStatus;

use super::Observation;
use crate::build::{Definition, deployment, producer};
use crate::child_kind::ChildKind;
use crate::children::{JobDetail, PodDetail, WorkloadDetail};
use crate::labels::Role;
use crate::provision::Progress;

/// Every type, in the order in which they are shown.
pub const CONDITION_TYPES: [&str; 10] = [
    "Ready",
    "Provisioned",
    "Producing",
    "Landing",
    "Cataloged",
    "Reporting",
    "Healthy",
    "Paused",
    "WorkersReachable",
    "Monitored",
];

/// Reason of `Ready` while pods start or are replaced.
pub(super) const ROLLING_OUT: &str = "RollingOut";

/// Reason of a part that waits for topic, bucket and table.
const WAITING: &str = "WaitingForProvision";

/// Longest message, as the schema has it.
const LONGEST_MESSAGE: usize = 1024;
/// Longest text of a worker's that enters a message, in characters.
const LONGEST_QUOTE: usize = 512;

/// What a condition says.
#[derive(Clone, Debug, PartialEq)]
struct Verdict {
    status: &'static str,
    reason: String,
    message: String,
}

impl Verdict {
    fn new(status: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            message: message.into(),
        }
    }

    fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self::new("True", reason, message)
    }

    fn no(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("False", reason, message)
    }

    fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self::new("Unknown", reason, message)
    }
}

/// Every condition, `lastTransitionTime` kept where the status did not change.
pub(super) fn compute(seen: &Observation<'_>, status: &StockPipelineStatus) -> Vec<Condition> {
    let provisioned = provisioned(seen);
    let producing = producing(seen);
    let landing = landing(seen);
    let reachable = reachable(seen);
    let ready = ready(seen, [&provisioned, &producing, &landing]);
    let mut verdicts = vec![
        ("Ready", ready),
        ("Provisioned", provisioned),
        ("Producing", producing),
        ("Landing", landing),
        ("Cataloged", cataloged(seen, status)),
        ("Reporting", reporting(status)),
        ("Healthy", healthy(seen)),
        ("Paused", paused(seen)),
        ("WorkersReachable", reachable),
    ];
    verdicts.extend(monitored(seen).map(|verdict| ("Monitored", verdict)));
    let last = seen.last().conditions;
    let generation = seen.generation();
    verdicts
        .into_iter()
        .map(|(kind, verdict)| condition(&last, kind, &verdict, generation, seen.now))
        .collect()
}

/// A condition; its time is kept where the status did not change.
fn condition(
    last: &[Condition],
    kind: &str,
    verdict: &Verdict,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let known = last
        .iter()
        .find(|known| known.type_ == kind && known.status == verdict.status);
    Condition {
        type_: kind.to_owned(),
        last_transition_time: known.map_or_else(
            || Time(whole_seconds(now)),
            |known| known.last_transition_time.clone(),
        ),
        status: verdict.status.to_owned(),
        reason: reason(&verdict.reason),
        message: clip(&verdict.message, LONGEST_MESSAGE),
        observed_generation: generation,
    }
}

/// Makes `Ready` False for that reason; the other conditions stay.
pub(super) fn replace_ready(
    conditions: &mut Vec<Condition>,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let verdict = Verdict::no(reason, message);
    let ready = condition(conditions, "Ready", &verdict, generation, now);
    match conditions.iter_mut().find(|known| known.type_ == "Ready") {
        Some(known) => *known = ready,
        None => conditions.push(ready),
    }
}

fn ready(seen: &Observation<'_>, parts: [&Verdict; 3]) -> Verdict {
    if seen.resource.metadata.deletion_timestamp.is_some() {
        return Verdict::no("Deleting", "the pipeline is being deleted");
    }
    if seen.paused {
        return Verdict::yes("Paused", "reconciling is paused by annotation");
    }
    if let Some(problem) = seen.problem {
        return Verdict::no(problem.reason.clone(), problem.message.clone());
    }
    if seen.suspended() {
        let left: i32 = workloads(seen).map(|(_, workload)| workload.replicas).sum();
        return if left == 0 {
            Verdict::yes("Suspended", "the pipeline is suspended; nothing runs")
        } else {
            Verdict::no("Suspending", "workers are finishing what they hold")
        };
    }
    if let Some(broken) = parts.iter().find(|part| part.status == "False") {
        let reason = match broken.reason.as_str() {
            "PodsNotReady" | "WorkloadMissing" => ROLLING_OUT,
            other => other,
        };
        return Verdict::no(reason, broken.message.clone());
    }
    let rolling: Vec<&str> = workloads(seen)
        .filter(|(_, workload)| !rolled_out(workload))
        .map(|(name, _)| name)
        .collect();
    if !rolling.is_empty() {
        return Verdict::no(
            ROLLING_OUT,
            format!("{} is rolling out", rolling.join(", ")),
        );
    }
    Verdict::yes("Running", "ticks are produced and land")
}

/// The workloads of a pipeline that are there, with their names.
fn workloads<'a>(seen: &'a Observation<'_>) -> impl Iterator<Item = (&'a str, &'a WorkloadDetail)> {
    [ChildKind::StatefulSet, ChildKind::Deployment]
        .into_iter()
        .flat_map(|kind| seen.children.of_kind(kind))
        .filter_map(|child| match &child.detail {
            crate::children::Detail::Workload(workload) => Some((child.name.as_str(), workload)),
            _ => None,
        })
}

fn rolled_out(workload: &WorkloadDetail) -> bool {
    workload.observed
        && workload.ready >= workload.desired
        && workload.replicas == workload.desired
        && (workload.updated == workload.replicas || workload.desired == 0)
}

fn provisioned(seen: &Observation<'_>) -> Verdict {
    let Some(wanted) = seen.provision_job else {
        return Verdict::yes(
            "NotManaged",
            "spec.provisioning is None: topic, bucket and table are yours",
        );
    };
    let words = || {
        seen.children
            .pods(Role::Provision)
            .filter_map(|(child, pod)| {
                let last = pod.terminated.as_ref().filter(|last| last.exit_code != 0)?;
                Some((child.created, last_sentence(&last.message)))
            })
            .max_by_key(|(created, _)| *created)
            .map(|(_, words)| words)
            .filter(|words| !words.is_empty())
    };
    match &seen.provision {
        Progress::Done { .. } => Verdict::yes("Provisioned", "topic, bucket and table are there"),
        Progress::Failed { .. } => {
            let why = words().unwrap_or_else(|| {
                let job = seen.children.jobs().find(|(child, _)| child.name == wanted);
                let why = job.map_or("", |(_, JobDetail { message, .. })| message.as_str());
                format!("Job {wanted} gave up: {why}")
            });
            let next = "it is tried again within ten minutes, or at once with the annotation stockpipe.dev/provision-now";
            Verdict::no("ProvisionFailed", format!("{why}; {next}"))
        }
        Progress::Running | Progress::None => {
            // Once a try has failed its words stay until the next one has ended: between two tries there is no pod.
            if let Some(words) = words() {
                return Verdict::no("ProvisionRetrying", words);
            }
            if let Some(trouble) = seen.reports.trouble("Provisioned") {
                return Verdict::no(trouble.reason.clone(), quote(&trouble.message));
            }
            let why = pod_trouble(seen, Role::Provision).map(|(_, why)| why);
            let being_made = || "topic, bucket and table are being made".to_owned();
            Verdict::no("Provisioning", why.unwrap_or_else(being_made))
        }
    }
}

fn producing(seen: &Observation<'_>) -> Verdict {
    let name = producer::name(seen.resource.metadata.name.as_deref().unwrap_or_default());
    if let Some(verdict) = not_running(seen, ChildKind::StatefulSet, &name, Role::Produce) {
        return verdict;
    }
    if let Some(trouble) = seen.reports.trouble("Producing") {
        return Verdict::no(trouble.reason.clone(), quote(&trouble.message));
    }
    let mut producers = seen.reports.producers().peekable();
    if producers.peek().is_some() && producers.all(|producer| producer.finished) {
        return Verdict::yes(
            "SourceFinished",
            "the source has ended; all of it is produced",
        );
    }
    Verdict::yes("Producing", "ticks are produced")
}

fn landing(seen: &Observation<'_>) -> Verdict {
    let name = deployment::name(
        seen.resource.metadata.name.as_deref().unwrap_or_default(),
        Role::Land,
    );
    if seen.provisioned() && !seen.suspended() && seen.landers == 0 {
        return if seen.outside_session {
            Verdict::yes(
                "OutsideSession",
                "the market is closed; landers start before it opens",
            )
        } else {
            Verdict::no("ScaledToZero", "spec.consumer.replicas is 0: nothing lands")
        };
    }
    if let Some(verdict) = not_running(seen, ChildKind::Deployment, &name, Role::Land) {
        return verdict;
    }
    match seen.reports.trouble("Landing") {
        Some(trouble) => Verdict::no(trouble.reason.clone(), quote(&trouble.message)),
        None => Verdict::yes("Landing", "ticks land"),
    }
}

/// Why the workers of `role` do not run, if they do not.
fn not_running(seen: &Observation<'_>, kind: ChildKind, name: &str, role: Role) -> Option<Verdict> {
    if seen.suspended() {
        return Some(Verdict::no("Suspended", "the pipeline is suspended"));
    }
    let Some(workload) = seen.children.workload(kind, name) else {
        return Some(if seen.provisioned() {
            Verdict::no(
                "WorkloadMissing",
                format!("{} {name} is not there yet", kind.as_str()),
            )
        } else {
            Verdict::no(WAITING, "topic, bucket and table are not there yet")
        });
    };
    if workload.ready > 0 {
        return None;
    }
    // No count of pods: it would change, and the message with it.
    let (reason, why) = pod_trouble(seen, role).unwrap_or_else(|| {
        (
            "PodsNotReady".to_owned(),
            format!("no pod of {name} is ready"),
        )
    });
    Some(Verdict::no(reason, why))
}

/// What keeps a pod of `role` from running, with a reason.
fn pod_trouble(seen: &Observation<'_>, role: Role) -> Option<(String, String)> {
    seen.children
        .pods(role)
        .find_map(|(child, pod)| trouble_of(&child.name, pod))
}

fn trouble_of(name: &str, pod: &PodDetail) -> Option<(String, String)> {
    if let Some(why) = &pod.unschedulable {
        return Some((
            "Unschedulable".into(),
            format!("pod {name}: {}", quote(why)),
        ));
    }
    let waiting = pod.waiting.as_ref()?;
    let words = pod
        .terminated
        .as_ref()
        .map(|last| last_sentence(&last.message))
        .filter(|words| !words.is_empty());
    Some((
        waiting.clone(),
        match words {
            Some(words) => format!("pod {name}: {words}"),
            None => format!("pod {name} waits: {waiting}"),
        },
    ))
}

fn cataloged(seen: &Observation<'_>, status: &StockPipelineStatus) -> Verdict {
    if !seen.provisioned() {
        return Verdict::no(WAITING, "the table is not there yet");
    }
    match seen.reports.trouble("Cataloged") {
        Some(trouble) => Verdict::no(trouble.reason.clone(), quote(&trouble.message)),
        None => crawled(status),
    }
}

fn crawled(status: &StockPipelineStatus) -> Verdict {
    let last = status
        .catalog
        .as_ref()
        .and_then(|catalog| catalog.last_crawl.as_ref());
    match last {
        Some(crawl) if crawl.state == RunState::Failed => {
            let key = crawl.key.as_deref().unwrap_or("the last crawl");
            let why = crawl.message.as_deref().unwrap_or("its record says why");
            Verdict::no("CrawlFailed", format!("{key} failed: {}", quote(why)))
        }
        _ => Verdict::yes("Cataloged", "the table is there"),
    }
}

fn reporting(status: &StockPipelineStatus) -> Verdict {
    let ended: Vec<_> = status
        .reports
        .iter()
        .filter(|report| report.state.is_some())
        .collect();
    let failed = ended
        .iter()
        .find(|report| report.state == Some(RunState::Failed));
    match failed {
        Some(report) => {
            let key = report.last_key.as_deref().unwrap_or(&report.name);
            Verdict::no(
                "RunFailed",
                format!("{key} failed; its record and the log of its pod say why"),
            )
        }
        None if ended.is_empty() => Verdict::yes("NoRunYet", "no report has run"),
        None => Verdict::yes("LastRunsSucceeded", "the last run of each report succeeded"),
    }
}

fn healthy(seen: &Observation<'_>) -> Verdict {
    let trouble = [
        Role::Provision,
        Role::Produce,
        Role::Land,
        Role::Analyze,
        Role::Report,
        Role::Crawl,
    ]
    .into_iter()
    .find_map(|role| pod_trouble(seen, role));
    match trouble {
        Some((reason, why)) => Verdict::no(reason, why),
        None => Verdict::yes("AsExpected", "every pod runs or waits its turn"),
    }
}

fn paused(seen: &Observation<'_>) -> Verdict {
    if seen.paused {
        Verdict::yes(
            "PausedByAnnotation",
            "nothing is applied until the annotation stockpipe.dev/pause-reconcile is removed",
        )
    } else {
        Verdict::no("NotPaused", "changes are applied")
    }
}

fn reachable(seen: &Observation<'_>) -> Verdict {
    let silent: Vec<(&str, &str)> = seen.reports.silent().collect();
    if let Some((pod, why)) = silent.first() {
        // The count would change with every poll.
        return Verdict::unknown(
            "WorkersUnreachable",
            format!("pod {pod} does not answer: {}", quote(why)),
        );
    }
    if seen.reports.any_lasting() {
        Verdict::yes("Reachable", "every worker answers")
    } else {
        Verdict::yes("NoWorkers", "no worker runs that could be asked")
    }
}

fn monitored(seen: &Observation<'_>) -> Option<Verdict> {
    let wanted = seen.resource.spec.monitoring.prometheus.as_ref()?;
    let asked = [
        (
            "PodMonitor",
            wanted.pod_monitor,
            seen.monitoring.pod_monitor,
        ),
        (
            "PrometheusRule",
            wanted.rules,
            seen.monitoring.prometheus_rule,
        ),
    ];
    let that_are = |definition: Definition| -> Vec<&str> {
        let wanted = asked.into_iter().filter(|(_, wanted, _)| *wanted);
        wanted
            .filter(|(_, _, is)| *is == definition)
            .map(|(kind, _, _)| kind)
            .collect()
    };
    let (missing, forbidden) = (
        that_are(Definition::Missing),
        that_are(Definition::Forbidden),
    );
    Some(if !wanted.pod_monitor && !wanted.rules {
        Verdict::yes(
            "NothingAsked",
            "spec.monitoring.prometheus asks for nothing",
        )
    } else if !missing.is_empty() {
        Verdict::no(
            "DefinitionMissing",
            format!(
                "the cluster has no {}: install the Prometheus operator, or ask for none in spec.monitoring.prometheus",
                missing.join(" and no ")
            ),
        )
    } else if !forbidden.is_empty() {
        Verdict::no(
            "Forbidden",
            format!(
                "the operator may write no {}: set rbac.prometheusOperator of its chart, or ask for none in spec.monitoring.prometheus",
                forbidden.join(" and no ")
            ),
        )
    } else {
        Verdict::yes("Applied", "what Prometheus needs is there")
    })
}

/// A change of a condition's status or reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Type.
    pub kind: String,
    /// New status.
    pub status: String,
    /// New reason.
    pub reason: String,
    /// New message.
    pub message: String,
}

impl Transition {
    /// Whether it is bad news.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        match self.kind.as_str() {
            "Paused" => false,
            _ => self.status != "True" && !EXPECTED.contains(&self.reason.as_str()),
        }
    }
}

/// Reasons of a False that are a pipeline's ordinary life.
const EXPECTED: [&str; 10] = [
    "Provisioning",
    WAITING,
    "WorkloadMissing",
    "PodsNotReady",
    ROLLING_OUT,
    "Suspended",
    "Suspending",
    "Deleting",
    "Stopping",
    "TearingDown",
];

/// What changed between two statuses, for events. That a part waits for another
/// is told by `Ready` alone, and that it no longer does by that other.
#[must_use]
pub fn transitions(last: &[Condition], next: &[Condition]) -> Vec<Transition> {
    next.iter()
        .filter(
            |next| match last.iter().find(|last| last.type_ == next.type_) {
                Some(last) if next.status == "True" && last.reason == WAITING => false,
                Some(last) => last.status != next.status || last.reason != next.reason,
                None => next.status != "True" && next.type_ != "Paused",
            },
        )
        .map(|next| Transition {
            kind: next.type_.clone(),
            status: next.status.clone(),
            reason: next.reason.clone(),
            message: next.message.clone(),
        })
        .filter(|change| {
            change.is_bad()
                || change.status == "True"
                || matches!(change.kind.as_str(), "Ready" | "Paused")
        })
        .collect()
}

/// A worker's words, short enough for a message.
fn quote(text: &str) -> String {
    clip(text.trim(), LONGEST_QUOTE)
}

/// The last line of a log that says something, without the program's name.
fn last_sentence(log: &str) -> String {
    let line = log
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    quote(line.strip_prefix("stockpipe-worker: ").unwrap_or(line))
}

fn clip(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(longest - 1).collect();
    clipped.push('…');
    clipped
}

/// A reason as Kubernetes takes it: a worker's may be anything.
fn reason(text: &str) -> String {
    let mut reason: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(64)
        .collect();
    if !reason.starts_with(|c: char| c.is_ascii_alphabetic()) {
        reason = "WorkerTrouble".to_owned();
    }
    reason
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_words_fit_and_cannot_break_a_condition() {
        assert_eq!(
            last_sentence("INFO a\nstockpipe-worker: no bucket\n\n"),
            "no bucket"
        );
        assert_eq!(reason("Log Diverged!"), "LogDiverged");
        assert_eq!(reason("1 2"), "WorkerTrouble");
        assert_eq!(
            clip(&"é".repeat(2_000), LONGEST_MESSAGE).chars().count(),
            1_024
        );
    }

    #[test]
    fn events_tell_changes_and_what_is_wrong_at_first() {
        let ready = super::super::condition_of("Ready", "True");
        let not_ready = super::super::condition_of("Ready", "False");
        let paused = super::super::condition_of("Paused", "False");
        let count = |last: &[Condition], next: &[Condition]| transitions(last, next).len();
        assert_eq!(count(&[], &[ready.clone(), paused]), 0);
        assert_eq!(count(&[], std::slice::from_ref(&not_ready)), 1);
        assert_eq!(
            count(std::slice::from_ref(&ready), std::slice::from_ref(&ready)),
            0
        );
        assert_eq!(count(&[ready], &[not_ready]), 1);
        let mut waits = super::super::condition_of("Landing", "False");
        waits.reason = "WaitingForProvision".into();
        assert_eq!(count(&[], &[waits]), 0);
        let mut waits = super::super::condition_of("Cataloged", "False");
        let there = super::super::condition_of("Cataloged", "True");
        assert_eq!(count(&[waits.clone()], std::slice::from_ref(&there)), 1);
        waits.reason = "WaitingForProvision".into();
        assert_eq!(count(&[waits], &[there]), 0);
    }
}
