//! Client frames field by field, as in JSON. Used to encode a frame and to generate the JSON Schema;
//! `wire::client` has the decoder, and a test compares the two.

use quintet_kernel::{
    connection::ResumeCursor,
    entry::{CallResult, CallStatus},
    ids::{CURSOR_EPOCH_PATTERN, CallId, Epoch, Offset, RunId, ThreadId, Title},
    json::Json,
    user::NewMessage,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    CancelRun, ClientFrame, CompleteCall, Credential, EraseThread, Hello, Nonce, Ping, Renew,
    TICKET_BYTES_MAX, TOKEN_BYTES_MAX, UpdateThread,
};

/// A frame tagged with its `type`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Form<'a> {
    /// The first frame of a connection.
    Hello(HelloForm<'a>),
    /// A message of the user.
    SendMessage(&'a NewMessage),
    /// Ends a run.
    CancelRun(CancelForm),
    /// Completes a call that waits for the client.
    CompleteCall(CallForm<'a>),
    /// Changes the properties of a thread.
    UpdateThread(UpdateForm<'a>),
    /// Erases a thread.
    EraseThread(EraseForm<'a>),
    /// A newer credential.
    Renew(RenewForm<'a>),
    /// Requests a `pong`.
    Ping(PingForm<'a>),
}

/// The client's first frame, sent once: the credential and the cursor to resume from.
#[derive(Serialize, JsonSchema)]
#[schemars(extend("not" = both(), "if" = starts_at_head(), "then" = without_after()))]
pub(crate) struct HelloForm<'a> {
    /// A single-use ticket; excludes `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = TICKET_BYTES_MAX))]
    pub ticket: Option<&'a str>,
    /// A JWT; excludes `ticket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = TOKEN_BYTES_MAX))]
    pub token: Option<&'a str>,
    /// The epoch of the cursor, as `ready` gave it. Any other text is the epoch of another journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = CURSOR_EPOCH_PATTERN))]
    pub epoch: Option<Epoch>,
    /// The offset of the last entry that the client applied; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Offset>,
    /// `beginning`, the default, starts after `after`; `head` starts at the head of the log and excludes `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<StartForm>,
}

/// The start of a client that reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum StartForm {
    /// After the cursor.
    #[default]
    Beginning,
    /// At the head of the log.
    Head,
}

/// Ends a run.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CancelForm {
    /// The run to end.
    pub run_id: RunId,
}

/// Completes a call that waits for the client.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CallForm<'a> {
    /// The run of the call.
    pub run_id: RunId,
    /// The call to complete.
    pub call_id: &'a CallId,
    /// The status: success or failure.
    pub status: CallOutcome,
    /// Any JSON; missing: null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<&'a Json>,
    /// An error message, if the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

/// The result of a call that waits for the client; the ids are in the path.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AnswerForm<'a> {
    /// The status: success or failure.
    pub status: CallOutcome,
    /// Any JSON; missing: null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<&'a Json>,
    /// An error message, if the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

/// Changes the title of a thread, or whether it is archived.
#[derive(Serialize, JsonSchema)]
pub(crate) struct UpdateForm<'a> {
    /// The thread to change.
    pub thread_id: &'a ThreadId,
    /// The title; null: none; missing: unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Option<&'a Title>>,
    /// True to put the thread aside, false to bring it back; missing: unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
}

/// Changes the title of a thread, or whether it is archived; the id is in the path.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ThreadUpdateForm<'a> {
    /// The title; null: none; missing: unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Option<&'a Title>>,
    /// True to put the thread aside, false to bring it back; missing: unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
}

/// Erases a thread: its open runs end as cancelled, and its entries up to now are erased (DEL-8).
#[derive(Serialize, JsonSchema)]
pub(crate) struct EraseForm<'a> {
    /// The thread to erase.
    pub thread_id: &'a ThreadId,
}

/// A newer credential of the same user: either a ticket or a token.
#[derive(Serialize, JsonSchema)]
#[schemars(extend("oneOf" = either()))]
pub(crate) struct RenewForm<'a> {
    /// A single-use ticket; excludes `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = TICKET_BYTES_MAX))]
    pub ticket: Option<&'a str>,
    /// A JWT; excludes `ticket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = TOKEN_BYTES_MAX))]
    pub token: Option<&'a str>,
}

/// Requests a `pong`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PingForm<'a> {
    /// Returned unchanged in the `pong`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a Nonce>,
}

/// Returns a schema that matches an object with both credentials.
fn both() -> Value {
    json!({"properties": {"ticket": {"type": "string"}, "token": {"type": "string"}}, "required": ["ticket", "token"]})
}

/// Returns a schema that matches a `hello` that starts at the head.
fn starts_at_head() -> Value {
    json!({"properties": {"start": {"const": "head"}}, "required": ["start"]})
}

/// Returns a schema that matches an object without `after`.
fn without_after() -> Value {
    json!({"properties": {"after": {"type": "null"}}})
}

/// Returns the two alternatives of an object with exactly one credential.
fn either() -> Value {
    json!([
        {"properties": {"ticket": {"type": "string"}}, "required": ["ticket"]},
        {"properties": {"token": {"type": "string"}}, "required": ["token"]},
    ])
}

/// The status with which a client may complete a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The call succeeded.
    Ok,
    /// The call failed.
    Error,
    // Without a doc comment, so that the schema is one list.
    /// The user declined (RUN-11).
    Declined,
}

impl From<CallOutcome> for CallStatus {
    fn from(answered: CallOutcome) -> Self {
        match answered {
            CallOutcome::Ok => CallStatus::Ok,
            CallOutcome::Error => CallStatus::Error,
            CallOutcome::Declined => CallStatus::Declined,
        }
    }
}

impl<'a> From<&'a ClientFrame> for Form<'a> {
    fn from(frame: &'a ClientFrame) -> Self {
        match frame {
            ClientFrame::Hello(Hello { credential, cursor }) => {
                let (ticket, token) = credential.as_ref().map_or((None, None), split);
                let (epoch, after, start) = match *cursor {
                    ResumeCursor::After { epoch, after } => (epoch, Some(after), None),
                    ResumeCursor::Head => (None, None, Some(StartForm::Head)),
                };
                Form::Hello(HelloForm { ticket, token, epoch, after, start })
            }
            ClientFrame::SendMessage(message) => Form::SendMessage(message),
            ClientFrame::CancelRun(CancelRun { run_id }) => Form::CancelRun(CancelForm { run_id: *run_id }),
            ClientFrame::CompleteCall(CompleteCall { run_id, call_id, result }) => {
                let CallResult { status, results, error } = result;
                let status = match status {
                    CallStatus::Ok => CallOutcome::Ok,
                    CallStatus::Declined => CallOutcome::Declined,
                    CallStatus::Error
                    | CallStatus::TimedOut
                    | CallStatus::Cancelled
                    | CallStatus::Unknown => CallOutcome::Error,
                };
                let results = (!results.is_null()).then_some(results);
                Form::CompleteCall(CallForm {
                    run_id: *run_id,
                    call_id,
                    status,
                    results,
                    error: error.as_deref(),
                })
            }
            ClientFrame::UpdateThread(UpdateThread { thread_id, update }) => Form::UpdateThread(UpdateForm {
                thread_id,
                title: update.title.as_ref().map(Option::as_ref),
                archived: update.archived,
            }),
            ClientFrame::EraseThread(EraseThread { thread_id }) => Form::EraseThread(EraseForm { thread_id }),
            ClientFrame::Renew(Renew { credential }) => {
                let (ticket, token) = split(credential);
                Form::Renew(RenewForm { ticket, token })
            }
            ClientFrame::Ping(Ping { nonce }) => Form::Ping(PingForm { nonce: nonce.as_ref() }),
        }
    }
}

fn split(credential: &Credential) -> (Option<&str>, Option<&str>) {
    match credential {
        Credential::Ticket(ticket) => (Some(ticket), None),
        Credential::Token(token) => (None, Some(token)),
    }
}
