//! The AWS JSON 1.1 protocol: its services and its errors.

use async_trait::async_trait;
use serde_json::{Value, json};

/// A service of the AWS JSON 1.1 protocol: Glue and Athena are two of them.
///
/// The front has verified the signature, the host and the size of the body
/// before it calls a service.
#[async_trait]
pub trait JsonService: Send + Sync + 'static {
    /// Answers one operation, named as in `X-Amz-Target` after the dot
    /// (`GetTables`), with the fields of its response.
    ///
    /// # Errors
    /// The operation's own AWS error; an operation that the service does not
    /// have is [`AwsError::unknown_operation`].
    async fn handle(&self, op: &str, body: Value) -> Result<Value, AwsError>;
}

/// The code of an answer to a full disk. AWS has none, for it is never full; this one is WebDAV's (RFC 4918), and its
/// status 507 is not tried again by SDKs.
pub(crate) const NO_SPACE_CODE: &str = "InsufficientStorage";
/// What S3, Glue and Athena say of it.
pub(crate) const NO_SPACE: &str =
    "The disk that holds the data directory is full: make room there and try again.";

/// An error with an AWS code, answered as `{"__type": code, "message": …}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// HTTP status, 400, 403, 413, 500 or 507.
    pub status: u16,
    /// AWS exception name, for instance `EntityNotFoundException`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}

impl AwsError {
    /// A client's error (400).
    pub fn client(code: &'static str, message: impl Into<String>) -> Self {
        Self::with_status(400, code, message)
    }

    /// A server's error (500).
    pub fn internal(message: impl Into<String>) -> Self {
        Self::with_status(500, "InternalServiceException", message)
    }

    /// An error with a status of its own.
    pub fn with_status(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// A disk that is full.
    pub fn no_space() -> Self {
        Self::with_status(507, NO_SPACE_CODE, NO_SPACE)
    }

    /// An operation that this service does not have, or does not have yet.
    pub fn unknown_operation(service: &str, op: &str) -> Self {
        Self::client(
            "UnknownOperationException",
            format!("{service} has no operation {op} in this version."),
        )
    }

    /// The body of the answer. Both spellings of the message are sent, as AWS
    /// does, since clients read one or the other.
    pub fn body(&self) -> Value {
        json!({"__type": self.code, "message": self.message, "Message": self.message})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_operation_names_the_service_and_the_operation() {
        let error = AwsError::unknown_operation("Glue", "MakeCoffee");
        assert_eq!(error.status, 400);
        assert_eq!(error.body()["__type"], "UnknownOperationException");
        assert_eq!(
            error.body()["message"],
            "Glue has no operation MakeCoffee in this version."
        );
    }
}
