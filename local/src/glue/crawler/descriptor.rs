//! Tables and partitions as Glue's JSON describes them.

use serde_json::{Map, Value, json};

use super::configuration::split;
use super::folders::Folders;
use super::infer::{Format, Found};
use super::schema::Schema;

/// The parameters of a table or partition.
pub(super) type Parameters = Map<String, Value>;

/// Parameters that say how a table's files are read.
pub(super) fn parameters_of(found: &Found) -> Parameters {
    let mut parameters = Parameters::new();
    let mut set = |key: &str, value: &str| {
        parameters.insert(key.to_owned(), json!(value));
    };
    set("classification", found.format.classification());
    set("compressionType", found.compression);
    set("typeOfData", "file");
    set("CrawlerSchemaSerializerVersion", "1.0");
    set("CrawlerSchemaDeserializerVersion", "1.0");
    if let Format::Csv(dialect) = &found.format {
        set("delimiter", &char::from(dialect.delimiter).to_string());
        set("columnsOrdered", "true");
        set(
            "areColumnsQuoted",
            if dialect.quoted { "true" } else { "false" },
        );
        if dialect.header {
            set("skip.header.line.count", "1");
        }
    }
    parameters
}

/// What all opened files hold together, as far as they are of one format.
pub(super) fn merged(folders: &Folders) -> Option<Found> {
    let mut all = folders
        .values()
        .flatten()
        .filter_map(|file| file.found.clone());
    let first = all.next()?;
    Some(
        all.filter(|found| found.format == first.format)
            .fold(first.clone(), |merged, found| Found {
                schema: merged.schema.merge(found.schema),
                ..merged
            }),
    )
}

/// Where a table's files lie, as bucket and prefix; `None` where not in S3.
pub(super) fn place(table: &Value) -> Option<(String, String)> {
    split(table["StorageDescriptor"]["Location"].as_str()?)
}

pub(super) fn location_of(record: &Value) -> &str {
    record["StorageDescriptor"]["Location"]
        .as_str()
        .unwrap_or_default()
}

pub(super) fn keys_of(table: &Value) -> Vec<String> {
    let keys = table.get("PartitionKeys").and_then(Value::as_array);
    keys.into_iter()
        .flatten()
        .filter_map(|key| key["Name"].as_str().map(str::to_owned))
        .collect()
}

pub(super) fn columns(schema: &Schema) -> Value {
    schema
        .0
        .iter()
        .map(|(name, kind)| json!({"Name": name, "Type": kind.to_string()}))
        .collect()
}

/// The columns that are there, and those of `schema` that are not.
pub(super) fn with_new(known: &Value, schema: &Schema) -> Value {
    let mut all = known.as_array().cloned().unwrap_or_default();
    for (name, kind) in &schema.0 {
        if !all
            .iter()
            .any(|column| column["Name"].as_str() == Some(name))
        {
            all.push(json!({"Name": name, "Type": kind.to_string()}));
        }
    }
    Value::Array(all)
}

/// How engines read files of a format, as a storage descriptor's fields.
pub(super) fn storage(found: &Found) -> Value {
    const TEXT_IN: &str = "org.apache.hadoop.mapred.TextInputFormat";
    const TEXT_OUT: &str = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";
    const PARQUET: &str = "org.apache.hadoop.hive.ql.io.parquet";
    let compressed = found.compression != "none";
    match &found.format {
        Format::Parquet => json!({
            "InputFormat": format!("{PARQUET}.MapredParquetInputFormat"),
            "OutputFormat": format!("{PARQUET}.MapredParquetOutputFormat"),
            "Compressed": false,
            "SerdeInfo": {
                "SerializationLibrary": format!("{PARQUET}.serde.ParquetHiveSerDe"),
                "Parameters": {"serialization.format": "1"},
            },
        }),
        Format::Json => {
            let paths: Vec<&str> = found
                .schema
                .0
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            json!({
                "InputFormat": TEXT_IN,
                "OutputFormat": TEXT_OUT,
                "Compressed": compressed,
                "SerdeInfo": {
                    "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
                    "Parameters": {"paths": paths.join(",")},
                },
            })
        }
        Format::Csv(dialect) => {
            let delimiter = char::from(dialect.delimiter).to_string();
            json!({
                "InputFormat": TEXT_IN,
                "OutputFormat": TEXT_OUT,
                "Compressed": compressed,
                // Of quoted text too: only a classifier of one's own chooses another.
                "SerdeInfo": {
                    "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
                    "Parameters": {"field.delim": delimiter},
                },
            })
        }
    }
}
