//! The StockPipeline API of stockpipe: what a pipeline is, what is allowed, and
//! what its parts say about themselves. No I/O.
//!
//! - [`spec`]: the resource as a user writes it; [`schema`] makes the custom
//!   resource definition of it.
//! - [`yaml`]: from a file to a resource and back, with the line of whatever is
//!   wrong; [`admission`] is the API server's validation without one.
//! - [`resolve`]: from the resource to the [`pipeline`] that workers run, every
//!   default filled in.
//! - [`cron`] and [`run_key`]: when a report runs and which data it covers.
//! - [`status`], [`worker_status`] and [`run_record`]: what the operator,
//!   workers and runs say.

pub mod address;
pub mod admission;
pub mod amounts;
pub mod cron;
pub mod live;
pub mod names;
pub mod pipeline;
pub mod replay;
pub mod resolve;
mod rules;
pub mod run_key;
pub mod run_record;
pub mod schema;
pub mod spec;
pub mod status;
mod structural;
pub mod text;
mod violation;
pub mod worker_status;
pub mod yaml;

pub use pipeline::Pipeline;
pub use resolve::{CALENDARS, cluster_only_fields, resolve};
pub use spec::StockPipeline;
pub use violation::{LoadError, Violation};
pub use yaml::{load, to_yaml, validate};
