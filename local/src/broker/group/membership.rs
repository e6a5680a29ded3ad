//! One consumer group: who is in it, and the rebalance that it is in.
//!
//! The states and their answers are those of Apache Kafka's classic group coordinator. Time
//! comes in as an argument; answers that have to wait leave by a channel.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Most members of one group.
const MAX_MEMBERS: usize = 1_000;

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

/// A request to join.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// Empty for a new member.
    pub(crate) member: String,
    /// `group.instance.id` of a static member.
    pub(crate) instance: Option<String>,
    /// Becomes the beginning of a new member's id.
    pub(crate) client_id: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    /// Assignors that the member knows, in its order of preference, with its subscription.
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// Whether a new member must come back with the id that it is given (KIP-394).
    pub(crate) requires_id: bool,
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
struct Member {
    instance: Option<String>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    protocols: Vec<(String, Bytes)>,
    assignment: Bytes,
    joining: Option<oneshot::Sender<Joined>>,
    syncing: Option<oneshot::Sender<Synced>>,
    /// When the session ends, unless an answer is owed to the member.
    deadline: Instant,
}

impl Member {
    fn metadata(&self, protocol: Option<&str>) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| Some(name.as_str()) == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }
}

/// A rebalance in which members are joining.
#[derive(Clone, Copy, Debug)]
struct Rebalance {
    deadline: Instant,
    /// Set for the first rebalance of a group: it waits for its whole (short) delay, and
    /// again for each new member, but not beyond this.
    initial_until: Option<Instant>,
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

    /// Lets a member join. The answer comes when the rebalance has all members, or at once.
    pub(crate) fn join(&mut self, join: Join, now: Instant) -> oneshot::Receiver<Joined> {
        let (answer, receiver) = oneshot::channel();
        if let Err(error) = self.check_join(&join) {
            refuse_join(answer, error, join.member);
            return receiver;
        }
        if join.member.is_empty() {
            self.join_new(join, answer, now);
        } else if self.pending.remove(&join.member).is_some() {
            let id = join.member.clone();
            self.add(id, join, answer, now);
        } else {
            self.rejoin(join, answer, now);
        }
        receiver
    }

    fn check_join(&self, join: &Join) -> Result<(), ResponseError> {
        let sessions = self.settings.min_session..=self.settings.max_session;
        if !sessions.contains(&join.session_timeout) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let others: Vec<&Member> = self
            .members
            .iter()
            .filter(|(id, _)| **id != join.member)
            .map(|(_, member)| member)
            .collect();
        if !self.members.is_empty() && self.protocol_type.as_ref() != Some(&join.protocol_type) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let common = |name: &str| others.iter().all(|member| member.knows(name));
        if !join.protocols.iter().any(|(name, _)| common(name)) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let known = self.members.contains_key(&join.member)
            || self.pending.contains_key(&join.member)
            || join
                .instance
                .as_ref()
                .is_some_and(|instance| self.instances.contains_key(instance));
        if !known && self.members.len() + self.pending.len() >= MAX_MEMBERS {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        Ok(())
    }

    fn join_new(&mut self, join: Join, answer: oneshot::Sender<Joined>, now: Instant) {
        let prefix = join.instance.as_ref().unwrap_or(&join.client_id);
        let id = format!("{prefix}-{}", Uuid::new_v4());
        let replaced = join
            .instance
            .as_ref()
            .and_then(|instance| self.instances.get(instance).cloned());
        if let Some(old) = replaced {
            self.replace(&old, id, join, answer, now);
        } else if join.requires_id && join.instance.is_none() {
            self.pending.insert(id.clone(), now + join.session_timeout);
            refuse_join(answer, ResponseError::MemberIdRequired, id);
        } else {
            self.add(id, join, answer, now);
        }
    }

    fn add(&mut self, id: String, join: Join, answer: oneshot::Sender<Joined>, now: Instant) {
        if let Some(instance) = &join.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type);
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.members.insert(
            id,
            Member {
                instance: join.instance,
                session_timeout: join.session_timeout,
                rebalance_timeout: join.rebalance_timeout,
                protocols: join.protocols,
                assignment: Bytes::new(),
                joining: Some(answer),
                syncing: None,
                deadline: now + join.session_timeout,
            },
        );
        if let Some(rebalance) = &mut self.rebalance
            && let Some(until) = rebalance.initial_until
        {
            rebalance.deadline = until.min(now + self.settings.initial_delay);
        }
        self.rebalance(now);
    }

    /// A static member came back with a new process: it takes its old place.
    fn replace(
        &mut self,
        old: &str,
        id: String,
        join: Join,
        answer: oneshot::Sender<Joined>,
        now: Instant,
    ) {
        let Some(mut member) = self.members.remove(old) else {
            return self.add(id, join, answer, now);
        };
        if let Some(joining) = member.joining.take() {
            refuse_join(joining, ResponseError::FencedInstanceId, old.to_owned());
        }
        if let Some(syncing) = member.syncing.take() {
            refuse_sync(syncing, ResponseError::FencedInstanceId);
        }
        let led = self.leader.as_deref() == Some(old);
        if led {
            self.leader = Some(id.clone());
        }
        if let Some(instance) = &join.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        let unchanged = member.protocols == join.protocols;
        member.protocols = join.protocols;
        member.session_timeout = join.session_timeout;
        member.rebalance_timeout = join.rebalance_timeout;
        member.deadline = now + join.session_timeout;
        self.members.insert(id.clone(), member);
        if self.phase == Phase::Stable && unchanged && !led {
            let joined = self.joined(&id);
            send(answer, joined);
        } else {
            self.wait_for_rebalance(&id, answer, now);
        }
    }

    fn rejoin(&mut self, join: Join, answer: oneshot::Sender<Joined>, now: Instant) {
        let id = join.member.clone();
        if let Err(error) = self.check_member(&id, join.instance.as_ref()) {
            return refuse_join(answer, error, id);
        }
        let leads = self.leader.as_ref() == Some(&id);
        let Some(member) = self.members.get_mut(&id) else {
            return refuse_join(answer, ResponseError::UnknownMemberId, id);
        };
        let unchanged = member.protocols == join.protocols;
        let may_stay = match self.phase {
            Phase::Syncing => unchanged,
            Phase::Stable => unchanged && !leads,
            Phase::Empty | Phase::Joining => false,
        };
        member.protocols = join.protocols;
        member.session_timeout = join.session_timeout;
        member.rebalance_timeout = join.rebalance_timeout;
        member.deadline = now + member.session_timeout;
        if may_stay {
            let joined = self.joined(&id);
            send(answer, joined);
        } else {
            self.wait_for_rebalance(&id, answer, now);
        }
    }

    fn wait_for_rebalance(&mut self, id: &str, answer: oneshot::Sender<Joined>, now: Instant) {
        if let Some(member) = self.members.get_mut(id) {
            // An older request of the same member has lost its connection.
            member.joining = Some(answer);
        }
        self.rebalance(now);
    }

    /// Starts a rebalance, or goes on with the one there is.
    fn rebalance(&mut self, now: Instant) {
        if self.phase != Phase::Joining {
            let longest = self.longest_rebalance();
            let first = self.phase == Phase::Empty;
            self.rebalance = Some(Rebalance {
                deadline: now
                    + if first {
                        self.settings.initial_delay.min(longest)
                    } else {
                        longest
                    },
                initial_until: first.then_some(now + longest),
            });
            self.phase = Phase::Joining;
            for member in self.members.values_mut() {
                if let Some(syncing) = member.syncing.take() {
                    refuse_sync(syncing, ResponseError::RebalanceInProgress);
                    member.deadline = now + member.session_timeout;
                }
            }
        }
        self.complete_if_all_joined(now);
    }

    fn longest_rebalance(&self) -> Duration {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    fn complete_if_all_joined(&mut self, now: Instant) {
        let initial = self.rebalance.is_some_and(|r| r.initial_until.is_some());
        if self.phase == Phase::Joining
            && !initial
            && self.pending.is_empty()
            && self.members.values().all(|member| member.joining.is_some())
        {
            self.complete(now);
        }
    }

    /// Ends the joining: who has not joined is out, the others get their generation.
    fn complete(&mut self, now: Instant) {
        self.rebalance = None;
        let absent: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && member.instance.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in absent {
            self.remove(&id);
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.protocol = None;
            self.protocol_type = None;
            return;
        }
        self.phase = Phase::Syncing;
        self.protocol = self.elect_protocol();
        let leads = |id: &String| self.members.get(id).is_some_and(|m| m.joining.is_some());
        if !self.leader.as_ref().is_some_and(leads) {
            let joined = self.members.iter().find(|(_, m)| m.joining.is_some());
            let first = joined.or_else(|| self.members.iter().next());
            self.leader = first.map(|(id, _)| id.clone());
        }
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.deadline = now + member.session_timeout;
                member.assignment = Bytes::new();
                if let Some(answer) = member.joining.take() {
                    send(answer, joined);
                }
            }
        }
    }

    /// Of the assignors that all members know, the one that most prefer.
    fn elect_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let preferred = member
                .protocols
                .iter()
                .find(|(name, _)| self.members.values().all(|other| other.knows(name)));
            if let Some((name, _)) = preferred {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes
            .into_iter()
            .max_by_key(|(_, votes)| *votes)
            .map(|(name, _)| name.to_owned())
    }

    /// What a member learns from the generation that it is in.
    fn joined(&self, id: &str) -> Joined {
        let leads = self.leader.as_deref() == Some(id);
        let protocol = self.protocol.as_deref();
        let members = self.members.iter().filter(|_| leads);
        Joined {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: id.to_owned(),
            members: members
                .map(|(id, member)| {
                    (
                        id.clone(),
                        member.instance.clone(),
                        member.metadata(protocol),
                    )
                })
                .collect(),
        }
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
        match self.members.contains_key(id) {
            true => Ok(()),
            false => Err(ResponseError::UnknownMemberId),
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
            refuse_join(joining, ResponseError::UnknownMemberId, id.to_owned());
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

/// Sends an answer; a member whose connection is gone does not hear it.
fn send<T>(answer: oneshot::Sender<T>, value: T) {
    drop(answer.send(value));
}

fn refuse_join(answer: oneshot::Sender<Joined>, error: ResponseError, member: String) {
    let refusal = Joined {
        error: Some(error),
        generation: -1,
        member,
        ..Joined::default()
    };
    send(answer, refusal);
}

fn refuse_sync(answer: oneshot::Sender<Synced>, error: ResponseError) {
    let refusal = Synced {
        error: Some(error),
        ..Synced::default()
    };
    send(answer, refusal);
}

#[cfg(test)]
#[path = "../tests/membership.rs"]
mod tests;
