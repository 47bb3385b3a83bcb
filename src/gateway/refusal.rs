//! Maps errors to the error codes of the protocol: one total function per error type, used by WebSocket and
//! HTTP alike.

use super::{
    admit::Turned,
    auth::{AuthError, IssueError},
    tickets::Unissued,
};
use crate::{
    journal::JournalError, kernel::ticket::Unissuable, user::handle::Unaccepted, wire::codes::ErrorCode,
};

impl From<&Unaccepted> for ErrorCode {
    fn from(why: &Unaccepted) -> Self {
        match why {
            Unaccepted::Refused(refusal) => refusal.into(),
            Unaccepted::UnknownAgent(_) => Self::UnknownAgent,
            Unaccepted::Draining => Self::Draining,
            Unaccepted::Overloaded | Unaccepted::LimitReached { .. } => Self::LimitReached,
            // DEL-7: not known to have succeeded, so never reported as success.
            Unaccepted::Unavailable | Unaccepted::Damaged | Unaccepted::DiskNearlyFull { .. } => {
                Self::Unavailable
            }
        }
    }
}

impl Unaccepted {
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

impl From<&Turned> for ErrorCode {
    fn from(why: &Turned) -> Self {
        match why {
            Turned::ConnectionsMax | Turned::UserConnectionsMax | Turned::UserPagesMax { .. } => {
                Self::LimitReached
            }
            Turned::RateLimited { .. } | Turned::RateUsersMax { .. } => Self::RateLimited,
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
