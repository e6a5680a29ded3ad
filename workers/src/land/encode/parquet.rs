//! Parquet: row groups sorted by symbol, with statistics.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use stockpipe_crds::pipeline::Compression;
use stockpipe_market::columns;

use super::{EncodeError, READ_ROWS, by_symbol};

/// Columns whose values hardly repeat: a dictionary would only be thrown away.
const DISTINCT: &[&str] = &[
    "seq",
    "source_seq",
    "ts_event_ns",
    "ts_recv_ns",
    "ts_ingest_ns",
    "ts_event",
    "trade_id",
];

/// A Parquet file being written in memory.
pub struct ParquetFile {
    writer: ArrowWriter<Vec<u8>>,
}

/// Parquet's name of `compression`; `None` where a table of ours has no such files.
pub(super) fn codec(compression: Compression) -> Option<Codec> {
    match compression {
        Compression::None => Some(Codec::UNCOMPRESSED),
        Compression::Snappy => Some(Codec::SNAPPY),
        Compression::Zstd => Some(Codec::ZSTD(ZstdLevel::try_new(1).ok()?)),
        Compression::Gzip => None,
    }
}

/// How ticks are written: the encoding that each column wants, with statistics a page.
pub fn properties(codec: Codec) -> WriterPropertiesBuilder {
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("stockpipe {}", env!("CARGO_PKG_VERSION")))
        .set_compression(codec)
        .set_statistics_enabled(EnabledStatistics::Page);
    for name in DISTINCT {
        let path = ColumnPath::from(*name);
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        if *name != "trade_id" {
            properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties
}

/// A writer's options; nobody needs Arrow's own schema beside Parquet's.
pub fn options(properties: WriterPropertiesBuilder) -> ArrowWriterOptions {
    ArrowWriterOptions::new()
        .with_properties(properties.build())
        .with_skip_arrow_metadata(true)
}

impl ParquetFile {
    pub(super) fn new(codec: Codec) -> Result<Self, EncodeError> {
        // `symbol` is the first column.
        let sorted = SortingColumn {
            column_idx: 0,
            descending: false,
            nulls_first: false,
        };
        let options = options(
            properties(codec)
                .set_sorting_columns(Some(vec![sorted]))
                .set_max_row_group_row_count(None),
        );
        let writer = ArrowWriter::try_new_with_options(Vec::new(), columns::schema(), options)?;
        Ok(Self { writer })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.writer.write(&by_symbol(batch)?)?;
        self.writer.flush()?;
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.writer.bytes_written()
    }

    pub(super) fn finish(self) -> Result<Bytes, EncodeError> {
        Ok(self.writer.into_inner()?.into())
    }
}

pub(super) fn read(
    file: Bytes,
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>, String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(READ_ROWS).build())
        .map_err(|e| e.to_string())?;
    let schema = columns::schema();
    Ok(Box::new(reader.map(move |batch| {
        let batch = batch.map_err(|e| e.to_string())?;
        // Without Arrow's metadata the types are Parquet's; cast them to ours where they differ.
        let cast = schema
            .fields()
            .iter()
            .map(|field| {
                let column = batch
                    .column_by_name(field.name())
                    .ok_or_else(|| format!("no column `{}`", field.name()))?;
                if column.data_type() == field.data_type() {
                    Ok(Arc::clone(column))
                } else {
                    arrow::compute::cast(column, field.data_type()).map_err(|e| e.to_string())
                }
            })
            .collect::<Result<Vec<_>, String>>()?;
        RecordBatch::try_new(Arc::clone(&schema), cast).map_err(|e| e.to_string())
    })))
}

#[cfg(test)]
mod tests {
    use super::super::tests::trade;
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use stockpipe_market::columns::TickColumns;

    #[test]
    fn each_batch_is_a_row_group_with_statistics_of_its_symbols() {
        let mut file = ParquetFile::new(codec(Compression::Zstd).unwrap()).unwrap();
        for symbols in [["MSFT", "AAPL"], ["NVDA", "AMZN"]] {
            let mut columns = TickColumns::new();
            for symbol in symbols {
                columns.push_json(trade(symbol, 1, 0).as_bytes()).unwrap();
            }
            file.write(&columns.finish()).unwrap();
        }
        let reader = SerializedFileReader::new(file.finish().unwrap()).unwrap();
        let groups = reader.metadata().row_groups();
        let range = |group: usize| {
            let statistics = groups[group].column(0).statistics().unwrap();
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            (
                text(statistics.min_bytes_opt()),
                text(statistics.max_bytes_opt()),
            )
        };
        assert_eq!(groups.len(), 2);
        assert_eq!(range(0), ("AAPL".to_owned(), "MSFT".to_owned()));
        assert_eq!(range(1), ("AMZN".to_owned(), "NVDA".to_owned()));
        assert!(groups[0].sorting_columns().is_some());
    }
}
