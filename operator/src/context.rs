//! What every reconcile is given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::Client;
use kube::core::DeserializeGuard;
use kube::runtime::events::Recorder;
use stockpipe_crds::StockPipeline;
use tokio::sync::watch;

use crate::apply::Applier;
use crate::autoscaler::History;
use crate::build::Monitoring;
use crate::children::ChildCache;
use crate::claims::Claims;
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
    /// What is known of each pipeline beside its object.
    pub known: KnownPipelines,
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
    /// Reconciles that failed in a row.
    pub failures: u32,
    /// What the autoscaler remembers.
    pub history: History,
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

    /// What is known of a pipeline.
    #[must_use]
    pub fn of(&self, pipeline: &PipelineRef) -> Known {
        self.lock().get(pipeline).cloned().unwrap_or_default()
    }

    /// Changes what is known of a pipeline that is still there.
    pub fn update<T>(&self, pipeline: &PipelineRef, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.lock().entry(pipeline.clone()).or_default())
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
