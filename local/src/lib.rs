//! The `stockpipe` command and the embedded servers behind `stockpipe up`.
pub mod athena;
pub mod aws_front;
pub mod aws_json;
pub mod broker;
pub mod credentials;
pub mod glue;
pub mod s3;
pub mod sigv4;
