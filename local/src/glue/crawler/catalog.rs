//! What a crawl writes into the catalog: tables and partitions, under the
//! crawler's policies.
//!
//! Tables and partitions that are missing are always added. What is there
//! changes only as `SchemaChangePolicy` and `Configuration` say; parameters that
//! no crawler writes stay as they are.

use std::collections::{BTreeMap, HashSet};

use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::configuration::{Definition, DeleteBehavior, S3Target, UpdateBehavior};
use super::descriptor::{
    Parameters, columns, keys_of, location_of, merged, parameters_of, place, storage, with_new,
};
use super::folders::{self, Folders, Table};
use super::infer::Found;
use super::schema::Schema;
use crate::aws_json::AwsError;
use crate::glue::store::Store;
use crate::glue::{databases, tables};

/// Table and partition parameter that names the crawler which wrote them.
pub(super) const UPDATED_BY: &str = "UPDATED_BY_CRAWLER";
/// Table parameter of a table whose files are gone.
const DEPRECATED_BY: &str = "DEPRECATED_BY_CRAWLER";

/// What a crawl changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) tables_created: u64,
    pub(super) tables_updated: u64,
    pub(super) tables_deleted: u64,
    pub(super) partitions_created: u64,
    pub(super) partitions_updated: u64,
    pub(super) partitions_deleted: u64,
}

/// A folder of files as a partition.
pub(super) struct Folder {
    pub(super) location: String,
    pub(super) schema: Option<Schema>,
    pub(super) files: usize,
    pub(super) bytes: u64,
}

/// Writes what a crawl found.
pub(super) struct Writer<'a> {
    pub(super) store: &'a Store,
    pub(super) definition: &'a Definition,
    pub(super) counts: Counts,
}

impl<'a> Writer<'a> {
    pub(super) fn new(store: &'a Store, definition: &'a Definition) -> Self {
        Self {
            store,
            definition,
            counts: Counts::default(),
        }
    }

    /// Writes the tables of a target, and judges those of an earlier crawl whose
    /// files are gone.
    pub(super) fn target(&mut self, target: &S3Target, found: &[Table]) -> Result<(), AwsError> {
        let database = &self.definition.database;
        databases::get(self.store, &json!({"Name": database}))?;
        let root = format!("s3://{}/{}", target.bucket, target.prefix);
        let mut written = Vec::new();
        for table in found {
            let slash = if table.is_file || table.path.is_empty() {
                ""
            } else {
                "/"
            };
            let location = format!("{root}{}{slash}", table.path.join("/"));
            let folder = table.path.last().map_or(target.folder(), String::as_str);
            let name = self.name_at(
                &folders::table_name(&self.definition.table_prefix, folder),
                &location,
            )?;
            self.table(&name, &location, table)?;
            let folders = table.partitions.iter().map(|partition| {
                let folder = Folder {
                    location: format!("{root}{}/", partition.path.join("/")),
                    schema: Some(partition.schema.clone()),
                    files: partition.files,
                    bytes: partition.bytes,
                };
                (partition.values.clone(), folder)
            });
            if !table.keys.is_empty() {
                self.partitions(database, &name, folders.collect())?;
            }
            written.push(name);
        }
        self.gone(&root, &written)
    }

    /// Brings an existing table up to date with the folders below its location.
    pub(super) fn existing(
        &mut self,
        database: &str,
        name: &str,
        found: &Folders,
    ) -> Result<(), AwsError> {
        let table = self
            .read(database, name)?
            .ok_or_else(|| tables::missing(name))?;
        let merged = merged(found);
        let (files, bytes) = found
            .values()
            .flatten()
            .fold((0, 0), |(files, bytes), file| {
                (files + 1, bytes + file.bytes)
            });
        if let Some(merged) = &merged {
            self.update(database, &table, merged, files, bytes)?;
        }
        let keys = keys_of(&table);
        if keys.is_empty() {
            return Ok(());
        }
        let location = location_of(&table).trim_end_matches('/').to_owned();
        let mut folders: BTreeMap<Vec<String>, Folder> = BTreeMap::new();
        for (path, files) in found {
            let Some(values) = folders::values_of(path, &keys) else {
                tracing::info!(
                    "{location}/{} is no partition of {database}.{name}, whose keys are {}",
                    path.join("/"),
                    keys.join(", ")
                );
                continue;
            };
            let schema = files
                .iter()
                .filter_map(|file| Some(file.found.as_ref()?.schema.clone()))
                .reduce(Schema::merge);
            let folder = folders.entry(values).or_insert_with(|| Folder {
                location: format!("{location}/{}/", path[..keys.len()].join("/")),
                schema: None,
                files: 0,
                bytes: 0,
            });
            folder.files += files.len();
            folder.bytes += files.iter().map(|file| file.bytes).sum::<u64>();
            folder.schema = match (folder.schema.take(), schema) {
                (Some(a), Some(b)) => Some(a.merge(b)),
                (a, b) => a.or(b),
            };
        }
        self.partitions(database, name, folders)
    }

    /// The table that a crawl of a target made at the target's own path.
    fn at_root(&self, target: &S3Target) -> Result<Option<Value>, AwsError> {
        let database = &self.definition.database;
        let name = folders::table_name(&self.definition.table_prefix, target.folder());
        let table = self.read(database, &name)?;
        Ok(table
            .filter(|table| place(table) == Some((target.bucket.clone(), target.prefix.clone()))))
    }

    /// Folders of a target that an earlier crawl has seen: those of partitions.
    pub(super) fn known_folders(&mut self, index: usize) -> Result<HashSet<Vec<String>>, AwsError> {
        let definition = self.definition;
        let target = &definition.s3[index];
        let Some(table) = self.at_root(target)? else {
            return Ok(HashSet::new());
        };
        let root = format!("s3://{}/{}", target.bucket, target.prefix);
        let name = table["Name"].as_str().unwrap_or_default();
        if keys_of(&table).is_empty() {
            return Ok(HashSet::from([Vec::new()]));
        }
        let known = self.known_partitions(&definition.database, name)?;
        Ok(known
            .values()
            .filter_map(|partition| location_of(partition).strip_prefix(&root))
            .map(|below| {
                below
                    .trim_end_matches('/')
                    .split('/')
                    .map(str::to_owned)
                    .collect()
            })
            .collect())
    }

    /// Adds new folders of a target to the table that an earlier crawl made of
    /// it; `false` where there is none, or where nothing was found that is new.
    pub(super) fn extends(&mut self, target: &S3Target, found: &Folders) -> Result<bool, AwsError> {
        let Some(table) = self.at_root(target)? else {
            return Ok(found.is_empty());
        };
        let definition = self.definition;
        let name = table["Name"].as_str().unwrap_or_default();
        self.existing(&definition.database, name, found)?;
        Ok(true)
    }

    pub(super) fn read(&self, database: &str, name: &str) -> Result<Option<Value>, AwsError> {
        match tables::get(self.store, &json!({"DatabaseName": database, "Name": name})) {
            Ok(mut found) => Ok(Some(found["Table"].take())),
            Err(e) if e.code == "EntityNotFoundException" => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// `name`, or where a table of another place has it, `name` with a hash of
    /// the place.
    fn name_at(&self, name: &str, location: &str) -> Result<String, AwsError> {
        let place = |location: &str| location.trim_end_matches('/').to_owned();
        Ok(match self.read(&self.definition.database, name)? {
            Some(table) if place(location_of(&table)) != place(location) => {
                format!("{name}_{}", hex::encode(Md5::digest(location)))
            }
            _ => name.to_owned(),
        })
    }

    fn table(&mut self, name: &str, location: &str, table: &Table) -> Result<(), AwsError> {
        let database = &self.definition.database;
        if let Some(known) = self.read(database, name)? {
            if keys_of(&known) != table.keys {
                tracing::info!(
                    "{database}.{name} has other partition keys than {location} now shows; they stay"
                );
            }
            return self.update(database, &known, &table.found, table.files, table.bytes);
        }
        let mut parameters = parameters_of(&table.found);
        self.measure(&mut parameters, table.files, table.bytes);
        let keys: Vec<Value> = table
            .keys
            .iter()
            .map(|key| json!({"Name": key, "Type": "string"}))
            .collect();
        let mut storage = storage(&table.found);
        storage["Columns"] = columns(&table.found.schema);
        storage["Location"] = json!(location);
        storage["Parameters"] = json!(parameters);
        let input = json!({
            "Name": name,
            "Owner": "owner",
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": storage,
            "PartitionKeys": keys,
            "Parameters": parameters,
        });
        tables::create(
            self.store,
            &json!({"DatabaseName": database, "TableInput": input}),
        )?;
        self.counts.tables_created += 1;
        Ok(())
    }

    /// Changes a table as far as the crawler's policy allows.
    fn update(
        &mut self,
        database: &str,
        known: &Value,
        found: &Found,
        files: usize,
        bytes: u64,
    ) -> Result<(), AwsError> {
        let name = known["Name"].as_str().unwrap_or_default();
        let before = known["StorageDescriptor"].clone();
        let mut after = before.clone();
        let reads_otherwise = known["Parameters"]["classification"]
            .as_str()
            .is_some_and(|known| known != found.format.classification());
        if reads_otherwise && !self.definition.merge_new_columns {
            for (key, value) in storage(found).as_object().into_iter().flatten() {
                after[key] = value.clone();
            }
        }
        after["Columns"] = if self.definition.merge_new_columns {
            with_new(&before["Columns"], &found.schema)
        } else {
            columns(&found.schema)
        };
        if self.definition.update == UpdateBehavior::Log {
            if after != before {
                tracing::info!(
                    "the files of {database}.{name} differ from its columns, which stay: UpdateBehavior is LOG"
                );
            }
            return Ok(());
        }
        let mut parameters = known["Parameters"].as_object().cloned().unwrap_or_default();
        if reads_otherwise && !self.definition.merge_new_columns {
            parameters.extend(parameters_of(found));
        }
        self.measure(&mut parameters, files, bytes);
        parameters.remove(DEPRECATED_BY);
        let changed = after != before;
        let parameters = Value::Object(parameters);
        if !changed && known["Parameters"] == parameters {
            return Ok(());
        }
        let mut input = known.clone();
        input["StorageDescriptor"] = after;
        input["Parameters"] = parameters;
        let update = json!({
            "DatabaseName": database,
            "TableInput": input,
            // Whoever changed the table meanwhile wins.
            "VersionId": known["VersionId"],
            "SkipArchive": !changed,
        });
        tables::update(self.store, &update)?;
        self.counts.tables_updated += u64::from(changed);
        Ok(())
    }

    /// Judges the tables below `root` that this crawler made and whose files are
    /// gone.
    fn gone(&mut self, root: &str, written: &[String]) -> Result<(), AwsError> {
        let database = &self.definition.database;
        let mut next = Value::Null;
        let mut gone = Vec::new();
        loop {
            let mut page = tables::list(
                self.store,
                &json!({"DatabaseName": database, "NextToken": next}),
            )?;
            for table in page["TableList"].as_array().into_iter().flatten() {
                let ours = table["Parameters"][UPDATED_BY].as_str() == Some(&self.definition.name);
                let name = table["Name"].as_str().unwrap_or_default();
                let location = table["StorageDescriptor"]["Location"]
                    .as_str()
                    .unwrap_or_default();
                if ours && location.starts_with(root) && !written.iter().any(|known| known == name)
                {
                    gone.push(table.clone());
                }
            }
            next = page["NextToken"].take();
            if next.is_null() {
                break;
            }
        }
        for mut table in gone {
            let name = table["Name"].clone();
            match self.definition.delete {
                DeleteBehavior::Log => {
                    tracing::info!("table {database}.{name} has no files; it stays");
                }
                DeleteBehavior::Delete => {
                    tables::delete(self.store, &json!({"DatabaseName": database, "Name": name}))?;
                    self.counts.tables_deleted += 1;
                }
                DeleteBehavior::Deprecate => {
                    if !table["Parameters"][DEPRECATED_BY].is_null() {
                        continue;
                    }
                    let now = jiff::Timestamp::now().as_millisecond().to_string();
                    table["Parameters"][DEPRECATED_BY] = json!(now);
                    let update = json!({"DatabaseName": database, "TableInput": table});
                    tables::update(self.store, &update)?;
                    self.counts.tables_updated += 1;
                }
            }
        }
        Ok(())
    }

    /// Parameters that say who crawled, and how much there was.
    pub(super) fn measure(&self, parameters: &mut Parameters, files: usize, bytes: u64) {
        parameters.insert(UPDATED_BY.to_owned(), json!(self.definition.name));
        parameters.insert("objectCount".to_owned(), json!(files.to_string()));
        parameters.insert("sizeKey".to_owned(), json!(bytes.to_string()));
    }
}
