//! A model behind HTTP: sends the requests of a [`Protocol`] and decodes the server-sent events of the
//! responses.
//!
//! Guarantees: the end of a response is reported once, and only if it is complete by its protocol. The
//! connection is closed when the events are dropped. Time, bytes and messages of errors are bounded; no
//! message contains the key or the value of a header of the configuration (AUTH-6).

use std::{collections::VecDeque, time::Duration};

use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, header::ACCEPT, header::CONTENT_TYPE};
use quintet_agent::async_trait;
use quintet_upstream::{
    HttpClient, Redactor, Secret, body,
    client::describe,
    retry,
    sse::{self, SseError, SseEvents, SseLimits},
};
use serde_json::{Map, Value};
use tokio::time::timeout;
use url::Url;

use super::{
    Decoder, EndReason, ModelApi, ModelError, ModelEvent, ModelEvents, ModelRequest, Protocol,
    ProtocolOptions,
};
use crate::limits::ModelLimits;

/// A model behind HTTP.
pub(crate) struct HttpModel {
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) options: ProtocolOptions,
    /// Fields that are added to each request, or replace its own.
    pub(crate) extra: Map<String, Value>,
    pub(crate) http: HttpClient,
    pub(crate) url: Url,
    /// The headers of each request, the key included.
    pub(crate) headers: HeaderMap,
    pub(crate) redactor: Redactor,
    pub(crate) limits: ModelLimits,
}

#[async_trait]
impl ModelApi for HttpModel {
    async fn stream(&self, request: &ModelRequest) -> Result<ModelEvents, ModelError> {
        let mut fields = self.protocol.encode(request, &self.options);
        fields.extend(self.extra.clone());
        let request = self
            .http
            .repeatable()
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, HeaderValue::from_static("text/event-stream"))
            .headers(self.headers.clone())
            .body(Value::Object(fields).to_string());
        let first_byte_timeout_ms = self.limits.first_byte_timeout_ms;
        let response = match timeout(Duration::from_millis(first_byte_timeout_ms), request.send()).await {
            Err(_) => return Err(ModelError::Timeout(first_byte_timeout_ms)),
            Ok(Err(error)) => return Err(ModelError::Unreachable(describe(error))),
            Ok(Ok(response)) => response,
        };
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        if has_type(&response, b"application/json") {
            return Err(self.unstreamed(response).await);
        }
        let limits = SseLimits {
            event_bytes_max: self.limits.event_bytes_max,
            idle_timeout_ms: self.limits.idle_timeout_ms,
        };
        let events = sse::events(response, limits);
        let reader = Reader::new(events, self.protocol.decoder(), self.redactor.clone(), self.limits);
        Ok(reader.events())
    }
}

impl HttpModel {
    /// Reads why a request was refused.
    async fn refused(&self, response: reqwest::Response) -> ModelError {
        let status = response.status();
        let retry_after =
            retry::is_temporary(status).then(|| retry::retry_after(response.headers())).flatten();
        // A page for people has no message that could be shown.
        let message =
            if has_type(&response, b"text/html") { String::new() } else { self.message(response).await };
        ModelError::Refused { status: status.as_u16(), message, retry_after }
    }

    /// Reads why a response that succeeded is no stream.
    async fn unstreamed(&self, response: reqwest::Response) -> ModelError {
        ModelError::Malformed(format!("no stream of events, but {}", self.message(response).await))
    }

    /// Returns the message in the body of a response; empty if it cannot be read.
    async fn message(&self, response: reqwest::Response) -> String {
        let within = Duration::from_millis(self.limits.usage_timeout_ms);
        match timeout(within, body::read_start(response, ERROR_BYTES_MAX)).await {
            Ok(Ok(body)) => self.redactor.line(&message_of(&body), MESSAGE_CHARS_MAX),
            Ok(Err(_)) | Err(_) => String::new(),
        }
    }
}

fn has_type(response: &reqwest::Response, name: &[u8]) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(name))
}

/// Returns the message in the body of a refusal: a field of the known forms, otherwise the whole text.
fn message_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return text.into_owned() };
    // Some gateways wrap the object in an array.
    let value = value.get(0).unwrap_or(&value);
    let found = ["/error/message", "/message", "/error", "/detail"]
        .iter()
        .find_map(|place| value.pointer(place).and_then(Value::as_str));
    found.map_or_else(|| text.clone().into_owned(), str::to_owned)
}

/// Returns a redactor of a key and of the values of headers.
pub(crate) fn redactor(key: Option<&Secret>, headers: &HeaderMap) -> Redactor {
    let values = headers.values().filter_map(|value| value.to_str().ok());
    let values = values.map(|value| value.rsplit(' ').next().unwrap_or(value));
    Redactor::new(key.map(Secret::expose).into_iter().chain(values))
}

/// Reads one response.
pub(super) struct Reader {
    events: SseEvents,
    decoder: Box<dyn Decoder>,
    decoded: VecDeque<ModelEvent>,
    bytes: usize,
    state: State,
    redactor: Redactor,
    limits: ModelLimits,
}

/// The state of a [`Reader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More is to be read.
    Open,
    /// The response is complete: its end is reported after the decoded events.
    Complete(EndReason),
    /// The last item has been returned.
    Over,
}

impl Reader {
    pub(super) fn new(
        events: SseEvents,
        decoder: Box<dyn Decoder>,
        redactor: Redactor,
        limits: ModelLimits,
    ) -> Self {
        Self { events, decoder, decoded: VecDeque::new(), bytes: 0, state: State::Open, redactor, limits }
    }

    pub(super) fn events(self) -> ModelEvents {
        Box::pin(stream::unfold(self, |mut reader| async move {
            let item = reader.next().await?;
            if item.is_err() {
                reader.state = State::Over;
            }
            Some((item, reader))
        }))
    }

    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if self.state == State::Over {
                return None;
            }
            if let Some(event) = self.decoded.pop_front() {
                return Some(Ok(event));
            }
            if let State::Complete(reason) = self.state {
                self.state = State::Over;
                return Some(Ok(ModelEvent::End(reason)));
            }
            if let Err(error) = self.read().await {
                return Some(Err(error));
            }
        }
    }

    /// Reads and decodes an event, or detects the end.
    async fn read(&mut self) -> Result<(), ModelError> {
        let end = self.decoder.end();
        let event = match end {
            None => self.events.next().await,
            // The response is complete; what may follow is its usage.
            Some(_) => {
                let within = Duration::from_millis(self.limits.usage_timeout_ms);
                timeout(within, self.events.next()).await.unwrap_or(None)
            }
        };
        match (event, end) {
            (Some(Ok(event)), _) => {
                let bytes = event.event.len() + event.data.len() + EVENT_BYTES;
                self.bytes = self.bytes.saturating_add(bytes);
                if self.bytes > self.limits.response_bytes_max {
                    return Err(ModelError::TooLarge("response_bytes_max"));
                }
                let mut decoded = Vec::new();
                let outcome = self.decoder.decode(&event, &mut decoded);
                let calls_max = self.limits.response_calls_max;
                let exceeds = |event: &ModelEvent| matches!(event, ModelEvent::ToolCallDelta { index, .. } if *index >= calls_max);
                if decoded.iter().any(exceeds) {
                    return Err(ModelError::TooLarge("response_calls_max"));
                }
                self.decoded.extend(decoded);
                outcome.map_err(|error| self.cleaned(error))?;
                if self.decoder.is_over() {
                    self.state = State::Complete(self.decoder.end().ok_or(ModelError::Truncated)?);
                }
                Ok(())
            }
            (None | Some(Err(SseError::Broken(_) | SseError::Idle(_))), Some(reason)) => {
                self.state = State::Complete(reason);
                Ok(())
            }
            (None, None) => Err(ModelError::Truncated),
            (Some(Err(error)), _) => Err(ModelError::Broken(error)),
        }
    }

    fn cleaned(&self, error: ModelError) -> ModelError {
        match error {
            ModelError::Reported { message, is_temporary } => ModelError::Reported {
                message: self.redactor.line(&message, MESSAGE_CHARS_MAX),
                is_temporary,
            },
            other => other,
        }
    }
}

/// Bytes of an event apart from its type and data, so that empty events are counted as well.
const EVENT_BYTES: usize = 8;

/// Greatest part of the body of a refusal that is read, in bytes.
const ERROR_BYTES_MAX: usize = 16 * 1024;

/// Longest message of a service that is shown, in characters.
const MESSAGE_CHARS_MAX: usize = 300;
