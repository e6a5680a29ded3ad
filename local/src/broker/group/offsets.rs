//! Committed offsets, in a file of one JSON line for each commit.
//!
//! A commit is in the file before it is answered. The last line of a partition counts; the
//! file is rewritten when most of its lines no longer do.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::broker::atomic_file;

/// Superseded lines that are tolerated beside as many as count.
const SLACK_LINES: usize = 10_000;

/// What a consumer committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    /// Offset of the next record to consume.
    pub(crate) offset: i64,
    /// Leader epoch of the last consumed record, -1 if unknown.
    pub(crate) epoch: i32,
    /// The consumer's own note.
    pub(crate) metadata: String,
}

/// Topic and partition.
pub(crate) type Key = (String, i32);

#[derive(Serialize, Deserialize)]
struct Line {
    group: String,
    topic: String,
    partition: i32,
    #[serde(flatten)]
    committed: Committed,
}

/// The committed offsets of all groups.
#[derive(Debug)]
pub(crate) struct Offsets {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    bytes: u64,
    lines: usize,
    dirty: bool,
    groups: HashMap<String, BTreeMap<Key, Committed>>,
}

impl State {
    fn live_lines(&self) -> usize {
        self.groups.values().map(BTreeMap::len).sum()
    }
}

impl Offsets {
    /// Reads the file; a torn last line, which no consumer had an answer for, is cut off.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = open_file(&path)?;
        let text = std::fs::read(&path)?;
        let mut state = State {
            file,
            bytes: 0,
            lines: 0,
            dirty: false,
            groups: HashMap::new(),
        };
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.ends_with(b"\n");
            let Some(parsed) = whole
                .then(|| serde_json::from_slice::<Line>(line).ok())
                .flatten()
            else {
                break;
            };
            state.bytes += line.len() as u64;
            state.lines += 1;
            state
                .groups
                .entry(parsed.group)
                .or_default()
                .insert((parsed.topic, parsed.partition), parsed.committed);
        }
        let torn = text.len() as u64 - state.bytes;
        if torn > 0 {
            tracing::warn!("cut a torn tail of {torn} bytes off {}", path.display());
            state.file.set_len(state.bytes)?;
        }
        Ok(Self {
            path,
            state: Mutex::new(state),
        })
    }

    /// Commits offsets of a group, all or none.
    pub(crate) fn commit(&self, group: &str, commits: Vec<(Key, Committed)>) -> io::Result<()> {
        if commits.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        for ((topic, partition), committed) in &commits {
            push_line(&mut text, group, topic, *partition, committed)?;
        }
        let mut state = self.state.lock();
        let at = state.bytes;
        if let Err(error) = state.file.write_all_at(&text, at) {
            state.file.set_len(at)?;
            return Err(error);
        }
        state.bytes += text.len() as u64;
        state.lines += commits.len();
        state.dirty = true;
        state
            .groups
            .entry(group.to_owned())
            .or_default()
            .extend(commits);
        if state.lines > 2 * state.live_lines() + SLACK_LINES {
            self.rewrite(&mut state)?;
        }
        Ok(())
    }

    /// Forgets what was committed for topics that `exists` denies, in every group; durable when this returns.
    pub(crate) fn forget(&self, exists: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut state = self.state.lock();
        let before = state.live_lines();
        for commits in state.groups.values_mut() {
            commits.retain(|(topic, _), _| exists(topic));
        }
        state.groups.retain(|_, commits| !commits.is_empty());
        if state.live_lines() < before {
            self.rewrite(&mut state)?;
        }
        Ok(())
    }

    /// Forgets all that a group committed; durable when this returns. Whether there was anything.
    pub(crate) fn forget_group(&self, group: &str) -> io::Result<bool> {
        let mut state = self.state.lock();
        let Some(forgotten) = state.groups.remove(group) else {
            return Ok(false);
        };
        if let Err(error) = self.rewrite(&mut state) {
            // The file still has them.
            state.groups.insert(group.to_owned(), forgotten);
            return Err(error);
        }
        Ok(true)
    }

    /// The groups that have committed something.
    pub(crate) fn groups(&self) -> Vec<String> {
        self.state.lock().groups.keys().cloned().collect()
    }

    fn rewrite(&self, state: &mut State) -> io::Result<()> {
        let mut text = Vec::new();
        for (group, commits) in &state.groups {
            for ((topic, partition), committed) in commits {
                push_line(&mut text, group, topic, *partition, committed)?;
            }
        }
        atomic_file::replace(&self.path, &text)?;
        state.file = open_file(&self.path)?;
        state.bytes = text.len() as u64;
        state.lines = state.live_lines();
        state.dirty = false;
        Ok(())
    }

    /// What a group committed for a partition.
    pub(crate) fn get(&self, group: &str, key: &Key) -> Option<Committed> {
        self.state.lock().groups.get(group)?.get(key).cloned()
    }

    /// Everything that a group committed.
    pub(crate) fn all(&self, group: &str) -> BTreeMap<Key, Committed> {
        let state = self.state.lock();
        state.groups.get(group).cloned().unwrap_or_default()
    }

    /// Syncs the file if something was committed since the last time.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let file = {
            let mut state = self.state.lock();
            if !state.dirty {
                return Ok(());
            }
            let file = state.file.try_clone()?;
            state.dirty = false;
            file
        };
        file.sync_data()
            .inspect_err(|_| self.state.lock().dirty = true)
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn push_line(
    text: &mut Vec<u8>,
    group: &str,
    topic: &str,
    partition: i32,
    committed: &Committed,
) -> io::Result<()> {
    let line = Line {
        group: group.to_owned(),
        topic: topic.to_owned(),
        partition,
        committed: committed.clone(),
    };
    serde_json::to_writer(&mut *text, &line)?;
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(offset: i64) -> Committed {
        Committed {
            offset,
            epoch: -1,
            metadata: "a \"note\"\n".to_owned(),
        }
    }

    fn key(partition: i32) -> Key {
        ("ticks".to_owned(), partition)
    }

    #[test]
    fn commits_are_read_back_after_a_restart_and_the_last_one_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets.jsonl");
        let offsets = Offsets::open(path.clone()).unwrap();
        offsets
            .commit("g", vec![(key(0), committed(1)), (key(1), committed(5))])
            .unwrap();
        offsets.commit("g", vec![(key(0), committed(2))]).unwrap();
        offsets.commit("h", vec![(key(0), committed(9))]).unwrap();
        let again = Offsets::open(path).unwrap();
        assert_eq!(again.get("g", &key(0)), Some(committed(2)));
        assert_eq!(again.get("h", &key(0)), Some(committed(9)));
        assert_eq!(again.get("h", &key(1)), None);
        assert_eq!(again.all("g").len(), 2);
    }

    #[test]
    fn a_torn_last_line_is_cut_and_commits_go_on_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets.jsonl");
        let offsets = Offsets::open(path.clone()).unwrap();
        offsets.commit("g", vec![(key(0), committed(1))]).unwrap();
        offsets.commit("g", vec![(key(0), committed(2))]).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length - 3)
            .unwrap();
        let torn = Offsets::open(path.clone()).unwrap();
        assert_eq!(torn.get("g", &key(0)), Some(committed(1)));
        torn.commit("g", vec![(key(0), committed(3))]).unwrap();
        assert_eq!(
            Offsets::open(path).unwrap().get("g", &key(0)),
            Some(committed(3))
        );
    }

    #[test]
    fn what_was_committed_for_a_topic_that_is_gone_is_forgotten_in_every_group() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets.jsonl");
        let offsets = Offsets::open(path.clone()).unwrap();
        let other = ("quotes".to_owned(), 0);
        for group in ["g", "h"] {
            let commits = vec![(key(0), committed(1)), (key(1), committed(2))];
            offsets.commit(group, commits).unwrap();
        }
        offsets
            .commit("g", vec![(other.clone(), committed(3))])
            .unwrap();
        offsets.forget(|topic| topic != "ticks").unwrap();
        let again = Offsets::open(path).unwrap();
        for offsets in [&offsets, &again] {
            let left: Vec<_> = offsets.all("g").into_keys().collect();
            assert_eq!(left, std::slice::from_ref(&other));
            assert!(offsets.all("h").is_empty());
        }
        // Commits go on in the file that was written anew.
        offsets.commit("h", vec![(key(0), committed(4))]).unwrap();
        let again = Offsets::open(directory.path().join("offsets.jsonl")).unwrap();
        assert_eq!(again.get("h", &key(0)), Some(committed(4)));
    }

    #[test]
    fn the_file_does_not_grow_with_the_number_of_commits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets.jsonl");
        let offsets = Offsets::open(path.clone()).unwrap();
        for offset in 0..2 * SLACK_LINES as i64 {
            offsets
                .commit("g", vec![(key(0), committed(offset))])
                .unwrap();
        }
        offsets.flush().unwrap();
        let again = Offsets::open(path).unwrap();
        assert_eq!(
            again.get("g", &key(0)),
            Some(committed(2 * SLACK_LINES as i64 - 1))
        );
        assert!(again.state.lock().lines <= SLACK_LINES + 2);
    }
}
