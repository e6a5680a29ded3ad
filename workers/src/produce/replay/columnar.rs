//! Parquet: the mapped columns, each value as text in plain notation.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, make_array};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use csv::StringRecord;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::blob::Blob;
use super::row::{Row, RowReader, Step, Unit};
use crate::produce::FeedError;

/// Rows that are decoded at once.
pub const BATCH: usize = 1024;

/// Rows of a Parquet file.
pub struct Columnar {
    name: Arc<str>,
    reader: ParquetRecordBatchReader,
    header: StringRecord,
    plain: u64,
    /// The texts of the batch, cell by cell, and how many rows of it are done.
    texts: Vec<csv::ByteRecord>,
    done: usize,
    number: u64,
}

/// The file's reader, of all its columns or of those `wanted`.
///
/// # Errors
/// Where the file is no Parquet, or a wanted column is not in it.
pub fn open(
    name: &str,
    blob: Blob,
    wanted: Option<&[String]>,
) -> Result<ParquetRecordBatchReader, FeedError> {
    let broken = |e: parquet::errors::ParquetError| FeedError(format!("cannot read {name}: {e}"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(blob).map_err(broken)?;
    let schema = builder.parquet_schema();
    let mask = match wanted {
        None => ProjectionMask::all(),
        Some(wanted) => {
            let fields = schema.root_schema().get_fields();
            let mut roots = Vec::new();
            for column in wanted {
                let Some(at) = fields.iter().position(|f| f.name() == column) else {
                    let there: Vec<_> = fields.iter().map(|f| f.name()).collect();
                    return Err(FeedError(format!(
                        "{name}: the file has no column `{column}`: it has {}",
                        there.join(", ")
                    )));
                };
                roots.push(at);
            }
            ProjectionMask::roots(schema, roots)
        }
    };
    builder
        .with_projection(mask)
        .with_batch_size(BATCH)
        .build()
        .map_err(broken)
}

impl Columnar {
    /// The columns `wanted` of a file.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(name: &Arc<str>, blob: Blob, wanted: &[String]) -> Result<Self, FeedError> {
        Ok(Self {
            name: Arc::clone(name),
            reader: open(name, blob, Some(wanted))?,
            header: wanted.iter().map(String::as_str).collect(),
            plain: 0,
            texts: Vec::new(),
            done: 0,
            number: 0,
        })
    }

    /// Decodes the next batch that has rows; whether there is one.
    fn decode(&mut self) -> Result<bool, FeedError> {
        let broken =
            |e: &dyn std::fmt::Display| FeedError(format!("cannot read {}: {e}", self.name));
        self.texts.clear();
        self.done = 0;
        while self.texts.is_empty() {
            let Some(batch) = self.reader.next() else {
                return Ok(false);
            };
            let batch = batch.map_err(|e| broken(&e))?;
            let (texts, plain) = texts(&batch, &self.header).map_err(|e| broken(&e))?;
            self.texts = texts;
            self.plain = plain;
        }
        Ok(true)
    }
}

impl RowReader for Columnar {
    fn header(&self) -> &StringRecord {
        &self.header
    }

    fn unit(&self) -> Unit {
        Unit::Row
    }

    fn next(&mut self, row: &mut Row) -> Result<Step, FeedError> {
        if self.done == self.texts.len() && !self.decode()? {
            return Ok(Step::End);
        }
        self.number += 1;
        row.number = self.number;
        row.plain = self.plain;
        row.cells.clone_from(&self.texts[self.done]);
        self.done += 1;
        Ok(Step::Row)
    }
}

/// The rows of a batch as text, the columns in the order of `header`, with a bit for each that holds numbers.
///
/// # Errors
/// Where a column holds what has no text.
pub fn texts(
    batch: &RecordBatch,
    header: &StringRecord,
) -> Result<(Vec<csv::ByteRecord>, u64), arrow::error::ArrowError> {
    use std::fmt::Write as _;
    let by_name: HashMap<_, _> = batch
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| (field.name().clone(), at))
        .collect();
    let mut columns = Vec::with_capacity(header.len());
    let mut plain = 0_u64;
    for (at, name) in header.iter().enumerate() {
        let column = by_name
            .get(name)
            .map(|at| batch.column(*at))
            .ok_or_else(|| {
                arrow::error::ArrowError::SchemaError(format!("it has no column {name}"))
            })?;
        if column.data_type().is_numeric() {
            plain |= 1_u64.checked_shl(at as u32).unwrap_or(0);
        }
        columns.push(in_utc(column)?);
    }
    let options = FormatOptions::default();
    let formatters = columns
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        let mut record = csv::ByteRecord::new();
        for formatter in &formatters {
            text.clear();
            write!(text, "{}", formatter.value(row))
                .map_err(|e| arrow::error::ArrowError::ComputeError(e.to_string()))?;
            record.push_field(text.as_bytes());
        }
        rows.push(record);
    }
    Ok((rows, plain))
}

/// Instants in UTC, whatever zone they are to be shown in: they are the same instants.
fn in_utc(column: &ArrayRef) -> Result<ArrayRef, arrow::error::ArrowError> {
    match column.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let kind = DataType::Timestamp(*unit, Some("+00:00".into()));
            Ok(make_array(
                column.to_data().into_builder().data_type(kind).build()?,
            ))
        }
        _ => Ok(Arc::clone(column)),
    }
}
