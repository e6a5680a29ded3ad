//! Embedded s3.
