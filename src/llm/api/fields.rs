//! Lenient access to fields of a provider's JSON: a field of another type counts as missing.

use quintet_agent::Usage;
use quintet_upstream::sse::SseEvent;
use serde_json::Value;

use super::ModelError;

/// Parses the data of an event.
///
/// # Errors
///
/// Returns [`ModelError::Malformed`] if it is not a JSON object.
pub(super) fn parse(event: &SseEvent) -> Result<Value, ModelError> {
    match serde_json::from_str(&event.data) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(ModelError::Malformed("an event is not a JSON object".into())),
        // The message of the parser quotes no content.
        Err(error) => Err(ModelError::Malformed(format!("an event is not JSON: {error}"))),
    }
}

/// Returns a text, or an empty one.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a text that is not empty.
pub(super) fn filled<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    Some(text(value, name)).filter(|text| !text.is_empty())
}

/// Returns a position.
pub(super) fn index(value: &Value, name: &str) -> Option<u64> {
    value.get(name).and_then(Value::as_u64)
}

/// Returns the arguments of a call, which some services send as an object.
pub(super) fn arguments(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Returns a number of tokens; one that is negative, has a fraction or is no possible count is missing, so that it is
/// estimated.
pub(super) fn tokens(value: &Value, name: &str) -> Option<u64> {
    index(value, name).filter(|tokens| *tokens <= TOKENS_MAX)
}

/// Returns the tokens of a response under their names, if one of them is there.
pub(super) fn usage(value: Option<&Value>, input: &str, output: &str) -> Option<Usage> {
    let value = value?;
    let (input_tokens, output_tokens) = (tokens(value, input), tokens(value, output));
    if input_tokens.is_none() && output_tokens.is_none() {
        return None;
    }
    Some(Usage {
        input_tokens: input_tokens.unwrap_or_default(),
        output_tokens: output_tokens.unwrap_or_default(),
    })
}

/// Returns the error that an object of a stream reports. Codes and types of overload and of failures inside the
/// service are temporary.
pub(super) fn reported(error: &Value) -> ModelError {
    let message = match error {
        Value::String(text) => text.as_str(),
        other => filled(other, "message").unwrap_or_else(|| text(other, "type")),
    };
    let code = match error.get("code") {
        Some(Value::String(code)) => code.clone(),
        Some(Value::Number(code)) => code.to_string(),
        _ => String::new(),
    };
    let kind = text(error, "type");
    let is_temporary = [code.as_str(), kind].iter().any(|name| TEMPORARY.contains(name));
    ModelError::Reported { message: message.to_owned(), is_temporary }
}

/// Greatest count of tokens of one response: more than any model reads, and little enough to be added up.
const TOKENS_MAX: u64 = 1_000_000_000;

/// Codes and types of errors that another attempt may not meet.
const TEMPORARY: [&str; 13] = [
    "overloaded_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "api_error",
    "server_error",
    "internal_server_error",
    "timeout_error",
    "408",
    "429",
    "500",
    "502",
    "503",
    "529",
];
