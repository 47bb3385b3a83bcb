//! The request of a front end, `RunAgentInput`.
//!
//! Guarantee: a decoded request has valid ids and at most [`InputLimits::messages_max`] messages. Content that has no
//! place here is an error if it belongs to the message to send, and named in [`RunInput::ignored`] otherwise.

use std::{collections::BTreeSet, sync::Arc};

use quintet_kernel::{
    entry::CallResult,
    ids::{MessageId, ThreadId},
    json::Json,
    user::OnBusy,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{answer, event::Dialect, ids::CallRef, message::Message};

/// The limits of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputLimits {
    /// Most messages, tools, and entries of `resume` each.
    pub messages_max: usize,
}

/// A request that is not accepted. It has had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The body is not a `RunAgentInput`.
    #[error("the body is not a RunAgentInput")]
    Malformed,
    /// A member is missing or invalid.
    #[error("the member `{0}` is missing or invalid")]
    Field(&'static str),
    /// A list is longer than `messages_max`.
    #[error("the member `{0}` has too many items")]
    TooMany(&'static str),
    /// The message has a part that is not text.
    #[error("a message with attachments cannot be sent: only its text could be stored")]
    Attachment,
}

/// A decoded request.
#[derive(Clone, Debug)]
pub struct RunInput {
    /// The generation of the front end.
    pub dialect: Dialect,
    /// The conversation.
    pub thread_id: ThreadId,
    /// The `runId`, which names this request.
    pub request_id: Arc<str>,
    /// The last message of the user, if there is one.
    pub message: Option<UserMessage>,
    /// The messages before it, unchanged; all messages without it.
    pub before: Vec<Message>,
    /// The answers in `resume`, by the calls that the interrupts were about.
    pub resume: Vec<(CallRef, CallResult)>,
    /// The answers in `tool` messages. Most of them are old, since a front end sends the whole conversation.
    pub tool_results: Vec<(CallRef, CallResult)>,
    /// The names of the tools that the front end executes.
    pub front_end_tools: BTreeSet<String>,
    /// The policy if the thread has an active run, from `forwardedProps.quintet.on_busy`.
    pub on_busy: OnBusy,
    /// Members with content that agents do not receive.
    pub ignored: Vec<&'static str>,
}

/// The message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMessage {
    /// Its id.
    pub id: MessageId,
    /// Its text.
    pub text: String,
    /// The id of the user's message before it, if that is an id of this service.
    pub previous: Option<MessageId>,
}

impl RunInput {
    /// Decodes a request.
    ///
    /// # Errors
    ///
    /// Returns [`InputError`] if the body is malformed, too long, or its last message of the user cannot be sent.
    pub fn decode(text: &str, limits: InputLimits) -> Result<Self, InputError> {
        let form: InputForm = serde_json::from_str(text).map_err(|_| InputError::Malformed)?;
        let within = |count: usize, name| {
            if count <= limits.messages_max { Ok(()) } else { Err(InputError::TooMany(name)) }
        };
        within(form.messages.len(), "messages")?;
        within(form.tools.as_ref().map_or(0, Vec::len), "tools")?;
        within(form.resume.as_ref().map_or(0, Vec::len), "resume")?;
        let thread_id = ThreadId::parse(&form.thread_id).map_err(|_| InputError::Field("threadId"))?;
        if !(1..=REQUEST_ID_BYTES_MAX).contains(&form.run_id.len()) {
            return Err(InputError::Field("runId"));
        }
        let messages =
            form.messages.iter().map(|raw| MessageForm::decode(raw)).collect::<Result<Vec<_>, _>>()?;
        let last = messages.iter().rposition(MessageForm::is_of_user);
        let message = last.map(|last| user_message(&messages, last)).transpose()?;
        let kept = &form.messages[..last.unwrap_or(messages.len())];
        let before = kept.iter().map(|raw| Json::from_raw(raw).map(Message::Given)).collect::<Result<_, _>>();
        let front_end_tools: BTreeSet<String> =
            form.tools.iter().flatten().map(|tool| tool.name.clone()).collect();
        Ok(Self {
            dialect: if form.protocol_version.is_some() { Dialect::V1 } else { Dialect::V0 },
            thread_id,
            request_id: form.run_id.into(),
            message,
            before: before.map_err(|_| InputError::Field("messages"))?,
            resume: form
                .resume
                .unwrap_or_default()
                .into_iter()
                .map(ResumeForm::answer)
                .collect::<Result<_, _>>()?,
            tool_results: messages.iter().filter_map(tool_result).collect(),
            on_busy: on_busy(form.forwarded_props)?,
            ignored: ignored(form.state, form.context, &front_end_tools),
            front_end_tools,
        })
    }
}

fn user_message(messages: &[MessageForm<'_>], last: usize) -> Result<UserMessage, InputError> {
    let form = &messages[last];
    let id = form.id.as_deref().and_then(|id| MessageId::parse(id).ok());
    let previous = messages[..last].iter().rfind(|message| message.is_of_user());
    Ok(UserMessage {
        id: id.ok_or(InputError::Field("messages.id"))?,
        text: form.text().and_then(|text| {
            if text.is_empty() { Err(InputError::Field("messages.content")) } else { Ok(text) }
        })?,
        previous: previous.and_then(|message| MessageId::parse(message.id.as_deref()?).ok()),
    })
}

fn tool_result(message: &MessageForm<'_>) -> Option<(CallRef, CallResult)> {
    if message.role != "tool" {
        return None;
    }
    let call = CallRef::parse(message.tool_call_id.as_deref()?)?;
    Some((call, answer::of_tool_message(&message.text().ok()?, message.error.as_deref())))
}

/// Returns the members with content that agents of this service do not receive.
fn ignored(
    state: Option<&RawValue>,
    context: Option<Vec<&RawValue>>,
    tools: &BTreeSet<String>,
) -> Vec<&'static str> {
    let has_state = state.is_some_and(|state| !matches!(state.get(), "null" | "{}"));
    [
        ("state", has_state),
        ("context", context.is_some_and(|context| !context.is_empty())),
        ("tools", !tools.is_empty()),
    ]
    .into_iter()
    .filter_map(|(name, has_content)| has_content.then_some(name))
    .collect()
}

fn on_busy(forwarded: Option<&RawValue>) -> Result<OnBusy, InputError> {
    #[derive(Default, Deserialize)]
    struct ForwardedForm {
        #[serde(default)]
        quintet: QuintetForm,
    }
    #[derive(Default, Deserialize)]
    struct QuintetForm {
        #[serde(default)]
        on_busy: OnBusy,
    }
    match forwarded.map(RawValue::get) {
        Some(text) if text.starts_with('{') => {
            let form: ForwardedForm =
                serde_json::from_str(text).map_err(|_| InputError::Field("forwardedProps.quintet"))?;
            Ok(form.quintet.on_busy)
        }
        // Any JSON is allowed here; only an object can have a part for this service.
        Some(_) | None => Ok(OnBusy::default()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputForm<'a> {
    thread_id: String,
    run_id: String,
    protocol_version: Option<String>,
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    tools: Option<Vec<ToolForm>>,
    #[serde(borrow)]
    resume: Option<Vec<ResumeForm<'a>>>,
    #[serde(borrow)]
    state: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    forwarded_props: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ToolForm {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResumeForm<'a> {
    interrupt_id: String,
    status: ResumeStatus,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ResumeStatus {
    Resolved,
    Cancelled,
}

impl ResumeForm<'_> {
    fn answer(self) -> Result<(CallRef, CallResult), InputError> {
        let call = CallRef::parse(&self.interrupt_id).ok_or(InputError::Field("resume.interruptId"))?;
        let payload = self.payload.map(Json::from_raw).transpose();
        let payload = payload.map_err(|_| InputError::Field("resume.payload"))?;
        Ok((call, answer::of_resume(self.status == ResumeStatus::Resolved, payload)))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageForm<'a> {
    id: Option<String>,
    role: String,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    tool_call_id: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct PartForm {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

impl<'a> MessageForm<'a> {
    fn decode(raw: &'a RawValue) -> Result<Self, InputError> {
        serde_json::from_str(raw.get()).map_err(|_| InputError::Field("messages"))
    }

    fn is_of_user(&self) -> bool {
        self.role == "user"
    }

    /// Returns the text of the content: a string, or parts that are all text.
    fn text(&self) -> Result<String, InputError> {
        let content = self.content.ok_or(InputError::Field("messages.content"))?.get();
        if let Ok(text) = serde_json::from_str::<String>(content) {
            return Ok(text);
        }
        let parts: Vec<PartForm> =
            serde_json::from_str(content).map_err(|_| InputError::Field("messages.content"))?;
        let texts = parts.into_iter().map(|part| match (&*part.kind, part.text) {
            ("text", Some(text)) => Ok(text),
            _ => Err(InputError::Attachment),
        });
        Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
    }
}

const REQUEST_ID_BYTES_MAX: usize = 256;
