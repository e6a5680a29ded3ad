//! The version table: what this broker speaks, and nothing else.

use kafka_protocol::messages::ApiKey;

/// One API and the versions of it that are advertised and served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApiRow {
    /// The API.
    pub(crate) key: ApiKey,
    /// Lowest version that `ApiVersions` names.
    pub(crate) advertised: i16,
    /// Lowest version that is answered. Below `advertised` for no API; above it for Produce
    /// alone: librdkafka takes a broker without Produce v0 for one that knows no compression,
    /// which is why Apache Kafka 4 too names versions that it does not serve (KIP-896).
    pub(crate) served: i16,
    /// Highest version, both advertised and served.
    pub(crate) highest: i16,
}

const fn row(key: ApiKey, lowest: i16, highest: i16) -> ApiRow {
    ApiRow {
        key,
        advertised: lowest,
        served: lowest,
        highest,
    }
}

/// Every API of the broker, by key.
///
/// The upper ends keep to what one broker without transactions, fetch sessions, tiered
/// storage and the KIP-848 protocol can answer truthfully: Fetch 13 and Produce 13 address
/// topics by id only, ListOffsets 8 asks for tiered offsets, OffsetCommit 9 and OffsetFetch 9
/// carry KIP-848 epochs.
pub(crate) const TABLE: &[ApiRow] = &[
    ApiRow {
        key: ApiKey::Produce,
        advertised: 0,
        served: 3,
        highest: 11,
    },
    row(ApiKey::Fetch, 4, 12),
    row(ApiKey::ListOffsets, 1, 7),
    row(ApiKey::Metadata, 0, 12),
    row(ApiKey::OffsetCommit, 2, 8),
    row(ApiKey::OffsetFetch, 1, 8),
    row(ApiKey::FindCoordinator, 0, 4),
    row(ApiKey::JoinGroup, 0, 9),
    row(ApiKey::Heartbeat, 0, 4),
    row(ApiKey::LeaveGroup, 0, 5),
    row(ApiKey::SyncGroup, 0, 5),
    row(ApiKey::DescribeGroups, 0, 6),
    row(ApiKey::ListGroups, 0, 5),
    row(ApiKey::ApiVersions, 0, 3),
    row(ApiKey::CreateTopics, 2, 7),
    row(ApiKey::DeleteTopics, 1, 6),
    row(ApiKey::InitProducerId, 0, 4),
    row(ApiKey::DescribeConfigs, 1, 4),
    row(ApiKey::CreatePartitions, 0, 3),
    row(ApiKey::DeleteGroups, 0, 2),
    row(ApiKey::IncrementalAlterConfigs, 0, 1),
    row(ApiKey::DescribeCluster, 0, 1),
];

/// The row of the API with this key on the wire, if the broker has it.
pub(crate) fn find(key: i16) -> Option<&'static ApiRow> {
    TABLE.iter().find(|row| row.key as i16 == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_this_one() {
        let table: Vec<(i16, i16, i16, i16)> = TABLE
            .iter()
            .map(|row| (row.key as i16, row.advertised, row.served, row.highest))
            .collect();
        assert_eq!(
            table,
            [
                (0, 0, 3, 11),
                (1, 4, 4, 12),
                (2, 1, 1, 7),
                (3, 0, 0, 12),
                (8, 2, 2, 8),
                (9, 1, 1, 8),
                (10, 0, 0, 4),
                (11, 0, 0, 9),
                (12, 0, 0, 4),
                (13, 0, 0, 5),
                (14, 0, 0, 5),
                (15, 0, 0, 6),
                (16, 0, 0, 5),
                (18, 0, 0, 3),
                (19, 2, 2, 7),
                (20, 1, 1, 6),
                (22, 0, 0, 4),
                (32, 1, 1, 4),
                (37, 0, 0, 3),
                (42, 0, 0, 2),
                (44, 0, 0, 1),
                (60, 0, 0, 1),
            ]
        );
    }

    #[test]
    fn keys_ascend_and_every_served_version_can_be_decoded() {
        for pair in TABLE.windows(2) {
            assert!((pair[0].key as i16) < pair[1].key as i16);
        }
        for row in TABLE {
            let known = row.key.valid_versions();
            assert!(row.advertised <= row.served && row.served <= row.highest);
            assert!(known.min <= row.served, "{:?}", row.key);
            assert!(row.highest <= known.max, "{:?}", row.key);
        }
    }

    #[test]
    fn transactions_and_the_next_group_protocol_are_absent() {
        for key in [
            ApiKey::AddPartitionsToTxn,
            ApiKey::EndTxn,
            ApiKey::TxnOffsetCommit,
            ApiKey::ConsumerGroupHeartbeat,
            ApiKey::SaslHandshake,
        ] {
            assert_eq!(find(key as i16), None);
        }
    }
}
