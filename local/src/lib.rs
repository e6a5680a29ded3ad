//! The `stockpipe` command and the embedded servers behind `stockpipe up`.
pub mod athena;
pub mod aws_front;
pub mod aws_json;
pub mod broker;
pub mod cli;
pub mod cloud;
pub mod credentials;
pub mod data_dir;
pub mod glue;
pub mod live;
pub mod progress;
pub mod quickstart;
mod record_file;
pub mod s3;
pub mod scheduler;
mod seldom;
pub mod sigv4;
pub mod supervisor;
