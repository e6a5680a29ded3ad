//! How failures of the store are told to a client.

use std::io;

use s3s::{S3Error, S3ErrorCode, s3_error};

use crate::aws_json::{NO_SPACE, NO_SPACE_CODE};
use crate::seldom::Seldom;

pub(super) fn no_such_bucket(bucket: &str) -> S3Error {
    s3_error!(
        NoSuchBucket,
        "The specified bucket {bucket} does not exist."
    )
}

pub(super) fn no_such_key(key: &str) -> S3Error {
    s3_error!(NoSuchKey, "The specified key {key} does not exist.")
}

pub(super) fn no_such_upload(id: &str) -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified multipart upload {id} does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
}

/// A disk that is full, in the answer and in the log.
pub(super) fn no_space() -> S3Error {
    static FULL: Seldom = Seldom::new();
    if let Some(kept) = FULL.met() {
        tracing::error!(
            not_told = kept,
            "the disk that holds the data directory is full: writes to S3 are refused until there is room"
        );
    }
    let mut error = S3Error::with_message(S3ErrorCode::Custom(NO_SPACE_CODE.into()), NO_SPACE);
    error.set_status_code(http::StatusCode::INSUFFICIENT_STORAGE);
    error
}

/// A failure of the file system, with what was being done.
pub(super) fn io(doing: &str, source: io::Error) -> S3Error {
    if matches!(
        source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        return no_space();
    }
    tracing::error!(%source, "S3 store: {doing} failed");
    s3_error!(source, InternalError, "The store failed while {doing}.")
}

/// A failure of the index.
pub(super) fn index(source: redb::Error) -> S3Error {
    if let redb::Error::Io(inner) = &source
        && matches!(
            inner.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    {
        return no_space();
    }
    tracing::error!(%source, "S3 store: the index failed");
    s3_error!(source, InternalError, "The store's index failed.")
}

/// Something that cannot be, such as an index entry that does not decode.
pub(super) fn internal(what: String) -> S3Error {
    tracing::error!("S3 store: {what}");
    s3_error!(InternalError, "{what}")
}
