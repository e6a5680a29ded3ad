//! A partition's log: append-only segment files of record batches.

pub(crate) mod batch;
pub(crate) mod index;
pub(crate) mod partition;
pub(crate) mod producers;
pub(crate) mod records;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod walk;

mod segments;

pub(crate) use segments::{AppendError, Appended, Limits, Log, Retention};
