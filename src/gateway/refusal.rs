//! Maps errors to the error codes of the protocol: one total function per error type, used by WebSocket and
//! HTTP alike.

use super::{
    admit::Turned,
    auth::{AuthError, IssueError},
    tickets::Unissued,
};
use crate::{
    journal::JournalError, kernel::ticket::Unissuable, user::factory::Unaccepted, wire::codes::ErrorCode,
};

impl From<&Unaccepted> for ErrorCode {
    fn from(why: &Unaccepted) -> Self {
        match why {
            Unaccepted::Refused(refusal) => refusal.into(),
            Unaccepted::UnknownAgent(_) => Self::UnknownAgent,
            Unaccepted::Draining => Self::Draining,
            Unaccepted::Overloaded => Self::LimitReached,
            // DEL-7: the outcome is unknown, so it is not reported as success.
            Unaccepted::Unavailable | Unaccepted::Damaged => Self::Unavailable,
        }
    }
}

impl Unaccepted {
    /// Returns whether retrying the same request may succeed (DEL-6). If so, the response carries a retry
    /// delay on every transport.
    pub fn passes(&self) -> bool {
        match self {
            Self::Draining | Self::Overloaded | Self::Unavailable | Self::Damaged => true,
            Self::Refused(_) | Self::UnknownAgent(_) => false,
        }
    }
}

impl From<&JournalError> for ErrorCode {
    fn from(why: &JournalError) -> Self {
        match why {
            JournalError::Unavailable(_) | JournalError::Damaged(_) => Self::Unavailable,
        }
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
