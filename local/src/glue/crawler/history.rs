//! What crawls came to.

use redb::ReadableTable;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::catalog::Counts;
use super::definition::{LAST_COUNTS, UNDER_WAY, crawler_name, missing};
use super::{Crawlers, State};
use crate::aws_json::AwsError;
use crate::glue::input::{page, texts, token};
use crate::glue::store::{CRAWLERS, CRAWLS, broken, decode, encode};

/// Crawls of a crawler that are kept, as many as Glue keeps a year of a daily
/// one.
const KEPT: usize = 400;
const LOG_GROUP: &str = "/aws-glue/crawlers";

/// How a crawl ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Succeeded,
    Cancelled,
    Failed,
}

/// A crawl that has ended.
pub(super) struct Ended {
    /// Epoch seconds.
    pub(super) began: Value,
    pub(super) seconds: f64,
    pub(super) status: Status,
    pub(super) error: Option<String>,
    pub(super) counts: Counts,
}

impl Crawlers {
    /// Notes the end of a crawl in its crawler's record and its history.
    pub(super) fn end(&self, name: &str, ended: &Ended) -> Result<(), AwsError> {
        let id = Uuid::new_v4().to_string();
        let mut last = json!({
            "Status": match ended.status {
                Status::Succeeded => "SUCCEEDED",
                Status::Cancelled => "CANCELLED",
                Status::Failed => "FAILED",
            },
            "LogGroup": LOG_GROUP,
            "LogStream": name,
            "MessagePrefix": id,
            "StartTime": ended.began,
        });
        if let Some(why) = &ended.error {
            tracing::warn!("crawler {name} failed: {why}");
            last["ErrorMessage"] = json!(why);
        } else {
            tracing::info!("crawler {name} ended: {:?}", ended.counts);
        }
        let crawl = crawl(&last, ended);
        self.change(name, |record| {
            record.remove(UNDER_WAY);
            record.insert("LastCrawl".into(), last);
            record.insert(LAST_COUNTS.into(), counts(ended));
            Ok(())
        })?;
        self.store.write(|txn| {
            let mut crawls = txn.open_table(CRAWLS).map_err(broken)?;
            let last = crawls
                .range((name, 0)..=(name, u64::MAX))
                .map_err(broken)?
                .next_back()
                .transpose()
                .map_err(broken)?
                .map_or(0, |(key, _)| key.value().1);
            crawls
                .insert((name, last + 1), encode(&crawl).as_slice())
                .map_err(broken)?;
            let oldest = last.saturating_sub(KEPT as u64);
            crawls
                .retain_in((name, 0)..=(name, oldest), |_, _| false)
                .map_err(broken)
        })
    }

    /// Lets every crawl that the process did not survive have failed.
    pub(super) fn end_what_was_under_way(&self) -> Result<(), AwsError> {
        let (records, _) = self.page(&json!({}), |record| record.contains_key(UNDER_WAY))?;
        for record in records {
            let name = record["Name"].as_str().unwrap_or_default();
            let ended = Ended {
                began: record[UNDER_WAY].clone(),
                seconds: 0.0,
                status: Status::Failed,
                error: Some(
                    "Internal Service Exception: the local cloud ended during the crawl.".into(),
                ),
                counts: Counts::default(),
            };
            self.end(name, &ended)?;
        }
        Ok(())
    }

    /// What the last crawl of each crawler, or of those named, came to.
    pub(super) fn metrics(&self, body: &Value) -> Result<Value, AwsError> {
        let named = match body.get("CrawlerNameList") {
            Some(Value::Array(names)) if !names.is_empty() => Some(texts(body, "CrawlerNameList")?),
            _ => None,
        };
        let (records, next) = self.page(body, |record| {
            let name = record
                .get("Name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            named
                .as_ref()
                .is_none_or(|named| named.iter().any(|known| known == name))
        })?;
        let metrics: Result<Vec<Value>, AwsError> =
            records.iter().map(|record| self.metric(record)).collect();
        let mut answer = json!({"CrawlerMetricsList": metrics?});
        if let Some(next) = next {
            answer["NextToken"] = next;
        }
        Ok(answer)
    }

    fn metric(&self, record: &Map<String, Value>) -> Result<Value, AwsError> {
        let name = record
            .get("Name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let last = record.get(LAST_COUNTS).unwrap_or(&Value::Null);
        let number = |field: &str| last[field].as_u64().unwrap_or(0);
        let mut seconds: Vec<f64> = self.store.read(|txn| {
            let crawls = txn.open_table(CRAWLS).map_err(broken)?;
            crawls
                .range((name, 0)..=(name, u64::MAX))
                .map_err(broken)?
                .map(|entry| {
                    let (_, value) = entry.map_err(broken)?;
                    let crawl = decode(value.value())?;
                    let time =
                        |field: &str| crawl.get(field).and_then(Value::as_f64).unwrap_or(0.0);
                    Ok(time("EndTime") - time("StartTime"))
                })
                .collect()
        })?;
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
        let elapsed = self.progress(name).1 as f64 / 1000.0;
        let running = self.state(name) != State::Ready;
        Ok(json!({
            "CrawlerName": name,
            "StillEstimating": running && seconds.is_empty(),
            "TimeLeftSeconds": if running { (median - elapsed).max(0.0) } else { 0.0 },
            "LastRuntimeSeconds": last["Seconds"].as_f64().unwrap_or(0.0),
            "MedianRuntimeSeconds": median,
            "TablesCreated": number("TablesCreated"),
            "TablesUpdated": number("TablesUpdated"),
            "TablesDeleted": number("TablesDeleted"),
        }))
    }

    /// The crawls of a crawler, newest first.
    pub(super) fn crawls(&self, body: &Value) -> Result<Value, AwsError> {
        let name = crawler_name(body, "CrawlerName")?;
        let page = page(body, 1000)?;
        let before = match &page.after {
            Some(text) => text.parse::<u64>().unwrap_or(0),
            None => u64::MAX,
        };
        self.store.read(|txn| {
            let crawlers = txn.open_table(CRAWLERS).map_err(broken)?;
            if crawlers.get(name).map_err(broken)?.is_none() {
                return Err(missing(name));
            }
            let crawls = txn.open_table(CRAWLS).map_err(broken)?;
            let (mut found, mut last) = (Vec::new(), 0);
            let mut answer = json!({});
            for entry in crawls
                .range((name, 0)..(name, before))
                .map_err(broken)?
                .rev()
            {
                let (key, value) = entry.map_err(broken)?;
                if found.len() == page.size {
                    answer["NextToken"] = token(&u64::to_string(&last));
                    break;
                }
                last = key.value().1;
                found.push(Value::Object(decode(value.value())?));
            }
            answer["Crawls"] = Value::Array(found);
            Ok(answer)
        })
    }
}

/// A crawl as its crawler's history tells it.
fn crawl(last: &Value, ended: &Ended) -> Map<String, Value> {
    let counts = &ended.counts;
    let of = |created: u64, updated: u64, deleted: u64| json!({"ADD": {"COUNT": created}, "UPDATE": {"COUNT": updated}, "DELETE": {"COUNT": deleted}});
    let summary = json!({
        "TABLE": of(counts.tables_created, counts.tables_updated, counts.tables_deleted),
        "PARTITION": of(
            counts.partitions_created,
            counts.partitions_updated,
            counts.partitions_deleted,
        ),
    });
    let began = ended.began.as_f64().unwrap_or(0.0);
    let mut crawl = Map::from_iter([
        ("CrawlId".to_owned(), last["MessagePrefix"].clone()),
        (
            "State".to_owned(),
            json!(match ended.status {
                Status::Succeeded => "COMPLETED",
                Status::Cancelled => "STOPPED",
                Status::Failed => "FAILED",
            }),
        ),
        ("StartTime".to_owned(), ended.began.clone()),
        ("EndTime".to_owned(), json!(began + ended.seconds)),
        ("Summary".to_owned(), json!(summary.to_string())),
        ("DPUHour".to_owned(), json!(0.0)),
    ]);
    for field in ["LogGroup", "LogStream", "MessagePrefix", "ErrorMessage"] {
        if let Some(value) = last.get(field) {
            crawl.insert(field.to_owned(), value.clone());
        }
    }
    crawl
}

fn counts(ended: &Ended) -> Value {
    json!({
        "Seconds": ended.seconds,
        "TablesCreated": ended.counts.tables_created,
        "TablesUpdated": ended.counts.tables_updated,
        "TablesDeleted": ended.counts.tables_deleted,
    })
}
