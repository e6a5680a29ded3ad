//! The services that a pipeline needs: what goes wrong with them, and waiting for one that is away.

use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use stockpipe_crds::pipeline::Endpoint;
use stockpipe_crds::worker_status::{RoleStatus, WorkerCondition, WorkerState};

use crate::aws::explain;
use crate::context::Context;
use crate::kafka::admin::AdminError;
use crate::secrets::SecretError;
use crate::store::StoreError;

/// How long a service may be away at start.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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

/// Why something could not be done with a service.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServiceError {
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
    /// Shutdown.
    #[error("stopped before its end; start it again and it goes on")]
    Stopped,
}

impl From<SecretError> for ServiceError {
    fn from(error: SecretError) -> Self {
        Self::Secret(error.to_string())
    }
}

impl ServiceError {
    pub(crate) fn aws<E>(
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

    /// A call to Kafka that librdkafka failed.
    pub(crate) fn kafka(action: impl Into<String>, error: &KafkaError) -> Self {
        Self::Kafka {
            action: action.into(),
            why: error.to_string(),
            outage: error.rdkafka_error_code().is_some_and(is_outage),
        }
    }

    /// A call to Kafka that a broker refused; `hint` says what to do, with its semicolon.
    pub(crate) fn kafka_refused(
        action: impl Into<String>,
        code: RDKafkaErrorCode,
        hint: &str,
    ) -> Self {
        Self::Kafka {
            action: action.into(),
            why: format!("{code}{hint}"),
            outage: is_outage(code),
        }
    }

    /// An admin call that failed.
    pub(crate) fn admin(action: impl Into<String>, error: &AdminError) -> Self {
        Self::Kafka {
            action: action.into(),
            why: error.to_string(),
            outage: matches!(error, AdminError::Unreachable { .. }),
        }
    }

    /// The service that was not reached or could not serve at this moment.
    pub(crate) fn outage(&self) -> Option<Service> {
        match self {
            Self::Store(error) => error.is_outage().then_some(Service::S3),
            Self::Aws {
                service, outage, ..
            } => outage.then_some(*service),
            Self::Kafka { outage, .. } => outage.then_some(Service::Kafka),
            Self::Secret(_) | Self::Refused(_) | Self::Unreachable { .. } | Self::Stopped => None,
        }
    }
}

/// Tries `attempt` until it succeeds or is refused; a service that is away is waited for up to `patience`, which
/// `/status` shows beside `role`.
///
/// # Errors
/// What `attempt` refuses with, the address that does not answer, or shutdown.
pub(crate) async fn patiently<T>(
    ctx: &Context,
    patience: Duration,
    role: &RoleStatus,
    mut attempt: impl AsyncFnMut() -> Result<T, ServiceError>,
) -> Result<T, ServiceError> {
    let began = Instant::now();
    let mut told = None;
    loop {
        let attempt = tokio::select! {
            () = ctx.shutdown.cancelled() => return Err(ServiceError::Stopped),
            attempt = attempt() => attempt,
        };
        let error = match attempt {
            Ok(done) => return Ok(done),
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
        ctx.show(WorkerState::Waiting, vec![waits], role.clone());
        let address = address_of(ctx, service);
        if began.elapsed() >= patience {
            return Err(ServiceError::Unreachable {
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
            () = ctx.shutdown.cancelled() => return Err(ServiceError::Stopped),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

fn address_of(ctx: &Context, service: Service) -> String {
    let aws = &ctx.pipeline.aws;
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

fn is_outage(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotController
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::CoordinatorLoadInProgress
    )
}
