//! References to Secrets and ConfigMaps of the pipeline's namespace. A worker
//! reads them as files; no value is ever in the spec.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{DataKey, ObjectName};

/// A Secret, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// Name of the Secret.
    pub name: ObjectName,
}

/// One key of a Secret or ConfigMap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the Secret or ConfigMap.
    pub name: ObjectName,
    /// Key within it.
    pub key: DataKey,
}

/// A value that is kept in a Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretValue {
    /// Where the value is.
    pub secret_key_ref: KeyRef,
}
