//! Producer ids: each is given out once, ever.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::atomic_file;

/// Ids reserved at once; those left over when the broker stops are skipped.
const BLOCK: i64 = 1_000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProducerIdFile {
    next_block: i64,
}

/// Gives out producer ids from blocks that are written down before they are used.
#[derive(Debug)]
pub(crate) struct ProducerIds {
    path: PathBuf,
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// Goes on after the last block that `path` names.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = atomic_file::read_json::<ProducerIdFile>(&path)?;
        let next = file.map_or(0, |file| file.next_block);
        Ok(Self {
            path,
            block: Mutex::new(next..next),
        })
    }

    /// An id that no producer has had.
    ///
    /// # Errors
    /// The next block could not be written down.
    pub(crate) fn next(&self) -> io::Result<i64> {
        let mut block = self.block.lock();
        if block.is_empty() {
            let next = block.end..block.end + BLOCK;
            atomic_file::replace_json(
                &self.path,
                &ProducerIdFile {
                    next_block: next.end,
                },
            )?;
            *block = next;
        }
        let id = block.start;
        block.start += 1;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_id_is_given_out_twice_across_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("producer-ids.json");
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let ids = ProducerIds::open(path.clone()).unwrap();
            for _ in 0..BLOCK + 5 {
                assert!(seen.insert(ids.next().unwrap()));
            }
        }
    }
}
