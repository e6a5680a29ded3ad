//! `spec.aws`: region, addresses and identity.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::secret::SecretName;
use crate::address::EndpointAddress;
use crate::names::{ObjectName, Region, RoleArn};
use crate::rules;

/// Region, addresses and identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::at_most_one(
    &["roles", "roleArn", "serviceAccountName", "credentialsSecretRef"],
    "must name one identity; write one of roles, roleArn, serviceAccountName and credentialsSecretRef"
))]
pub struct AwsSpec {
    /// Region.
    #[serde(default = "defaults::region")]
    pub region: Region,
    /// IAM role of each worker; used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<RolesSpec>,
    /// IAM role of all workers; used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<RoleArn>,
    /// Service account of all workers; used on a cluster only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<ObjectName>,
    /// Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where needed,
    /// AWS_SESSION_TOKEN; for emulators and MinIO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretName>,
    /// Where each service is.
    #[serde(default)]
    pub endpoints: EndpointsSpec,
    /// Whether the bucket is in an S3 address's path (true) or host name
    /// (false). Default: true where endpoints.s3 is a URL or embedded.
    #[serde(rename = "s3PathStyle", skip_serializing_if = "Option::is_none")]
    pub s3_path_style: Option<bool>,
}

/// IAM role of each worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolesSpec {
    /// Makes topic, bucket, database, table and workgroups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provision: Option<RoleArn>,
    /// Makes ticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub produce: Option<RoleArn>,
    /// Lands ticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub land: Option<RoleArn>,
    /// Serves the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyze: Option<RoleArn>,
    /// Starts the crawler; catalog.crawler.roleArn is the crawler's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crawl: Option<RoleArn>,
    /// Runs transforms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<RoleArn>,
    /// Runs reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<RoleArn>,
}

/// Where each service is: a URL, aws, or embedded (on one machine).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::refused("sts"))]
pub struct EndpointsSpec {
    /// S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<EndpointAddress>,
    /// Glue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glue: Option<EndpointAddress>,
    /// Athena.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub athena: Option<EndpointAddress>,
    /// STS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts: Option<EndpointAddress>,
}
