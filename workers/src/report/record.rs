//! The run record: claimed and finished by conditional writes.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use stockpipe_crds::run_key::{RunKey, RunKind};
use stockpipe_crds::run_record::RunRecord;

use super::ReportError;
use crate::aws::explain;
use crate::store::{Put, Store};

/// A record as it lies in the store, with the version that the next write must replace.
#[derive(Clone, Debug)]
pub struct Held {
    /// The record.
    pub record: RunRecord,
    etag: String,
}

/// The records of one lake.
#[derive(Clone, Debug)]
pub struct Records {
    s3: Client,
    store: Store,
    lake_id: String,
}

impl Records {
    /// The records of lake `lake_id` in `bucket`.
    pub fn new(s3: Client, bucket: &str, lake_id: &str) -> Self {
        Self {
            store: Store::new(s3.clone(), bucket),
            s3,
            lake_id: lake_id.to_owned(),
        }
    }

    fn key(&self, run: &RunKey, attempt: u32) -> String {
        RunRecord::object_key(&self.lake_id, run, attempt)
    }

    /// Claims the run with `record`, or finds the record that is there: finished, of
    /// a worker that is still at it, or of one that died and is taken over.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn claim(&self, record: RunRecord) -> Result<Held, ReportError> {
        let key = self.key(&record.run_key, record.attempt);
        if self.store.put_json_if_absent(&key, &record).await? == Put::Created {
            tracing::debug!(key, "claimed the run");
        }
        self.read(&record.run_key, record.attempt)
            .await?
            .ok_or(ReportError::Vanished(key))
    }

    /// The record of a run; `None` where nobody has claimed it.
    ///
    /// # Errors
    /// Where the store refuses or is not reached, or the object is no run record.
    pub async fn read(&self, run: &RunKey, attempt: u32) -> Result<Option<Held>, ReportError> {
        let key = self.key(run, attempt);
        let got = self
            .s3
            .get_object()
            .bucket(self.store.bucket())
            .key(&key)
            .send()
            .await;
        let output = match got {
            Ok(output) => output,
            Err(e)
                if e.as_service_error().and_then(ProvideErrorMetadata::code)
                    == Some("NoSuchKey") =>
            {
                return Ok(None);
            }
            Err(e) => return Err(ReportError::aws(format!("read run record {key}"), &e)),
        };
        let etag = output.e_tag.clone().unwrap_or_default();
        let body = output
            .body
            .collect()
            .await
            .map_err(|e| ReportError::Record {
                key: key.clone(),
                why: e.to_string(),
            })?;
        let record =
            serde_json::from_slice(&body.into_bytes()).map_err(|e| ReportError::Record {
                key,
                why: e.to_string(),
            })?;
        Ok(Some(Held { record, etag }))
    }

    /// Replaces the held record by `record`, unless another worker was faster: then
    /// what that worker wrote is returned and `record` is not written.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn replace(&self, held: &Held, record: RunRecord) -> Result<Held, ReportError> {
        let key = self.key(&record.run_key, record.attempt);
        let body = serde_json::to_vec(&record).expect("a run record has only string keys");
        let mut attempt = 0;
        loop {
            attempt += 1;
            let put = self
                .s3
                .put_object()
                .bucket(self.store.bucket())
                .key(&key)
                .if_match(&held.etag)
                .body(ByteStream::from(body.clone()))
                .send()
                .await;
            match put {
                Ok(output) => {
                    return Ok(Held {
                        record,
                        etag: output.e_tag.unwrap_or_default(),
                    });
                }
                Err(e) => match e.raw_response().map(|r| r.status().as_u16()) {
                    // Another's write, or our own that the SDK repeated after it had landed: both are read.
                    Some(412) => {
                        return self
                            .read(&record.run_key, record.attempt)
                            .await?
                            .ok_or(ReportError::Vanished(key));
                    }
                    // S3 answers 409 while another conditional write of the key is under way.
                    Some(409) if attempt < 8 => {
                        tokio::time::sleep(std::time::Duration::from_millis(50 * attempt)).await;
                    }
                    _ => {
                        return Err(ReportError::Aws {
                            action: format!("write run record {key}"),
                            why: explain(&e),
                            outage: e.raw_response().is_none_or(|r| r.status().as_u16() >= 500),
                        });
                    }
                },
            }
        }
    }

    /// The newest run of a kind and name, its newest attempt; `None` where it never ran.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn newest(
        &self,
        kind: RunKind,
        name: &str,
        now: jiff::Timestamp,
    ) -> Result<Option<RunRecord>, ReportError> {
        let prefix = format!(
            "{}/runs/{}/{name}@",
            crate::ledger::lake_root(&self.lake_id),
            kind.as_str()
        );
        // Keys sort by time: most often the last months hold the newest.
        let recent = now - jiff::SignedDuration::from_hours(24 * 60);
        let after = format!("{prefix}{}", recent.strftime("%Y-%m-%d"));
        for pages in [
            self.store.list(&prefix).after(&after),
            self.store.list(&prefix),
        ] {
            let mut pages = pages;
            let mut newest: Option<(RunKey, u32)> = None;
            while let Some(page) = pages.next().await? {
                for object in page {
                    let found = parse_key(&object.key, &self.lake_id);
                    newest = newest.max(found);
                }
            }
            if let Some((run, attempt)) = newest {
                return Ok(self.read(&run, attempt).await?.map(|held| held.record));
            }
        }
        Ok(None)
    }
}

/// Run key and attempt of a record's key.
fn parse_key(key: &str, lake_id: &str) -> Option<(RunKey, u32)> {
    let rest = key
        .strip_prefix(&crate::ledger::lake_root(lake_id))?
        .strip_prefix("/runs/")?;
    let (run, attempt) = rest.strip_suffix(".json")?.rsplit_once('/')?;
    Some((run.parse().ok()?, attempt.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_key_names_run_and_attempt() {
        let run: RunKey = "report/daily@2026-11-20".parse().unwrap();
        let key = RunRecord::object_key("L1", &run, 12);
        assert_eq!(parse_key(&key, "L1"), Some((run, 12)));
        assert_eq!(parse_key("_stockpipe/L1/ledger/x.json", "L1"), None);
    }

    #[test]
    fn the_newest_run_is_the_latest_interval_and_its_latest_attempt() {
        let parse = |text: &str, attempt| Some((text.parse::<RunKey>().unwrap(), attempt));
        let older = parse("report/daily@2026-11-19", 7);
        let first = parse("report/daily@2026-11-20", 2);
        let tenth = parse("report/daily@2026-11-20", 10);
        assert_eq!(None.max(older.clone()).max(tenth.clone()).max(first), tenth);
    }
}
