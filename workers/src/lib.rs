//! The data plane of stockpipe: one module for each role of `stockpipe-worker`.
//!
//! A worker always speaks the real Kafka protocol and the real AWS APIs, to
//! whatever addresses the pipeline names; it never knows whether a cluster's
//! operator or `stockpipe up` started it.

pub mod analyze;
pub mod audit;
pub mod aws;
pub mod context;
pub mod crawl;
pub mod failpoint;
pub mod kafka;
pub mod land;
pub mod ledger;
pub mod metrics;
pub mod produce;
pub mod provision;
pub mod repair;
pub mod report;
pub mod rotation;
pub mod secrets;
pub mod service;
pub mod sessions;
pub mod status;
pub mod store;
pub mod teardown;
pub mod worker;
