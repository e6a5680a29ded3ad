//! Calls of the API server: each with a limit of time, each error with what was
//! tried.

use std::time::Duration;

use kube::core::Status;

/// Time that one call may take. kube's client has none of its own.
const LIMIT: Duration = Duration::from_secs(15);

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server answered so.
    #[error("cannot {action}: {}", say(source))]
    Refused {
        /// What was tried.
        action: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// No answer.
    #[error("cannot {action}: the API server has not answered within {} s", LIMIT.as_secs())]
    Late {
        /// What was tried.
        action: String,
    },
}

/// What an error is about, in the words of the API server where it has any:
/// kube's own text repeats the whole answer.
fn say(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("HTTP {} {}", status.code, status.reason),
        other => other.to_string(),
    }
}

impl ApiError {
    /// The HTTP status of the answer.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Late { .. } => None,
        }
    }

    /// Whether somebody else has written the object meanwhile, or there is one
    /// of its name.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether there is an object of that name. Another conflict of a creation,
    /// as over a quota, made nothing.
    #[must_use]
    pub fn is_already_there(&self) -> bool {
        self.status()
            .is_some_and(|status| status.code == 409 && status.reason == "AlreadyExists")
    }

    /// Time that the API server asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        let seconds = self
            .status()
            .and_then(|status| status.details.as_ref())
            .map_or(0, |details| details.retry_after_seconds);
        Duration::from_secs(u64::from(seconds))
    }

    /// Whether the object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether the namespace is being deleted, so that nothing can be made in it.
    #[must_use]
    pub fn is_namespace_terminating(&self) -> bool {
        self.status()
            .and_then(|status| status.details.as_ref())
            .is_some_and(|details| {
                details
                    .causes
                    .iter()
                    .any(|cause| cause.reason == "NamespaceTerminating")
            })
    }

    /// Whether the object cannot be as it was asked to be.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.code() == Some(422)
    }

    /// One word for the kind of failure, as the reason of a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.code() {
            Some(403) => "Forbidden",
            Some(409) => "Conflict",
            Some(400 | 422) => "Rejected",
            Some(429) => "ApiServerBusy",
            Some(_) => "ApiServerFailed",
            None => "ApiServerUnreachable",
        }
    }
}

/// Waits for `call` within the limit.
///
/// # Errors
/// With `action`, an infinitive such as `apply Deployment a/b`.
pub async fn call<T>(
    action: impl Into<String>,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    call_within(LIMIT, action, call).await
}

async fn call_within<T>(
    limit: Duration,
    action: impl Into<String>,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(ApiError::Refused {
            action: action.into(),
            source: Box::new(source),
        }),
        Err(_) => Err(ApiError::Late {
            action: action.into(),
        }),
    }
}

/// As [`call`], with `None` where the object is not there.
///
/// # Errors
/// As [`call`].
pub async fn find<T>(
    action: impl Into<String>,
    future: impl Future<Output = kube::Result<T>>,
) -> Result<Option<T>, ApiError> {
    match call(action, future).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::response::StatusDetails;

    fn refused(code: u16, message: &str) -> ApiError {
        ApiError::Refused {
            action: "apply Deployment a/b".into(),
            source: Box::new(kube::Error::Api(Box::new(Status {
                code,
                message: message.into(),
                ..Status::default()
            }))),
        }
    }

    #[test]
    fn a_refusal_says_what_was_tried_and_what_was_answered_once() {
        let error = refused(422, "spec.replicas: Invalid value");
        assert_eq!(
            error.to_string(),
            "cannot apply Deployment a/b: spec.replicas: Invalid value"
        );
        for (code, reason) in [
            (403, "Forbidden"),
            (422, "Rejected"),
            (429, "ApiServerBusy"),
            (503, "ApiServerFailed"),
        ] {
            assert_eq!(refused(code, "").reason(), reason);
        }
    }

    #[test]
    fn only_an_object_of_that_name_is_already_there_and_a_busy_server_names_a_wait() {
        let of = |code: u16, reason: &str, retry_after_seconds: u32| ApiError::Refused {
            action: "create Job a/b".into(),
            source: Box::new(kube::Error::Api(Box::new(Status {
                code,
                reason: reason.into(),
                details: Some(StatusDetails {
                    name: String::new(),
                    group: String::new(),
                    kind: String::new(),
                    uid: String::new(),
                    causes: Vec::new(),
                    retry_after_seconds,
                }),
                ..Status::default()
            }))),
        };
        assert!(of(409, "AlreadyExists", 0).is_already_there());
        assert!(!of(409, "Conflict", 0).is_already_there());
        assert!(of(409, "Conflict", 0).is_conflict());
        assert_eq!(of(429, "", 7).retry_after(), Duration::from_secs(7));
        assert_eq!(refused(429, "").retry_after(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_call_without_an_answer_ends() {
        let silence = std::future::pending::<kube::Result<()>>();
        let error = call_within(Duration::from_millis(1), "get Pod a/b", silence)
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "ApiServerUnreachable");
        assert!(error.to_string().contains("within 15 s"), "{error}");
    }
}
