//! Replay of a CSV file of real prices: each row one tick, in the file's order, which is the order of time.
//!
//! A restarted replay reads the file again up to its checkpoint and compares
//! what it reads with what was sent. Rows that were appended, or mended after
//! it, are sent; where the rows before it have changed, a new run begins.
//!
//! At the file's end the producer promises that nothing earlier than the next
//! UTC midnight comes any more, so that the last day's reports run. Rows that
//! are appended for that same day are late.

mod mapping;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use stockpipe_crds::pipeline::{ColumnSource, Columns, Pipeline, Source as Spec};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::{Symbol, Tick};

use self::mapping::{Mapping, end_of_day};
use super::feed::{Feed, FeedError, Source, fingerprint};
use super::pace::{Nanos, Pace, StartLine};

/// Bytes that a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// `source.replay`.
pub struct Replay {
    path: PathBuf,
    columns: Columns,
    calendar: Calendar,
    speed: u32,
}

/// What a replay needs to go on: how many rows have been sent, what they were, and each symbol's next `seq`.
#[derive(Serialize, Deserialize)]
struct State {
    rows: u64,
    /// SHA-256 over the rows, so that rows may be appended or mended after these, but not before.
    content: String,
    next_seq: HashMap<String, u64>,
}

impl Replay {
    /// The replay of `pipeline`'s source; a relative path starts at `base_dir`.
    ///
    /// # Errors
    /// Where the uri names no readable file, its header lacks a mapped column, or the calendar is unknown.
    pub fn new(pipeline: &Pipeline, base_dir: &Path) -> Result<Self, FeedError> {
        let Spec::Replay {
            uri,
            columns,
            speed,
        } = &pipeline.source
        else {
            return Err(FeedError("the source is not a replay".to_owned()));
        };
        let replay = Self {
            path: path_of(uri, base_dir)?,
            columns: columns.clone(),
            calendar: Calendar::parse(&pipeline.market.calendar)
                .map_err(|e| FeedError(format!("market.calendar: {e}")))?,
            speed: *speed,
        };
        // What is wrong with the file is told at once, before Kafka is waited for.
        replay.open("")?;
        Ok(replay)
    }

    fn open(&self, run: &str) -> Result<Rows, FeedError> {
        Rows::open(self, run)
    }
}

/// The file that `uri` names: `file:///…`, or a path.
fn path_of(uri: &str, base_dir: &Path) -> Result<PathBuf, FeedError> {
    let path = match uri.split_once("://") {
        None => Path::new(uri),
        Some(("file", path)) if path.starts_with('/') => Path::new(path),
        Some(_) => {
            return Err(FeedError(format!(
                "source.replay.uri `{uri}`: write file:///… with three slashes, or a path"
            )));
        }
    };
    Ok(base_dir.join(path))
}

/// Text that differs whenever the mapping does.
fn describe(columns: &Columns) -> String {
    let mut text = String::new();
    let mut add = |name: &str, source: &ColumnSource| {
        let _ = match source {
            ColumnSource::None => Ok(()),
            ColumnSource::Header(header) => writeln!(text, "{name} from {header:?}"),
            ColumnSource::Const(value) => writeln!(text, "{name} is {value:?}"),
        };
    };
    add("symbol", &columns.symbol);
    add("time", &columns.time);
    for (name, source) in &columns.fields {
        add(name, source);
    }
    let _ = writeln!(text, "format {:?}", columns.time_format);
    text
}

impl Source for Replay {
    fn settings(&self) -> String {
        fingerprint(&["replay", self.calendar.name(), &describe(&self.columns)])
    }

    fn pace(&self) -> Pace {
        Pace::new(self.speed, StartLine::Here)
    }

    fn begin(&self, run: &str, _: Option<Nanos>) -> Result<Box<dyn Feed>, FeedError> {
        let mut rows = self.open(run)?;
        rows.read_ahead()?;
        match &rows.next {
            Some(first) => rows.position = first.ts_event_ns,
            None => {
                return Err(FeedError(format!(
                    "{}: the file has no rows below its header",
                    self.path.display()
                )));
            }
        }
        Ok(Box::new(rows))
    }

    fn resume(&self, run: &str, state: &Value) -> Result<Option<Box<dyn Feed>>, FeedError> {
        let Ok(state) = State::deserialize(state) else {
            return Ok(None);
        };
        let rows = self.open(run)?.skip(&state)?;
        Ok(rows.map(|rows| Box::new(rows) as Box<dyn Feed>))
    }
}

/// The open file, read one row ahead.
struct Rows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read>>,
    mapping: Mapping,
    /// The row that was read last: that of `next`, if there is one.
    record: csv::ByteRecord,
    next: Option<Box<Tick>>,
    /// Event time and line of the row that was read last.
    last: Option<(Nanos, u64)>,
    /// Rows sent, and what they were.
    rows: u64,
    content: Sha256,
    next_seq: HashMap<Symbol, u64>,
    position: Nanos,
    at_end: bool,
}

impl Rows {
    fn open(source: &Replay, run: &str) -> Result<Self, FeedError> {
        let path = source.path.clone();
        let name = path.display().to_string();
        let unreadable = |e: std::io::Error| FeedError(format!("cannot read {name}: {e}"));
        let mut file = File::open(&path).map_err(unreadable)?;
        let mut magic = Vec::with_capacity(GZIP.len());
        (&mut file)
            .take(GZIP.len() as u64)
            .read_to_end(&mut magic)
            .map_err(unreadable)?;
        let zipped = magic == GZIP;
        let whole = Cursor::new(magic).chain(file);
        let text: Box<dyn Read> = if zipped {
            Box::new(MultiGzDecoder::new(BufReader::new(whole)))
        } else {
            Box::new(whole)
        };
        let mut reader = csv::ReaderBuilder::new().from_reader(text);
        let header = reader.headers().map_err(|e| csv_error(&name, &e))?.clone();
        let mapping = Mapping::new(&source.columns, &header, source.calendar, run)
            .map_err(|e| FeedError(format!("{name}: {e}")))?;
        Ok(Self {
            path,
            reader,
            mapping,
            record: csv::ByteRecord::new(),
            next: None,
            last: None,
            rows: 0,
            content: Sha256::new(),
            next_seq: HashMap::new(),
            position: Nanos::MIN,
            at_end: false,
        })
    }

    /// Passes over the rows that `state` tells of; `None` where they are not what they were.
    fn skip(mut self, state: &State) -> Result<Option<Self>, FeedError> {
        for _ in 0..state.rows {
            // A row that cannot be read by now is not the one that was sent.
            if !matches!(self.reader.read_byte_record(&mut self.record), Ok(true)) {
                return Ok(None);
            }
            hash_row(&mut self.content, &self.record);
        }
        if hex::encode(self.content.clone().finalize()) != state.content {
            return Ok(None);
        }
        if state.rows > 0 {
            let Ok(sent) = self.mapping.tick(&self.record) else {
                return Ok(None);
            };
            self.last = Some((sent.ts_event_ns, self.line()));
        }
        self.rows = state.rows;
        for (symbol, seq) in &state.next_seq {
            let Ok(symbol) = Symbol::new(symbol) else {
                return Ok(None);
            };
            self.next_seq.insert(symbol, *seq);
        }
        let sent_until = self.last.map(|(at, _)| at);
        self.read_ahead()?;
        self.position = match (sent_until, &self.next) {
            (Some(at), None) => end_of_day(at),
            (Some(at), Some(_)) => at,
            (None, Some(first)) => first.ts_event_ns,
            (None, None) => return Ok(None),
        };
        Ok(Some(self))
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn bad(&self, problem: &dyn std::fmt::Display) -> FeedError {
        FeedError(format!(
            "{}:{}: {problem}",
            self.path.display(),
            self.line()
        ))
    }

    /// Reads the next row into `next`.
    fn read_ahead(&mut self) -> Result<(), FeedError> {
        self.next = None;
        let more = self
            .reader
            .read_byte_record(&mut self.record)
            .map_err(|e| csv_error(&self.path.display().to_string(), &e))?;
        if !more {
            self.at_end = true;
            return Ok(());
        }
        let mut tick = self.mapping.tick(&self.record).map_err(|e| self.bad(&e))?;
        if let Some((before, line)) = self.last
            && tick.ts_event_ns < before
        {
            return Err(self.bad(&format_args!(
                "the row is earlier than the one in line {line}: sort the file by time"
            )));
        }
        self.last = Some((tick.ts_event_ns, self.line()));
        tick.seq = self.next_seq.get(&tick.symbol).copied().unwrap_or(0);
        self.next = Some(Box::new(tick));
        Ok(())
    }
}

impl Feed for Rows {
    fn position(&self) -> Nanos {
        self.position
    }

    fn emit(
        &mut self,
        until: Nanos,
        budget: usize,
        sink: &mut dyn FnMut(&Tick) -> bool,
    ) -> Result<(), FeedError> {
        if self.next.is_none() && !self.at_end {
            // A bad row: it is told again, since nothing after it may be sent.
            return Err(self.bad(&"the row could not be read"));
        }
        for _ in 0..budget {
            let Some(tick) = self.next.take_if(|t| t.ts_event_ns < until) else {
                break;
            };
            hash_row(&mut self.content, &self.record);
            self.rows += 1;
            match self.next_seq.get_mut(&tick.symbol) {
                Some(next) => *next += 1,
                None => {
                    self.next_seq.insert(tick.symbol.clone(), 1);
                }
            }
            // The next row may be of the same instant.
            self.position = tick.ts_event_ns;
            let go_on = sink(&tick);
            self.read_ahead()?;
            if self.at_end {
                self.position = end_of_day(tick.ts_event_ns);
            }
            if !go_on {
                return Ok(());
            }
        }
        if let Some(next) = &self.next {
            self.position = self.position.max(next.ts_event_ns.min(until));
        }
        Ok(())
    }

    fn end(&self) -> Option<Nanos> {
        self.at_end.then_some(self.position)
    }

    fn state(&self) -> Value {
        serde_json::to_value(State {
            rows: self.rows,
            content: hex::encode(self.content.clone().finalize()),
            next_seq: self
                .next_seq
                .iter()
                .map(|(symbol, seq)| (symbol.to_string(), *seq))
                .collect(),
        })
        .expect("the state has only string keys")
    }
}

fn hash_row(content: &mut Sha256, row: &csv::ByteRecord) {
    for cell in row {
        content.update((cell.len() as u64).to_le_bytes());
        content.update(cell);
    }
    content.update([0xff]);
}

/// A row that is no row of this file, as `FILE:LINE: what to write`.
fn csv_error(name: &str, error: &csv::Error) -> FeedError {
    FeedError(match error.kind() {
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => format!(
            "{name}:{}: the row has {len} fields and the header {expected_len}: write one value for each column",
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        csv::ErrorKind::Utf8 { pos, .. } => format!(
            "{name}:{}: the header is not UTF-8 text; save the file as UTF-8",
            pos.as_ref().map_or(1, csv::Position::line)
        ),
        csv::ErrorKind::Io(e) => format!("cannot read {name}: {e}"),
        _ => format!("{name}: {error}"),
    })
}
