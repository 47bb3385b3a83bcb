//! Why a model gave no complete response.

use std::time::Duration;

use quintet_upstream::sse::SseError;

/// The reason for which a response is missing or not complete. Upstream fault, except for a refusal because
/// of a wrong setting. The user sees the message; it contains no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No connection, or it broke before the head of a response.
    #[error("the model's service cannot be reached: {0}")]
    Unreachable(String),
    /// No head of a response came within this number of milliseconds.
    #[error("the model's service did not answer within {0} ms")]
    Timeout(u64),
    /// The service answered with an error status.
    #[error("the model's service refused the request with status {status}{}", appended(.message))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The service's message, shortened; may be empty.
        message: String,
        /// The time of `Retry-After`, if the status is a temporary one.
        retry_after: Option<Duration>,
    },
    /// The stream broke.
    #[error("the model's response broke off: {0}")]
    Broken(SseError),
    /// The stream ended without its terminal event.
    #[error("the model's response ended early")]
    Truncated,
    /// The stream is not as its protocol defines it.
    #[error("the model's service sent an invalid response: {0}")]
    Malformed(String),
    /// The service reported an error inside the stream.
    #[error("the model's service reported an error{}", appended(.message))]
    Reported {
        /// The service's message, shortened; may be empty.
        message: String,
        /// True if another attempt may succeed.
        is_temporary: bool,
    },
    /// The response exceeds the limit of this name.
    #[error("the model's response exceeds {0}")]
    TooLarge(&'static str),
}

impl ModelError {
    /// Returns true if another attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        match self {
            ModelError::Unreachable(_) | ModelError::Timeout(_) | ModelError::Truncated => true,
            ModelError::Broken(SseError::Broken(_) | SseError::Idle(_)) => true,
            ModelError::Broken(_) | ModelError::Malformed(_) | ModelError::TooLarge(_) => false,
            ModelError::Refused { status, .. } => {
                http::StatusCode::from_u16(*status).is_ok_and(quintet_upstream::retry::is_temporary)
            }
            ModelError::Reported { is_temporary, .. } => *is_temporary,
        }
    }

    /// Returns the time after which the service wants the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ModelError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Returns the outcome of a request that failed with this error, as a label of metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            ModelError::Unreachable(_) => "unreachable",
            ModelError::Timeout(_) => "timeout",
            ModelError::Refused { status: 429, .. } => "rate_limited",
            ModelError::Refused { .. } => "refused",
            ModelError::Broken(_) | ModelError::Truncated => "broken",
            ModelError::Malformed(_) => "malformed",
            ModelError::Reported { .. } => "reported",
            ModelError::TooLarge(_) => "too_large",
        }
    }
}

fn appended(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
