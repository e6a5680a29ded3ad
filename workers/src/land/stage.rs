//! Stage: the files of a range as multipart uploads at their final keys, invisible until completed.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::buffer::Range;
use super::encode::{self, EncodeError};
use super::partitions::Registrar;
use crate::failpoint;
use crate::ledger::{Claim, ClaimKind, FileRef, Layout, Period, lake_root, topic_id8};
use crate::store::{self, PART_BYTES, Store};

/// `x-amz-meta-claim`: the claim that an object belongs to.
pub const CLAIM_METADATA: &str = "claim";

/// A range whose files are uploaded.
#[derive(Debug)]
pub struct Staged {
    /// Its claim, not yet made.
    pub claim: Claim,
    /// When its first row entered Kafka, ns.
    pub ingested_ns: Option<i64>,
}

/// Stages the ranges of one partition.
#[derive(Clone)]
pub struct Stager {
    /// The bucket.
    pub store: Store,
    /// Id of the lake.
    pub lake_id: Arc<str>,
    /// Prefix of the table.
    pub prefix: Arc<str>,
    /// Topic.
    pub topic_id: Uuid,
    /// Partition.
    pub partition: i32,
    /// How files are written.
    pub layout: Arc<Layout>,
    /// Uploads at a time, over all partitions.
    pub uploads: Arc<Semaphore>,
    /// Where new periods are registered ahead.
    pub registrar: Registrar,
    /// Name of this lander, for its claims.
    pub owner: Arc<str>,
}

impl Stager {
    /// Uploads the files of `range`: its claim, still without an epoch. Waits as long as the store is away.
    ///
    /// # Errors
    /// Where a file cannot be encoded.
    pub async fn stage(&self, range: Range) -> Result<Staged, EncodeError> {
        failpoint::hit("land.before-stage");
        let mut load = range.load;
        let (start, end, claim_id) = (range.start, range.end, range.claim_id);
        let mut files = Vec::with_capacity(range.files.len());
        for (number, file) in range.files.into_iter().enumerate() {
            if let Some(period) = file.period {
                self.registrar.want(period);
            }
            let key = self.file_key(file.period, start, end, number);
            let bytes = file.encoding.finish().await?;
            load.set(bytes.len() as u64 + range.quarantine.len() as u64);
            let upload = Upload {
                key,
                content_type: encode::content_type(&self.layout),
                claim_id,
                rows: file.rows,
                times: Some((file.min_ts, file.max_ts)),
            };
            files.push(self.upload(upload, bytes).await);
        }
        let mut quarantine = Vec::new();
        if !range.quarantine.is_empty() {
            let upload = Upload {
                key: self.quarantine_key(start, end),
                content_type: "application/x-ndjson",
                claim_id,
                rows: range.quarantined,
                times: None,
            };
            quarantine.push(self.upload(upload, range.quarantine.into()).await);
        }
        failpoint::hit("land.after-stage");
        let claim = Claim {
            claim_id,
            kind: ClaimKind::Data,
            epoch: 0,
            owner: self.owner.to_string(),
            claimed_at: Timestamp::now(),
            start,
            end,
            records: range.records,
            rows: range.rows,
            quarantined: range.quarantined,
            heartbeats: range.heartbeats,
            skipped_offsets: range.skipped_offsets,
            late: range.late,
            last_record: range.last,
            producers: range.carry.producers,
            watermark: range.watermark,
            closed_through: range.carry.closed_through,
            layout: Layout::clone(&self.layout),
            files,
            quarantine,
            trace: None,
        };
        Ok(Staged {
            claim,
            ingested_ns: range.ingested_ns,
        })
    }

    /// Drops the uploads of `objects`: only after another claim was read where theirs would be.
    pub async fn abort(&self, objects: impl Iterator<Item = &FileRef>) {
        for file in objects {
            // The store drops it later by itself if this fails.
            if let Err(error) = self.store.abort_upload(&file.key, &file.upload_id).await {
                tracing::debug!(%error, "an upload was left for the bucket's lifecycle rule");
            }
        }
    }

    /// `<prefix>/<period>/<topicId8>-<partition>-<start>-<end>-<n>.<ext>`.
    fn file_key(&self, period: Option<Period>, start: i64, end: i64, number: usize) -> String {
        let folder = period.map_or_else(String::new, |p| format!("{p}/"));
        format!(
            "{}/{folder}{}-{}-{start}-{end}-{number}.{}",
            self.prefix,
            topic_id8(self.topic_id),
            self.partition,
            encode::extension(&self.layout),
        )
    }

    fn quarantine_key(&self, start: i64, end: i64) -> String {
        format!(
            "{}/quarantine/{}/{}/{start:020}-{end:020}.jsonl",
            lake_root(&self.lake_id),
            self.topic_id,
            self.partition,
        )
    }

    async fn upload(&self, upload: Upload, bytes: Bytes) -> FileRef {
        let body = bytes.clone();
        let digests = tokio::task::spawn_blocking(move || {
            (store::crc64nvme(&body), hex::encode(Sha256::digest(&body)))
        });
        let (crc64nvme, sha256) = digests.await.expect("hashing does not panic");
        let claim = upload.claim_id.to_string();
        loop {
            let _permit = self
                .uploads
                .acquire()
                .await
                .expect("the semaphore is never closed");
            let metadata = [(CLAIM_METADATA, claim.as_str())];
            let upload_id = self
                .store
                .persist(|| {
                    self.store
                        .create_upload(&upload.key, upload.content_type, &metadata)
                })
                .await;
            if let Some(etags) = self.parts(&upload.key, &upload_id, &bytes).await {
                return FileRef {
                    key: upload.key,
                    upload_id,
                    etags,
                    rows: upload.rows,
                    bytes: bytes.len() as u64,
                    crc64nvme,
                    sha256,
                    min_ts: upload.times.map(|(min, _)| min),
                    max_ts: upload.times.map(|(_, max)| max),
                };
            }
        }
    }

    /// ETags of the parts; `None` where the store has forgotten the upload.
    async fn parts(&self, key: &str, upload_id: &str, bytes: &Bytes) -> Option<Vec<String>> {
        let mut etags = Vec::new();
        for (number, from) in (1..).zip((0..bytes.len().max(1)).step_by(PART_BYTES)) {
            failpoint::hit("land.between-parts");
            let part = bytes.slice(from..bytes.len().min(from + PART_BYTES));
            let etag = self
                .store
                .persist(|| async {
                    match self
                        .store
                        .upload_part(key, upload_id, number, part.clone())
                        .await
                    {
                        Err(e) if e.code() == Some("NoSuchUpload") => Ok(None),
                        other => other.map(Some),
                    }
                })
                .await?;
            etags.push(etag);
        }
        Some(etags)
    }
}

struct Upload {
    key: String,
    content_type: &'static str,
    claim_id: Uuid,
    rows: u64,
    times: Option<(i64, i64)>,
}
