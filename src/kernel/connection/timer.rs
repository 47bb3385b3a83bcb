//! The timers that a connection's machine arms and disarms.

use serde::{Deserialize, Serialize};

/// A timer of the connection. Durations are settings of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// Limits the wait for `hello`.
    Hello,
    /// Limits verification and attachment.
    SetUp,
    /// Interval of the service's pings.
    Heartbeat,
    /// Limits the wait for the answer to a ping (CONN-5).
    Pong,
    /// Limits the time for which the socket accepts no bytes (CONN-5).
    Stall,
    /// Limits the delivery of the last entries before a drain ends (CONN-6).
    Leave,
    /// The expiry of the credential (AUTH-3).
    Expiry,
}

impl Timer {
    /// All timers.
    pub const ALL: [Timer; 7] = [
        Timer::Hello,
        Timer::SetUp,
        Timer::Heartbeat,
        Timer::Pong,
        Timer::Stall,
        Timer::Leave,
        Timer::Expiry,
    ];
}
