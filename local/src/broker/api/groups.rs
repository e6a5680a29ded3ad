//! ListGroups (16), DescribeGroups (15) and DeleteGroups (42).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, ListGroupsRequest, ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Call, blocking, code};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::group::membership::{Description, MemberDescription};

/// All groups of this broker are of the classic protocol.
const TYPE: &str = "classic";

/// First version whose answer tells a group that there is not from a dead one.
const TELLS_MISSING: i16 = 6;

fn text(text: String) -> StrBytes {
    StrBytes::from_string(text)
}

pub(super) fn list(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: ListGroupsRequest = call.decode()?;
    let version = call.version;
    // Filters are compared as Apache Kafka does: without regard to case, and none lets everything through.
    let passes = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(value))
    };
    let groups = call.node.coordinator.list().into_iter();
    let groups = groups
        .filter(|(_, group)| {
            passes(&request.states_filter, group.state) && passes(&request.types_filter, TYPE)
        })
        .map(|(id, group)| {
            let listed = ListedGroup::default()
                .with_group_id(GroupId(text(id)))
                .with_protocol_type(text(group.protocol_type));
            let listed = match version {
                ..4 => listed,
                _ => listed.with_group_state(StrBytes::from_static_str(group.state)),
            };
            match version {
                ..5 => listed,
                _ => listed.with_group_type(StrBytes::from_static_str(TYPE)),
            }
        });
    call.answer(&ListGroupsResponse::default().with_groups(groups.collect()))
}

pub(super) fn describe(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: DescribeGroupsRequest = call.decode()?;
    let version = call.version;
    let groups = request.groups.into_iter().map(|id| {
        let described = DescribedGroup::default();
        match call.node.coordinator.describe(&id) {
            Some(group) => filled(described, group, version),
            None if version < TELLS_MISSING => filled(described, Description::dead(), version),
            None => {
                let message = format!("there is no group {}", *id);
                filled(described, Description::dead(), version)
                    .with_error_code(ResponseError::GroupIdNotFound.code())
                    .with_error_message(Some(text(message)))
            }
        }
        .with_group_id(id)
    });
    call.answer(&DescribeGroupsResponse::default().with_groups(groups.collect()))
}

fn filled(described: DescribedGroup, group: Description, version: i16) -> DescribedGroup {
    let members = group.members.into_iter();
    described
        .with_error_message(None)
        .with_group_state(StrBytes::from_static_str(group.state))
        .with_protocol_type(text(group.protocol_type))
        .with_protocol_data(text(group.protocol))
        .with_members(members.map(|m| member(m, version)).collect())
}

fn member(member: MemberDescription, version: i16) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(text(member.id))
        .with_group_instance_id(member.instance.filter(|_| version >= 4).map(text))
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: DeleteGroupsRequest = call.decode()?;
    let results = blocking(call.node, move |node| {
        let results = request.groups_names.into_iter().map(|id| {
            let deleted = node.coordinator.delete(&id);
            DeletableGroupResult::default()
                .with_error_code(code(&deleted))
                .with_group_id(id)
        });
        results.collect()
    })
    .await?;
    call.answer(&DeleteGroupsResponse::default().with_results(results))
}
