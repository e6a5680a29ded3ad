//! Reads and writes a Lease as [`lease::evaluate`](crate::lease::evaluate)
//! decides. Every write carries the version that was read, so that of two who
//! take it at once one is refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::{ApiError, call, find};
use crate::fence::Fence;
use crate::labels;
use crate::lease::{
    LEASE_DURATION, LeaseAction, LeaseRecord, RENEW_DEADLINE, RETRY_PERIOD, STANDBY_PERIOD,
    evaluate,
};

/// Between two tries where the permission is missing, which the preflight names.
const REFUSED: Duration = Duration::from_secs(5);

/// One Lease, and who wants it.
pub struct LeaseHold {
    api: Api<Lease>,
    name: String,
    namespace: String,
    identity: String,
    duration: Duration,
    same: fn(&str, &str) -> bool,
    seen: Option<(Lease, Instant)>,
    sent: Option<Instant>,
}

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is ours.
    Mine,
    /// It is another's.
    Others(String),
    /// Somebody wrote it at the same moment; the next try tells.
    Contended,
}

impl LeaseHold {
    /// The Lease `namespace/name`, wanted by `identity`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            identity: identity.to_owned(),
            duration: LEASE_DURATION,
            same: |_, _| false,
            seen: None,
            sent: None,
        }
    }

    /// A renewal holds for `duration` instead of [`LEASE_DURATION`].
    #[must_use]
    pub fn lasting(self, duration: Duration) -> Self {
        Self { duration, ..self }
    }

    /// A holder for which `same(identity, holder)` is this one under another
    /// name: what it holds is renewed, under `identity`.
    #[must_use]
    pub fn renewing_also(self, same: fn(&str, &str) -> bool) -> Self {
        Self { same, ..self }
    }

    /// Takes or renews the Lease where it may be.
    ///
    /// # Errors
    /// The API server's refusal, or its silence.
    pub async fn attempt(&mut self) -> Result<Held, ApiError> {
        let (live, holder, action) = self.look().await?;
        match action {
            LeaseAction::Create => self.create().await,
            LeaseAction::Renew | LeaseAction::Acquire => {
                self.replace(live.unwrap_or_default(), Some(&self.identity.clone()))
                    .await
            }
            LeaseAction::Wait(_) => Ok(Held::Others(holder.unwrap_or_default())),
        }
    }

    /// Who else holds the Lease; it is left as it is.
    ///
    /// # Errors
    /// The API server's refusal, or its silence.
    pub async fn other_holder(&mut self) -> Result<Option<String>, ApiError> {
        let (_, holder, action) = self.look().await?;
        Ok(holder.filter(|_| matches!(action, LeaseAction::Wait(_))))
    }

    async fn look(&mut self) -> Result<(Option<Lease>, Option<String>, LeaseAction), ApiError> {
        let action = format!("get Lease {}/{}", self.namespace, self.name);
        let live = find(action, self.api.get(&self.name)).await?;
        let now = Instant::now();
        let first_seen = match (&live, &self.seen) {
            (Some(live), Some((seen, at))) if same_version(live, seen) => *at,
            _ => now,
        };
        self.seen = live.clone().map(|live| (live, first_seen));
        let mut record = live.as_ref().map(record);
        if let Some(holder) = record.as_mut().and_then(|record| record.holder.as_mut())
            && (self.same)(&self.identity, holder)
        {
            holder.clone_from(&self.identity);
        }
        let action = evaluate(&self.identity, record.as_ref(), first_seen, now);
        Ok((live, record.and_then(|record| record.holder), action))
    }

    /// When the last write was sent. Others count a renewal from when they see
    /// it, which is later.
    fn sent(&self) -> Instant {
        self.sent.unwrap_or_else(Instant::now)
    }

    /// Gives the Lease back, if it is ours.
    ///
    /// # Errors
    /// The API server's refusal, or its silence.
    pub async fn release(&mut self) -> Result<(), ApiError> {
        let Some((lease, _)) = self.seen.take() else {
            return Ok(());
        };
        if record(&lease).holder.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        self.replace(lease, None).await.map(|_| ())
    }

    async fn create(&mut self) -> Result<Held, ApiError> {
        let now = MicroTime(Timestamp::now());
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some([(labels::NAME.to_owned(), labels::MANAGER.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        };
        let action = format!("create Lease {}/{}", self.namespace, self.name);
        self.sent = Some(Instant::now());
        self.wrote(call(action, self.api.create(&PostParams::default(), &lease)).await)
    }

    async fn replace(&mut self, mut lease: Lease, holder: Option<&str>) -> Result<Held, ApiError> {
        let now = MicroTime(Timestamp::now());
        let before = record(&lease);
        let spec = lease.spec.get_or_insert_default();
        if before.holder.as_deref() != holder {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(before.transitions.saturating_add(1));
        }
        spec.holder_identity = Some(holder.unwrap_or_default().to_owned());
        spec.lease_duration_seconds = i32::try_from(self.duration.as_secs()).ok();
        spec.renew_time = Some(now);
        let action = format!("update Lease {}/{}", self.namespace, self.name);
        let parameters = PostParams::default();
        self.sent = Some(Instant::now());
        let answer = call(action, self.api.replace(&self.name, &parameters, &lease)).await;
        self.wrote(answer)
    }

    fn wrote(&mut self, answer: Result<Lease, ApiError>) -> Result<Held, ApiError> {
        match answer {
            Ok(lease) => {
                self.seen = Some((lease, Instant::now()));
                Ok(Held::Mine)
            }
            Err(error) if error.is_conflict() => Ok(Held::Contended),
            Err(error) => Err(error),
        }
    }
}

fn same_version(a: &Lease, b: &Lease) -> bool {
    a.metadata.uid == b.metadata.uid && a.metadata.resource_version == b.metadata.resource_version
}

fn record(lease: &Lease) -> LeaseRecord {
    let spec = lease.spec.clone().unwrap_or_default();
    LeaseRecord {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(LEASE_DURATION, std::time::Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or_default(),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// Why a process stopped leading.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another has it.
    #[error("another process leads: {0}")]
    ToAnother(String),
    /// No renewal came through.
    #[error("the lease could not be renewed for {} s: {last}", RENEW_DEADLINE.as_secs())]
    NotRenewed {
        /// The last failure.
        last: String,
    },
}

/// Seeks the Lease, says `true` on `leads` once it is ours, and renews it until
/// `shutdown`, when it is released after `drain`. Writes pass `fence` while it
/// is surely ours: for [`RENEW_DEADLINE`] after the last renewal was sent.
///
/// # Errors
/// Where it was ours and is no longer: the process must end.
pub async fn lead(
    mut hold: LeaseHold,
    leads: Arc<watch::Sender<bool>>,
    fence: Fence,
    drain: Duration,
    shutdown: CancellationToken,
) -> Result<(), Lost> {
    let mut renewed: Option<Instant> = None;
    let mut complained = false;
    loop {
        let limit = renewed.map_or(RENEW_DEADLINE, |renewed| {
            RENEW_DEADLINE.saturating_sub(renewed.elapsed())
        });
        let tried = tokio::select! {
            () = shutdown.cancelled() => break,
            tried = tokio::time::timeout(limit, hold.attempt()) => tried,
        };
        let mut refused = false;
        let failure = match tried {
            Ok(Ok(Held::Mine)) => {
                fence.open_until(hold.sent() + RENEW_DEADLINE);
                if renewed.replace(hold.sent()).is_none() {
                    tracing::info!("this process leads");
                    leads.send_replace(true);
                }
                complained = false;
                None
            }
            Ok(Ok(Held::Others(holder))) => {
                if renewed.is_some() {
                    fence.close();
                    return Err(Lost::ToAnother(holder));
                }
                if !complained {
                    tracing::info!(leader = %holder, "standing by");
                    complained = true;
                }
                None
            }
            Ok(Ok(Held::Contended)) => None,
            Ok(Err(error)) => {
                refused = error.reason() == "Forbidden";
                Some(error.to_string())
            }
            Err(_) => Some("the API server does not answer".to_owned()),
        };
        if let Some(failure) = failure {
            match renewed {
                Some(at) if at.elapsed() >= RENEW_DEADLINE => {
                    fence.close();
                    return Err(Lost::NotRenewed { last: failure });
                }
                _ => tracing::warn!("{failure}"),
            }
        }
        // Never beyond the deadline, so that a leader that cannot renew stops at it.
        let standby = if refused { REFUSED } else { STANDBY_PERIOD };
        let pause = renewed.map_or(standby, |renewed| {
            RETRY_PERIOD.min(RENEW_DEADLINE.saturating_sub(renewed.elapsed()))
        });
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    // What is under way ends before another may begin.
    leads.send_replace(false);
    if renewed.is_some() {
        tokio::time::sleep(drain).await;
    }
    fence.close();
    if let Err(error) = hold.release().await {
        tracing::warn!("{error}");
    }
    Ok(())
}
