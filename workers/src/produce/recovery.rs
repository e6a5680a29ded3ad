//! What a restarted producer concludes from the log's end: pure, no I/O.
//!
//! Records are observed in any order, chunk by chunk from the end backwards.
//! [`Recovery::wanted`] says which partitions must be read further back,
//! [`Recovery::decide`] where to go on.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::heartbeat::{Checkpoint, Heartbeat};
use super::live::ANEW;
use super::pace::Nanos;

/// Highest `seq` present by symbol.
pub type Present = HashMap<String, u64>;

/// The feed's own numbers of the trades that are present, by symbol.
pub type Numbers = HashMap<String, Number>;

/// The highest number of a symbol's trades that the log tells of, as come or as missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The number.
    pub highest: u64,
    /// Event time of the newest of these trades.
    pub at: Nanos,
}

/// What is known of one partition.
#[derive(Debug, Default)]
struct Tail {
    /// First offset the log still has.
    low: i64,
    /// Everything from here on has been observed.
    reached: i64,
    /// Least and greatest checkpoint seen.
    oldest: Option<u64>,
    newest: Option<u64>,
    /// Our newest record: its offset, its time of sending (ms), whether it closed the producer's work.
    last: Option<(i64, i64, bool)>,
}

/// One record of the log.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Time of sending, milliseconds since 1970.
    pub sent_ms: i64,
    /// Whether its header says heartbeat.
    pub heartbeat: bool,
    /// Body.
    pub body: &'a [u8],
}

/// The fields of a tick that tell whether it is present.
#[derive(Deserialize)]
struct SeenTick<'a> {
    #[serde(borrow)]
    run: Cow<'a, str>,
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    seq: u64,
    #[serde(default)]
    source_seq: Option<u64>,
    /// Of a gap: how many numbers are missing.
    #[serde(borrow, default)]
    size: Option<&'a RawValue>,
    ts_event_ns: Nanos,
    /// Of a tick that is deliberately late, the source stood at its receipt.
    #[serde(default)]
    ts_recv_ns: Option<Nanos>,
}

impl SeenTick<'_> {
    /// The last number of the feed that it tells of, if it is about trades.
    fn number(&self) -> Option<u64> {
        match (self.source_seq, self.kind.as_ref()) {
            (Some(number), "trade") => Some(number),
            (Some(first), "gap") => {
                let count = self
                    .size
                    .and_then(|s| s.get().trim_matches('"').parse().ok());
                Some(first.saturating_add(u64::max(count.unwrap_or(1), 1) - 1))
            }
            _ => None,
        }
    }
}

/// Where to go on.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The topic holds nothing of this producer.
    Fresh,
    /// Restore this checkpoint, regenerate, skip what is present.
    Resume {
        /// The checkpoint's run.
        run: String,
        /// The least checkpoint over the partitions.
        checkpoint: Checkpoint,
        /// Highest seq by symbol in that run.
        present: Present,
        /// The feed's own numbers in that run.
        numbers: Numbers,
    },
    /// Retention has removed what would prove which ticks are present in this
    /// partition; only a new run is safe.
    Unprovable {
        /// The partition.
        partition: i32,
    },
}

/// What the log's end tells so far.
#[derive(Debug)]
pub struct Recovery {
    producer: String,
    tails: BTreeMap<i32, Tail>,
    checkpoints: BTreeMap<u64, (String, Checkpoint)>,
    present: HashMap<String, Present>,
    numbers: HashMap<String, Numbers>,
    ends: HashMap<String, Nanos>,
}

impl Recovery {
    /// Nothing observed yet of `producer`'s records in `partitions` of `(partition, low, high)`.
    #[must_use]
    pub fn new(producer: &str, partitions: impl IntoIterator<Item = (i32, i64, i64)>) -> Self {
        Self {
            producer: producer.to_owned(),
            tails: partitions
                .into_iter()
                .map(|(partition, low, high)| {
                    let tail = Tail {
                        low,
                        reached: high,
                        ..Tail::default()
                    };
                    (partition, tail)
                })
                .collect(),
            checkpoints: BTreeMap::new(),
            present: HashMap::new(),
            numbers: HashMap::new(),
            ends: HashMap::new(),
        }
    }

    /// Takes one record into account; records of others, and what does not decode, are passed over.
    pub fn observe(&mut self, seen: Seen<'_>) {
        let Some(tail) = self.tails.get_mut(&seen.partition) else {
            return;
        };
        let (run, end, closed) = if seen.heartbeat {
            let Ok(beat) = serde_json::from_slice::<Heartbeat>(seen.body) else {
                return;
            };
            if beat.producer != self.producer {
                return;
            }
            let closed = beat.checkpoint.as_ref().is_some_and(|c| c.closed);
            if let Some(checkpoint) = beat.checkpoint {
                let n = checkpoint.n;
                tail.oldest = Some(tail.oldest.map_or(n, |o| o.min(n)));
                tail.newest = Some(tail.newest.map_or(n, |o| o.max(n)));
                self.checkpoints
                    .entry(n)
                    .or_insert_with(|| (beat.run.clone(), checkpoint));
            }
            (Cow::Owned(beat.run), beat.until, closed)
        } else {
            let Ok(tick) = serde_json::from_slice::<SeenTick<'_>>(seen.body) else {
                return;
            };
            if !self.present.contains_key(tick.run.as_ref()) {
                self.present
                    .insert(tick.run.clone().into_owned(), Present::new());
            }
            if let Some(run) = self.present.get_mut(tick.run.as_ref()) {
                match run.get_mut(tick.symbol.as_ref()) {
                    Some(highest) => *highest = (*highest).max(tick.seq),
                    None => {
                        run.insert(tick.symbol.clone().into_owned(), tick.seq);
                    }
                }
            }
            if let Some(number) = tick.number() {
                note(&mut self.numbers, &tick, number);
            }
            let at = tick.ts_event_ns.max(tick.ts_recv_ns.unwrap_or(Nanos::MIN));
            (tick.run, at.saturating_add(1), false)
        };
        match self.ends.get_mut(run.as_ref()) {
            Some(known) => *known = end.max(*known),
            None => {
                self.ends.insert(run.into_owned(), end);
            }
        }
        if tail.last.is_none_or(|(offset, ..)| offset < seen.offset) {
            tail.last = Some((seen.offset, seen.sent_ms, closed));
        }
    }

    /// Says that everything of `partition` from `from` on has been observed.
    pub fn reached(&mut self, partition: i32, from: i64) {
        if let Some(tail) = self.tails.get_mut(&partition) {
            tail.reached = tail.reached.min(from);
        }
    }

    /// The partitions that must be read further back, with the first offset
    /// they have and the offset down to which they have been read.
    #[must_use]
    pub fn wanted(&self) -> Vec<(i32, i64, i64)> {
        let floor = self.floor();
        self.tails
            .iter()
            .filter(|(_, t)| t.reached > t.low)
            .filter(|(_, t)| match (t.oldest, floor) {
                (Some(oldest), Some(floor)) => oldest > floor,
                _ => true,
            })
            .map(|(p, t)| (*p, t.low, t.reached))
            .collect()
    }

    /// The least of the partitions' newest checkpoints. A partition that has
    /// none has no ticks either, since a checkpoint goes to every partition
    /// before the first tick does.
    fn floor(&self) -> Option<u64> {
        self.tails.values().filter_map(|t| t.newest).min()
    }

    /// The greatest market time that the log's end tells of, over all runs: a new run may start here.
    #[must_use]
    pub fn market_end(&self) -> Option<Nanos> {
        self.ends.values().max().copied()
    }

    /// The greatest market time that the log's end tells of in `run`.
    #[must_use]
    pub fn end_of(&self, run: &str) -> Option<Nanos> {
        self.ends.get(run).copied()
    }

    /// The number of the next checkpoint.
    #[must_use]
    pub fn next_n(&self) -> u64 {
        self.checkpoints.keys().next_back().map_or(0, |n| n + 1)
    }

    /// Whether nothing of an earlier producer can still be on its way: it
    /// closed its work in every partition, or it has been silent since `before_ms`.
    #[must_use]
    pub fn settled(&self, before_ms: i64) -> bool {
        let mut last = self.tails.values().filter_map(|t| t.last).peekable();
        if last.peek().is_none() {
            return true;
        }
        let (mut all_closed, mut all_old) = (true, true);
        for (_, sent_ms, closed) in last {
            all_closed &= closed;
            all_old &= sent_ms < before_ms;
        }
        all_closed || all_old
    }

    /// Where to go on, once nothing is [`wanted`](Self::wanted).
    #[must_use]
    pub fn decide(&self) -> Decision {
        let Some(floor) = self.floor() else {
            return Decision::Fresh;
        };
        for (partition, tail) in &self.tails {
            let proven = tail.oldest.is_some_and(|o| o <= floor) || tail.low == 0;
            if !proven {
                return Decision::Unprovable {
                    partition: *partition,
                };
            }
        }
        let (run, checkpoint) = self.checkpoints[&floor].clone();
        let present = self.present.get(&run).cloned().unwrap_or_default();
        let numbers = self.numbers.get(&run).cloned().unwrap_or_default();
        Decision::Resume {
            run,
            checkpoint,
            present,
            numbers,
        }
    }
}

/// Takes the feed's number of a tick into account.
fn note(numbers: &mut HashMap<String, Numbers>, tick: &SeenTick<'_>, number: u64) {
    if !numbers.contains_key(tick.run.as_ref()) {
        numbers.insert(tick.run.clone().into_owned(), Numbers::new());
    }
    let Some(run) = numbers.get_mut(tick.run.as_ref()) else {
        return;
    };
    match run.get_mut(tick.symbol.as_ref()) {
        Some(known) => {
            // As the feed's own numbers are judged: below the last, and so much later, it is counted anew.
            let is_anew = tick.ts_event_ns > known.at.saturating_add(ANEW);
            if number > known.highest || is_anew {
                known.highest = number;
            }
            known.at = known.at.max(tick.ts_event_ns);
        }
        None => {
            let known = Number {
                highest: number,
                at: tick.ts_event_ns,
            };
            run.insert(tick.symbol.clone().into_owned(), known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Log {
        recovery: Recovery,
    }

    impl Log {
        fn new(partitions: &[(i32, i64, i64)]) -> Self {
            Self {
                recovery: Recovery::new("me", partitions.iter().copied()),
            }
        }
        fn beat(&mut self, partition: i32, offset: i64, run: &str, n: Option<u64>, until: Nanos) {
            self.beat_of("me", partition, offset, run, n, until, false);
        }
        #[expect(clippy::too_many_arguments, reason = "a row of a table")]
        fn beat_of(
            &mut self,
            producer: &str,
            partition: i32,
            offset: i64,
            run: &str,
            n: Option<u64>,
            until: Nanos,
            closed: bool,
        ) {
            let beat = Heartbeat {
                producer: producer.into(),
                until,
                run: run.into(),
                checkpoint: n.map(|n| Checkpoint {
                    n,
                    settings: "s".into(),
                    state: json!(n),
                    closed,
                }),
            };
            self.recovery.observe(Seen {
                partition,
                offset,
                sent_ms: 1000,
                heartbeat: true,
                body: &serde_json::to_vec(&beat).unwrap(),
            });
        }
        fn tick(&mut self, partition: i32, offset: i64, run: &str, symbol: &str, seq: u64) {
            let body = json!({"symbol": symbol, "venue": "XNYS", "run": run, "seq": seq, "ts_event_ns": 500, "price": 1.5});
            self.recovery.observe(Seen {
                partition,
                offset,
                sent_ms: 1000,
                heartbeat: false,
                body: &serde_json::to_vec(&body).unwrap(),
            });
        }
        fn resumed(&self) -> (String, u64, Vec<(String, u64)>) {
            match self.recovery.decide() {
                Decision::Resume {
                    run,
                    checkpoint,
                    present,
                    ..
                } => {
                    let mut present: Vec<_> = present.into_iter().collect();
                    present.sort();
                    (run, checkpoint.n, present)
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_empty_topic_is_fresh() {
        let log = Log::new(&[(0, 0, 0), (1, 0, 0)]);
        assert!(log.recovery.wanted().is_empty());
        assert_eq!(log.recovery.decide(), Decision::Fresh);
        assert!(log.recovery.settled(0));
        assert_eq!(log.recovery.next_n(), 0);
    }

    #[test]
    fn the_least_of_the_newest_checkpoints_wins_and_the_others_are_read_back_to_it() {
        let mut log = Log::new(&[(0, 0, 100), (1, 0, 50)]);
        log.beat(0, 90, "r", Some(8), 700);
        log.recovery.reached(0, 80);
        log.beat(1, 40, "r", Some(7), 600);
        log.recovery.reached(1, 30);
        assert_eq!(log.recovery.wanted(), [(0, 0, 80)]);
        log.beat(0, 70, "r", Some(7), 600);
        log.tick(0, 75, "r", "A", 9);
        log.tick(0, 95, "r", "A", 12);
        log.tick(1, 45, "r", "B", 3);
        log.tick(1, 46, "older", "B", 99);
        log.recovery.reached(0, 60);
        assert!(log.recovery.wanted().is_empty());
        assert_eq!(
            log.resumed(),
            ("r".into(), 7, vec![("A".into(), 12), ("B".into(), 3)])
        );
        assert_eq!(log.recovery.next_n(), 9);
        assert_eq!(log.recovery.end_of("r"), Some(700));
        assert_eq!(log.recovery.end_of("older"), Some(501));
        assert_eq!(log.recovery.market_end(), Some(700));
    }

    #[test]
    fn the_feeds_own_numbers_are_those_of_trades_and_of_gaps() {
        let mut log = Log::new(&[(0, 0, 100)]);
        log.beat(0, 0, "r", Some(0), 5);
        for (offset, kind, number, size) in [
            (1, "trade", Some(7), json!("2")),
            (2, "gap", Some(8), json!("3")),
            (3, "quote", Some(99), json!(null)),
            (4, "trade", Some(9), json!(1.5)),
            (5, "gap", None, json!(null)),
        ] {
            let body = json!({
                "symbol": "A", "kind": kind, "run": "r", "seq": offset, "ts_event_ns": 100 * offset,
                "source_seq": number, "size": size
            });
            log.recovery.observe(Seen {
                partition: 0,
                offset,
                sent_ms: 1000,
                heartbeat: false,
                body: &serde_json::to_vec(&body).unwrap(),
            });
        }
        log.recovery.reached(0, 0);
        let Decision::Resume { numbers, .. } = log.recovery.decide() else {
            panic!("a checkpoint is there")
        };
        let known = Number {
            highest: 10,
            at: 400,
        };
        assert_eq!(numbers, Numbers::from([("A".to_owned(), known)]));
    }

    #[test]
    fn killed_among_the_initial_checkpoints_the_run_begins_again() {
        let mut log = Log::new(&[(0, 0, 1), (1, 0, 0), (2, 0, 0)]);
        log.beat(0, 0, "r", Some(0), 5);
        log.recovery.reached(0, 0);
        assert!(log.recovery.wanted().is_empty());
        assert_eq!(log.resumed(), ("r".into(), 0, vec![]));
    }

    #[test]
    fn a_partition_that_the_topic_has_grown_by_asks_for_nothing() {
        let mut log = Log::new(&[(0, 900, 1000), (1, 0, 0)]);
        log.beat(0, 950, "r", Some(30), 5);
        log.recovery.reached(0, 940);
        assert!(log.recovery.wanted().is_empty());
        assert_eq!(log.resumed().1, 30);
    }

    #[test]
    fn where_retention_removed_the_proof_a_new_run_begins() {
        let mut log = Log::new(&[(0, 0, 10), (1, 20, 30)]);
        log.beat(0, 5, "r", Some(3), 5);
        log.recovery.reached(0, 0);
        log.beat(1, 25, "r", Some(4), 6);
        log.recovery.reached(1, 20);
        assert!(log.recovery.wanted().is_empty());
        assert_eq!(log.recovery.decide(), Decision::Unprovable { partition: 1 });
        assert_eq!(log.recovery.next_n(), 5);
    }

    #[test]
    fn others_records_are_passed_over() {
        let mut log = Log::new(&[(0, 0, 3)]);
        log.beat_of("someone else", 0, 0, "r", Some(3), 5, true);
        log.recovery.observe(Seen {
            partition: 0,
            offset: 1,
            sent_ms: 0,
            heartbeat: false,
            body: b"not json",
        });
        log.recovery.reached(0, 0);
        assert_eq!(log.recovery.decide(), Decision::Fresh);
        assert_eq!(log.recovery.market_end(), None);
    }

    #[test]
    fn only_a_closed_or_long_silent_producer_is_settled() {
        let mut log = Log::new(&[(0, 0, 3), (1, 0, 3)]);
        log.beat_of("me", 0, 1, "r", Some(1), 5, true);
        log.beat_of("me", 1, 1, "r", Some(0), 5, false);
        assert!(!log.recovery.settled(900));
        assert!(log.recovery.settled(2000), "silent since long");
        log.beat_of("me", 1, 2, "r", Some(1), 5, true);
        assert!(log.recovery.settled(900), "closed everywhere");
        log.tick(0, 2, "r", "A", 1);
        assert!(!log.recovery.settled(900), "a tick after the closing");
    }
}
