//! Errors over HTTP: `application/problem+json` (RFC 9457), with the same `code` as on a WebSocket.

use schemars::JsonSchema;
use serde::Serialize;

use super::{client::FrameError, codes::ErrorCode};
use crate::kernel::ids::{MessageId, RunId};

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The body of an error response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says what happened, to machines.
    pub r#type: &'static str,
    /// The name of the status.
    pub title: &'static str,
    /// The same as in the status line.
    pub status: u16,
    /// What happened, to people.
    pub detail: String,
    pub code: ErrorCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// When to try again; the header `Retry-After` says the same in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Problem {
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

    /// The same under another status, where HTTP has a closer one: 403, 405, 415.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, title: title(status), ..self }
    }

    /// The body as it is sent.
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
