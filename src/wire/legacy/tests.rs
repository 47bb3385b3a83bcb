//! Tests of the translation from and to the predecessor's protocol.

use bytes::BytesMut;
use proptest::{collection, prelude::*};
use quintet_kernel::{
    entry::{Body, Entry, Event, ThreadChange},
    ids::{MessageId, ThreadId, Timestamp, UserId},
    user::NewMessage,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    client::{FrameError, TEXT_BYTES_MAX},
    codes::{CloseCode, ErrorCode},
    entry as line,
    sample::{self, ann},
    server::ServerFrame,
};

fn read(text: &str) -> Result<LegacyFrame, FrameError> {
    let user_id = ann();
    let thread_id = ThreadId::parse("legacy-c").unwrap();
    let message_id = MessageId::parse("legacy-c-1").unwrap();
    decode(text, &Sender { user_id: &user_id, thread_id, message_id })
}

fn message(frame: &Value) -> NewMessage {
    match read(&frame.to_string()) {
        Ok(LegacyFrame::Message(message)) => message,
        other => panic!("{other:?} of {frame}"),
    }
}

fn fault(frame: &Value) -> (ErrorCode, Option<&'static str>) {
    let error = read(&frame.to_string()).unwrap_err();
    (error.code, error.field)
}

fn line_of(user_id: &UserId, entry: &Entry) -> BytesMut {
    let mut out = BytesMut::new();
    line::encode(user_id, entry, &mut out);
    out
}

/// Returns the frame of an entry, if it has one.
fn encoded(user_id: &UserId, entry: &Entry) -> Option<Value> {
    let text = super::entry(&line_of(user_id, entry)).unwrap()?;
    Some(serde_json::from_str(&text).unwrap())
}

fn view(user_id: &UserId) -> View<'_> {
    View { user_id, now: Timestamp(1_795_000_000_500), resumes: false }
}

#[test]
fn each_alias_of_a_message_is_a_message() {
    for (kind, _) in ALIASES.iter().filter(|(_, alias)| *alias == Alias::Message) {
        for frame in [
            json!({"type": kind, "content": "hi", "thread_id": "t", "message_id": "m"}),
            json!({"type": kind, "payload": {"text": "hi", "thread_id": "t", "message_id": "m"}}),
            json!({"type": kind, "thread_id": "t", "message_id": "m", "payload": {"user_request": "hi"}}),
        ] {
            let message = message(&frame);
            assert_eq!((message.text.as_str(), message.thread_id.as_str()), ("hi", "t"), "{frame}");
            assert_eq!((message.message_id.as_str(), message.parent), ("m", None), "{frame}");
        }
    }
    let plain = message(&json!({"type": "chat", "message": "hi", "timestamp": 1.5, "user_id": "ann"}));
    assert_eq!((plain.thread_id.as_str(), plain.message_id.as_str()), ("legacy-c", "legacy-c-1"));
    let named =
        message(&json!({"type": "start_agent", "payload": {"request": "hi", "agent_name": "triage"}}));
    assert_eq!(named.agent_name.unwrap().as_str(), "triage");
}

#[test]
fn frames_without_an_effect_have_their_acknowledgement() {
    for (kind, alias) in ALIASES {
        let expected = match alias {
            Alias::Ping => Ack::Pong,
            Alias::Heartbeat => Ack::Heartbeat,
            Alias::Connect => Ack::System("connected"),
            Alias::Disconnect => Ack::System("disconnect_acknowledged"),
            Alias::Typing => Ack::System("typing_acknowledged"),
            Alias::Reply => Ack::None,
            Alias::Message | Alias::Cancel => continue,
        };
        assert_eq!(read(&json!({"type": kind}).to_string()), Ok(LegacyFrame::Ack(expected)), "{kind}");
    }
    let run_id = "01a1ee56-5e01-7c3d-8e4f-0123456789ab";
    let stop = read(&json!({"type": "stop_agent", "payload": {"run_id": run_id}}).to_string());
    assert!(matches!(stop, Ok(LegacyFrame::Cancel(cancel)) if cancel.run_id.to_string() == run_id));
}

/// CONN-4: acknowledged but ignored. Types that the predecessor acknowledged without an effect are errors.
#[test]
fn conn_4_types_without_an_effect_are_errors() {
    for kind in [
        "thread_update",
        "broadcast",
        "room_message",
        "agent_status_request",
        "get_thread_history",
        "invalid_message_type",
        "agent_started",
        "send_message",
        "hello",
        "",
    ] {
        assert_eq!(fault(&json!({"type": kind, "content": "hi"})).0, ErrorCode::UnknownType, "{kind}");
    }
}

#[test]
fn conn_4_each_fault_names_its_field_and_repeats_no_text() {
    let ids = json!({"type": "chat", "content": "hi", "thread_id": "a", "payload": {"thread_id": "secret"}});
    for (frame, code, field) in [
        (json!({"type": "chat"}), ErrorCode::InvalidField, Some("content")),
        (json!({"type": "chat", "content": ""}), ErrorCode::InvalidField, Some("content")),
        (json!({"type": "chat", "content": {"secret": 1}}), ErrorCode::InvalidField, Some("content")),
        (
            json!({"type": "chat", "content": "secret".repeat(TEXT_BYTES_MAX)}),
            ErrorCode::TooLarge,
            Some("content"),
        ),
        (json!({"type": "chat", "payload": "secret"}), ErrorCode::InvalidField, Some("payload")),
        (
            json!({"type": "chat", "content": "hi", "thread_id": "the secret"}),
            ErrorCode::InvalidField,
            Some("thread_id"),
        ),
        (ids, ErrorCode::InvalidField, Some("thread_id")),
        (
            json!({"type": "chat", "content": "hi", "message_id": 7}),
            ErrorCode::InvalidField,
            Some("message_id"),
        ),
        (json!({"type": "stop_agent"}), ErrorCode::InvalidField, Some("run_id")),
        (json!({"type": "stop_agent", "run_id": "secret"}), ErrorCode::InvalidField, Some("run_id")),
        (json!({"type": 7}), ErrorCode::MalformedFrame, None),
        (json!({"jsonrpc": "2.0", "method": "secret", "id": 1}), ErrorCode::MalformedFrame, None),
        (json!(["secret"]), ErrorCode::MalformedFrame, None),
    ] {
        let error = read(&frame.to_string()).unwrap_err();
        assert_eq!((error.code, error.field), (code, field), "{frame}");
        assert!(!error.message.contains("secret"), "{error}");
    }
    assert_eq!(read("{").unwrap_err().code, ErrorCode::MalformedFrame);
    let twice = r#"{"type":"chat","content":"a","content":"b"}"#;
    assert_eq!(
        read(twice).unwrap_err().code,
        ErrorCode::MalformedFrame,
        "which of the two is meant is not guessed"
    );
    let named = read(r#"{"type":"chat","message_id":"m-7"}"#).unwrap_err();
    assert_eq!(named.message_id.unwrap().as_str(), "m-7");
}

/// ISO-1: the guard that does not guard. Every frame that names another user is refused, in whichever place; it is not
/// rewritten.
#[test]
fn iso_1_a_frame_that_names_another_user_is_refused() {
    for (kind, _) in ALIASES {
        for frame in [
            json!({"type": kind, "content": "hi", "user_id": "ben"}),
            json!({"type": kind, "payload": {"content": "hi", "user_id": "ben"}}),
            json!({"type": kind, "user_id": "ann", "payload": {"content": "hi", "user_id": "ben"}}),
            json!({"type": kind, "content": "hi", "user_id": ["ann"]}),
        ] {
            assert_eq!(fault(&frame), (ErrorCode::Forbidden, Some("user_id")), "{frame}");
        }
    }
    message(&json!({"type": "chat", "user_id": "ann", "payload": {"content": "hi", "user_id": "ann"}}));
}

/// The fields that the predecessor's mission-critical validator requires of each event.
const REQUIRED: [(&str, &[&str]); 5] = [
    ("agent_started", &["type", "user_id", "thread_id", "timestamp", "run_id", "agent_name"]),
    ("agent_thinking", &["type", "reasoning", "timestamp"]),
    ("tool_executing", &["type", "tool_name", "parameters", "timestamp"]),
    ("tool_completed", &["type", "tool_name", "results", "duration", "timestamp"]),
    ("agent_completed", &["type", "status", "final_response", "timestamp"]),
];

#[test]
fn each_event_has_the_fields_that_the_predecessors_validator_requires() {
    let frames: Vec<Value> =
        sample::one_of_each().iter().filter_map(|entry| encoded(&ann(), entry)).collect();
    for (kind, fields) in REQUIRED {
        let frame = frames.iter().find(|frame| frame["type"] == kind).expect(kind);
        for field in fields {
            assert!(frame.get(field).is_some_and(|value| !value.is_null()), "{field} of {frame}");
        }
        assert!(frame["timestamp"].is_f64(), "seconds");
    }
    assert_eq!(frames[0]["type"], "thread_message");
    assert_eq!(frames[6]["status"], "success");
    assert_eq!(frames[6]["data"]["final_response"], "Rain, 7 °C.");
}

#[test]
fn only_entries_have_an_offset() {
    let user_id = ann();
    for sent in sample::server_frames() {
        let Some(text) = frame(&sent, view(&user_id)) else {
            assert!(matches!(sent, ServerFrame::CaughtUp(_)));
            continue;
        };
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(value.get("offset").is_none() && value["type"].is_string(), "{value}");
        assert!(value["timestamp"].is_f64(), "{value}");
    }
    for reply in [Ack::Pong, Ack::Heartbeat, Ack::System("connected")] {
        let value: Value = serde_json::from_str(&ack(reply, view(&user_id)).unwrap()).unwrap();
        assert!(value.get("offset").is_none(), "{value}");
    }
    assert_eq!(ack(Ack::None, view(&user_id)), None);
}

#[test]
fn the_welcome_has_the_predecessors_fields_and_the_way_out() {
    let user_id = UserId::parse("ann-of-green-gables").unwrap();
    let Some(ServerFrame::Ready(ready)) = sample::server_frames().into_iter().next() else { panic!("ready") };
    let ready = ServerFrame::Ready(crate::server::Ready { user_id: user_id.clone(), ..ready });
    let welcome: Value = serde_json::from_str(&frame(&ready, view(&user_id)).unwrap()).unwrap();
    assert_eq!(welcome["type"], "connection_established");
    let data = &welcome["data"];
    assert_eq!((&data["mode"], &data["user_id"]), (&json!("main"), &json!("ann-of-g...")));
    assert_eq!(data["golden_path_events"], json!(GOLDEN_PATH_EVENTS));
    assert_eq!(data["connection_ready"], true);
    assert_eq!(data["config"], json!({"heartbeat_interval": 25.0, "max_message_size": 524_288}));
    assert_eq!(data["deprecated"]["replaced_by"], "quintet.v1");
}

/// CONN-3: the predecessor's clients get codes that they know, and none that reads as a normal end.
#[test]
fn conn_3_each_close_code_has_a_number_that_these_clients_know() {
    for code in CloseCode::ALL {
        let number = close_number(code);
        assert!((1000..=1013).contains(&number), "{code:?}");
        assert_eq!(number == 1000, code == CloseCode::Normal, "{code:?}");
    }
}

/// Generates frames that are close to well-formed ones, and any other JSON.
fn frames() -> impl Strategy<Value = String> {
    let keys = vec![
        "type",
        "payload",
        "user_id",
        "thread_id",
        "message_id",
        "run_id",
        "agent_name",
        "content",
        "text",
        "message",
        "user_request",
        "request",
        "query",
        "task",
        "other",
    ];
    let kinds: Vec<String> = ALIASES
        .iter()
        .map(|(kind, _)| json!(kind).to_string())
        .chain([json!("agent_started").to_string()])
        .collect();
    let value = prop_oneof![
        prop::sample::select(kinds),
        Just("\"ann\"".to_owned()),
        Just("\"01a1ee56-5e01-7c3d-8e4f-0123456789ab\"".to_owned()),
        sample::json_text(),
    ];
    let member = (prop::sample::select(keys), value).prop_map(|(key, value)| format!("\"{key}\":{value}"));
    let object = collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")));
    let nested = (object.clone(), object.clone()).prop_map(|(outer, inner)| {
        let outer = outer.strip_suffix('}').unwrap_or_default();
        let comma = if outer.len() > 1 { "," } else { "" };
        format!("{outer}{comma}\"payload\":{inner}}}")
    });
    prop_oneof![2 => object, 2 => nested, 1 => sample::json_text(), 1 => sample::text()]
}

proptest! {
    /// CONN-4, ISO-1: no text panics; what is acted on has a type of the table and names no other user, and its text and
    /// ids are those of the frame.
    #[test]
    fn conn_4_only_known_types_are_acted_on(text in frames()) {
        let decoded = read(&text);
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            prop_assert!(decoded.is_err());
            return Ok(());
        };
        if let Ok(frame) = decoded {
            let kind = value["type"].as_str().and_then(Alias::of);
            prop_assert!(kind.is_some(), "{text}");
            for place in [&value, &value["payload"]] {
                let user_id = place.get("user_id").filter(|user_id| !user_id.is_null());
                prop_assert!(user_id.is_none_or(|user_id| user_id == "ann"), "{text}");
            }
            if let LegacyFrame::Message(message) = frame {
                prop_assert_eq!(kind, Some(Alias::Message));
                prop_assert!(!message.text.is_empty());
                let said = |place: &Value| place.as_object().is_some_and(|fields| fields.values().any(|field| field == &message.text));
                prop_assert!(said(&value) || said(&value["payload"]), "{text}");
            }
        }
    }

    /// CONN-4: arbitrary bytes, and JSON of any depth, are a frame or a documented error in words of ours.
    #[test]
    fn conn_4_arbitrary_bytes_are_a_frame_or_a_documented_error(
        bytes in collection::vec(any::<u8>(), 0..512),
        json in sample::json_text(),
        depth in 0usize..2_000,
    ) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let nested = format!("{}{json}{}", "{\"payload\":".repeat(depth), "}".repeat(depth));
        let member = format!("{{\"type\":\"chat\",\"content\":{json},\"payload\":{nested}}}");
        for text in [&text, &json, &nested, &member] {
            let Err(error) = read(text) else { continue };
            let documented = [
                ErrorCode::MalformedFrame, ErrorCode::UnknownType, ErrorCode::InvalidField, ErrorCode::TooLarge,
                ErrorCode::Forbidden,
            ];
            prop_assert!(documented.contains(&error.code), "{error:?}");
            prop_assert!(error.message.len() < 120 && error.message.is_ascii(), "{error:?}");
        }
        // A line of the log that is no entry is an error, never skipped.
        prop_assert!(super::entry(&bytes).is_err());
    }

    /// DEL-2: exactly one frame for each entry of a run, in the same order, of the same user; none is merged, split or
    /// dropped. An erasure is a notice, and the other entries have none.
    #[test]
    fn del_2_each_entry_of_a_run_is_exactly_one_frame_and_the_order_is_kept(
        user_id in sample::user_id(),
        entries in collection::vec(sample::entry(), 1..8),
    ) {
        let all = entries.iter().filter_map(|entry| encoded(&user_id, entry));
        let (frames, notices): (Vec<Value>, Vec<Value>) = all.partition(|frame| frame.get("offset").is_some());
        let erasures = entries.iter().filter(|entry| match entry {
            Entry::Thread(entry) => matches!(entry.change, ThreadChange::Erased { .. }),
            entry => matches!(entry, Entry::LogErased(_)),
        });
        prop_assert_eq!(notices.len(), erasures.count());
        prop_assert!(notices.iter().all(|notice| notice["type"] == "system_message"));
        let of_runs: Vec<_> = entries.iter().filter_map(Entry::run).collect();
        prop_assert_eq!(frames.len(), of_runs.len());
        for (entry, frame) in of_runs.into_iter().zip(&frames) {
            prop_assert_eq!(&frame["offset"], &json!(entry.offset));
            prop_assert_eq!(&frame["user_id"], user_id.as_str(), "ISO-1");
            prop_assert_eq!(&frame["run_id"], &entry.run_id.to_string());
            prop_assert_eq!(&frame["thread_id"], entry.thread_id.as_str());
            prop_assert_eq!(&frame["type"], kind(&entry.body));
            if let Body::Event { event: Event::ToolCompleted { result, .. }, .. } = &entry.body {
                prop_assert_eq!(&frame["results"], &result.results.to_value());
                prop_assert_eq!(&frame["success"], &json!(frame["status"] == "success"), "DEL-7");
            }
        }
    }

    /// A line that is no entry is an error, never skipped.
    #[test]
    fn del_2_a_damaged_line_is_an_error(entry in sample::entry(), at in 0usize..4096) {
        let out = line_of(&ann(), &entry);
        prop_assert!(super::entry(&out[..at % out.len()]).is_err());
    }
}

fn kind(body: &Body) -> &'static str {
    match body {
        Body::UserMessage { .. } => "thread_message",
        Body::Event { event, .. } => match event {
            Event::Started { .. } => "agent_started",
            Event::Thinking(_) => "agent_thinking",
            Event::ToolExecuting(_) => "tool_executing",
            Event::ToolCompleted { .. } => "tool_completed",
            Event::Completed(_) => "agent_completed",
        },
    }
}
