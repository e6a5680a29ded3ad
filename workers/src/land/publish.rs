//! Publish: makes the files of a claim visible. Anyone can do it from the claim alone.

use super::stage::CLAIM_METADATA;
use crate::failpoint;
use crate::ledger::FileRef;
use crate::store::{Completion, ObjectHead, Store};
use uuid::Uuid;

/// How far publishing came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Neither object nor upload is there.
    pub gone: Vec<FileRef>,
    /// Another object is there.
    pub foreign: Vec<FileRef>,
}

impl Outcome {
    /// Whether every file is visible.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.gone.is_empty() && self.foreign.is_empty()
    }
}

/// Completes the uploads of `files` of the claim `claim_id`. Waits as long as the store is away.
pub async fn publish(store: &Store, claim_id: Uuid, files: &[FileRef]) -> Outcome {
    failpoint::hit("land.before-publish");
    let mut outcome = Outcome::default();
    for (number, file) in files.iter().enumerate() {
        if number > 0 {
            failpoint::hit("land.between-publishes");
        }
        let completion = store
            .persist(|| {
                store.complete_if_absent(&file.key, &file.upload_id, &file.etags, &file.crc64nvme)
            })
            .await;
        if completion == Completion::Created {
            continue;
        }
        // Completed before (the answer may have been lost), by us or by another; or aborted.
        match store.persist(|| store.head(&file.key)).await {
            Some(head) if is_file(&head, claim_id, file) => {}
            Some(_) => outcome.foreign.push(file.clone()),
            None => outcome.gone.push(file.clone()),
        }
    }
    failpoint::hit("land.after-publish");
    outcome
}

/// Whether the object that `head` tells of is `file` of the claim `claim_id`.
/// A store that keeps no checksum is believed on size and claim; `verify` reads the bytes.
#[must_use]
pub fn is_file(head: &ObjectHead, claim_id: Uuid, file: &FileRef) -> bool {
    head.size == file.bytes
        && head
            .crc64nvme
            .as_ref()
            .is_none_or(|crc| *crc == file.crc64nvme)
        && head.metadata.get(CLAIM_METADATA).map(String::as_str)
            == Some(claim_id.to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_a_claims_file_by_size_checksum_and_claim_id() {
        let file = crate::ledger::claim::tests::file();
        let id = Uuid::from_u128(1);
        let head = |size, crc: Option<&str>, claim: Uuid| ObjectHead {
            size,
            crc64nvme: crc.map(str::to_owned),
            metadata: [(CLAIM_METADATA.to_owned(), claim.to_string())].into(),
        };
        assert!(is_file(&head(100, Some("x"), id), id, &file));
        assert!(
            is_file(&head(100, None, id), id, &file),
            "a store without checksums"
        );
        assert!(!is_file(&head(99, Some("x"), id), id, &file));
        assert!(!is_file(&head(100, Some("z"), id), id, &file));
        assert!(!is_file(
            &head(100, Some("x"), Uuid::from_u128(2)),
            id,
            &file
        ));
    }
}
