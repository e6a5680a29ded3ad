//! The group coordinator: all groups, and the clock that ends their sessions.

use std::collections::BTreeMap;
use std::time::Instant;

use kafka_protocol::error::ResponseError;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::membership::{Description, Group, Join, Joined, Settings, Sync, Synced};
use super::offsets::Offsets;

/// Most groups that have members at a time.
const MAX_GROUPS: usize = 10_000;

/// Groups by id. A group without members is known by its committed offsets alone.
#[derive(Debug)]
pub(crate) struct Coordinator {
    settings: Settings,
    groups: Mutex<BTreeMap<String, Group>>,
    changed: Notify,
    /// Committed offsets.
    pub(crate) offsets: Offsets,
}

impl Coordinator {
    pub(crate) fn new(settings: Settings, offsets: Offsets) -> Self {
        Self {
            settings,
            groups: Mutex::new(BTreeMap::new()),
            changed: Notify::new(),
            offsets,
        }
    }

    /// Lets a member join a group, which is made if need be.
    pub(crate) fn join(
        &self,
        group: &str,
        join: Join,
    ) -> Result<oneshot::Receiver<Joined>, ResponseError> {
        check_id(group)?;
        let mut groups = self.groups.lock();
        if !groups.contains_key(group) {
            if !join.member.is_empty() {
                return Err(ResponseError::UnknownMemberId);
            }
            if groups.len() >= MAX_GROUPS {
                return Err(ResponseError::CoordinatorNotAvailable);
            }
        }
        let joined = groups
            .entry(group.to_owned())
            .or_insert_with(|| Group::new(self.settings))
            .join(join, Instant::now());
        self.tidy(&mut groups, group);
        Ok(joined)
    }

    /// Asks for a member's assignment.
    pub(crate) fn sync(
        &self,
        group: &str,
        sync: Sync,
    ) -> Result<oneshot::Receiver<Synced>, ResponseError> {
        self.with_group(group, |group, now| Ok(group.sync(sync, now)))
    }

    /// Keeps a member's session alive.
    pub(crate) fn heartbeat(
        &self,
        group: &str,
        member: &str,
        instance: Option<&String>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        self.with_group(group, |group, now| {
            group.heartbeat(member, instance, generation, now)
        })
    }

    /// Takes a member out of its group.
    pub(crate) fn leave(
        &self,
        group: &str,
        member: &str,
        instance: Option<&String>,
    ) -> Result<(), ResponseError> {
        self.with_group(group, |group, now| group.leave(member, instance, now))
    }

    /// Whether a member, or a consumer without a group, may commit offsets.
    pub(crate) fn check_commit(
        &self,
        group: &str,
        member: &str,
        instance: Option<&String>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        check_id(group)?;
        let mut groups = self.groups.lock();
        match groups.get_mut(group) {
            Some(group) => group.check_commit(member, instance, generation, Instant::now()),
            None if generation < 0 => Ok(()),
            None => Err(ResponseError::UnknownMemberId),
        }
    }

    /// Every group with members or committed offsets, by id.
    pub(crate) fn list(&self) -> BTreeMap<String, Description> {
        let groups = self.groups.lock();
        let known = self.offsets.groups().into_iter();
        let mut all: BTreeMap<_, _> = known.map(|id| (id, Description::empty())).collect();
        all.extend(groups.iter().map(|(id, g)| (id.clone(), g.describe())));
        all
    }

    /// The group, if there is one.
    pub(crate) fn describe(&self, group: &str) -> Option<Description> {
        if let Some(group) = self.groups.lock().get(group) {
            return Some(group.describe());
        }
        let committed = !self.offsets.all(group).is_empty();
        committed.then(Description::empty)
    }

    /// Forgets a group without members, with what it committed; blocking.
    pub(crate) fn delete(&self, group: &str) -> Result<(), ResponseError> {
        check_id(group)?;
        // Held throughout, so that nobody joins meanwhile.
        let groups = self.groups.lock();
        if groups.contains_key(group) {
            return Err(ResponseError::NonEmptyGroup);
        }
        match self.offsets.forget_group(group) {
            Ok(true) => Ok(()),
            Ok(false) => Err(ResponseError::GroupIdNotFound),
            Err(error) => {
                tracing::error!(
                    "cannot take group {group} off the file of committed offsets: {error}"
                );
                Err(ResponseError::KafkaStorageError)
            }
        }
    }

    fn with_group<T>(
        &self,
        id: &str,
        act: impl FnOnce(&mut Group, Instant) -> Result<T, ResponseError>,
    ) -> Result<T, ResponseError> {
        check_id(id)?;
        let mut groups = self.groups.lock();
        let group = groups.get_mut(id).ok_or(ResponseError::UnknownMemberId)?;
        let result = act(group, Instant::now());
        self.tidy(&mut groups, id);
        result
    }

    /// Drops a group that nobody is in, and has the clock look at the deadlines again.
    fn tidy(&self, groups: &mut BTreeMap<String, Group>, id: &str) {
        if groups.get(id).is_some_and(Group::is_idle) {
            groups.remove(id);
        }
        self.changed.notify_one();
    }

    /// Ends sessions and waits when their time has come, until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        loop {
            let deadline = {
                let mut groups = self.groups.lock();
                let now = Instant::now();
                groups.retain(|_, group| {
                    group.expire(now);
                    !group.is_idle()
                });
                groups.values().filter_map(Group::next_deadline).min()
            };
            let expiry = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                () = expiry => {}
            }
        }
    }
}

fn check_id(group: &str) -> Result<(), ResponseError> {
    match group {
        "" => Err(ResponseError::InvalidGroupId),
        _ => Ok(()),
    }
}
