//! One life of the producer: read back, restore, send, until stopped or interrupted.

use std::time::{Duration, Instant};

use stockpipe_market::json;

use super::feed::{Feed, Source};
use super::heartbeat::{Checkpoint, Heartbeat};
use super::pace::{Due, Nanos};
use super::partition::partition_of;
use super::rate::Rate;
use super::readback::{ReadBack, read_back};
use super::recovery::{Decision, Present};
use super::replay::BAD_ROWS;
use super::sender::Sender;
use super::{Interruption, Telling, wall_ns};
use crate::context::Context;
use crate::failpoint;

/// A heartbeat goes out this often, live and in history.
const BEAT_LIVE: Duration = Duration::from_secs(1);
const BEAT_HISTORY: Duration = Duration::from_millis(250);
/// A checkpoint goes out after so many ticks, or after so long.
const CHECKPOINT_TICKS: u64 = 200_000;
const CHECKPOINT_AGE: Duration = Duration::from_secs(30);
/// Without new ticks a checkpoint only keeps retention from removing the last one.
const CHECKPOINT_AGE_SILENT: Duration = Duration::from_secs(600);
/// The topic is asked for new partitions this often.
const GROWTH: Duration = Duration::from_secs(10);
/// Live ticks that are later than this are catching up.
const LATE: Nanos = 2_000_000_000;
/// Ticks between two looks at the clock.
const BUDGET: usize = 5000;
/// The status is shown this often.
const SHOW: Duration = Duration::from_millis(250);
/// Pause of a producer that has nothing due.
const PAUSE: Duration = Duration::from_millis(10);

/// Produces until stopped (`Ok`) or interrupted.
pub fn run(ctx: &Context, source: &dyn Source, telling: &mut Telling) -> Result<(), Interruption> {
    let producer = format!("{}/0", ctx.identity());
    let log = read_back(ctx, &producer)?;
    let sender = Sender::connect(ctx)?;
    let mut line = Line::start(ctx, source, sender, producer, &log)?;
    line.ticks_before = telling.status.ticks_total;
    let mut outcome = line.send_until_stopped(ctx, source, telling);
    // What was sent before a fault of the source is complete up to the fault: a
    // checkpoint there lets the producer go on once the fault is mended.
    // While the log is ahead of us there is nothing to add: the last checkpoint still holds.
    if matches!(outcome, Ok(()) | Err(Interruption::Source(_)))
        && line.feed.position() >= line.known_until
        && let Err(failure) = line.checkpoint(line.feed.position(), true)
        && outcome.is_ok()
    {
        outcome = Err(failure);
    }
    line.show(ctx, telling, None);
    outcome
}

struct Line {
    sender: Sender,
    feed: Box<dyn Feed>,
    producer: String,
    run: String,
    settings: String,
    partitions: i32,
    next_n: u64,
    present: Present,
    /// Market time up to which the log already tells of this run: until the
    /// source is there again, a checkpoint would stand after ticks that it does
    /// not cover, so none is written, and no heartbeat either.
    known_until: Nanos,
    body: Vec<u8>,
    /// Ticks sent in this life, and those that the lives before it had acknowledged.
    ticks: u64,
    ticks_before: u64,
    rate: Rate,
    since_checkpoint: u64,
    checkpoint_at: Instant,
    beat_at: Option<Instant>,
    beat_until: Nanos,
}

impl Line {
    fn start(
        ctx: &Context,
        source: &dyn Source,
        sender: Sender,
        producer: String,
        log: &ReadBack,
    ) -> Result<Self, Interruption> {
        let settings = source.settings();
        let topic = &ctx.pipeline.kafka.topic.name;
        let mut resumed = None;
        match log.recovery.decide() {
            Decision::Fresh => {}
            Decision::Unprovable { partition } => tracing::warn!(
                topic,
                partition,
                "retention has removed the records that tell which ticks are present; a new run begins"
            ),
            Decision::Resume {
                run,
                checkpoint,
                present,
                numbers,
            } => {
                if checkpoint.settings != settings {
                    tracing::info!(run, "the source's settings have changed; a new run begins");
                } else if let Some(feed) =
                    source.resume_behind(&run, &checkpoint.state, &present, &numbers)?
                {
                    let present = if source.repeats() {
                        present
                    } else {
                        Present::new()
                    };
                    resumed = Some((run, feed, present));
                } else {
                    tracing::info!(run, "the source's data have changed; a new run begins");
                }
            }
        }
        let fresh = resumed.is_none();
        let (run, feed, present) = match resumed {
            Some(resumed) => resumed,
            None => {
                let run = new_run();
                let feed = source.begin(&run, log.recovery.market_end())?;
                (run, feed, Present::new())
            }
        };
        // What is not made again is not told again either.
        let known_until = if fresh || !source.repeats() {
            Nanos::MIN
        } else {
            log.recovery.end_of(&run).unwrap_or(Nanos::MIN)
        };
        tracing::info!(
            run,
            topic,
            partitions = log.partitions,
            from = %instant(feed.position()),
            symbols_ahead = present.len(),
            "{}",
            if fresh { "a new run begins" } else { "the run goes on from its last checkpoint" }
        );
        let mut line = Self {
            sender,
            feed,
            producer,
            run,
            settings,
            partitions: log.partitions,
            next_n: log.recovery.next_n(),
            present,
            known_until,
            body: Vec::with_capacity(512),
            ticks: 0,
            ticks_before: 0,
            rate: Rate::default(),
            since_checkpoint: 0,
            checkpoint_at: Instant::now(),
            beat_at: None,
            beat_until: Nanos::MIN,
        };
        if fresh {
            line.checkpoint(line.feed.position(), false)?;
        }
        Ok(line)
    }

    fn send_until_stopped(
        &mut self,
        ctx: &Context,
        source: &dyn Source,
        telling: &mut Telling,
    ) -> Result<(), Interruption> {
        let mut pace = source.pace();
        let mut shown = Instant::now();
        let mut grown = Instant::now();
        let mut closed_at = None;
        while !ctx.shutdown.is_cancelled() {
            self.sender.serve(Duration::ZERO)?;
            if let Some(end) = self.feed.end() {
                self.send_rejected()?;
                // The last word of a replay: nothing later comes, so the last period may close.
                if closed_at.is_none_or(|at: Instant| at.elapsed() >= CHECKPOINT_AGE_SILENT) {
                    self.checkpoint(end, false)?;
                    closed_at = Some(Instant::now());
                    telling.status.finished = true;
                    self.show(ctx, telling, None);
                }
                if shown.elapsed() >= SHOW {
                    shown = Instant::now();
                    self.show(ctx, telling, None);
                }
                self.sender.serve(Duration::from_millis(50))?;
                continue;
            }
            let mut due = pace.due(wall_ns(), self.feed.position());
            if let Some(silence) = self.feed.silence() {
                due = pace.shorten(due, silence);
            }
            // A live feed is taken from when it speaks, even while the clock is set back.
            if !source.repeats() || self.feed.position() < due.until() {
                self.emit(due.until())?;
                if let Due::Live(until) = due
                    && source.repeats()
                    && self.feed.position() > until
                {
                    pace.skipped_to(wall_ns(), self.feed.position());
                }
            }
            self.beat(due)?;
            if grown.elapsed() >= GROWTH {
                grown = Instant::now();
                self.adopt_new_partitions()?;
            }
            if shown.elapsed() >= SHOW {
                shown = Instant::now();
                self.show(ctx, telling, Some(due));
            }
            if self.feed.position() >= due.until() {
                self.sender.serve(PAUSE)?;
            }
        }
        Ok(())
    }

    /// Sends what is due up to `until`, a bounded number of ticks at a time.
    fn emit(&mut self, until: Nanos) -> Result<(), Interruption> {
        let Self {
            sender,
            feed,
            present,
            body,
            partitions,
            ..
        } = self;
        let (mut sent, mut skipped) = (0_u64, 0_u64);
        let mut interrupted = None;
        let mut ingest = wall_ns();
        let result = feed.emit(until, BUDGET, &mut |tick| {
            if interrupted.is_some() {
                return false;
            }
            if !present.is_empty()
                && let Some(highest) = present.get(&*tick.symbol)
            {
                if tick.seq <= *highest {
                    skipped += 1;
                    return true;
                }
                present.remove(&*tick.symbol);
            }
            if sent % 16 == 0 {
                ingest = wall_ns();
            }
            let partition = partition_of(tick.symbol.as_bytes(), *partitions);
            body.clear();
            let mut tick = tick.clone();
            tick.ts_ingest_ns = Some(ingest);
            json::encode(&tick, body);
            failpoint::hit("produce.before-send");
            if let Err(interruption) = sender.tick(partition, &tick.symbol, body) {
                interrupted = Some(interruption);
                return false;
            }
            failpoint::hit("produce.after-send");
            sent += 1;
            true
        });
        self.ticks += sent;
        self.since_checkpoint += sent + skipped;
        if let Some(interruption) = interrupted {
            return Err(interruption);
        }
        self.send_rejected()?;
        result.map_err(Interruption::from)
    }

    /// Sends rows that could not be read as records that a lander puts into quarantine: each once, as ticks.
    fn send_rejected(&mut self) -> Result<(), Interruption> {
        for rejected in self.feed.take_rejected() {
            self.since_checkpoint += 1;
            if let Some(highest) = self.present.get(BAD_ROWS) {
                if rejected.seq <= *highest {
                    continue;
                }
                self.present.remove(BAD_ROWS);
            }
            tracing::warn!(run = self.run, "into quarantine: {}", rejected.row);
            // It says nothing of market time beyond what the ticks say.
            let at = self.feed.position().saturating_sub(1);
            let body = rejected.row.record(&self.run, rejected.seq, at);
            let partition = partition_of(BAD_ROWS.as_bytes(), self.partitions);
            self.sender.tick(partition, BAD_ROWS, &body)?;
        }
        Ok(())
    }

    /// Heartbeats and checkpoints that are due.
    fn beat(&mut self, due: Due) -> Result<(), Interruption> {
        let age = if self.since_checkpoint == 0 {
            CHECKPOINT_AGE_SILENT
        } else {
            CHECKPOINT_AGE
        };
        let position = self.feed.position();
        // While present ticks are passed over, the log's own heartbeats are ahead of us.
        if position < self.known_until {
            return Ok(());
        }
        if self.since_checkpoint >= CHECKPOINT_TICKS || self.checkpoint_at.elapsed() >= age {
            return self.checkpoint(position, false);
        }
        let every = match due {
            Due::Fast(_) => BEAT_HISTORY,
            Due::Live(_) => BEAT_LIVE,
        };
        if self.beat_at.is_some_and(|at| at.elapsed() < every) || position <= self.beat_until {
            return Ok(());
        }
        let body = self.heartbeat(position, None);
        for partition in 0..self.partitions {
            self.sender.heartbeat(partition, &body)?;
        }
        self.beat_at = Some(Instant::now());
        self.beat_until = position;
        Ok(())
    }

    /// Writes a checkpoint of the source, as it stands, into every partition.
    ///
    /// The flush before it is what lets a topic grow: with everything acknowledged, a symbol may move.
    fn checkpoint(&mut self, until: Nanos, closed: bool) -> Result<(), Interruption> {
        self.sender.flush()?;
        failpoint::hit("produce.before-checkpoint");
        let body = self.heartbeat(
            until,
            Some(Checkpoint {
                n: self.next_n,
                settings: self.settings.clone(),
                state: self.feed.state(),
                closed,
            }),
        );
        let half = (self.partitions + 1) / 2;
        for partition in 0..half {
            self.sender.heartbeat(partition, &body)?;
        }
        self.sender.flush()?;
        failpoint::hit("produce.between-checkpoints");
        for partition in half..self.partitions {
            self.sender.heartbeat(partition, &body)?;
        }
        self.sender.flush()?;
        failpoint::hit("produce.after-checkpoint");
        self.next_n += 1;
        self.since_checkpoint = 0;
        self.checkpoint_at = Instant::now();
        self.beat_at = Some(Instant::now());
        self.beat_until = until;
        Ok(())
    }

    /// A grown topic is adopted right at a checkpoint, when every tick before it is acknowledged.
    fn adopt_new_partitions(&mut self) -> Result<(), Interruption> {
        if self.sender.is_lost() || self.feed.position() < self.known_until {
            return Ok(());
        }
        match self.sender.partitions(Duration::from_secs(1)) {
            Some(partitions) if partitions > self.partitions => {
                self.sender.flush()?;
                tracing::info!(
                    from = self.partitions,
                    to = partitions,
                    "the topic has more partitions"
                );
                self.partitions = partitions;
                self.checkpoint(self.feed.position(), false)
            }
            _ => Ok(()),
        }
    }

    fn heartbeat(&self, until: Nanos, checkpoint: Option<Checkpoint>) -> Vec<u8> {
        serde_json::to_vec(&Heartbeat {
            producer: self.producer.clone(),
            until,
            run: self.run.clone(),
            checkpoint,
        })
        .expect("a heartbeat has only string keys")
    }

    fn show(&mut self, ctx: &Context, telling: &mut Telling, due: Option<Due>) {
        telling.kafka_lost = self.sender.is_lost();
        telling.live = self.feed.live();
        let status = &mut telling.status;
        status.live = telling.live.as_ref().map(|live| live.status.clone());
        status.run.clone_from(&self.run);
        (status.bad_rows, status.duplicate_rows) = self.feed.left_out();
        status.in_flight = self.sender.waiting();
        status.market_time = Some(instant(self.feed.position()));
        status.behind = match due {
            Some(Due::Fast(_)) => !status.finished,
            Some(Due::Live(until)) => until.saturating_sub(self.feed.position()) > LATE,
            None => status.behind && !status.finished,
        };
        status.ticks_total = self.ticks_before + self.ticks.saturating_sub(status.in_flight);
        status.rate = self.rate.observe(Instant::now(), self.ticks);
        telling.show(ctx);
    }
}

fn new_run() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..8].to_owned()
}

fn instant(ns: Nanos) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(jiff::Timestamp::MAX)
}
