//! A live feed over a WebSocket as a source.
//!
//! [`connection`] keeps a connection, [`wire`] fills the texts that it sends, [`reader`] makes ticks of messages with
//! numbers as the feed wrote them ([`json`]), [`track`] judges the feed's numbers, and [`stream`] gives ticks to the
//! producer. What a feed says and how is in its description (`stockpipe_crds::live`); no vendor is named here.
//!
//! A feed cannot be asked again. A restarted producer goes on behind the last tick that is in the topic: with the next
//! of our numbers, and with the feed's last number, so that what comes twice is left out, and what did not come is told
//! as a gap. Where trades have no numbers, each connection but the first begins with a gap of unknown size.

mod connection;
mod health;
mod json;
mod reader;
mod stream;
mod track;
mod wire;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::sync_channel;

use serde::Deserialize;
use serde_json::Value;
use stockpipe_crds::pipeline::Live;
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::Symbol;
use tokio_util::sync::CancellationToken;

use self::connection::{Connection, Patience};
use self::health::Health;
use self::reader::Reader;
use self::stream::{Arrivals, Settings, State, Stream};
use self::wire::Texts;
use super::feed::{Feed, FeedError, Source, fingerprint};
use super::pace::{Nanos, Pace, StartLine};
use super::recovery::{Numbers, Present};
use crate::context::Context;
use crate::secrets::Secrets;

pub use health::Liveness;
pub use track::ANEW;

/// Ticks, and what else messages say, that may wait for Kafka: about 40 MB at most.
const QUEUE: usize = 1 << 16;

/// `source.live`.
pub struct LiveSource {
    live: Live,
    symbols: Vec<Symbol>,
    calendar: Calendar,
    secrets: Secrets,
    patience: Patience,
    queue: usize,
    runtime: tokio::runtime::Handle,
}

impl LiveSource {
    /// The feed of `ctx`'s source.
    ///
    /// # Errors
    /// Where the calendar is unknown, a symbol is none, a secret is missing or a text cannot be filled.
    pub fn new(ctx: &Context, live: &Live) -> Result<Self, FeedError> {
        let market = &ctx.pipeline.market;
        let symbols = market.symbols.iter().map(|text| {
            Symbol::new(text).map_err(|e| FeedError(format!("a symbol of the market: {e}")))
        });
        let source = Self {
            live: live.clone(),
            symbols: symbols.collect::<Result<_, _>>()?,
            calendar: Calendar::parse(&market.calendar)
                .map_err(|e| FeedError(format!("market.calendar: {e}")))?,
            secrets: ctx.secrets.clone(),
            patience: Patience::default(),
            queue: QUEUE,
            runtime: tokio::runtime::Handle::current(),
        };
        // What is missing is told at once, before Kafka is waited for.
        Texts::new(&source.live, &source.symbols, &source.secrets)?;
        Ok(source)
    }

    fn stream(&self, run: &str, state: Option<State>) -> Stream {
        let (out, arrivals) = sync_channel(self.queue);
        let waiting = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let health = Arc::new(Health::new(&self.live.name));
        let connection = Connection {
            live: self.live.clone(),
            symbols: self.symbols.clone(),
            reader: Reader::new(
                self.live.feed.clone(),
                &self.symbols,
                self.calendar,
                &self.live.name,
                run,
            ),
            secrets: self.secrets.clone(),
            out,
            waiting: Arc::clone(&waiting),
            queue: self.queue,
            health: Arc::clone(&health),
            patience: self.patience,
            overflow: false,
            stood_at: None,
        };
        self.runtime.spawn(connection.run(stop.clone()));
        let settings = Settings {
            source: self.live.name.as_str().into(),
            run: run.into(),
            calendar: self.calendar,
            symbols: self.symbols.clone(),
            gaps: self.live.feed.gaps,
            channels: self.live.channels.clone(),
        };
        let arrivals = Arrivals {
            channel: arrivals,
            waiting,
        };
        Stream::new(settings, state, arrivals, health, stop.drop_guard())
    }
}

impl Source for LiveSource {
    /// The feed alone: symbols come and go within a run, and how a feed is reached makes no other ticks.
    fn settings(&self) -> String {
        fingerprint(&["live", &self.live.name, self.calendar.name()])
    }

    fn pace(&self) -> Pace {
        Pace::new(1, StartLine::Here)
    }

    fn begin(&self, run: &str, _not_before: Option<Nanos>) -> Result<Box<dyn Feed>, FeedError> {
        Ok(Box::new(self.stream(run, None)))
    }

    fn resume(&self, run: &str, state: &Value) -> Result<Option<Box<dyn Feed>>, FeedError> {
        self.resume_behind(run, state, &Present::new(), &Numbers::new())
    }

    fn repeats(&self) -> bool {
        false
    }

    fn resume_behind(
        &self,
        run: &str,
        state: &Value,
        present: &Present,
        numbers: &Numbers,
    ) -> Result<Option<Box<dyn Feed>>, FeedError> {
        let Ok(mut state) = State::deserialize(state) else {
            return Ok(None);
        };
        state.behind(present, numbers);
        Ok(Some(Box::new(self.stream(run, Some(state)))))
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod preset_tests;
