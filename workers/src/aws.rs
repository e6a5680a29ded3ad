//! S3, Glue and Athena clients from a pipeline's `aws`.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use stockpipe_crds::pipeline::{Aws, Endpoint};

use crate::secrets::{SecretError, Secrets};

/// Keys of a credentials secret.
pub const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
/// See [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// Optional.
pub const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// Clients of the three services, cheap to clone.
#[derive(Clone)]
pub struct Clients {
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// Glue.
    pub glue: aws_sdk_glue::Client,
    /// Athena.
    pub athena: aws_sdk_athena::Client,
}

impl Clients {
    /// Clients for `aws`; reads the credentials secret, connects to nothing.
    ///
    /// # Errors
    /// Where the credentials secret lacks a key.
    pub async fn connect(aws: &Aws, secrets: &Secrets) -> Result<Self, SecretError> {
        let base = sdk_config(aws, secrets).await?;
        let url = |endpoint: &Endpoint| match endpoint {
            Endpoint::Url(url) => Some(url.clone()),
            Endpoint::Unset | Endpoint::Aws | Endpoint::Embedded => None,
        };
        let mut s3 = aws_sdk_s3::config::Builder::from(&base).force_path_style(aws.s3_path_style);
        s3.set_endpoint_url(url(&aws.endpoints.s3));
        let mut glue = aws_sdk_glue::config::Builder::from(&base);
        glue.set_endpoint_url(url(&aws.endpoints.glue));
        let mut athena = aws_sdk_athena::config::Builder::from(&base);
        athena.set_endpoint_url(url(&aws.endpoints.athena));
        Ok(Self {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            glue: aws_sdk_glue::Client::from_conf(glue.build()),
            athena: aws_sdk_athena::Client::from_conf(athena.build()),
        })
    }
}

async fn sdk_config(aws: &Aws, secrets: &Secrets) -> Result<SdkConfig, SecretError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(aws.region.clone()))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(4)
                .with_max_backoff(Duration::from_secs(2)),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(3))
                .operation_attempt_timeout(Duration::from_secs(60))
                .build(),
        );
    if let Some(name) = &aws.credentials_secret {
        let key = secrets.read(name, ACCESS_KEY_ID)?;
        let secret = secrets.read(name, SECRET_ACCESS_KEY)?;
        let token = secrets.find(name, SESSION_TOKEN)?;
        loader = loader.credentials_provider(Credentials::new(
            key.expose(),
            secret.expose(),
            token.map(|t| t.expose().to_owned()),
            None,
            "stockpipe-secret",
        ));
    }
    Ok(loader.load().await)
}

/// The service's own words for a failed call, in one line: code and message, or why it was not reached.
pub fn explain<E, R>(error: &aws_smithy_runtime_api::client::result::SdkError<E, R>) -> String
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata,
{
    use aws_smithy_runtime_api::client::result::SdkError;
    match error {
        SdkError::ServiceError(e) => {
            let meta = e.err().meta();
            match (meta.code(), meta.message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(code), None) => code.to_owned(),
                (None, Some(message)) => message.to_owned(),
                (None, None) => "the service answered an error without a code".to_owned(),
            }
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(e) => {
            let mut source: Option<&dyn std::error::Error> = e.as_connector_error().map(|c| c as _);
            let mut last = String::from("not reachable");
            while let Some(s) = source {
                last = s.to_string();
                source = s.source();
            }
            last
        }
        SdkError::ResponseError(_) => "the answer was not understood".to_owned(),
        _ => "the request could not be built".to_owned(),
    }
}
