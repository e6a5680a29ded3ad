//! Whose the topic is, as the lake remembers it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::lake_root;
use crate::store::{Store, StoreError};

/// `_stockpipe/<lakeId>/topic.json`: what became of the topic that `provision` made.
///
/// Kafka keeps no owner of a topic. Without this record the topic is somebody else's, and `teardown` leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "state",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum TopicRecord {
    /// About to be made: there was none when this was written.
    Making {
        /// Whether it follows one that `teardown` deleted.
        follows: bool,
    },
    /// Made.
    Made {
        /// Its id.
        topic_id: Uuid,
    },
    /// Deleted by `teardown`: the next topic of its name follows it in this lake.
    Deleted,
}

impl TopicRecord {
    fn key(lake_id: &str) -> String {
        format!("{}/topic.json", lake_root(lake_id))
    }

    /// The record of lake `lake_id`; `None` where `provision` made no topic.
    ///
    /// # Errors
    /// Where the store refuses, is not reached, or holds something else there.
    pub async fn read(store: &Store, lake_id: &str) -> Result<Option<Self>, StoreError> {
        store.get_json(&Self::key(lake_id)).await
    }

    /// Replaces the record of lake `lake_id`; `None` removes it.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn replace(
        store: &Store,
        lake_id: &str,
        record: Option<Self>,
    ) -> Result<(), StoreError> {
        let key = Self::key(lake_id);
        match record {
            Some(record) => store.put_json(&key, &record).await,
            None => store.delete(&key).await,
        }
    }

    /// Whether the next topic follows one that `teardown` deleted.
    #[must_use]
    pub fn follows(self) -> bool {
        match self {
            Self::Making { follows } => follows,
            Self::Deleted => true,
            Self::Made { .. } => false,
        }
    }

    /// Whether the topic that is there now, with id `topic_id`, was made by `provision`. A crash may have come
    /// between making it and writing down its id: then it is ours if it is still `empty`, for nobody's records are
    /// in it.
    #[must_use]
    pub fn is_ours(self, topic_id: Uuid, empty: bool) -> bool {
        match self {
            Self::Making { .. } => empty,
            Self::Made { topic_id: made } => made == topic_id,
            Self::Deleted => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_ours_by_its_id_or_empty_where_a_crash_kept_the_id_from_being_written() {
        let (made, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for (record, id, empty, ours) in [
            (TopicRecord::Made { topic_id: made }, made, false, true),
            (TopicRecord::Made { topic_id: made }, other, true, false),
            (TopicRecord::Making { follows: false }, made, true, true),
            (TopicRecord::Making { follows: true }, made, false, false),
            (TopicRecord::Deleted, made, true, false),
        ] {
            assert_eq!(record.is_ours(id, empty), ours, "{record:?} {empty}");
        }
    }

    #[test]
    fn the_record_reads_as_what_it_says() {
        let json = serde_json::to_string(&TopicRecord::Made {
            topic_id: Uuid::nil(),
        });
        assert_eq!(
            json.unwrap(),
            r#"{"state":"made","topicId":"00000000-0000-0000-0000-000000000000"}"#
        );
        assert!(serde_json::from_str::<TopicRecord>(r#"{"state":"deleted"}"#).is_ok());
    }
}
