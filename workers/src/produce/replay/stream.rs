//! The replayed rows as a feed: numbered, moved in time where the spec says so, and counted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use stockpipe_crds::pipeline::{DuplicateRows, ReplayTime};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::json;
use stockpipe_market::tick::{Symbol, Tick};

use super::State;
use super::file::{Reading, Rows};
use super::instant::end_of_day;
use super::mapping::session_at;
use super::merge::Merge;
use super::place::{self, Item};
use super::row::{BadRow, Entries, Entry, What};
use super::sort::{BUDGET, Sorted};
use crate::produce::feed::{Feed, FeedError, Rejected};
use crate::produce::pace::Nanos;

/// Bad rows between two ticks: with more, it is the mapping that is wrong.
const MOST_BAD_ROWS: usize = 10_000;

/// The rows, read one tick ahead.
pub struct Stream {
    entries: Box<dyn Entries>,
    rebase: Option<Rebase>,
    /// The ticks of the newest instant, where duplicates are left out.
    seen: Option<(Nanos, HashSet<Vec<u8>>)>,
    next: Option<Box<Tick>>,
    /// Bad rows between the last tick and the next.
    between: VecDeque<BadRow>,
    /// Why nothing more can be read.
    fault: Option<FeedError>,
    next_seq: HashMap<Symbol, u64>,
    /// Bad rows that are to be sent.
    rejected: Vec<Rejected>,
    sent: Sent,
    /// Event time of the last tick.
    last: Option<Nanos>,
    position: Nanos,
    at_end: bool,
    bad_rows: u64,
    duplicate_rows: u64,
    body: Vec<u8>,
}

/// What has been sent.
#[derive(Clone, Default)]
struct Sent {
    rows: u64,
    content: Sha256,
}

impl Sent {
    fn add(&mut self, bytes: &[u8]) {
        self.rows += 1;
        self.content.update((bytes.len() as u64).to_le_bytes());
        self.content.update(bytes);
    }

    fn digest(&self) -> String {
        hex::encode(self.content.clone().finalize())
    }
}

impl Stream {
    /// Opens the files; with `start`, the first row happens then.
    ///
    /// # Errors
    /// Where a file cannot be read, or its first row.
    pub fn open(reading: Reading, start: Option<Nanos>) -> Result<Self, FeedError> {
        let rebase = match reading.settings.time {
            ReplayTime::Original => None,
            ReplayTime::Rebase => start.map(|start| Rebase {
                start,
                calendar: reading.calendar,
                max_gap: reading.settings.max_gap.map(nanos),
                shift: None,
                before: 0,
            }),
        };
        let duplicates = reading.settings.duplicate_rows;
        let mut stream = Self {
            entries: entries(reading)?,
            rebase,
            seen: (duplicates == DuplicateRows::Drop).then(|| (Nanos::MIN, HashSet::new())),
            next: None,
            between: VecDeque::new(),
            fault: None,
            next_seq: HashMap::new(),
            rejected: Vec::new(),
            sent: Sent::default(),
            last: None,
            position: Nanos::MIN,
            at_end: false,
            bad_rows: 0,
            duplicate_rows: 0,
            body: Vec::with_capacity(512),
        };
        stream.read_ahead()?;
        if let Some(first) = &stream.next {
            stream.position = first.ts_event_ns;
        }
        Ok(stream)
    }

    /// Whether there is no tick at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at_end && self.last.is_none()
    }

    /// Passes over the rows that `state` tells of; `None` where they are not what they were.
    ///
    /// # Errors
    /// Where a row that was sent before cannot be read.
    pub fn skip(mut self, state: &State) -> Result<Option<Self>, FeedError> {
        // Bad rows come before the tick that follows them.
        loop {
            self.take_bad(state.rows);
            if self.sent.rows >= state.rows {
                break;
            }
            if self.take().is_none() {
                return self.fault.map_or(Ok(None), Err);
            }
        }
        self.rejected.clear();
        if self.sent.digest() != state.content {
            return Ok(None);
        }
        if self.is_empty() {
            return Ok(None);
        }
        self.settle();
        Ok(Some(self))
    }

    /// Reads on to the next tick. A fault is kept until what comes before it has been sent.
    fn read_ahead(&mut self) -> Result<(), FeedError> {
        self.next = None;
        loop {
            let Some(Entry { at, what }) = self.entries.next()? else {
                self.at_end = true;
                return Ok(());
            };
            match what {
                What::Bad(bad) => {
                    if self.between.len() == MOST_BAD_ROWS {
                        return Err(FeedError(format!(
                            "{MOST_BAD_ROWS} rows one after the other cannot be read, which is no quarantine's work; \
                             the last: {bad}"
                        )));
                    }
                    self.between.push_back(*bad);
                }
                What::Tick(mut tick) => {
                    if !self.is_new(at, &tick) {
                        self.duplicate_rows += 1;
                        continue;
                    }
                    if let Some(rebase) = &mut self.rebase {
                        rebase.shift(&mut tick)?;
                    }
                    tick.seq = self.next_seq.get(&tick.symbol).copied().unwrap_or(0);
                    self.next = Some(tick);
                    return Ok(());
                }
            }
        }
    }

    /// Whether no tick of this instant says the same.
    fn is_new(&mut self, at: Nanos, tick: &Tick) -> bool {
        let Some((instant, seen)) = &mut self.seen else {
            return true;
        };
        if *instant != at {
            *instant = at;
            seen.clear();
        }
        let mut body = Vec::new();
        json::encode(tick, &mut body);
        seen.insert(body)
    }

    /// Moves bad rows that come before the next tick to those that are to be sent, so long as fewer than `rows` are.
    fn take_bad(&mut self, rows: u64) {
        while self.sent.rows < rows
            && let Some(bad) = self.between.pop_front()
        {
            self.sent.add(bad.to_string().as_bytes());
            self.rejected.push(Rejected {
                seq: self.bad_rows,
                row: bad,
            });
            self.bad_rows += 1;
        }
    }

    /// Takes the next tick, and reads the one after it.
    fn take(&mut self) -> Option<Box<Tick>> {
        let tick = self.next.take()?;
        self.body.clear();
        json::encode(&tick, &mut self.body);
        self.sent.add(&self.body);
        match self.next_seq.get_mut(&tick.symbol) {
            Some(next) => *next += 1,
            None => {
                self.next_seq.insert(tick.symbol.clone(), 1);
            }
        }
        self.last = Some(tick.ts_event_ns);
        if let Err(fault) = self.read_ahead() {
            self.fault = Some(fault);
        }
        Some(tick)
    }

    /// The position after what has been taken.
    fn settle(&mut self) {
        if let Some(last) = self.last {
            // The next row may be of the same instant.
            self.position = if self.at_end { end_of_day(last) } else { last };
        }
        if self.at_end {
            self.take_bad(u64::MAX);
        }
    }
}

impl Feed for Stream {
    fn position(&self) -> Nanos {
        self.position
    }

    fn emit(
        &mut self,
        until: Nanos,
        budget: usize,
        sink: &mut dyn FnMut(&Tick) -> bool,
    ) -> Result<(), FeedError> {
        for _ in 0..budget {
            self.take_bad(u64::MAX);
            if self.next.as_ref().is_none_or(|t| t.ts_event_ns >= until) {
                break;
            }
            let Some(tick) = self.take() else { break };
            self.settle();
            if !sink(&tick) {
                return Ok(());
            }
        }
        if self.next.is_none()
            && let Some(fault) = &self.fault
        {
            // Told as often as it is asked: nothing after it may be sent.
            return Err(fault.clone());
        }
        if let Some(next) = &self.next {
            self.position = self.position.max(next.ts_event_ns.min(until));
        }
        Ok(())
    }

    fn end(&self) -> Option<Nanos> {
        self.at_end.then_some(self.position)
    }

    fn silence(&self) -> Option<(Nanos, Nanos)> {
        Some((self.last?, self.next.as_ref()?.ts_event_ns))
    }

    fn take_rejected(&mut self) -> Vec<Rejected> {
        std::mem::take(&mut self.rejected)
    }

    fn left_out(&self) -> (u64, u64) {
        (self.bad_rows, self.duplicate_rows)
    }

    fn state(&self) -> Value {
        serde_json::to_value(State {
            rows: self.sent.rows,
            content: self.sent.digest(),
            start: self.rebase.as_ref().map(|rebase| rebase.start),
        })
        .expect("the state has only string keys")
    }
}

/// The rows of all files in order.
fn entries(reading: Reading) -> Result<Box<dyn Entries>, FeedError> {
    let items = place::items(&reading.settings.uris, &reading.access)?;
    if reading.sorts() {
        let mut all = OneByOne {
            items: items.into_iter(),
            reading,
            rows: None,
        };
        return Ok(Box::new(Sorted::new(&mut all, BUDGET)?));
    }
    Ok(match items.as_slice() {
        [item] => Box::new(Rows::open(item, &reading)?),
        _ => Box::new(Merge::new(items, reading)?),
    })
}

/// The rows of one file after the other.
struct OneByOne {
    items: std::vec::IntoIter<Item>,
    reading: Reading,
    rows: Option<Rows>,
}

impl Entries for OneByOne {
    fn next(&mut self) -> Result<Option<Entry>, FeedError> {
        loop {
            if let Some(rows) = &mut self.rows
                && let Some(entry) = rows.next()?
            {
                return Ok(Some(entry));
            }
            match self.items.next() {
                Some(item) => self.rows = Some(Rows::open(&item, &self.reading)?),
                None => return Ok(None),
            }
        }
    }
}

/// Moves rows so that the first happens at the start, and shortens what is too long without a row.
struct Rebase {
    start: Nanos,
    calendar: Calendar,
    max_gap: Option<Nanos>,
    shift: Option<Nanos>,
    /// Time of the row before, as the file has it.
    before: Nanos,
}

impl Rebase {
    fn shift(&mut self, tick: &mut Tick) -> Result<(), FeedError> {
        let at = tick.ts_event_ns;
        let outside =
            || FeedError("source.replay.time: Rebase leads past the year 2261".to_owned());
        let shift = match self.shift {
            None => self.start.checked_sub(at).ok_or_else(outside)?,
            Some(shift) => {
                let gap = at.saturating_sub(self.before);
                let too_long = self.max_gap.map_or(0, |most| (gap - most).max(0));
                shift.saturating_sub(too_long)
            }
        };
        self.shift = Some(shift);
        self.before = at;
        let moved = at.checked_add(shift).ok_or_else(outside)?;
        tick.ts_event_ns = moved;
        tick.ts_recv_ns = tick.ts_recv_ns.and_then(|at| at.checked_add(shift));
        tick.trade_date = self.calendar.trade_date_at(moved);
        tick.session = session_at(self.calendar, moved);
        Ok(())
    }
}

/// A length of time in nanoseconds.
pub fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}
