//! The thread that polls Kafka: decodes into buffers, rolls them, and keeps polling whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use stockpipe_crds::pipeline::Roll as Limits;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::buffer::{Buffer, Pushed, Scope};
use super::consumer::{Command, LandContext, Rebalance, Start};
use super::memory::Draining;
use super::partition::{PartitionLander, What, Work, divergence, rewritten};
use super::roll::{Relief, Roll, relieve, roll};
use super::stage::Stager;
use super::status::{Board, Reason};
use crate::kafka::reader::{Retained, is_passing};
use crate::ledger::LastRecord;

/// The longest wait for a message, so that ages and commands are looked at.
const POLL: Duration = Duration::from_millis(20);
/// Messages taken before anything else is looked at.
const BATCH: usize = 2_000;
/// How long a partition that is taken away may land what it has: below every session time-out.
const HAND_OVER: Duration = Duration::from_secs(8);
/// How long a lander that ends may land what it has.
const DRAIN: Duration = Duration::from_secs(30);
/// How long every seek must find the same gap before it is skipped.
const CONFIRMED_AFTER: Duration = Duration::from_secs(5);
const KAFKA_CALL: Duration = Duration::from_secs(5);
/// How often the shown positions are renewed.
const SHOW: Duration = Duration::from_millis(250);

/// Why polling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollEnd {
    /// It was told to.
    Stopped,
    /// The group must be joined anew.
    Rejoin,
}

/// Makes what an assigned partition needs.
pub type Outfit = Box<dyn Fn(i32, u64) -> (PartitionLander, Stager, Arc<Scope>) + Send>;

/// The polling thread's state.
pub struct Poller {
    /// Topic.
    pub topic: String,
    /// The consumer.
    pub consumer: Arc<BaseConsumer<LandContext>>,
    /// Runtime of the partitions' landers.
    pub runtime: Handle,
    /// What an assigned partition needs.
    pub outfit: Outfit,
    /// When ranges are closed.
    pub limits: Limits,
    /// Bytes for buffers and for what drains.
    pub budget: u64,
    /// What drains.
    pub draining: Draining,
    /// Status.
    pub board: Board,
    /// From the partitions' landers.
    pub commands: mpsc::Receiver<Command>,
    /// For [`Command::Retained`].
    pub sender: mpsc::Sender<Command>,
    /// When to end.
    pub stop: CancellationToken,
    /// Bytes in buffers; shown.
    pub held: Arc<std::sync::atomic::AtomicU64>,
}

struct Slot {
    assignment: u64,
    generation: u64,
    work: Option<UnboundedSender<Work>>,
    lander: JoinHandle<()>,
    cancel: CancellationToken,
    stager: Stager,
    scope: Arc<Scope>,
    state: State,
}

enum State {
    /// Its lander resolves the chain.
    Resolving,
    /// To be read from this offset.
    Seeking {
        to: i64,
        flow: Flow,
    },
    Flowing(Flow),
    /// Being given back: lands what it has.
    Leaving {
        until: Instant,
    },
    /// Stands still until it is taken away.
    Stopped,
}

struct Flow {
    buffer: Buffer,
    /// The last record landed, until it was recognised.
    check: Option<LastRecord>,
    /// Nothing has come since the seek.
    fresh: bool,
    gap: Gap,
    at_end: bool,
}

impl Poller {
    /// Polls until told to stop; the buffers are then landed, as far as the store allows in time.
    #[must_use]
    pub fn run(self) -> PollEnd {
        let mut polling = Polling {
            slots: BTreeMap::new(),
            assigned: 0,
            rejoin: false,
            leaving: Vec::new(),
            paused: false,
            shown: Instant::now(),
            now: Instant::now(),
            p: self,
        };
        let end = polling.poll();
        polling.drain();
        end
    }
}

struct Polling {
    p: Poller,
    slots: BTreeMap<i32, Slot>,
    assigned: u64,
    rejoin: bool,
    /// Partitions to be unassigned together once they are landed.
    leaving: Vec<i32>,
    paused: bool,
    shown: Instant,
    /// When the round began: a clock that is not asked for every message.
    now: Instant,
}

impl Polling {
    fn poll(&mut self) -> PollEnd {
        loop {
            if self.p.stop.is_cancelled() {
                return PollEnd::Stopped;
            }
            if self.rejoin {
                return PollEnd::Rejoin;
            }
            self.turn();
        }
    }

    /// One round: messages, rebalances, commands, seeks, rolls.
    fn turn(&mut self) {
        let consumer = Arc::clone(&self.p.consumer);
        self.now = Instant::now();
        let mut wait = POLL;
        for _ in 0..BATCH {
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) => self.trouble(&error),
            }
            wait = Duration::ZERO;
        }
        while let Some(rebalance) = consumer.context().next_rebalance() {
            match rebalance {
                Rebalance::Assign(partitions) => self.assign(&partitions),
                Rebalance::Revoke(partitions) => self.revoke(&partitions),
            }
        }
        while let Ok(command) = self.p.commands.try_recv() {
            self.obey(command);
        }
        self.seek();
        self.leave();
        self.roll_what_is_due();
        self.relieve();
        if self.shown.elapsed() >= SHOW {
            self.shown = Instant::now();
            self.show();
        }
    }

    // Messages.

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let partition = message.partition();
        let Some(slot) = self.slots.get_mut(&partition) else {
            return;
        };
        let State::Flowing(flow) = &mut slot.state else {
            return;
        };
        let offset = message.offset();
        if let Some(landed) = flow.check {
            if offset < landed.offset {
                return;
            }
            if offset == landed.offset {
                let found = LastRecord::crc_of(message.key(), message.payload());
                flow.check = None;
                flow.fresh = false;
                if found != landed.crc {
                    let sentence = rewritten(&self.p.topic, partition, landed, found);
                    self.halt(partition, sentence);
                }
                return;
            }
        }
        let expected = flow.check.map_or(flow.buffer.next(), |c| c.offset);
        if flow.fresh && offset > expected && !flow.gap.is_confirmed(expected, offset, self.now) {
            let State::Flowing(flow) = std::mem::replace(&mut slot.state, State::Stopped) else {
                return;
            };
            slot.state = State::Seeking { to: expected, flow };
            return;
        }
        // The last landed record itself may have been compacted away.
        flow.check = None;
        if flow.fresh {
            tracing::debug!(partition, offset, "the first record");
        }
        flow.fresh = false;
        flow.at_end = false;
        if offset < flow.buffer.next() {
            return;
        }
        if flow.buffer.push(message, self.now) == Pushed::Full {
            slot.roll(&self.p.runtime);
            if let State::Flowing(flow) = &mut slot.state {
                let pushed = flow.buffer.push(message, self.now);
                debug_assert_eq!(
                    pushed,
                    Pushed::Taken,
                    "an empty range has room for one directory"
                );
            }
        }
        slot.roll_if_full(&self.p.limits, &self.p.runtime);
    }

    fn trouble(&mut self, error: &KafkaError) {
        match error {
            KafkaError::PartitionEOF(partition) => {
                if let Some(State::Flowing(flow)) =
                    self.slots.get_mut(partition).map(|s| &mut s.state)
                {
                    flow.at_end = true;
                }
            }
            KafkaError::MessageConsumptionFatal(_) => {
                tracing::warn!(%error, "the group does not take this consumer any more; joining it again");
                self.rejoin = true;
            }
            _ if is_out_of_range(error) => self.ask_retained(),
            _ if is_passing(error) => {}
            _ => tracing::debug!(%error, "librdkafka"),
        }
    }

    /// Asks which offsets Kafka has of every partition: one of ours is no longer among them.
    fn ask_retained(&self) {
        for (&partition, slot) in &self.slots {
            if !matches!(slot.state, State::Flowing(_)) {
                continue;
            }
            let (consumer, topic) = (Arc::clone(&self.p.consumer), self.p.topic.clone());
            let (sender, assignment) = (self.p.sender.clone(), slot.assignment);
            self.p.runtime.spawn_blocking(move || {
                if let Ok((low, high)) = consumer.fetch_watermarks(&topic, partition, KAFKA_CALL) {
                    let retained = Retained { low, high };
                    let _ = sender.send(Command::Retained {
                        partition,
                        assignment,
                        retained,
                    });
                }
            });
        }
    }

    // Commands.

    fn obey(&mut self, command: Command) {
        match command {
            Command::Rejoin => self.rejoin = true,
            Command::Start {
                partition,
                assignment,
                generation,
                start,
            } => {
                if let Some(slot) = self
                    .slots
                    .get_mut(&partition)
                    .filter(|s| s.assignment == assignment)
                {
                    slot.start(generation, start);
                }
            }
            Command::Stop {
                partition,
                assignment,
            } => {
                if self
                    .slots
                    .get(&partition)
                    .is_some_and(|s| s.assignment == assignment)
                {
                    self.stand_still(partition);
                }
            }
            Command::Retained {
                partition,
                assignment,
                retained,
            } => self.compare(partition, assignment, retained),
        }
    }

    /// Kafka has `retained`: offsets that it dropped are lost, and a log that ends too early is another log.
    fn compare(&mut self, partition: i32, assignment: u64, retained: Retained) {
        let Some(slot) = self
            .slots
            .get_mut(&partition)
            .filter(|s| s.assignment == assignment)
        else {
            return;
        };
        let State::Flowing(flow) = &mut slot.state else {
            return;
        };
        let next = flow.buffer.next();
        if retained.high < next {
            let what = format!(
                "offsets up to {} were read, but its log now ends before offset {}",
                next - 1,
                retained.high
            );
            let sentence = divergence(&self.p.topic, partition, &what);
            self.halt(partition, sentence);
        } else if retained.low > next {
            slot.roll(&self.p.runtime);
            // Its lander claims them and starts anew after them.
            slot.send(What::Lost {
                start: next,
                end: retained.low - 1,
            });
            slot.state = State::Resolving;
            self.pause(&[partition]);
        } else {
            // The record to be recognised is gone, or the log was short for a moment. librdkafka reads on only
            // where it is told to.
            let State::Flowing(mut flow) = std::mem::replace(&mut slot.state, State::Resolving)
            else {
                return;
            };
            flow.check = flow.check.filter(|c| c.offset >= retained.low);
            let to = flow.check.map_or(next, |c| c.offset);
            slot.state = State::Seeking { to, flow };
        }
    }

    /// Stops a partition whose log is not the one that was landed.
    fn halt(&mut self, partition: i32, sentence: String) {
        self.p
            .board
            .raise(Reason::LogDiverged, Some(partition), sentence);
        self.stand_still(partition);
    }

    fn stand_still(&mut self, partition: i32) {
        self.pause(&[partition]);
        if let Some(slot) = self.slots.get_mut(&partition) {
            slot.state = State::Stopped;
        }
    }

    // Rebalances.

    fn assign(&mut self, partitions: &TopicPartitionList) {
        let numbers = numbers(partitions);
        let mut assignment = TopicPartitionList::new();
        for &partition in &numbers {
            // Where to read from is not known yet: the partition is paused, and then sought.
            let added = assignment.add_partition_offset(&self.p.topic, partition, Offset::End);
            debug_assert!(added.is_ok(), "the end is an offset");
        }
        if let Err(error) = self.p.consumer.incremental_assign(&assignment) {
            tracing::warn!(%error, "an assignment was not taken; joining the group again");
            self.rejoin = true;
            return;
        }
        self.pause(&numbers);
        for partition in numbers {
            self.assigned += 1;
            let number = self.assigned;
            let (lander, stager, scope) = (self.p.outfit)(partition, number);
            let (work, received) = unbounded_channel();
            let cancel = CancellationToken::new();
            let cancelled = cancel.clone();
            let lander = self.p.runtime.spawn(async move {
                tokio::select! {
                    () = lander.run(received) => {}
                    () = cancelled.cancelled() => {}
                }
            });
            let slot = Slot {
                assignment: number,
                generation: 0,
                work: Some(work),
                lander,
                cancel,
                stager,
                scope,
                state: State::Resolving,
            };
            self.slots.insert(partition, slot);
            tracing::debug!(partition, "assigned");
        }
    }

    fn revoke(&mut self, partitions: &TopicPartitionList) {
        let numbers = numbers(partitions);
        let lost = self.p.consumer.assignment_lost();
        self.pause(&numbers);
        for partition in numbers {
            if let Some(slot) = self.slots.get_mut(&partition) {
                if lost {
                    // Somebody else owns it already; what was gathered is still in Kafka.
                    slot.cancel.cancel();
                } else {
                    slot.finish(&self.p.runtime);
                }
                slot.state = State::Leaving {
                    until: Instant::now() + HAND_OVER,
                };
            }
            self.leaving.push(partition);
            tracing::debug!(partition, lost, "revoked");
        }
    }

    /// Gives partitions back once all that are asked for have landed what they had, or had their time.
    fn leave(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let now = Instant::now();
        let done = self
            .leaving
            .iter()
            .all(|p| self.slots.get(p).is_none_or(|s| s.has_left(now)));
        if !done {
            return;
        }
        let mut list = TopicPartitionList::new();
        for partition in std::mem::take(&mut self.leaving) {
            list.add_partition(&self.p.topic, partition);
            if let Some(slot) = self.slots.remove(&partition) {
                slot.cancel.cancel();
            }
            self.p.board.remove(partition);
        }
        if let Err(error) = self.p.consumer.incremental_unassign(&list) {
            tracing::debug!(%error, "partitions were not given back");
        }
    }

    // Seeks.

    fn seek(&mut self) {
        if self.paused {
            return;
        }
        let due: Vec<i32> = self
            .slots
            .iter()
            .filter(|(_, s)| matches!(s.state, State::Seeking { .. }))
            .map(|(p, _)| *p)
            .collect();
        // Resumed before it is sought: it is the seek that wakes librdkafka's fetcher, which else sleeps for a
        // second.
        self.resume(&due);
        for partition in due {
            let Some(slot) = self.slots.get_mut(&partition) else {
                continue;
            };
            let State::Seeking { to, .. } = slot.state else {
                continue;
            };
            let offset = Offset::Offset(to);
            // Fails while librdkafka still prepares the partition; tried again in the next round.
            match self
                .p
                .consumer
                .seek(&self.p.topic, partition, offset, KAFKA_CALL)
            {
                Err(error) => tracing::trace!(%error, partition, to, "cannot seek yet"),
                Ok(()) => {
                    tracing::debug!(partition, to, "sought");
                    if let State::Seeking { mut flow, .. } =
                        std::mem::replace(&mut slot.state, State::Resolving)
                    {
                        flow.fresh = true;
                        slot.state = State::Flowing(flow);
                    }
                }
            }
        }
    }

    fn pause(&self, partitions: &[i32]) {
        if let Err(error) = self.p.consumer.pause(&self.list(partitions)) {
            tracing::debug!(%error, "partitions were not paused");
        }
    }

    fn resume(&self, partitions: &[i32]) {
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = self.p.consumer.resume(&self.list(partitions)) {
            tracing::debug!(%error, "partitions were not resumed");
        }
    }

    fn list(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            list.add_partition(&self.p.topic, partition);
        }
        list
    }

    fn flowing(&self) -> Vec<i32> {
        let flowing = self
            .slots
            .iter()
            .filter(|(_, s)| matches!(s.state, State::Flowing(_)));
        flowing.map(|(p, _)| *p).collect()
    }

    // Rolling and memory.

    fn roll_what_is_due(&mut self) {
        for slot in self.slots.values_mut() {
            slot.roll_if_due(&self.p.limits, &self.p.runtime);
        }
    }

    fn relieve(&mut self) {
        let buffers: Vec<(i32, u64)> = self
            .slots
            .iter()
            .filter_map(|(p, s)| match &s.state {
                State::Flowing(flow) | State::Seeking { flow, .. } => {
                    Some((*p, flow.buffer.held_bytes()))
                }
                _ => None,
            })
            .collect();
        let held = buffers.iter().map(|(_, bytes)| bytes).sum();
        self.p
            .held
            .store(held, std::sync::atomic::Ordering::Relaxed);
        let draining = self.p.draining.bytes();
        match relieve(&buffers, draining, self.p.budget) {
            Relief::Roll(partition) => {
                if let Some(slot) = self.slots.get_mut(&partition) {
                    slot.roll(&self.p.runtime);
                }
            }
            Relief::Pause if !self.paused => {
                self.paused = true;
                self.pause(&self.flowing());
            }
            Relief::Pause => {}
            // A little below the budget, so that reading does not start and stop with every batch.
            Relief::Flow if self.paused && held + draining < self.p.budget / 8 * 7 => {
                self.paused = false;
                for slot in self.slots.values_mut() {
                    slot.seek_again();
                }
            }
            Relief::Flow => {}
        }
    }

    fn show(&self) {
        for (&partition, slot) in &self.slots {
            let State::Flowing(flow) = &slot.state else {
                continue;
            };
            let next = flow.buffer.next();
            let known = self.p.consumer.context().end(partition);
            // Until Kafka has told it, the lag is not 0 but unknown.
            let Some(end) = known.or(flow.at_end.then_some(next)) else {
                continue;
            };
            let end = end.max(next);
            let read_all = flow.at_end && flow.buffer.records() == 0;
            self.p.board.update(partition, |p| {
                p.end = end;
                // Offsets without records after the last one never land.
                p.lag = if read_all && p.position == next {
                    0
                } else {
                    end - p.position
                };
            });
        }
    }

    // The end.

    /// Carries out rebalances that came while draining, without landing anything of them.
    fn follow(&self) {
        let consumer = &self.p.consumer;
        while let Some(rebalance) = consumer.context().next_rebalance() {
            let done = match &rebalance {
                Rebalance::Assign(partitions) => consumer.incremental_assign(partitions),
                Rebalance::Revoke(partitions) => consumer.incremental_unassign(partitions),
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a rebalance while draining");
            }
        }
    }

    /// Lands what is gathered, as far as the store allows in time, polling meanwhile; then leaves the group.
    fn drain(&mut self) {
        let all: Vec<i32> = self.slots.keys().copied().collect();
        self.pause(&all);
        let until = Instant::now() + DRAIN;
        for slot in self.slots.values_mut() {
            if matches!(slot.state, State::Resolving | State::Stopped) {
                slot.cancel.cancel();
            }
            slot.finish(&self.p.runtime);
            if !matches!(slot.state, State::Leaving { .. }) {
                slot.state = State::Leaving { until };
            }
        }
        let consumer = Arc::clone(&self.p.consumer);
        while !self.slots.values().all(|s| s.has_left(Instant::now())) {
            // Nothing is read any more, but the group must see that this member lives.
            let _ = consumer.poll(POLL);
            self.follow();
            while let Ok(command) = self.p.commands.try_recv() {
                drop(command);
            }
        }
        let unlanded = self
            .slots
            .values()
            .filter(|s| !s.lander.is_finished())
            .count();
        if unlanded > 0 {
            tracing::warn!(
                "{unlanded} partitions could not land everything in {} s; the rest is still in Kafka and is landed \
                 at the next start",
                DRAIN.as_secs()
            );
        }
        for slot in self.slots.values() {
            slot.cancel.cancel();
        }
        consumer.context().close();
        self.follow();
        let given_back = consumer
            .assignment()
            .and_then(|assigned| consumer.incremental_unassign(&assigned));
        if let Err(error) = given_back {
            tracing::debug!(%error, "the partitions were not given back");
        }
        // They hold the consumer, which is to close on this thread.
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until && self.slots.values().any(|s| !s.lander.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The gap that the last look after a seek found: the offset that was expected, the one that came, and since when.
///
/// Compaction and transactions leave offsets without records. A seek that librdkafka has not carried out yet, because it
/// still prepares the partition, looks the same; it may do so more than once, but not for long. So nothing is skipped
/// before every seek of some seconds has found the very same.
#[derive(Default)]
struct Gap(Option<(i64, i64, Instant)>);

impl Gap {
    /// Whether the offsets from `expected` to before `offset` have no records, where `offset` was the first to come
    /// after a seek to `expected`.
    fn is_confirmed(&mut self, expected: i64, offset: i64, now: Instant) -> bool {
        match self.0 {
            Some((from, to, since)) if (from, to) == (expected, offset) => {
                now.saturating_duration_since(since) >= CONFIRMED_AFTER
            }
            _ => {
                self.0 = Some((expected, offset, now));
                false
            }
        }
    }
}

impl Slot {
    fn start(&mut self, generation: u64, start: Start) {
        if matches!(self.state, State::Leaving { .. } | State::Stopped) {
            return;
        }
        self.generation = generation;
        let to = start.check.map_or(start.next, |c| c.offset);
        let flow = Flow {
            buffer: Buffer::new(Arc::clone(&self.scope), start.next, start.carry),
            check: start.check,
            fresh: true,
            gap: Gap::default(),
            at_end: false,
        };
        self.state = State::Seeking { to, flow };
    }

    /// Reads on where it was, by a seek.
    fn seek_again(&mut self) {
        if !matches!(self.state, State::Flowing(_)) {
            return;
        }
        if let State::Flowing(flow) = std::mem::replace(&mut self.state, State::Resolving) {
            let to = flow.check.map_or(flow.buffer.next(), |c| c.offset);
            self.state = State::Seeking { to, flow };
        }
    }

    /// Looks at the rows with every record, and at the rest now and then: adding up is not free.
    fn roll_if_full(&mut self, limits: &Limits, runtime: &Handle) {
        let State::Flowing(flow) = &self.state else {
            return;
        };
        if flow.buffer.rows() >= limits.max_rows {
            self.roll(runtime);
        } else if flow.buffer.records().is_multiple_of(256) {
            self.roll_if_due(limits, runtime);
        }
    }

    fn roll_if_due(&mut self, limits: &Limits, runtime: &Handle) {
        let State::Flowing(flow) = &self.state else {
            return;
        };
        if roll(flow.buffer.gathered(Instant::now()), limits) == Roll::Now {
            self.roll(runtime);
        }
    }

    /// Closes the range and stages it.
    fn roll(&mut self, runtime: &Handle) {
        let (State::Flowing(flow) | State::Seeking { flow, .. }) = &mut self.state else {
            return;
        };
        let Some(range) = flow.buffer.close() else {
            return;
        };
        let (stager, cancel) = (self.stager.clone(), self.cancel.clone());
        let staging =
            runtime.spawn(async move { cancel.run_until_cancelled(stager.stage(range)).await });
        self.send(What::Range(staging));
    }

    fn send(&self, what: What) {
        if let Some(work) = &self.work {
            // A lander that has ended has said why.
            let _ = work.send(Work {
                generation: self.generation,
                what,
            });
        }
    }

    /// Closes the range and lets the lander end after it.
    fn finish(&mut self, runtime: &Handle) {
        self.roll(runtime);
        self.work = None;
    }

    fn has_left(&self, now: Instant) -> bool {
        match self.state {
            State::Leaving { until } => self.lander.is_finished() || now >= until,
            _ => self.lander.is_finished(),
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    partitions
        .elements()
        .iter()
        .map(|e| e.partition())
        .collect()
}

fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_skipped_only_where_every_seek_of_some_seconds_finds_the_same() {
        let began = Instant::now();
        let mut gap = Gap::default();
        for (expected, offset, second, skips) in [
            // At the first seek of an assignment, which begins at the end.
            (100, 900, 0, false),
            (100, 900, 1, false),
            (100, 103, 9, false),
            (100, 103, 13, false),
            (100, 103, 14, true),
            // Much later, when reading goes on after a pause: what was seen of another place counts for nothing.
            (500, 501, 60, false),
            (500, 502, 66, false),
        ] {
            let found = gap.is_confirmed(expected, offset, began + Duration::from_secs(second));
            assert_eq!(found, skips, "{expected} → {offset} after {second} s");
        }
    }
}
