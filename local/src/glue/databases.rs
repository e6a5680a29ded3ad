//! Databases.

use redb::{ReadableTable, WriteTransaction};
use serde_json::{Map, Value, json};

use super::CATALOG_ID;
use super::input::{name, not_found, page, record, token};
use super::store::{DATABASES, PARTITIONS, Store, TABLES, VERSIONS, broken, decode, encode, now};
use crate::aws_json::AwsError;

const KEPT: &[&str] = &[
    "Description",
    "LocationUri",
    "Parameters",
    "CreateTableDefaultPermissions",
    "TargetDatabase",
    "FederatedDatabase",
];

pub(super) fn missing(database: &str) -> AwsError {
    not_found(format!("Database {database} not found."))
}

fn input(body: &Value) -> Result<(String, Map<String, Value>), AwsError> {
    let input = body.get("DatabaseInput").unwrap_or(&Value::Null);
    let mut fields = record(body, "DatabaseInput", KEPT)?;
    let name = name(input, "Name")?;
    fields.insert("Name".into(), json!(name));
    fields.insert("CatalogId".into(), json!(CATALOG_ID));
    Ok((name, fields))
}

pub(super) fn create(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let (name, mut fields) = input(body)?;
    fields.insert("CreateTime".into(), now());
    store.write(|txn| {
        let mut databases = txn.open_table(DATABASES).map_err(broken)?;
        if databases.get(name.as_str()).map_err(broken)?.is_some() {
            return Err(AwsError::client(
                "AlreadyExistsException",
                "Database already exists.",
            ));
        }
        databases
            .insert(name.as_str(), encode(&fields).as_slice())
            .map_err(broken)?;
        Ok(json!({}))
    })
}

pub(super) fn get(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let name = name(body, "Name")?;
    store.read(|txn| {
        let databases = txn.open_table(DATABASES).map_err(broken)?;
        let found = databases.get(name.as_str()).map_err(broken)?;
        let fields = decode(found.ok_or_else(|| missing(&name))?.value())?;
        Ok(json!({"Database": fields}))
    })
}

pub(super) fn list(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let page = page(body, 100)?;
    store.read(|txn| {
        let databases = txn.open_table(DATABASES).map_err(broken)?;
        let mut found = Vec::new();
        let mut answer = json!({});
        let start = page.after.as_deref().unwrap_or("");
        let mut last = String::new();
        for entry in databases.range(start..).map_err(broken)? {
            let (key, value) = entry.map_err(broken)?;
            if page.after.as_deref() == Some(key.value()) {
                continue;
            }
            if found.len() == page.size {
                answer["NextToken"] = token(&last);
                break;
            }
            last = key.value().to_owned();
            found.push(Value::Object(decode(value.value())?));
        }
        answer["DatabaseList"] = Value::Array(found);
        Ok(answer)
    })
}

pub(super) fn update(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let old = name(body, "Name")?;
    let (new, mut fields) = input(body)?;
    if new != old {
        return Err(super::input::invalid(
            "A database cannot be renamed: DatabaseInput.Name must be the same as Name.",
        ));
    }
    store.write(|txn| {
        let mut databases = txn.open_table(DATABASES).map_err(broken)?;
        let created = {
            let found = databases.get(old.as_str()).map_err(broken)?;
            decode(found.ok_or_else(|| missing(&old))?.value())?
                .get("CreateTime")
                .cloned()
        };
        fields.insert("CreateTime".into(), created.unwrap_or_else(now));
        databases
            .insert(old.as_str(), encode(&fields).as_slice())
            .map_err(broken)?;
        Ok(json!({}))
    })
}

/// Deletes a database with all its tables and partitions, as Glue does.
pub(super) fn delete(store: &Store, body: &Value) -> Result<Value, AwsError> {
    let name = name(body, "Name")?;
    store.write(|txn| {
        let mut databases = txn.open_table(DATABASES).map_err(broken)?;
        if databases.remove(name.as_str()).map_err(broken)?.is_none() {
            return Err(missing(&name));
        }
        txn.open_table(TABLES)
            .map_err(broken)?
            .retain_in((name.as_str(), "").., |k, _| k.0 != name)
            .map_err(broken)?;
        txn.open_table(VERSIONS)
            .map_err(broken)?
            .retain_in((name.as_str(), "", 0).., |k, _| k.0 != name)
            .map_err(broken)?;
        txn.open_table(PARTITIONS)
            .map_err(broken)?
            .retain_in((name.as_str(), "", "").., |k, _| k.0 != name)
            .map_err(broken)?;
        Ok(json!({}))
    })
}

/// Fails unless the database is there.
pub(super) fn require(txn: &WriteTransaction, database: &str) -> Result<(), AwsError> {
    let databases = txn.open_table(DATABASES).map_err(broken)?;
    match databases.get(database).map_err(broken)? {
        Some(_) => Ok(()),
        None => Err(missing(database)),
    }
}
