//! The role `provision`: bucket, ownership, topic, database, table, crawler, workgroups.
//!
//! Idempotent: it makes what is missing, alters what differs and may be
//! altered, and refuses with one sentence what belongs to somebody else.
//! `provisioning: Verify` only checks, `None` does nothing.

pub(crate) mod bucket;
pub(crate) mod catalog;
pub(crate) mod crawler;
pub(crate) mod lifecycle;
mod ownership;
mod topic;
mod topic_config;
pub(crate) mod workgroup;

use std::time::Duration;

use stockpipe_crds::pipeline::Provisioning;
use stockpipe_crds::worker_status::{ProvisionStatus, RoleStatus, WorkerState};

use crate::aws::Clients;
use crate::context::Context;
use crate::ledger::Ledger;
use crate::service::{PATIENCE, ServiceError, patiently};
use crate::store::Store;

pub use catalog::{IDENTITY_PARAMETER, glue_columns, partition_keys};
pub use crawler::crawler_name;
pub use workgroup::{workgroup_name, workgroup_output};

/// Whether a missing thing is made or only missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Make it.
    Manage,
    /// Say so.
    Verify,
}

impl Mode {
    /// Refuses a missing or differing thing where nothing may be changed.
    fn may_change(self, what: impl FnOnce() -> String) -> Result<(), ServiceError> {
        match self {
            Self::Manage => Ok(()),
            Self::Verify => Err(ServiceError::Refused(format!(
                "{} and provisioning is Verify: make it, or write `provisioning: Manage`",
                what()
            ))),
        }
    }
}

/// Notes of one attempt.
#[derive(Default)]
struct Notes {
    changes: Vec<String>,
    warnings: Vec<String>,
}

impl Notes {
    fn changed(&mut self, what: impl Into<String>) {
        let what = what.into();
        tracing::info!("{what}");
        self.changes.push(what);
    }

    /// A difference that is told but harms nothing: the embedded broker has one replica of everything.
    fn note(&mut self, what: String) {
        tracing::info!("{what}");
        self.warnings.push(what);
    }

    fn warn(&mut self, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!("{what}");
        self.warnings.push(what);
    }
}

/// Makes or checks everything that the pipeline needs; waits up to a minute for a service that is away.
///
/// # Errors
/// One sentence: what is refused and by whom, or which address does not answer; or shutdown came first.
pub async fn run(ctx: &Context) -> Result<(), ServiceError> {
    run_for(ctx, PATIENCE).await
}

async fn run_for(ctx: &Context, patience: Duration) -> Result<(), ServiceError> {
    let nothing_yet = RoleStatus::Provision(ProvisionStatus::default());
    // Whatever it has waited for before, it does not any more.
    ctx.show(WorkerState::Running, Vec::new(), nothing_yet.clone());
    let status = patiently(ctx, patience, &nothing_yet, async || provision(ctx).await).await?;
    ctx.show(WorkerState::Done, Vec::new(), RoleStatus::Provision(status));
    Ok(())
}

async fn provision(ctx: &Context) -> Result<ProvisionStatus, ServiceError> {
    let pipeline = &ctx.pipeline;
    let mode = match pipeline.provisioning {
        Provisioning::Manage => Mode::Manage,
        Provisioning::Verify => Mode::Verify,
        Provisioning::None => {
            return Ok(ProvisionStatus::default());
        }
    };
    let clients = Clients::connect(&pipeline.aws, &ctx.secrets).await?;
    let mut notes = Notes::default();
    let lake_id = provision_lake(ctx, &clients, mode, &mut notes).await?;
    let store = Store::new(clients.s3.clone(), &pipeline.lake.bucket);
    let ledger = Ledger::open(store, &lake_id);
    topic::provision(ctx, &ledger, mode, &mut notes).await?;
    catalog::provision(ctx, &clients.glue, &lake_id, mode, &mut notes).await?;
    crawler::provision(ctx, &clients.glue, &lake_id, mode, &mut notes).await?;
    workgroup::provision(ctx, &clients.athena, &lake_id, mode, &mut notes).await?;
    Ok(ProvisionStatus {
        lake_id: Some(lake_id),
        changes: notes.changes,
        warnings: notes.warnings,
    })
}

/// Bucket, conditional writes, ownership, lifecycle; the lake's id.
async fn provision_lake(
    ctx: &Context,
    clients: &Clients,
    mode: Mode,
    notes: &mut Notes,
) -> Result<String, ServiceError> {
    let lake = &ctx.pipeline.lake;
    let region = &ctx.pipeline.aws.region;
    bucket::provision(
        &clients.s3,
        &lake.bucket,
        region,
        &ctx.identity(),
        mode,
        notes,
    )
    .await?;
    let store = Store::new(clients.s3.clone(), &lake.bucket);
    if mode == Mode::Manage {
        store
            .probe_conditional_writes(&format!("{}/probes", crate::ledger::CONTROL))
            .await?;
    }
    let owner = ownership::provision(&store, &lake.prefix, &ctx.identity(), mode, notes).await?;
    lifecycle::provision(&clients.s3, lake, &owner.lake_id, mode, notes).await?;
    Ok(owner.lake_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secrets;
    use crate::status::StatusBoard;
    use std::sync::Arc;
    use stockpipe_crds::Pipeline;
    use tokio_util::sync::CancellationToken;

    /// A pipeline whose services have addresses at which nothing listens.
    fn nowhere(secrets: &std::path::Path) -> Context {
        let secret = secrets.join("key");
        std::fs::create_dir(&secret).unwrap();
        std::fs::write(secret.join(crate::aws::ACCESS_KEY_ID), "a").unwrap();
        std::fs::write(secret.join(crate::aws::SECRET_ACCESS_KEY), "s").unwrap();
        let yaml = "
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {name: us}
spec:
  lake: {bucket: it-lake}
  aws:
    region: us-east-1
    credentialsSecretRef: {name: key}
    endpoints: {s3: 'http://127.0.0.1:9', glue: 'http://127.0.0.1:9', athena: 'http://127.0.0.1:9'}
";
        Context {
            pipeline: Arc::new(Pipeline::from_yaml(yaml, "us.yaml").unwrap()),
            secrets: Secrets::new([secrets.to_owned()]),
            cluster_id: "c".into(),
            base_dir: secrets.to_owned(),
            shutdown: CancellationToken::new(),
            status: StatusBoard::new("provision"),
        }
    }

    #[tokio::test]
    async fn an_address_that_answers_nothing_for_long_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = nowhere(dir.path());
        let error = run_for(&ctx, Duration::from_secs(2)).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("S3 at http://127.0.0.1:9 has not answered for 2 s: "),
            "{error}"
        );
        let status = ctx.status.snapshot().unwrap();
        assert_eq!(status.state, WorkerState::Waiting);
        assert_eq!(status.conditions[0].reason, "S3Unreachable");
    }

    #[tokio::test]
    async fn a_missing_secret_is_told_at_once_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = nowhere(dir.path());
        std::fs::remove_dir_all(dir.path().join("key")).unwrap();
        let error = run(&ctx).await.unwrap_err().to_string();
        assert!(error.contains("/key/AWS_ACCESS_KEY_ID"), "{error}");
    }

    #[tokio::test]
    async fn shutdown_ends_the_waiting_and_is_no_success() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = nowhere(dir.path());
        ctx.shutdown.cancel();
        // A Job whose pod is stopped must not count as done.
        assert!(matches!(run(&ctx).await, Err(ServiceError::Stopped)));
    }
}
