use proptest::prelude::*;
use quintet_kernel::ids::Offset;
use serde_json::{Value, json};

use super::*;
use crate::sample;

const RUN: &str = "01a1ee56-5e01-7c3d-8e4f-0123456789ab";

fn message() -> Value {
    json!({"type": "send_message", "message_id": "m1", "thread_id": "t1", "text": "hi"})
}

/// Returns `frame` with `fields` replaced or added.
fn with(mut frame: Value, fields: Value) -> String {
    frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    frame.to_string()
}

fn decode(text: &str) -> Result<ClientFrame, (ErrorCode, Option<&'static str>)> {
    ClientFrame::decode(text).map_err(|e| (e.code, e.field))
}

fn invalid(field: &'static str) -> Result<ClientFrame, (ErrorCode, Option<&'static str>)> {
    Err((ErrorCode::InvalidField, Some(field)))
}

proptest! {
    #[test]
    fn every_frame_survives_the_way_to_the_wire_and_back(frame in sample::client_frame()) {
        prop_assert_eq!(ClientFrame::decode(&frame.encode()), Ok(frame));
    }

    #[test]
    fn no_text_panics(text in ".*", json in sample::json_text()) {
        let _ = ClientFrame::decode(&text);
        let _ = ClientFrame::decode(&json);
    }

    /// CONN-4: any value of a known field gives a frame or an error, and the error names the field.
    #[test]
    fn conn_4_no_value_of_any_field_panics(frame in sample::client_frame(), at: prop::sample::Index, json in sample::json_text()) {
        let mut tree: serde_json::Map<String, Value> = serde_json::from_str(&frame.encode()).unwrap();
        let keys: Vec<String> = tree.keys().cloned().collect();
        let key = at.get(&keys);
        tree.insert(key.clone(), serde_json::from_str(&json).unwrap());
        if let Err(e) = ClientFrame::decode(&serde_json::to_string(&tree).unwrap()) {
            let named = e.field.is_some_and(|field| field == key || ["ticket", "token"].contains(&field));
            prop_assert!(named || key == "type", "{} of {}: {:?}", key, frame.encode(), e);
        }
    }

    #[test]
    fn no_cut_or_damaged_frame_panics(frame in sample::client_frame(), at: prop::sample::Index, c: char) {
        let text = frame.encode();
        let cut = (0..=at.index(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap();
        let (head, tail) = text.split_at(cut);
        prop_assert_eq!(decode(head), Err((ErrorCode::MalformedFrame, None)));
        let _ = decode(&format!("{head}{c}{tail}"));
        let _ = decode(&format!("{head}{c}{}", tail.chars().skip(1).collect::<String>()));
    }
}

#[test]
fn what_is_not_an_object_with_a_type_is_malformed() {
    for text in [
        "",
        " ",
        "nope",
        "{",
        "{}",
        "[]",
        "[{\"type\":\"ping\"}]",
        "\"ping\"",
        "null",
        "7",
        "{\"type\":\"ping\"} x",
        "{\"type\":7}",
        "{\"type\":null}",
        "{\"type\":[\"ping\"]}",
        "{\"type\":\"ping\",\"type\":\"ping\"}",
        "{'type':'ping'}",
        "{\"type\":\"ping\",}",
        "{\"type\":\"\\ud800\"}",
        "\u{feff}{\"type\":\"ping\"}",
        "{\"type\":\"ping\",\"x\":\"a\nb\"}",
    ] {
        assert_eq!(decode(text), Err((ErrorCode::MalformedFrame, None)), "{text:?}");
    }
}

#[test]
fn a_type_that_is_not_a_client_s_is_unknown() {
    for name in [
        "",
        "Ping",
        "ping ",
        "ready",
        "accepted",
        "error",
        "user_message",
        "agent_started",
        "agent_completed",
    ] {
        let text = json!({"type": name, "message_id": "m1", "thread_id": "t1", "text": "hi", "run_id": RUN})
            .to_string();
        assert_eq!(decode(&text), Err((ErrorCode::UnknownType, None)), "{name}");
    }
}

#[test]
fn each_field_is_held_to_its_rule() {
    let long = "x".repeat(129);
    for (field, bad) in [
        ("message_id", json!("")),
        ("message_id", json!("a b")),
        ("message_id", json!("ä")),
        ("message_id", json!(long)),
        ("message_id", json!(7)),
        ("message_id", json!(null)),
        ("thread_id", json!("a\tb")),
        ("thread_id", json!(["t"])),
        ("text", json!("")),
        ("text", json!(7)),
        ("text", json!({"a": 1})),
        ("agent_name", json!("no such form")),
        ("agent_name", json!(true)),
        ("on_busy", json!("Enqueue")),
        ("on_busy", json!("wait")),
        ("on_busy", json!(0)),
    ] {
        assert_eq!(decode(&with(message(), json!({field: bad}))), invalid(field), "{field} {bad}");
    }
    for after in ["-1", "1.5", "1e3", "1.0", "18446744073709551616", "\"1\"", "true", "[]", "{}"] {
        assert_eq!(decode(&format!("{{\"type\":\"hello\",\"after\":{after}}}")), invalid("after"), "{after}");
    }
    for start in [json!("Head"), json!("tail"), json!(""), json!(0), json!(true), json!(["head"]), json!({})]
    {
        let hello = json!({"type": "hello", "start": start});
        assert_eq!(decode(&hello.to_string()), invalid("start"), "{start}");
    }
    for epoch in [json!(""), json!(7), json!("a b"), json!("\u{e9}"), json!("x".repeat(65))] {
        assert_eq!(
            decode(&json!({"type": "hello", "epoch": epoch}).to_string()),
            invalid("epoch"),
            "{epoch}"
        );
    }
    for run_id in [json!(7), json!("nope"), json!(format!("{{{RUN}}}")), json!(format!("urn:uuid:{RUN}"))] {
        assert_eq!(
            decode(&json!({"type": "cancel_run", "run_id": run_id}).to_string()),
            invalid("run_id"),
            "{run_id}"
        );
    }
    let call = json!({"type": "complete_call", "run_id": RUN, "call_id": "c1", "status": "ok"});
    let declined = with(call.clone(), json!({"status": "declined", "error": "not today"}));
    let Ok(ClientFrame::CompleteCall(declined)) = decode(&declined) else { panic!("RUN-11") };
    assert_eq!(declined.result, CallResult::declined(Some("not today".into())), "RUN-11");
    for (field, bad) in [
        ("call_id", json!("")),
        ("status", json!("cancelled")),
        ("status", json!("timed_out")),
        ("status", json!(null)),
        ("error", json!({"code": 1})),
    ] {
        assert_eq!(decode(&with(call.clone(), json!({field: bad}))), invalid(field), "{field} {bad}");
    }
    for nonce in [json!(true), json!([1]), json!({}), json!("x".repeat(127))] {
        assert_eq!(decode(&json!({"type": "ping", "nonce": nonce}).to_string()), invalid("nonce"), "{nonce}");
    }
}

#[test]
fn credentials_are_bounded_and_exclude_each_other() {
    for (text, field) in [
        (json!({"type": "hello", "ticket": ""}), "ticket"),
        (json!({"type": "hello", "ticket": "x".repeat(TICKET_BYTES_MAX + 1)}), "ticket"),
        (json!({"type": "hello", "token": "x".repeat(TOKEN_BYTES_MAX + 1)}), "token"),
        (json!({"type": "hello", "ticket": "a", "token": "b"}), "token"),
        (json!({"type": "renew"}), "token"),
        (json!({"type": "renew", "ticket": null, "token": null}), "token"),
        (json!({"type": "renew", "ticket": "a", "token": "b"}), "token"),
    ] {
        assert_eq!(decode(&text.to_string()), invalid(field), "{text}");
    }
    let hello = ClientFrame::decode(r#"{"type":"hello","ticket":"secret","token":null}"#).unwrap();
    assert!(!format!("{hello:?}").contains("secret"), "{hello:?}");
}

/// DEL-3: the start is one position. `head` excludes `after`, also after the largest or no entry; an epoch is that
/// of an `after` and means nothing without it.
#[test]
fn start_is_one_position() {
    let cursor = |text: &str| match ClientFrame::decode(text) {
        Ok(ClientFrame::Hello(hello)) => Ok(hello.cursor),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err((error.code, error.field)),
    };
    let after = |after| Ok(ResumeCursor::After { epoch: None, after: Offset(after) });
    assert_eq!(cursor(r#"{"type":"hello"}"#), after(0));
    assert_eq!(cursor(r#"{"type":"hello","start":null,"after":3}"#), after(3));
    assert_eq!(cursor(r#"{"type":"hello","start":"beginning"}"#), after(0));
    assert_eq!(cursor(r#"{"type":"hello","start":"beginning","after":3}"#), after(3));
    for head in [
        r#"{"type":"hello","start":"head"}"#,
        r#"{"type":"hello","start":"head","after":null}"#,
        r#"{"type":"hello","start":"head","epoch":"elsewhere"}"#,
    ] {
        assert_eq!(cursor(head), Ok(ResumeCursor::Head), "{head}");
    }
    for (both, field) in [
        (r#"{"type":"hello","start":"head","after":0}"#, "start"),
        (r#"{"type":"hello","after":18446744073709551615,"start":"head"}"#, "start"),
        (r#"{"type":"hello","start":"head","after":-1}"#, "after"),
        (r#"{"type":"hello","start":"head","epoch":""}"#, "epoch"),
        (r#"{"type":"hello","start":"head","start":"head"}"#, "start"),
    ] {
        assert_eq!(cursor(both), Err((ErrorCode::InvalidField, Some(field))), "{both}");
    }
}

#[test]
fn text_over_its_limit_is_too_large_and_refers_to_its_message() {
    let largest = "é".repeat(TEXT_BYTES_MAX / 2);
    assert!(decode(&with(message(), json!({"text": largest}))).is_ok());
    let e = ClientFrame::decode(&with(message(), json!({"text": largest + "x"}))).unwrap_err();
    assert_eq!((e.code, e.field), (ErrorCode::TooLarge, Some("text")));
    assert_eq!(e.message_id, MessageId::parse("m1").ok());
}

#[test]
fn null_equals_missing_and_unknown_fields_are_ignored() {
    let plain = ClientFrame::decode(&message().to_string()).unwrap();
    let more = json!({"agent_name": null, "on_busy": null, "run_id": 7, "color": {"a": [1, 2]}, "Text": 1});
    assert_eq!(ClientFrame::decode(&with(message(), more)), Ok(plain));
    assert_eq!(
        decode(r#"{"nonce":null,"x":"\ud800","text":1,"text":2,"type":"ping"}"#),
        decode(r#"{"type":"ping"}"#)
    );
}

#[test]
fn duplicate_field_is_refused() {
    for (field, text) in [
        ("text", r#"{"type":"send_message","message_id":"m1","thread_id":"t1","text":"a","text":"b"}"#),
        ("text", r#"{"type":"send_message","message_id":"m1","thread_id":"t1","text":null,"text":"b"}"#),
        ("after", r#"{"type":"hello","after":1,"after":1}"#),
        (
            "message_id",
            r#"{"type":"send_message","message_id":"m1","message_id":"m2","thread_id":"t1","text":"a"}"#,
        ),
        ("nonce", "{\"type\":\"ping\",\"nonce\":1,\"non\\u0063e\":1}"),
    ] {
        let e = ClientFrame::decode(text).unwrap_err();
        assert_eq!((e.code, e.field), (ErrorCode::InvalidField, Some(field)), "{text}");
        assert!(field != "message_id" || e.message_id.is_none(), "which of the two?");
    }
}

#[test]
fn deep_nesting_overflows_no_stack() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let million = 1_000_000;
    assert_eq!(decode(&deep(million)), Err((ErrorCode::MalformedFrame, None)));
    assert_eq!(decode(&"[".repeat(million)), Err((ErrorCode::MalformedFrame, None)));
    assert_eq!(decode(&"{\"type\":".repeat(million)), Err((ErrorCode::MalformedFrame, None)));
    assert!(decode(&format!("{{\"x\":{},\"type\":\"ping\"}}", deep(million))).is_ok());
    assert_eq!(decode(&format!("{{\"type\":\"ping\",\"nonce\":{}}}", deep(million))), invalid("nonce"));
    let call = |results: &str| {
        format!(
            "{{\"type\":\"complete_call\",\"run_id\":\"{RUN}\",\"call_id\":\"c\",\"status\":\"ok\",\"results\":{results}}}"
        )
    };
    assert!(decode(&call(&deep(Json::DEPTH_MAX))).is_ok());
    assert_eq!(decode(&call(&deep(Json::DEPTH_MAX + 1))), invalid("results"));
    assert_eq!(decode(&call(&deep(million))), invalid("results"));
    assert_eq!(decode(&call("1e999")), invalid("results"));
    assert_eq!(decode(&call("[\"\\udfff\"]")), invalid("results"));
}

/// An error has a message, and the message contains no text of the client.
#[test]
fn no_message_repeats_the_client_s_text() {
    let marker = "zq\u{202e}marker";
    for text in [
        with(message(), json!({"text": [marker]})),
        with(message(), json!({"message_id": marker})),
        with(message(), json!({"on_busy": marker})),
        with(message(), json!({marker: 1, "agent_name": marker})),
        json!({"type": marker}).to_string(),
        json!([marker]).to_string(),
        json!({"type": "hello", "after": marker}).to_string(),
        json!({"type": "cancel_run", "run_id": marker}).to_string(),
        marker.to_owned(),
    ] {
        let e = ClientFrame::decode(&text).unwrap_err();
        assert!(!format!("{e:?}").contains("marker"), "{e:?}");
        assert!(!e.message.is_empty());
    }
}

#[test]
fn error_refers_to_unambiguous_ids_only() {
    let e = ClientFrame::decode(&json!({"type": "cancel", "run_id": RUN, "message_id": "m1"}).to_string())
        .unwrap_err();
    assert_eq!((e.run_id, e.message_id), (RunId::parse(RUN).ok(), MessageId::parse("m1").ok()));
    let e = ClientFrame::decode(&json!({"type": "cancel", "run_id": 7, "message_id": "m 1"}).to_string())
        .unwrap_err();
    assert_eq!((e.run_id, e.message_id), (None, None));
}

#[test]
fn pong_returns_the_nonce_byte_for_byte() {
    for nonce in ["\"a\\u0041\"", "17.50", "-0", "12345678901234567890"] {
        let Ok(ClientFrame::Ping(Ping { nonce: Some(read) })) =
            ClientFrame::decode(&format!("{{\"type\":\"ping\",\"nonce\": {nonce} }}"))
        else {
            panic!("{nonce}")
        };
        let pong = crate::server::ServerFrame::Pong(crate::server::Pong { nonce: Some(read) });
        assert_eq!(pong.encode(), format!("{{\"type\":\"pong\",\"nonce\":{nonce}}}"));
    }
}

#[test]
fn http_bodies_are_frames_without_the_fields_of_the_path() {
    let sent = decode_message(r#"{"message_id":"m1","thread_id":"t1","text":"hi"}"#).unwrap();
    assert_eq!(ClientFrame::decode(&message().to_string()), Ok(ClientFrame::SendMessage(sent)));
    let answer = decode_answer(r#"{"status":"error","error":"no"}"#).unwrap();
    assert_eq!(answer, CallResult::error("no"));
    assert_eq!(decode_answer("{}").unwrap_err().field, Some("status"));
    assert_eq!(decode_message("[]").unwrap_err().code, ErrorCode::MalformedFrame);
}
