//! File formats, as a table's SerDe declares them.

use std::collections::HashMap;

use aws_sdk_glue::types::StorageDescriptor;

use super::fault::Fault;

/// How the files of a table are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Apache Parquet, columns by name.
    Parquet,
    /// One JSON object a line, plain or gzip.
    JsonLines,
    /// Delimited text, plain or gzip.
    Csv(Csv),
}

/// A dialect of delimited text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Csv {
    pub(super) delimiter: u8,
    /// `None`: quotes are ordinary characters (LazySimpleSerDe).
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    /// Lines to skip at the start of every file.
    pub(super) header_lines: usize,
    /// The text that stands for NULL; OpenCSVSerde has none.
    pub(super) null: Option<String>,
}

impl Format {
    /// The format of a table, from its SerDe library.
    ///
    /// # Errors
    /// `NOT_SUPPORTED` with the library's name.
    pub(super) fn of(
        storage: &StorageDescriptor,
        table: &HashMap<String, String>,
        shown: &str,
    ) -> Result<Self, Fault> {
        let empty = HashMap::new();
        let serde = storage.serde_info();
        let library = serde
            .and_then(|s| s.serialization_library())
            .or(storage.input_format())
            .unwrap_or_default();
        let parameters = serde.and_then(|s| s.parameters()).unwrap_or(&empty);
        let header_lines = table
            .get("skip.header.line.count")
            .or(parameters.get("skip.header.line.count"))
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        let byte = |name: &str| {
            parameters.get(name).and_then(|v| match v.as_str() {
                "\\t" => Some(b'\t'),
                "\\001" => Some(1),
                v => v.bytes().next(),
            })
        };
        match library.rsplit('.').next().unwrap_or_default() {
            "ParquetHiveSerDe" | "MapredParquetInputFormat" => Ok(Self::Parquet),
            "JsonSerDe" => Ok(Self::JsonLines),
            "LazySimpleSerDe" => Ok(Self::Csv(Csv {
                delimiter: byte("field.delim")
                    .or_else(|| byte("serialization.format"))
                    .filter(|d| *d != b'1')
                    .unwrap_or(1),
                quote: None,
                escape: byte("escape.delim"),
                header_lines,
                null: Some(
                    parameters
                        .get("serialization.null.format")
                        .cloned()
                        .unwrap_or_else(|| "\\N".to_owned()),
                ),
            })),
            "OpenCSVSerde" => Ok(Self::Csv(Csv {
                delimiter: byte("separatorChar").unwrap_or(b','),
                quote: Some(byte("quoteChar").unwrap_or(b'"')),
                escape: Some(byte("escapeChar").unwrap_or(b'\\')),
                header_lines,
                null: None,
            })),
            "" => Err(Fault::user(
                "HIVE_UNSUPPORTED_FORMAT",
                format!("Table {shown} has no SerdeInfo.SerializationLibrary"),
            )),
            other => Err(Fault::unsupported(format!("the SerDe {other} ({shown})"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_glue::types::SerDeInfo;

    fn format(library: &str, parameters: &[(&str, &str)]) -> Result<Format, Fault> {
        let serde = SerDeInfo::builder()
            .serialization_library(library)
            .set_parameters(Some(
                parameters
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
            ))
            .build();
        let storage = StorageDescriptor::builder().serde_info(serde).build();
        Format::of(&storage, &HashMap::new(), "db.t")
    }

    #[test]
    fn libraries_name_formats() {
        let parquet = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
        assert_eq!(format(parquet, &[]).unwrap(), Format::Parquet);
        for json in [
            "org.openx.data.jsonserde.JsonSerDe",
            "org.apache.hive.hcatalog.data.JsonSerDe",
        ] {
            assert_eq!(format(json, &[]).unwrap(), Format::JsonLines);
        }
        let lazy = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";
        let Format::Csv(csv) = format(lazy, &[("field.delim", "\\t")]).unwrap() else {
            panic!("LazySimpleSerDe is delimited text");
        };
        assert_eq!((csv.delimiter, csv.quote), (b'\t', None));
        assert_eq!(
            format("org.apache.hadoop.hive.ql.io.orc.OrcSerde", &[])
                .unwrap_err()
                .message,
            "NOT_SUPPORTED: the SerDe OrcSerde (db.t) is not supported by the local Athena"
        );
    }
}
