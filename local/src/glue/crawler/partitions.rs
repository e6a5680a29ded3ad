//! What a crawl does to the partitions of a table.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::catalog::{Folder, Writer};
use super::configuration::{DeleteBehavior, UpdateBehavior};
use super::descriptor::{Parameters, columns, keys_of, location_of, with_new};
use crate::aws_json::AwsError;
use crate::glue::{partitions, tables};

/// Partitions of one request.
const BATCH: usize = 100;
/// Partitions that one request deletes.
const DELETE_BATCH: usize = 25;

impl Writer<'_> {
    /// Adds the partitions that the catalog lacks, and treats the others as the
    /// policy says.
    pub(super) fn partitions(
        &mut self,
        database: &str,
        name: &str,
        found: BTreeMap<Vec<String>, Folder>,
    ) -> Result<(), AwsError> {
        let table = self
            .read(database, name)?
            .ok_or_else(|| tables::missing(name))?;
        let keys = keys_of(&table).len();
        let known = self.known_partitions(database, name)?;
        let of = json!({"DatabaseName": database, "TableName": name});
        let mut missing = Vec::new();
        for (values, folder) in &found {
            if values.len() != keys {
                continue;
            }
            match known.get(values) {
                None => missing.push(self.partition(values, folder, &table)),
                Some(known) => self.refresh(&of, values, folder, known, &table)?,
            }
        }
        for batch in missing.chunks(BATCH) {
            let mut request = of.clone();
            request["PartitionInputList"] = json!(batch);
            let answer = partitions::batch_create(self.store, &request)?;
            // What somebody else added meanwhile is there.
            let refused = answer["Errors"].as_array().map_or(0, Vec::len);
            self.counts.partitions_created += (batch.len() - refused) as u64;
        }
        let root = format!("{}/", location_of(&table).trim_end_matches('/'));
        let gone: Vec<&Vec<String>> = known
            .iter()
            .filter(|(values, known)| {
                !found.contains_key(*values) && location_of(known).starts_with(&root)
            })
            .map(|(values, _)| values)
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        if self.definition.delete != DeleteBehavior::Delete {
            tracing::info!(
                "{} partitions of {database}.{name} have no files; they stay",
                gone.len()
            );
            return Ok(());
        }
        for batch in gone.chunks(DELETE_BATCH) {
            let mut request = of.clone();
            request["PartitionsToDelete"] = batch
                .iter()
                .map(|values| json!({"Values": values}))
                .collect();
            partitions::batch_delete(self.store, &request)?;
            self.counts.partitions_deleted += batch.len() as u64;
        }
        Ok(())
    }

    pub(super) fn known_partitions(
        &self,
        database: &str,
        name: &str,
    ) -> Result<BTreeMap<Vec<String>, Value>, AwsError> {
        let mut known = BTreeMap::new();
        let mut next = Value::Null;
        loop {
            let mut page = partitions::list(
                self.store,
                &json!({"DatabaseName": database, "TableName": name, "NextToken": next}),
            )?;
            let Value::Array(list) = page["Partitions"].take() else {
                return Ok(known);
            };
            for partition in list {
                let values = partition["Values"].as_array().into_iter().flatten();
                let values = values.filter_map(Value::as_str).map(str::to_owned);
                known.insert(values.collect(), partition);
            }
            next = page["NextToken"].take();
            if next.is_null() {
                return Ok(known);
            }
        }
    }

    /// A partition that the catalog lacks.
    fn partition(&self, values: &[String], folder: &Folder, table: &Value) -> Value {
        let mut storage = table["StorageDescriptor"].clone();
        storage["Location"] = json!(folder.location);
        if let (false, Some(schema)) = (self.definition.inherit_from_table, &folder.schema) {
            storage["Columns"] = columns(schema);
        }
        let mut parameters = Parameters::new();
        if let Some(classification) = table["Parameters"].get("classification") {
            parameters.insert("classification".into(), classification.clone());
        }
        self.measure(&mut parameters, folder.files, folder.bytes);
        json!({"Values": values, "StorageDescriptor": storage, "Parameters": parameters})
    }

    /// Brings a partition up to date; its place and what nobody of us wrote stay.
    fn refresh(
        &mut self,
        of: &Value,
        values: &[String],
        folder: &Folder,
        known: &Value,
        table: &Value,
    ) -> Result<(), AwsError> {
        let before = known["StorageDescriptor"].clone();
        let mut after = before.clone();
        if self.definition.inherit_from_table {
            for field in ["Columns", "InputFormat", "OutputFormat", "SerdeInfo"] {
                if let Some(value) = table["StorageDescriptor"].get(field) {
                    after[field] = value.clone();
                }
            }
        } else if let (UpdateBehavior::Update, Some(schema)) =
            (self.definition.update, &folder.schema)
        {
            after["Columns"] = if self.definition.merge_new_columns {
                with_new(&before["Columns"], schema)
            } else {
                columns(schema)
            };
        }
        if after == before {
            return Ok(());
        }
        let mut request = of.clone();
        request["PartitionValueList"] = json!(values);
        request["PartitionInput"] = known.clone();
        request["PartitionInput"]["StorageDescriptor"] = after;
        partitions::update(self.store, &request)?;
        self.counts.partitions_updated += 1;
        Ok(())
    }
}
