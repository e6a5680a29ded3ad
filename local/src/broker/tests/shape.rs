//! The shapes are those of the decoder: a request of every API and version is walked to its
//! last byte, and no malformed one makes the broker reserve memory.

use bytes::BytesMut;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use proptest::prelude::*;

use super::*;
use crate::broker::versions::{self, TABLE};

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text("ticks"))
}

fn group() -> GroupId {
    GroupId(text("landers"))
}

/// A request with something in every field that this version has.
fn filled(key: ApiKey, version: i16) -> BytesMut {
    let mut bytes = BytesMut::new();
    let v = version;
    match key {
        ApiKey::Produce => put(
            &mut bytes,
            v,
            &ProduceRequest::default()
                .with_transactional_id(Some(TransactionalId(text("t"))))
                .with_topic_data(vec![
                    TopicProduceData::default()
                        .with_name(topic())
                        .with_partition_data(vec![
                            PartitionProduceData::default()
                                .with_records(Some(b"records"[..].into())),
                            PartitionProduceData::default().with_records(None),
                        ]),
                ]),
        ),
        ApiKey::Fetch => {
            let mut request = FetchRequest::default().with_topics(vec![
                FetchTopic::default()
                    .with_topic(topic())
                    .with_partitions(vec![FetchPartition::default(), FetchPartition::default()]),
            ]);
            if v >= 7 {
                request.forgotten_topics_data = vec![
                    ForgottenTopic::default()
                        .with_topic(topic())
                        .with_partitions(vec![1, 2, 3]),
                ];
            }
            if v >= 11 {
                request.rack_id = text("rack");
            }
            if v >= 12 {
                request.cluster_id = Some(text("cluster"));
            }
            put(&mut bytes, v, &request);
        }
        ApiKey::ListOffsets => put(
            &mut bytes,
            v,
            &ListOffsetsRequest::default().with_topics(vec![
                ListOffsetsTopic::default()
                    .with_name(topic())
                    .with_partitions(vec![ListOffsetsPartition::default()]),
            ]),
        ),
        ApiKey::Metadata => put(
            &mut bytes,
            v,
            &MetadataRequest::default()
                .with_allow_auto_topic_creation(true)
                .with_topics(Some(vec![
                    MetadataRequestTopic::default().with_name(Some(topic())),
                    MetadataRequestTopic::default().with_name(Some(topic())),
                ])),
        ),
        ApiKey::OffsetCommit => {
            let mut request = OffsetCommitRequest::default()
                .with_group_id(group())
                .with_member_id(text("member"))
                .with_topics(vec![
                    OffsetCommitRequestTopic::default()
                        .with_name(topic())
                        .with_partitions(vec![
                            OffsetCommitRequestPartition::default()
                                .with_committed_metadata(Some(text("note"))),
                        ]),
                ]);
            if v >= 7 {
                request.group_instance_id = Some(text("instance"));
            }
            put(&mut bytes, v, &request);
        }
        ApiKey::OffsetFetch if v >= 8 => put(
            &mut bytes,
            v,
            &OffsetFetchRequest::default().with_groups(vec![
                OffsetFetchRequestGroup::default()
                    .with_group_id(group())
                    .with_topics(Some(vec![
                        OffsetFetchRequestTopics::default()
                            .with_name(topic())
                            .with_partition_indexes(vec![0, 1]),
                    ])),
            ]),
        ),
        ApiKey::OffsetFetch => put(
            &mut bytes,
            v,
            &OffsetFetchRequest::default()
                .with_group_id(group())
                .with_topics(Some(vec![
                    OffsetFetchRequestTopic::default()
                        .with_name(topic())
                        .with_partition_indexes(vec![0, 1]),
                ])),
        ),
        ApiKey::FindCoordinator if v >= 4 => put(
            &mut bytes,
            v,
            &FindCoordinatorRequest::default().with_coordinator_keys(vec![text("a"), text("b")]),
        ),
        ApiKey::FindCoordinator => put(
            &mut bytes,
            v,
            &FindCoordinatorRequest::default().with_key(text("a")),
        ),
        ApiKey::JoinGroup => {
            let mut request = JoinGroupRequest::default()
                .with_group_id(group())
                .with_member_id(text("member"))
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![
                    JoinGroupRequestProtocol::default()
                        .with_name(text("range"))
                        .with_metadata(b"metadata"[..].into()),
                ]);
            if v >= 5 {
                request.group_instance_id = Some(text("instance"));
            }
            put(&mut bytes, v, &request);
        }
        ApiKey::Heartbeat => put(
            &mut bytes,
            v,
            &HeartbeatRequest::default()
                .with_group_id(group())
                .with_member_id(text("member")),
        ),
        ApiKey::LeaveGroup if v >= 3 => put(
            &mut bytes,
            v,
            &LeaveGroupRequest::default()
                .with_group_id(group())
                .with_members(vec![
                    MemberIdentity::default().with_member_id(text("member")),
                ]),
        ),
        ApiKey::LeaveGroup => put(
            &mut bytes,
            v,
            &LeaveGroupRequest::default()
                .with_group_id(group())
                .with_member_id(text("member")),
        ),
        ApiKey::SyncGroup => put(
            &mut bytes,
            v,
            &SyncGroupRequest::default()
                .with_group_id(group())
                .with_member_id(text("member"))
                .with_assignments(vec![
                    SyncGroupRequestAssignment::default()
                        .with_member_id(text("member"))
                        .with_assignment(b"assignment"[..].into()),
                ]),
        ),
        ApiKey::ApiVersions => {
            let mut request = ApiVersionsRequest::default();
            if v >= 3 {
                request.client_software_name = text("test");
                request.client_software_version = text("1");
            }
            put(&mut bytes, v, &request);
        }
        ApiKey::CreateTopics => put(
            &mut bytes,
            v,
            &CreateTopicsRequest::default().with_topics(vec![
                CreatableTopic::default()
                    .with_name(topic())
                    .with_assignments(vec![
                        CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1)]),
                    ])
                    .with_configs(vec![
                        CreatableTopicConfig::default()
                            .with_name(text("retention.ms"))
                            .with_value(Some(text("1"))),
                        CreatableTopicConfig::default()
                            .with_name(text("retention.bytes"))
                            .with_value(None),
                    ]),
            ]),
        ),
        ApiKey::DeleteTopics if v >= 6 => put(
            &mut bytes,
            v,
            &DeleteTopicsRequest::default().with_topics(vec![
                DeleteTopicState::default().with_name(Some(topic())),
                DeleteTopicState::default().with_topic_id(uuid::Uuid::from_u128(1)),
            ]),
        ),
        ApiKey::DeleteTopics => put(
            &mut bytes,
            v,
            &DeleteTopicsRequest::default().with_topic_names(vec![topic(), topic()]),
        ),
        ApiKey::InitProducerId => put(
            &mut bytes,
            v,
            &InitProducerIdRequest::default()
                .with_transactional_id(Some(TransactionalId(text("t")))),
        ),
        ApiKey::DescribeConfigs => put(
            &mut bytes,
            v,
            &DescribeConfigsRequest::default().with_resources(vec![
                DescribeConfigsResource::default()
                    .with_resource_name(text("ticks"))
                    .with_configuration_keys(Some(vec![text("retention.ms"), text("x")])),
                DescribeConfigsResource::default().with_configuration_keys(None),
            ]),
        ),
        ApiKey::CreatePartitions => put(
            &mut bytes,
            v,
            &CreatePartitionsRequest::default().with_topics(vec![
                CreatePartitionsTopic::default()
                    .with_name(topic())
                    .with_assignments(Some(vec![
                        CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1)]),
                    ])),
                CreatePartitionsTopic::default().with_assignments(None),
            ]),
        ),
        ApiKey::IncrementalAlterConfigs => put(
            &mut bytes,
            v,
            &IncrementalAlterConfigsRequest::default().with_resources(vec![
                AlterConfigsResource::default().with_configs(vec![
                    AlterableConfig::default()
                        .with_name(text("retention.ms"))
                        .with_value(Some(text("1"))),
                ]),
            ]),
        ),
        ApiKey::ListGroups => {
            let request = ListGroupsRequest::default();
            let request = match v {
                ..4 => request,
                _ => request.with_states_filter(vec![text("Stable")]),
            };
            let request = match v {
                ..5 => request,
                _ => request.with_types_filter(vec![text("classic"), text("consumer")]),
            };
            put(&mut bytes, v, &request);
        }
        ApiKey::DescribeGroups => put(
            &mut bytes,
            v,
            &DescribeGroupsRequest::default().with_groups(vec![group(), group()]),
        ),
        ApiKey::DeleteGroups => put(
            &mut bytes,
            v,
            &DeleteGroupsRequest::default().with_groups_names(vec![group()]),
        ),
        ApiKey::DescribeCluster => put(&mut bytes, v, &DescribeClusterRequest::default()),
        other => panic!("{other:?} is in the version table, but this test has no request of it"),
    }
    bytes
}

fn put<R: Request>(bytes: &mut BytesMut, version: i16, request: &R) {
    request.encode(bytes, version).unwrap();
}

#[test]
fn every_request_of_every_version_is_walked_to_its_last_byte() {
    for row in TABLE {
        for version in row.served..=row.highest {
            let bytes = filled(row.key, version);
            assert_eq!(
                check(row.key, version, &bytes),
                Ok(bytes.len()),
                "{:?} {version}",
                row.key
            );
        }
    }
}

#[test]
fn a_request_cut_anywhere_is_refused() {
    for row in TABLE {
        for version in row.served..=row.highest {
            let bytes = filled(row.key, version);
            for length in 0..bytes.len() {
                assert!(
                    check(row.key, version, &bytes[..length]).is_err(),
                    "{:?} {version} cut to {length} bytes",
                    row.key
                );
            }
        }
    }
}

#[test]
fn an_array_that_claims_more_elements_than_there_are_bytes_is_refused() {
    let mut classic = 2_000_000_000_i32.to_be_bytes().to_vec();
    classic.extend([0; 64]);
    assert_eq!(check(ApiKey::Metadata, 1, &classic), Err(ShapeError::Short));
    let mut compact = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    compact.extend([0; 64]);
    assert_eq!(
        check(ApiKey::Metadata, 12, &compact),
        Err(ShapeError::Short)
    );
}

#[test]
fn more_elements_than_any_client_sends_are_refused_although_the_bytes_are_there() {
    let count = i32::try_from(MAX_ELEMENTS + 1).unwrap();
    let mut bytes = count.to_be_bytes().to_vec();
    bytes.resize(4 * MAX_ELEMENTS, 0);
    assert_eq!(
        check(ApiKey::Metadata, 1, &bytes),
        Err(ShapeError::Elements)
    );
}

proptest! {
    /// Whatever bytes come, the walk ends, and what it lets pass can be given to the decoder,
    /// which neither panics nor reserves gigabytes.
    #[test]
    fn noise_is_refused_or_decoded(
        row in 0..TABLE.len(),
        pick in any::<u16>(),
        flips in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6),
    ) {
        let row = &TABLE[row];
        let versions = row.highest - row.served + 1;
        let version = row.served + (pick % versions.unsigned_abs()).cast_signed();
        let mut bytes = filled(row.key, version);
        for (at, value) in flips {
            let at = usize::from(at) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if check(row.key, version, &bytes).is_ok() {
            decode(row.key, version, bytes);
        }
        prop_assert!(versions::find(row.key as i16).is_some());
    }
}

fn decode(key: ApiKey, version: i16, bytes: BytesMut) {
    fn one<R: Request>(version: i16, bytes: BytesMut) {
        drop(R::decode(&mut bytes.freeze(), version));
    }
    match key {
        ApiKey::Produce => one::<ProduceRequest>(version, bytes),
        ApiKey::Fetch => one::<FetchRequest>(version, bytes),
        ApiKey::ListOffsets => one::<ListOffsetsRequest>(version, bytes),
        ApiKey::Metadata => one::<MetadataRequest>(version, bytes),
        ApiKey::OffsetCommit => one::<OffsetCommitRequest>(version, bytes),
        ApiKey::OffsetFetch => one::<OffsetFetchRequest>(version, bytes),
        ApiKey::FindCoordinator => one::<FindCoordinatorRequest>(version, bytes),
        ApiKey::JoinGroup => one::<JoinGroupRequest>(version, bytes),
        ApiKey::Heartbeat => one::<HeartbeatRequest>(version, bytes),
        ApiKey::LeaveGroup => one::<LeaveGroupRequest>(version, bytes),
        ApiKey::SyncGroup => one::<SyncGroupRequest>(version, bytes),
        ApiKey::ListGroups => one::<ListGroupsRequest>(version, bytes),
        ApiKey::DescribeGroups => one::<DescribeGroupsRequest>(version, bytes),
        ApiKey::DeleteGroups => one::<DeleteGroupsRequest>(version, bytes),
        ApiKey::DescribeCluster => one::<DescribeClusterRequest>(version, bytes),
        ApiKey::ApiVersions => one::<ApiVersionsRequest>(version, bytes),
        ApiKey::CreateTopics => one::<CreateTopicsRequest>(version, bytes),
        ApiKey::DeleteTopics => one::<DeleteTopicsRequest>(version, bytes),
        ApiKey::InitProducerId => one::<InitProducerIdRequest>(version, bytes),
        ApiKey::DescribeConfigs => one::<DescribeConfigsRequest>(version, bytes),
        ApiKey::CreatePartitions => one::<CreatePartitionsRequest>(version, bytes),
        ApiKey::IncrementalAlterConfigs => one::<IncrementalAlterConfigsRequest>(version, bytes),
        other => panic!("{other:?} is not in the version table"),
    }
}
