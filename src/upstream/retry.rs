//! Retries of requests that an upstream did not answer.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};

quintet_runtime::limits! {
    /// Limits of the retries of one request.
    pub struct RetryLimits {
        /// Further attempts after the first.
        pub retries_max: u32 = 4, in 0..=100;
        /// Pause before the first further attempt, in milliseconds; it doubles with each one.
        pub retry_pause_ms: u64 = 500, in 1..=600_000;
        /// Longest pause, in milliseconds, also when the upstream asks for a longer one.
        pub retry_pause_max_ms: u64 = 30_000, in 1..=3_600_000;
    }
}

impl RetryLimits {
    /// Returns the pause before attempt `retry` (1 for the first further one), or `None` if there is to be none.
    /// `wish` is the time of `Retry-After`, `jitter` is in 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use quintet_upstream::retry::RetryLimits;
    ///
    /// let limits = RetryLimits::DEFAULT;
    /// assert_eq!(limits.pause(1, None, 1.0), Some(Duration::from_millis(500)));
    /// assert_eq!(limits.pause(3, None, 0.5), Some(Duration::from_millis(1_500)));
    /// assert_eq!(limits.pause(1, Some(Duration::from_secs(7)), 0.0), Some(Duration::from_secs(7)));
    /// assert_eq!(limits.pause(5, None, 1.0), None);
    /// // An upstream that asks for a longer time than the limit is not waited for.
    /// assert_eq!(limits.pause(1, Some(Duration::from_secs(3_600)), 0.0), None);
    /// ```
    pub fn pause(&self, retry: u32, wish: Option<Duration>, jitter: f64) -> Option<Duration> {
        if retry == 0 || retry > self.retries_max {
            return None;
        }
        let max = Duration::from_millis(self.retry_pause_max_ms);
        if let Some(wish) = wish {
            return (wish <= max).then_some(wish);
        }
        let factor = 1_u64.checked_shl(retry - 1).unwrap_or(u64::MAX);
        let pause = Duration::from_millis(self.retry_pause_ms.saturating_mul(factor)).min(max);
        // Between half of the pause and all of it, so that clients do not return at the same time.
        Some(pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0))
    }
}

/// Returns true if a response of this status may be answered differently later.
pub fn is_temporary(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error()
}

/// Returns the time of `Retry-After` in seconds; dates are ignored.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}
