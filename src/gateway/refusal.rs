//! Maps errors to the error codes of the protocol: one total function per error type, used by WebSocket and
//! HTTP alike. Those of requests to a user's machines are in `quintet_user`.

use super::{
    admit::AdmissionError,
    auth::{AuthError, IssueError},
};
use crate::{journal::JournalError, kernel::ticket::Unissuable, tickets::Unissued, wire::codes::ErrorCode};

/// Returns the code of a request that the journal could not serve.
pub fn journal_code(why: &JournalError) -> ErrorCode {
    match why {
        JournalError::Unavailable(_) | JournalError::Damaged(_) => ErrorCode::Unavailable,
    }
}

impl From<&AuthError> for ErrorCode {
    fn from(why: &AuthError) -> Self {
        match why {
            AuthError::Missing | AuthError::Token(_) | AuthError::Ticket(_) => Self::Unauthenticated,
            AuthError::Unavailable | AuthError::Busy => Self::Unavailable,
        }
    }
}

impl From<&AdmissionError> for ErrorCode {
    fn from(why: &AdmissionError) -> Self {
        match why {
            AdmissionError::ConnectionsMax
            | AdmissionError::UserConnectionsMax
            | AdmissionError::UserPagesMax { .. }
            | AdmissionError::UserExportsMax { .. } => Self::LimitReached,
            AdmissionError::RateLimited { .. } | AdmissionError::RateUsersMax { .. } => Self::RateLimited,
        }
    }
}

impl From<&IssueError> for ErrorCode {
    fn from(why: &IssueError) -> Self {
        match why {
            IssueError::Unissued(Unissued::Unissuable(Unissuable::Lifetime { .. })) => Self::InvalidField,
            IssueError::Unissued(Unissued::Unissuable(Unissuable::IssuerExpired)) => Self::Unauthenticated,
            IssueError::Unissued(Unissued::LimitReached { .. }) => Self::LimitReached,
            IssueError::NoRandomness => Self::Internal,
        }
    }
}
