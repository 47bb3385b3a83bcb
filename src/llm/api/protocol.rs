//! A provider's protocol: how requests are encoded, and how the events of a response are decoded. Pure.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use quintet_upstream::{Secret, sse::SseEvent};
use serde_json::{Map, Value};

use super::{EndReason, ModelError, ModelEvent, ModelRequest};

/// A protocol of a provider.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// Returns the path of requests below the base address.
    fn path(&self) -> &'static str;

    /// Returns the headers of the protocol, the key included.
    fn headers(&self, key: Option<&Secret>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(AUTHORIZATION, key.header("Bearer "));
        }
        headers
    }

    /// Encodes a request.
    fn encode(&self, request: &ModelRequest, options: &ProtocolOptions) -> Map<String, Value>;

    /// Returns a decoder of one response.
    fn decoder(&self) -> Box<dyn Decoder>;
}

/// A decoder of one response.
pub(crate) trait Decoder: Send {
    /// Decodes an event and appends what it means to `out`, except for the end.
    ///
    /// # Errors
    ///
    /// Returns [`ModelError`] if the event is malformed or reports an error.
    fn decode(&mut self, event: &SseEvent, out: &mut Vec<ModelEvent>) -> Result<(), ModelError>;

    /// Returns the reason for which the response ended, once it is complete.
    fn end(&self) -> Option<EndReason>;

    /// Returns true if nothing more is to come.
    fn is_over(&self) -> bool;
}

/// The settings of a model that its requests contain.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProtocolOptions {
    pub(crate) model: String,
    pub(crate) temperature: Option<f64>,
    pub(crate) reasoning_effort: Option<String>,
    /// True if reasoning is given back to the model within a run (chat completions).
    pub(crate) returns_reasoning: bool,
    /// False if the service refuses requests for token counts (chat completions).
    pub(crate) asks_usage: bool,
    /// True if the service wants the name `max_completion_tokens` (chat completions).
    pub(crate) completion_tokens: bool,
}

/// Returns the value of a header without a secret.
pub(crate) fn plain(value: &'static str) -> HeaderValue {
    HeaderValue::from_static(value)
}
