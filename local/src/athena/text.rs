//! Text files: JSON lines and delimited text, plain or gzip, streamed.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use flate2::write::MultiGzDecoder;
use futures::StreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::fault::Fault;
use super::serde_format::{Csv, Fields, Format};

/// Rows of a batch.
const BATCH: usize = 8192;

/// One file with the values of its partition.
#[derive(Clone, Debug)]
pub(super) struct TextFile {
    pub(super) path: Path,
    pub(super) uri: String,
    pub(super) values: Vec<ScalarValue>,
}

/// Files that one task reads, one after another.
#[derive(Clone, Debug)]
pub(super) struct TextScan {
    /// What comes out: the wanted columns and keys.
    schema: SchemaRef,
    /// Columns of the files, in the table's order.
    columns: SchemaRef,
    /// Indices into columns followed by keys.
    wanted: Vec<usize>,
    format: Format,
    bucket: Arc<dyn ObjectStore>,
    files: Vec<TextFile>,
}

impl TextScan {
    pub(super) fn partition(
        schema: SchemaRef,
        columns: SchemaRef,
        wanted: Vec<usize>,
        format: Format,
        bucket: Arc<dyn ObjectStore>,
        files: Vec<TextFile>,
    ) -> Arc<dyn PartitionStream> {
        Arc::new(Self {
            schema,
            columns,
            wanted,
            format,
            bucket,
            files,
        })
    }

    fn decoder(&self, uri: &str) -> DfResult<Rows> {
        let in_file: Vec<usize> = self
            .wanted
            .iter()
            .copied()
            .filter(|i| *i < self.columns.fields().len())
            .collect();
        let schema = Arc::new(self.columns.project(&in_file)?);
        match &self.format {
            Format::Csv(csv) => {
                let columns = self.columns.fields().len();
                let rows = CsvRows::new(csv.clone(), schema, in_file, columns, uri);
                Ok(Rows::Csv(rows))
            }
            _ => Ok(Rows::Json(Box::new(
                ReaderBuilder::new(schema)
                    .with_batch_size(BATCH)
                    .with_coerce_primitive(true)
                    .build_decoder()?,
            ))),
        }
    }

    /// Adds the partition's values to the columns that were read.
    fn with_keys(&self, read: &RecordBatch, file: &TextFile) -> DfResult<RecordBatch> {
        let rows = read.num_rows();
        let mut next = 0;
        let columns = self
            .wanted
            .iter()
            .map(|i| match i.checked_sub(self.columns.fields().len()) {
                Some(key) => file.values[key].to_array_of_size(rows),
                None => {
                    next += 1;
                    Ok(Arc::clone(read.column(next - 1)))
                }
            })
            .collect::<DfResult<Vec<_>>>()?;
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &RecordBatchOptions::new().with_row_count(Some(rows)),
        )?)
    }

    async fn read(
        &self,
        file: &TextFile,
        out: &tokio::sync::mpsc::Sender<DfResult<RecordBatch>>,
    ) -> DfResult<()> {
        let mut body = self.bucket.get(&file.path).await?.into_stream();
        let mut rows = self.decoder(&file.uri)?;
        let mut unpack: Option<Unpack> = None;
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            let unpack = unpack.get_or_insert_with(|| Unpack::of(&file.uri, &chunk));
            let text = unpack.push(&chunk).map_err(|e| bad(&file.uri, &e))?;
            if !self.decode(&text, &mut rows, file, out).await? {
                return Ok(());
            }
        }
        if let Some(unpack) = unpack {
            let text = unpack.finish().map_err(|e| bad(&file.uri, &e))?;
            if !self.decode(&text, &mut rows, file, out).await? {
                return Ok(());
            }
        }
        rows.end().map_err(|e| rephrase(&file.uri, e))?;
        while let Some(batch) = rows.take().map_err(|e| rephrase(&file.uri, e))? {
            if out.send(Ok(self.with_keys(&batch, file)?)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Decodes `text`, sending full batches; false once nobody takes them.
    async fn decode(
        &self,
        text: &[u8],
        rows: &mut Rows,
        file: &TextFile,
        out: &tokio::sync::mpsc::Sender<DfResult<RecordBatch>>,
    ) -> DfResult<bool> {
        let mut rest = text;
        while !rest.is_empty() {
            let taken = rows.push(rest).map_err(|e| rephrase(&file.uri, e))?;
            rest = &rest[taken..];
            if !rest.is_empty()
                && let Some(batch) = rows.take().map_err(|e| rephrase(&file.uri, e))?
                && out.send(Ok(self.with_keys(&batch, file)?)).await.is_err()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn bad(uri: &str, why: &dyn std::fmt::Display) -> DataFusionError {
    Fault::user("HIVE_CURSOR_ERROR", format!("{uri} cannot be read: {why}")).into()
}

fn rephrase(uri: &str, error: DataFusionError) -> DataFusionError {
    let fault = Fault::from(error);
    let why = fault
        .message
        .split_once(": ")
        .map_or(fault.message.as_str(), |(_, why)| why);
    Fault::user(
        "HIVE_BAD_DATA",
        format!("Error parsing a row of {uri}: {why}"),
    )
    .into()
}

impl PartitionStream for TextScan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), 2);
        let out = stream.tx();
        let scan = self.clone();
        stream.spawn(async move {
            for file in &scan.files {
                scan.read(file, &out).await?;
                if out.is_closed() {
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }
}

/// Takes compression away, chunk by chunk.
enum Unpack {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Unpack {
    /// By the name, as Hadoop does, or by gzip's first bytes.
    fn of(uri: &str, first: &[u8]) -> Self {
        if uri.ends_with(".gz") || first.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
        } else {
            Self::Plain
        }
    }

    fn push(&mut self, chunk: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(chunk.to_vec()),
            Self::Gzip(decoder) => {
                decoder.write_all(chunk)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    /// What was held back; fails when the data ends in the middle.
    fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Gzip(mut decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}

/// Turns text into rows.
enum Rows {
    Json(Box<Decoder>),
    Csv(CsvRows),
}

impl Rows {
    /// Takes some of `text`; returns how many bytes.
    fn push(&mut self, text: &[u8]) -> DfResult<usize> {
        match self {
            Self::Json(decoder) => Ok(decoder.decode(text)?),
            Self::Csv(csv) => csv.push(text),
        }
    }

    /// The last row may lack its newline.
    fn end(&mut self) -> DfResult<()> {
        match self {
            Self::Json(..) => Ok(()),
            Self::Csv(csv) => csv.end(),
        }
    }

    fn take(&mut self) -> DfResult<Option<RecordBatch>> {
        match self {
            Self::Json(decoder) => Ok(decoder.flush()?),
            Self::Csv(csv) => csv.take(),
        }
    }
}

/// Delimited text, line by line: whatever the SerDe, Hadoop ends a line at `\n`, `\r` or both.
struct CsvRows {
    dialect: Csv,
    schema: SchemaRef,
    /// For each wanted column its index in a line.
    wanted: Vec<usize>,
    /// Columns of the table: what a line has beyond them is nobody's.
    columns: usize,
    cells: Vec<StringBuilder>,
    rows: usize,
    /// Number of the line being read, from 0.
    number: usize,
    line: Vec<u8>,
    after_return: bool,
    uri: String,
}

impl CsvRows {
    fn new(dialect: Csv, schema: SchemaRef, wanted: Vec<usize>, columns: usize, uri: &str) -> Self {
        let cells = wanted.iter().map(|_| StringBuilder::new()).collect();
        Self {
            dialect,
            schema,
            wanted,
            columns,
            cells,
            rows: 0,
            number: 0,
            line: Vec::new(),
            after_return: false,
            uri: uri.to_owned(),
        }
    }

    fn push(&mut self, text: &[u8]) -> DfResult<usize> {
        let mut at = 0;
        if self.after_return && text.first() == Some(&b'\n') {
            at = 1;
        }
        self.after_return = false;
        while let Some(length) = text[at..].iter().position(|b| matches!(b, b'\n' | b'\r')) {
            let end = at + length;
            self.line.extend_from_slice(&text[at..end]);
            self.finish_line()?;
            at = end + 1;
            if text[end] == b'\r' {
                match text.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_return = true,
                }
            }
            if self.rows >= BATCH {
                return Ok(at);
            }
        }
        self.line.extend_from_slice(&text[at..]);
        Ok(text.len())
    }

    fn end(&mut self) -> DfResult<()> {
        if self.line.is_empty() {
            Ok(())
        } else {
            self.finish_line()
        }
    }

    fn finish_line(&mut self) -> DfResult<()> {
        let mut line = std::mem::take(&mut self.line);
        self.number += 1;
        if self.number > self.dialect.header_lines {
            let text = std::str::from_utf8(&line)
                .map_err(|_| bad(&self.uri, &format!("line {} is not UTF-8", self.number)))?;
            self.append(text);
        }
        line.clear();
        self.line = line;
        Ok(())
    }

    fn append(&mut self, line: &str) {
        let (fields, null) = match &self.dialect.fields {
            Fields::Open(open) => (open.split(line, self.columns), None),
            Fields::LazySimple { .. } if line.is_empty() => return,
            Fields::LazySimple {
                delimiter,
                escape,
                null,
            } => (lazy_fields(line, *delimiter, *escape), Some(null.as_str())),
        };
        for (column, builder) in self.wanted.iter().zip(&mut self.cells) {
            match fields.get(*column) {
                Some(text) if null != Some(text) => builder.append_value(text),
                _ => builder.append_null(),
            }
        }
        self.rows += 1;
    }

    fn take(&mut self) -> DfResult<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let open = matches!(self.dialect.fields, Fields::Open(_));
        let columns = self
            .cells
            .iter_mut()
            .zip(self.schema.fields())
            .map(|(builder, field)| {
                let texts: ArrayRef = Arc::new(builder.finish());
                // LazySimpleSerDe reads what is not of the type as NULL, OpenCSVSerde refuses it.
                let options = CastOptions {
                    safe: !open,
                    ..CastOptions::default()
                };
                let cast = |array: &ArrayRef, to: &DataType| cast_with_options(array, to, &options);
                match field.data_type() {
                    DataType::Utf8 => Ok(texts),
                    // OpenCSVSerde reads days and milliseconds since 1970, and no other writing.
                    of @ DataType::Date32 if open => {
                        Ok(cast(&cast(&texts, &DataType::Int32)?, of)?)
                    }
                    of @ DataType::Timestamp(..) if open => {
                        Ok(cast(&cast(&texts, &DataType::Int64)?, of)?)
                    }
                    of => Ok(cast(&texts, of)?),
                }
            })
            .collect::<DfResult<Vec<_>>>()?;
        let rows = std::mem::take(&mut self.rows);
        Ok(Some(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &RecordBatchOptions::new().with_row_count(Some(rows)),
        )?))
    }
}

/// The fields of a line as LazySimpleSerDe takes it apart.
fn lazy_fields(line: &str, delimiter: u8, escape: Option<u8>) -> Vec<Cow<'_, str>> {
    let delimiter = char::from(delimiter);
    let Some(escape) = escape.map(char::from).filter(|e| line.contains(*e)) else {
        return line.split(delimiter).map(Cow::Borrowed).collect();
    };
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().expect("there is at least one");
        if character == escape {
            field.extend(characters.next());
        } else if character == delimiter {
            fields.push(String::new());
        } else {
            field.push(character);
        }
    }
    fields.into_iter().map(Cow::Owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::open_csv::OpenCsv;
    use super::*;
    use arrow::array::{Array as _, AsArray};
    use arrow::datatypes::{Date32Type, Field, Int64Type, Schema, TimestampMillisecondType};

    fn open() -> Csv {
        Csv {
            fields: Fields::Open(OpenCsv {
                delimiter: b',',
                quote: b'"',
                escape: b'\\',
            }),
            header_lines: 1,
        }
    }

    fn rows(dialect: Csv, types: &[DataType], text: &str) -> DfResult<RecordBatch> {
        let fields: Vec<Field> = types
            .iter()
            .enumerate()
            .map(|(n, of)| Field::new(format!("c{n}"), of.clone(), true))
            .collect();
        let wanted = (0..types.len()).collect();
        let mut rows = CsvRows::new(
            dialect,
            Arc::new(Schema::new(fields)),
            wanted,
            types.len(),
            "s3://b/k",
        );
        // Byte by byte: state must survive any cut.
        for byte in text.as_bytes() {
            rows.push(std::slice::from_ref(byte)).unwrap();
        }
        rows.end().unwrap();
        Ok(rows.take()?.unwrap())
    }

    fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<&str>> {
        batch.column(column).as_string::<i32>().iter().collect()
    }

    #[test]
    fn open_csv_reads_lines_whatever_ends_them() {
        let types = [DataType::Utf8, DataType::Utf8];
        let text = "a,b\r\n\"A,\"\"B\"\"\",1.5\rC,\n\nD,\"x\ny\",2\nE";
        let batch = rows(open(), &types, text).unwrap();
        // An empty line is a row of nothing; a line end within quotes ends the line, and what is in quotes that do not
        // end is nothing.
        let first = [Some("A,\"B\""), Some("C"), None, Some("D"), None, Some("E")];
        assert_eq!(texts(&batch, 0), first);
        let second = [Some("1.5"), Some(""), None, None, None, None];
        assert_eq!(texts(&batch, 1), second);
    }

    #[test]
    fn open_csv_reads_dates_and_times_as_numbers_and_refuses_the_rest() {
        let types = [
            DataType::Int64,
            DataType::Date32,
            DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None),
        ];
        let batch = rows(open(), &types, "a,b,c\n\"-3\",20777,1763650800123\n").unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), -3);
        assert_eq!(
            batch.column(1).as_primitive::<Date32Type>().value(0),
            20_777
        );
        let times = batch.column(2).as_primitive::<TimestampMillisecondType>();
        assert_eq!(times.value(0), 1_763_650_800_123);
        for line in ["1,2026-11-20,0", "1,0,2025-11-20 15:00:00.123", ",0,0"] {
            assert!(
                rows(open(), &types, &format!("a,b,c\n{line}\n")).is_err(),
                "{line}"
            );
        }
    }

    #[test]
    fn lazy_simple_reads_missing_and_malformed_cells_as_null() {
        let dialect = |escape| Csv {
            fields: Fields::LazySimple {
                delimiter: b'\t',
                escape,
                null: "\\N".into(),
            },
            header_lines: 0,
        };
        let types = [DataType::Utf8, DataType::Decimal128(18, 9), DataType::Int64];
        let batch = rows(dialect(None), &types, "\"A\"\tx\t\\N\nB\n").unwrap();
        assert_eq!(texts(&batch, 0), [Some("\"A\""), Some("B")]);
        assert_eq!(batch.column(1).null_count(), 2);
        assert_eq!(batch.column(2).null_count(), 2);
        let batch = rows(dialect(Some(b'\\')), &types, "A\\\tB\t1\t2\n").unwrap();
        assert_eq!(texts(&batch, 0), [Some("A\tB")]);
    }

    #[test]
    fn gzip_is_unpacked_across_chunks_and_must_be_whole() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"{\"a\":1}\n").unwrap();
        let packed = encoder.finish().unwrap();
        let mut unpack = Unpack::of("s3://b/x.json.gz", &packed);
        let mut text = Vec::new();
        for chunk in packed.chunks(3) {
            text.extend(unpack.push(chunk).unwrap());
        }
        text.extend(unpack.finish().unwrap());
        assert_eq!(text, b"{\"a\":1}\n");
        let mut cut = Unpack::of("s3://b/x.json.gz", &packed);
        cut.push(&packed[..packed.len() - 6]).unwrap();
        assert!(cut.finish().is_err());
    }

    #[test]
    fn json_decimals_are_exact() {
        let schema = Arc::new(Schema::new(vec![Field::new(
            "price",
            DataType::Decimal128(18, 9),
            true,
        )]));
        let mut decoder = ReaderBuilder::new(schema).build_decoder().unwrap();
        decoder
            .decode(b"{\"price\":191.123456789}\n{\"price\":0.000000001}\n{}\n")
            .unwrap();
        let batch = decoder.flush().unwrap().unwrap();
        let prices = batch
            .column(0)
            .as_primitive::<arrow::datatypes::Decimal128Type>();
        assert_eq!((prices.value(0), prices.value(1)), (191_123_456_789, 1));
        assert_eq!(prices.null_count(), 1);
    }
}
