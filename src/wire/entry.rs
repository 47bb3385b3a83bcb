//! The encoding of an entry as one line of JSON, stored by the journal and sent on every connection.
//!
//! Guarantee: [`decode`] is the inverse of [`encode`]. An encoded entry is one flat JSON object without a
//! raw line feed, its keys in a fixed order.

use std::{borrow::Cow, io};

use bytes::BytesMut;
use quintet_kernel::{
    entry::{
        Body, Call, CallResult, Completion, Entry, ErasedEntry, Event, LogErased, RunEntry, Thought,
        ThreadChange, ThreadEntry,
    },
    ids::UserId,
    json::InvalidJson,
};
use serde::{Deserialize, Serialize};

use super::shapes::{
    self, AgentCompleted, AgentStarted, AgentThinking, ThreadErased, ThreadUpdated, ToolCompleted,
    ToolExecuting, UserMessage,
};

/// Appends the encoding of `entry`, from the log of `user_id`, to `out`, without a line feed.
pub fn encode(user_id: &UserId, entry: &Entry, out: &mut BytesMut) {
    match entry {
        Entry::Run(entry) => encode_run(user_id, entry, out),
        Entry::Thread(entry) => encode_thread(user_id, entry, out),
        Entry::LogErased(LogErased { offset, timestamp, through, receipt }) => write_shape(
            out,
            &shapes::LogErased {
                offset: *offset,
                user_id: Cow::Borrowed(user_id),
                timestamp: *timestamp,
                erased_through: *through,
                receipt: *receipt,
            },
        ),
        Entry::Erased(ErasedEntry { offset, timestamp }) => {
            write_shape(out, &shapes::Erased { offset: *offset, timestamp: *timestamp });
        }
    }
}

fn encode_thread(user_id: &UserId, entry: &ThreadEntry, out: &mut BytesMut) {
    let (user_id, thread_id) = (Cow::Borrowed(user_id), Cow::Borrowed(&entry.thread_id));
    let (offset, timestamp) = (entry.offset, entry.timestamp);
    match &entry.change {
        ThreadChange::Updated { title, archived } => {
            let title = title.as_ref().map(Cow::Borrowed);
            let archived = *archived;
            write_shape(out, &ThreadUpdated { offset, user_id, thread_id, timestamp, title, archived });
        }
        ThreadChange::Erased { through, receipt } => {
            let (erased_through, receipt) = (*through, *receipt);
            let shape = ThreadErased { offset, user_id, thread_id, timestamp, erased_through, receipt };
            write_shape(out, &shape);
        }
    }
}

fn encode_run(user_id: &UserId, entry: &RunEntry, out: &mut BytesMut) {
    // Fills in the fields that all shapes have in common.
    macro_rules! write {
        ($shape:ident { $($field:ident: $value:expr),* $(,)? }) => {
            write_shape(out, &$shape {
                offset: entry.offset,
                user_id: Cow::Borrowed(user_id),
                thread_id: Cow::Borrowed(&entry.thread_id),
                run_id: entry.run_id,
                timestamp: entry.timestamp,
                agent_name: Cow::Borrowed(&entry.agent_name),
                $($field: $value),*
            })
        };
    }
    match &entry.body {
        Body::UserMessage { message_id, text, parent, steers } => write!(UserMessage {
            message_id: Cow::Borrowed(message_id),
            text: text.into(),
            parent: *parent,
            steer: *steers,
        }),
        Body::Event { seq, event } => match event {
            Event::Started { message_id } => {
                write!(AgentStarted { seq: *seq, message_id: Cow::Borrowed(message_id) })
            }
            Event::Thinking(Thought { kind, delta, reset }) => {
                write!(AgentThinking { seq: *seq, kind: *kind, delta: delta.into(), reset: *reset })
            }
            Event::ToolExecuting(Call { call_id, tool_name, parameters, by }) => write!(ToolExecuting {
                seq: *seq,
                call_id: Cow::Borrowed(call_id),
                tool_name: Cow::Borrowed(tool_name),
                parameters: Cow::Borrowed(parameters),
                by: *by,
            }),
            Event::ToolCompleted { call_id, tool_name, result, duration_ms } => write!(ToolCompleted {
                seq: *seq,
                call_id: Cow::Borrowed(call_id),
                tool_name: Cow::Borrowed(tool_name),
                status: result.status,
                results: Cow::Borrowed(&result.results),
                error: result.error.as_deref().map(Cow::Borrowed),
                duration_ms: *duration_ms,
            }),
            Event::Completed(completion) => write!(AgentCompleted {
                seq: *seq,
                status: completion.status,
                final_response: completion.final_response.as_deref().map(Cow::Borrowed),
                error: completion.error.as_ref().map(Cow::Borrowed),
                duration_ms: completion.duration_ms,
                usage: completion.usage,
                merged_into: completion.merged_into,
            }),
        },
    }
}

fn write_shape(out: &mut BytesMut, shape: &impl Serialize) {
    let mut gather = Gather { out, held: [0; HELD_BYTES], len: 0 };
    serde_json::to_writer(&mut gather, shape).expect("memory takes every byte, and every key is a string");
    gather.pass_on();
}

/// Buffers the many small writes of the serializer on the stack: appending a few large pieces to a
/// [`BytesMut`] costs less than half as much.
struct Gather<'a> {
    out: &'a mut BytesMut,
    held: [u8; HELD_BYTES],
    len: usize,
}

const HELD_BYTES: usize = 512;

impl Gather<'_> {
    #[inline(never)]
    fn pass_on(&mut self) {
        self.out.extend_from_slice(&self.held[..self.len]);
        self.len = 0;
    }
}

impl io::Write for Gather<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.write_all(piece)?;
        Ok(piece.len())
    }

    // Most pieces are a few bytes of constant length; inlining lets the compiler use it.
    #[inline(always)]
    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        if piece.len() > HELD_BYTES - self.len {
            self.pass_on();
        }
        match self.held.get_mut(self.len..self.len + piece.len()) {
            Some(room) => {
                room.copy_from_slice(piece);
                self.len += piece.len();
            }
            None => self.out.extend_from_slice(piece),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decodes one line, as in recovery from the journal. Returns the owner of its log, which the line of an `erased` entry
/// does not have.
///
/// # Errors
///
/// Returns a [`DecodeError`] if `line` is not a whole entry; a journal that holds such a line is damaged.
pub fn decode(line: &[u8]) -> Result<(Option<UserId>, Entry), DecodeError> {
    // Builds the result from the fields that all shapes have in common.
    macro_rules! entry {
        ($shape:ident, $body:expr) => {{
            let (user_id, thread_id) = ($shape.user_id.into_owned(), $shape.thread_id.into_owned());
            let (offset, run_id, timestamp) = ($shape.offset, $shape.run_id, $shape.timestamp);
            let agent_name = $shape.agent_name.into_owned();
            let body = $body;
            (Some(user_id), Entry::Run(RunEntry { offset, thread_id, run_id, timestamp, agent_name, body }))
        }};
    }
    // A tagged enum would buffer the fields and lose the original text of embedded JSON. So the tag is read
    // first, then the shape.
    Ok(match &*tag(line)? {
        "user_message" => {
            let s: UserMessage<'_> = serde_json::from_slice(line)?;
            let (message_id, text) = (s.message_id.into_owned(), s.text.into_owned());
            entry!(s, Body::UserMessage { message_id, text, parent: s.parent, steers: s.steer })
        }
        "agent_started" => {
            let s: AgentStarted<'_> = serde_json::from_slice(line)?;
            let event = Event::Started { message_id: s.message_id.into_owned() };
            entry!(s, Body::Event { seq: s.seq, event })
        }
        "agent_thinking" => {
            let s: AgentThinking<'_> = serde_json::from_slice(line)?;
            let event =
                Event::Thinking(Thought { kind: s.kind, delta: s.delta.into_owned(), reset: s.reset });
            entry!(s, Body::Event { seq: s.seq, event })
        }
        "tool_executing" => {
            let s: ToolExecuting<'_> = serde_json::from_slice(line)?;
            let event = Event::ToolExecuting(Call {
                call_id: s.call_id.into_owned(),
                tool_name: s.tool_name.into_owned(),
                parameters: s.parameters.into_owned().object()?,
                by: s.by,
            });
            entry!(s, Body::Event { seq: s.seq, event })
        }
        "tool_completed" => {
            let s: ToolCompleted<'_> = serde_json::from_slice(line)?;
            let error = s.error.map(Cow::into_owned);
            let event = Event::ToolCompleted {
                call_id: s.call_id.into_owned(),
                tool_name: s.tool_name.into_owned(),
                result: CallResult { status: s.status, results: s.results.into_owned(), error },
                duration_ms: s.duration_ms,
            };
            entry!(s, Body::Event { seq: s.seq, event })
        }
        "agent_completed" => {
            let s: AgentCompleted<'_> = serde_json::from_slice(line)?;
            let event = Event::Completed(Completion {
                status: s.status,
                final_response: s.final_response.map(Cow::into_owned),
                error: s.error.map(Cow::into_owned),
                duration_ms: s.duration_ms,
                usage: s.usage,
                merged_into: s.merged_into,
            });
            entry!(s, Body::Event { seq: s.seq, event })
        }
        "thread_updated" => {
            let s: ThreadUpdated<'_> = serde_json::from_slice(line)?;
            let change = ThreadChange::Updated { title: s.title.map(Cow::into_owned), archived: s.archived };
            let thread_id = s.thread_id.into_owned();
            let entry = ThreadEntry { offset: s.offset, thread_id, timestamp: s.timestamp, change };
            (Some(s.user_id.into_owned()), Entry::Thread(entry))
        }
        "thread_erased" => {
            let s: ThreadErased<'_> = serde_json::from_slice(line)?;
            let change = ThreadChange::Erased { through: s.erased_through, receipt: s.receipt };
            let thread_id = s.thread_id.into_owned();
            let entry = ThreadEntry { offset: s.offset, thread_id, timestamp: s.timestamp, change };
            (Some(s.user_id.into_owned()), Entry::Thread(entry))
        }
        "log_erased" => {
            let s: shapes::LogErased<'_> = serde_json::from_slice(line)?;
            let (offset, timestamp) = (s.offset, s.timestamp);
            let entry = LogErased { offset, timestamp, through: s.erased_through, receipt: s.receipt };
            (Some(s.user_id.into_owned()), Entry::LogErased(entry))
        }
        "erased" => {
            let s: shapes::Erased = serde_json::from_slice(line)?;
            (None, Entry::Erased(ErasedEntry { offset: s.offset, timestamp: s.timestamp }))
        }
        _ => return Err(DecodeError::UnknownType),
    })
}

/// Returns the `type` of a line: without parsing if it is the first key, as [`encode`] writes it, else by
/// parsing the object.
fn tag(line: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    let first = line.strip_prefix(b"{\"type\":\"").and_then(|rest| rest.split(|byte| *byte == b'"').next());
    match first.and_then(|name| std::str::from_utf8(name).ok()) {
        Some(name) => Ok(Cow::Borrowed(name)),
        None => Ok(serde_json::from_slice::<Tag<'_>>(line)?.name),
    }
}

/// A line that is not an encoded entry. The storage is at fault.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The line is not JSON, or a field is missing or invalid.
    #[error("not an entry")]
    Json(#[from] serde_json::Error),
    /// The `type` is none of those of an entry.
    #[error("unknown entry type")]
    UnknownType,
    /// The `parameters` of a call are not a JSON object.
    #[error("the parameters of the call are not an object")]
    Parameters(#[from] InvalidJson),
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    name: Cow<'a, str>,
}

#[cfg(test)]
mod tests;
