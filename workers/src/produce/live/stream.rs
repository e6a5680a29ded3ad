//! The ticks of a live feed, in the order of their arrival: numbered, each once, with a record of what did not come.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stockpipe_crds::live::{GapDetection, LiveChannel};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::{Kind, Size, Symbol, Tick};
use tokio_util::sync::DropGuard;

use super::connection::Arrival;
use super::health::{Health, Liveness};
use super::reader::Item;
use super::track::{Missing, Recent, Track, Turn};
use crate::produce::feed::{Feed, FeedError, Rejected};
use crate::produce::pace::Nanos;
use crate::produce::recovery::{Numbers, Present};
use crate::produce::replay::{BAD_ROWS, BadRow, Problem, Unit, session_at};
use crate::produce::wall_ns;

/// What happened longer ago than this may be promised to have come. What comes later still is a late tick.
const LAG: Nanos = 2_000_000_000;
/// How long one call waits for the feed.
const WAIT: Duration = Duration::from_millis(10);

/// What a live stream needs to go on.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    /// By symbol.
    symbols: BTreeMap<Symbol, Track>,
    /// Messages that went to quarantine.
    #[serde(default)]
    bad: u64,
}

impl State {
    /// Moves on behind what the log holds after the checkpoint.
    pub fn behind(&mut self, present: &Present, numbers: &Numbers) {
        for (name, seq) in present {
            if name == BAD_ROWS {
                self.bad = self.bad.max(seq + 1);
            } else if let Ok(symbol) = Symbol::new(name) {
                let track = self.symbols.entry(symbol).or_default();
                track.next_seq = track.next_seq.max(seq + 1);
            }
        }
        for (name, number) in numbers {
            if let Some(track) = self.symbols.get_mut(name.as_str()) {
                track.go_on(number.highest, number.at);
            }
        }
    }
}

/// What a stream is made of.
pub struct Settings {
    /// The feed's name.
    pub source: Arc<str>,
    /// The run of its ticks.
    pub run: Arc<str>,
    /// Whose dates and sessions ticks are of.
    pub calendar: Calendar,
    /// What was asked for.
    pub symbols: Vec<Symbol>,
    /// What tells that something did not come.
    pub gaps: GapDetection,
    /// What is subscribed to.
    pub channels: Vec<LiveChannel>,
}

/// What the connection brings.
pub struct Arrivals {
    /// In their order.
    pub channel: Receiver<Arrival>,
    /// How many items lie there, for the connection to know.
    pub waiting: Arc<AtomicUsize>,
}

/// A live feed as a source of ticks.
pub struct Stream {
    settings: Settings,
    tracks: HashMap<Symbol, Track>,
    recent: Recent,
    arrivals: Arrivals,
    ready: VecDeque<Tick>,
    rejected: Vec<Rejected>,
    bad: u64,
    duplicates: u64,
    /// Whether a subscription stood before, in this life or an earlier one.
    stood: bool,
    position: Nanos,
    refused: Option<FeedError>,
    health: Arc<Health>,
    /// Ends the connection.
    _connection: DropGuard,
}

impl Stream {
    /// A stream of what `arrivals` brings; with `state` it goes on behind an earlier one.
    pub fn new(
        settings: Settings,
        state: Option<State>,
        arrivals: Arrivals,
        health: Arc<Health>,
        connection: DropGuard,
    ) -> Self {
        let stood = state.is_some();
        let state = state.unwrap_or_default();
        Self {
            settings,
            tracks: state.symbols.into_iter().collect(),
            recent: Recent::default(),
            arrivals,
            ready: VecDeque::new(),
            rejected: Vec::new(),
            bad: state.bad,
            duplicates: 0,
            stood,
            position: wall_ns() - LAG,
            refused: None,
            health,
            _connection: connection,
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Subscribed => {
                if self.stood {
                    self.something_may_be_missing();
                }
                self.stood = true;
            }
            // The word of a subscription may be among what was given up.
            Arrival::Overflow => {
                self.something_may_be_missing();
                self.stood = true;
            }
            Arrival::Refused(why) => self.refused = Some(FeedError(why)),
            Arrival::Items(items) => {
                let count = items.len();
                self.arrivals.waiting.fetch_sub(count, Ordering::Relaxed);
                for item in items {
                    self.item(item);
                }
            }
        }
    }

    /// Whether the feed's own numbers tell what is missing.
    fn counts_trades(&self) -> bool {
        self.settings.gaps == GapDetection::Exact
            && self.settings.channels.contains(&LiveChannel::Trades)
    }

    fn item(&mut self, item: Item) {
        match item {
            Item::Tick { tick, past } => self.tick(*tick, past),
            Item::Last { symbol, number } => {
                if self.counts_trades()
                    && let Some(missing) = self.track(&symbol).told(number)
                {
                    self.gap(symbol, Some(missing), wall_ns(), None);
                }
            }
            Item::Bad(why, text) => {
                let row = BadRow {
                    file: Arc::clone(&self.settings.source),
                    unit: Unit::Message,
                    number: self.health.get().status.messages,
                    problem: Problem::row(why),
                    cells: vec![text],
                };
                self.rejected.push(Rejected { seq: self.bad, row });
                self.bad += 1;
            }
            Item::Answer(_) | Item::Unknown => {}
        }
    }

    fn tick(&mut self, mut tick: Tick, past: bool) {
        if tick.kind == Kind::Trade {
            let is_new = match (self.settings.gaps, tick.source_seq) {
                (GapDetection::Exact, Some(number)) => self.is_new(&tick, number, past),
                (GapDetection::Exact, None) => {
                    self.item(Item::Bad(
                        "has no number, by which trades of this feed are counted".to_owned(),
                        tick.symbol.to_string(),
                    ));
                    return;
                }
                _ => match &tick.trade_id {
                    Some(id) => {
                        let values = (tick.price, tick.size, tick.source_seq);
                        let key = (
                            tick.symbol.as_str(),
                            &tick.venue,
                            tick.ts_event_ns,
                            id,
                            format!("{values:?}"),
                        );
                        let is_new = self.recent.is_new(key);
                        self.duplicates += u64::from(!is_new);
                        is_new
                    }
                    None => true,
                },
            };
            if !is_new {
                return;
            }
        }
        tick.seq = self.track(&tick.symbol).take_seq();
        self.ready.push_back(tick);
    }

    /// Whether a numbered trade is to be told; what is missing before it is told first.
    fn is_new(&mut self, tick: &Tick, number: u64, past: bool) -> bool {
        let (at, received) = (tick.ts_event_ns, tick.ts_recv_ns);
        let track = self.track(&tick.symbol);
        let turn = if past {
            match track.past(number, at) {
                Some(turn) => turn,
                None => return false,
            }
        } else {
            track.trade(number, at)
        };
        match turn {
            Turn::Next | Turn::Late => true,
            Turn::Again => {
                self.duplicates += 1;
                false
            }
            Turn::After(missing) => {
                self.gap(tick.symbol.clone(), Some(missing), at, received);
                true
            }
            Turn::Anew => {
                self.gap(tick.symbol.clone(), None, at, received);
                true
            }
        }
    }

    /// A gap of unknown size in every symbol of which no number tells what was missed. Trades that are counted tell it
    /// with the next one, but for a symbol's first.
    fn something_may_be_missing(&mut self) {
        self.tracks.values_mut().for_each(Track::subscribed);
        if self.settings.gaps == GapDetection::None {
            return;
        }
        let (now, counted) = (wall_ns(), self.counts_trades());
        let mut symbols = self.settings.symbols.clone();
        symbols.retain(|symbol| !counted || self.track(symbol).last.is_none());
        if symbols.is_empty() {
            return;
        }
        tracing::warn!(
            feed = &*self.settings.source,
            symbols = symbols.len(),
            "no number of the live feed tells what was missed: a gap is told in these symbols"
        );
        for symbol in symbols {
            self.gap(symbol, None, now, Some(now));
        }
    }

    fn gap(
        &mut self,
        symbol: Symbol,
        missing: Option<Missing>,
        at: Nanos,
        received: Option<Nanos>,
    ) {
        let Settings {
            source,
            run,
            calendar,
            ..
        } = &self.settings;
        let mut tick = Tick::new(
            symbol,
            Arc::clone(source),
            Kind::Gap,
            Arc::clone(run),
            0,
            at,
            calendar.trade_date_at(at),
        );
        tick.session = session_at(*calendar, at);
        tick.ts_recv_ns = Some(received.unwrap_or(at));
        if let Some(missing) = missing {
            tick.source_seq = Some(missing.first);
            tick.size = Size::parse(missing.count.to_string().as_bytes()).ok();
        }
        if let Some(Missing { first, count }) = missing {
            let (feed, symbol) = (&**source, tick.symbol.as_str());
            tracing::warn!(feed, symbol, first, count, "the live feed has a gap");
        }
        self.health.gap(missing.map_or(0, |m| m.count));
        tick.seq = self.track(&tick.symbol).take_seq();
        self.ready.push_back(tick);
    }

    fn track(&mut self, symbol: &Symbol) -> &mut Track {
        if !self.tracks.contains_key(symbol) {
            self.tracks.insert(symbol.clone(), Track::default());
        }
        self.tracks.get_mut(symbol).expect("just put there")
    }
}

impl Feed for Stream {
    fn position(&self) -> Nanos {
        self.position
    }

    fn emit(
        &mut self,
        _until: Nanos,
        budget: usize,
        sink: &mut dyn FnMut(&Tick) -> bool,
    ) -> Result<(), FeedError> {
        let mut emitted = 0;
        let mut waited = false;
        loop {
            // All of a message at once: a checkpoint must not stand within it.
            while let Some(tick) = self.ready.pop_front() {
                emitted += 1;
                if !sink(&tick) {
                    return Ok(());
                }
            }
            if let Some(error) = &self.refused {
                return Err(error.clone());
            }
            if emitted >= budget {
                return Ok(());
            }
            let asked_at = wall_ns();
            let arrival = match self.arrivals.channel.try_recv() {
                Err(TryRecvError::Empty) if emitted == 0 && !waited => {
                    waited = true;
                    match self.arrivals.channel.recv_timeout(WAIT) {
                        Ok(arrival) => Ok(arrival),
                        Err(RecvTimeoutError::Timeout) => Err(TryRecvError::Empty),
                        Err(RecvTimeoutError::Disconnected) => Err(TryRecvError::Disconnected),
                    }
                }
                other => other,
            };
            match arrival {
                Ok(arrival) => self.take(arrival),
                Err(TryRecvError::Empty) => {
                    self.position = self.position.max(asked_at - LAG);
                    return Ok(());
                }
                Err(TryRecvError::Disconnected) => {
                    return Err(FeedError(
                        "source.live: the task that keeps the connection has failed; this is a defect of stockpipe"
                            .to_owned(),
                    ));
                }
            }
        }
    }

    fn end(&self) -> Option<Nanos> {
        None
    }

    fn take_rejected(&mut self) -> Vec<Rejected> {
        std::mem::take(&mut self.rejected)
    }

    fn left_out(&self) -> (u64, u64) {
        (self.bad, self.duplicates)
    }

    fn live(&self) -> Option<Liveness> {
        Some(self.health.get())
    }

    fn state(&self) -> Value {
        serde_json::to_value(State {
            symbols: self
                .tracks
                .iter()
                .map(|(symbol, track)| (symbol.clone(), track.clone()))
                .collect(),
            bad: self.bad,
        })
        .expect("a state has only string keys")
    }
}
