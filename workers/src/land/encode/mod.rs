//! Files of the table, as any engine reads them.

mod csv;
mod json;
mod parquet;
mod text;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use bytes::Bytes;
use stockpipe_crds::pipeline::{Compression, Format};
use stockpipe_market::view::TickView;

use self::text::TextFile;
use crate::ledger::Layout;

pub use self::parquet::{options as parquet_options, properties as parquet_properties};

/// Version of the columns of [`stockpipe_market::columns::schema`].
pub const SCHEMA_ID: u32 = 1;

/// Rows of a batch read back.
const READ_ROWS: usize = 8_192;

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Not in this version.
    #[error(
        "files of format {format:?} with compression {codec:?} are not supported in this version"
    )]
    Unsupported {
        /// Format.
        format: Format,
        /// Compression.
        codec: Compression,
    },
    /// The Parquet writer.
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// Arrow.
    #[error("cannot sort a batch: {0}")]
    Arrow(#[from] ArrowError),
    /// A batch that holds no ticks.
    #[error("cannot write lines of text: {0}")]
    Batch(#[from] stockpipe_market::columns::BatchError),
    /// The compressor.
    #[error("cannot compress: {0}")]
    Io(#[from] std::io::Error),
}

/// A file being written in memory.
pub enum Encoder {
    /// Parquet.
    Parquet(Box<parquet::ParquetFile>),
    /// JSON lines.
    Json(json::JsonFile),
    /// CSV.
    Csv(csv::CsvFile),
}

impl Encoder {
    /// An empty file of `layout`.
    ///
    /// # Errors
    /// [`EncodeError::Unsupported`].
    pub fn new(layout: &Layout) -> Result<Self, EncodeError> {
        let unsupported = || EncodeError::Unsupported {
            format: layout.format,
            codec: layout.codec,
        };
        let text = || TextFile::new(layout.codec).ok_or_else(unsupported);
        match layout.format {
            Format::Parquet => {
                let codec = parquet::codec(layout.codec).ok_or_else(unsupported)?;
                Ok(Self::Parquet(Box::new(parquet::ParquetFile::new(codec)?)))
            }
            Format::Json => Ok(Self::Json(json::JsonFile::new(text()?))),
            Format::Csv => Ok(Self::Csv(csv::CsvFile::new(text()?)?)),
        }
    }

    /// Appends the rows of `batch`: in Parquet, one row group.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        match self {
            Self::Parquet(file) => file.write(batch),
            Self::Json(file) => file.write(batch),
            Self::Csv(file) => file.write(batch),
        }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Parquet(file) => file.len(),
            Self::Json(file) => file.len(),
            Self::Csv(file) => file.len(),
        }
    }

    /// Whether nothing is written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The finished file.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn finish(self) -> Result<Bytes, EncodeError> {
        match self {
            Self::Parquet(file) => file.finish(),
            Self::Json(file) => file.finish(),
            Self::Csv(file) => file.finish(),
        }
    }
}

/// Why a file of `layout` cannot hold `tick`; a sentence. Such a record is kept in quarantine.
#[must_use]
pub fn unwritable(layout: &Layout, tick: &TickView<'_>) -> Option<String> {
    match layout.format {
        Format::Parquet | Format::Json => None,
        Format::Csv => csv::unwritable(tick),
    }
}

/// Guess of a row's bytes in a file, before the file itself tells.
#[must_use]
pub fn guessed_row_bytes(layout: &Layout) -> u64 {
    match (layout.format, layout.codec) {
        (Format::Parquet, _) => 32,
        (_, Compression::Gzip) => 40,
        (Format::Csv, _) => 160,
        (Format::Json, _) => 300,
    }
}

/// What follows the last dot of a file's name.
#[must_use]
pub fn extension(layout: &Layout) -> &'static str {
    match (layout.format, layout.codec) {
        (Format::Parquet, _) => "parquet",
        (Format::Json, Compression::Gzip) => "json.gz",
        (Format::Json, _) => "json",
        (Format::Csv, Compression::Gzip) => "csv.gz",
        (Format::Csv, _) => "csv",
    }
}

/// `Content-Type` of a file.
#[must_use]
pub fn content_type(layout: &Layout) -> &'static str {
    match (layout.format, layout.codec) {
        (Format::Parquet, _) => "application/vnd.apache.parquet",
        (_, Compression::Gzip) => "application/gzip",
        (Format::Json, _) => "application/x-ndjson",
        (Format::Csv, _) => "text/csv",
    }
}

/// The batches of a finished file, for whoever audits it.
///
/// # Errors
/// Where the file is not of `layout`; a sentence.
pub fn read(
    layout: &Layout,
    file: Bytes,
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>, String> {
    match layout.format {
        Format::Parquet => parquet::read(file),
        Format::Json => Ok(json::read(file, layout.codec)),
        Format::Csv => Ok(csv::read(file, layout.codec)),
    }
}

/// The rows of `batch` in order of symbol; rows of one symbol stay in their order.
///
/// # Errors
/// Where a column cannot be gathered.
fn by_symbol(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    use arrow::array::{Array, AsArray, UInt32Array};
    let symbols = batch
        .column_by_name("symbol")
        .and_then(|c| c.as_string_opt::<i32>())
        .ok_or_else(|| ArrowError::SchemaError("no text column `symbol`".to_owned()))?;
    // Symbols are few: number them, then count and place, which is linear in the rows.
    let mut numbers: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
    let mut of_row = Vec::with_capacity(symbols.len());
    let mut names: Vec<&str> = Vec::new();
    for row in 0..symbols.len() {
        let name = symbols.value(row);
        let number = *numbers.entry(name).or_insert_with(|| {
            names.push(name);
            u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
        });
        of_row.push(number as usize);
    }
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_unstable_by_key(|&n| names[n]);
    if order.windows(2).all(|w| w[0] < w[1]) && of_row.is_sorted() {
        return Ok(batch.clone());
    }
    let mut counts = vec![0_u32; names.len()];
    for &number in &of_row {
        counts[number] += 1;
    }
    let mut place = vec![0_u32; names.len()];
    let mut next = 0;
    for &number in &order {
        place[number] = next;
        next += counts[number];
    }
    let mut rows = vec![0_u32; of_row.len()];
    for (row, &number) in (0_u32..).zip(&of_row) {
        rows[place[number] as usize] = row;
        place[number] += 1;
    }
    let rows = UInt32Array::from(rows);
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.null_count() == column.len() {
            // A column without values is the same in any order.
            true => Ok(Arc::clone(column)),
            false => arrow::compute::take(column, &rows, None),
        })
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(batch.schema(), columns)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use stockpipe_crds::pipeline::PartitionBy;
    use stockpipe_market::columns::{TickColumns, TickReader};

    pub(crate) fn layout(format: Format, codec: Compression) -> Layout {
        Layout {
            format,
            codec,
            partition_by: PartitionBy::Hour,
            schema_id: SCHEMA_ID,
            writer_version: "test".into(),
        }
    }

    pub(crate) fn trade(symbol: &str, seq: u64, ts_ns: i64) -> String {
        format!(
            r#"{{"symbol":"{symbol}","source":"simulated","kind":"trade","run":"r","seq":{seq},"ts_event_ns":{ts_ns},"trade_date":"2026-11-20","price":181.2300001,"size":100.5}}"#
        )
    }

    /// A record with texts of any kind that a line of text can hold.
    pub(crate) fn arbitrary_trade() -> impl Strategy<Value = String> {
        let text = || proptest::option::of("[\\PC]{0,12}|[ \"\\\\,;'A-C]{0,8}");
        let price = proptest::option::of(-999_999_999_999_999_999_i64..=999_999_999_999_999_999);
        let times = (any::<i64>(), 0..=i64::MAX);
        ("[A-Z.^ =-]{0,5}[A-Z]", times, price, text(), text()).prop_map(
            |(symbol, (ts, seq), price, venue, conditions)| {
                let mut record = serde_json::json!({
                    "symbol": symbol.trim(), "source": "", "kind": "trade", "run": "r", "seq": seq, "ts_event_ns": ts,
                    "trade_date": "2026-11-20",
                });
                let mut set = |name: &str, value: Option<String>| {
                    record[name] = value.into();
                };
                set("venue", venue);
                set("conditions", conditions);
                let mut record = record.to_string();
                if let Some(steps) = price {
                    let price = stockpipe_market::tick::Price::from_steps(steps).unwrap();
                    record.pop();
                    record.push_str(&format!(",\"price\":{price}}}"));
                }
                record
            },
        )
    }

    fn batch(trades: &[(&str, u64)]) -> RecordBatch {
        let mut columns = TickColumns::new();
        for (symbol, seq) in trades {
            let ts = 1_763_650_800_123_456_789 + *seq as i64;
            columns
                .push_json(trade(symbol, *seq, ts).as_bytes())
                .unwrap();
        }
        columns.finish()
    }

    fn pairs(batch: &RecordBatch) -> Vec<(String, u64)> {
        let reader = TickReader::new(batch).unwrap();
        (0..reader.len())
            .map(|row| {
                let tick = reader.tick(row).unwrap();
                (tick.symbol.to_string(), tick.seq)
            })
            .collect()
    }

    #[test]
    fn rows_are_sorted_by_symbol_and_keep_their_order_within_one() {
        let sorted = by_symbol(&batch(&[
            ("MSFT", 1),
            ("AAPL", 1),
            ("MSFT", 2),
            ("AAPL", 2),
        ]))
        .unwrap();
        let expected = [("AAPL", 1), ("AAPL", 2), ("MSFT", 1), ("MSFT", 2)];
        let expected = expected.map(|(s, n)| (s.to_owned(), n));
        assert_eq!(pairs(&sorted), expected);
    }

    #[test]
    fn every_format_reads_back_the_ticks_that_were_written() {
        let layouts = [
            layout(Format::Parquet, Compression::Zstd),
            layout(Format::Parquet, Compression::Snappy),
            layout(Format::Parquet, Compression::None),
            layout(Format::Json, Compression::Gzip),
            layout(Format::Json, Compression::None),
            layout(Format::Csv, Compression::Gzip),
            layout(Format::Csv, Compression::None),
        ];
        let parts = [
            batch(&[("MSFT", 1), ("AAPL", 1)]),
            batch(&[("AAPL", 2), ("MSFT", 2)]),
        ];
        for layout in layouts {
            let mut encoder = Encoder::new(&layout).unwrap();
            for part in &parts {
                encoder.write(part).unwrap();
            }
            let file = encoder.finish().unwrap();
            let mut found = Vec::new();
            let mut price = None;
            for batch in read(&layout, file).unwrap() {
                let batch = batch.unwrap();
                found.extend(pairs(&batch));
                price = TickReader::new(&batch).unwrap().tick(0).unwrap().price;
            }
            found.sort();
            let expected = [("AAPL", 1), ("AAPL", 2), ("MSFT", 1), ("MSFT", 2)];
            assert_eq!(
                found,
                expected.map(|(s, n)| (s.to_owned(), n)),
                "{layout:?}"
            );
            assert_eq!(price.unwrap().to_string(), "181.2300001", "{layout:?}");
        }
    }

    #[test]
    fn the_same_rows_make_the_same_bytes() {
        for layout in [
            layout(Format::Parquet, Compression::Zstd),
            layout(Format::Json, Compression::Gzip),
            layout(Format::Csv, Compression::Gzip),
        ] {
            let file = || {
                let mut encoder = Encoder::new(&layout).unwrap();
                encoder.write(&batch(&[("MSFT", 1), ("AAPL", 1)])).unwrap();
                encoder.finish().unwrap()
            };
            assert_eq!(file(), file(), "{layout:?}");
        }
    }

    #[test]
    fn what_no_crawler_could_read_is_refused() {
        let refused = |format, codec| Encoder::new(&layout(format, codec)).is_err();
        assert!(refused(Format::Json, Compression::Zstd));
        assert!(refused(Format::Csv, Compression::Zstd));
        assert!(refused(Format::Csv, Compression::Snappy));
        assert!(refused(Format::Parquet, Compression::Gzip));
    }
}
