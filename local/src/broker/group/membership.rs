//! One consumer group: who is in it, and the rebalance that it is in.
//!
//! The states and their answers are those of Apache Kafka's classic group coordinator. Time
//! comes in as an argument; answers that have to wait leave by a channel.

mod description;
mod joining;
mod member;
mod rebalance;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;

pub(crate) use description::{Description, MemberDescription};
pub(crate) use member::{Join, Joined, Sync, Synced};
use member::{Member, refuse_sync, send};
use rebalance::Rebalance;

/// Bounds and delays of all groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Shortest session timeout that a member may ask for.
    pub(crate) min_session: Duration,
    /// Longest session timeout that a member may ask for.
    pub(crate) max_session: Duration,
    /// How long an empty group waits for more members before its first rebalance.
    pub(crate) initial_delay: Duration,
}

/// Where a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No members.
    Empty,
    /// Members are (re)joining.
    Joining,
    /// All have joined; the leader's assignment is awaited.
    Syncing,
    /// Every member has its assignment.
    Stable,
}
/// A consumer group.
#[derive(Debug)]
pub(crate) struct Group {
    settings: Settings,
    phase: Phase,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Ids given to members that have not come back with them, and until when they may.
    pending: HashMap<String, Instant>,
    instances: HashMap<String, String>,
    rebalance: Option<Rebalance>,
}

impl Group {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending: HashMap::new(),
            instances: HashMap::new(),
            rebalance: None,
        }
    }

    /// Whether nobody is in it or about to be.
    pub(crate) fn is_idle(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }
    /// Gives a member its assignment: at once when the group is stable, else when the leader
    /// has sent it.
    pub(crate) fn sync(&mut self, sync: Sync, now: Instant) -> oneshot::Receiver<Synced> {
        let (answer, receiver) = oneshot::channel();
        if let Err(error) = self.check_sync(&sync) {
            refuse_sync(answer, error);
            return receiver;
        }
        let leads = self.leader.as_ref() == Some(&sync.member);
        let stable = self.phase == Phase::Stable;
        if let Some(member) = self.members.get_mut(&sync.member) {
            member.deadline = now + member.session_timeout;
            member.syncing = Some(answer);
        }
        if leads && !stable {
            for (id, assignment) in sync.assignments {
                if let Some(member) = self.members.get_mut(&id) {
                    member.assignment = assignment;
                }
            }
            self.phase = Phase::Stable;
        }
        if self.phase == Phase::Stable {
            for member in self.members.values_mut() {
                if let Some(answer) = member.syncing.take() {
                    member.deadline = now + member.session_timeout;
                    send(
                        answer,
                        Synced {
                            error: None,
                            protocol_type: self.protocol_type.clone(),
                            protocol: self.protocol.clone(),
                            assignment: member.assignment.clone(),
                        },
                    );
                }
            }
        }
        receiver
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ResponseError> {
        self.check_member(&sync.member, sync.instance.as_ref())?;
        if sync.generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |sent: &Option<String>, ours: &Option<String>| sent.is_some() && sent != ours;
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::Empty => Err(ResponseError::UnknownMemberId),
            Phase::Joining => Err(ResponseError::RebalanceInProgress),
            Phase::Syncing | Phase::Stable => Ok(()),
        }
    }

    /// Whether `id` is a member, and the one that its instance id stands for.
    fn check_member(&self, id: &str, instance: Option<&String>) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            return match self.instances.get(instance) {
                None => Err(ResponseError::UnknownMemberId),
                Some(current) if current != id => Err(ResponseError::FencedInstanceId),
                Some(_) => Ok(()),
            };
        }
        if self.members.contains_key(id) {
            Ok(())
        } else {
            Err(ResponseError::UnknownMemberId)
        }
    }

    /// Keeps a member's session alive.
    pub(crate) fn heartbeat(
        &mut self,
        id: &str,
        instance: Option<&String>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if self.pending.contains_key(id) {
            return Err(ResponseError::UnknownMemberId);
        }
        self.check_member(id, instance)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.touch(id, now);
        match self.phase {
            Phase::Joining => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn touch(&mut self, id: &str, now: Instant) {
        if let Some(member) = self.members.get_mut(id) {
            member.deadline = now + member.session_timeout;
        }
    }

    /// Takes a member out; a static one is named by its instance alone or by both.
    pub(crate) fn leave(
        &mut self,
        id: &str,
        instance: Option<&String>,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if self.pending.remove(id).is_some() {
            self.complete_if_all_joined(now);
            return Ok(());
        }
        let id = match instance {
            Some(instance) if id.is_empty() => self
                .instances
                .get(instance)
                .cloned()
                .ok_or(ResponseError::UnknownMemberId)?,
            _ => id.to_owned(),
        };
        self.check_member(&id, instance)?;
        self.expel(&id, now);
        Ok(())
    }

    /// Removes a member and lets the others rebalance.
    fn expel(&mut self, id: &str, now: Instant) {
        self.remove(id);
        match self.phase {
            Phase::Stable | Phase::Syncing => self.rebalance(now),
            Phase::Joining if self.members.is_empty() => self.complete(now),
            Phase::Joining => self.complete_if_all_joined(now),
            Phase::Empty => {}
        }
    }

    fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        if let Some(instance) = member.instance {
            self.instances.remove(&instance);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        if let Some(joining) = member.joining {
            member::refuse_join(joining, ResponseError::UnknownMemberId, id.to_owned());
        }
        if let Some(syncing) = member.syncing {
            refuse_sync(syncing, ResponseError::UnknownMemberId);
        }
    }

    /// Whether a commit of offsets is the group's: generation -1 is a consumer without a
    /// group, which may commit while the group is empty.
    pub(crate) fn check_commit(
        &mut self,
        id: &str,
        instance: Option<&String>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.phase == Phase::Empty {
            return Ok(());
        }
        self.check_member(id, instance)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        if self.phase == Phase::Syncing {
            return Err(ResponseError::RebalanceInProgress);
        }
        self.touch(id, now);
        Ok(())
    }

    /// Ends the sessions and waits that are over.
    pub(crate) fn expire(&mut self, now: Instant) {
        let pending = self.pending.len();
        self.pending.retain(|_, until| *until > now);
        let silent: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| !member.is_waiting() && member.deadline <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in &silent {
            tracing::info!(
                member = id,
                "group member {id} was silent for its session timeout and is out"
            );
            self.expel(id, now);
        }
        if pending != self.pending.len() {
            self.complete_if_all_joined(now);
        }
        if self
            .rebalance
            .is_some_and(|rebalance| rebalance.deadline <= now)
        {
            self.complete(now);
        }
    }

    /// When [`Group::expire`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let sessions = self
            .members
            .values()
            .filter(|member| !member.is_waiting())
            .map(|member| member.deadline);
        sessions
            .chain(self.pending.values().copied())
            .chain(self.rebalance.map(|rebalance| rebalance.deadline))
            .min()
    }
}
#[cfg(test)]
#[path = "../tests/membership.rs"]
mod tests;
