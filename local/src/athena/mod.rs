//! Embedded athena.
