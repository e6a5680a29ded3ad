//! `stockpipe verify`: proves from the store and from Kafka that every record is in the lake exactly once.
//!
//! The tips are read first, so that a lake can be audited while it is landed:
//! what comes after them is not looked at. Memory is bounded by the number of
//! claims and files (a few bytes each), never by rows.

mod chain;
mod file;
mod log;
mod orphans;
mod report;
mod sequence;

use std::collections::HashSet;

use uuid::Uuid;

pub use report::{AuditReport, Finding, Findings, Loss, PartitionAudit, SequenceAudit};

use crate::aws::Clients;
use crate::context::Context;
use crate::kafka::admin;
use crate::ledger::{Ledger, Owner};
use crate::secrets::SecretError;
use crate::store::{Store, StoreError};
use orphans::Known;
use sequence::Sequences;

/// Why there is no audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The credentials are missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store refuses or is not reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was ever landed there.
    #[error("there is no lake at s3://{bucket}/{prefix}: no pipeline has prepared it yet")]
    NoLake {
        /// Bucket.
        bucket: String,
        /// Prefix.
        prefix: String,
    },
    /// The lake is another pipeline's.
    #[error("s3://{bucket}/{prefix} belongs to pipeline `{owner}`, and this is `{identity}`")]
    Owned {
        /// Bucket.
        bucket: String,
        /// Prefix.
        prefix: String,
        /// Whose it is.
        owner: String,
        /// Who asked.
        identity: String,
    },
    /// A part of the audit broke.
    #[error("the audit ended early: {0}")]
    Broken(String),
}

/// Audits the pipeline's lake.
///
/// # Errors
/// Where the audit cannot be made. What it finds wrong is in the report.
pub async fn verify(ctx: &Context) -> Result<AuditReport, AuditError> {
    let pipeline = &ctx.pipeline;
    let lake = &pipeline.lake;
    let clients = Clients::connect(&pipeline.aws, &ctx.secrets).await?;
    let store = Store::new(clients.s3, &lake.bucket);
    let owner = match Owner::read(&store, &lake.prefix).await? {
        Some(owner) if owner.identity == ctx.identity() => owner,
        Some(owner) => {
            return Err(AuditError::Owned {
                bucket: lake.bucket.clone(),
                prefix: lake.prefix.clone(),
                owner: owner.identity,
                identity: ctx.identity(),
            });
        }
        None => {
            return Err(AuditError::NoLake {
                bucket: lake.bucket.clone(),
                prefix: lake.prefix.clone(),
            });
        }
    };
    let ledger = Ledger::open(store.clone(), &owner.lake_id);
    let mut findings = Findings::default();

    let cut = ends(&ledger).await?;
    let current = current_topic(ctx, &mut findings).await;

    let mut known = Known::new(&lake.prefix);
    let mut sequences = Sequences::default();
    let mut partitions = Vec::new();
    for (topic_id, partition, end) in cut {
        let mut audit = chain::Audit {
            chain: ledger.partition(topic_id, partition),
            store: &store,
            known: &mut known,
            sequences: &mut sequences,
            findings: &mut findings,
        };
        let (mut row, expected) = audit.walk(end).await?;
        if current == Some(topic_id) {
            log::compare(ctx, &mut row, expected, &mut findings).await?;
        }
        partitions.push(row);
    }
    let unexplained = orphans::look(&store, &known).await?;
    if !unexplained.is_empty() {
        // The first claim of a partition may have landed meanwhile.
        for (topic_id, partition, _) in ends(&ledger).await? {
            known.begun(topic_id, partition);
        }
        orphans::tell(&store, &known, &unexplained, &mut findings);
    }
    let whole = partitions
        .iter()
        .all(|p| p.base == 0 && p.losses.is_empty());
    let sequences = sequences.conclude(whole, &mut findings);
    Ok(AuditReport {
        location: format!("s3://{}/{}", lake.bucket, lake.prefix),
        lake_id: owner.lake_id,
        partitions,
        sequences,
        findings,
    })
}

/// Every chain that has claims, and the last offset of them.
async fn ends(ledger: &Ledger) -> Result<Vec<(Uuid, i32, i64)>, StoreError> {
    let mut ends = Vec::new();
    for topic_id in ledger.topics().await? {
        for partition in ledger.partitions(topic_id).await? {
            if let Some(tip) = ledger.exact_tip(topic_id, partition).await? {
                ends.push((topic_id, partition, tip.end));
            }
        }
    }
    Ok(ends)
}

/// Id of the topic as Kafka has it now.
async fn current_topic(ctx: &Context, findings: &mut Findings) -> Option<Uuid> {
    let kafka = &ctx.pipeline.kafka;
    let bootstrap = kafka.bootstrap_servers.as_deref().unwrap_or_default();
    match admin::topic_id(bootstrap, &kafka.topic.name).await {
        Ok(id) => Some(id),
        Err(error) => {
            findings.add(
                None,
                None,
                format!("the lake was not compared with Kafka: {error}"),
            );
            None
        }
    }
}

/// Few bytes that stand for a key.
type KeySet = HashSet<u64>;
