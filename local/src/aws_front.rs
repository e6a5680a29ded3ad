//! One port for S3, Glue and Athena.
