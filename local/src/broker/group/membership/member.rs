//! Members of a group, what they ask and what they are answered.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;

/// A request to join.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// Empty for a new member.
    pub(crate) member: String,
    /// `group.instance.id` of a static member.
    pub(crate) instance: Option<String>,
    /// Becomes the beginning of a new member's id.
    pub(crate) client_id: String,
    /// Where it connects from, as Apache Kafka writes it: `/` and the address.
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    /// Assignors that the member knows, in its order of preference, with its subscription.
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// Whether a new member must come back with the id that it is given (KIP-394).
    pub(crate) requires_id: bool,
    /// Whether a leader that comes back can be told that the assignment stands (KIP-814).
    pub(crate) skips_assignment: bool,
}

/// The answer to [`Join`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) error: Option<ResponseError>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: String,
    pub(crate) member: String,
    /// For the leader: id, instance and subscription of every member.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
    /// For a leader that came back: the assignment stands.
    pub(crate) skip_assignment: bool,
}

/// A request for an assignment.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    /// From the leader: the assignment of every member.
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// The answer to [`Sync`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) error: Option<ResponseError>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignment: Bytes,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    pub(super) joining: Option<oneshot::Sender<Joined>>,
    pub(super) syncing: Option<oneshot::Sender<Synced>>,
    /// When the session ends, unless an answer is owed to the member.
    pub(super) deadline: Instant,
}

impl Member {
    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| Some(name.as_str()) == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    pub(super) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }
}

/// Sends an answer; a member whose connection is gone does not hear it.
pub(super) fn send<T>(answer: oneshot::Sender<T>, value: T) {
    drop(answer.send(value));
}

pub(super) fn refuse_join(answer: oneshot::Sender<Joined>, error: ResponseError, member: String) {
    let refusal = Joined {
        error: Some(error),
        generation: -1,
        member,
        ..Joined::default()
    };
    send(answer, refusal);
}

pub(super) fn refuse_sync(answer: oneshot::Sender<Synced>, error: ResponseError) {
    let refusal = Synced {
        error: Some(error),
        ..Synced::default()
    };
    send(answer, refusal);
}
