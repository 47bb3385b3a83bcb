//! The decoder of client frames. The first pass locates the values of all known fields; the second decodes
//! those that belong to the frame's type.
//!
//! Guarantee: neither pass builds a tree or recurses, so deep nesting cannot exhaust the stack. A field that
//! the type does not have is ignored, even if its value would be invalid.

use std::fmt;

use quintet_kernel::{
    connection::ResumeCursor,
    entry::CallResult,
    ids::{AgentName, CallId, Epoch, InvalidId, MessageId, RunId, ThreadId, Title},
    json::{InvalidJson, Json},
    user::{NewMessage, ThreadUpdate},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    CancelRun, ClientFrame, CompleteCall, Credential, EraseThread, FrameError, Hello, Nonce, Ping, Renew,
    TEXT_BYTES_MAX, TICKET_BYTES_MAX, TOKEN_BYTES_MAX, UpdateThread,
    form::{CallOutcome, StartForm},
};
use crate::codes::ErrorCode;

/// Declares the fields of all frame types and the pass that locates them.
macro_rules! fields {
    ($($field:ident $name:literal),* $(,)?) => {
        /// The raw values that the first pass located.
        pub(super) struct Fields<'a> {
            $($field: RawField<'a>,)*
        }

        #[derive(Deserialize)]
        #[serde(field_identifier)]
        #[allow(non_camel_case_types, reason = "variants are named after the wire fields")]
        enum Key {
            $(#[serde(rename = $name)] $field,)*
            #[serde(other)]
            Unknown,
        }

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields { $($field: RawField { name: $name, raw: None, twice: false },)* };
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        $(Key::$field => fields.$field.set(map.next_value()?),)*
                        Key::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(fields)
            }
        }
    };
}

fields!(
    kind "type",
    ticket "ticket",
    token "token",
    epoch "epoch",
    after "after",
    start "start",
    message_id "message_id",
    thread_id "thread_id",
    text "text",
    agent_name "agent_name",
    on_busy "on_busy",
    parent "parent",
    run_id "run_id",
    call_id "call_id",
    status "status",
    results "results",
    error "error",
    title "title",
    archived "archived",
    nonce "nonce",
);

struct FieldsVisitor;

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(FieldsVisitor)
    }
}

/// One field of a frame and the raw text of its value, if present.
#[derive(Clone, Copy)]
struct RawField<'a> {
    name: &'static str,
    raw: Option<&'a RawValue>,
    twice: bool,
}

impl<'a> RawField<'a> {
    fn set(&mut self, raw: &'a RawValue) {
        self.twice = self.raw.replace(raw).is_some();
    }

    /// Returns the value; null counts as missing.
    ///
    /// A field that appears twice is an error, because parsers disagree on which value counts.
    fn value(self) -> Result<Option<&'a RawValue>, Wrong> {
        if self.twice {
            Err(self.wrong("appears more than once"))
        } else {
            Ok(self.raw.filter(|raw| raw.get() != "null"))
        }
    }

    /// Decodes the value with `read`, if present; `rule` completes the error message "`name` …".
    fn optional<T>(
        self,
        rule: &str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Result<Option<T>, Wrong> {
        self.value()?.map(|raw| read(raw).ok_or_else(|| self.wrong(reason(raw).unwrap_or(rule)))).transpose()
    }

    fn required<T>(self, rule: &str, read: impl FnOnce(&'a RawValue) -> Option<T>) -> Result<T, Wrong> {
        self.optional(rule, read)?.ok_or_else(|| self.wrong("is missing"))
    }

    fn optional_id<T>(self, parse: fn(&str) -> Result<T, InvalidId>) -> Result<Option<T>, Wrong> {
        let Some(text) = self.optional("must be a string", string)? else { return Ok(None) };
        parse(&text).map(Some).map_err(|e| self.wrong(&format!("must be {}", e.rule)))
    }

    fn required_id<T>(self, parse: fn(&str) -> Result<T, InvalidId>) -> Result<T, Wrong> {
        self.optional_id(parse)?.ok_or_else(|| self.wrong("is missing"))
    }

    /// Decodes an id that may be null; `None` if the field is missing.
    fn nullable_id<T>(self, parse: fn(&str) -> Result<T, InvalidId>) -> Result<Option<Option<T>>, Wrong> {
        let id = self.optional_id(parse)?;
        Ok(self.raw.map(|_| id))
    }

    /// Returns the id for an `error` frame to refer to, if it is present once and well-formed.
    fn reference<T>(self, parse: fn(&str) -> Result<T, InvalidId>) -> Option<T> {
        self.required_id(parse).ok()
    }

    fn secret(self, bytes_max: usize) -> Result<Option<String>, Wrong> {
        let rule = format!("must be a string of 1 to {bytes_max} bytes");
        self.optional(&rule, |raw| string(raw).filter(|secret| (1..=bytes_max).contains(&secret.len())))
    }

    fn wrong(self, rule: &str) -> Wrong {
        let message = format!("{} {rule}", self.name);
        Wrong { code: ErrorCode::InvalidField, field: Some(self.name), message }
    }
}

/// A fault, before the ids of the frame are added. `message` contains no text of the client.
pub(super) struct Wrong {
    code: ErrorCode,
    field: Option<&'static str>,
    message: String,
}

fn malformed(message: &str) -> Wrong {
    Wrong { code: ErrorCode::MalformedFrame, field: None, message: message.to_owned() }
}

impl Fields<'_> {
    /// Runs both passes, the second being `read`.
    pub(super) fn decode<T>(text: &str, read: fn(&Fields<'_>) -> Result<T, Wrong>) -> Result<T, FrameError> {
        let (wrong, message_id, run_id) = match serde_json::from_str::<Fields<'_>>(text) {
            Ok(fields) => match read(&fields) {
                Ok(frame) => return Ok(frame),
                Err(wrong) => (
                    wrong,
                    fields.message_id.reference(MessageId::parse),
                    fields.run_id.reference(RunId::parse),
                ),
            },
            Err(e) if e.is_data() => (malformed("a frame is a JSON object"), None, None),
            Err(_) => (malformed("a frame is a JSON text"), None, None),
        };
        Err(FrameError { code: wrong.code, message: wrong.message, field: wrong.field, message_id, run_id })
    }

    pub(super) fn frame(&self) -> Result<ClientFrame, Wrong> {
        let kind = self.kind.required("", string).map_err(|_| malformed("a frame has one type, a string"))?;
        match kind.as_str() {
            "hello" => self.hello().map(ClientFrame::Hello),
            "send_message" => self.send_message().map(ClientFrame::SendMessage),
            "cancel_run" => self.cancel_run().map(ClientFrame::CancelRun),
            "complete_call" => self.complete_call().map(ClientFrame::CompleteCall),
            "update_thread" => self.update_thread().map(ClientFrame::UpdateThread),
            "erase_thread" => self.erase_thread().map(ClientFrame::EraseThread),
            "renew" => self.renew().map(ClientFrame::Renew),
            "ping" => self.ping().map(ClientFrame::Ping),
            // This includes entries and the other frames that only the service sends.
            _ => {
                let message = "not the type of a client frame".to_owned();
                Err(Wrong { code: ErrorCode::UnknownType, field: None, message })
            }
        }
    }

    fn hello(&self) -> Result<Hello, Wrong> {
        Ok(Hello { credential: self.credential()?, cursor: self.cursor()? })
    }

    fn cursor(&self) -> Result<ResumeCursor, Wrong> {
        let epoch = self.epoch.optional_id(Epoch::of_cursor)?;
        let after = self.after.optional("must be an integer from 0 to 2^64 - 1", parse)?;
        match self.start.optional("must be \"beginning\" or \"head\"", parse)?.unwrap_or_default() {
            StartForm::Beginning => Ok(ResumeCursor::After { epoch, after: after.unwrap_or_default() }),
            // Two positions in one frame: neither is a better guess than the other (DEL-3).
            StartForm::Head if after.is_some() => {
                Err(self.start.wrong("\"head\" and after exclude each other"))
            }
            StartForm::Head => Ok(ResumeCursor::Head),
        }
    }

    pub(super) fn send_message(&self) -> Result<NewMessage, Wrong> {
        Ok(NewMessage {
            message_id: self.message_id.required_id(MessageId::parse)?,
            thread_id: self.thread_id.required_id(ThreadId::parse)?,
            text: self.text()?,
            agent_name: self.agent_name.optional_id(AgentName::parse)?,
            on_busy: self
                .on_busy
                .optional("must be \"enqueue\", \"reject\", \"interrupt\" or \"steer\"", parse)?
                .unwrap_or_default(),
            parent: self.parent.optional("must be an integer from 0 to 2^64 - 1", parse)?,
        })
    }

    fn text(&self) -> Result<String, Wrong> {
        let text = self.text.required("must be a string", string)?;
        match text.len() {
            0 => Err(self.text.wrong("must not be empty")),
            1..=TEXT_BYTES_MAX => Ok(text),
            _ => {
                let wrong = self.text.wrong(&format!("is longer than {TEXT_BYTES_MAX} bytes"));
                Err(Wrong { code: ErrorCode::TooLarge, ..wrong })
            }
        }
    }

    fn cancel_run(&self) -> Result<CancelRun, Wrong> {
        Ok(CancelRun { run_id: self.run_id.required_id(RunId::parse)? })
    }

    fn complete_call(&self) -> Result<CompleteCall, Wrong> {
        Ok(CompleteCall {
            run_id: self.run_id.required_id(RunId::parse)?,
            call_id: self.call_id.required_id(CallId::parse)?,
            result: self.answer()?,
        })
    }

    pub(super) fn answer(&self) -> Result<CallResult, Wrong> {
        let strict = format!("is nested deeper than {} levels", Json::DEPTH_MAX);
        Ok(CallResult {
            status: self
                .status
                .required("must be \"ok\", \"error\" or \"declined\"", parse::<CallOutcome>)?
                .into(),
            results: self
                .results
                .optional(&strict, |raw| Json::from_raw(raw).ok())?
                .unwrap_or_else(Json::null),
            error: self.error.optional("must be a string", string)?,
        })
    }

    fn update_thread(&self) -> Result<UpdateThread, Wrong> {
        Ok(UpdateThread { thread_id: self.thread_id.required_id(ThreadId::parse)?, update: self.update()? })
    }

    /// A missing title is unchanged, null removes it.
    pub(super) fn update(&self) -> Result<ThreadUpdate, Wrong> {
        Ok(ThreadUpdate {
            title: self.title.nullable_id(Title::parse)?,
            archived: self.archived.optional("must be true or false", parse)?,
        })
    }

    fn erase_thread(&self) -> Result<EraseThread, Wrong> {
        Ok(EraseThread { thread_id: self.thread_id.required_id(ThreadId::parse)? })
    }

    fn renew(&self) -> Result<Renew, Wrong> {
        let credential = self.credential()?.ok_or_else(|| self.token.wrong("or ticket is required"))?;
        Ok(Renew { credential })
    }

    fn credential(&self) -> Result<Option<Credential>, Wrong> {
        match (self.ticket.secret(TICKET_BYTES_MAX)?, self.token.secret(TOKEN_BYTES_MAX)?) {
            (None, None) => Ok(None),
            (Some(ticket), None) => Ok(Some(Credential::Ticket(ticket))),
            (None, Some(token)) => Ok(Some(Credential::Token(token))),
            (Some(_), Some(_)) => Err(self.token.wrong("and ticket exclude each other")),
        }
    }

    fn ping(&self) -> Result<Ping, Wrong> {
        let rule = format!("must be a string or a number of at most {} bytes", Nonce::BYTES_MAX);
        Ok(Ping { nonce: self.nonce.optional(&rule, Nonce::read)? })
    }
}

/// Explains why a syntactically valid JSON value cannot be decoded, if the reason does not depend on its field.
fn reason(raw: &RawValue) -> Option<&'static str> {
    match Json::from_raw(raw) {
        Err(InvalidJson::Syntax(why)) if why.starts_with("number out of range") => {
            Some("contains a number outside the range of a 64-bit float")
        }
        // The first pass accepted the value's syntax, so only an unpaired surrogate is left.
        Err(InvalidJson::Syntax(_)) => Some("contains an unpaired surrogate"),
        Err(InvalidJson::TooDeep | InvalidJson::NotAnObject) | Ok(_) => None,
    }
}

fn parse<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

fn string(raw: &RawValue) -> Option<String> {
    parse(raw)
}
