//! The rows of one file in its own order: ticks, and rows that could not be read.

use std::sync::Arc;

use stockpipe_crds::pipeline::{BadRows, Columns, Replay, UnsortedRows};
use stockpipe_market::calendar::Calendar;

use super::columnar::Columnar;
use super::content::{self, Content};
use super::delimited::Delimited;
use super::fields::wanted;
use super::json_lines::JsonLines;
use super::landed::Landed;
use super::mapping::Mapping;
use super::place::{Access, Item};
use super::row::{BadRow, Entries, Entry, Problem, Row, RowReader, Step, What};
use crate::produce::FeedError;
use crate::produce::pace::Nanos;

/// What every file of a replay is read with.
#[derive(Clone)]
pub struct Reading {
    /// The spec.
    pub settings: Replay,
    /// The market's.
    pub calendar: Calendar,
    /// How files are reached.
    pub access: Access,
    /// Run of the ticks.
    pub run: String,
}

impl Reading {
    /// Whether rows are sorted after they are read: ticks that stockpipe has written lie by symbol.
    #[must_use]
    pub fn sorts(&self) -> bool {
        self.settings.unsorted_rows == UnsortedRows::Sort || self.settings.columns.is_none()
    }
}

/// The rows of one file.
pub struct Rows {
    name: Arc<str>,
    ticks: Ticks,
    row: Row,
    bad_rows: BadRows,
    in_order: bool,
    /// Event time and place of the last tick.
    last: Option<(Nanos, u64)>,
}

enum Ticks {
    Mapped {
        rows: Box<dyn RowReader>,
        mapping: Box<Mapping>,
    },
    Landed(Box<Landed>),
}

impl Rows {
    /// Opens `item`.
    ///
    /// # Errors
    /// Where it cannot be read, or lacks a mapped column.
    pub fn open(item: &Item, reading: &Reading) -> Result<Self, FeedError> {
        let settings = &reading.settings;
        let content = content::open(item, &reading.access)?;
        let ticks = match &settings.columns {
            Some(columns) => mapped(item, content, columns, reading)?,
            None => Ticks::Landed(Box::new(landed(item, content, reading)?)),
        };
        Ok(Self {
            name: Arc::clone(&item.name),
            ticks,
            row: Row::default(),
            bad_rows: settings.bad_rows,
            in_order: !reading.sorts(),
            last: None,
        })
    }

    fn read(&mut self) -> Result<Option<Result<Entry, Problem>>, FeedError> {
        let before = self.last.map(|(at, _)| at);
        let tick = match &mut self.ticks {
            Ticks::Mapped { rows, mapping } => match rows.next(&mut self.row)? {
                Step::End => None,
                Step::Bad(problem) => Some(Err(problem)),
                Step::Row => Some(mapping.tick(&self.row, before)),
            },
            Ticks::Landed(landed) => landed.next(&mut self.row)?,
        };
        let Some(tick) = tick else {
            return Ok(None);
        };
        Ok(Some(tick.and_then(|tick| {
            let at = tick.ts_event_ns;
            if let Some((before, number)) = self.last
                && self.in_order
                && at < before
            {
                let place = match self.unit() {
                    super::row::Unit::Line => "line",
                    super::row::Unit::Row | super::row::Unit::Message => "row",
                };
                return Err(Problem::row(format!(
                    "the row is earlier than the one in {place} {number}: sort the file by time, or write \
                     source.replay.unsortedRows: Sort"
                )));
            }
            self.last = Some((at, self.row.number));
            Ok(Entry {
                at,
                what: What::Tick(Box::new(tick)),
            })
        })))
    }

    fn unit(&self) -> super::row::Unit {
        match &self.ticks {
            Ticks::Mapped { rows, .. } => rows.unit(),
            Ticks::Landed(landed) => landed.unit(),
        }
    }
}

impl Entries for Rows {
    fn next(&mut self) -> Result<Option<Entry>, FeedError> {
        let problem = match self.read()? {
            None => return Ok(None),
            Some(Ok(entry)) => return Ok(Some(entry)),
            Some(Err(problem)) => problem,
        };
        let bad = BadRow::new(&self.name, self.unit(), &self.row, problem);
        match self.bad_rows {
            BadRows::Fail => Err(FeedError(bad.to_string())),
            BadRows::Quarantine => Ok(Some(Entry {
                at: self.last.map_or(Nanos::MIN, |(at, _)| at),
                what: What::Bad(Box::new(bad)),
            })),
        }
    }
}

fn mapped(
    item: &Item,
    content: Content,
    columns: &Columns,
    reading: &Reading,
) -> Result<Ticks, FeedError> {
    let name = &item.name;
    let wanted = wanted(columns);
    let rows: Box<dyn RowReader> = match content {
        Content::Csv(text) => {
            let dialect = &reading.settings.dialect;
            Box::new(Delimited::open(name, text, dialect, &wanted)?)
        }
        Content::Json(text, unit) => Box::new(JsonLines::new(name, text, unit, &wanted)),
        Content::Parquet(blob) => Box::new(Columnar::open(name, blob, &wanted)?),
    };
    let mapping = Mapping::new(
        columns,
        &reading.settings,
        rows.header(),
        item.stem(),
        reading.calendar,
        &reading.run,
    )
    .map_err(|e| FeedError(format!("{name}: {e}")))?;
    Ok(Ticks::Mapped {
        rows,
        mapping: Box::new(mapping),
    })
}

fn landed(item: &Item, content: Content, reading: &Reading) -> Result<Landed, FeedError> {
    let (name, run, date) = (&item.name, &reading.run, reading.settings.trade_date);
    match content {
        Content::Csv(text) => Landed::csv(name, text, run, date),
        Content::Json(text, unit) => Ok(Landed::json(name, text, unit, run, date)),
        Content::Parquet(blob) => Landed::parquet(name, blob, run, date),
    }
}
