//! `spec.source.replay`: files of real prices, and how to read them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::defaults;
use crate::address::FileUri;
use crate::amounts::DurationText;
use crate::names::{CellText, HeaderName, TimeFormat, TimeZoneName};
use crate::rules;

/// Files of real prices: CSV, JSON lines or Parquet; plain, gzip, zstd or zip.
/// What they are is seen in the files themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::exactly_one(&["uri", "uris"], "must say what is replayed, once; write either uri or uris"),
    validation = Rule::new("!has(self.thousands) || self.thousands != (self.decimal == 'Comma' ? 'Comma' : 'Point')")
        .message("is the decimal mark as well; write another, or leave it out")
        .field_path(".thousands")
)]
pub struct ReplaySpec {
    /// What is replayed: a file, a folder, or a pattern with * and ?, as
    /// file:///data/day.csv, s3://bucket/prices/, or a path relative to the
    /// pipeline's file. Several files are merged by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<FileUri>,
    /// As `uri`, several of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub uris: Option<Vec<FileUri>>,
    /// How the files' columns map to a tick. Without it they hold ticks that
    /// stockpipe itself has written, such as a landed day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<ColumnsSpec>,
    /// Market seconds per second on the clock; 0 is as fast as Kafka takes them.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub speed: i32,
    /// Original: the files' own times. Rebase: the first row happens when the
    /// run begins, and every other as long after it as in the files.
    #[serde(default)]
    pub time: ReplayTimes,
    /// Longest stretch of market time without a row; of a longer one only so
    /// much is waited for (Original) or kept (Rebase).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_between("1s", "3650d"))]
    pub max_gap: Option<DurationText>,
    /// Fail: a row that cannot be read ends the replay. Quarantine: it goes to
    /// the lake's quarantine, is counted, and the replay goes on.
    #[serde(default)]
    pub bad_rows: BadRowPolicy,
    /// Refuse: a row that is earlier than the one before it is a bad row. Sort:
    /// everything is read and sorted by time before the first row is sent.
    #[serde(default)]
    pub unsorted_rows: UnsortedRowPolicy,
    /// Keep: every row is a tick. Drop: of rows that say the same, one.
    #[serde(default)]
    pub duplicate_rows: DuplicateRowPolicy,
    /// Whether a CSV's first line names its columns. Without a header, columns
    /// are named by their place: "1", "2".
    #[serde(default = "defaults::header")]
    pub header: bool,
    /// What stands between the fields of a CSV; without it, as its first line
    /// has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<FieldDelimiter>,
    /// What stands before the decimals of a number.
    #[serde(default)]
    pub decimal: DecimalMark,
    /// What groups the digits of a number; without it, nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thousands: Option<ThousandsMark>,
    /// IANA time zone of times without one; without it, that of
    /// market.calendar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<TimeZoneName>,
    /// Which of two instants a local time means when clocks are set back.
    /// InOrder: the earlier, until the order of the rows says the later.
    #[serde(default)]
    pub repeated_hour: RepeatedHour,
    /// Texts of a cell that hold no value, beside the empty one, for instance
    /// NA.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub missing: Option<Vec<CellText>>,
}

impl ReplaySpec {
    /// Whether any of its files lies in S3, so that the producer must reach it.
    pub fn reads_s3(&self) -> bool {
        self.uri
            .iter()
            .chain(self.uris.iter().flatten())
            .any(|uri| uri.as_str().starts_with("s3://"))
    }
}

/// At which times rows happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReplayTimes {
    /// At the files' own.
    #[default]
    Original,
    /// Moved, so that the first row happens when the run begins.
    Rebase,
}

/// What becomes of a row that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BadRowPolicy {
    /// It ends the replay.
    #[default]
    Fail,
    /// It goes to the lake's quarantine.
    Quarantine,
}

/// What becomes of a row that is earlier than the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UnsortedRowPolicy {
    /// It is a bad row.
    #[default]
    Refuse,
    /// Rows are sorted before the first is sent.
    Sort,
}

/// What becomes of a row that says what another said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DuplicateRowPolicy {
    /// It is a tick of its own.
    #[default]
    Keep,
    /// It is left out.
    Drop,
}

/// What stands between the fields of a CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FieldDelimiter {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tabulator.
    Tab,
    /// `|`
    Pipe,
}

/// What stands before the decimals of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DecimalMark {
    /// `12.5`
    #[default]
    Point,
    /// `12,5`
    Comma,
}

/// What groups the digits of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ThousandsMark {
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

/// Which of two instants a local time means when clocks are set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RepeatedHour {
    /// The earlier, until the order of the rows says the later.
    #[default]
    InOrder,
    /// The earlier.
    Earlier,
    /// The later.
    Later,
    /// Neither: it is a bad row.
    Refuse,
}

/// How a file's columns map to a tick. A value is a column's header (or its
/// place, as "3"), or `{const: X}` for the same value in every row. `symbol`,
/// `time` or `date`, and one of `price`, `close`, `bidPrice` and `askPrice` are
/// needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ColumnsSpec {
    /// Symbol; `{from: FileName}` where each file is named after its symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub symbol: Option<ColumnSpec>,
    /// Date, time or both of the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub time: Option<ColumnSpec>,
    /// Date of the row; beside it, `time` is the time of day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub date: Option<ColumnSpec>,
    /// strptime format of the time, for instance %m/%d/%Y, or epoch-s, epoch-ms,
    /// epoch-us, epoch-ns; without it ISO 8601, or an epoch by its digits. With
    /// `date` and `time`, of both with a space between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_format: Option<TimeFormat>,
    /// Further formats, tried in this order where the one before does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub time_formats: Option<Vec<TimeFormat>>,
    /// First price of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub open: Option<ColumnSpec>,
    /// Highest price of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub high: Option<ColumnSpec>,
    /// Lowest price of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub low: Option<ColumnSpec>,
    /// Last price of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub close: Option<ColumnSpec>,
    /// Last price of a bar, adjusted for splits and dividends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub adj_close: Option<ColumnSpec>,
    /// Volume of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub volume: Option<ColumnSpec>,
    /// Price of a trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub price: Option<ColumnSpec>,
    /// Size of a trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub size: Option<ColumnSpec>,
    /// Best bid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub bid_price: Option<ColumnSpec>,
    /// Size at the best bid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub bid_size: Option<ColumnSpec>,
    /// Best ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub ask_price: Option<ColumnSpec>,
    /// Size at the best ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub ask_size: Option<ColumnSpec>,
    /// Currency, ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub currency: Option<ColumnSpec>,
    /// Venue, ISO 10383.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub venue: Option<ColumnSpec>,
    /// The feed's identifier of a trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub trade_id: Option<ColumnSpec>,
    /// Who started a trade: buy or sell, or their first letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub side: Option<ColumnSpec>,
    /// The venue's condition codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub conditions: Option<ColumnSpec>,
    /// The feed's own sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub source_seq: Option<ColumnSpec>,
}

/// One mapped column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Value")]
pub enum ColumnSpec {
    /// A column of the file, by its header.
    Header(HeaderName),
    /// The same value in every row.
    Const(ConstColumn),
    /// What the file is called.
    From(FromColumn),
}

/// A value that is not in the rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FromColumn {
    /// Where it is.
    pub from: ValuePlace,
}

/// Where a value that is not in the rows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ValuePlace {
    /// In the file's name, up to its extensions: BRK.B in BRK.B.csv.gz.
    FileName,
}

/// The same value in every row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConstColumn {
    /// The value.
    #[serde(rename = "const")]
    pub value: HeaderName,
}

impl TryFrom<Value> for ColumnSpec {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let text = |text: &str| HeaderName::new(text).map_err(|error| error.to_string());
        match &value {
            Value::String(header) => return text(header).map(ColumnSpec::Header),
            Value::Object(object) => {
                if let (1, Some(Value::String(constant))) = (object.len(), object.get("const")) {
                    return text(constant).map(|value| ColumnSpec::Const(ConstColumn { value }));
                }
                if object.len() == 1 && object.get("from").is_some_and(|from| from == "FileName") {
                    let from = ValuePlace::FileName;
                    return Ok(ColumnSpec::From(FromColumn { from }));
                }
            }
            _ => {}
        }
        Err("must be a column's header, or {const: X} for the same value in every row".to_owned())
    }
}

/// A header or a constant has two JSON types, which a structural schema cannot
/// say; `resolve` checks it.
fn column_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}
