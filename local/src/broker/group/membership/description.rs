//! What a group tells whoever asks about it.

use bytes::Bytes;

use super::{Group, Phase};

/// A group and who is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// Apache Kafka's word for where the group is.
    pub(crate) state: &'static str,
    /// `consumer` for consumers; empty where only committed offsets are known.
    pub(crate) protocol_type: String,
    /// The assignor that all members know, once they have agreed on it.
    pub(crate) protocol: String,
    pub(crate) members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberDescription {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// Its subscription for the group's assignor.
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

impl Description {
    /// A group without members that is known by its committed offsets.
    pub(crate) fn empty() -> Self {
        Self {
            state: Phase::Empty.name(),
            ..Self::default()
        }
    }

    /// A group that there is not.
    pub(crate) fn dead() -> Self {
        Self {
            state: "Dead",
            ..Self::default()
        }
    }
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Joining => "PreparingRebalance",
            Self::Syncing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl Group {
    /// As Apache Kafka describes a group: subscriptions and assignments only while they are those of all members.
    pub(crate) fn describe(&self) -> Description {
        let stable = self.phase == Phase::Stable;
        let protocol = self.protocol.as_deref().filter(|_| stable);
        let members = self.members.iter().map(|(id, member)| MemberDescription {
            id: id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: member.metadata(protocol),
            assignment: if stable {
                member.assignment.clone()
            } else {
                Bytes::new()
            },
        });
        Description {
            state: self.phase.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
        }
    }
}
