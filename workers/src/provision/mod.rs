//! The role `provision`: bucket, ownership, topic, database, table, workgroups.
//!
//! Idempotent: it makes what is missing, alters what differs and may be
//! altered, and refuses with one sentence what belongs to somebody else.
//! `provisioning: Verify` only checks, `None` does nothing.

mod bucket;
mod catalog;
mod lifecycle;
mod ownership;
mod topic;
mod topic_config;
mod workgroup;

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use stockpipe_crds::pipeline::{Aws, Endpoint, Provisioning};
use stockpipe_crds::worker_status::{ProvisionStatus, RoleStatus, WorkerCondition, WorkerState};

use crate::aws::{Clients, explain};
use crate::context::Context;
use crate::secrets::SecretError;
use crate::store::{Store, StoreError};

pub use catalog::{IDENTITY_PARAMETER, glue_columns, partition_keys};
pub use workgroup::{workgroup_name, workgroup_output};

/// How long a service may be away at start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a pipeline could not be provisioned.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The credentials secret.
    #[error("{0}")]
    Secret(String),
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A call to S3, Glue or Athena failed.
    #[error("cannot {action}: {why}")]
    Aws {
        /// What was tried, with the thing's name.
        action: String,
        /// The service's own words.
        why: String,
        /// The service, for a message that it does not answer.
        service: Service,
        /// Whether it was not reached, or could not serve at this moment.
        outage: bool,
    },
    /// A call to Kafka failed.
    #[error("cannot {action}: {why}")]
    Kafka {
        /// What was tried, with the thing's name.
        action: String,
        /// Kafka's own words.
        why: String,
        /// Whether Kafka was not reached.
        outage: bool,
    },
    /// Something belongs to another, or cannot become what the file says.
    #[error("{0}")]
    Refused(String),
    /// A service did not answer for a minute.
    #[error("{service} at {address} has not answered for {seconds} s: {why}")]
    Unreachable {
        /// Which.
        service: Service,
        /// Where.
        address: String,
        /// How long.
        seconds: u64,
        /// The last error.
        why: String,
    },
}

/// An external service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Kafka.
    Kafka,
    /// S3.
    S3,
    /// Glue.
    Glue,
    /// Athena.
    Athena,
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kafka => "Kafka",
            Self::S3 => "S3",
            Self::Glue => "Glue",
            Self::Athena => "Athena",
        })
    }
}

impl From<SecretError> for ProvisionError {
    fn from(error: SecretError) -> Self {
        Self::Secret(error.to_string())
    }
}

impl ProvisionError {
    fn aws<E>(
        service: Service,
        action: impl Into<String>,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata,
    {
        let answered = error.raw_response().map(|r| r.status().as_u16());
        Self::Aws {
            action: action.into(),
            why: explain(error),
            service,
            outage: answered.is_none_or(|s| s >= 500 || s == 429),
        }
    }

    /// The service that was not reached or could not serve at this moment.
    fn outage(&self) -> Option<Service> {
        match self {
            Self::Store(error) => error.is_outage().then_some(Service::S3),
            Self::Aws {
                service, outage, ..
            } => outage.then_some(*service),
            Self::Kafka { outage, .. } => outage.then_some(Service::Kafka),
            Self::Secret(_) | Self::Refused(_) | Self::Unreachable { .. } => None,
        }
    }
}

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
    fn may_change(self, what: impl FnOnce() -> String) -> Result<(), ProvisionError> {
        match self {
            Self::Manage => Ok(()),
            Self::Verify => Err(ProvisionError::Refused(format!(
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
/// One sentence: what is refused and by whom, or which address does not answer.
pub async fn run(ctx: &Context) -> Result<(), ProvisionError> {
    run_for(ctx, PATIENCE).await
}

async fn run_for(ctx: &Context, patience: Duration) -> Result<(), ProvisionError> {
    let began = std::time::Instant::now();
    let mut told = None;
    loop {
        let attempt = tokio::select! {
            () = ctx.shutdown.cancelled() => return Ok(()),
            attempt = provision(ctx) => attempt,
        };
        let error = match attempt {
            Ok(status) => {
                ctx.show(WorkerState::Done, Vec::new(), RoleStatus::Provision(status));
                return Ok(());
            }
            Err(error) => error,
        };
        let Some(service) = error.outage() else {
            return Err(error);
        };
        let waits = WorkerCondition {
            kind: "Provisioned".to_owned(),
            ok: false,
            reason: format!("{service}Unreachable"),
            message: error.to_string(),
            since: ctx.status.started_at(),
        };
        ctx.show(
            WorkerState::Waiting,
            vec![waits],
            RoleStatus::Provision(ProvisionStatus::default()),
        );
        let address = address_of(ctx, service);
        if began.elapsed() >= patience {
            return Err(ProvisionError::Unreachable {
                service,
                address,
                seconds: patience.as_secs(),
                why: error.to_string(),
            });
        }
        if told != Some(service) {
            told = Some(service);
            tracing::warn!(%error, "{service} at {address} does not answer yet; trying for {} s", patience.as_secs());
        }
        tokio::select! {
            () = ctx.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn provision(ctx: &Context) -> Result<ProvisionStatus, ProvisionError> {
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
    topic::provision(ctx, mode, &mut notes).await?;
    catalog::provision(ctx, &clients.glue, &lake_id, mode, &mut notes).await?;
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
) -> Result<String, ProvisionError> {
    let lake = &ctx.pipeline.lake;
    let region = &ctx.pipeline.aws.region;
    bucket::provision(&clients.s3, &lake.bucket, region, mode, notes).await?;
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

fn address_of(ctx: &Context, service: Service) -> String {
    let aws: &Aws = &ctx.pipeline.aws;
    let endpoint = match service {
        Service::Kafka => {
            return ctx
                .pipeline
                .kafka
                .bootstrap_servers
                .clone()
                .unwrap_or_default();
        }
        Service::S3 => &aws.endpoints.s3,
        Service::Glue => &aws.endpoints.glue,
        Service::Athena => &aws.endpoints.athena,
    };
    match endpoint {
        Endpoint::Url(url) => url.clone(),
        Endpoint::Unset | Endpoint::Aws | Endpoint::Embedded => format!("AWS {}", aws.region),
    }
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
    async fn shutdown_ends_the_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = nowhere(dir.path());
        ctx.shutdown.cancel();
        run(&ctx).await.unwrap();
    }
}
