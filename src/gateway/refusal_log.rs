//! Rate-limited log lines for refused requests, at the default level.
//!
//! Guarantee: each reason gets at most `refusal_lines_per_minute_max` lines per minute, followed by one line
//! with the total if there were more. A flood of refusals is visible in the log and does not bury other
//! lines. A refused origin has one line: its page repeats the request, and the line has the setting that allows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, header};
use tokio::time::Instant;

use super::{origins::Origins, peers::PeerAddr};
use crate::wire::codes::ErrorCode;

/// Response extension of an error: its code and, where known, a more specific reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error code of the response.
    pub code: ErrorCode,
    /// The reason in the log; the error code where no reason is known.
    pub reason: &'static str,
}

/// Counts refusals per reason and decides which are logged. Clones share the counters.
#[derive(Clone, Debug)]
pub struct RefusalLog(Arc<RefusalLogInner>);

#[derive(Debug)]
struct RefusalLogInner {
    lines_max: u64,
    /// One window per reason. Reasons are static strings of this program, so the map is small.
    windows: Mutex<BTreeMap<&'static str, Window>>,
    /// Refused origins that were logged, at most [`ORIGINS_MAX`].
    origins: Mutex<BTreeSet<String>>,
}

/// Refusals with the same reason within one minute.
#[derive(Debug)]
struct Window {
    begun: Instant,
    refusals: u64,
    lines: u64,
}

/// The reason of a refused origin.
pub const ORIGIN_REASON: &str = "origin";

/// Greatest number of logged origins that are remembered; they are forgotten together.
const ORIGINS_MAX: usize = 1_000;

/// Longest origin in a log line, in bytes; a longer one is truncated.
const ORIGIN_BYTES_MAX: usize = 200;

const MINUTE: Duration = Duration::from_secs(60);

/// Returns whether a refusal is logged: credentials, origins, failed upgrades and exceeded limits. Errors of
/// the service itself are logged where they occur.
fn is_logged(refused: Refused, route: &str) -> bool {
    match refused.code {
        ErrorCode::Unauthenticated
        | ErrorCode::Forbidden
        | ErrorCode::TooLarge
        | ErrorCode::RateLimited
        | ErrorCode::LimitReached => true,
        ErrorCode::MalformedFrame | ErrorCode::InvalidField => route == UPGRADE,
        ErrorCode::UnknownType
        | ErrorCode::NotFound
        | ErrorCode::RunEnded
        | ErrorCode::CallClosed
        | ErrorCode::ThreadBusy
        | ErrorCode::MessageIdReused
        | ErrorCode::UnknownAgent
        | ErrorCode::Draining
        | ErrorCode::Unavailable
        | ErrorCode::Internal => false,
    }
}

/// The route of WebSocket upgrades, for which malformed requests are logged too.
const UPGRADE: &str = "/v1/ws";

/// Middleware that logs each refused request.
pub async fn logged(State(log): State<RefusalLog>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<PeerAddr>().map(|peer| peer.0);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let response = next.run(request).await;
    if let Some(refused) = response.extensions().get::<Refused>() {
        let route = route.as_ref().map_or("none", |route| route.as_str());
        let origin = origin.as_ref().map(shortened);
        if is_logged(*refused, route) && log.admits(refused.reason, origin.as_deref()) {
            let status = response.status().as_u16();
            // A value that is no origin cannot be allowed.
            let allowed_by = origin
                .as_ref()
                .filter(|origin| refused.reason == ORIGIN_REASON && Origins::parse([&***origin]).is_ok());
            let allowed_by = allowed_by.map(|origin| format!("--allow-origin {origin}"));
            let peer = peer.map(tracing::field::display);
            tracing::info!(
                reason = refused.reason,
                status,
                route,
                peer,
                origin,
                allowed_by,
                "request refused"
            );
        }
    }
    response
}

fn shortened(origin: &HeaderValue) -> String {
    let bytes = origin.as_bytes();
    String::from_utf8_lossy(&bytes[..bytes.len().min(ORIGIN_BYTES_MAX)]).into_owned()
}

impl RefusalLog {
    /// Creates a log with at most `lines_max` lines per minute and reason.
    pub fn new(lines_max: u64) -> Self {
        Self(Arc::new(RefusalLogInner { lines_max, windows: Mutex::default(), origins: Mutex::default() }))
    }

    /// Counts a refusal and returns whether to log it: within the limit of its reason, and once for each refused origin.
    fn admits(&self, reason: &'static str, origin: Option<&str>) -> bool {
        self.sweep();
        let mut windows = self.windows();
        let window =
            windows.entry(reason).or_insert_with(|| Window { begun: Instant::now(), refusals: 0, lines: 0 });
        window.refusals += 1;
        let admitted = window.lines < self.0.lines_max
            && origin.is_none_or(|origin| reason != ORIGIN_REASON || self.is_first(origin));
        window.lines += u64::from(admitted);
        admitted
    }

    /// Returns whether this origin has no line yet, and remembers it.
    fn is_first(&self, origin: &str) -> bool {
        let mut origins = self.0.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() >= ORIGINS_MAX {
            origins.clear();
        }
        origins.insert(origin.to_owned())
    }

    /// Logs the totals of expired windows that exceeded the limit and removes all expired windows. Must be
    /// called at least once a minute.
    pub fn sweep(&self) {
        for (reason, refusals) in self.over() {
            tracing::warn!(reason, refusals, "requests refused; only the first of them were logged");
        }
    }

    /// Removes expired windows and returns the reason and count of those over the limit.
    fn over(&self) -> Vec<(&'static str, u64)> {
        let mut over = Vec::new();
        self.windows().retain(|reason, window| {
            let goes_on = window.begun.elapsed() < MINUTE;
            if !goes_on && window.refusals > self.0.lines_max {
                over.push((*reason, window.refusals));
            }
            goes_on
        });
        over
    }

    fn windows(&self) -> MutexGuard<'_, BTreeMap<&'static str, Window>> {
        self.0.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_reason_has_a_limit_of_lines_and_then_a_total() {
        let log = RefusalLog::new(2);
        let lines = |reason| (0..10).filter(|_| log.admits(reason, None)).count();
        assert_eq!((lines("origin"), lines("missing"), lines("origin")), (2, 2, 0));
        tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
        assert_eq!(log.over(), []);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(log.over(), [("missing", 10), ("origin", 20)]);
        assert_eq!(lines("origin"), 2, "a minute of its own");
        tokio::time::advance(MINUTE).await;
        log.sweep();
        assert!(log.admits("missing", None));
        tokio::time::advance(MINUTE).await;
        assert_eq!(log.over(), [], "each had its line");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_origin_has_one_line_and_does_not_keep_others_from_theirs() {
        let log = RefusalLog::new(2);
        let lines = |origin| (0..10).filter(|_| log.admits(ORIGIN_REASON, Some(origin))).count();
        assert_eq!(
            (lines("http://a"), lines("http://b"), lines("http://c")),
            (1, 1, 0),
            "two lines a minute"
        );
        tokio::time::advance(MINUTE).await;
        assert_eq!((lines("http://a"), lines("http://c")), (0, 1));
        // Of other reasons, each refusal counts.
        assert_eq!((0..10).filter(|_| log.admits("missing", Some("http://a"))).count(), 2);
    }

    #[test]
    fn the_memory_of_origins_is_bounded() {
        let log = RefusalLog::new(1);
        assert!((0..2 * ORIGINS_MAX).all(|number| log.is_first(&number.to_string())));
        assert!(log.0.origins.lock().unwrap().len() <= ORIGINS_MAX);
    }

    #[test]
    fn refusals_over_limits_of_credentials_and_upgrades_are_logged_and_others_are_not() {
        let logged = |code, route| is_logged(Refused { code, reason: "" }, route);
        let of_route = |route| ErrorCode::ALL.into_iter().filter(|code| logged(*code, route)).count();
        assert_eq!((of_route("/v1/entries"), of_route(UPGRADE)), (5, 7));
        assert!(!logged(ErrorCode::Internal, UPGRADE));
    }
}
