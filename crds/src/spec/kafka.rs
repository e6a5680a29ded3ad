//! `spec.kafka`: the brokers and the topic.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretValue;
use super::{DeletionPolicy, defaults};
use crate::address::BootstrapServers;
use crate::names::{TopicConfigKey, TopicConfigValue, TopicName, UserName};
use crate::rules;

/// The brokers and the topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::refused("tls"),
    validation = Rule::new("!has(self.authentication) || self.authentication.type == 'None'")
        .message("is not supported in this version; write None")
        .field_path(".authentication.type")
)]
pub struct KafkaSpec {
    /// Brokers to start from: host:port, several separated by commas. On a
    /// cluster needed; on one machine, without it, a broker is embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_servers: Option<BootstrapServers>,
    /// Group protocol of the landers: classic (cooperative-sticky), or consumer
    /// (KIP-848).
    #[serde(default = "defaults::group_protocol")]
    pub group_protocol: GroupProtocol,
    /// Encryption. Without it, none; {} trusts the system's certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Who the workers are to the brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationSpec>,
    /// The topic.
    #[serde(default)]
    pub topic: TopicSpec,
}

/// Group protocol of the landers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocol {
    /// Cooperative-sticky.
    Classic,
    /// KIP-848.
    Consumer,
}

/// Encryption of the connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// Certificate authority, PEM; without it the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretValue>,
}

/// Who the workers are to the brokers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationSpec {
    /// The mechanism.
    #[serde(rename = "type")]
    pub kind: AuthenticationType,
    /// User name, for Plain and Scram.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<UserName>,
    /// Password, for Plain and Scram.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretValue>,
}

/// Authentication mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthenticationType {
    /// None.
    None,
    /// SASL/PLAIN.
    Plain,
    /// SASL/SCRAM-SHA-256.
    ScramSha256,
    /// SASL/SCRAM-SHA-512.
    ScramSha512,
    /// A client certificate.
    MutualTls,
    /// SASL/OAUTHBEARER.
    OauthBearer,
    /// Amazon MSK's IAM.
    MskIam,
}

/// The topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicSpec {
    /// Name; default NAME.ticks, after the pipeline. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<TopicName>,
    /// Partitions; may grow, never shrink.
    #[serde(default = "defaults::partitions")]
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: i32,
    /// Replicas of each partition; immutable. An embedded broker takes any as 1.
    #[serde(default = "defaults::replication_factor")]
    #[schemars(range(min = 1, max = 16))]
    pub replication_factor: i16,
    /// Topic configuration, for instance retention.ms.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64))]
    pub config: BTreeMap<TopicConfigKey, TopicConfigValue>,
    /// Whether deleting the pipeline deletes the topic.
    #[serde(default = "defaults::deletion_policy")]
    pub deletion_policy: DeletionPolicy,
}
