//! The error response of HTTP endpoints: a [`Problem`] (RFC 9457) with an error code of the protocol.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use crate::{
    gateway::{
        admit::AdmissionError,
        auth::{AuthError, IssueError},
        origins::OriginError,
        peers::{PeerFull, PeerLimited},
        refusal::journal_code,
        refusal_log::{ORIGIN_REASON, Refused},
    },
    journal::JournalError,
    tickets::Unissued,
    user::handle::RequestError,
    wire::{
        client::FrameError,
        codes::ErrorCode,
        problem::{PROBLEM_JSON, Problem},
    },
};

/// An error response, with the reason that is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError(Box<Problem>, &'static str);

impl HttpError {
    /// Creates an error with the status of its code. `detail` is shown to the client.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)), code.as_str())
    }

    /// Creates a 404. Another user's resource and a missing one yield identical bytes (ISO-3).
    pub fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "there is no such thing here")
    }

    /// Overrides the status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self(Box::new(self.0.with_status(status.as_u16())), self.1)
    }

    /// Sets the retry delay, in milliseconds. The header `Retry-After` is rounded up to seconds.
    pub fn retry_after(mut self, retry_after_ms: u64) -> Self {
        self.0.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// Returns the refusal of a command: during a drain with the time after which the next process is
    /// expected, as on the socket.
    pub fn request_error(why: RequestError, reconnect_after_ms: u64) -> Self {
        match why {
            RequestError::Draining => Self::from(why).retry_after(reconnect_after_ms),
            why => why.into(),
        }
    }

    /// Sets a logged reason that is more specific than the code.
    fn because(self, reason: &'static str) -> Self {
        Self(self.0, reason)
    }

    /// Returns the error code.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        metrics::counter!("quintet_refusals_total", "code" => self.0.code.as_str()).increment(1);
        let mut response = Response::new(Body::from(self.0.encode()));
        response.extensions_mut().insert(Refused { code: self.0.code, reason: self.1 });
        *response.status_mut() =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.0.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if let Some(retry_after_ms) = self.0.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1000)));
        }
        response
    }
}

impl From<FrameError> for HttpError {
    fn from(error: FrameError) -> Self {
        let problem: Problem = error.into();
        let reason = problem.code.as_str();
        Self(Box::new(problem), reason)
    }
}

impl From<RequestError> for HttpError {
    fn from(why: RequestError) -> Self {
        match ErrorCode::from(&why) {
            ErrorCode::NotFound => Self::not_found(),
            code => {
                let failure = Self::new(code, why.to_string());
                match why.retry_after_ms(RETRY_MS) {
                    Some(retry_after_ms) => failure.retry_after(retry_after_ms),
                    None => failure,
                }
            }
        }
    }
}

impl From<JournalError> for HttpError {
    fn from(why: JournalError) -> Self {
        tracing::error!(error = %why, "journal not read");
        // Details of a storage error are for the operator, not for the client.
        Self::new(journal_code(&why), "the journal is not available").retry_after(RETRY_MS)
    }
}

impl From<PeerLimited> for HttpError {
    fn from(why: PeerLimited) -> Self {
        Self::new(ErrorCode::RateLimited, why.to_string()).retry_after(why.retry_after_ms)
    }
}

impl From<PeerFull> for HttpError {
    fn from(why: PeerFull) -> Self {
        Self::new(ErrorCode::LimitReached, why.to_string()).retry_after(RETRY_MS)
    }
}

impl From<AuthError> for HttpError {
    fn from(why: AuthError) -> Self {
        let detail = match why {
            AuthError::Missing => "a credential is needed: the header `Authorization: Bearer` with a token",
            AuthError::Unavailable | AuthError::Busy => "credentials cannot be checked at the moment",
            AuthError::Token(_) | AuthError::Ticket(_) => "the credential is not valid, or no longer",
        };
        let failure = Self::new(ErrorCode::from(&why), detail).because(why.reason());
        match why {
            AuthError::Unavailable | AuthError::Busy => failure.retry_after(RETRY_MS),
            AuthError::Missing | AuthError::Token(_) | AuthError::Ticket(_) => failure,
        }
    }
}

impl From<IssueError> for HttpError {
    fn from(why: IssueError) -> Self {
        let failure = Self::new(ErrorCode::from(&why), why.to_string());
        match why {
            IssueError::Unissued(Unissued::LimitReached { retry_after_ms, .. }) => {
                failure.retry_after(retry_after_ms)
            }
            _ => failure,
        }
    }
}

impl From<AdmissionError> for HttpError {
    fn from(why: AdmissionError) -> Self {
        let failure = Self::new(ErrorCode::from(&why), why.to_string());
        match why {
            AdmissionError::RateLimited { retry_after_ms }
            | AdmissionError::RateUsersMax { retry_after_ms }
            | AdmissionError::UserPagesMax { retry_after_ms }
            | AdmissionError::UserExportsMax { retry_after_ms } => failure.retry_after(retry_after_ms),
            AdmissionError::UserConnectionsMax => failure.retry_after(RETRY_MS),
            // A limit of the service, not of this user: 503 instead of 429.
            AdmissionError::ConnectionsMax => {
                failure.with_status(StatusCode::SERVICE_UNAVAILABLE).retry_after(RETRY_MS)
            }
        }
    }
}

impl From<OriginError> for HttpError {
    fn from(why: OriginError) -> Self {
        metrics::counter!("quintet_origins_refused_total").increment(1);
        Self::new(ErrorCode::Forbidden, why.to_string()).because(ORIGIN_REASON)
    }
}

/// Retry delay when the duration of the cause is unknown.
const RETRY_MS: u64 = 1_000;
