//! Glue partitions, registered ahead of the rows and apart from landing.
//!
//! A period that is not registered holds back the watermark that reports rely
//! on, never a record.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_glue::Client;
use aws_sdk_glue::types::{PartitionInput, StorageDescriptor};
use stockpipe_crds::pipeline::Pipeline;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ledger::Period;

/// Partitions of one call: Glue's limit.
const BATCH: usize = 100;
/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Registers periods in Glue. Cheap to clone.
#[derive(Clone)]
pub struct Registrar {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Counts changes, so that waiters can tell that there was one.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    wanted: BTreeSet<Period>,
    registered: BTreeSet<Period>,
    trouble: Option<String>,
}

impl Registrar {
    /// A registrar with nothing to do; [`run`](Self::run) does it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                changes: watch::Sender::new(0),
            }),
        }
    }

    /// Asks for `period` and the one after it. Returns at once.
    pub fn want(&self, period: Period) {
        self.change(|state| {
            let mut changed = false;
            for period in [period, period.next()] {
                changed |= !state.registered.contains(&period) && state.wanted.insert(period);
            }
            changed
        });
    }

    /// Whether `period` is registered.
    #[must_use]
    pub fn is_registered(&self, period: &Period) -> bool {
        self.look(|state| state.registered.contains(period))
    }

    /// Why periods cannot be registered at present.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.look(|state| state.trouble.clone())
    }

    /// Tells of changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Registers what is wanted, until `stop`.
    pub async fn run(self, glue: Client, pipeline: Arc<Pipeline>, stop: CancellationToken) {
        let mut changes = self.changes();
        let mut pause = Duration::from_millis(200);
        let work = async {
            loop {
                let batch: Vec<Period> =
                    self.look(|state| state.wanted.iter().take(BATCH).copied().collect());
                if batch.is_empty() {
                    if changes.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                match register(&glue, &pipeline, &batch).await {
                    Ok(()) => {
                        pause = Duration::from_millis(200);
                        self.done(&batch);
                    }
                    Err(why) => {
                        self.failed(why);
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(MAX_PAUSE);
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    fn done(&self, batch: &[Period]) {
        self.change(|state| {
            for period in batch {
                state.wanted.remove(period);
                state.registered.insert(*period);
            }
            if state.trouble.take().is_some() {
                tracing::info!("Glue takes partitions again");
            }
            true
        });
    }

    fn failed(&self, why: String) {
        self.change(|state| {
            if state.trouble.is_none() {
                tracing::warn!(
                    "cannot register partitions in Glue: {why}; landing goes on, reports wait, and this is retried"
                );
            }
            state.trouble = Some(why);
            false
        });
    }

    fn look<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(
            &self
                .inner
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn change(&self, write: impl FnOnce(&mut State) -> bool) {
        let changed = write(
            &mut self
                .inner
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        if changed {
            self.inner.changes.send_modify(|n| *n += 1);
        }
    }
}

impl Default for Registrar {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers every period of `batch`; one that is there already is fine.
async fn register(glue: &Client, pipeline: &Pipeline, batch: &[Period]) -> Result<(), String> {
    let (database, table) = (&pipeline.catalog.database, &pipeline.catalog.table);
    let found = glue
        .get_table()
        .database_name(database)
        .name(table)
        .send()
        .await
        .map_err(|e| format!("table {database}.{table}: {}", crate::aws::explain(&e)))?;
    // A partition is read as its table is; only the folder differs.
    let descriptor = found
        .table
        .and_then(|t| t.storage_descriptor)
        .ok_or_else(|| format!("table {database}.{table} has no storage descriptor"))?;
    let lake = &pipeline.lake;
    let inputs = batch.iter().map(|period| {
        let location = format!("s3://{}/{}/{period}/", lake.bucket, lake.prefix);
        let mut descriptor: StorageDescriptor = descriptor.clone();
        descriptor.location = Some(location);
        PartitionInput::builder()
            .set_values(Some(period.partition_values()))
            .storage_descriptor(descriptor)
            .build()
    });
    let answer = glue
        .batch_create_partition()
        .database_name(database)
        .table_name(table)
        .set_partition_input_list(Some(inputs.collect()))
        .send()
        .await
        .map_err(|e| crate::aws::explain(&e))?;
    let refused = answer.errors().iter().find_map(|e| {
        let detail = e.error_detail()?;
        let code = detail.error_code().unwrap_or_default();
        (code != "AlreadyExistsException").then(|| {
            let message = detail.error_message().unwrap_or_default();
            format!("partition {:?}: {code}: {message}", e.partition_values())
        })
    });
    refused.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_wanted_with_the_one_after_it_until_both_are_registered() {
        let registrar = Registrar::new();
        let period: Period = "dt=2026-11-20/hour=23".parse().unwrap();
        let changes = registrar.changes();
        registrar.want(period);
        let wanted =
            registrar.look(|s| s.wanted.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(wanted, ["dt=2026-11-20/hour=23", "dt=2026-11-21/hour=00"]);
        assert!(changes.has_changed().unwrap());
        registrar.failed("no".to_owned());
        assert_eq!(registrar.trouble().as_deref(), Some("no"));
        registrar.done(&[period, period.next()]);
        assert!(registrar.is_registered(&period) && registrar.trouble().is_none());
        registrar.want(period);
        assert!(registrar.look(|s| s.wanted.is_empty()));
    }
}
