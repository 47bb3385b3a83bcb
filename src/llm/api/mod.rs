//! The interface to a language model, independent of its provider's protocol.
//!
//! ```text
//!   ModelRequest ──▶ ModelApi::stream ──▶ (Reasoning | Text | ToolCallDelta)* Carry? Usage? End
//! ```
//!
//! Guarantee: a stream has exactly one last item, [`ModelEvent::End`] or an error. A response that the
//! provider did not finish ends with an error, never with [`ModelEvent::End`].
//!
//! - [`openai_chat`], [`openai_responses`], [`anthropic`]: the protocols, each an encoder of requests and a
//!   decoder
//!   of events, without input or output
//! - [`http`]: a protocol over HTTP

pub(crate) mod anthropic;
mod error;
mod fields;
pub(crate) mod http;
pub(crate) mod openai_chat;
pub(crate) mod openai_responses;
mod protocol;
#[cfg(test)]
mod tests;

use std::pin::Pin;

use futures_util::Stream;
use quintet_agent::{Usage, async_trait};
use serde_json::Value;

pub use self::error::ModelError;
pub(crate) use self::protocol::{Decoder, Protocol, ProtocolOptions};

/// A language model.
///
/// # Examples
///
/// A model that repeats the last message, for tests:
///
/// ```
/// use futures_util::stream;
/// use quintet_agent::async_trait;
/// use quintet_llm::{EndReason, ModelApi, ModelError, ModelEvent, ModelEvents, ModelRequest, Turn};
///
/// struct Parrot;
///
/// #[async_trait]
/// impl ModelApi for Parrot {
///     async fn stream(&self, request: &ModelRequest) -> Result<ModelEvents, ModelError> {
///         let text = match request.turns.last() {
///             Some(Turn::User(text)) => text.clone(),
///             _ => String::new(),
///         };
///         let events = [Ok(ModelEvent::Text(text)), Ok(ModelEvent::End(EndReason::Stop))];
///         Ok(Box::pin(stream::iter(events)))
///     }
/// }
/// ```
#[async_trait]
pub trait ModelApi: Send + Sync + 'static {
    /// Sends a request and returns the events of its response. Dropping the future or the events ends the
    /// request.
    ///
    /// # Errors
    ///
    /// Returns [`ModelError`] if the model does not begin a response.
    async fn stream(&self, request: &ModelRequest) -> Result<ModelEvents, ModelError>;
}

/// The events of one response.
pub type ModelEvents = Pin<Box<dyn Stream<Item = Result<ModelEvent, ModelError>> + Send>>;

/// One event of a response.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    /// A piece of the reasoning, which providers may summarize.
    Reasoning(String),
    /// A piece of the answer.
    Text(String),
    /// A piece of a tool call. The arguments of one `index` are concatenated.
    ToolCallDelta {
        /// The number of the call in the response: 0, 1, 2 …
        index: usize,
        /// The id of the call, if this piece has it.
        id: Option<String>,
        /// The name of the tool, if this piece has it.
        name: Option<String>,
        /// The next piece of the arguments, which are a JSON object.
        arguments: String,
    },
    /// The response in the provider's own form, to be given back in later requests of the same run. It holds
    /// what text and calls do not, such as signed reasoning.
    Carry(Vec<Value>),
    /// The tokens of the response.
    Usage(Usage),
    /// The end of the response.
    End(EndReason),
}

/// The reason for which a model ended its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The model has finished its answer.
    Stop,
    /// The model waits for the results of its calls.
    ToolCalls,
    /// The response reached the limit of its length.
    Length,
    /// The provider withheld the rest, or the model refused to answer.
    Filtered,
}

/// A request to a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelRequest {
    /// The system prompt.
    pub instructions: Option<String>,
    /// The conversation, which ends with a [`Turn::User`] or [`Turn::Results`].
    pub turns: Vec<Turn>,
    /// The tools that the model may call.
    pub tools: Vec<ToolSpec>,
    /// Greatest length of the response, in tokens; `None` for the provider's own.
    pub output_tokens_max: Option<u64>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// A message of the user.
    User(String),
    /// A response of the model.
    Assistant(Response),
    /// The results of the calls of the preceding response, one for each.
    Results(Vec<ToolResult>),
}

/// A response of the model, as it is given back to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// The answer.
    pub text: String,
    /// The reasoning.
    pub reasoning: String,
    /// The calls.
    pub calls: Vec<ToolCall>,
    /// The response in the provider's own form, if it has one ([`ModelEvent::Carry`]).
    pub carried: Vec<Value>,
}

/// A tool call of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The id, unique in its response.
    pub id: String,
    /// The name of the tool, as the model knows it.
    pub name: String,
    /// The arguments, a JSON object.
    pub arguments: String,
}

/// The result of a [`ToolCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// The id of the call.
    pub id: String,
    /// The result or the error, as text.
    pub content: String,
    /// True if the call did not succeed.
    pub is_error: bool,
}

/// A tool that a model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// The name, of 1 to 64 characters of `[a-zA-Z0-9_-]`.
    pub name: String,
    /// What the tool does.
    pub description: String,
    /// The JSON Schema of the parameters.
    pub parameters: Value,
}
