//! Maps the errors of requests to the error codes of the protocol, the same on every transport.

use super::handle::RequestError;
use crate::wire::codes::ErrorCode;

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
