//! Tables and their versions.

use redb::{ReadableTable, WriteTransaction};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::CATALOG_ID;
use super::databases;
use super::input::{invalid, list as entries, name, not_found, page, record, text, texts, token};
use super::store::{DATABASES, PARTITIONS, Store, TABLES, VERSIONS, broken, decode, encode, now};
use crate::aws_json::AwsError;

const KEPT: &[&str] = &[
    "Description",
    "Owner",
    "LastAccessTime",
    "LastAnalyzedTime",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "ViewOriginalText",
    "ViewExpandedText",
    "TableType",
    "Parameters",
    "TargetTable",
];

pub(super) fn missing(table: &str) -> AwsError {
    not_found(format!("Table {table} not found."))
}

/// The table that `TableInput` describes, checked.
fn input(body: &Value) -> Result<(String, Map<String, Value>), AwsError> {
    let given = body.get("TableInput").unwrap_or(&Value::Null);
    let mut fields = record(body, "TableInput", KEPT)?;
    let name = name(given, "Name")?;
    if let Some(Value::Object(storage)) = fields.get_mut("StorageDescriptor") {
        columns(storage.get_mut("Columns"), "StorageDescriptor.Columns")?;
    }
    columns(fields.get_mut("PartitionKeys"), "PartitionKeys")?;
    fields.insert("Name".into(), json!(name));
    fields.insert("CatalogId".into(), json!(CATALOG_ID));
    fields.entry("Retention").or_insert(json!(0));
    fields.insert("IsRegisteredWithLakeFormation".into(), json!(false));
    Ok((name, fields))
}

/// Checks a list of columns and lower-cases their names.
fn columns(list: Option<&mut Value>, what: &str) -> Result<(), AwsError> {
    let Some(list) = list else { return Ok(()) };
    let Value::Array(columns) = list else {
        return Err(invalid(format!("{what} must be a list.")));
    };
    let mut seen = std::collections::HashSet::new();
    for column in columns {
        let given = text(column, "Name")
            .map_err(|_| invalid(format!("A column of {what} has no Name.")))?
            .to_lowercase();
        if !seen.insert(given.clone()) {
            return Err(invalid(format!("{what} has the column {given} twice.")));
        }
        column["Name"] = json!(given);
    }
    Ok(())
}

pub(super) fn create(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let database = name(body, "DatabaseName")?;
    let (table, mut fields) = input(body)?;
    let at = now();
    fields.insert("DatabaseName".into(), json!(database));
    fields.insert("CreateTime".into(), at.clone());
    fields.insert("UpdateTime".into(), at);
    fields.insert("VersionId".into(), json!("0"));
    store.write(|txn| {
        databases::require(txn, &database)?;
        let mut tables = txn.open_table(TABLES).map_err(broken)?;
        let key = (database.as_str(), table.as_str());
        if tables.get(key).map_err(broken)?.is_some() {
            return Err(AwsError::client(
                "AlreadyExistsException",
                "Table already exists.",
            ));
        }
        let bytes = encode(&fields);
        tables.insert(key, bytes.as_slice()).map_err(broken)?;
        txn.open_table(VERSIONS)
            .map_err(broken)?
            .insert((key.0, key.1, 0), bytes.as_slice())
            .map_err(broken)?;
        Ok(json!({}))
    })
}

pub(super) fn get(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let database = name(body, "DatabaseName")?;
    let table = name(body, "Name")?;
    store.read(|txn| {
        let tables = txn.open_table(TABLES).map_err(broken)?;
        if let Some(found) = tables
            .get((database.as_str(), table.as_str()))
            .map_err(broken)?
        {
            return Ok(json!({"Table": decode(found.value())?}));
        }
        let databases = txn.open_table(DATABASES).map_err(broken)?;
        match databases.get(database.as_str()).map_err(broken)? {
            Some(_) => Err(missing(&table)),
            None => Err(databases::missing(&database)),
        }
    })
}

/// Which table names `GetTables` asks for: Glue takes a regular expression of
/// the whole name, and clients of Hive send globs (`*ticks*`).
fn name_pattern(body: &Value) -> Result<Option<Regex>, AwsError> {
    let Some(given) = body.get("Expression").and_then(Value::as_str) else {
        return Ok(None);
    };
    let glob = given
        .split('*')
        .map(regex::escape)
        .collect::<Vec<_>>()
        .join(".*");
    let source = if given.starts_with('*') { &glob } else { given };
    Regex::new(&format!("^(?i:{source})$"))
        .map(Some)
        .map_err(|_| invalid(format!("Expression {given} is not a regular expression.")))
}

pub(super) fn list(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let database = name(body, "DatabaseName")?;
    let pattern = name_pattern(body)?;
    let page = page(body, 100)?;
    store.read(|txn| {
        let databases = txn.open_table(DATABASES).map_err(broken)?;
        if databases.get(database.as_str()).map_err(broken)?.is_none() {
            return Err(databases::missing(&database));
        }
        let tables = txn.open_table(TABLES).map_err(broken)?;
        let start = page.after.as_deref().unwrap_or("");
        let mut found = Vec::new();
        let mut answer = json!({});
        let mut last = String::new();
        for entry in tables.range((database.as_str(), start)..).map_err(broken)? {
            let (key, value) = entry.map_err(broken)?;
            let (of, table) = key.value();
            if of != database {
                break;
            }
            if page.after.as_deref() == Some(table)
                || pattern.as_ref().is_some_and(|p| !p.is_match(table))
            {
                continue;
            }
            if found.len() == page.size {
                answer["NextToken"] = token(&last);
                break;
            }
            last = table.to_owned();
            found.push(Value::Object(decode(value.value())?));
        }
        answer["TableList"] = Value::Array(found);
        Ok(answer)
    })
}

/// Replaces a table. With `VersionId`, only if that is still its version.
pub(super) fn update(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let database = name(body, "DatabaseName")?;
    let (table, mut fields) = input(body)?;
    let skip_archive = body["SkipArchive"].as_bool().unwrap_or(false);
    let expected = body.get("VersionId").and_then(Value::as_str);
    store.write(|txn| {
        let mut tables = txn.open_table(TABLES).map_err(broken)?;
        let key = (database.as_str(), table.as_str());
        let old = {
            let found = tables.get(key).map_err(broken)?;
            decode(found.ok_or_else(|| missing(&table))?.value())?
        };
        let version = version_of(&old)?;
        if expected.is_some_and(|e| e != version.to_string()) {
            return Err(AwsError::client(
                "ConcurrentModificationException",
                format!(
                    "Update table failed due to concurrent modifications: {database}.{table} is at version {version}."
                ),
            ));
        }
        fields.insert("DatabaseName".into(), json!(database));
        for kept in ["CreateTime", "CreatedBy"] {
            if let Some(value) = old.get(kept) {
                fields.insert(kept.into(), value.clone());
            }
        }
        fields.insert("UpdateTime".into(), now());
        fields.insert("VersionId".into(), json!((version + 1).to_string()));
        let bytes = encode(&fields);
        tables.insert(key, bytes.as_slice()).map_err(broken)?;
        let mut versions = txn.open_table(VERSIONS).map_err(broken)?;
        if skip_archive {
            versions
                .remove((key.0, key.1, version))
                .map_err(broken)?;
        }
        versions
            .insert((key.0, key.1, version + 1), bytes.as_slice())
            .map_err(broken)?;
        Ok(json!({}))
    })
}

fn version_of(fields: &Map<String, Value>) -> Result<u64, AwsError> {
    fields
        .get("VersionId")
        .and_then(Value::as_str)
        .and_then(|v| v.parse().ok())
        .ok_or_else(|| broken("a table's record has no version"))
}

fn remove(txn: &WriteTransaction, database: &str, table: &str) -> Result<(), AwsError> {
    let gone = txn
        .open_table(TABLES)
        .map_err(broken)?
        .remove((database, table))
        .map_err(broken)?
        .is_some();
    if !gone {
        return Err(missing(table));
    }
    let other = |of: &str, name: &str| of != database || name != table;
    txn.open_table(VERSIONS)
        .map_err(broken)?
        .retain_in(
            (database, table, 0)..=(database, table, u64::MAX),
            |_, _| false,
        )
        .map_err(broken)?;
    txn.open_table(PARTITIONS)
        .map_err(broken)?
        .retain_in((database, table, "").., |k, _| other(k.0, k.1))
        .map_err(broken)
}

pub(super) fn delete(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let database = name(body, "DatabaseName")?;
    let table = name(body, "Name")?;
    store.write(|txn| {
        databases::require(txn, &database)?;
        remove(txn, &database, &table)?;
        Ok(json!({}))
    })
}

pub(super) fn batch_delete(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let database = name(body, "DatabaseName")?;
    entries(body, "TablesToDelete", 100)?;
    let tables = texts(body, "TablesToDelete")?;
    store.write(|txn| {
        databases::require(txn, &database)?;
        let mut errors = Vec::new();
        for table in tables {
            if let Err(e) = remove(txn, &database, &table.to_lowercase()) {
                errors.push(json!({
                    "TableName": table,
                    "ErrorDetail": {"ErrorCode": e.code, "ErrorMessage": e.message},
                }));
            }
        }
        Ok(json!({"Errors": errors}))
    })
}

/// The archived versions, newest first.
pub(super) fn versions(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let database = name(body, "DatabaseName")?;
    let table = name(body, "TableName")?;
    let page = page(body, 100)?;
    let before = match &page.after {
        Some(token) => token
            .parse::<u64>()
            .map_err(|_| invalid("NextToken is not one that this catalog gave."))?,
        None => u64::MAX,
    };
    store.read(|txn| {
        let versions = txn.open_table(VERSIONS).map_err(broken)?;
        let mut found = Vec::new();
        let mut answer = json!({});
        let mut last = 0;
        for entry in versions
            .range(
                (database.as_str(), table.as_str(), 0)..(database.as_str(), table.as_str(), before),
            )
            .map_err(broken)?
            .rev()
        {
            let (key, value) = entry.map_err(broken)?;
            if found.len() == page.size {
                answer["NextToken"] = token(&last.to_string());
                break;
            }
            last = key.value().2;
            found.push(json!({
                "Table": decode(value.value())?,
                "VersionId": last.to_string(),
            }));
        }
        if found.is_empty() && page.after.is_none() {
            return Err(missing(&table));
        }
        answer["TableVersions"] = Value::Array(found);
        Ok(answer)
    })
}

/// One version, the newest without `VersionId`.
pub(super) fn version(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let database = name(body, "DatabaseName")?;
    let table = name(body, "TableName")?;
    let wanted = match body.get("VersionId").and_then(Value::as_str) {
        Some(v) => Some(
            v.parse::<u64>()
                .map_err(|_| invalid(format!("VersionId {v} is not a version.")))?,
        ),
        None => None,
    };
    store.read(|txn| {
        let versions = txn.open_table(VERSIONS).map_err(broken)?;
        let (from, to) = wanted.map_or((0, u64::MAX), |v| (v, v));
        let newest = versions
            .range(
                (database.as_str(), table.as_str(), from)..=(database.as_str(), table.as_str(), to),
            )
            .map_err(broken)?
            .next_back();
        match newest {
            Some(entry) => {
                let (key, value) = entry.map_err(broken)?;
                Ok(json!({"TableVersion": {
                    "Table": decode(value.value())?,
                    "VersionId": key.value().2.to_string(),
                }}))
            }
            None => Err(missing(&table)),
        }
    })
}
