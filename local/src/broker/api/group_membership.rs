//! JoinGroup (11), SyncGroup (14), Heartbeat (12) and LeaveGroup (13).

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Call, code};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::group::membership::{Join, Joined, Sync, Synced};

/// Most bytes of subscriptions that one member may bring, and of assignments of a leader.
const MAX_METADATA: usize = 8 << 20;

/// First version whose clients come back with the member id that they are given.
const REQUIRES_ID: i16 = 4;

/// First version that can tell a leader that the assignment stands.
const SKIPS_ASSIGNMENT: i16 = 9;

pub(super) async fn join(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: JoinGroupRequest = call.decode()?;
    let version = call.version;
    let member = request.member_id.to_string();
    let bytes: usize = request.protocols.iter().map(|p| p.metadata.len()).sum();
    let milliseconds = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let session_timeout = milliseconds(request.session_timeout_ms);
    let join = Join {
        member: member.clone(),
        instance: request.group_instance_id.as_ref().map(ToString::to_string),
        client_id: call.client_id.to_string(),
        client_host: call.peer.client_host.clone(),
        session_timeout,
        rebalance_timeout: match request.rebalance_timeout_ms {
            // Version 0 has the session timeout for both.
            ..1 => session_timeout,
            timeout => milliseconds(timeout),
        },
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| (protocol.name.to_string(), own(&protocol.metadata)))
            .collect(),
        requires_id: version >= REQUIRES_ID,
        skips_assignment: version >= SKIPS_ASSIGNMENT,
    };
    let joined = if bytes > MAX_METADATA {
        Err(ResponseError::InvalidRequest)
    } else {
        call.node.coordinator.join(&request.group_id, join)
    };
    let joined = match joined {
        // The answer is lost when the same member asks again meanwhile.
        Ok(answer) => answer.await.map_err(|_| ResponseError::RebalanceInProgress),
        Err(error) => Err(error),
    };
    let joined = joined.unwrap_or_else(|error| Joined {
        error: Some(error),
        generation: -1,
        member,
        ..Joined::default()
    });
    call.answer(&join_response(joined, version))
}

/// A copy, so that the group does not keep the whole request in memory.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn text(text: String) -> StrBytes {
    StrBytes::from_string(text)
}

fn join_response(joined: Joined, version: i16) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|(id, instance, metadata)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance.filter(|_| version >= 5).map(text))
            .with_metadata(metadata)
    });
    let protocol = joined.protocol.map(text);
    JoinGroupResponse::default()
        .with_error_code(joined.error.map_or(0, |error| error.code()))
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.filter(|_| version >= 7).map(text))
        .with_protocol_name(match protocol {
            // Before version 7 the name cannot be null.
            None if version < 7 => Some(StrBytes::new()),
            name => name,
        })
        .with_leader(text(joined.leader))
        .with_member_id(text(joined.member))
        .with_members(members.collect())
        .with_skip_assignment(joined.skip_assignment)
}

pub(super) async fn sync(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: SyncGroupRequest = call.decode()?;
    let version = call.version;
    let bytes: usize = request.assignments.iter().map(|a| a.assignment.len()).sum();
    let sync = Sync {
        member: request.member_id.to_string(),
        instance: request.group_instance_id.as_ref().map(ToString::to_string),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_ref().map(ToString::to_string),
        protocol: request.protocol_name.as_ref().map(ToString::to_string),
        assignments: request
            .assignments
            .into_iter()
            .map(|assigned| (assigned.member_id.to_string(), own(&assigned.assignment)))
            .collect(),
    };
    let synced = if bytes > MAX_METADATA {
        Err(ResponseError::InvalidRequest)
    } else {
        call.node.coordinator.sync(&request.group_id, sync)
    };
    let synced = match synced {
        Ok(answer) => answer.await.map_err(|_| ResponseError::RebalanceInProgress),
        Err(error) => Err(error),
    };
    let synced = synced.unwrap_or_else(|error| Synced {
        error: Some(error),
        ..Synced::default()
    });
    let response = SyncGroupResponse::default()
        .with_error_code(synced.error.map_or(0, |error| error.code()))
        .with_protocol_type(synced.protocol_type.filter(|_| version >= 5).map(text))
        .with_protocol_name(synced.protocol.filter(|_| version >= 5).map(text))
        .with_assignment(synced.assignment);
    call.answer(&response)
}

pub(super) fn heartbeat(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: HeartbeatRequest = call.decode()?;
    let instance = request.group_instance_id.as_ref().map(ToString::to_string);
    let beat = call.node.coordinator.heartbeat(
        &request.group_id,
        &request.member_id,
        instance.as_ref(),
        request.generation_id,
    );
    call.answer(&HeartbeatResponse::default().with_error_code(code(&beat)))
}

pub(super) fn leave(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: LeaveGroupRequest = call.decode()?;
    let coordinator = &call.node.coordinator;
    let group = &request.group_id;
    let response = if call.version >= 3 {
        let members = request.members.iter().map(|leaving| {
            let instance = leaving.group_instance_id.as_ref().map(ToString::to_string);
            let left = coordinator.leave(group, &leaving.member_id, instance.as_ref());
            MemberResponse::default()
                .with_member_id(leaving.member_id.clone())
                .with_group_instance_id(leaving.group_instance_id.clone())
                .with_error_code(code(&left))
        });
        LeaveGroupResponse::default().with_members(members.collect())
    } else {
        let left = coordinator.leave(group, &request.member_id, None);
        LeaveGroupResponse::default().with_error_code(code(&left))
    };
    call.answer(&response)
}
