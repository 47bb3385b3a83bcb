//! Results of tools as JSON.

use serde_json::{Map, Value, json};

use crate::config::McpLimits;

/// The reason for which a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResultError {
    /// The tool reported an error.
    #[error("{0}")]
    Reported(String),
    /// The result does not have the form of one.
    #[error("the result of the MCP server is malformed")]
    Malformed,
    /// The result is too long.
    #[error("the result has {bytes} bytes, and may have {bytes_max}")]
    TooLong {
        /// The length of the result.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

/// Returns what an agent gets of a `CallToolResult`: its `structuredContent` if it has some, or else its text if that
/// is all, or else its blocks. Parts of an unknown kind are named and not copied.
pub(crate) fn mapped(result: Value, limits: &McpLimits) -> Result<Value, ResultError> {
    let Value::Object(mut result) = result else { return Err(ResultError::Malformed) };
    let blocks = match result.remove("content") {
        Some(Value::Array(blocks)) => blocks,
        // A result without content is one, in practice.
        None => Vec::new(),
        Some(_) => return Err(ResultError::Malformed),
    };
    if result.get("isError").and_then(Value::as_bool) == Some(true) {
        return Err(ResultError::Reported(reported(&blocks, result.get("structuredContent"))));
    }
    match result.remove("structuredContent") {
        Some(structured) if !structured.is_null() => return bounded(structured, limits),
        Some(_) | None => {}
    }
    let mut mapped: Vec<Value> = blocks.into_iter().map(|block| mapped_block(block, limits)).collect();
    let value = match mapped.as_mut_slice() {
        [] => Value::Null,
        [block] if block["type"] == "text" => block["text"].take(),
        _ => Value::Array(mapped),
    };
    bounded(value, limits)
}

fn bounded(value: Value, limits: &McpLimits) -> Result<Value, ResultError> {
    let bytes = value.to_string().len();
    let bytes_max = limits.result_bytes_max;
    if bytes > bytes_max { Err(ResultError::TooLong { bytes, bytes_max }) } else { Ok(value) }
}

/// Returns the message of a result with `isError`.
fn reported(blocks: &[Value], structured: Option<&Value>) -> String {
    let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    let message = match (texts.is_empty(), structured) {
        (false, _) => texts.join("\n"),
        (true, Some(structured)) if !structured.is_null() => structured.to_string(),
        (true, Some(_) | None) => String::new(),
    };
    match message.trim() {
        "" => "the tool reported an error without a message".to_owned(),
        message => clipped(message, ERROR_BYTES_MAX),
    }
}

fn mapped_block(block: Value, limits: &McpLimits) -> Value {
    let Value::Object(mut block) = block else { return json!({"type": "unknown"}) };
    let kind = block.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "text" => json!({"type": "text", "text": string(&mut block, "text").unwrap_or_default()}),
        "image" | "audio" => {
            let mut mapped = named(&kind, &mut block, &["mimeType"]);
            media(&mut mapped, string(&mut block, "data").unwrap_or_default(), limits);
            Value::Object(mapped)
        }
        "resource_link" => {
            Value::Object(named(&kind, &mut block, &["uri", "name", "title", "description", "mimeType"]))
        }
        "resource" => {
            let mut resource = match block.remove("resource") {
                Some(Value::Object(resource)) => resource,
                Some(_) | None => Map::new(),
            };
            let mut mapped = named(&kind, &mut resource, &["uri", "mimeType", "text"]);
            if let Some(blob) = string(&mut resource, "blob") {
                media(&mut mapped, blob, limits);
            }
            Value::Object(mapped)
        }
        _ => json!({"type": "unknown", "kind": clipped(&kind, KIND_BYTES_MAX)}),
    }
}

/// Returns an object of this type with those of the fields that are strings.
fn named(kind: &str, block: &mut Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    let mut mapped = Map::from_iter([("type".to_owned(), kind.into())]);
    for field in fields {
        if let Some(text) = string(block, field) {
            mapped.insert((*field).to_owned(), text.into());
        }
    }
    mapped
}

/// Adds base64 data if it is short enough, and its length otherwise.
fn media(mapped: &mut Map<String, Value>, base64: String, limits: &McpLimits) {
    mapped.insert("bytes".to_owned(), (base64.trim_end_matches('=').len() * 3 / 4).into());
    if base64.len() <= limits.media_bytes_max {
        mapped.insert("data".to_owned(), base64.into());
    }
}

fn string(object: &mut Map<String, Value>, field: &str) -> Option<String> {
    match object.remove(field) {
        Some(Value::String(text)) => Some(text),
        Some(_) | None => None,
    }
}

/// Cuts a text to at most `bytes_max` bytes and marks the cut.
pub(crate) fn clipped(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes_max)])
}

/// Longest message of a tool's error, in bytes; a longer one is cut.
const ERROR_BYTES_MAX: usize = 4_000;

/// Longest name of an unknown kind of content, in bytes.
const KIND_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: McpLimits = McpLimits { result_bytes_max: 1_024, media_bytes_max: 8, ..McpLimits::DEFAULT };

    fn ok(result: Value) -> Value {
        mapped(result, &LIMITS).unwrap()
    }

    #[test]
    fn structured_content_comes_before_text_and_a_lone_text_before_blocks() {
        let text = json!([{"type": "text", "text": "{\"a\":1}"}]);
        assert_eq!(ok(json!({"content": text, "structuredContent": {"a": 1}})), json!({"a": 1}));
        assert_eq!(ok(json!({"content": text, "structuredContent": null})), json!("{\"a\":1}"));
        assert_eq!(ok(json!({"content": text})), json!("{\"a\":1}"));
        assert_eq!(ok(json!({"content": []})), Value::Null);
        assert_eq!(ok(json!({})), Value::Null);
        for malformed in [json!(7), json!("done"), json!({"content": "done"}), json!({"content": null})] {
            assert_eq!(mapped(malformed, &LIMITS), Err(ResultError::Malformed));
        }
    }

    #[test]
    fn media_beyond_the_limit_are_named_and_not_copied() {
        let image = |data: &str| json!({"type": "image", "data": data, "mimeType": "image/png"});
        let link = json!({"type": "resource_link", "uri": "file:///a", "name": "a", "secret": 1});
        let blob = json!({"type": "resource", "resource": {"uri": "b", "blob": "AAAAAAAAAAAA"}});
        assert_eq!(
            ok(json!({"content": [image("AAAA"), image("AAAAAAAAAAA="), link, blob, {"type": "smell"}, 3]})),
            json!([
                {"type": "image", "mimeType": "image/png", "bytes": 3, "data": "AAAA"},
                {"type": "image", "mimeType": "image/png", "bytes": 8},
                {"type": "resource_link", "uri": "file:///a", "name": "a"},
                {"type": "resource", "uri": "b", "bytes": 9},
                {"type": "unknown", "kind": "smell"},
                {"type": "unknown"},
            ])
        );
    }

    #[test]
    fn an_error_is_the_text_of_the_tool() {
        let error = |result| mapped(result, &LIMITS).unwrap_err().to_string();
        assert_eq!(error(json!({"isError": true, "content": [{"type": "text", "text": "no"}]})), "no");
        assert_eq!(error(json!({"isError": true, "structuredContent": {"a": 1}})), "{\"a\":1}");
        assert_eq!(error(json!({"isError": true})), "the tool reported an error without a message");
        let long = error(json!({"isError": true, "content": [{"type": "text", "text": "é".repeat(9_999)}]}));
        assert!(long.len() <= ERROR_BYTES_MAX + '…'.len_utf8());
        let long = error(json!({"content": [{"type": "text", "text": "x".repeat(2_000)}]}));
        assert_eq!(long, "the result has 2002 bytes, and may have 1024");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "(text|image|resource|content|é{0,9})".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            let key = "(type|text|content|isError|structuredContent|resource|blob|data|uri|x)";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_result_is_mapped_within_the_limits(result in any_json()) {
            match mapped(result, &LIMITS) {
                Ok(value) => prop_assert!(value.to_string().len() <= LIMITS.result_bytes_max),
                Err(error) => prop_assert!(error.to_string().len() <= ERROR_BYTES_MAX + 3),
            }
        }
    }
}
