//! The topics of the broker and their directories.
//!
//! `topics/<topic id>/topic.json` makes a topic: its name, partition count and
//! configurations, replaced as a whole. Beside it each partition has a directory, made before
//! the file names it. A topic is deleted when its directory is renamed to `<topic id>.deleted`;
//! what lies in it is then removed, after a crash at the next start.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::atomic_file;
use super::log::partition::{Partition, Refusal};
use super::topic_config::TopicConfig;

/// Most partitions of one topic.
const MAX_PARTITIONS: usize = 1_000;

/// Most partitions of the broker: each has a file open.
const MAX_PARTITIONS_IN_ALL: usize = 4_000;

/// Longest topic name, as in Apache Kafka.
const MAX_NAME: usize = 249;

/// What the directory of a deleted topic ends in.
const DELETED: &str = "deleted";

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    directory: PathBuf,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    partitions: Vec<Arc<Partition>>,
    config: Arc<TopicConfig>,
}

/// `topic.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicFile {
    name: String,
    id: Uuid,
    partitions: usize,
    config: BTreeMap<String, String>,
}

/// Offsets up to which partitions were flushed, by `<topic id>/<partition>`.
pub(crate) type Checkpoint = BTreeMap<String, i64>;

/// All topics.
#[derive(Debug)]
pub(crate) struct Topics {
    directory: PathBuf,
    by_name: RwLock<BTreeMap<String, Arc<Topic>>>,
    /// Held while a topic is created, changed or deleted.
    change: Mutex<()>,
}

impl Topic {
    /// The partition with this index.
    pub(crate) fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        let index = usize::try_from(index).ok()?;
        self.state.read().partitions.get(index).cloned()
    }

    /// All partitions, by index.
    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.state.read().partitions.clone()
    }

    /// How many partitions it has.
    pub(crate) fn partition_count(&self) -> i32 {
        i32::try_from(self.state.read().partitions.len()).unwrap_or(i32::MAX)
    }

    /// Its configurations.
    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.state.read().config)
    }

    fn save(&self, partitions: usize, config: &TopicConfig) -> io::Result<()> {
        let file = TopicFile {
            name: self.name.clone(),
            id: self.id,
            partitions,
            config: config.as_map().clone(),
        };
        atomic_file::replace_json(&self.directory.join("topic.json"), &file)
    }

    /// Makes the directories of some partitions and opens them.
    fn make_partitions(&self, range: std::ops::Range<usize>) -> io::Result<Vec<Arc<Partition>>> {
        for index in range.clone() {
            fs::create_dir_all(self.directory.join(index.to_string()))?;
        }
        atomic_file::sync_directory(&self.directory)?;
        Ok(range.map(|index| self.open_partition(index, 0)).collect())
    }

    fn open_partition(&self, index: usize, flushed: i64) -> Arc<Partition> {
        let directory = self.directory.join(index.to_string());
        let name = format!("{}-{index}", self.name);
        Arc::new(Partition::open(name, &directory, flushed))
    }
}

impl Topics {
    /// Opens every topic under `directory`, which is made if it is missing.
    ///
    /// # Errors
    /// One sentence on the first topic file that cannot be read.
    pub(crate) fn open(directory: PathBuf, checkpoint: &Checkpoint) -> Result<Self, String> {
        let say =
            |path: &Path, error: io::Error| format!("cannot read {}: {error}", path.display());
        fs::create_dir_all(&directory).map_err(|error| say(&directory, error))?;
        let mut by_name = BTreeMap::new();
        for entry in fs::read_dir(&directory).map_err(|error| say(&directory, error))? {
            let path = entry.map_err(|error| say(&directory, error))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == DELETED)
            {
                fs::remove_dir_all(&path).map_err(|error| say(&path, error))?;
                continue;
            }
            let file = path.join("topic.json");
            let Some(topic) =
                atomic_file::read_json::<TopicFile>(&file).map_err(|error| say(&file, error))?
            else {
                discard_unfinished(&path)?;
                continue;
            };
            let topic = open_topic(path, topic, checkpoint)?;
            by_name.insert(topic.name.clone(), Arc::new(topic));
        }
        Ok(Self {
            directory,
            by_name: RwLock::new(by_name),
            change: Mutex::new(()),
        })
    }

    /// The topic of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.read().get(name).cloned()
    }

    /// The topic with this id.
    pub(crate) fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        let by_name = self.by_name.read();
        by_name.values().find(|topic| topic.id == id).cloned()
    }

    /// All topics, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.read().values().cloned().collect()
    }

    /// Whether the broker has this partition.
    pub(crate) fn has_partition(&self, topic: &str, index: i32) -> bool {
        self.get(topic)
            .is_some_and(|topic| (0..topic.partition_count()).contains(&index))
    }

    /// Checks whether a topic could be created.
    pub(crate) fn check_new(&self, name: &str, partitions: usize) -> Result<(), Refusal> {
        check_name(name)?;
        if self.get(name).is_some() {
            return Err(refuse(
                ResponseError::TopicAlreadyExists,
                format!("topic {name} already exists"),
            ));
        }
        self.check_growth(partitions, partitions)
    }

    /// Creates a topic; its directory is durable when this returns.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: usize,
        config: TopicConfig,
    ) -> Result<Arc<Topic>, Refusal> {
        let _change = self.change.lock();
        self.check_new(name, partitions)?;
        let id = Uuid::new_v4();
        let directory = self.directory.join(id.to_string());
        let topic = Topic {
            name: name.to_owned(),
            id,
            directory: directory.clone(),
            state: RwLock::new(State {
                partitions: Vec::new(),
                config: Arc::new(config),
            }),
        };
        let config = topic.config();
        let made = fs::create_dir_all(&directory)
            .and_then(|()| topic.make_partitions(0..partitions))
            .and_then(|made| topic.save(partitions, &config).map(|()| made))
            .and_then(|made| atomic_file::sync_directory(&self.directory).map(|()| made))
            .map_err(|error| cannot_write(&directory, &error))?;
        topic.state.write().partitions = made;
        let topic = Arc::new(topic);
        self.by_name
            .write()
            .insert(name.to_owned(), Arc::clone(&topic));
        Ok(topic)
    }

    /// Checks whether a topic could grow to `count` partitions.
    pub(crate) fn check_grow(&self, name: &str, count: i32) -> Result<Arc<Topic>, Refusal> {
        let topic = self.get(name).ok_or_else(|| unknown_topic(name))?;
        let current = topic.partition_count();
        if count <= current {
            return Err(refuse(
                ResponseError::InvalidPartitions,
                format!("topic {name} has {current} partitions, so it cannot grow to {count}"),
            ));
        }
        let (count, current) = (
            count.unsigned_abs() as usize,
            current.unsigned_abs() as usize,
        );
        self.check_growth(count, count - current)?;
        Ok(topic)
    }

    /// Grows a topic to `count` partitions.
    pub(crate) fn grow(&self, name: &str, count: i32) -> Result<(), Refusal> {
        let _change = self.change.lock();
        let topic = self.check_grow(name, count)?;
        let from = topic.partition_count().unsigned_abs() as usize;
        let to = count.unsigned_abs() as usize;
        let made = topic
            .make_partitions(from..to)
            .and_then(|made| topic.save(to, &topic.config()).map(|()| made))
            .map_err(|error| cannot_write(&topic.directory, &error))?;
        topic.state.write().partitions.extend(made);
        Ok(())
    }

    /// Deletes a topic: it is gone for good when this returns, whatever happens then. `forget` runs before another
    /// topic of its name can be made.
    pub(crate) fn delete(&self, name: &str, forget: impl FnOnce()) -> Result<Arc<Topic>, Refusal> {
        let _change = self.change.lock();
        let topic = self.get(name).ok_or_else(|| unknown_topic(name))?;
        let doomed = topic.directory.with_extension(DELETED);
        fs::rename(&topic.directory, &doomed)
            .and_then(|()| atomic_file::sync_directory(&self.directory))
            .map_err(|error| cannot_write(&topic.directory, &error))?;
        self.by_name.write().remove(name);
        for partition in topic.partitions() {
            partition.close();
        }
        forget();
        if let Err(error) = fs::remove_dir_all(&doomed) {
            tracing::warn!(
                "cannot remove {}, the log of a deleted topic: {error}; the next start removes it",
                doomed.display()
            );
        }
        Ok(topic)
    }

    /// Changes a topic's configurations by `edit`; with `only_check` nothing is kept.
    pub(crate) fn configure(
        &self,
        name: &str,
        only_check: bool,
        edit: impl FnOnce(&mut TopicConfig) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _change = self.change.lock();
        let topic = self.get(name).ok_or_else(|| unknown_topic(name))?;
        let mut config = TopicConfig::clone(&topic.config());
        edit(&mut config)?;
        if only_check {
            return Ok(());
        }
        let partitions = topic.partitions().len();
        topic
            .save(partitions, &config)
            .map_err(|error| cannot_write(&topic.directory, &error))?;
        topic.state.write().config = Arc::new(config);
        Ok(())
    }

    fn check_growth(&self, of_topic: usize, more: usize) -> Result<(), Refusal> {
        let all: usize = self
            .all()
            .iter()
            .map(|topic| topic.partitions().len())
            .sum();
        if of_topic == 0 {
            Err(refuse(
                ResponseError::InvalidPartitions,
                "a topic needs at least one partition".to_owned(),
            ))
        } else if of_topic > MAX_PARTITIONS || all + more > MAX_PARTITIONS_IN_ALL {
            Err(refuse(
                ResponseError::PolicyViolation,
                format!(
                    "the embedded broker has at most {MAX_PARTITIONS} partitions for each topic and {MAX_PARTITIONS_IN_ALL} in all"
                ),
            ))
        } else {
            Ok(())
        }
    }

    /// Where each partition was flushed up to, taking from `before` what is offline now.
    pub(crate) fn checkpoint(&self, before: &Checkpoint) -> Checkpoint {
        let mut checkpoint = Checkpoint::new();
        for topic in self.all() {
            for (index, partition) in topic.partitions().iter().enumerate() {
                let key = format!("{}/{index}", topic.id);
                if let Some(flushed) = partition.flushed().or_else(|| before.get(&key).copied()) {
                    checkpoint.insert(key, flushed);
                }
            }
        }
        checkpoint
    }
}

/// Checks a topic's name by Apache Kafka's rule.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty()
        || name.len() > MAX_NAME
        || [".", ".."].contains(&name)
        || !name.bytes().all(legal)
    {
        return Err(refuse(
            ResponseError::InvalidTopicException,
            format!(
                "a topic's name has 1 to {MAX_NAME} characters of a-z, A-Z, 0-9, '.', '_' and '-', and is neither '.' nor '..'"
            ),
        ));
    }
    Ok(())
}

fn refuse(code: ResponseError, message: String) -> Refusal {
    Refusal { code, message }
}

/// The refusal of a topic that does not exist.
pub(crate) fn unknown_topic(name: &str) -> Refusal {
    refuse(
        ResponseError::UnknownTopicOrPartition,
        format!("topic {name} does not exist"),
    )
}

fn cannot_write(path: &Path, error: &io::Error) -> Refusal {
    let message = format!("cannot write {}: {error}", path.display());
    tracing::error!("{message}");
    refuse(ResponseError::KafkaStorageError, message)
}

fn open_topic(
    directory: PathBuf,
    file: TopicFile,
    checkpoint: &Checkpoint,
) -> Result<Topic, String> {
    let pairs = file
        .config
        .into_iter()
        .map(|(name, value)| (name, Some(value)));
    let config = TopicConfig::new(pairs)
        .map_err(|error| format!("{}/topic.json: {error}", directory.display()))?;
    let topic = Topic {
        name: file.name,
        id: file.id,
        directory,
        state: RwLock::new(State {
            partitions: Vec::new(),
            config: Arc::new(config),
        }),
    };
    let flushed: HashMap<usize, i64> = (0..file.partitions)
        .filter_map(|index| {
            let offset = checkpoint.get(&format!("{}/{index}", topic.id))?;
            Some((index, *offset))
        })
        .collect();
    topic.state.write().partitions = (0..file.partitions)
        .map(|index| topic.open_partition(index, flushed.get(&index).copied().unwrap_or(0)))
        .collect();
    Ok(topic)
}

/// Removes what an interrupted creation left: a directory without `topic.json` and records.
fn discard_unfinished(directory: &Path) -> Result<(), String> {
    let say = |error: io::Error| format!("cannot read {}: {error}", directory.display());
    if !directory.is_dir() {
        return Ok(());
    }
    for partition in fs::read_dir(directory).map_err(say)? {
        let partition = partition.map_err(say)?.path();
        if !partition.is_dir() {
            continue;
        }
        for segment in fs::read_dir(&partition).map_err(say)? {
            if segment
                .and_then(|entry| entry.metadata())
                .map_err(say)?
                .len()
                > 0
            {
                return Err(format!(
                    "{} holds records but no topic.json that names their topic; restore the file or remove the directory",
                    directory.display()
                ));
            }
        }
    }
    fs::remove_dir_all(directory).map_err(say)
}
