//! What each child was when we last wrote it, or found it as it should be.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::children::Child;
use crate::resources::Desired;

/// A child as it was when it was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Hash of what was wanted.
    pub hash: String,
    /// Its version then.
    pub version: Version,
}

/// What tells that a child has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// Counts changes of the spec; changes of metadata are seen beside it.
    Generation(i64),
    /// Counts every change, of kinds without a generation.
    Resource(String),
}

impl Version {
    /// The version of `child`.
    #[must_use]
    pub fn of(child: &Child) -> Self {
        match child.generation {
            Some(generation) => Self::Generation(generation),
            None => Self::Resource(child.resource_version.clone()),
        }
    }
}

impl Record {
    /// `child`, which is as `desired` wants it.
    #[must_use]
    pub fn of(desired: &Desired, child: &Child) -> Self {
        Self {
            hash: desired.hash.clone(),
            version: Version::of(child),
        }
    }
}

/// Records by UID, of this process alone.
#[derive(Default)]
pub struct Memory {
    records: Mutex<HashMap<String, Record>>,
}

impl Memory {
    /// The record of the child with that UID.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<Record> {
        self.lock().get(uid).cloned()
    }

    /// Keeps a record.
    pub fn remember(&self, uid: &str, record: Record) {
        self.lock().insert(uid.to_owned(), record);
    }

    /// Drops a record.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Drops the records of children that are gone.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| is_there(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
