//! Partitions, found by their values or by an expression over the keys.

use redb::{ReadableTable, Table, WriteTransaction};
use serde_json::{Map, Value, json};

use super::CATALOG_ID;
use super::expression::{KeyType, PartitionFilter};
use super::input::{invalid, list as entries, name, not_found, page, record, texts, token};
use super::store::{PARTITIONS, Store, TABLES, broken, decode, encode, now};
use super::tables;
use crate::aws_json::AwsError;

/// Joins the values of a partition into its key; no value may hold it.
const SEPARATOR: char = '\u{1}';

const KEPT: &[&str] = &[
    "LastAccessTime",
    "StorageDescriptor",
    "Parameters",
    "LastAnalyzedTime",
];

type Partitions<'t> = Table<'t, (&'static str, &'static str, &'static str), &'static [u8]>;

fn missing(values: &[String]) -> AwsError {
    not_found(format!(
        "Cannot find partition with values [{}].",
        values.join(", ")
    ))
}

fn exists() -> AwsError {
    AwsError::client("AlreadyExistsException", "Partition already exists.")
}

/// The table's partition keys: names and types, in order.
fn keys_of(table: &Map<String, Value>) -> Vec<(String, KeyType)> {
    table
        .get("PartitionKeys")
        .and_then(Value::as_array)
        .map(|keys| {
            keys.iter()
                .map(|key| {
                    (
                        key["Name"].as_str().unwrap_or_default().to_owned(),
                        KeyType::of(key["Type"].as_str().unwrap_or("string")),
                    )
                })
                .collect()
        })
        .unwrap_or_default()
}

struct Target {
    database: String,
    table: String,
}

impl Target {
    fn of(body: &Value) -> Result<Self, AwsError> {
        Ok(Self {
            database: name(body, "DatabaseName")?,
            table: name(body, "TableName")?,
        })
    }

    fn table(&self, bytes: Option<&[u8]>) -> Result<Map<String, Value>, AwsError> {
        decode(bytes.ok_or_else(|| tables::missing(&self.table))?)
    }

    fn keys_to_write(&self, txn: &WriteTransaction) -> Result<Vec<(String, KeyType)>, AwsError> {
        let tables = txn.open_table(TABLES).map_err(broken)?;
        let found = tables
            .get((self.database.as_str(), self.table.as_str()))
            .map_err(broken)?;
        Ok(keys_of(&self.table(found.as_ref().map(|f| f.value()))?))
    }
}

/// The key of these values, which must be as many as the table has keys.
fn key_of(values: &[String], keys: &[(String, KeyType)]) -> Result<String, AwsError> {
    if values.len() != keys.len() {
        return Err(invalid(format!(
            "The number of partition keys do not match the number of partition values: {} keys, {} values.",
            keys.len(),
            values.len()
        )));
    }
    if values.iter().any(|v| v.contains(SEPARATOR)) {
        return Err(invalid(
            "A partition value must not hold control characters.",
        ));
    }
    Ok(values.join(&SEPARATOR.to_string()))
}

fn input(
    body: &Value,
    keys: &[(String, KeyType)],
    target: &Target,
) -> Result<(String, Map<String, Value>), AwsError> {
    let given = body.get("PartitionInput").unwrap_or(&Value::Null);
    let mut fields = record(body, "PartitionInput", KEPT)?;
    let values = texts(given, "Values")?;
    let key = key_of(&values, keys)?;
    fields.insert("Values".into(), json!(values));
    fields.insert("DatabaseName".into(), json!(target.database));
    fields.insert("TableName".into(), json!(target.table));
    fields.insert("CatalogId".into(), json!(CATALOG_ID));
    fields.insert("CreationTime".into(), now());
    Ok((key, fields))
}

fn insert_new(
    partitions: &mut Partitions<'_>,
    target: &Target,
    key: &str,
    fields: &Map<String, Value>,
) -> Result<(), AwsError> {
    let at = (target.database.as_str(), target.table.as_str(), key);
    if partitions.get(at).map_err(broken)?.is_some() {
        return Err(exists());
    }
    partitions
        .insert(at, encode(fields).as_slice())
        .map_err(broken)?;
    Ok(())
}

pub(super) fn create(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let target = Target::of(body)?;
    store.write(|txn| {
        let keys = target.keys_to_write(txn)?;
        let (key, fields) = input(body, &keys, &target)?;
        let mut partitions = txn.open_table(PARTITIONS).map_err(broken)?;
        insert_new(&mut partitions, &target, &key, &fields)?;
        Ok(json!({}))
    })
}

/// Creates up to 100 partitions; one that is there is an entry of `Errors`.
pub(super) fn batch_create(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let target = Target::of(body)?;
    let given = entries(body, "PartitionInputList", 100)?;
    store.write(|txn| {
        let keys = target.keys_to_write(txn)?;
        let mut partitions = txn.open_table(PARTITIONS).map_err(broken)?;
        let mut errors = Vec::new();
        for one in given {
            let outcome = input(&json!({"PartitionInput": one}), &keys, &target)
                .and_then(|(key, fields)| insert_new(&mut partitions, &target, &key, &fields));
            if let Err(e) = outcome {
                errors.push(failed(&one["Values"], &e));
            }
        }
        Ok(json!({"Errors": errors}))
    })
}

fn failed(values: &Value, e: &AwsError) -> Value {
    json!({
        "PartitionValues": values,
        "ErrorDetail": {"ErrorCode": e.code, "ErrorMessage": e.message},
    })
}

pub(super) fn get(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let target = Target::of(body)?;
    let values = texts(body, "PartitionValues")?;
    store.read(|txn| {
        let tables = txn.open_table(TABLES).map_err(broken)?;
        let found = tables
            .get((target.database.as_str(), target.table.as_str()))
            .map_err(broken)?;
        let table = target.table(found.as_ref().map(|f| f.value()))?;
        let key = key_of(&values, &keys_of(&table))?;
        let partitions = txn.open_table(PARTITIONS).map_err(broken)?;
        match partitions
            .get((
                target.database.as_str(),
                target.table.as_str(),
                key.as_str(),
            ))
            .map_err(broken)?
        {
            Some(found) => Ok(json!({"Partition": decode(found.value())?})),
            None => Err(missing(&values)),
        }
    })
}

pub(super) fn batch_get(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let target = Target::of(body)?;
    let wanted = entries(body, "PartitionsToGet", 1000)?;
    store.read(|txn| {
        let tables = txn.open_table(TABLES).map_err(broken)?;
        let found = tables
            .get((target.database.as_str(), target.table.as_str()))
            .map_err(broken)?;
        let keys = keys_of(&target.table(found.as_ref().map(|f| f.value()))?);
        let partitions = txn.open_table(PARTITIONS).map_err(broken)?;
        let mut there = Vec::new();
        let mut unprocessed = Vec::new();
        for one in wanted {
            let values = texts(one, "Values")?;
            let key = key_of(&values, &keys)?;
            match partitions
                .get((
                    target.database.as_str(),
                    target.table.as_str(),
                    key.as_str(),
                ))
                .map_err(broken)?
            {
                Some(found) => there.push(Value::Object(decode(found.value())?)),
                None => unprocessed.push(json!({"Values": values})),
            }
        }
        Ok(json!({"Partitions": there, "UnprocessedKeys": unprocessed}))
    })
}

/// Which share of the partitions a `Segment` asks for.
fn segment(body: &Value) -> Result<Option<(u32, u32)>, AwsError> {
    let Some(segment) = body.get("Segment").filter(|s| !s.is_null()) else {
        return Ok(None);
    };
    let number = segment["SegmentNumber"].as_u64();
    let total = segment["TotalSegments"].as_u64();
    match (number, total) {
        (Some(number), Some(total)) if (1..=10).contains(&total) && number < total => {
            Ok(Some((number as u32, total as u32)))
        }
        _ => Err(invalid(
            "Segment needs TotalSegments from 1 to 10 and a SegmentNumber below it.",
        )),
    }
}

/// The partitions whose keys fulfil `Expression`, by pages of at most 1,000.
pub(super) fn list(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let target = Target::of(body)?;
    let page = page(body, 1000)?;
    let segment = segment(body)?;
    let bare = body["ExcludeColumnSchema"].as_bool().unwrap_or(false);
    store.read(|txn| {
        let tables = txn.open_table(TABLES).map_err(broken)?;
        let found = tables
            .get((target.database.as_str(), target.table.as_str()))
            .map_err(broken)?;
        let keys = keys_of(&target.table(found.as_ref().map(|f| f.value()))?);
        let filter = match body.get("Expression").and_then(Value::as_str) {
            Some(text) if !text.trim().is_empty() => {
                Some(PartitionFilter::parse(text, &keys).map_err(|e| invalid(e.to_string()))?)
            }
            _ => None,
        };
        let partitions = txn.open_table(PARTITIONS).map_err(broken)?;
        let mut answer = json!({});
        let mut there = Vec::new();
        let mut last = String::new();
        let start = page.after.as_deref().unwrap_or("");
        for entry in partitions
            .range((target.database.as_str(), target.table.as_str(), start)..)
            .map_err(broken)?
        {
            let (key, value) = entry.map_err(broken)?;
            let (database, table, key) = key.value();
            if database != target.database || table != target.table {
                break;
            }
            if page.after.as_deref() == Some(key) {
                continue;
            }
            if let Some((number, total)) = segment
                && crc32c::crc32c(key.as_bytes()) % total != number
            {
                continue;
            }
            if let Some(filter) = &filter {
                let values: Vec<&str> = key.split(SEPARATOR).collect();
                if !filter.matches(&values) {
                    continue;
                }
            }
            if there.len() == page.size {
                answer["NextToken"] = token(&last);
                break;
            }
            last = key.to_owned();
            let mut fields = decode(value.value())?;
            if bare && let Some(Value::Object(storage)) = fields.get_mut("StorageDescriptor") {
                storage.remove("Columns");
            }
            there.push(Value::Object(fields));
        }
        answer["Partitions"] = Value::Array(there);
        Ok(answer)
    })
}

/// Replaces a partition; its values may change.
pub(super) fn update(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let target = Target::of(body)?;
    let old_values = texts(body, "PartitionValueList")?;
    store.write(|txn| {
        let keys = target.keys_to_write(txn)?;
        let old = key_of(&old_values, &keys)?;
        // An input without values keeps the old ones.
        let mut body = body.clone();
        if body["PartitionInput"].is_object() && !body["PartitionInput"]["Values"].is_array() {
            body["PartitionInput"]["Values"] = json!(old_values);
        }
        let (new, mut fields) = input(&body, &keys, &target)?;
        let mut partitions = txn.open_table(PARTITIONS).map_err(broken)?;
        let at = |key| (target.database.as_str(), target.table.as_str(), key);
        {
            let gone = partitions.remove(at(old.as_str())).map_err(broken)?;
            let before = decode(gone.ok_or_else(|| missing(&old_values))?.value())?;
            if let Some(created) = before.get("CreationTime") {
                fields.insert("CreationTime".into(), created.clone());
            }
        }
        insert_new(&mut partitions, &target, &new, &fields)?;
        Ok(json!({}))
    })
}

fn remove(
    partitions: &mut Partitions<'_>,
    target: &Target,
    values: &[String],
    keys: &[(String, KeyType)],
) -> Result<(), AwsError> {
    let key = key_of(values, keys)?;
    let gone = partitions
        .remove((
            target.database.as_str(),
            target.table.as_str(),
            key.as_str(),
        ))
        .map_err(broken)?;
    match gone {
        Some(_) => Ok(()),
        None => Err(missing(values)),
    }
}

pub(super) fn delete(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let target = Target::of(body)?;
    let values = texts(body, "PartitionValues")?;
    store.write(|txn| {
        let keys = target.keys_to_write(txn)?;
        let mut partitions = txn.open_table(PARTITIONS).map_err(broken)?;
        remove(&mut partitions, &target, &values, &keys)?;
        Ok(json!({}))
    })
}

/// Deletes up to 25 partitions; one that is missing is an entry of `Errors`.
pub(super) fn batch_delete(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let target = Target::of(body)?;
    let given = entries(body, "PartitionsToDelete", 25)?;
    store.write(|txn| {
        let keys = target.keys_to_write(txn)?;
        let mut partitions = txn.open_table(PARTITIONS).map_err(broken)?;
        let mut errors = Vec::new();
        for one in given {
            let outcome = texts(one, "Values")
                .and_then(|values| remove(&mut partitions, &target, &values, &keys));
            if let Err(e) = outcome {
                errors.push(failed(&one["Values"], &e));
            }
        }
        Ok(json!({"Errors": errors}))
    })
}
