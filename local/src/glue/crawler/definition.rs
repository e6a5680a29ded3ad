//! Crawlers in the catalog: made, changed, deleted, told.

use redb::{ReadableTable, WriteTransaction};
use serde_json::{Map, Value, json};

use super::configuration::{Definition, all_targets};
use super::schedule;
use super::{Crawlers, State};
use crate::aws_json::AwsError;
use crate::glue::input::{invalid, not_found, page, text, texts, token};
use crate::glue::store::{CRAWLERS, CRAWLS, broken, decode, encode, now};

/// Fields of a request that a record keeps.
const KEPT: [&str; 13] = [
    "Role",
    "DatabaseName",
    "Description",
    "Targets",
    "TablePrefix",
    "Classifiers",
    "SchemaChangePolicy",
    "RecrawlPolicy",
    "LineageConfiguration",
    "LakeFormationConfiguration",
    "Configuration",
    "CrawlerSecurityConfiguration",
    "Schedule",
];

/// What a crawl leaves in its crawler's record, under names that are not told.
pub(super) const UNDER_WAY: &str = "UnderWay";
pub(super) const LAST_COUNTS: &str = "LastCounts";
const TAGS: &str = "Tags";

pub(super) fn missing(name: &str) -> AwsError {
    not_found(format!("Crawler entry with name {name} does not exist"))
}

impl Crawlers {
    /// The record of a crawler.
    pub(super) fn record(&self, name: &str) -> Result<Option<Map<String, Value>>, AwsError> {
        self.store.read(|txn| {
            let crawlers = txn.open_table(CRAWLERS).map_err(broken)?;
            let found = crawlers.get(name).map_err(broken)?;
            found.map(|found| decode(found.value())).transpose()
        })
    }

    /// Changes the record of a crawler.
    pub(super) fn change<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Map<String, Value>) -> Result<T, AwsError>,
    ) -> Result<T, AwsError> {
        self.store.write(|txn| {
            let mut crawlers = txn.open_table(CRAWLERS).map_err(broken)?;
            let mut record = {
                let found = crawlers.get(name).map_err(broken)?;
                decode(found.ok_or_else(|| missing(name))?.value())?
            };
            let answer = change(&mut record)?;
            crawlers
                .insert(name, encode(&record).as_slice())
                .map_err(broken)?;
            Ok(answer)
        })
    }

    pub(super) fn create(&self, body: &Value) -> Result<Value, AwsError> {
        let name = crawler_name(body, "Name")?;
        text(body, "Role")?;
        let mut record = Map::from_iter([("Name".to_owned(), json!(name))]);
        take(&mut record, body)?;
        Definition::parse(&Value::Object(record.clone()))?;
        let at = now();
        record.insert("CreationTime".into(), at.clone());
        record.insert("LastUpdated".into(), at);
        record.insert("Version".into(), json!(1));
        record.insert(TAGS.into(), body.get("Tags").cloned().unwrap_or(json!({})));
        self.store.write(|txn| {
            let mut crawlers = txn.open_table(CRAWLERS).map_err(broken)?;
            if crawlers.get(name).map_err(broken)?.is_some() {
                return Err(AwsError::client(
                    "AlreadyExistsException",
                    format!("Crawler with name {name} already exists"),
                ));
            }
            crawlers
                .insert(name, encode(&record).as_slice())
                .map_err(broken)?;
            Ok(json!({}))
        })
    }

    /// Changes the fields that are given.
    pub(super) fn update(&self, body: &Value) -> Result<Value, AwsError> {
        let name = crawler_name(body, "Name")?;
        if self.state(name) != State::Ready {
            return Err(AwsError::client(
                "CrawlerRunningException",
                "Cannot update Crawler while running. Please stop crawl or wait until it completes to update.",
            ));
        }
        self.change(name, |record| {
            take(record, body)?;
            Definition::parse(&Value::Object(record.clone()))?;
            let version = record.get("Version").and_then(Value::as_u64).unwrap_or(1);
            record.insert("Version".into(), json!(version + 1));
            record.insert("LastUpdated".into(), now());
            Ok(json!({}))
        })
    }

    pub(super) fn delete(&self, body: &Value) -> Result<Value, AwsError> {
        let name = crawler_name(body, "Name")?;
        if self.state(name) != State::Ready {
            return Err(AwsError::client(
                "CrawlerRunningException",
                format!("Crawler with name {name} is running; stop it before it is deleted"),
            ));
        }
        self.store.write(|txn| {
            let gone = txn
                .open_table(CRAWLERS)
                .map_err(broken)?
                .remove(name)
                .map_err(broken)?
                .is_some();
            if !gone {
                return Err(missing(name));
            }
            forget_crawls(txn, name)?;
            Ok(json!({}))
        })
    }

    pub(super) fn get(&self, body: &Value) -> Result<Value, AwsError> {
        let name = crawler_name(body, "Name")?;
        let record = self.record(name)?.ok_or_else(|| missing(name))?;
        Ok(json!({"Crawler": self.shown(record)}))
    }

    pub(super) fn batch_get(&self, body: &Value) -> Result<Value, AwsError> {
        let (mut found, mut not_found) = (Vec::new(), Vec::new());
        for name in texts(body, "CrawlerNames")? {
            match self.record(&name)? {
                Some(record) => found.push(self.shown(record)),
                None => not_found.push(name),
            }
        }
        Ok(json!({"Crawlers": found, "CrawlersNotFound": not_found}))
    }

    /// Every crawler, by pages.
    pub(super) fn get_all(&self, body: &Value) -> Result<Value, AwsError> {
        let (records, next) = self.page(body, |_| true)?;
        let crawlers = records.into_iter().map(|record| self.shown(record));
        Ok(with_token(
            json!({"Crawlers": crawlers.collect::<Vec<_>>()}),
            next,
        ))
    }

    /// The names of the crawlers that have the given tags.
    pub(super) fn list(&self, body: &Value) -> Result<Value, AwsError> {
        let wanted = body["Tags"].as_object().cloned().unwrap_or_default();
        let (records, next) = self.page(body, |record| {
            wanted
                .iter()
                .all(|(key, value)| record.get(TAGS).is_some_and(|tags| tags[key] == *value))
        })?;
        let names: Vec<Value> = records
            .into_iter()
            .map(|mut record| record.remove("Name").unwrap_or_default())
            .collect();
        Ok(with_token(json!({"CrawlerNames": names}), next))
    }

    /// A page of records, and the token of the next.
    pub(super) fn page(
        &self,
        body: &Value,
        wanted: impl Fn(&Map<String, Value>) -> bool,
    ) -> Result<(Vec<Map<String, Value>>, Option<Value>), AwsError> {
        let page = page(body, 1000)?;
        self.store.read(|txn| {
            let crawlers = txn.open_table(CRAWLERS).map_err(broken)?;
            let start = page.after.as_deref().unwrap_or("");
            let (mut found, mut last) = (Vec::new(), String::new());
            for entry in crawlers.range(start..).map_err(broken)? {
                let (key, value) = entry.map_err(broken)?;
                if page.after.as_deref() == Some(key.value()) {
                    continue;
                }
                let record = decode(value.value())?;
                if !wanted(&record) {
                    continue;
                }
                if found.len() == page.size {
                    return Ok((found, Some(token(&last))));
                }
                last = key.value().to_owned();
                found.push(record);
            }
            Ok((found, None))
        })
    }

    /// A crawler as an answer tells it.
    fn shown(&self, mut record: Map<String, Value>) -> Value {
        let name = record["Name"].as_str().unwrap_or_default().to_owned();
        let (state, elapsed) = self.progress(&name);
        for hidden in [UNDER_WAY, LAST_COUNTS, TAGS] {
            record.remove(hidden);
        }
        let targets = all_targets(record.get("Targets").unwrap_or(&Value::Null));
        record.insert("Targets".into(), targets);
        record.insert("State".into(), json!(state.as_str()));
        record.insert("CrawlElapsedTime".into(), json!(elapsed));
        let policy = record.entry("SchemaChangePolicy").or_insert(json!({}));
        or_insert(policy, "UpdateBehavior", "UPDATE_IN_DATABASE");
        or_insert(policy, "DeleteBehavior", "DEPRECATE_IN_DATABASE");
        let recrawl = record.entry("RecrawlPolicy").or_insert(json!({}));
        or_insert(recrawl, "RecrawlBehavior", "CRAWL_EVERYTHING");
        let lineage = record.entry("LineageConfiguration").or_insert(json!({}));
        or_insert(lineage, "CrawlerLineageSettings", "DISABLE");
        record.entry("Classifiers").or_insert(json!([]));
        Value::Object(record)
    }

    pub(super) fn tags(&self, body: &Value) -> Result<Value, AwsError> {
        let name = tagged(body)?;
        let record = self.record(&name)?.ok_or_else(|| missing(&name))?;
        Ok(json!({"Tags": record.get(TAGS).cloned().unwrap_or(json!({}))}))
    }

    pub(super) fn tag(&self, body: &Value) -> Result<Value, AwsError> {
        let name = tagged(body)?;
        let added = body["TagsToAdd"].as_object().cloned().unwrap_or_default();
        self.change(&name, |record| {
            if let Value::Object(tags) = record.entry(TAGS).or_insert(json!({})) {
                tags.extend(added);
            }
            Ok(json!({}))
        })
    }

    pub(super) fn untag(&self, body: &Value) -> Result<Value, AwsError> {
        let name = tagged(body)?;
        let removed = texts(body, "TagsToRemove")?;
        self.change(&name, |record| {
            if let Some(Value::Object(tags)) = record.get_mut(TAGS) {
                tags.retain(|key, _| !removed.contains(key));
            }
            Ok(json!({}))
        })
    }
}

/// Takes the fields that are given into a record, the schedule as an answer
/// tells it.
fn take(record: &mut Map<String, Value>, body: &Value) -> Result<(), AwsError> {
    for field in KEPT {
        let Some(value) = body.get(field).filter(|value| !value.is_null()) else {
            continue;
        };
        let value = match (field, value.as_str()) {
            ("Schedule", Some("")) => {
                record.remove(field);
                continue;
            }
            ("Schedule", Some(expression)) => {
                schedule::parse(expression)?;
                json!({"ScheduleExpression": expression, "State": "SCHEDULED"})
            }
            ("Schedule", None) => return Err(invalid("Schedule must be a string.")),
            _ => value.clone(),
        };
        record.insert(field.to_owned(), value);
    }
    Ok(())
}

fn or_insert(object: &mut Value, field: &str, default: &str) {
    if object[field].is_null() {
        object[field] = json!(default);
    }
}

fn with_token(mut answer: Value, next: Option<Value>) -> Value {
    if let Some(next) = next {
        answer["NextToken"] = next;
    }
    answer
}

/// A crawler's name, whose case counts.
pub(super) fn crawler_name<'a>(body: &'a Value, field: &str) -> Result<&'a str, AwsError> {
    let name = text(body, field)?;
    if name.len() > 255 || name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "{field} must have 1 to 255 characters and no control characters."
        )));
    }
    Ok(name)
}

/// The crawler that `ResourceArn` names: nothing else in this catalog has tags.
fn tagged(body: &Value) -> Result<String, AwsError> {
    let arn = text(body, "ResourceArn")?;
    arn.split_once(":crawler/")
        .filter(|(start, _)| start.starts_with("arn:"))
        .map(|(_, name)| name.to_owned())
        .ok_or_else(|| {
            invalid(format!(
                "{arn} is not the ARN of a crawler; nothing else has tags in the local cloud."
            ))
        })
}

fn forget_crawls(txn: &WriteTransaction, name: &str) -> Result<(), AwsError> {
    txn.open_table(CRAWLS)
        .map_err(broken)?
        .retain_in((name, 0)..=(name, u64::MAX), |_, _| false)
        .map_err(broken)
}
