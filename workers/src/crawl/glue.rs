//! The calls to Glue that a crawl makes.

use aws_sdk_glue::Client;
use aws_sdk_glue::types::{CrawlerState, LastCrawlInfo, LastCrawlStatus};
use jiff::Timestamp;

use crate::provision::catalog::{MISSING, code};
use crate::report::ReportError;

/// Glue's code where a crawl is under way already.
const RUNNING: &str = "CrawlerRunningException";

/// A crawler as Glue shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether a crawl is under way, or being stopped.
    pub(super) busy: bool,
    /// The crawl that ended last.
    pub(super) last: Option<Crawled>,
}

/// A crawl that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crawled {
    pub(super) start: Timestamp,
    pub(super) end: End,
}

/// How a crawl ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    Cancelled,
    /// Glue's own words.
    Failed(String),
}

/// What a crawl changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
}

/// The crawler; `None` where there is none of that name.
pub(super) async fn look(glue: &Client, name: &str) -> Result<Option<Seen>, ReportError> {
    match glue.get_crawler().name(name).send().await {
        Ok(output) => Ok(output.crawler.map(|crawler| Seen {
            busy: crawler
                .state
                .as_ref()
                .is_some_and(|state| *state != CrawlerState::Ready),
            last: crawler.last_crawl.and_then(crawled),
        })),
        Err(e) if code(&e) == Some(MISSING) => Ok(None),
        Err(e) => Err(ReportError::aws(
            format!("look at Glue crawler `{name}`"),
            &e,
        )),
    }
}

fn crawled(last: LastCrawlInfo) -> Option<Crawled> {
    let start = last.start_time.as_ref()?;
    let end = match last.status? {
        LastCrawlStatus::Succeeded => End::Succeeded,
        LastCrawlStatus::Cancelled => End::Cancelled,
        _ => {
            let why = last.error_message.unwrap_or_default();
            End::Failed(match (why.trim(), &last.log_group, &last.log_stream) {
                ("", Some(group), Some(stream)) => {
                    format!("its log in CloudWatch says why, group {group}, stream {stream}")
                }
                ("", _, _) => "Glue does not say why".to_owned(),
                (why, _, _) => why.to_owned(),
            })
        }
    };
    Some(Crawled {
        start: Timestamp::from_nanosecond(start.as_nanos()).ok()?,
        end,
    })
}

/// Starts the crawler; `false` where a crawl is under way already.
pub(super) async fn start(glue: &Client, name: &str) -> Result<bool, ReportError> {
    match glue.start_crawler().name(name).send().await {
        Ok(_) => Ok(true),
        Err(e) if code(&e) == Some(RUNNING) => Ok(false),
        Err(e) => Err(ReportError::aws(format!("start Glue crawler `{name}`"), &e)),
    }
}

/// Tells the crawler to stop; that it has ended meanwhile is fine.
pub(super) async fn stop(glue: &Client, name: &str) {
    if let Err(error) = glue.stop_crawler().name(name).send().await {
        tracing::warn!(
            "crawler {name} was not stopped: {}",
            crate::aws::explain(&error)
        );
    }
}

/// What the crawler's last crawl changed; `None` where Glue does not say.
pub(super) async fn changes(glue: &Client, name: &str) -> Result<Option<Changes>, ReportError> {
    let output = glue
        .get_crawler_metrics()
        .crawler_name_list(name)
        .send()
        .await
        .map_err(|e| ReportError::aws(format!("read the metrics of Glue crawler `{name}`"), &e))?;
    let count = |count: i32| u64::try_from(count).unwrap_or(0);
    Ok(output
        .crawler_metrics_list()
        .first()
        .map(|metrics| Changes {
            created: count(metrics.tables_created),
            updated: count(metrics.tables_updated),
            deleted: count(metrics.tables_deleted),
        }))
}

/// Partitions of a table; `None` where there is no such table.
pub(super) async fn partitions(
    glue: &Client,
    database: &str,
    table: &str,
) -> Result<Option<u64>, ReportError> {
    let mut pages = glue
        .get_partitions()
        .database_name(database)
        .table_name(table)
        .exclude_column_schema(true)
        .into_paginator()
        .send();
    let mut partitions = 0;
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => partitions += page.partitions().len() as u64,
            Err(e) if code(&e) == Some(MISSING) => return Ok(None),
            Err(e) => {
                let action = format!("count the partitions of Glue table `{database}.{table}`");
                return Err(ReportError::aws(action, &e));
            }
        }
    }
    Ok(Some(partitions))
}
