//! Error responses over HTTP: `application/problem+json` ([RFC 9457]), with the same `code` as on a WebSocket.
//!
//! [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457

use quintet_kernel::ids::{MessageId, RunId};
use schemars::JsonSchema;
use serde::Serialize;

use super::{client::FrameError, codes::ErrorCode};

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The body of an error response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Always `about:blank`; `code` is the machine-readable reason.
    pub r#type: &'static str,
    /// The reason phrase of the status.
    pub title: &'static str,
    /// The HTTP status, as in the status line.
    pub status: u16,
    /// A description of the error for people.
    pub detail: String,
    /// The machine-readable reason, the same as on a WebSocket.
    pub code: ErrorCode,
    /// The `message_id` of the request, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The `run_id` of the request, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// The time to wait before a retry, in milliseconds; the header `Retry-After` has it in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// Creates a problem with the status of `code` that refers to no message or run.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let status = code.http_status();
        Self {
            r#type: "about:blank",
            title: title(status),
            status,
            detail: detail.into(),
            code,
            message_id: None,
            run_id: None,
            retry_after_ms: None,
        }
    }

    /// Replaces the status where HTTP has a more specific one: 403, 405, 415.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, title: title(status), ..self }
    }

    /// Encodes the body as JSON.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("every key of a problem is a string")
    }
}

impl From<FrameError> for Problem {
    fn from(e: FrameError) -> Self {
        Self { message_id: e.message_id, run_id: e.run_id, ..Self::new(e.code, e.message) }
    }
}

fn title(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}
