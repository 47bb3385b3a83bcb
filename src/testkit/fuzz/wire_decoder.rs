//! Bytes as everything that the wire reads: frames of clients, bodies of routes, stored entries.
//!
//! Nothing panics. An accepted text equals a plain reading of its JSON ([`super::wire_tree`]), and its
//! encoding is read as the same value (CONN-4).

use bytes::BytesMut;
use quintet::{
    kernel::{ids::UserId, json::Json},
    wire::{
        client::{self, ClientFrame, FrameError},
        codes::ErrorCode,
        entry,
        http::{LoginRequest, TicketRequest},
    },
};

use super::wire_tree::Tree;

pub fn run(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        frame(text);
        passing(text);
        // Read only, never written: it must not panic.
        let _ = serde_json::from_str::<TicketRequest>(text);
        let _ = serde_json::from_str::<LoginRequest>(text);
    }
    stored(bytes);
}

fn frame(text: &str) {
    let tree = Tree::read(text);
    let decoded = ClientFrame::decode(text);
    match &decoded {
        Ok(frame) => {
            let written = frame.encode();
            let again = ClientFrame::decode(&written);
            assert_eq!(again.as_ref(), Ok(frame), "the encoding is read back: {written}");
            assert_eq!(again.map(|frame| frame.encode()), Ok(written), "and encoded the same");
            if let Some(tree) = &tree {
                assert_eq!(tree.frame().as_ref(), Some(frame), "{text}");
            }
        }
        Err(error) => {
            refused(error);
            if let Some(tree) = &tree {
                let ambiguous = error.message.ends_with("appears more than once")
                    || error.message.starts_with("nonce must");
                let one_type = error.message != "a frame has one type, a string";
                assert!(ambiguous || !one_type || tree.frame().is_none(), "refused, {error}: {text}");
                for id in [
                    error.message_id.as_ref().map(|id| id.to_string()),
                    error.run_id.map(|id| id.to_string()),
                ] {
                    assert!(id.is_none_or(|id| tree.holds(&id)), "an id that the client did not send");
                }
            }
        }
    }
    // The bodies of the routes are the frames' fields.
    let message = client::decode_message(text);
    match (&decoded, &message) {
        (Ok(ClientFrame::SendMessage(frame)), body) => assert_eq!(body.as_ref(), Ok(frame)),
        (_, Err(error)) => refused(error),
        _ => {}
    }
    let answer = client::decode_answer(text);
    match (&decoded, &answer) {
        (Ok(ClientFrame::CompleteCall(frame)), body) => assert_eq!(body.as_ref(), Ok(&frame.result)),
        (_, Err(error)) => refused(error),
        _ => {}
    }
}

/// Checks that a refusal is one of a client's faults, in the service's own words.
fn refused(error: &FrameError) {
    let codes =
        [ErrorCode::MalformedFrame, ErrorCode::UnknownType, ErrorCode::InvalidField, ErrorCode::TooLarge];
    assert!(codes.contains(&error.code), "{error:?}");
    let ours = |b: u8| b.is_ascii_graphic() || b == b' ';
    assert!(error.message.len() < 120 && error.message.bytes().all(ours), "{error:?}");
    assert_eq!(
        error.code == ErrorCode::InvalidField || error.code == ErrorCode::TooLarge,
        error.field.is_some()
    );
}

/// Checks that JSON that passes through keeps its value, on one line.
fn passing(text: &str) {
    let Ok(json) = Json::parse(text) else { return };
    assert!(!json.as_str().contains(['\n', '\r']));
    assert_eq!(Json::parse(json.as_str()).as_ref(), Ok(&json));
    let before: serde_json::Value = serde_json::from_str(text).expect("it is JSON");
    assert_eq!(json.to_value(), before, "the same value");
}

/// Checks that an entry is written as one line, and read back as the same.
fn stored(line: &[u8]) {
    let Ok((owner, entry)) = entry::decode(line) else { return };
    // The line of an erased entry has no owner.
    let user_id = owner.clone().unwrap_or_else(|| UserId::parse("ada").expect("a valid id"));
    let mut written = BytesMut::new();
    entry::encode(&user_id, &entry, &mut written);
    assert!(!written.contains(&b'\n'));
    let again = entry::decode(&written).expect("what is written is read back");
    assert_eq!(again, (owner, entry));
    let mut twice = BytesMut::new();
    entry::encode(&user_id, &again.1, &mut twice);
    assert_eq!(written, twice);
}
