//! S3, embedded: the real protocol on a store of our own.
//!
//! The protocol (parsing, SigV4, aws-chunked bodies, XML) is crate `s3s`; the
//! store is a folder of immutable blob files and an index of what they are.
//! What S3 promises holds here too, and tests hold it to that:
//!
//! - A condition (`If-None-Match: *`, `If-Match`) is decided in the transaction
//!   that writes: of any number of racing writers exactly one wins.
//! - An object appears whole and checked, or not at all.
//! - What was acknowledged survives kill -9, and with
//!   [`Durability::PowerLoss`] a loss of power.
//! - Bodies of any size take bounded memory, in both directions.
//!
//! Not there: versions, Object Lock, ACLs, policies, notifications, encryption
//! with keys of the client, and lifecycle rules other than those that abort
//! incomplete uploads. They are refused by name.

mod api;
mod assembly;
mod blobs;
mod checksum;
mod conditions;
mod error;
mod index;
mod lifecycle;
mod listing;
mod object;
mod reader;
mod receive;
mod rechunk;
mod service;
mod store;
#[cfg(test)]
mod tests;

pub use service::{Service, service};
pub use store::{Durability, OpenError, Store};
