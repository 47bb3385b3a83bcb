//! Bytes as everything that the predecessor's protocol reads: frames of its clients, and stored entries to translate.
//!
//! Nothing panics. A text has an effect only if a plain reading of its JSON finds a known type and no other user; a refusal
//! is a documented error (CONN-4, ISO-1). A line is translated exactly if it is an entry (DEL-2).

use quintet::{
    kernel::{
        entry::{Entry, ThreadChange},
        ids::{MessageId, ThreadId, UserId},
    },
    wire::{
        client::TEXT_BYTES_MAX,
        codes::ErrorCode,
        entry,
        legacy::{self, Alias, LegacyFrame, Sender},
    },
};
use serde_json::Value;

pub fn run(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        frame(text);
    }
    stored(bytes);
}

fn frame(text: &str) {
    let user_id = UserId::parse("ann").expect("a valid id");
    let own = MessageId::parse("own-1").expect("a valid id");
    let thread_id = ThreadId::parse("own").expect("a valid id");
    let decoded = legacy::decode(text, &Sender { user_id: &user_id, thread_id, message_id: own.clone() });
    let frame = match decoded {
        Ok(frame) => frame,
        Err(error) => {
            let documented = [
                ErrorCode::MalformedFrame,
                ErrorCode::UnknownType,
                ErrorCode::InvalidField,
                ErrorCode::TooLarge,
                ErrorCode::Forbidden,
            ];
            assert!(documented.contains(&error.code), "{error:?}");
            assert!(error.message.len() < 120 && error.message.is_ascii(), "{error:?}");
            return;
        }
    };
    // Nesting that a tree cannot hold has an effect only where it is ignored.
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let alias = value["type"].as_str().and_then(Alias::of).expect("a known type");
    let places = [&value, &value["payload"]];
    for place in places {
        let named = place.get("user_id").filter(|user_id| !user_id.is_null());
        assert!(named.is_none_or(|named| named == "ann"), "another user: {text}");
    }
    let holds = |wanted: &str| {
        let mut fields =
            places.iter().filter_map(|place| place.as_object()).flat_map(|fields| fields.values());
        fields.any(|field| field == wanted)
    };
    match frame {
        LegacyFrame::Message(message) => {
            assert_eq!(alias, Alias::Message);
            assert!((1..=TEXT_BYTES_MAX).contains(&message.text.len()));
            assert!(holds(&message.text), "a text that the client did not send: {text}");
            assert!(message.message_id == own || holds(message.message_id.as_str()), "{text}");
            assert!(message.thread_id.as_str() == "own" || holds(message.thread_id.as_str()), "{text}");
        }
        LegacyFrame::Cancel(_) => assert_eq!(alias, Alias::Cancel),
        LegacyFrame::Ack(_) => assert!(![Alias::Message, Alias::Cancel].contains(&alias), "{text}"),
    }
}

fn stored(line: &[u8]) {
    let translated = legacy::entry(line);
    let (owner, entry) = match entry::decode(line) {
        Ok(decoded) => decoded,
        Err(_) => return assert!(translated.is_err(), "a line that is no entry is never skipped"),
    };
    let Ok(translated) = translated else {
        return assert!(owner.is_none() && matches!(entry, Entry::Run(_)), "an entry that is not translated");
    };
    let frame: Option<Value> =
        translated.map(|text| serde_json::from_str(&text).expect("a frame is a JSON text"));
    match (&entry, frame) {
        (Entry::Run(entry), Some(frame)) => assert_eq!(frame["offset"], entry.offset.0),
        (Entry::Thread(entry), frame) => {
            assert_eq!(frame.is_some(), matches!(entry.change, ThreadChange::Erased { .. }));
            assert!(frame.is_none_or(|frame| frame.get("offset").is_none()));
        }
        (Entry::LogErased(_), Some(frame)) => assert_eq!(frame.get("offset"), None),
        (Entry::Erased(_), None) => {}
        (entry, frame) => panic!("{entry:?} became {frame:?}"),
    }
}
