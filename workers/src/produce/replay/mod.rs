//! Replay of files of real prices: each row one tick, in the order of time.
//!
//! [`place`] finds the files, [`content`] unpacks one and says what it is, a [`row::RowReader`] gives its rows,
//! [`mapping`] makes a tick of each; [`merge`] and [`sort`] bring them in order.
//!
//! Reading is deterministic: the same files give the same ticks. A restarted replay reads again up to its checkpoint
//! and compares what it reads with what was sent. Rows that were appended, or mended after it, are sent; where what was
//! sent has changed, a new run begins.
//!
//! At the end the producer promises that nothing earlier than the next UTC midnight comes any more, so that the last
//! day's reports run. Rows that are appended for that same day are late.

mod archive;
mod blob;
mod columnar;
mod content;
pub mod day;
mod delimited;
mod fields;
mod file;
pub mod infer;
mod instant;
mod json_array;
mod json_lines;
mod landed;
mod lines;
mod mapping;
mod merge;
mod number;
mod place;
mod row;
mod sort;
mod stream;
mod utf16;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stockpipe_crds::pipeline::{Pipeline, Replay as Settings, ReplayTime, Source as Spec};
use stockpipe_market::calendar::Calendar;

use self::file::{Reading, Rows};
use self::stream::Stream;
use super::feed::{Feed, FeedError, Source, fingerprint};
use super::pace::{Nanos, Pace, StartLine};
use super::wall_ns;

pub use mapping::session_at;
pub use place::Access;
pub use row::{BAD_ROWS, BadRow, Problem, Unit};

/// `source.replay`.
pub struct Replay {
    settings: Settings,
    calendar: Calendar,
    access: Access,
}

/// What a replay needs to go on.
#[derive(Serialize, Deserialize)]
struct State {
    /// How many rows have been sent, or put into quarantine.
    rows: u64,
    /// SHA-256 over them.
    content: String,
    /// When the run began, where times are rebased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Nanos>,
}

impl Replay {
    /// The replay of `pipeline`'s source.
    ///
    /// # Errors
    /// Where the uri names no readable file, a file lacks a mapped column, or the calendar is unknown.
    pub fn new(pipeline: &Pipeline, access: Access) -> Result<Self, FeedError> {
        let Spec::Replay(settings) = &pipeline.source else {
            return Err(FeedError("the source is not a replay".to_owned()));
        };
        let replay = Self {
            settings: settings.as_ref().clone(),
            calendar: Calendar::parse(&pipeline.market.calendar)
                .map_err(|e| FeedError(format!("market.calendar: {e}")))?,
            access,
        };
        // What is wrong with the first file is told at once, before Kafka is waited for.
        let reading = replay.reading("");
        let items = place::items(&reading.settings.uris, &reading.access)?;
        if let Some(first) = items.first() {
            Rows::open(first, &reading)?;
        }
        Ok(replay)
    }

    fn reading(&self, run: &str) -> Reading {
        Reading {
            settings: self.settings.clone(),
            calendar: self.calendar,
            access: self.access.clone(),
            run: run.to_owned(),
        }
    }
}

impl Source for Replay {
    /// All of the spec but what makes no other ticks: where the files are, how fast they are sent, and what becomes of
    /// rows that give none.
    fn settings(&self) -> String {
        let settings = Settings {
            uris: Vec::new(),
            speed: 0,
            bad_rows: stockpipe_crds::pipeline::BadRows::Fail,
            max_gap: match self.settings.time {
                ReplayTime::Original => None,
                ReplayTime::Rebase => self.settings.max_gap,
            },
            ..self.settings.clone()
        };
        fingerprint(&["replay", self.calendar.name(), &format!("{settings:?}")])
    }

    fn pace(&self) -> Pace {
        match self.settings.time {
            ReplayTime::Original => {
                let max_gap = self.settings.max_gap.map(stream::nanos);
                Pace::new(self.settings.speed, StartLine::Here).with_max_gap(max_gap)
            }
            // As a live feed: after a pause, what was missed comes at once.
            ReplayTime::Rebase => Pace::new(self.settings.speed, StartLine::Now),
        }
    }

    fn begin(&self, run: &str, not_before: Option<Nanos>) -> Result<Box<dyn Feed>, FeedError> {
        let start = match self.settings.time {
            ReplayTime::Original => None,
            ReplayTime::Rebase => Some(wall_ns().max(not_before.unwrap_or(Nanos::MIN))),
        };
        let stream = Stream::open(self.reading(run), start)?;
        if stream.is_empty() {
            return Err(FeedError(format!(
                "{}: there is no row to replay",
                self.settings.uris.join(", ")
            )));
        }
        Ok(Box::new(stream))
    }

    fn resume(&self, run: &str, state: &Value) -> Result<Option<Box<dyn Feed>>, FeedError> {
        let Ok(state) = State::deserialize(state) else {
            return Ok(None);
        };
        let stream = Stream::open(self.reading(run), state.start)?.skip(&state)?;
        Ok(stream.map(|stream| Box::new(stream) as Box<dyn Feed>))
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod round_trips;

/// Settings of a test: these columns and nothing else said.
#[cfg(test)]
fn test_settings(columns: stockpipe_crds::pipeline::Columns) -> Settings {
    use stockpipe_crds::pipeline::{BadRows, Dialect, DuplicateRows, Fold, UnsortedRows};
    Settings {
        uris: Vec::new(),
        columns: Some(columns),
        speed: 0,
        time: ReplayTime::Original,
        max_gap: None,
        bad_rows: BadRows::Fail,
        unsorted_rows: UnsortedRows::Refuse,
        duplicate_rows: DuplicateRows::Keep,
        dialect: Dialect::default(),
        time_zone: None,
        repeated_hour: Fold::InOrder,
        trade_date: None,
    }
}
