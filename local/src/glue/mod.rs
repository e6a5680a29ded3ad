//! Embedded glue.
