//! Text files: JSON lines and delimited text, plain or gzip, streamed.

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
use super::serde_format::{Csv, Format};

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
            Format::Csv(csv) => Ok(Rows::Csv(CsvRows::new(csv.clone(), schema, in_file, uri))),
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

/// Delimited text, cell by cell.
struct CsvRows {
    dialect: Csv,
    schema: SchemaRef,
    /// For each wanted column its index in a line.
    wanted: Vec<usize>,
    cells: Vec<StringBuilder>,
    rows: usize,
    line: usize,
    /// Cells of the line being read.
    current: Vec<Vec<u8>>,
    cell: Vec<u8>,
    quoted: bool,
    escaped: bool,
    after_quote: bool,
    begun: bool,
    uri: String,
}

impl CsvRows {
    fn new(dialect: Csv, schema: SchemaRef, wanted: Vec<usize>, uri: &str) -> Self {
        let cells = wanted.iter().map(|_| StringBuilder::new()).collect();
        Self {
            dialect,
            schema,
            wanted,
            cells,
            rows: 0,
            line: 0,
            current: Vec::new(),
            cell: Vec::new(),
            quoted: false,
            escaped: false,
            after_quote: false,
            begun: false,
            uri: uri.to_owned(),
        }
    }

    fn push(&mut self, text: &[u8]) -> DfResult<usize> {
        for (i, &byte) in text.iter().enumerate() {
            if self.escaped {
                self.cell.push(byte);
                self.escaped = false;
                continue;
            }
            let quote = Some(byte) == self.dialect.quote;
            if self.quoted {
                if Some(byte) == self.dialect.escape && !quote {
                    self.escaped = true;
                } else if quote {
                    self.quoted = false;
                    self.after_quote = true;
                } else {
                    self.cell.push(byte);
                }
                continue;
            }
            if quote {
                // A doubled quote inside quotes is one quote.
                if self.after_quote {
                    self.cell.push(byte);
                }
                self.quoted = true;
                self.after_quote = false;
                self.begun = true;
                continue;
            }
            self.after_quote = false;
            if Some(byte) == self.dialect.escape {
                self.escaped = true;
                self.begun = true;
            } else if byte == self.dialect.delimiter {
                self.current.push(std::mem::take(&mut self.cell));
                self.begun = true;
            } else if byte == b'\n' {
                self.finish_line()?;
                if self.rows >= BATCH {
                    return Ok(i + 1);
                }
            } else if byte != b'\r' {
                self.cell.push(byte);
                self.begun = true;
            }
        }
        Ok(text.len())
    }

    fn end(&mut self) -> DfResult<()> {
        if self.begun {
            self.finish_line()
        } else {
            Ok(())
        }
    }

    fn finish_line(&mut self) -> DfResult<()> {
        let last = std::mem::take(&mut self.cell);
        let empty = !self.begun;
        self.current.push(last);
        self.begun = false;
        self.line += 1;
        if self.line > self.dialect.header_lines && !empty {
            for (column, builder) in self.wanted.iter().zip(&mut self.cells) {
                match self.current.get(*column) {
                    None => builder.append_null(),
                    Some(bytes) => {
                        let text = std::str::from_utf8(bytes).map_err(|_| {
                            bad(&self.uri, &format!("line {} is not UTF-8", self.line))
                        })?;
                        if self.dialect.null.as_deref() == Some(text) {
                            builder.append_null();
                        } else {
                            builder.append_value(text);
                        }
                    }
                }
            }
            self.rows += 1;
        }
        self.current.clear();
        Ok(())
    }

    fn take(&mut self) -> DfResult<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        // LazySimpleSerDe reads what is not of the type as NULL, OpenCSVSerde
        // refuses it.
        let lenient = self.dialect.quote.is_none();
        let columns = self
            .cells
            .iter_mut()
            .zip(self.schema.fields())
            .map(|(builder, field)| {
                let texts: ArrayRef = Arc::new(builder.finish());
                if *field.data_type() == DataType::Utf8 {
                    return Ok(texts);
                }
                let options = CastOptions {
                    safe: lenient,
                    ..CastOptions::default()
                };
                Ok(cast_with_options(&texts, field.data_type(), &options)?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array as _, AsArray};
    use arrow::datatypes::{Decimal128Type, Field, Int64Type, Schema};

    fn csv(dialect: Csv, text: &str) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![
            Field::new("symbol", DataType::Utf8, true),
            Field::new("price", DataType::Decimal128(18, 9), true),
            Field::new("volume", DataType::Int64, true),
        ]));
        let mut rows = CsvRows::new(dialect, schema, vec![0, 1, 2], "s3://b/k");
        // Byte by byte: state must survive any cut.
        for byte in text.as_bytes() {
            rows.push(std::slice::from_ref(byte)).unwrap();
        }
        rows.end().unwrap();
        rows.take().unwrap().unwrap()
    }

    #[test]
    fn open_csv_takes_quotes_and_escapes() {
        let dialect = Csv {
            delimiter: b',',
            quote: Some(b'"'),
            escape: Some(b'\\'),
            header_lines: 1,
            null: None,
        };
        let batch = csv(
            dialect,
            "symbol,price,volume\r\n\"A,\"\"B\\\"\",\"1.5\",2\nC\\,D,0.000000001,-3",
        );
        let symbols = batch.column(0).as_string::<i32>();
        assert_eq!(symbols.value(0), "A,\"B\"");
        assert_eq!(symbols.value(1), "C,D");
        let prices = batch.column(1).as_primitive::<Decimal128Type>();
        assert_eq!((prices.value(0), prices.value(1)), (1_500_000_000, 1));
        assert_eq!(batch.column(2).as_primitive::<Int64Type>().value(1), -3);
    }

    #[test]
    fn lazy_simple_reads_missing_and_malformed_cells_as_null() {
        let dialect = Csv {
            delimiter: b'\t',
            quote: None,
            escape: None,
            header_lines: 0,
            null: Some("\\N".into()),
        };
        let batch = csv(dialect, "\"A\"\tx\t\\N\nB\n");
        assert_eq!(batch.column(0).as_string::<i32>().value(0), "\"A\"");
        assert_eq!(batch.column(1).null_count(), 2);
        assert_eq!(batch.column(2).null_count(), 2);
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
        let prices = batch.column(0).as_primitive::<Decimal128Type>();
        assert_eq!((prices.value(0), prices.value(1)), (191_123_456_789, 1));
        assert_eq!(prices.null_count(), 1);
    }
}
