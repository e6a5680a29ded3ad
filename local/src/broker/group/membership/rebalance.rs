//! Rebalances: from the first member that (re)joins to the new generation.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::member::{Joined, refuse_sync, send};
use super::{Group, Phase};

/// A rebalance in which members are joining.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rebalance {
    pub(super) deadline: Instant,
    /// Set for the first rebalance of a group: it waits for its whole (short) delay, and
    /// again for each new member, but not beyond this.
    pub(super) initial_until: Option<Instant>,
}

impl Group {
    /// Starts a rebalance, or goes on with the one there is.
    pub(super) fn rebalance(&mut self, now: Instant) {
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

    pub(super) fn complete_if_all_joined(&mut self, now: Instant) {
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
    pub(super) fn complete(&mut self, now: Instant) {
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
    pub(super) fn joined(&self, id: &str) -> Joined {
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
            skip_assignment: false,
        }
    }
}
