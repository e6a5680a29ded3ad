//! `source.replay`, resolved: what is read, and how.

use std::collections::BTreeMap;
use std::time::Duration;

/// Files of real prices.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// Each a file, a folder or a pattern: `file:///…`, `s3://…`, or a path
    /// relative to the pipeline's file.
    pub uris: Vec<String>,
    /// Column mapping; `None`: ticks as stockpipe writes them.
    pub columns: Option<Columns>,
    /// Market seconds per wall second; 0: as fast as Kafka takes them.
    pub speed: u32,
    /// At which times rows happen.
    pub time: ReplayTime,
    /// Longest stretch of market time without a row.
    pub max_gap: Option<Duration>,
    /// What becomes of a row that cannot be read.
    pub bad_rows: BadRows,
    /// What becomes of a row that is earlier than the one before it.
    pub unsorted_rows: UnsortedRows,
    /// What becomes of a row that says what another said.
    pub duplicate_rows: DuplicateRows,
    /// How text is written.
    pub dialect: Dialect,
    /// IANA name of the zone of times without one; `None`: the calendar's.
    pub time_zone: Option<String>,
    /// Which instant of two a local time means.
    pub repeated_hour: Fold,
    /// Only ticks of this trade date; no spec says it, but the command that replays a landed day.
    pub trade_date: Option<jiff::civil::Date>,
}

impl Replay {
    /// Whether any of its files lies in S3, so that the producer must reach it.
    pub fn reads_s3(&self) -> bool {
        self.uris.iter().any(|uri| uri.starts_with("s3://"))
    }
}

/// At which times rows happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayTime {
    /// At the files' own.
    Original,
    /// Moved, so that the first row happens when the run begins.
    Rebase,
}

/// What becomes of a row that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRows {
    /// It ends the replay.
    Fail,
    /// It goes to the lake's quarantine.
    Quarantine,
}

/// What becomes of a row that is earlier than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsortedRows {
    /// It is a bad row.
    Refuse,
    /// Rows are sorted before the first is sent.
    Sort,
}

/// What becomes of a row that says what another said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateRows {
    /// It is a tick of its own.
    Keep,
    /// It is left out.
    Drop,
}

/// Which of two instants a local time means when clocks are set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// The earlier, until the order of the rows says the later.
    InOrder,
    /// The earlier.
    Earlier,
    /// The later.
    Later,
    /// Neither: it is a bad row.
    Refuse,
}

/// How text is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Whether a CSV's first line names its columns.
    pub header: bool,
    /// Between the fields of a CSV; `None`: as its first line has it.
    pub delimiter: Option<u8>,
    /// Before the decimals: `.` or `,`.
    pub decimal: u8,
    /// Between groups of digits.
    pub thousands: Option<Thousands>,
    /// Texts of a cell that hold no value, beside the empty one.
    pub missing: Vec<String>,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: None,
            decimal: b'.',
            thousands: None,
            missing: Vec::new(),
        }
    }
}

/// What groups the digits of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thousands {
    /// `1,234`
    Comma,
    /// `1.234`
    Point,
    /// `1 234`, whatever space it is.
    Space,
    /// `1'234`
    Apostrophe,
    /// `1_234`
    Underscore,
}

/// How a file's columns map to a tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Symbol.
    pub symbol: ColumnSource,
    /// Date, where it stands in a column of its own beside the time of day.
    pub date: ColumnSource,
    /// Date or time, or both.
    pub time: ColumnSource,
    /// strptime formats of `time` (`%m/%d/%Y`) or units of an epoch (`epoch-ms`),
    /// tried in order; none: ISO 8601, or an epoch by its digits.
    pub time_formats: Vec<String>,
    /// Further tick fields (`open`, `high`, `low`, `close`, `adj_close`, `volume`, `price`, `size`,
    /// `bid_price`, `bid_size`, `ask_price`, `ask_size`, `currency`, `venue`, `trade_id`, `side`, `conditions`,
    /// `source_seq`), by tick column name.
    pub fields: BTreeMap<String, ColumnSource>,
}

/// One mapped column.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ColumnSource {
    /// Not mapped.
    #[default]
    None,
    /// A column of the file, by its header or its place.
    Header(String),
    /// The same value in every row.
    Const(String),
    /// The file's name, up to its extensions.
    FileName,
}
