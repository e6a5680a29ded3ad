//! File formats, as a table's SerDe declares them.

use std::collections::HashMap;

use aws_sdk_glue::types::StorageDescriptor;

use super::fault::Fault;
use super::open_csv::OpenCsv;

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
    pub(super) fields: Fields,
    /// Lines to skip at the start of every file.
    pub(super) header_lines: usize,
}

/// How a line is taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// LazySimpleSerDe: quotes are ordinary characters.
    LazySimple {
        delimiter: u8,
        escape: Option<u8>,
        /// The text that stands for NULL.
        null: String,
    },
    /// OpenCSVSerde: no text stands for NULL.
    Open(OpenCsv),
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
                fields: Fields::LazySimple {
                    delimiter: byte("field.delim")
                        .or_else(|| byte("serialization.format"))
                        .filter(|d| *d != b'1')
                        .unwrap_or(1),
                    escape: byte("escape.delim"),
                    null: parameters
                        .get("serialization.null.format")
                        .cloned()
                        .unwrap_or_else(|| "\\N".to_owned()),
                },
                header_lines,
            })),
            "OpenCSVSerde" => {
                strings_in_open_csv(storage, shown)?;
                Ok(Self::Csv(Csv {
                    fields: Fields::Open(OpenCsv {
                        delimiter: byte("separatorChar").unwrap_or(b','),
                        quote: byte("quoteChar").unwrap_or(b'"'),
                        // Hive and Trino read a `"` here as the default.
                        escape: byte("escapeChar").filter(|e| *e != b'"').unwrap_or(b'\\'),
                    }),
                    header_lines,
                }))
            }
            "" => Err(Fault::user(
                "HIVE_UNSUPPORTED_FORMAT",
                format!("Table {shown} has no SerdeInfo.SerializationLibrary"),
            )),
            other => Err(Fault::unsupported(format!("the SerDe {other} ({shown})"))),
        }
    }
}

/// Refuses columns that Athena does not read with OpenCSVSerde
/// (<https://docs.aws.amazon.com/athena/latest/ug/csv-serde.html>).
fn strings_in_open_csv(storage: &StorageDescriptor, shown: &str) -> Result<(), Fault> {
    const READ: [&str; 7] = [
        "string",
        "boolean",
        "int",
        "bigint",
        "double",
        "date",
        "timestamp",
    ];
    for column in storage.columns() {
        let declared = column.r#type().unwrap_or("string").trim().to_lowercase();
        if !READ.contains(&declared.as_str()) && !declared.starts_with("varchar") {
            return Err(Fault::user(
                "NOT_SUPPORTED",
                format!(
                    "OpenCSVSerde reads no {declared}: declare column {} of {shown} as string, and CAST it in the query",
                    column.name()
                ),
            ));
        }
    }
    Ok(())
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
        let fields = Fields::LazySimple {
            delimiter: b'\t',
            escape: None,
            null: "\\N".into(),
        };
        assert_eq!(
            format(
                lazy,
                &[("field.delim", "\\t"), ("skip.header.line.count", "1")]
            )
            .unwrap(),
            Format::Csv(Csv {
                fields,
                header_lines: 1
            })
        );
        assert_eq!(
            format("org.apache.hadoop.hive.ql.io.orc.OrcSerde", &[])
                .unwrap_err()
                .message,
            "NOT_SUPPORTED: the SerDe OrcSerde (db.t) is not supported by the local Athena"
        );
    }

    #[test]
    fn an_escape_of_open_csv_is_as_declared_but_for_a_quote() {
        let open = "org.apache.hadoop.hive.serde2.OpenCSVSerde";
        for (declared, escape) in [
            (None, b'\\'),
            (Some("\""), b'\\'),
            (Some("\u{1}"), 1),
            (Some("^"), b'^'),
        ] {
            let parameters: Vec<_> = declared.map(|e| ("escapeChar", e)).into_iter().collect();
            let Format::Csv(csv) = format(open, &parameters).unwrap() else {
                panic!("OpenCSVSerde is delimited text");
            };
            let expected = OpenCsv {
                delimiter: b',',
                quote: b'"',
                escape,
            };
            assert_eq!(csv.fields, Fields::Open(expected), "{declared:?}");
        }
    }
}
