//! What every role is given: the pipeline, its secrets, and when to stop.

use std::path::PathBuf;
use std::sync::Arc;

use stockpipe_crds::pipeline::Pipeline;
use stockpipe_crds::worker_status::{RoleStatus, WorkerCondition, WorkerState, WorkerStatus};
use tokio_util::sync::CancellationToken;

use crate::secrets::Secrets;
use crate::status::StatusBoard;

/// What every role is given.
#[derive(Clone)]
pub struct Context {
    /// The resolved pipeline, with the address of every service filled in.
    pub pipeline: Arc<Pipeline>,
    /// Where secrets are.
    pub secrets: Secrets,
    /// Identity of the cluster (UID of its `kube-system` namespace) or of the local data directory.
    pub cluster_id: String,
    /// Relative paths of the pipeline start here: the folder of its file.
    pub base_dir: PathBuf,
    /// Cancelled when the role must drain and return.
    pub shutdown: CancellationToken,
    /// What `/status` shows.
    pub status: StatusBoard,
}

impl Context {
    /// `<cluster id>/<namespace>/<name>`: owner of the lake prefix, consumer group, producer name.
    #[must_use]
    pub fn identity(&self) -> String {
        format!(
            "{}/{}/{}",
            self.cluster_id, self.pipeline.namespace, self.pipeline.name
        )
    }

    /// Kafka consumer group of the landers.
    #[must_use]
    pub fn group_id(&self) -> String {
        format!("stockpipe/{}", self.identity())
    }

    /// Shows on `/status` what this worker does and how it goes.
    pub fn show(&self, state: WorkerState, conditions: Vec<WorkerCondition>, role: RoleStatus) {
        self.status.publish(WorkerStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pipeline: format!("{}/{}", self.pipeline.namespace, self.pipeline.name),
            instance: format!("{}/{}", host(), std::process::id()),
            started_at: self.status.started_at(),
            state,
            conditions,
            role,
        });
    }

    /// The same context with a board and a stop signal of its own, for another role in this process.
    #[must_use]
    pub fn for_role(&self, role: &str) -> Self {
        Self {
            status: StatusBoard::new(role),
            shutdown: self.shutdown.child_token(),
            ..self.clone()
        }
    }
}

/// Name of this machine or pod, for people.
#[must_use]
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}
