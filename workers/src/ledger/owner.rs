//! Who owns a prefix of a bucket.

use serde::{Deserialize, Serialize};

use super::CONTROL;
use crate::store::{Store, StoreError};

/// `_stockpipe/owners/<prefix>.json`: made by `provision` with a conditional write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Names the lake's control objects: `_stockpipe/<lakeId>/…`.
    pub lake_id: String,
    /// `<cluster id>/<namespace>/<name>` of the pipeline.
    pub identity: String,
}

impl Owner {
    /// Key of the record that owns `prefix` (no slashes at its ends).
    #[must_use]
    pub fn key(prefix: &str) -> String {
        format!("{CONTROL}/owners/{prefix}.json")
    }

    /// The owner of `prefix`; `None` while nobody owns it.
    ///
    /// # Errors
    /// Where the store refuses, is not reached, or holds something else there.
    pub async fn read(store: &Store, prefix: &str) -> Result<Option<Self>, StoreError> {
        store.get_json(&Self::key(prefix)).await
    }
}
