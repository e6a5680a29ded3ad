//! Joining: new members, members that come back, and static members that take their place.

use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::member::{Join, Joined, Member, refuse_join, refuse_sync, send};
use super::{Group, Phase};

/// Most members of one group.
const MAX_MEMBERS: usize = 1_000;

impl Group {
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
                client_id: join.client_id,
                client_host: join.client_host,
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

    /// A static member came back with a new process: it takes its old place. A stable group
    /// whose protocols it does not change stays as it is (KIP-345), led by it or not.
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
        if self.phase == Phase::Stable && unchanged {
            let mut joined = self.joined(&id);
            if led && join.skips_assignment {
                joined.skip_assignment = true;
            } else if led {
                // One that cannot be told to skip the assignment must not take itself for the
                // leader: a stable group would not hand out what it assigns.
                old.clone_into(&mut joined.leader);
                joined.members.clear();
            }
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
}
