//! What the end-to-end tests stand on: our binaries as processes, and the
//! services beside them. Everything listens on loopback, on free ports, and
//! ends with the value that started it.

pub mod process;
pub mod python;
pub mod real_kafka;
pub mod stack;
