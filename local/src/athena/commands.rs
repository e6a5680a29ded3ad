//! What each statement does.

use std::sync::Arc;

use aws_sdk_glue::types::{
    Column, DatabaseInput, PartitionInput, SerDeInfo, StorageDescriptor, TableInput,
};
use futures::StreamExt as _;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tokio_util::sync::CancellationToken;

use super::Backends;
use super::engine::Engine;
use super::fault::{Category, Fault};
use super::objects::{Location, Meter, data_objects, sentence};
use super::results::{Upload, header, lines};
use super::shared_buffer::SharedBuffer;
use super::sql::{Command, Property, Query, Statement, TableName, parameters};
use super::types::{ColumnInfo, to_glue};

/// One statement on its way.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) statement: Statement,
    pub(super) database: Option<String>,
    pub(super) output: Location,
    /// The result object's name below `output`.
    pub(super) object: String,
    pub(super) parameters: Vec<String>,
    pub(super) meter: Arc<Meter>,
    pub(super) cancel: CancellationToken,
}

/// What a statement left.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) columns: Vec<ColumnInfo>,
    /// Rows of a CTAS.
    pub(super) rows_written: Option<u64>,
    /// Milliseconds of planning.
    pub(super) planning: i64,
}

/// Says that a statement was stopped.
pub(super) fn cancelled() -> Fault {
    Fault {
        category: Category::User,
        message: "Query cancelled by user".to_owned(),
    }
}

const PARQUET_SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
const PARQUET_INPUT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
const PARQUET_OUTPUT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";

/// Performs statements.
#[derive(Debug)]
pub(super) struct Commands {
    pub(super) backends: Backends,
    pub(super) engine: Engine,
}

impl Commands {
    /// Performs a statement and writes its result.
    ///
    /// # Errors
    /// Why it failed; a stopped one with [`cancelled`].
    pub(super) async fn perform(&self, job: &Job) -> Result<Outcome, Fault> {
        match &job.statement.command {
            Command::Query(query) => self.select(job, query).await,
            Command::Explain(query) => {
                let query = self.rewritten(job, query)?;
                let planned = self
                    .engine
                    .plan(&query, job.database.as_deref(), &job.meter)
                    .await?;
                let lines = planned.explain().lines().map(str::to_owned).collect();
                self.text(job, &["Query Plan"], lines).await
            }
            Command::CreateTableAs {
                table,
                if_not_exists,
                properties,
                query,
            } => {
                self.create_table_as(job, table, *if_not_exists, properties, query)
                    .await
            }
            other => {
                let run = self.catalog_command(job, other);
                match job.cancel.run_until_cancelled(run).await {
                    Some(outcome) => outcome,
                    None => Err(cancelled()),
                }
            }
        }
    }

    fn rewritten(
        &self,
        job: &Job,
        tree: &datafusion::sql::sqlparser::ast::Query,
    ) -> Result<Query, Fault> {
        Query::new(
            tree.clone(),
            &job.statement.tokens,
            parameters(&job.parameters)?,
        )
    }

    async fn select(
        &self,
        job: &Job,
        tree: &datafusion::sql::sqlparser::ast::Query,
    ) -> Result<Outcome, Fault> {
        let query = self.rewritten(job, tree)?;
        let began = std::time::Instant::now();
        let planning = self
            .engine
            .plan(&query, job.database.as_deref(), &job.meter);
        let planned = job
            .cancel
            .run_until_cancelled(planning)
            .await
            .unwrap_or_else(|| Err(cancelled()))?;
        let planning = began.elapsed().as_millis() as i64;
        let mut upload = Upload::new(
            self.backends.s3.clone(),
            &job.output,
            &job.object,
            "text/csv",
        );
        let written = async {
            upload.write(&header(&planned.columns)).await?;
            let mut batches = planned.execute()?;
            while let Some(batch) = batches.next().await {
                upload.write(&lines(&batch?)).await?;
            }
            Ok(())
        };
        let written = job
            .cancel
            .run_until_cancelled(written)
            .await
            .unwrap_or_else(|| Err(cancelled()));
        if let Err(fault) = written {
            upload.abort().await;
            return Err(fault);
        }
        upload.finish().await?;
        self.metadata(job, &planned.columns).await?;
        Ok(Outcome {
            columns: planned.columns,
            rows_written: None,
            planning,
        })
    }

    /// `<result>.metadata`: the columns, as JSON.
    async fn metadata(&self, job: &Job, columns: &[ColumnInfo]) -> Result<(), Fault> {
        let mut upload = Upload::new(
            self.backends.s3.clone(),
            &job.output,
            &format!("{}.metadata", job.object),
            "application/json",
        );
        upload
            .write(super::results::metadata(columns).to_string().as_bytes())
            .await?;
        upload.finish().await
    }

    /// Writes a result of plain lines.
    async fn text(
        &self,
        job: &Job,
        columns: &[&str],
        lines: Vec<String>,
    ) -> Result<Outcome, Fault> {
        let mut upload = Upload::new(
            self.backends.s3.clone(),
            &job.output,
            &job.object,
            "text/plain",
        );
        for line in lines {
            upload.write(line.as_bytes()).await?;
            upload.write(b"\n").await?;
        }
        upload.finish().await?;
        let columns: Vec<ColumnInfo> = columns.iter().map(|c| ColumnInfo::string(c)).collect();
        self.metadata(job, &columns).await?;
        Ok(Outcome {
            columns,
            ..Outcome::default()
        })
    }

    fn database<'a>(&self, job: &'a Job, table: &'a TableName) -> &'a str {
        table
            .database
            .as_deref()
            .or(job.database.as_deref())
            .unwrap_or("default")
    }

    async fn glue_table(
        &self,
        job: &Job,
        table: &TableName,
    ) -> Result<Option<aws_sdk_glue::types::Table>, Fault> {
        let found = self
            .backends
            .glue
            .get_table()
            .database_name(self.database(job, table))
            .name(&table.table)
            .send()
            .await;
        match found.map_err(aws_sdk_glue::Error::from) {
            Ok(found) => Ok(found.table),
            Err(aws_sdk_glue::Error::EntityNotFoundException(_)) => Ok(None),
            Err(e) => Err(Fault::system(sentence(&e))),
        }
    }

    async fn existing(
        &self,
        job: &Job,
        table: &TableName,
    ) -> Result<aws_sdk_glue::types::Table, Fault> {
        match self.glue_table(job, table).await? {
            Some(found) => Ok(found),
            None => Err(self
                .engine
                .missing_table(self.database(job, table), &table.table, table.at)
                .await),
        }
    }

    async fn create_table_as(
        &self,
        job: &Job,
        table: &TableName,
        if_not_exists: bool,
        properties: &[Property],
        tree: &datafusion::sql::sqlparser::ast::Query,
    ) -> Result<Outcome, Fault> {
        let database = self.database(job, table).to_owned();
        let options = TableOptions::new(properties)?;
        if self.glue_table(job, table).await?.is_some() {
            if if_not_exists {
                return self.text(job, &[], Vec::new()).await;
            }
            return Err(Fault::user(
                "TABLE_ALREADY_EXISTS",
                format!(
                    "{}: Destination table 'awsdatacatalog.{database}.{}' already exists",
                    table.at, table.table
                ),
            ));
        }
        let location = match &options.location {
            Some(location) => location.clone(),
            None => Location {
                bucket: job.output.bucket.clone(),
                prefix: format!("{}tables/{}/", job.output.prefix, job.id),
            },
        };
        if !data_objects(&self.backends.s3, &location).await?.is_empty() {
            return Err(Fault::user(
                "HIVE_PATH_ALREADY_EXISTS",
                format!(
                    "Target directory for table '{database}.{}' already exists: {}. You may need to manually clean the data at location '{}' before retrying. Athena will not delete data in your account",
                    table.table,
                    location.uri(""),
                    location.uri("")
                ),
            ));
        }
        let query = self.rewritten(job, tree)?;
        let began = std::time::Instant::now();
        let planned = job
            .cancel
            .run_until_cancelled(
                self.engine
                    .plan(&query, job.database.as_deref(), &job.meter),
            )
            .await
            .unwrap_or_else(|| Err(cancelled()))?;
        let planning = began.elapsed().as_millis() as i64;
        let columns = table_columns(&planned.columns, &planned.schema())?;
        let mut upload = Upload::new(
            self.backends.s3.clone(),
            &location,
            &format!("{}.parquet", job.id),
            "application/octet-stream",
        );
        let rows = job
            .cancel
            .run_until_cancelled(write_parquet(
                &planned,
                &columns,
                options.compression,
                &mut upload,
            ))
            .await
            .unwrap_or_else(|| Err(cancelled()));
        let rows = match rows {
            Ok(rows) => rows,
            Err(fault) => {
                upload.abort().await;
                return Err(fault);
            }
        };
        upload.finish().await?;
        self.register(&database, &table.table, &columns, &location)
            .await?;
        let mut outcome = self.text(job, &[], Vec::new()).await?;
        outcome.rows_written = Some(rows);
        outcome.planning = planning;
        Ok(outcome)
    }

    async fn register(
        &self,
        database: &str,
        table: &str,
        columns: &[(String, String)],
        location: &Location,
    ) -> Result<(), Fault> {
        let columns = columns
            .iter()
            .map(|(name, of)| Column::builder().name(name).r#type(of).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(Fault::system)?;
        let serde = SerDeInfo::builder()
            .serialization_library(PARQUET_SERDE)
            .parameters("serialization.format", "1")
            .build();
        let storage = StorageDescriptor::builder()
            .set_columns(Some(columns))
            .location(location.uri(""))
            .input_format(PARQUET_INPUT)
            .output_format(PARQUET_OUTPUT)
            .serde_info(serde)
            .build();
        let input = TableInput::builder()
            .name(table)
            .table_type("EXTERNAL_TABLE")
            .parameters("EXTERNAL", "TRUE")
            .parameters("classification", "parquet")
            .storage_descriptor(storage)
            .build()
            .map_err(Fault::system)?;
        self.backends
            .glue
            .create_table()
            .database_name(database)
            .table_input(input)
            .send()
            .await
            .map(|_| ())
            .map_err(|e| catalog_fault(&e.into()))
    }

    async fn catalog_command(&self, job: &Job, command: &Command) -> Result<Outcome, Fault> {
        let glue = &self.backends.glue;
        match command {
            Command::ShowDatabases { pattern } => {
                let mut pages = glue.get_databases().into_paginator().send();
                let mut names = Vec::new();
                while let Some(page) = pages.next().await {
                    let page = page.map_err(|e| catalog_fault(&e.into()))?;
                    names.extend(page.database_list().iter().map(|d| d.name().to_owned()));
                }
                names.retain(|n| hive_like(pattern.as_deref(), n));
                self.text(job, &["database_name"], names).await
            }
            Command::ShowTables { database, pattern } => {
                let database = database
                    .as_deref()
                    .or(job.database.as_deref())
                    .unwrap_or("default");
                let mut pages = glue
                    .get_tables()
                    .database_name(database)
                    .into_paginator()
                    .send();
                let mut names = Vec::new();
                while let Some(page) = pages.next().await {
                    let page = page.map_err(|e| schema_fault(database, &e.into()))?;
                    names.extend(page.table_list().iter().map(|t| t.name().to_owned()));
                }
                names.retain(|n| hive_like(pattern.as_deref(), n));
                self.text(job, &["tab_name"], names).await
            }
            Command::ShowColumns { table } => {
                let found = self.existing(job, table).await?;
                let names = columns_of(&found)
                    .into_iter()
                    .map(|c| format!("{:<20}", c.name()))
                    .collect();
                self.text(job, &["field"], names).await
            }
            Command::Describe { table } => {
                let found = self.existing(job, table).await?;
                self.text(job, &["col_name", "data_type", "comment"], describe(&found))
                    .await
            }
            Command::ShowPartitions { table } => {
                let found = self.existing(job, table).await?;
                if found.partition_keys().is_empty() {
                    return Err(Fault::user(
                        "FAILED",
                        format!(
                            "SemanticException Table {}.{} is not a partitioned table",
                            self.database(job, table),
                            table.table
                        ),
                    ));
                }
                let mut names = Vec::new();
                for values in self.partition_values(job, table).await? {
                    let pairs: Vec<String> = found
                        .partition_keys()
                        .iter()
                        .zip(&values)
                        .map(|(key, value)| format!("{}={value}", key.name()))
                        .collect();
                    names.push(pairs.join("/"));
                }
                self.text(job, &["partition"], names).await
            }
            Command::CreateDatabase {
                name,
                if_not_exists,
                comment,
                location,
            } => {
                let input = DatabaseInput::builder()
                    .name(name)
                    .set_description(comment.clone())
                    .set_location_uri(location.clone())
                    .build()
                    .map_err(Fault::system)?;
                match glue
                    .create_database()
                    .database_input(input)
                    .send()
                    .await
                    .map_err(aws_sdk_glue::Error::from)
                {
                    Ok(_) => {}
                    Err(aws_sdk_glue::Error::AlreadyExistsException(_)) if *if_not_exists => {}
                    Err(e) => return Err(catalog_fault(&e)),
                }
                self.text(job, &[], Vec::new()).await
            }
            Command::DropDatabase {
                name,
                if_exists,
                cascade,
            } => {
                let tables = glue
                    .get_tables()
                    .database_name(name)
                    .max_results(1)
                    .send()
                    .await
                    .map_err(aws_sdk_glue::Error::from);
                match tables {
                    Ok(tables) if !tables.table_list().is_empty() && !cascade => {
                        return Err(Fault::user(
                            "FAILED",
                            format!(
                                "SemanticException Database {name} is not empty. One or more tables exist (use CASCADE)"
                            ),
                        ));
                    }
                    Ok(_) => {
                        glue.delete_database()
                            .name(name)
                            .send()
                            .await
                            .map_err(|e| schema_fault(name, &e.into()))?;
                    }
                    Err(aws_sdk_glue::Error::EntityNotFoundException(_)) if *if_exists => {}
                    Err(e) => return Err(schema_fault(name, &e)),
                }
                self.text(job, &[], Vec::new()).await
            }
            Command::DropTable { table, if_exists } => {
                if self.glue_table(job, table).await?.is_some() {
                    glue.delete_table()
                        .database_name(self.database(job, table))
                        .name(&table.table)
                        .send()
                        .await
                        .map_err(|e| catalog_fault(&e.into()))?;
                } else if !if_exists {
                    return Err(self
                        .engine
                        .missing_table(self.database(job, table), &table.table, table.at)
                        .await);
                }
                self.text(job, &[], Vec::new()).await
            }
            Command::RepairTable { table } => self.repair(job, table).await,
            Command::Query(_) | Command::Explain(_) | Command::CreateTableAs { .. } => {
                Err(Fault::system("a query is not a catalog command"))
            }
        }
    }

    async fn partition_values(
        &self,
        job: &Job,
        table: &TableName,
    ) -> Result<Vec<Vec<String>>, Fault> {
        let mut pages = self
            .backends
            .glue
            .get_partitions()
            .database_name(self.database(job, table))
            .table_name(&table.table)
            .exclude_column_schema(true)
            .into_paginator()
            .send();
        let mut values = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| catalog_fault(&e.into()))?;
            values.extend(page.partitions().iter().map(|p| p.values().to_vec()));
        }
        Ok(values)
    }

    /// Adds the partitions that lie as `key=value/` folders below the table.
    async fn repair(&self, job: &Job, table: &TableName) -> Result<Outcome, Fault> {
        let found = self.existing(job, table).await?;
        let keys: Vec<&str> = found.partition_keys().iter().map(|k| k.name()).collect();
        let storage = found.storage_descriptor();
        let location = storage
            .and_then(|s| s.location())
            .and_then(Location::parse)
            .ok_or_else(|| Fault::user("HIVE_INVALID_METADATA", "the table has no S3 location"))?;
        let known: std::collections::HashSet<Vec<String>> = self
            .partition_values(job, table)
            .await?
            .into_iter()
            .collect();
        let mut there = std::collections::BTreeMap::new();
        for object in data_objects(&self.backends.s3, &location).await? {
            let below = object
                .key
                .strip_prefix(&location.prefix)
                .unwrap_or_default();
            let folders: Vec<&str> = below.split('/').take(keys.len()).collect();
            let values: Option<Vec<String>> = keys
                .iter()
                .zip(&folders)
                .map(|(key, folder)| {
                    folder
                        .split_once('=')
                        .filter(|(k, _)| k.eq_ignore_ascii_case(key))
                        .map(|(_, v)| v.to_owned())
                })
                .collect();
            if let Some(values) = values
                && values.len() == keys.len()
                && below.split('/').count() > keys.len()
                && !known.contains(&values)
            {
                there.insert(values, format!("{}/", folders.join("/")));
            }
        }
        let mut added = Vec::new();
        let entries: Vec<_> = there.into_iter().collect();
        for some in entries.chunks(100) {
            let inputs = some
                .iter()
                .map(|(values, folder)| {
                    let mut storage = storage
                        .cloned()
                        .unwrap_or_else(|| StorageDescriptor::builder().build());
                    storage.location = Some(location.uri(folder));
                    PartitionInput::builder()
                        .set_values(Some(values.clone()))
                        .storage_descriptor(storage)
                        .build()
                })
                .collect();
            self.backends
                .glue
                .batch_create_partition()
                .database_name(self.database(job, table))
                .table_name(&table.table)
                .set_partition_input_list(Some(inputs))
                .send()
                .await
                .map_err(|e| catalog_fault(&e.into()))?;
            added.extend(some.iter().map(|(_, folder)| {
                format!(
                    "Repair: Added partition to metastore {}:{}",
                    table.table,
                    folder.trim_end_matches('/')
                )
            }));
        }
        self.text(job, &[], added).await
    }
}

fn catalog_fault(error: &aws_sdk_glue::Error) -> Fault {
    Fault::user("FAILED", sentence(error))
}

fn schema_fault(database: &str, error: &aws_sdk_glue::Error) -> Fault {
    match error {
        aws_sdk_glue::Error::EntityNotFoundException(_) => Fault::user(
            "SCHEMA_NOT_FOUND",
            format!("Schema '{database}' does not exist"),
        ),
        other => catalog_fault(other),
    }
}

fn columns_of(table: &aws_sdk_glue::types::Table) -> Vec<&Column> {
    table
        .storage_descriptor()
        .map(|s| s.columns())
        .unwrap_or_default()
        .iter()
        .chain(table.partition_keys())
        .collect()
}

/// DESCRIBE's lines: name, type and comment, padded, apart by tabs; then the
/// partition keys once more.
fn describe(table: &aws_sdk_glue::types::Table) -> Vec<String> {
    let line = |c: &Column| {
        format!(
            "{:<20}\t{:<20}\t{:<20}",
            c.name(),
            c.r#type().unwrap_or("string"),
            c.comment().unwrap_or_default()
        )
    };
    let mut lines: Vec<String> = columns_of(table).into_iter().map(line).collect();
    if !table.partition_keys().is_empty() {
        lines.push("\t \t ".to_owned());
        lines.push("# Partition Information\t \t ".to_owned());
        lines.push(format!(
            "{:<20}\t{:<20}\t{:<20}",
            "# col_name", "data_type", "comment"
        ));
        lines.push("\t \t ".to_owned());
        lines.extend(table.partition_keys().iter().map(line));
    }
    lines
}

/// Hive's patterns of SHOW: `*` is anything, `|` is or.
fn hive_like(pattern: Option<&str>, name: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    pattern.split('|').any(|one| {
        let source = one
            .split(['*', '%'])
            .map(regex::escape)
            .collect::<Vec<_>>()
            .join(".*");
        regex::Regex::new(&format!("^(?i:{source})$")).is_ok_and(|r| r.is_match(name))
    })
}

/// The properties of CTAS.
#[derive(Debug)]
struct TableOptions {
    location: Option<Location>,
    compression: Compression,
}

impl TableOptions {
    fn new(properties: &[Property]) -> Result<Self, Fault> {
        let mut options = Self {
            location: None,
            compression: Compression::GZIP(Default::default()),
        };
        for (name, values) in properties {
            let value = values.first().map(String::as_str).unwrap_or_default();
            match name.as_str() {
                "format" if value.eq_ignore_ascii_case("parquet") => {}
                "format" => return Err(Fault::unsupported(format!("CTAS with format {value}"))),
                "table_type" if value.eq_ignore_ascii_case("hive") => {}
                "external_location" => {
                    options.location = Some(Location::parse(value).ok_or_else(|| {
                        Fault::user(
                            "INVALID_TABLE_PROPERTY",
                            format!("External location must be s3://bucket/prefix/, not {value}"),
                        )
                    })?);
                }
                "write_compression" | "parquet_compression" => {
                    options.compression = match value.to_uppercase().as_str() {
                        "GZIP" => Compression::GZIP(Default::default()),
                        "SNAPPY" => Compression::SNAPPY,
                        "ZSTD" => Compression::ZSTD(Default::default()),
                        "NONE" | "UNCOMPRESSED" => Compression::UNCOMPRESSED,
                        other => {
                            return Err(Fault::unsupported(format!(
                                "the Parquet compression {other}"
                            )));
                        }
                    };
                }
                other => {
                    return Err(Fault::unsupported(format!("the table property {other}")));
                }
            }
        }
        Ok(options)
    }
}

/// Names and Glue types of the columns of a new table.
fn table_columns(
    columns: &[ColumnInfo],
    schema: &arrow::datatypes::Schema,
) -> Result<Vec<(String, String)>, Fault> {
    let mut seen = std::collections::HashSet::new();
    columns
        .iter()
        .zip(schema.fields())
        .enumerate()
        .map(|(i, (column, field))| {
            if column.name == format!("_col{i}") {
                return Err(Fault::user(
                    "MISSING_COLUMN_NAME",
                    format!("Column name not specified at position {}", i + 1),
                ));
            }
            let name = column.name.to_lowercase();
            if !seen.insert(name.clone()) {
                return Err(Fault::user(
                    "DUPLICATE_COLUMN_NAME",
                    format!("Column name '{name}' specified more than once"),
                ));
            }
            if field.data_type().is_null() {
                return Err(Fault::user(
                    "COLUMN_TYPE_UNKNOWN",
                    format!("Column type is unknown: {name}"),
                ));
            }
            Ok((name, to_glue(field.data_type())?))
        })
        .collect()
}

/// Streams a query into one Parquet file; returns its rows.
async fn write_parquet(
    planned: &super::engine::Planned,
    columns: &[(String, String)],
    compression: Compression,
    upload: &mut Upload,
) -> Result<u64, Fault> {
    let schema = Arc::new(arrow::datatypes::Schema::new(
        planned
            .schema()
            .fields()
            .iter()
            .zip(columns)
            .map(|(field, (name, _))| field.as_ref().clone().with_name(name))
            .collect::<Vec<_>>(),
    ));
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(128 * 1024))
        .build();
    let buffer = SharedBuffer::default();
    let mut writer = ArrowWriter::try_new(buffer.clone(), Arc::clone(&schema), Some(properties))
        .map_err(Fault::system)?;
    let mut rows = 0;
    let mut batches = planned.execute()?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        let batch = batch
            .with_schema(Arc::clone(&schema))
            .map_err(Fault::system)?;
        writer.write(&batch).map_err(Fault::system)?;
        upload.write(&buffer.take()).await?;
    }
    writer.close().map_err(Fault::system)?;
    upload.write(&buffer.take()).await?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};

    #[test]
    fn hive_patterns_take_stars_and_bars() {
        for (pattern, name, fits) in [
            (None, "ticks", true),
            (Some("tick*"), "ticks", true),
            (Some("bars|tick*"), "ticks", true),
            (Some("tick"), "ticks", false),
            (Some("*.*"), "ticks", false),
        ] {
            assert_eq!(hive_like(pattern, name), fits, "{pattern:?}");
        }
    }

    #[test]
    fn ctas_refuses_properties_by_name() {
        let one = |name: &str, value: &str| {
            TableOptions::new(&[(name.to_owned(), vec![value.to_owned()])])
        };
        assert!(one("format", "PARQUET").is_ok());
        assert!(one("external_location", "s3://b/x/").is_ok());
        assert_eq!(
            one("format", "ORC").unwrap_err().message,
            "NOT_SUPPORTED: CTAS with format ORC is not supported by the local Athena"
        );
        assert!(
            one("partitioned_by", "dt")
                .unwrap_err()
                .message
                .contains("partitioned_by")
        );
    }

    #[test]
    fn columns_of_a_new_table_need_names_and_types() {
        let check = |name: &str, of: DataType| {
            let schema = Schema::new(vec![Field::new("x", of.clone(), true)]);
            table_columns(&[ColumnInfo::new(name, &of)], &schema)
        };
        assert_eq!(
            check("Price", DataType::Decimal128(18, 9)).unwrap(),
            [("price".to_owned(), "decimal(18,9)".to_owned())]
        );
        assert!(
            check("_col0", DataType::Int32)
                .unwrap_err()
                .message
                .starts_with("MISSING_COLUMN_NAME")
        );
        assert!(
            check("x", DataType::Null)
                .unwrap_err()
                .message
                .starts_with("COLUMN_TYPE_UNKNOWN")
        );
    }
}
