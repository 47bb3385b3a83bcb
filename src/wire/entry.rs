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
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sample;

    fn line(user_id: &UserId, entry: &Entry) -> String {
        let mut out = BytesMut::new();
        encode(user_id, entry, &mut out);
        String::from_utf8(out.to_vec()).expect("an encoded entry is UTF-8")
    }

    /// Encodes an entry from the contract's table, independently of the shapes.
    fn expected(user_id: &UserId, entry: &Entry) -> Value {
        match entry {
            Entry::Run(entry) => expected_of_run(user_id, entry),
            Entry::Thread(ThreadEntry { offset, thread_id, timestamp, change }) => {
                let mut fields = json!({
                    "offset": offset.0, "user_id": user_id.as_str(), "thread_id": thread_id.as_str(),
                    "timestamp": timestamp.0,
                });
                let own = match change {
                    ThreadChange::Updated { title, archived } => json!({
                        "type": "thread_updated", "title": title.as_ref().map(|title| title.as_str()),
                        "archived": archived,
                    }),
                    ThreadChange::Erased { through, receipt } => json!({
                        "type": "thread_erased", "erased_through": through.0, "receipt": receipt.to_string(),
                    }),
                };
                fields.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
                fields
            }
            Entry::LogErased(LogErased { offset, timestamp, through, receipt }) => json!({
                "type": "log_erased", "offset": offset.0, "user_id": user_id.as_str(), "timestamp": timestamp.0,
                "erased_through": through.0, "receipt": receipt.to_string(),
            }),
            Entry::Erased(ErasedEntry { offset, timestamp }) => {
                json!({"type": "erased", "offset": offset.0, "timestamp": timestamp.0})
            }
        }
    }

    fn expected_of_run(user_id: &UserId, entry: &RunEntry) -> Value {
        let mut fields = json!({
            "offset": entry.offset.0, "user_id": user_id.as_str(), "thread_id": entry.thread_id.as_str(),
            "run_id": entry.run_id.to_string(), "timestamp": entry.timestamp.0, "agent_name": entry.agent_name.as_str(),
        });
        let (seq, own) = match &entry.body {
            Body::UserMessage { message_id, text, parent, steers } => {
                let mut own =
                    json!({"type": "user_message", "message_id": message_id.as_str(), "text": text});
                if let Some(parent) = parent {
                    own["parent"] = json!(parent.0);
                }
                if *steers {
                    own["steer"] = json!(true);
                }
                (None, own)
            }
            Body::Event { seq, event } => (Some(seq.0), expected_event(event)),
        };
        let map = fields.as_object_mut().unwrap();
        map.extend(seq.map(|seq| ("seq".to_owned(), json!(seq))));
        map.extend(own.as_object().unwrap().clone());
        fields
    }

    fn expected_event(event: &Event) -> Value {
        let mut value = match event {
            Event::Started { message_id } => {
                json!({"type": "agent_started", "message_id": message_id.as_str()})
            }
            Event::Thinking(thought) => {
                json!({"type": "agent_thinking", "kind": thought.kind, "delta": thought.delta, "reset": thought.reset})
            }
            Event::ToolExecuting(call) => json!({
                "type": "tool_executing", "call_id": call.call_id.as_str(), "tool_name": call.tool_name.as_str(),
                "parameters": call.parameters.to_value(), "by": call.by,
            }),
            Event::ToolCompleted { call_id, tool_name, result, duration_ms } => json!({
                "type": "tool_completed", "call_id": call_id.as_str(), "tool_name": tool_name.as_str(),
                "status": result.status, "results": result.results.to_value(), "error": result.error,
                "duration_ms": duration_ms,
            }),
            Event::Completed(completion) => json!({
                "type": "agent_completed", "status": completion.status, "final_response": completion.final_response,
                "error": completion.error.as_ref().map(|e| json!({"code": e.code, "message": e.message})),
                "duration_ms": completion.duration_ms,
                "usage": completion.usage.map(|u| json!({"input_tokens": u.input_tokens, "output_tokens": u.output_tokens})),
                "merged_into": completion.merged_into.map(|run_id| run_id.to_string()),
            }),
        };
        let map = value.as_object_mut().unwrap();
        map.retain(|key, value| {
            !(key == "reset" && *value == json!(false)
                || ["usage", "merged_into"].contains(&&**key) && value.is_null())
        });
        value
    }

    proptest::proptest! {
        #[test]
        fn decoding_undoes_encoding(user_id in sample::user_id(), entry in sample::entry()) {
            let line = line(&user_id, &entry);
            let (decoded_user, decoded) = decode(line.as_bytes()).unwrap();
            // The line of an erased entry has no owner.
            let owner = if matches!(entry, Entry::Erased(_)) { None } else { Some(user_id.clone()) };
            assert_eq!((&decoded_user, &decoded), (&owner, &entry));
            assert_eq!(self::line(&user_id, &decoded), line);
        }

        #[test]
        fn an_entry_is_one_line_of_the_contract_s_json(user_id in sample::user_id(), entry in sample::entry()) {
            let line = line(&user_id, &entry);
            assert!(!line.contains(['\n', '\r']));
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected(&user_id, &entry));
        }

        #[test]
        fn no_damaged_line_panics(entry in sample::entry(), at in 0usize..4096, byte: u8) {
            let mut line = line(&sample::ann(), &entry).into_bytes();
            let at = at % line.len();
            line[at] = byte;
            let _ = decode(&line);
            assert!(decode(&line[..at]).is_err());
        }
    }

    #[test]
    fn each_shape_has_its_keys_in_a_stable_order() {
        let lines: Vec<_> = sample::one_of_each().iter().map(|entry| line(&sample::ann(), entry)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn an_entry_may_have_any_length() {
        let mut entry = sample::one_of_each().remove(2).into_run().unwrap();
        for length in (0..2 * HELD_BYTES).chain([65_536, 1_000_000]) {
            let delta: String = ["x", "\n", "é"].iter().cycle().take(length).copied().collect();
            let thought = Thought { kind: quintet_kernel::entry::ThoughtKind::Answer, delta, reset: false };
            entry.body = Body::Event { seq: quintet_kernel::ids::Seq(2), event: Event::Thinking(thought) };
            let entry = Entry::from(entry.clone());
            assert_eq!(decode(line(&sample::ann(), &entry).as_bytes()).unwrap().1, entry, "{length}");
        }
        let mut out = BytesMut::from(&b"before"[..]);
        encode(&sample::ann(), &entry.into(), &mut out);
        assert!(out.starts_with(b"before{\"type\":"), "what was there stays");
    }

    #[test]
    fn type_field_may_be_at_any_position() {
        let line = line(&sample::ann(), &sample::one_of_each()[0]);
        let moved = line
            .replace("{\"type\":\"user_message\",", "{ ")
            .replace('}', ",\"type\":\"user_\\u006dessage\"}");
        assert_eq!(decode(moved.as_bytes()).unwrap().1, sample::one_of_each()[0]);
    }

    #[test]
    fn lines_of_another_kind_are_refused() {
        let line = line(&sample::ann(), &sample::one_of_each()[3]);
        for (from, to) in [
            ("\"tool_executing\"", "\"tool_exploding\""),
            ("{\"type\":\"tool_executing\",", "{"),
            ("{\"city\":\"Oslo\"}", "[1]"),
            ("\"seq\":3", "\"seq\":-3"),
        ] {
            assert!(line.contains(from), "{from} in {line}");
            assert!(decode(line.replace(from, to).as_bytes()).is_err(), "{from} as {to}");
        }
    }

    /// Measures the cost of one entry: `cargo test --release -- --ignored --nocapture nanoseconds`.
    #[test]
    #[ignore = "a measurement, not a check"]
    fn nanoseconds_of_an_entry() {
        let user_id = sample::ann();
        for entry in sample::one_of_each() {
            let (mut out, rounds) = (BytesMut::with_capacity(1 << 20), 10_000);
            let encode_ns = nanoseconds(rounds, || {
                out.clear();
                encode(&user_id, &entry, &mut out);
            });
            let decode_ns = nanoseconds(rounds, || drop(decode(&out)));
            let kind = &out[9..out[9..].iter().position(|b| *b == b'"').unwrap_or(0) + 9];
            println!(
                "{:16} {} B: encode {encode_ns} ns, decode {decode_ns} ns",
                String::from_utf8_lossy(kind),
                out.len()
            );
        }
    }

    /// Returns the fastest of several rounds, since noise only adds time.
    fn nanoseconds(rounds: u32, mut work: impl FnMut()) -> u128 {
        let go = |work: &mut dyn FnMut()| {
            let start = tokio::time::Instant::now();
            for _ in 0..rounds {
                work();
            }
            start.elapsed().as_nanos() / u128::from(rounds)
        };
        (0..20).map(|_| go(&mut work)).min().unwrap_or_default()
    }
}
