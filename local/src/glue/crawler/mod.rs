//! Crawlers: what lies in S3, found and written into the catalog.
//!
//! A crawl runs as a task of this process: READY → RUNNING → STOPPING → READY.
//! [`listing`] looks at S3, [`infer`] at files, [`folders`] decides which
//! folders are tables and partitions, and [`catalog`] writes under the
//! crawler's policies. A crawl that the process did not survive has FAILED when
//! the catalog is opened again.

mod catalog;
mod configuration;
mod definition;
mod descriptor;
mod folders;
mod history;
mod infer;
mod listing;
mod partitions;
mod schedule;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_s3::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::catalog::{Counts, Writer};
use self::configuration::{Definition, UpdateBehavior};
use self::definition::{UNDER_WAY, crawler_name};
use self::history::{Ended, Status};
use self::listing::Failure;
use super::input::not_found;
use super::store::{Store, now};
use super::tables;
use crate::aws_json::AwsError;

/// The crawlers of one catalog.
pub(super) struct Crawlers {
    store: Arc<Store>,
    s3: Client,
    under_way: Mutex<HashMap<String, UnderWay>>,
}

impl std::fmt::Debug for Crawlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crawlers").finish_non_exhaustive()
    }
}

/// A crawl of this process.
struct UnderWay {
    began: Instant,
    stop: CancellationToken,
    stopping: bool,
}

/// What a crawler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    Stopping,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Ready => "READY",
            State::Running => "RUNNING",
            State::Stopping => "STOPPING",
        }
    }
}

impl Crawlers {
    /// The crawlers of `store`, which read `s3`; what was under way when the
    /// catalog was last open has failed.
    pub(super) fn open(store: Arc<Store>, s3: Client) -> Result<Arc<Self>, AwsError> {
        let crawlers = Self {
            store,
            s3,
            under_way: Mutex::default(),
        };
        crawlers.end_what_was_under_way()?;
        Ok(Arc::new(crawlers))
    }

    /// Fires schedules until the crawlers are dropped.
    pub(super) fn keep_schedules(self: &Arc<Self>) {
        tokio::spawn(schedule::keep(Arc::downgrade(self)));
    }

    /// Answers one operation; `None` where it is none of crawlers.
    pub(super) fn operation(op: &str) -> Option<Operation> {
        Some(match op {
            "CreateCrawler" => |crawlers, body, _| crawlers.create(body),
            "GetCrawler" => |crawlers, body, _| crawlers.get(body),
            "BatchGetCrawlers" => |crawlers, body, _| crawlers.batch_get(body),
            "GetCrawlers" => |crawlers, body, _| crawlers.get_all(body),
            "ListCrawlers" => |crawlers, body, _| crawlers.list(body),
            "UpdateCrawler" => |crawlers, body, _| crawlers.update(body),
            "DeleteCrawler" => |crawlers, body, _| crawlers.delete(body),
            "StartCrawler" => |crawlers, body, runtime| crawlers.start(body, runtime),
            "StopCrawler" => |crawlers, body, _| crawlers.stop(body),
            "GetCrawlerMetrics" => |crawlers, body, _| crawlers.metrics(body),
            "ListCrawls" => |crawlers, body, _| crawlers.crawls(body),
            "UpdateCrawlerSchedule" => |crawlers, body, _| crawlers.update_schedule(body),
            "StartCrawlerSchedule" => |crawlers, body, _| crawlers.start_schedule(body),
            "StopCrawlerSchedule" => |crawlers, body, _| crawlers.stop_schedule(body),
            "GetTags" => |crawlers, body, _| crawlers.tags(body),
            "TagResource" => |crawlers, body, _| crawlers.tag(body),
            "UntagResource" => |crawlers, body, _| crawlers.untag(body),
            _ => return None,
        })
    }

    fn state(&self, name: &str) -> State {
        match self.under_way.lock().get(name) {
            None => State::Ready,
            Some(crawl) if crawl.stopping => State::Stopping,
            Some(_) => State::Running,
        }
    }

    /// What a crawler does, and for how many milliseconds.
    fn progress(&self, name: &str) -> (State, u64) {
        let elapsed = self.under_way.lock().get(name).map_or(0, |crawl| {
            u64::try_from(crawl.began.elapsed().as_millis()).unwrap_or(u64::MAX)
        });
        (self.state(name), elapsed)
    }

    fn start(self: &Arc<Self>, body: &Value, runtime: &Handle) -> Result<Value, AwsError> {
        let name = crawler_name(body, "Name")?;
        let stop = CancellationToken::new();
        let definition = {
            let mut under_way = self.under_way.lock();
            let record = self
                .record(name)?
                .ok_or_else(|| not_found(format!("Crawler with name {name} does not exist")))?;
            if under_way.contains_key(name) {
                return Err(AwsError::client(
                    "CrawlerRunningException",
                    format!("Crawler with name {name} has already started"),
                ));
            }
            let definition = Definition::parse(&Value::Object(record))?;
            let crawl = UnderWay {
                began: Instant::now(),
                stop: stop.clone(),
                stopping: false,
            };
            under_way.insert(name.to_owned(), crawl);
            definition
        };
        let began = now();
        if let Err(error) = self.change(name, |record| {
            record.insert(UNDER_WAY.into(), began.clone());
            Ok(())
        }) {
            self.under_way.lock().remove(name);
            return Err(error);
        }
        let me = Arc::clone(self);
        runtime.spawn(async move { me.run(definition, began, stop).await });
        Ok(json!({}))
    }

    fn stop(&self, body: &Value) -> Result<Value, AwsError> {
        let name = crawler_name(body, "Name")?;
        self.record(name)?
            .ok_or_else(|| not_found(format!("Crawler with name {name} does not exist")))?;
        match self.under_way.lock().get_mut(name) {
            None => Err(AwsError::client(
                "CrawlerNotRunningException",
                format!("Crawler with name {name} is not running"),
            )),
            Some(crawl) if crawl.stopping => Err(AwsError::client(
                "CrawlerStoppingException",
                format!("Crawler with name {name} is stopping"),
            )),
            Some(crawl) => {
                crawl.stopping = true;
                crawl.stop.cancel();
                Ok(json!({}))
            }
        }
    }

    /// A crawl from its start to its end.
    async fn run(self: Arc<Self>, definition: Definition, began: Value, stop: CancellationToken) {
        let name = definition.name.clone();
        let definition = Arc::new(definition);
        let (status, error, counts) = tokio::select! {
            () = stop.cancelled() => (Status::Cancelled, None, Counts::default()),
            crawled = self.crawl(&definition) => match crawled {
                Ok(counts) => (Status::Succeeded, None, counts),
                Err(why) => (Status::Failed, Some(why), Counts::default()),
            },
        };
        let me = Arc::clone(&self);
        let crawler = name.clone();
        let written = tokio::task::spawn_blocking(move || {
            let seconds = {
                let mut under_way = me.under_way.lock();
                under_way.get_mut(&crawler).map(|crawl| {
                    crawl.stopping = true;
                    crawl.began.elapsed().as_secs_f64()
                })
            };
            me.end(
                &crawler,
                &Ended {
                    began,
                    seconds: seconds.unwrap_or(0.0),
                    status,
                    error,
                    counts,
                },
            )
        })
        .await;
        self.under_way.lock().remove(&name);
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the end of crawler {name} was not written: {error}"),
            Err(error) => tracing::warn!("the end of crawler {name} was not written: {error}"),
        }
    }

    /// Looks at every target and writes what it finds.
    async fn crawl(&self, definition: &Arc<Definition>) -> Result<Counts, Failure> {
        let mut counts = Counts::default();
        for index in 0..definition.s3.len() {
            counts = counts + self.crawl_folder(definition, index).await?;
        }
        for index in 0..definition.catalog.len() {
            counts = counts + self.crawl_table(definition, index).await?;
        }
        Ok(counts)
    }

    async fn crawl_folder(
        &self,
        definition: &Arc<Definition>,
        index: usize,
    ) -> Result<Counts, Failure> {
        let target = &definition.s3[index];
        let excludes = |below: &str| target.excludes(below);
        let mut folders = listing::list(&self.s3, &target.bucket, &target.prefix, excludes).await?;
        if definition.new_folders_only {
            let known = self
                .write(definition, move |writer| writer.known_folders(index))
                .await?
                .0;
            folders.retain(|path, _| !known.contains(path));
        }
        let folders = listing::open(&self.s3, target, folders).await?;
        let combine = definition.combine;
        self.write(definition, move |writer| {
            let definition = writer.definition;
            let target = &definition.s3[index];
            if definition.new_folders_only && writer.extends(target, &folders)? {
                return Ok(());
            }
            writer.target(target, &folders::tables(&folders, combine))
        })
        .await
        .map(|((), counts)| counts)
    }

    async fn crawl_table(
        &self,
        definition: &Arc<Definition>,
        index: usize,
    ) -> Result<Counts, Failure> {
        let (database, table) = definition.catalog[index].clone();
        let record = {
            let name = json!({"DatabaseName": database, "Name": table});
            self.write(definition, move |writer| tables::get(writer.store, &name))
                .await?
                .0
        };
        let (bucket, prefix) = descriptor::place(&record["Table"])
            .ok_or_else(|| format!("Table {database}.{table} has no location in S3."))?;
        let mut folders = listing::list(&self.s3, &bucket, &prefix, |_| false).await?;
        // Where nothing of the table may change, its files need not be opened:
        // partitions take the table's columns.
        if definition.update == UpdateBehavior::Update || !definition.inherit_from_table {
            folders = listing::read(&self.s3, &bucket, &prefix, folders, None).await?;
        }
        self.write(definition, move |writer| {
            writer.existing(&database, &table, &folders)
        })
        .await
        .map(|((), counts)| counts)
    }

    /// Runs `write` where it may block.
    async fn write<T: Send + 'static>(
        &self,
        definition: &Arc<Definition>,
        write: impl FnOnce(&mut Writer<'_>) -> Result<T, AwsError> + Send + 'static,
    ) -> Result<(T, Counts), Failure> {
        let (store, definition) = (Arc::clone(&self.store), Arc::clone(definition));
        tokio::task::spawn_blocking(move || {
            let mut writer = Writer::new(&store, &definition);
            let answer = write(&mut writer)?;
            Ok((answer, writer.counts))
        })
        .await
        .map_err(|error| format!("The crawl was broken off: {error}."))?
        .map_err(|error: AwsError| error.message)
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            tables_created: self.tables_created + other.tables_created,
            tables_updated: self.tables_updated + other.tables_updated,
            tables_deleted: self.tables_deleted + other.tables_deleted,
            partitions_created: self.partitions_created + other.partitions_created,
            partitions_updated: self.partitions_updated + other.partitions_updated,
            partitions_deleted: self.partitions_deleted + other.partitions_deleted,
        }
    }
}

/// An operation of crawlers.
pub(super) type Operation = fn(&Arc<Crawlers>, &Value, &Handle) -> Result<Value, AwsError>;
