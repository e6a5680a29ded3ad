//! The control plane: turns a `StockPipeline` into workloads, jobs and a status.
//!
//! One reconcile reads from top to bottom in [`controller`]: dereference →
//! validate → build → apply → status. What it decides is pure ([`build`],
//! [`status`], [`autoscaler`], [`provision`], [`deletion`], [`lease`]); what
//! touches the API server is [`children`] (watches), [`apply`], [`election`]
//! and [`teardown`].

pub mod api;
pub mod apply;
pub mod autoscaler;
pub mod build;
pub mod check;
pub mod child_kind;
pub mod children;
pub mod claims;
pub mod context;
pub mod controller;
pub mod deletion;
pub mod discovery;
pub mod election;
pub mod events;
pub mod fence;
pub mod finalizer;
pub mod health;
pub mod install;
pub mod labels;
pub mod lease;
pub mod leaving;
pub mod metrics;
pub mod missed_runs;
pub mod network;
pub mod operator;
pub mod patience;
pub mod pipeline_ref;
pub mod poller;
pub mod preflight;
pub mod provision;
pub mod readiness;
pub mod replay;
pub mod resources;
pub mod run_now;
pub mod scope;
pub mod sessions;
pub mod settings;
pub mod status;
pub mod teardown;
pub mod validate;
pub mod worker_image;
pub mod worker_reports;
