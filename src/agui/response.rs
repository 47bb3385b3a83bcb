//! Requests to a remote agent, and the events of their responses.
//!
//! Guarantees: a request is sent again only while no event of its response was read, and only if the agent cannot have
//! executed it, unless the agent is resumable. Each wait is bounded in time, each response in bytes. Dropping a response
//! closes its connection.

use std::time::Duration;

use futures_util::StreamExt;
use quintet_agent::AgentError;
use quintet_kernel::ids::UserId;
use quintet_runtime::{clock, ids};
use quintet_upstream::{
    HttpClient,
    client::describe,
    reqwest::{
        Response, StatusCode,
        header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
    },
    retry::{RetryLimits, is_temporary, retry_after},
    sse::{self, SseError, SseEvents, SseLimits},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    config::Checked,
    event::{Event, MalformedEvent},
    signature,
};

/// The reason for which a response has no complete end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the agent cannot be reached: {0}")]
    Connect(String),
    #[error("the request broke: {0}")]
    Request(String),
    #[error("the agent refused the request with status {status}")]
    Status { status: StatusCode, retry_after: Option<Duration> },
    #[error("the response is no event stream")]
    NotEventStream,
    #[error("no event came for {0} ms")]
    FirstEvent(u64),
    #[error(transparent)]
    Stream(#[from] SseError),
    #[error("the response ended before the run")]
    Ended,
    #[error(transparent)]
    Malformed(#[from] MalformedEvent),
    #[error("{0} is reached")]
    Limit(&'static str),
}

impl Failure {
    /// Returns true if the connection is to blame, so that the response of a resumable agent is requested again.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(
            self,
            Failure::Connect(_)
                | Failure::Request(_)
                | Failure::FirstEvent(_)
                | Failure::Ended
                | Failure::Stream(SseError::Broken(_) | SseError::Idle(_))
        )
    }

    /// Returns true if a request without a response is worth another attempt.
    fn is_retried(&self, resumable: bool) -> bool {
        match self {
            // The agent has not begun the run.
            Failure::Connect(_) => true,
            Failure::Status { status, .. } => {
                matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
                    || (resumable && is_temporary(*status))
            }
            other => resumable && other.is_broken(),
        }
    }

    /// Words the failure for the user, without the details, which are logged.
    pub(crate) fn into_agent_error(self) -> AgentError {
        match self {
            Failure::Limit(name) => {
                AgentError::limit_reached(format!("The response of the remote agent is too long: {name}."))
            }
            Failure::Connect(_) => AgentError::upstream("The remote agent cannot be reached."),
            Failure::Status { status, .. } => {
                AgentError::upstream(format!("The remote agent refused the request with status {status}."))
            }
            Failure::NotEventStream => AgentError::upstream("The remote agent sent no event stream."),
            Failure::FirstEvent(ms) => {
                AgentError::upstream(format!("The remote agent sent no event for {ms} ms."))
            }
            Failure::Stream(SseError::Idle(ms)) => {
                AgentError::upstream(format!("The remote agent was silent for {ms} ms."))
            }
            Failure::Stream(SseError::TooLarge(_)) => {
                AgentError::limit_reached("An event of the remote agent is too long: event_bytes_max.")
            }
            Failure::Request(_) | Failure::Stream(_) => {
                AgentError::upstream("The connection to the remote agent broke.")
            }
            Failure::Ended => AgentError::upstream("The remote agent ended without completing its run."),
            Failure::Malformed(_) => {
                AgentError::upstream("The remote agent sent something else than events.")
            }
        }
    }

    /// Returns a name for metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Failure::Connect(_) => "unreachable",
            Failure::Status { .. } | Failure::NotEventStream => "refused",
            Failure::Request(_) | Failure::Ended | Failure::Stream(_) => "broken",
            Failure::FirstEvent(_) => "silent",
            Failure::Malformed(_) => "malformed",
            Failure::Limit(_) => "limit",
        }
    }
}

/// The events and bytes that the responses of a run may still have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// The events of one response.
pub(crate) struct Events {
    sse: SseEvents,
    /// The time by which the first event must come; `None` once it came.
    first: Option<(Instant, u64)>,
}

/// Posts a request until it is answered with an event stream.
pub(crate) async fn post(
    remote: &Checked,
    client: &HttpClient,
    user_id: &UserId,
    body: &[u8],
) -> Result<Events, Failure> {
    let limits = &remote.limits;
    let retries = RetryLimits {
        retries_max: limits.retries_max,
        retry_pause_ms: limits.retry_pause_ms,
        retry_pause_max_ms: limits.retry_pause_max_ms,
    };
    let mut attempt = 0;
    loop {
        let failure = match post_once(remote, client, user_id, body).await {
            Ok(events) => return Ok(events),
            Err(failure) => failure,
        };
        attempt += 1;
        let wish = match &failure {
            Failure::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        let pause = retries.pause(attempt, wish, jitter());
        let Some(pause) = pause.filter(|_| failure.is_retried(remote.options.resumable)) else {
            return Err(failure);
        };
        tracing::debug!(agent = %remote.options.name, attempt, %failure, "a request is sent again");
        metrics::counter!("quintet_agui_retries_total", "agent" => remote.options.name.clone()).increment(1);
        tokio::time::sleep(pause).await;
    }
}

async fn post_once(
    remote: &Checked,
    client: &HttpClient,
    user_id: &UserId,
    body: &[u8],
) -> Result<Events, Failure> {
    let ms = remote.limits.first_event_timeout_ms;
    let deadline = Instant::now() + Duration::from_millis(ms);
    let request = client
        .unrepeatable()
        .post(remote.url.clone())
        .headers(headers(remote, user_id, body))
        .body(body.to_vec())
        .send();
    let response = timeout_at(deadline, request).await.map_err(|_| Failure::FirstEvent(ms))?;
    let response = response.map_err(|error| {
        if error.is_connect() { Failure::Connect(describe(error)) } else { Failure::Request(describe(error)) }
    })?;
    let status = response.status();
    if !status.is_success() {
        return Err(Failure::Status { status, retry_after: retry_after(response.headers()) });
    }
    if !is_event_stream(&response) {
        return Err(Failure::NotEventStream);
    }
    let limits = SseLimits {
        event_bytes_max: remote.limits.event_bytes_max,
        idle_timeout_ms: remote.limits.idle_timeout_ms,
    };
    Ok(Events { sse: sse::events(response, limits), first: Some((deadline, ms)) })
}

/// Returns the headers of a request. The user's id is only in a signed one.
fn headers(remote: &Checked, user_id: &UserId, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(bearer) = &remote.bearer {
        headers.insert(AUTHORIZATION, bearer.header("Bearer "));
    }
    if let Some(key) = &remote.signing_key {
        headers.extend(signature::headers(key, &remote.url, body, user_id, clock::now()));
    }
    headers
}

fn is_event_stream(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
}

impl Events {
    /// Returns the next event. Can be dropped and called again.
    pub(crate) async fn next(&mut self, budget: &mut Budget) -> Result<Event, Failure> {
        let data = loop {
            let next = match self.first {
                None => self.sse.next().await,
                Some((deadline, ms)) => {
                    timeout_at(deadline, self.sse.next()).await.map_err(|_| Failure::FirstEvent(ms))?
                }
            };
            let data = next.ok_or(Failure::Ended)??.data;
            // An event without data is a comment, such as a sign of life.
            if !data.is_empty() {
                break data;
            }
        };
        self.first = None;
        budget.events = budget.events.checked_sub(1).ok_or(Failure::Limit("run_events_max"))?;
        budget.bytes = budget.bytes.checked_sub(data.len() as u64).ok_or(Failure::Limit("run_bytes_max"))?;
        Ok(Event::decode(&data)?)
    }
}

/// Returns a random number from 0 to 1.
fn jitter() -> f64 {
    f64::from(ids::fresh().as_bytes()[15]) / 255.0
}
