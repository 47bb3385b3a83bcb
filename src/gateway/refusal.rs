//! Maps errors to the error codes of the protocol: one total function per error type, used by WebSocket and
//! HTTP alike.

use super::{
    admit::AdmissionError,
    auth::{AuthError, IssueError},
    tickets::Unissued,
};
use crate::{
    journal::JournalError, kernel::ticket::Unissuable, user::handle::RequestError, wire::codes::ErrorCode,
};

impl From<&RequestError> for ErrorCode {
    fn from(why: &RequestError) -> Self {
        match why {
            RequestError::Refused(refusal) => refusal.into(),
            RequestError::UnknownAgent(_) => Self::UnknownAgent,
            RequestError::Draining => Self::Draining,
            RequestError::Overloaded | RequestError::LimitReached { .. } => Self::LimitReached,
            // DEL-7: not known to have succeeded, so never reported as success.
            RequestError::Unavailable | RequestError::Damaged | RequestError::DiskNearlyFull { .. } => {
                Self::Unavailable
            }
        }
    }
}

impl RequestError {
    /// Returns the time after which the same request may be carried out (DEL-6), the same on every transport;
    /// `None` if repeating it is of no use. `short_ms` is for causes whose end is not known.
    pub fn retry_after_ms(&self, short_ms: u64) -> Option<u64> {
        match self {
            Self::Draining | Self::Overloaded | Self::Unavailable | Self::Damaged => Some(short_ms),
            Self::LimitReached { retry_after_ms, .. } | Self::DiskNearlyFull { retry_after_ms } => {
                Some(*retry_after_ms)
            }
            Self::Refused(_) | Self::UnknownAgent(_) => None,
        }
    }
}

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
            | AdmissionError::UserPagesMax { .. } => Self::LimitReached,
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
