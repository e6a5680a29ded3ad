//! What every reconcile is given.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use kube::core::DeserializeGuard;
use kube::runtime::events::Recorder;
use stockpipe_crds::StockPipeline;
use tokio::sync::{Semaphore, watch};

use crate::apply::Applier;
use crate::autoscaler::History;
use crate::build::Monitoring;
use crate::children::{ChildCache, is_newer};
use crate::claims::Claims;
use crate::leaving::Leaving;
use crate::metrics::SharedMetrics;
use crate::pipeline_ref::PipelineRef;
use crate::readiness::Readiness;
use crate::settings::Settings;
use crate::validate::{self, Places};
use crate::worker_reports::WorkerReports;

/// What every reconcile is given.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The command line.
    pub settings: Settings,
    /// Children, as the watches show them.
    pub cache: Arc<ChildCache>,
    /// Writes children.
    pub applier: Applier,
    /// Events.
    pub recorder: Recorder,
    /// Counts.
    pub metrics: SharedMetrics,
    /// What the operator waits for.
    pub readiness: Arc<Readiness>,
    /// Whether this process leads.
    pub leads: watch::Receiver<bool>,
    /// Which optional definitions the cluster has.
    pub monitoring: watch::Receiver<Monitoring>,
    /// UID of the namespace kube-system, where it may be read.
    pub cluster_id: Option<String>,
    /// Namespaces whose pipelines this install runs.
    pub claims: Claims,
    /// Namespaces that are being deleted.
    pub leaving: Leaving,
    /// What is known of each pipeline beside its object.
    pub known: KnownPipelines,
    /// Reconciles that may run at once, of however many namespaces.
    pub slots: Semaphore,
}

/// What is known of each pipeline beside its object; lost with the process.
#[derive(Default)]
pub struct KnownPipelines {
    state: Mutex<HashMap<PipelineRef, Known>>,
}

/// What is known of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What it writes to; `None` while its spec cannot be resolved.
    pub places: Option<Places>,
    /// What its workers last said.
    pub reports: Arc<WorkerReports>,
    /// When live numbers were last written into its status.
    pub numbers_written: Option<Timestamp>,
    /// The object as we last wrote it.
    pub written: Option<Written>,
    /// Reconciles that failed in a row.
    pub failures: u32,
    /// What the autoscaler remembers.
    pub history: History,
}

/// An object as we wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its UID.
    pub uid: String,
    /// Its version since.
    pub version: String,
    /// When.
    pub at: Instant,
}

/// For how long the watch may lag behind our own writes. A version that it does
/// not show by then has been lost, as by a store that was restored.
const WATCH_LAG: Duration = Duration::from_secs(10);

impl Known {
    /// Whether the watch has yet to show what we wrote ourselves: what would be
    /// computed of `resource` is out of date, and its status would be refused.
    #[must_use]
    pub fn is_ahead_of(&self, resource: &StockPipeline, now: Instant) -> bool {
        let (Some(written), Some(seen)) = (&self.written, &resource.metadata.resource_version)
        else {
            return false;
        };
        resource.metadata.uid.as_ref() == Some(&written.uid)
            && is_newer(&written.version, seen)
            && now.duration_since(written.at) < WATCH_LAG
    }
}

impl KnownPipelines {
    /// A pipeline was made or changed.
    pub fn saw(&self, guard: &DeserializeGuard<StockPipeline>) {
        if let Ok(resource) = &guard.0 {
            let pipeline = PipelineRef::of(resource);
            let places = validate::resolved(resource)
                .ok()
                .map(|resolved| Places::of(resource, &resolved));
            self.lock().entry(pipeline).or_default().places = places;
        }
    }

    /// A pipeline is gone.
    pub fn forget(&self, pipeline: &PipelineRef) {
        self.lock().remove(pipeline);
    }

    /// Forgets the pipelines that are not in `there`, of those for which `listed` holds. Returns them.
    pub fn retain(
        &self,
        listed: impl Fn(&PipelineRef) -> bool,
        there: &HashSet<PipelineRef>,
    ) -> Vec<PipelineRef> {
        let mut state = self.lock();
        let gone: Vec<PipelineRef> = state
            .keys()
            .filter(|pipeline| listed(pipeline) && !there.contains(pipeline))
            .cloned()
            .collect();
        for pipeline in &gone {
            state.remove(pipeline);
        }
        gone
    }

    /// What is known of a pipeline.
    #[must_use]
    pub fn of(&self, pipeline: &PipelineRef) -> Known {
        self.lock().get(pipeline).cloned().unwrap_or_default()
    }

    /// Changes what is known of a pipeline that is still there.
    pub fn update<T>(&self, pipeline: &PipelineRef, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.lock().entry(pipeline.clone()).or_default())
    }

    /// Notes that we wrote `resource`, which has `version` since.
    pub fn wrote(&self, resource: &StockPipeline, version: Option<String>) {
        let (Some(uid), Some(version)) = (resource.metadata.uid.clone(), version) else {
            return;
        };
        let at = Instant::now();
        self.update(&PipelineRef::of(resource), |known| {
            known.written = Some(Written { uid, version, at });
        });
    }

    /// Whether an older pipeline has what `mine` writes to.
    ///
    /// # Errors
    /// What is taken, and by whom.
    pub fn not_taken(&self, mine: &Places) -> Result<(), validate::Invalid> {
        let state = self.lock();
        validate::not_taken(
            mine,
            state.values().filter_map(|known| known.places.as_ref()),
        )
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PipelineRef, Known>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    /// Whether this process may write.
    #[must_use]
    pub fn leads(&self) -> bool {
        *self.leads.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::samples::Sample;

    #[test]
    fn what_we_wrote_is_waited_for_a_while_and_nothing_else_is() {
        let mut resource = Sample::full().resource;
        resource.metadata.uid = Some("u".into());
        let at = Instant::now();
        for (written, seen, later, ahead) in [
            (None, "10", 0, false),
            (Some(("u", "11")), "10", 0, true),
            (Some(("u", "10")), "10", 0, false),
            (Some(("u", "9")), "10", 0, false),
            // Deleted and made anew.
            (Some(("other", "11")), "10", 0, false),
            (Some(("u", "11")), "10", 10, false),
        ] {
            resource.metadata.resource_version = Some(seen.into());
            let known = Known {
                written: written.map(|(uid, version)| Written {
                    uid: uid.into(),
                    version: version.into(),
                    at,
                }),
                ..Known::default()
            };
            let now = at + Duration::from_secs(later);
            assert_eq!(known.is_ahead_of(&resource, now), ahead, "{written:?}");
        }
    }
}
