//! Every version in the version table is served.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
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
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Compression;

use super::raw::{NOW, Raw, fetch_request, produce_request, topic_name};
use super::*;
use crate::broker::log::batch::tests::sent;
use crate::broker::versions::TABLE;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(id: &str) -> GroupId {
    GroupId(text(id))
}

fn plain(count: usize) -> Bytes {
    sent((-1, -1, -1), count, 1_000, Compression::None)
}

/// Sends a request of this API and version and checks the answer.
async fn use_api(raw: &mut Raw, key: ApiKey, v: i16) {
    match key {
        ApiKey::Produce => {
            let response = raw.call(v, produce_request("ticks", plain(2))).await;
            let partition = &response.responses[0].partition_responses[0];
            assert_eq!(partition.error_code, 0);
            assert!(partition.base_offset >= 0);
            assert_eq!(partition.log_start_offset, if v >= 5 { 0 } else { -1 });
        }
        ApiKey::Fetch => {
            let response = raw.call(v, fetch_request("ticks", 0, NOW)).await;
            let partition = &response.responses[0].partitions[0];
            assert_eq!((partition.error_code, response.session_id), (0, 0));
            assert!(!partition.records.as_ref().unwrap().is_empty());
            assert_eq!(partition.high_watermark, partition.last_stable_offset);
        }
        ApiKey::ListOffsets => {
            let latest = ListOffsetsPartition::default().with_timestamp(-1);
            let topic = ListOffsetsTopic::default()
                .with_name(topic_name("ticks"))
                .with_partitions(vec![latest]);
            let request = ListOffsetsRequest::default().with_topics(vec![topic]);
            let response = raw.call(v, request).await;
            let partition = &response.topics[0].partitions[0];
            assert_eq!(partition.error_code, 0);
            assert!(partition.offset > 0);
        }
        ApiKey::Metadata => {
            let topic = MetadataRequestTopic::default().with_name(Some(topic_name("ticks")));
            let request = MetadataRequest::default()
                .with_allow_auto_topic_creation(true)
                .with_topics(Some(vec![topic]));
            let response = raw.call(v, request).await;
            assert_eq!(response.brokers.len(), 1);
            assert_eq!(&*response.brokers[0].host, "127.0.0.1");
            assert_eq!(response.cluster_id.is_some(), v >= 2);
            assert_eq!(response.topics[0].partitions.len(), 2);
            assert_eq!(response.topics[0].topic_id.is_nil(), v < 10);
        }
        ApiKey::OffsetCommit => {
            let partition = OffsetCommitRequestPartition::default()
                .with_committed_offset(7)
                .with_committed_metadata(Some(text("note")));
            let topic = OffsetCommitRequestTopic::default()
                .with_name(topic_name("ticks"))
                .with_partitions(vec![partition]);
            let request = OffsetCommitRequest::default()
                .with_group_id(group("commits"))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![topic]);
            let response = raw.call(v, request).await;
            assert_eq!(response.topics[0].partitions[0].error_code, 0);
        }
        ApiKey::OffsetFetch if v >= 8 => {
            let topic = OffsetFetchRequestTopics::default()
                .with_name(topic_name("ticks"))
                .with_partition_indexes(vec![0, 1]);
            let groups = ["commits", "nobody"].map(|id| {
                OffsetFetchRequestGroup::default()
                    .with_group_id(group(id))
                    .with_topics(Some(vec![topic.clone()]))
            });
            let request = OffsetFetchRequest::default().with_groups(groups.to_vec());
            let response = raw.call(v, request).await;
            let offset =
                |g: usize, p: usize| response.groups[g].topics[0].partitions[p].committed_offset;
            assert_eq!((offset(0, 0), offset(0, 1), offset(1, 0)), (7, -1, -1));
        }
        ApiKey::OffsetFetch => {
            let topic = OffsetFetchRequestTopic::default()
                .with_name(topic_name("ticks"))
                .with_partition_indexes(vec![0, 1]);
            let request = OffsetFetchRequest::default()
                .with_group_id(group("commits"))
                .with_topics(Some(vec![topic]));
            let response = raw.call(v, request).await;
            let partitions = &response.topics[0].partitions;
            assert_eq!(partitions[0].committed_offset, 7);
            assert_eq!(partitions[0].metadata.as_deref(), Some("note"));
            assert_eq!(partitions[1].committed_offset, -1);
        }
        ApiKey::FindCoordinator if v >= 4 => {
            let request =
                FindCoordinatorRequest::default().with_coordinator_keys(vec![text("a"), text("b")]);
            let response = raw.call(v, request).await;
            assert_eq!(response.coordinators.len(), 2);
            assert!(
                response
                    .coordinators
                    .iter()
                    .all(|c| c.error_code == 0 && c.port > 0)
            );
        }
        ApiKey::FindCoordinator => {
            let request = FindCoordinatorRequest::default().with_key(text("a"));
            let response = raw.call(v, request).await;
            assert_eq!((response.error_code, response.node_id), (0, BrokerId(1)));
        }
        ApiKey::JoinGroup => {
            let name = format!("joined-{v}");
            let protocol = JoinGroupRequestProtocol::default()
                .with_name(text("range"))
                .with_metadata(Bytes::from_static(b"x"));
            let request = JoinGroupRequest::default()
                .with_group_id(group(&name))
                .with_session_timeout_ms(30_000)
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol]);
            let request = if v >= 1 {
                request.with_rebalance_timeout_ms(30_000)
            } else {
                request
            };
            let mut response = raw.call(v, request.clone()).await;
            if v >= 4 {
                assert_eq!(response.error_code, ResponseError::MemberIdRequired.code());
                let again = request.with_member_id(response.member_id);
                response = raw.call(v, again).await;
            }
            assert_eq!((response.error_code, response.generation_id), (0, 1));
            assert_eq!(response.members.len(), 1);
            assert_eq!(response.leader, response.member_id);
            assert_eq!(response.protocol_name.as_deref(), Some("range"));
        }
        ApiKey::SyncGroup => {
            let request = SyncGroupRequest::default().with_group_id(group("nobody"));
            let response = raw.call(v, request).await;
            assert_eq!(response.error_code, ResponseError::UnknownMemberId.code());
        }
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest::default().with_group_id(group("nobody"));
            let response = raw.call(v, request).await;
            assert_eq!(response.error_code, ResponseError::UnknownMemberId.code());
        }
        ApiKey::LeaveGroup if v >= 3 => {
            let leaving = MemberIdentity::default().with_member_id(text("x"));
            let request = LeaveGroupRequest::default()
                .with_group_id(group("nobody"))
                .with_members(vec![leaving]);
            let response = raw.call(v, request).await;
            assert_eq!(response.error_code, 0);
            assert_eq!(
                response.members[0].error_code,
                ResponseError::UnknownMemberId.code()
            );
        }
        ApiKey::LeaveGroup => {
            let request = LeaveGroupRequest::default()
                .with_group_id(group("nobody"))
                .with_member_id(text("x"));
            let response = raw.call(v, request).await;
            assert_eq!(response.error_code, ResponseError::UnknownMemberId.code());
        }
        ApiKey::ApiVersions => {
            let request = ApiVersionsRequest::default();
            let request = if v >= 3 {
                request
                    .with_client_software_name(text("test"))
                    .with_client_software_version(text("1"))
            } else {
                request
            };
            let response = raw.call(v, request).await;
            assert_eq!(response.error_code, 0);
            assert_eq!(response.api_keys.len(), TABLE.len());
        }
        ApiKey::CreateTopics => {
            let topic = CreatableTopic::default()
                .with_name(topic_name(&format!("created-{v}")))
                .with_num_partitions(2)
                .with_replication_factor(3);
            let request = CreateTopicsRequest::default().with_topics(vec![topic]);
            let response = raw.call(v, request).await;
            let topic = &response.topics[0];
            assert_eq!(topic.error_code, 0);
            if v >= 5 {
                assert_eq!((topic.num_partitions, topic.replication_factor), (2, 1));
            }
            assert_eq!(topic.topic_id.is_nil(), v < 7);
        }
        ApiKey::DeleteTopics => {
            let name = format!("deleted-{v}");
            raw.create_topic(&name, 2, &[]).await;
            let name = topic_name(&name);
            let request = DeleteTopicsRequest::default();
            let request = if v >= 6 {
                let state = DeleteTopicState::default().with_name(Some(name.clone()));
                request.with_topics(vec![state])
            } else {
                request.with_topic_names(vec![name.clone()])
            };
            let response = raw.call(v, request).await;
            let deleted = &response.responses[0];
            assert_eq!((deleted.error_code, &deleted.name), (0, &Some(name)));
            assert_eq!(deleted.topic_id.is_nil(), v < 6);
        }
        ApiKey::InitProducerId => {
            let response = raw
                .call(
                    v,
                    InitProducerIdRequest::default().with_transactional_id(None),
                )
                .await;
            assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        }
        ApiKey::DescribeConfigs => {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text("ticks"))
                .with_configuration_keys(Some(vec![text("retention.bytes")]));
            let request = DescribeConfigsRequest::default()
                .with_resources(vec![resource])
                .with_include_synonyms(true);
            let response = raw.call(v, request).await;
            let configs = &response.results[0].configs;
            assert_eq!(configs.len(), 1);
            assert_eq!(configs[0].value.as_deref(), Some("-1"));
            assert_eq!(configs[0].config_source, 5);
        }
        ApiKey::CreatePartitions => {
            let topic = CreatePartitionsTopic::default()
                .with_name(topic_name("growing"))
                .with_count(i32::from(v) + 2)
                .with_assignments(None);
            let request = CreatePartitionsRequest::default().with_topics(vec![topic]);
            let response = raw.call(v, request).await;
            assert_eq!(response.results[0].error_code, 0);
        }
        ApiKey::IncrementalAlterConfigs => {
            let change = AlterableConfig::default()
                .with_name(text("max.message.bytes"))
                .with_value(Some(text("2000000")));
            let resource = AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text("ticks"))
                .with_configs(vec![change]);
            let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            let response = raw.call(v, request).await;
            assert_eq!(response.responses[0].error_code, 0);
        }
        // These come after JoinGroup and OffsetCommit: `joined-0` has a member, `commits` has offsets alone.
        ApiKey::ListGroups => {
            let request = ListGroupsRequest::default();
            let request = match v {
                ..4 => request,
                _ => request.with_states_filter(vec![text("empty")]),
            };
            let response = raw.call(v, request).await;
            let ids: Vec<&str> = response.groups.iter().map(|g| &**g.group_id).collect();
            assert!(ids.contains(&"commits"), "{ids:?}");
            assert_eq!(ids.contains(&"joined-0"), v < 4, "{ids:?}");
            let types: Vec<&str> = response.groups.iter().map(|g| &*g.group_type).collect();
            assert_eq!(types.contains(&"classic"), v >= 5);
        }
        ApiKey::DescribeGroups => {
            let groups = ["joined-0", "commits", "nobody"].map(group).to_vec();
            let request = DescribeGroupsRequest::default().with_groups(groups);
            let response = raw.call(v, request).await;
            let states: Vec<&str> = response.groups.iter().map(|g| &*g.group_state).collect();
            assert_eq!(states, ["CompletingRebalance", "Empty", "Dead"]);
            assert_eq!(&*response.groups[0].members[0].client_host, "/127.0.0.1");
            let missing = ResponseError::GroupIdNotFound.code();
            assert_eq!(
                response.groups[2].error_code,
                if v >= 6 { missing } else { 0 }
            );
        }
        ApiKey::DeleteGroups => {
            let name = format!("gone-{v}");
            let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
            let topic = OffsetCommitRequestTopic::default()
                .with_name(topic_name("ticks"))
                .with_partitions(vec![partition]);
            let commit = OffsetCommitRequest::default()
                .with_group_id(group(&name))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![topic]);
            raw.call(2, commit).await;
            let groups = [&name, "joined-0", "nobody"].map(group).to_vec();
            let request = DeleteGroupsRequest::default().with_groups_names(groups);
            let response = raw.call(v, request).await;
            let codes: Vec<i16> = response.results.iter().map(|r| r.error_code).collect();
            let refused = [ResponseError::NonEmptyGroup, ResponseError::GroupIdNotFound];
            assert_eq!(codes, [0, refused[0].code(), refused[1].code()]);
        }
        ApiKey::DescribeCluster => {
            let response = raw.call(v, DescribeClusterRequest::default()).await;
            assert_eq!((response.error_code, response.brokers.len()), (0, 1));
            assert_eq!(response.controller_id, response.brokers[0].broker_id);
            if v >= 1 {
                for (endpoints, refused) in [
                    (2, ResponseError::MismatchedEndpointType),
                    (3, ResponseError::UnsupportedEndpointType),
                ] {
                    let others = DescribeClusterRequest::default().with_endpoint_type(endpoints);
                    let response = raw.call(v, others).await;
                    assert_eq!(response.error_code, refused.code());
                }
            }
        }
        other => panic!("{other:?} is in the version table, but this test does not use it"),
    }
}

#[tokio::test]
async fn every_version_in_the_table_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 2, &[]).await;
    raw.create_topic("growing", 1, &[]).await;
    for row in TABLE {
        for version in row.served..=row.highest {
            use_api(&mut raw, row.key, version).await;
        }
    }
    broker.shutdown().await.unwrap();
}
