//! Errors of the AWS JSON 1.1 protocol.

/// An error with an AWS code, answered as `{"__type": code, "message": …}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// HTTP status, 400 or 500.
    pub status: u16,
    /// AWS exception name, for instance `EntityNotFoundException`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}

impl AwsError {
    /// A client's error (400).
    pub fn client(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code,
            message: message.into(),
        }
    }

    /// A server's error (500).
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            status: 500,
            code: "InternalServiceException",
            message: message.into(),
        }
    }
}
