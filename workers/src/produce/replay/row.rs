//! A row as its file has it, and what is said of one that cannot be read.

use std::fmt;
use std::sync::Arc;

use csv::{ByteRecord, StringRecord};
use serde::Serialize;

use crate::produce::FeedError;
use crate::produce::pace::Nanos;
use stockpipe_market::tick::Tick;

/// Longest cell that is kept of a bad row, in bytes.
const LONGEST_CELL: usize = 256;
/// Most cells that are kept of a bad row.
const MOST_CELLS: usize = 64;

/// One row of a file.
#[derive(Default)]
pub struct Row {
    /// The text of every cell.
    pub cells: ByteRecord,
    /// A bit for each cell, up to the 64th, that holds a number of the file's own notation, not a text.
    pub plain: u64,
    /// Its line, or its number in a file without lines; from 1.
    pub number: u64,
}

impl Row {
    /// Whether the cell is a number of the file's own notation.
    #[must_use]
    pub fn is_plain(&self, index: usize) -> bool {
        index < 64 && self.plain >> index & 1 == 1
    }
}

/// What a reader came upon.
pub enum Step {
    /// A row.
    Row,
    /// A row that is none of this file.
    Bad(Problem),
    /// The end.
    End,
}

/// Reads a file row by row.
pub trait RowReader {
    /// The columns that its rows have.
    fn header(&self) -> &StringRecord;

    /// Whether its rows are lines.
    fn unit(&self) -> Unit;

    /// Reads the next row.
    ///
    /// # Errors
    /// Where nothing more can be read.
    fn next(&mut self, row: &mut Row) -> Result<Step, FeedError>;
}

/// How rows are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// By lines of text.
    Line,
    /// By themselves.
    Row,
    /// As messages of a feed.
    Message,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The column, by its header.
    pub column: Option<String>,
    /// The cell's text.
    pub value: Option<String>,
    /// The value, what is wrong with it, and what to write.
    pub why: String,
}

impl Problem {
    /// Of the whole row.
    #[must_use]
    pub fn row(why: impl Into<String>) -> Self {
        Self {
            column: None,
            value: None,
            why: why.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(column) = &self.column {
            write!(f, "column {column}: ")?;
        }
        f.write_str(&self.why)
    }
}

/// A row that could not be read, for the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The file.
    pub file: Arc<str>,
    /// How its rows are counted.
    pub unit: Unit,
    /// Line or number of the row.
    pub number: u64,
    /// What is wrong with it.
    pub problem: Problem,
    /// Its cells.
    pub cells: Vec<String>,
}

impl BadRow {
    /// `row` of `file`, as it is kept.
    #[must_use]
    pub fn new(file: &Arc<str>, unit: Unit, row: &Row, problem: Problem) -> Self {
        let cells = row.cells.iter().take(MOST_CELLS).map(|cell| {
            let mut text = String::from_utf8_lossy(cell).into_owned();
            text.truncate(text.floor_char_boundary(LONGEST_CELL));
            text
        });
        Self {
            file: Arc::clone(file),
            unit,
            number: row.number,
            problem,
            cells: cells.collect(),
        }
    }

    /// The record that a lander cannot read and puts into quarantine. It has the fields by which a restarted producer
    /// knows what is in the topic already; `symbol` is one that no tick has.
    #[must_use]
    pub fn record(&self, run: &str, seq: u64, ts_event_ns: Nanos) -> Vec<u8> {
        #[derive(Serialize)]
        struct Record<'a> {
            kind: &'a str,
            symbol: &'a str,
            run: &'a str,
            seq: u64,
            ts_event_ns: Nanos,
            file: &'a str,
            number: u64,
            column: Option<&'a str>,
            value: Option<&'a str>,
            problem: String,
            row: &'a [String],
        }
        serde_json::to_vec(&Record {
            kind: "bad_row",
            symbol: BAD_ROWS,
            run,
            seq,
            ts_event_ns,
            file: &self.file,
            number: self.number,
            column: self.problem.column.as_deref(),
            value: self.problem.value.as_deref(),
            problem: self.to_string(),
            row: &self.cells,
        })
        .expect("a bad row has only string keys")
    }
}

/// What bad rows have in the place of a symbol: no symbol begins with a space.
pub const BAD_ROWS: &str = " bad rows";

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Line => write!(f, "{}:{}: {}", self.file, self.number, self.problem),
            Unit::Row => write!(f, "{}: row {}: {}", self.file, self.number, self.problem),
            Unit::Message => write!(
                f,
                "{}: message {}: {}",
                self.file, self.number, self.problem
            ),
        }
    }
}

/// What a file holds, row by row.
pub struct Entry {
    /// Event time; of a bad row that of the row before it.
    pub at: Nanos,
    /// Tick or bad row.
    pub what: What,
}

/// Tick or bad row.
pub enum What {
    /// A tick; its `seq` is left at 0.
    Tick(Box<Tick>),
    /// A row that could not be read.
    Bad(Box<BadRow>),
}

/// Rows in the order in which they are replayed.
pub trait Entries {
    /// The next one.
    ///
    /// # Errors
    /// Where nothing more can be read.
    fn next(&mut self) -> Result<Option<Entry>, FeedError>;
}
