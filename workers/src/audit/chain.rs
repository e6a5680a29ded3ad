//! One chain: that its claims tile, add up, and have their files.

use futures::{StreamExt, TryStreamExt};

use super::AuditError;
use super::file::{self, Place};
use super::log::Expected;
use super::orphans::Known;
use super::report::{Findings, Loss, PartitionAudit};
use super::sequence::Sequences;
use crate::ledger::{Amendment, AmendmentKind, Claim, ClaimKind, Entry, FileRef, PartitionLedger};
use crate::store::Store;

/// Files fetched ahead while one is read.
const AHEAD: usize = 2;

/// The audit of one chain.
pub struct Audit<'a> {
    pub chain: PartitionLedger,
    pub store: &'a Store,
    pub known: &'a mut Known,
    pub sequences: &'a mut Sequences,
    pub findings: &'a mut Findings,
}

impl Audit<'_> {
    /// Walks the claims up to the one that ends at `end`; the table's row, and what Kafka should have.
    pub async fn walk(&mut self, end: i64) -> Result<(PartitionAudit, Vec<Expected>), AuditError> {
        let (topic_id, partition) = (self.chain.topic_id(), self.chain.partition());
        self.known.chain(topic_id, partition, end);
        let mut row = PartitionAudit {
            topic_id,
            partition,
            base: 0,
            end,
            claims: 0,
            records: 0,
            rows: 0,
            quarantined: 0,
            heartbeats: 0,
            skipped_offsets: 0,
            late: 0,
            files: 0,
            bytes: 0,
            amended: 0,
            losses: Vec::new(),
            compared: 0,
        };
        match self.chain.genesis().await? {
            Some(genesis) => row.base = genesis.base,
            None => self.found(None, "the chain has claims and no genesis.json".to_owned()),
        }
        let mut expected = Vec::new();
        let mut next = row.base;
        let mut epoch = 0;
        let entries = self.chain.claims();
        let mut entries = std::pin::pin!(entries);
        while let Some(entry) = entries.try_next().await? {
            let claim = &entry.claim;
            if claim.start > end {
                break;
            }
            let at = Some((claim.start, claim.end));
            if self.chain.claim_key(claim.start) != entry.key {
                self.found(
                    at,
                    format!(
                        "the claim at {} says that it starts at {}",
                        entry.key, claim.start
                    ),
                );
            }
            if claim.start > next {
                self.found(
                    Some((next, claim.start - 1)),
                    "no claim has these offsets".to_owned(),
                );
            } else if claim.start < next {
                self.found(
                    Some((claim.start, next - 1)),
                    "two claims have these offsets".to_owned(),
                );
            }
            if claim.epoch < epoch {
                self.found(at, format!("epoch {} follows epoch {epoch}", claim.epoch));
            }
            next = claim.end + 1;
            epoch = claim.epoch;
            self.add_up(claim);
            let lost = self.look_at_files(&entry, end, &mut row).await?;
            row.claims += 1;
            row.records += claim.records;
            row.rows += claim.rows.saturating_sub(lost);
            row.quarantined += claim.quarantined;
            row.heartbeats += claim.heartbeats;
            row.skipped_offsets += claim.skipped_offsets;
            row.late += claim.late;
            if claim.kind == ClaimKind::Lost {
                row.losses.push(Loss {
                    start: claim.start,
                    end: claim.end,
                    rows: None,
                });
            }
            expected.push(Expected::from(claim));
        }
        if next != end + 1 {
            self.found(
                Some((next, end)),
                "the chain ends before its tip".to_owned(),
            );
        }
        Ok((row, expected))
    }

    fn found(&mut self, offsets: Option<(i64, i64)>, message: String) {
        self.findings
            .add(Some(self.chain.partition()), offsets, message);
    }

    /// `records = rows + quarantined + heartbeats`, and with the skipped offsets they fill the range.
    fn add_up(&mut self, claim: &Claim) {
        for what in sums(claim) {
            self.found(Some((claim.start, claim.end)), what);
        }
    }

    async fn look_at_files(
        &mut self,
        entry: &Entry,
        end: i64,
        row: &mut PartitionAudit,
    ) -> Result<u64, AuditError> {
        let claim = &entry.claim;
        let at = Some((claim.start, claim.end));
        let place = if claim.end == end {
            Place::Tip
        } else {
            Place::Inner
        };
        if place == Place::Tip {
            file::await_published(self.store, claim).await?;
        }
        let Effective {
            files,
            lost,
            amended,
        } = effective(entry);
        row.amended += amended;
        let lost_rows = lost.iter().map(|f| f.rows).sum();
        if !lost.is_empty() {
            row.losses.push(Loss {
                start: claim.start,
                end: claim.end,
                rows: Some(lost_rows),
            });
        }
        let store = self.store;
        let mut fetched =
            futures::stream::iter(files.into_iter().map(|(file, table)| async move {
                let bytes = file::fetch(store, claim, &file, place).await?;
                Ok::<_, AuditError>((file, table, bytes))
            }))
            .buffered(AHEAD);
        let mut wrong = Vec::new();
        while let Some((file, table, bytes)) = fetched.try_next().await? {
            if !self.known.file(&file.key) {
                wrong.push(format!("{} is the file of two claims", file.key));
            }
            if table == Table::Ticks {
                row.files += 1;
                row.bytes += file.bytes;
            }
            match (bytes, table) {
                (Err(what), _) => wrong.push(what),
                (Ok(bytes), Table::Ticks) => {
                    // Off the runtime's threads, and with the state of all rows so far.
                    let mut sequences = std::mem::take(self.sequences);
                    let (claim, name) = (claim.clone(), file.clone());
                    let read = tokio::task::spawn_blocking(move || {
                        let wrong = file::rows(bytes, &claim, &name, &mut sequences);
                        (wrong, sequences)
                    });
                    let (found, sequences) = read
                        .await
                        .map_err(|e| AuditError::Broken(format!("{}: {e}", file.key)))?;
                    *self.sequences = sequences;
                    wrong.extend(found);
                }
                (Ok(bytes), Table::Quarantine) => {
                    let lines = bytes.iter().filter(|b| **b == b'\n').count() as u64;
                    if lines != file.rows {
                        wrong.push(format!(
                            "{} has {lines} records, the claim says {}",
                            file.key, file.rows
                        ));
                    }
                }
            }
        }
        drop(fetched);
        for what in wrong {
            self.found(at, what);
        }
        Ok(lost_rows)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Ticks,
    Quarantine,
}

/// A claim's objects as its amendments leave them.
struct Effective {
    files: Vec<(FileRef, Table)>,
    lost: Vec<FileRef>,
    amended: u64,
}

fn effective(entry: &Entry) -> Effective {
    let ticks = entry.claim.files.iter().map(|f| (f.clone(), Table::Ticks));
    let quarantine = entry
        .claim
        .quarantine
        .iter()
        .map(|f| (f.clone(), Table::Quarantine));
    let mut out = Effective {
        files: ticks.chain(quarantine).collect(),
        lost: Vec::new(),
        amended: 0,
    };
    for Amendment { kind, files, .. } in &entry.amendments {
        match kind {
            AmendmentKind::Rebuilt => {
                out.amended += files.len() as u64;
                for (file, _) in &mut out.files {
                    if let Some(newer) = files.iter().find(|f| f.key == file.key) {
                        file.clone_from(newer);
                    }
                }
            }
            AmendmentKind::Lost => {
                out.files
                    .retain(|(file, _)| !files.iter().any(|f| f.key == file.key));
                out.lost.extend(files.iter().cloned());
            }
        }
    }
    out
}

/// What does not add up in a claim.
fn sums(claim: &Claim) -> Vec<String> {
    let mut wrong = Vec::new();
    let parts = claim.rows + claim.quarantined + claim.heartbeats;
    if claim.kind == ClaimKind::Lost {
        if claim.records + parts + claim.files.len() as u64 > 0 {
            wrong.push("a lost claim says that it has records".to_owned());
        }
        return wrong;
    }
    if claim.records != parts {
        wrong.push(format!(
            "{} records are not {} rows + {} quarantined + {} heartbeats",
            claim.records, claim.rows, claim.quarantined, claim.heartbeats
        ));
    }
    if claim.records + claim.skipped_offsets != claim.offsets() {
        wrong.push(format!(
            "{} records and {} skipped offsets do not fill {} offsets",
            claim.records,
            claim.skipped_offsets,
            claim.offsets()
        ));
    }
    let rows: u64 = claim.files.iter().map(|f| f.rows).sum();
    if rows != claim.rows {
        wrong.push(format!(
            "its files have {rows} rows, it says {}",
            claim.rows
        ));
    }
    let quarantined: u64 = claim.quarantine.iter().map(|f| f.rows).sum();
    if quarantined != claim.quarantined {
        wrong.push(format!(
            "its quarantine has {quarantined} records, it says {}",
            claim.quarantined
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::claim::tests::file;
    use crate::ledger::decide::tests::claim;

    fn sound() -> Claim {
        let mut claim = claim(1, 1, 0, 9);
        (claim.records, claim.rows, claim.heartbeats) = (9, 8, 1);
        claim.skipped_offsets = 1;
        claim.files = vec![FileRef { rows: 8, ..file() }];
        claim
    }

    #[test]
    fn a_claim_that_adds_up_has_nothing_wrong() {
        assert_eq!(sums(&sound()), Vec::<String>::new());
    }

    #[test]
    fn every_sum_of_a_claim_is_looked_at() {
        let cases: [(&str, fn(&mut Claim)); 5] = [
            ("are not", |c| c.heartbeats = 2),
            ("do not fill", |c| c.skipped_offsets = 0),
            ("files have", |c| c.files[0].rows = 7),
            ("quarantine has", |c| c.quarantine = vec![file()]),
            ("lost claim", |c| c.kind = ClaimKind::Lost),
        ];
        for (expected, change) in cases {
            let mut claim = sound();
            change(&mut claim);
            assert!(
                sums(&claim).iter().any(|w| w.contains(expected)),
                "{expected}"
            );
        }
    }

    #[test]
    fn amendments_replace_files_and_losses_take_them_away() {
        let newer = FileRef {
            crc64nvme: "newer".into(),
            ..file()
        };
        let amendment = |kind| Amendment {
            claim_id: sound().claim_id,
            kind,
            owner: "o".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            files: vec![newer.clone()],
        };
        let entry = |kind| Entry {
            key: String::new(),
            claim: sound(),
            amendments: vec![amendment(kind)],
        };
        let rebuilt = effective(&entry(AmendmentKind::Rebuilt));
        assert_eq!(
            (rebuilt.files[0].0.crc64nvme.as_str(), rebuilt.amended),
            ("newer", 1)
        );
        let lost = effective(&entry(AmendmentKind::Lost));
        assert_eq!((lost.files.len(), lost.lost.len()), (0, 1));
    }
}
