//! A Glue table as DataFusion scans it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Field, Fields, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::Result as DfResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::union::UnionExec;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;

use super::columns::CheckedColumns;
use super::fault::Fault;
use super::objects::{Buckets, DataObject, Location, data_objects, meta, sentence};
use super::pruning;
use super::serde_format::Format;
use super::text::{TextFile, TextScan};
use super::types;

/// How many partitions are listed one by one; more are found in one listing
/// of what they have in common.
const LISTED_ONE_BY_ONE: usize = 16;

/// How many listings run at once.
const LISTINGS_AT_ONCE: usize = 8;

/// A table of the Glue catalog, read-only.
#[derive(Debug)]
pub(super) struct GlueTable {
    /// `database.table`.
    name: (String, String),
    /// Columns of the files, then partition keys.
    schema: SchemaRef,
    columns: SchemaRef,
    keys: SchemaRef,
    location: Location,
    format: Format,
    glue: aws_sdk_glue::Client,
    s3: aws_sdk_s3::Client,
    buckets: Arc<Buckets>,
}

/// What a table needs to be read.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) glue: aws_sdk_glue::Client,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) buckets: Arc<Buckets>,
}

/// The columns of a Glue list, with Arrow's types.
fn fields(columns: &[aws_sdk_glue::types::Column]) -> Result<Fields, Fault> {
    columns
        .iter()
        .map(|c| {
            let of = types::from_glue(c.r#type().unwrap_or("string"))?;
            Ok(Field::new(c.name().to_lowercase(), of, true))
        })
        .collect()
}

impl GlueTable {
    /// Reads the table's description.
    ///
    /// # Errors
    /// When the table is a view, or of a type or format that this engine does
    /// not read.
    pub(super) fn new(table: &aws_sdk_glue::types::Table, reader: &Reader) -> Result<Self, Fault> {
        let name = (
            table.database_name().unwrap_or_default().to_owned(),
            table.name().to_owned(),
        );
        let shown = format!("{}.{}", name.0, name.1);
        if table.table_type() == Some("VIRTUAL_VIEW") {
            return Err(Fault::unsupported(format!("the view {shown}")));
        }
        let empty = HashMap::new();
        let parameters = table.parameters().unwrap_or(&empty);
        if parameters
            .get("projection.enabled")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"))
        {
            return Err(Fault::unsupported(format!(
                "partition projection ({shown})"
            )));
        }
        if let Some(of) = parameters.get("table_type") {
            return Err(Fault::unsupported(format!("the table type {of} ({shown})")));
        }
        let storage = table.storage_descriptor().ok_or_else(|| {
            Fault::user(
                "HIVE_INVALID_METADATA",
                format!("Table {shown} has no StorageDescriptor"),
            )
        })?;
        let uri = storage.location().unwrap_or_default();
        let location = Location::parse(uri).ok_or_else(|| {
            Fault::user(
                "HIVE_INVALID_METADATA",
                format!("Table {shown} has the Location {uri:?}, which is not s3://bucket/prefix/"),
            )
        })?;
        let columns = Arc::new(Schema::new(fields(storage.columns())?));
        let keys = Arc::new(Schema::new(fields(table.partition_keys())?));
        let schema = Arc::new(Schema::new(
            columns
                .fields()
                .iter()
                .chain(keys.fields())
                .cloned()
                .collect::<Fields>(),
        ));
        Ok(Self {
            format: Format::of(storage, parameters, &shown)?,
            name,
            schema,
            columns,
            keys,
            location,
            glue: reader.glue.clone(),
            s3: reader.s3.clone(),
            buckets: Arc::clone(&reader.buckets),
        })
    }

    /// The partitions that the filters leave: location and values.
    async fn partitions(
        &self,
        session: &dyn Session,
        filters: &[Expr],
    ) -> DfResult<Vec<(Location, Vec<ScalarValue>)>> {
        if self.keys.fields().is_empty() {
            return Ok(vec![(self.location.clone(), Vec::new())]);
        }
        let mut pages = self
            .glue
            .get_partitions()
            .database_name(&self.name.0)
            .table_name(&self.name.1)
            .set_expression(pruning::glue_expression(filters, &self.keys))
            .exclude_column_schema(true)
            .into_paginator()
            .send();
        let mut locations = Vec::new();
        let mut values = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| {
                let error: aws_sdk_glue::Error = e.into();
                Fault::system(format!(
                    "the partitions of {}.{} could not be read: {}",
                    self.name.0,
                    self.name.1,
                    sentence(&error)
                ))
            })?;
            for partition in page.partitions() {
                let uri = partition
                    .storage_descriptor()
                    .and_then(|s| s.location())
                    .unwrap_or_default();
                let location = Location::parse(uri).ok_or_else(|| {
                    Fault::user(
                        "HIVE_INVALID_METADATA",
                        format!(
                            "Partition {:?} of {}.{} has the Location {uri:?}",
                            partition.values(),
                            self.name.0,
                            self.name.1
                        ),
                    )
                })?;
                locations.push(location);
                values.push(partition.values().to_vec());
            }
        }
        let typed = pruning::typed(&values, &self.keys)?;
        let kept = pruning::fulfilled(&typed, filters, session)?;
        locations
            .into_iter()
            .enumerate()
            .filter(|(row, _)| kept[*row])
            .map(|(row, location)| {
                let values = typed
                    .columns()
                    .iter()
                    .map(|c| ScalarValue::try_from_array(c, row))
                    .collect::<DfResult<Vec<_>>>()?;
                Ok((location, values))
            })
            .collect()
    }

    /// The files of these partitions, by bucket.
    async fn files(
        &self,
        partitions: Vec<(Location, Vec<ScalarValue>)>,
    ) -> DfResult<BTreeMap<String, Vec<ScanFile>>> {
        let found: Vec<(usize, Vec<DataObject>)> = match common_prefix(&partitions) {
            Some(common) if partitions.len() > LISTED_ONE_BY_ONE => {
                by_partition(data_objects(&self.s3, &common).await?, &partitions)
            }
            _ => {
                let locations: Vec<Location> = partitions
                    .iter()
                    .map(|(location, _)| location.clone())
                    .collect();
                let listings = locations.into_iter().enumerate().map(|(i, location)| {
                    let s3 = self.s3.clone();
                    async move { data_objects(&s3, &location).await.map(|o| (i, o)) }
                });
                futures::stream::iter(listings)
                    .buffered(LISTINGS_AT_ONCE)
                    .try_collect()
                    .await?
            }
        };
        let mut files: BTreeMap<String, Vec<ScanFile>> = BTreeMap::new();
        for (i, objects) in found {
            let (location, values) = &partitions[i];
            let of_bucket = files.entry(location.bucket.clone()).or_default();
            of_bucket.extend(objects.into_iter().map(|object| ScanFile {
                object,
                values: values.clone(),
            }));
        }
        Ok(files)
    }

    fn parquet(
        &self,
        bucket: &str,
        files: Vec<ScanFile>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        groups: usize,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let schema = TableSchema::builder(Arc::clone(&self.columns))
            .with_table_partition_cols(self.keys.fields().iter().cloned().collect::<Vec<_>>())
            .build();
        let url = ObjectStoreUrl::parse(format!("s3://{bucket}"))?;
        let mut config = FileScanConfigBuilder::new(url, Arc::new(ParquetSource::new(schema)))
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(CheckedColumns {
                bucket: bucket.to_owned(),
            })))
            .with_projection_indices(projection.cloned())?;
        for group in spread(files, groups) {
            let files = group
                .into_iter()
                .map(|file| {
                    let path = Path::parse(&file.object.key).map_err(|_| bad_key(bucket, &file))?;
                    Ok(
                        PartitionedFile::new_from_meta(meta(path, file.object.size, None))
                            .with_partition_values(file.values),
                    )
                })
                .collect::<DfResult<Vec<_>>>()?;
            config = config.with_file_group(FileGroup::new(files));
        }
        Ok(DataSourceExec::from_data_source(config.build()))
    }

    fn text(
        &self,
        bucket: &str,
        files: Vec<ScanFile>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        groups: usize,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(wanted)?);
        let streams = spread(files, groups)
            .into_iter()
            .map(|group| {
                let files = group
                    .into_iter()
                    .map(|file| {
                        let path =
                            Path::parse(&file.object.key).map_err(|_| bad_key(bucket, &file))?;
                        Ok(TextFile {
                            path,
                            uri: format!("s3://{bucket}/{}", file.object.key),
                            values: file.values,
                        })
                    })
                    .collect::<DfResult<Vec<_>>>()?;
                Ok(TextScan::partition(
                    Arc::clone(&schema),
                    Arc::clone(&self.columns),
                    wanted.clone(),
                    self.format.clone(),
                    self.buckets.bucket(bucket),
                    files,
                ))
            })
            .collect::<DfResult<Vec<_>>>()?;
        Ok(Arc::new(StreamingTableExec::try_new(
            schema, streams, None, None, false, limit,
        )?))
    }
}

/// A file to scan, with the values of its partition.
#[derive(Clone, Debug)]
struct ScanFile {
    object: DataObject,
    values: Vec<ScalarValue>,
}

fn bad_key(bucket: &str, file: &ScanFile) -> Fault {
    Fault::unsupported(format!("the object key s3://{bucket}/{}", file.object.key))
}

/// Deals the files into at most `groups` groups of like sizes, keeping the
/// order inside a group.
fn spread(files: Vec<ScanFile>, groups: usize) -> Vec<Vec<ScanFile>> {
    let count = groups.clamp(1, files.len().max(1));
    let mut dealt: Vec<(u64, Vec<ScanFile>)> = vec![(0, Vec::new()); count];
    for file in files {
        let least = dealt
            .iter_mut()
            .min_by_key(|(bytes, _)| *bytes)
            .expect("there is at least one group");
        least.0 += file.object.size;
        least.1.push(file);
    }
    dealt.into_iter().map(|(_, files)| files).collect()
}

/// The longest prefix that all partitions of one bucket have in common, up to
/// a slash.
fn common_prefix(partitions: &[(Location, Vec<ScalarValue>)]) -> Option<Location> {
    let (first, rest) = partitions.split_first()?;
    let mut prefix = first.0.prefix.as_str();
    for (location, _) in rest {
        if location.bucket != first.0.bucket {
            return None;
        }
        let same = prefix
            .bytes()
            .zip(location.prefix.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        // Cut before the difference, then back to a slash: both are ASCII safe.
        let end = prefix.as_bytes()[..same]
            .iter()
            .rposition(|b| *b == b'/')
            .map_or(0, |at| at + 1);
        prefix = &prefix[..end];
    }
    Some(Location {
        bucket: first.0.bucket.clone(),
        prefix: prefix.to_owned(),
    })
}

/// Gives each object to the partition whose location is nearest above it.
fn by_partition(
    objects: Vec<DataObject>,
    partitions: &[(Location, Vec<ScalarValue>)],
) -> Vec<(usize, Vec<DataObject>)> {
    let mut of_prefix: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, (location, _)) in partitions.iter().enumerate() {
        of_prefix.entry(&location.prefix).or_default().push(i);
    }
    let mut found: BTreeMap<usize, Vec<DataObject>> = BTreeMap::new();
    for object in objects {
        let mut end = object.key.len();
        while let Some(slash) = object.key[..end].rfind('/') {
            if let Some(of) = of_prefix.get(&object.key[..=slash]) {
                for i in of {
                    found.entry(*i).or_default().push(object.clone());
                }
            }
            end = slash;
        }
    }
    found.into_iter().collect()
}

#[async_trait]
impl TableProvider for GlueTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                if pruning::decides(filter, &self.keys) {
                    TableProviderFilterPushDown::Exact
                } else {
                    // Parquet's row groups are pruned by the filter above.
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let partitions = self.partitions(session, filters).await?;
        let files = self.files(partitions).await?;
        let groups = session.config().target_partitions();
        let mut scans = files
            .into_iter()
            .filter(|(_, files)| !files.is_empty())
            .map(|(bucket, files)| match self.format {
                Format::Parquet => self.parquet(&bucket, files, projection, limit, groups),
                _ => self.text(&bucket, files, projection, limit, groups),
            })
            .collect::<DfResult<Vec<_>>>()?;
        match scans.len() {
            0 => {
                let schema = match projection {
                    Some(indices) => Arc::new(self.schema.project(indices)?),
                    None => Arc::clone(&self.schema),
                };
                Ok(Arc::new(EmptyExec::new(schema)))
            }
            1 => Ok(scans.remove(0)),
            _ => UnionExec::try_new(scans),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(uri: &str) -> (Location, Vec<ScalarValue>) {
        (Location::parse(uri).unwrap(), vec![])
    }

    fn object(key: &str, size: u64) -> DataObject {
        DataObject {
            key: key.into(),
            size,
        }
    }

    #[test]
    fn objects_found_in_one_listing_go_to_their_partitions() {
        let partitions = [
            partition("s3://lake/t/dt=2026-11-20/hour=1"),
            partition("s3://lake/t/dt=2026-11-20/hour=10"),
        ];
        let common = common_prefix(&partitions).unwrap();
        assert_eq!(common.prefix, "t/dt=2026-11-20/");
        let objects = vec![
            object("t/dt=2026-11-20/hour=1/a.parquet", 1),
            object("t/dt=2026-11-20/hour=10/b.parquet", 1),
            object("t/dt=2026-11-20/hour=10/deep/c.parquet", 1),
            object("t/dt=2026-11-20/hour=2/other.parquet", 1),
        ];
        let found = by_partition(objects, &partitions);
        let keys: Vec<(usize, usize)> = found.iter().map(|(i, o)| (*i, o.len())).collect();
        assert_eq!(keys, [(0, 1), (1, 2)]);
    }

    #[test]
    fn partitions_in_two_buckets_have_nothing_in_common() {
        let partitions = [partition("s3://a/t/x=1"), partition("s3://b/t/x=2")];
        assert_eq!(common_prefix(&partitions), None);
    }

    #[test]
    fn files_are_spread_by_size() {
        let files = [8, 1, 1, 6].map(|size| ScanFile {
            object: object("k", size),
            values: vec![],
        });
        let sizes: Vec<u64> = spread(files.to_vec(), 2)
            .iter()
            .map(|g| g.iter().map(|f| f.object.size).sum())
            .collect();
        assert_eq!(sizes, [8, 8]);
        assert_eq!(spread(files.to_vec(), 64).len(), 4);
    }
}
