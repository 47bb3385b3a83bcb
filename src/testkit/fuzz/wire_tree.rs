//! The contract's table of client frames, read from a tree of JSON without the decoder's code: the frame, or
//! `None` if it is not one.

use quintet::{
    kernel::{
        connection::ResumeCursor,
        entry::{CallResult, CallStatus},
        ids::{AgentName, CallId, Epoch, MessageId, Offset, RunId, ThreadId, Title},
        json::Json,
        user::{NewMessage, OnBusy, ThreadUpdate},
    },
    wire::client::{
        CancelRun, ClientFrame, CompleteCall, Credential, EraseThread, Hello, Nonce, Ping, Renew,
        UpdateThread,
    },
};
use serde_json::{Map, Value, value::RawValue};

/// An object as a tree. For a repeated key it holds the last value.
pub struct Tree(Map<String, Value>, Map<String, Value>);

impl Tree {
    /// Returns `None` for a text that is not an object, or that no tree holds (too deep, half a character).
    pub fn read(text: &str) -> Option<Self> {
        let Value::Object(map) = serde_json::from_str(text).ok()? else { return None };
        // The text of each value, for what passes through unchanged.
        let raw: std::collections::BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
        let raw = raw.into_iter().map(|(key, value)| (key, Value::String(value.get().to_owned())));
        Some(Self(map, raw.collect()))
    }

    /// Returns whether some field holds this text.
    pub fn holds(&self, text: &str) -> bool {
        self.0.values().any(|value| value == text)
    }

    pub fn frame(&self) -> Option<ClientFrame> {
        Some(match self.string("type")?.as_str() {
            "hello" => {
                let credential = self.credential()?;
                let epoch = self.optional("epoch", |v| uuid(v).and_then(|id| Epoch::parse(id).ok()))?;
                let after = self.optional("after", Value::as_u64)?;
                let at_head = self.optional("start", |v| match v.as_str()? {
                    "beginning" => Some(false),
                    "head" => Some(true),
                    _ => None,
                })?;
                let cursor = match (at_head, after) {
                    (Some(true), Some(_)) => return None,
                    (Some(true), None) => ResumeCursor::Head,
                    _ => ResumeCursor::After { epoch, after: Offset(after.unwrap_or(0)) },
                };
                ClientFrame::Hello(Hello { credential, cursor })
            }
            "send_message" => ClientFrame::SendMessage(NewMessage {
                message_id: MessageId::parse(self.name("message_id")?).ok()?,
                thread_id: ThreadId::parse(self.name("thread_id")?).ok()?,
                text: self.string("text").filter(|text| (1..=65_536).contains(&text.len()))?,
                agent_name: self.optional("agent_name", |v| {
                    v.as_str().filter(|n| is_name(n)).and_then(|n| AgentName::parse(n).ok())
                })?,
                on_busy: self
                    .optional("on_busy", |v| match v.as_str()? {
                        "enqueue" => Some(OnBusy::Enqueue),
                        "reject" => Some(OnBusy::Reject),
                        "interrupt" => Some(OnBusy::Interrupt),
                        "steer" => Some(OnBusy::Steer),
                        _ => None,
                    })?
                    .unwrap_or(OnBusy::Enqueue),
                parent: self.optional("parent", Value::as_u64)?.map(Offset),
            }),
            "cancel_run" => ClientFrame::CancelRun(CancelRun { run_id: self.run_id()? }),
            "complete_call" => ClientFrame::CompleteCall(CompleteCall {
                run_id: self.run_id()?,
                call_id: CallId::parse(self.name("call_id")?).ok()?,
                result: CallResult {
                    status: match self.string("status")?.as_str() {
                        "ok" => CallStatus::Ok,
                        "error" => CallStatus::Error,
                        "declined" => CallStatus::Declined,
                        _ => return None,
                    },
                    results: self
                        .optional("results", |v| (levels(v) <= 64).then(|| self.text_of("results")))?
                        .unwrap_or_else(Json::null),
                    error: self.optional("error", |v| v.as_str().map(str::to_owned))?,
                },
            }),
            "update_thread" => ClientFrame::UpdateThread(UpdateThread {
                thread_id: ThreadId::parse(self.name("thread_id")?).ok()?,
                update: ThreadUpdate {
                    title: match self.0.get("title") {
                        None => None,
                        Some(Value::Null) => Some(None),
                        Some(title) => Some(Some(title.as_str().and_then(|title| Title::parse(title).ok())?)),
                    },
                    archived: self.optional("archived", Value::as_bool)?,
                },
            }),
            "erase_thread" => ClientFrame::EraseThread(EraseThread {
                thread_id: ThreadId::parse(self.name("thread_id")?).ok()?,
            }),
            "renew" => ClientFrame::Renew(Renew { credential: self.credential()?? }),
            "ping" => ClientFrame::Ping(Ping {
                nonce: self.optional("nonce", |v| {
                    let raw = RawValue::from_string(self.1["nonce"].as_str()?.to_owned()).ok()?;
                    if v.is_string() || v.is_number() { Nonce::read(&raw) } else { None }
                })?,
            }),
            _ => return None,
        })
    }

    /// Reads a field that may be missing or null; `None` if it is present and wrong.
    fn optional<T>(&self, field: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
        match self.0.get(field) {
            None | Some(Value::Null) => Some(None),
            Some(value) => read(value).map(Some),
        }
    }

    fn string(&self, field: &str) -> Option<String> {
        self.0.get(field)?.as_str().map(str::to_owned)
    }

    fn name(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str().filter(|name| is_name(name))
    }

    fn run_id(&self) -> Option<RunId> {
        RunId::parse(uuid(self.0.get("run_id")?)?).ok()
    }

    fn credential(&self) -> Option<Option<Credential>> {
        let secret = |field, max| {
            self.optional(field, |v| v.as_str().filter(|s| (1..=max).contains(&s.len())).map(str::to_owned))
        };
        match (secret("ticket", 256)?, secret("token", 8192)?) {
            (None, None) => Some(None),
            (Some(ticket), None) => Some(Some(Credential::Ticket(ticket))),
            (None, Some(token)) => Some(Some(Credential::Token(token))),
            (Some(_), Some(_)) => None,
        }
    }

    fn text_of(&self, field: &str) -> Json {
        let text = self.1[field].as_str().expect("the text of a value").replace(['\n', '\r'], " ");
        Json::parse(&text).expect("a value of a tree")
    }
}

fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&text.len()) && text.chars().all(legal)
}

fn uuid(value: &Value) -> Option<&str> {
    let form = |(i, b): (usize, u8)| match i {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
    };
    value.as_str().filter(|text| text.len() == 36 && text.bytes().enumerate().all(form))
}

/// The nesting depth of arrays and objects.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}
