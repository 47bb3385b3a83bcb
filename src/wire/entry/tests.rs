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
            let mut own = json!({"type": "user_message", "message_id": message_id.as_str(), "text": text});
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
    let moved =
        line.replace("{\"type\":\"user_message\",", "{ ").replace('}', ",\"type\":\"user_\\u006dessage\"}");
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
