use bytes::BytesMut;
use jsonschema::Validator;
use proptest::prelude::*;

use super::*;
use crate::{
    client::ClientFrame,
    codes::ErrorCode,
    entry,
    sample::{self, ann},
};

fn validator(name: &str) -> Validator {
    jsonschema::draft202012::new(&frame(name).unwrap()).unwrap()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn line(entry: &quintet_kernel::entry::Entry) -> String {
    let mut out = BytesMut::new();
    entry::encode(&ann(), entry, &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

/// Returns every sample as encoded, with the union it belongs to.
fn samples() -> Vec<(&'static str, Value)> {
    let client = sample::client_frames().into_iter().map(|frame| ("client", value(&frame.encode())));
    let server = sample::server_frames().into_iter().map(|frame| ("server", value(&frame.encode())));
    let entries = sample::one_of_each().into_iter().map(|entry| ("entry", value(&line(&entry))));
    client.chain(server).chain(entries).collect()
}

#[test]
fn every_schema_is_valid_and_self_contained() {
    for name in names() {
        let schema = frame(name).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert!(
            !schema.to_string().contains("\"additionalProperties\":false"),
            "{name} forbids unknown fields"
        );
    }
    assert_eq!(names().count(), CLIENT.len() + SERVER.len() + ENTRY.len() + 3);
    assert_eq!(frame("hell"), None);
}

#[test]
fn every_kind_of_frame_fits_its_own_schema_and_no_other() {
    let kinds: std::collections::BTreeSet<_> =
        samples().into_iter().map(|(_, v)| v["type"].to_string()).collect();
    assert_eq!(kinds.len(), CLIENT.len() + SERVER.len() + ENTRY.len(), "a sample of each");
    for (union, sample) in samples() {
        for name in names() {
            let expected = sample["type"] == name || name == union || (union == "entry" && name == "server");
            assert_eq!(validator(name).is_valid(&sample), expected, "{name}: {sample}");
        }
    }
}

#[test]
fn unknown_fields_are_allowed_and_broken_ones_are_not() {
    for (union, sample) in samples() {
        let validator = validator(union);
        let mut more = sample.clone();
        more["a field of tomorrow"] = json!({"x": [1]});
        assert!(validator.is_valid(&more), "{more}");
        for key in sample.as_object().unwrap().keys() {
            // Valid for no field but `results`; `false` also for booleans.
            for bad in [json!([[]]), json!(false)] {
                let free = key == "results"
                    || (bad == json!(false)
                        && ["reset", "fatal", "duplicate", "archived"].contains(&key.as_str()));
                let mut broken = sample.clone();
                broken[key.as_str()] = bad;
                assert_eq!(validator.is_valid(&broken), free, "{key} in {broken}");
            }
        }
    }
}

/// The decoder rejects a frame without a field exactly if the schema requires the field.
#[test]
fn the_reader_needs_exactly_the_fields_that_the_schema_requires() {
    let mut checked = 0;
    for (union, sample) in samples().into_iter().filter(|(union, _)| *union != "server") {
        let name = sample["type"].as_str().unwrap().to_owned();
        let schema = frame(&name).unwrap();
        let required: Vec<_> =
            schema["required"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        for key in schema["properties"].as_object().unwrap().keys() {
            let mut without = sample.clone();
            if without.as_object_mut().unwrap().remove(key).is_none() {
                assert!(!required.contains(&key.as_str()), "the sample of {name} has no {key}");
                continue;
            }
            let fits = validator(union).is_valid(&without);
            let text = without.to_string();
            if union == "entry" {
                assert_eq!(entry::decode(text.as_bytes()).is_ok(), fits, "{name} without {key}");
            } else {
                let read = ClientFrame::decode(&text);
                assert_eq!(read.is_ok(), fits, "{name} without {key}: {read:?}");
                let expected =
                    if key == "type" { ErrorCode::MalformedFrame } else { ErrorCode::InvalidField };
                assert!(
                    read.is_ok_and(|_| true) || required.contains(&key.as_str()) || name == "renew",
                    "{key}"
                );
                if !fits {
                    let e = ClientFrame::decode(&text).unwrap_err();
                    assert_eq!((e.code, e.field.unwrap_or("type")), (expected, key.as_str()), "{name}");
                }
            }
            // `renew` requires one of two fields, which `required` cannot express.
            assert_eq!(fits, !required.contains(&key.as_str()) && name != "renew", "{name} without {key}");
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

proptest! {
    #[test]
    fn every_frame_of_a_client_fits_its_schema(frame in sample::client_frame()) {
        let frame = value(&frame.encode());
        prop_assert!(VALIDATORS.0.is_valid(&frame), "{}", frame);
    }

    #[test]
    fn every_entry_fits_its_schema(entry in sample::entry()) {
        let line = value(&line(&entry));
        prop_assert!(VALIDATORS.1.is_valid(&line), "{}", line);
    }

    /// Any frame that the decoder accepts is valid by the schema.
    #[test]
    fn nothing_is_read_that_the_schema_refuses(frame in sample::client_frame(), at: prop::sample::Index, json in sample::json_text()) {
        let mut tree: Map<String, Value> = serde_json::from_str(&frame.encode()).unwrap();
        let keys: Vec<String> = tree.keys().cloned().collect();
        tree.insert(at.get(&keys).clone(), value(&json));
        let tree = Value::Object(tree);
        if ClientFrame::decode(&tree.to_string()).is_ok() {
            prop_assert!(VALIDATORS.0.is_valid(&tree), "{}", tree);
        }
    }
}

static VALIDATORS: LazyLock<(Validator, Validator)> =
    LazyLock::new(|| (validator("client"), validator("entry")));

#[test]
fn schemas_are_unchanged() {
    for name in ["client", "server"] {
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&frame(name).unwrap()).unwrap());
    }
}
