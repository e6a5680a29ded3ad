//! The Glue database and the one table of the pipeline.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Schema};
use aws_sdk_glue::Client;
use aws_sdk_glue::types::{Column, DatabaseInput, SerDeInfo, StorageDescriptor, Table, TableInput};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use stockpipe_crds::pipeline::{Format, Lake, PartitionBy};

use super::{Mode, Notes};
use crate::context::Context;
use crate::service::{Service, ServiceError};

/// Parameter that names the pipeline: on a table its owner, on a database the one for which it was made. The tag of
/// a bucket that was made has the same name.
pub const IDENTITY_PARAMETER: &str = "stockpipe.identity";

/// Glue's code for what is not there.
pub(crate) const MISSING: &str = "EntityNotFoundException";
const THERE: &str = "AlreadyExistsException";

/// The columns of a tick as `(name, Glue type)`, in the order of the lake's files.
#[must_use]
pub fn glue_columns() -> Vec<(String, String)> {
    columns_of(&stockpipe_market::columns::schema())
}

/// As a table of files of `format` declares them: OpenCSVSerde reads nothing but strings exactly.
fn declared_columns(format: Format) -> Vec<(String, String)> {
    let mut columns = glue_columns();
    if format == Format::Csv {
        for (_, kind) in &mut columns {
            "string".clone_into(kind);
        }
    }
    columns
}

fn columns_of(schema: &Schema) -> Vec<(String, String)> {
    schema
        .fields()
        .iter()
        .map(|field| (field.name().clone(), glue_type(field.data_type())))
        .collect()
}

/// A Hive type as Glue writes it.
fn glue_type(arrow: &DataType) -> String {
    match arrow {
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Dictionary(_, value) => glue_type(value),
        _ => "string".to_owned(),
    }
}

/// The table's partition keys, all strings: the names in the files' directories.
#[must_use]
pub fn partition_keys(partition_by: PartitionBy) -> &'static [&'static str] {
    match partition_by {
        PartitionBy::None => &[],
        PartitionBy::Year => &["year"],
        PartitionBy::Month => &["month"],
        PartitionBy::Day => &["dt"],
        PartitionBy::Hour => &["dt", "hour"],
    }
}

/// How engines read files of a format.
struct Reading {
    classification: &'static str,
    input: &'static str,
    output: &'static str,
    serde: &'static str,
    serde_parameters: &'static [(&'static str, &'static str)],
    table_parameters: &'static [(&'static str, &'static str)],
}

const TEXT_INPUT: &str = "org.apache.hadoop.mapred.TextInputFormat";
const TEXT_OUTPUT: &str = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";

fn reading(format: Format) -> Reading {
    match format {
        Format::Parquet => Reading {
            classification: "parquet",
            input: "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            output: "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            serde: "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            serde_parameters: &[("serialization.format", "1")],
            table_parameters: &[],
        },
        Format::Json => Reading {
            classification: "json",
            input: TEXT_INPUT,
            output: TEXT_OUTPUT,
            serde: "org.openx.data.jsonserde.JsonSerDe",
            serde_parameters: &[("serialization.format", "1")],
            table_parameters: &[],
        },
        Format::Csv => Reading {
            classification: "csv",
            input: TEXT_INPUT,
            output: TEXT_OUTPUT,
            serde: "org.apache.hadoop.hive.serde2.OpenCSVSerde",
            // The files escape nothing: a backslash, the default, would vanish from texts.
            serde_parameters: &[
                ("separatorChar", ","),
                ("quoteChar", "\""),
                ("escapeChar", "\u{1}"),
            ],
            table_parameters: &[("skip.header.line.count", "1")],
        },
    }
}

fn parameters(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

/// Makes the database and the table, or adds the columns that the table lacks.
pub(super) async fn provision(
    ctx: &Context,
    glue: &Client,
    lake_id: &str,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let pipeline = &ctx.pipeline;
    let (database, table) = (&pipeline.catalog.database, &pipeline.catalog.table);
    let wanted = wanted_table(&pipeline.lake, table, &ctx.identity(), lake_id)?;
    provision_database(glue, database, &ctx.identity(), mode, notes).await?;
    let mut found = find_table(glue, database, table).await?;
    if found.is_none() {
        mode.may_change(|| format!("Glue table `{database}.{table}` does not exist"))?;
        let made = glue
            .create_table()
            .database_name(database)
            .table_input(wanted.clone())
            .send()
            .await;
        match made {
            Ok(_) => {
                notes.changed(format!("made Glue table {database}.{table}"));
                return Ok(());
            }
            Err(e) if code(&e) == Some(THERE) => {
                found = find_table(glue, database, table).await?;
            }
            Err(e) => {
                let action = format!("make Glue table `{database}.{table}`");
                return Err(ServiceError::aws(Service::Glue, action, &e));
            }
        }
    }
    let Some(found) = found else {
        return Err(ServiceError::Refused(format!(
            "Glue table `{database}.{table}` appeared and vanished: start again"
        )));
    };
    let missing = compare(
        &found,
        &wanted,
        &format!("{database}.{table}"),
        &ctx.identity(),
    )?;
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|c| c.name.clone()).collect();
    let names = names.join(", ");
    mode.may_change(|| format!("Glue table `{database}.{table}` lacks the columns {names}"))?;
    let version = found.version_id.clone();
    glue.update_table()
        .database_name(database)
        .table_input(with_columns(found, missing)?)
        .set_version_id(version)
        .send()
        .await
        .map_err(|e| {
            let action = format!("add columns to Glue table `{database}.{table}`");
            ServiceError::aws(Service::Glue, action, &e)
        })?;
    notes.changed(format!(
        "added the columns {names} to Glue table {database}.{table}"
    ));
    Ok(())
}

async fn provision_database(
    glue: &Client,
    database: &str,
    identity: &str,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    match glue.get_database().name(database).send().await {
        Ok(_) => return Ok(()),
        Err(e) if code(&e) == Some(MISSING) => {}
        Err(e) => {
            let action = format!("look at Glue database `{database}`");
            return Err(ServiceError::aws(Service::Glue, action, &e));
        }
    }
    mode.may_change(|| format!("Glue database `{database}` does not exist"))?;
    let input = DatabaseInput::builder()
        .name(database)
        .description("Market data landed by stockpipe")
        .parameters(IDENTITY_PARAMETER, identity)
        .build()
        .map_err(|e| ServiceError::Refused(e.to_string()))?;
    match glue.create_database().database_input(input).send().await {
        Ok(_) => notes.changed(format!("made Glue database {database}")),
        // Another pipeline of the same database was faster.
        Err(e) if code(&e) == Some(THERE) => {}
        Err(e) => {
            let action = format!("make Glue database `{database}`");
            return Err(ServiceError::aws(Service::Glue, action, &e));
        }
    }
    Ok(())
}

/// The table; `None` where there is none.
pub(crate) async fn find_table(
    glue: &Client,
    database: &str,
    table: &str,
) -> Result<Option<Table>, ServiceError> {
    match glue
        .get_table()
        .database_name(database)
        .name(table)
        .send()
        .await
    {
        Ok(output) => Ok(output.table),
        Err(e) if code(&e) == Some(MISSING) => Ok(None),
        Err(e) => {
            let action = format!("look at Glue table `{database}.{table}`");
            Err(ServiceError::aws(Service::Glue, action, &e))
        }
    }
}

/// The service's code of a failed call.
pub(crate) fn code<E: ProvideErrorMetadata>(
    error: &aws_smithy_runtime_api::client::result::SdkError<
        E,
        aws_smithy_runtime_api::client::orchestrator::HttpResponse,
    >,
) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
}

fn column(name: &str, kind: &str) -> Result<Column, ServiceError> {
    Column::builder()
        .name(name)
        .r#type(kind)
        .build()
        .map_err(|e| ServiceError::Refused(e.to_string()))
}

fn wanted_table(
    lake: &Lake,
    table: &str,
    identity: &str,
    lake_id: &str,
) -> Result<TableInput, ServiceError> {
    let reading = reading(lake.format);
    let columns = declared_columns(lake.format)
        .iter()
        .map(|(name, kind)| column(name, kind))
        .collect::<Result<Vec<_>, _>>()?;
    let keys = partition_keys(lake.partition_by)
        .iter()
        .map(|name| column(name, "string"))
        .collect::<Result<Vec<_>, _>>()?;
    let serde = SerDeInfo::builder()
        .serialization_library(reading.serde)
        .set_parameters(Some(parameters(reading.serde_parameters)))
        .build();
    let storage = StorageDescriptor::builder()
        .set_columns(Some(columns))
        .location(format!("s3://{}/{}/", lake.bucket, lake.prefix))
        .input_format(reading.input)
        .output_format(reading.output)
        .serde_info(serde)
        .build();
    let mut table_parameters = parameters(reading.table_parameters);
    table_parameters.extend(parameters(&[
        ("EXTERNAL", "TRUE"),
        ("classification", reading.classification),
        (IDENTITY_PARAMETER, identity),
        ("stockpipe.lakeId", lake_id),
    ]));
    TableInput::builder()
        .name(table)
        .description("Ticks landed by stockpipe")
        .table_type("EXTERNAL_TABLE")
        .storage_descriptor(storage)
        .set_partition_keys(Some(keys))
        .set_parameters(Some(table_parameters))
        .build()
        .map_err(|e| ServiceError::Refused(e.to_string()))
}

/// The columns that `found` lacks; an error where it is another's, or cannot become what is wanted.
fn compare(
    found: &Table,
    wanted: &TableInput,
    name: &str,
    identity: &str,
) -> Result<Vec<Column>, ServiceError> {
    let refuse = |why: String| Err(ServiceError::Refused(why));
    match found
        .parameters
        .as_ref()
        .and_then(|p| p.get(IDENTITY_PARAMETER))
    {
        Some(owner) if owner == identity => {}
        Some(owner) => {
            return refuse(format!(
                "Glue table `{name}` belongs to pipeline `{owner}`, this one is `{identity}`: choose another catalog.table"
            ));
        }
        None => {
            return refuse(format!(
                "Glue table `{name}` exists and was not made by stockpipe: choose another catalog.table, or drop it"
            ));
        }
    }
    let (Some(found_storage), Some(wanted_storage)) =
        (&found.storage_descriptor, &wanted.storage_descriptor)
    else {
        return refuse(format!(
            "Glue table `{name}` has no storage: drop it and start again"
        ));
    };
    for (what, is, should) in [
        (
            "location",
            found_storage.location.as_deref(),
            wanted_storage.location.as_deref(),
        ),
        (
            "format",
            found_storage.input_format.as_deref(),
            wanted_storage.input_format.as_deref(),
        ),
    ] {
        if is != should {
            return refuse(format!(
                "Glue table `{name}` has the {what} `{}`, the file asks for `{}`: the lake cannot change once set; \
                 choose another catalog.table",
                is.unwrap_or_default(),
                should.unwrap_or_default()
            ));
        }
    }
    let keys = |columns: Option<&[Column]>| -> Vec<String> {
        columns
            .unwrap_or_default()
            .iter()
            .map(|c| c.name.clone())
            .collect()
    };
    let (is, should) = (
        keys(found.partition_keys.as_deref()),
        keys(wanted.partition_keys.as_deref()),
    );
    if is != should {
        return refuse(format!(
            "Glue table `{name}` is partitioned by ({}), the file asks for ({}): lake.partitionBy cannot change once set",
            is.join(", "),
            should.join(", ")
        ));
    }
    let present: HashMap<&str, &str> = found_storage
        .columns
        .iter()
        .flatten()
        .map(|c| (c.name.as_str(), c.r#type.as_deref().unwrap_or_default()))
        .collect();
    let mut missing = Vec::new();
    for wanted in wanted_storage.columns.iter().flatten() {
        let kind = wanted.r#type.as_deref().unwrap_or_default();
        match present.get(wanted.name.as_str()) {
            None => missing.push(wanted.clone()),
            Some(is) if is.eq_ignore_ascii_case(kind) => {}
            Some(is) => {
                return refuse(format!(
                    "column `{}` of Glue table `{name}` is {is}, stockpipe writes {kind}: choose another catalog.table",
                    wanted.name
                ));
            }
        }
    }
    Ok(missing)
}

/// The table as it is, with columns added at the end.
fn with_columns(found: Table, missing: Vec<Column>) -> Result<TableInput, ServiceError> {
    let storage = found.storage_descriptor.map(|mut storage| {
        storage.columns.get_or_insert_default().extend(missing);
        storage
    });
    TableInput::builder()
        .name(found.name)
        .set_description(found.description)
        .set_owner(found.owner)
        .retention(found.retention)
        .set_storage_descriptor(storage)
        .set_partition_keys(found.partition_keys)
        .set_table_type(found.table_type)
        .set_parameters(found.parameters)
        .build()
        .map_err(|e| ServiceError::Refused(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use stockpipe_crds::pipeline::{Compression, DeletionPolicy, Roll};

    fn lake(partition_by: PartitionBy) -> Lake {
        Lake {
            bucket: "lake".into(),
            prefix: "us/ticks".into(),
            format: Format::Parquet,
            compression: Compression::Zstd,
            partition_by,
            roll: Roll {
                max_age: Duration::from_secs(1),
                max_rows: 1,
                max_bytes: 1,
                max_files_per_range: 1,
            },
            idle_timeout: Duration::from_secs(1),
            allowed_lateness: Duration::ZERO,
            abort_uploads_after: Duration::from_secs(86_400),
            deletion_policy: DeletionPolicy::Retain,
        }
    }

    fn found(input: &TableInput) -> Table {
        Table::builder()
            .name(input.name.clone())
            .set_storage_descriptor(input.storage_descriptor.clone())
            .set_partition_keys(input.partition_keys.clone())
            .set_parameters(input.parameters.clone())
            .build()
            .unwrap()
    }

    fn wanted(partition_by: PartitionBy) -> TableInput {
        wanted_table(&lake(partition_by), "t", "c/default/us", "L1").unwrap()
    }

    #[test]
    fn columns_have_the_types_that_athena_reads() {
        let columns: HashMap<_, _> = glue_columns().into_iter().collect();
        for (name, kind) in [
            ("symbol", "string"),
            ("seq", "bigint"),
            ("ts_event", "timestamp"),
            ("ts_event_ns", "bigint"),
            ("trade_date", "date"),
            ("price", "decimal(18,9)"),
            ("volume", "decimal(28,10)"),
            ("flags", "int"),
        ] {
            assert_eq!(columns.get(name).map(String::as_str), Some(kind), "{name}");
        }
        assert_eq!(columns.len(), 31);
    }

    #[test]
    fn each_format_names_the_reader_of_its_files() {
        let storage = |format| {
            let lake = Lake {
                format,
                ..lake(PartitionBy::Day)
            };
            let table = wanted_table(&lake, "t", "i", "L1").unwrap();
            (table.storage_descriptor.unwrap(), table.parameters.unwrap())
        };
        for (format, serde, classification) in [
            (Format::Parquet, "ParquetHiveSerDe", "parquet"),
            (Format::Json, "JsonSerDe", "json"),
            (Format::Csv, "OpenCSVSerde", "csv"),
        ] {
            let (storage, parameters) = storage(format);
            let library = storage.serde_info.unwrap().serialization_library.unwrap();
            assert_eq!(library.rsplit('.').next(), Some(serde));
            assert_eq!(parameters["classification"], classification);
            let header = parameters.get("skip.header.line.count").map(String::as_str);
            assert_eq!(header, (format == Format::Csv).then_some("1"));
            let strings = storage
                .columns
                .unwrap()
                .iter()
                .filter(|c| c.r#type.as_deref() == Some("string"))
                .count();
            assert_eq!(strings, if format == Format::Csv { 31 } else { 11 });
        }
    }

    #[test]
    fn a_table_that_is_as_wanted_lacks_nothing() {
        let wanted = wanted(PartitionBy::Hour);
        assert_eq!(
            compare(&found(&wanted), &wanted, "d.t", "c/default/us").unwrap(),
            []
        );
    }

    #[test]
    fn a_new_column_is_added_at_the_end_and_the_rest_stays() {
        let wanted = wanted(PartitionBy::Day);
        let mut table = found(&wanted);
        let columns = table
            .storage_descriptor
            .as_mut()
            .unwrap()
            .columns
            .as_mut()
            .unwrap();
        columns.retain(|c| c.name != "flags");
        columns.push(column("by_a_person", "string").unwrap());
        let missing = compare(&table, &wanted, "d.t", "c/default/us").unwrap();
        assert_eq!(missing, [column("flags", "int").unwrap()]);
        let input = with_columns(table, missing).unwrap();
        let names: Vec<_> = input
            .storage_descriptor
            .unwrap()
            .columns
            .unwrap()
            .into_iter()
            .map(|c| c.name)
            .collect();
        assert_eq!(names[names.len() - 2..], ["by_a_person", "flags"]);
    }

    #[test]
    fn what_belongs_to_another_or_cannot_change_is_refused_with_a_sentence() {
        let wanted = wanted(PartitionBy::Hour);
        let refusal = |change: &dyn Fn(&mut Table), identity: &str| {
            let mut table = found(&wanted);
            change(&mut table);
            compare(&table, &wanted, "d.t", identity)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal(&|_| {}, "c/default/other"),
            "Glue table `d.t` belongs to pipeline `c/default/us`, this one is `c/default/other`: choose another catalog.table"
        );
        assert!(
            refusal(&|t| t.parameters = None, "c/default/us").contains("was not made by stockpipe")
        );
        assert!(
            refusal(
                &|t| t.partition_keys = Some(vec![column("dt", "string").unwrap()]),
                "c/default/us"
            )
            .contains("is partitioned by (dt), the file asks for (dt, hour)")
        );
        assert!(
            refusal(
                &|t| t.storage_descriptor.as_mut().unwrap().location = Some("s3://x/".into()),
                "c/default/us"
            )
            .contains("has the location `s3://x/`")
        );
        assert!(
            refusal(
                &|t| {
                    t.storage_descriptor
                        .as_mut()
                        .unwrap()
                        .columns
                        .as_mut()
                        .unwrap()[0]
                        .r#type = Some("bigint".into());
                },
                "c/default/us"
            )
            .contains("column `symbol` of Glue table `d.t` is bigint")
        );
    }
}
