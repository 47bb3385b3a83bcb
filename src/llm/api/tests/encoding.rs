//! The requests of each protocol, and what is given back of earlier responses.

use serde_json::json;

use super::{ALL, Sum, call, decode, sum};
use crate::api::{
    ModelRequest, Protocol, ProtocolOptions, Response, ToolResult, ToolSpec, Turn, anthropic::Anthropic,
    http::redactor, openai_chat::OpenAiChat, openai_responses::OpenAiResponses,
};

fn a_request() -> (ModelRequest, ProtocolOptions) {
    let request = ModelRequest {
        instructions: Some("Be short.".into()),
        turns: vec![
            Turn::User("two sums".into()),
            Turn::Assistant(Response {
                text: "I calculate.".into(),
                reasoning: "hm".into(),
                calls: vec![call("call_1", r#"{"a":1}"#), call("call_2", "{}")],
                carried: vec![],
            }),
            Turn::Results(vec![
                ToolResult { id: "call_1".into(), content: "5".into(), is_error: false },
                ToolResult { id: "call_2".into(), content: "no".into(), is_error: true },
            ]),
        ],
        tools: vec![ToolSpec {
            name: "calculate".into(),
            description: "Calculates.".into(),
            parameters: json!({"type": "object", "properties": {}}),
        }],
        output_tokens_max: Some(100),
    };
    let options = ProtocolOptions {
        model: "m".into(),
        temperature: Some(0.5),
        reasoning_effort: Some("low".into()),
        asks_usage: true,
        ..ProtocolOptions::default()
    };
    (request, options)
}

#[test]
fn requests_have_the_form_of_their_protocol() {
    let (request, options) = a_request();
    let chat = serde_json::Value::Object(OpenAiChat.encode(&request, &options));
    assert_eq!(
        chat,
        json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 100, "temperature": 0.5,
            "reasoning_effort": "low",
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "two sums"},
                {"role": "assistant", "content": "I calculate.", "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "calculate", "arguments": "{\"a\":1}"}},
                    {"id": "call_2", "type": "function", "function": {"name": "calculate", "arguments": "{}"}},
                ]},
                {"role": "tool", "tool_call_id": "call_1", "content": "5"},
                {"role": "tool", "tool_call_id": "call_2", "content": "no"},
            ],
            "tools": [{"type": "function", "function": {
                "name": "calculate", "description": "Calculates.", "parameters": {"type": "object", "properties": {}},
            }}],
        })
    );
    let responses = serde_json::Value::Object(OpenAiResponses.encode(&request, &options));
    assert_eq!(
        responses,
        json!({
            "model": "m", "stream": true, "store": false, "instructions": "Be short.", "max_output_tokens": 100, "temperature": 0.5,
            "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
            "input": [
                {"role": "user", "content": "two sums"},
                {"role": "assistant", "content": "I calculate."},
                {"type": "function_call", "call_id": "call_1", "name": "calculate", "arguments": "{\"a\":1}"},
                {"type": "function_call", "call_id": "call_2", "name": "calculate", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "5"},
                {"type": "function_call_output", "call_id": "call_2", "output": "no"},
            ],
            "tools": [{
                "type": "function", "name": "calculate", "description": "Calculates.",
                "parameters": {"type": "object", "properties": {}}, "strict": false,
            }],
        })
    );
    let anthropic = serde_json::Value::Object(Anthropic.encode(&request, &options));
    assert_eq!(
        anthropic,
        json!({
            "model": "m", "stream": true, "system": "Be short.", "max_tokens": 100, "temperature": 0.5,
            "messages": [
                {"role": "user", "content": "two sums"},
                {"role": "assistant", "content": [
                    {"type": "text", "text": "I calculate."},
                    {"type": "tool_use", "id": "call_1", "name": "calculate", "input": {"a": 1}},
                    {"type": "tool_use", "id": "call_2", "name": "calculate", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "5"},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": "no", "is_error": true},
                ]},
            ],
            "tools": [{
                "name": "calculate", "description": "Calculates.", "input_schema": {"type": "object", "properties": {}},
            }],
        }),
        "the thinking of the response is missing, so the request does not ask for thinking"
    );
}

#[test]
fn thinking_is_given_back_with_its_signature() {
    let (_, calls, _) = ALL[2];
    let Sum { response, .. } = sum(&decode(&Anthropic, calls));
    let (mut request, options) = a_request();
    request.turns[1] = Turn::Assistant(response);
    let body = serde_json::Value::Object(Anthropic.encode(&request, &options));
    assert_eq!(
        body["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "Two sums are wanted, so two calls.", "signature": "aimock-placeholder-signature"},
            {"type": "text", "text": "I will calculate both: 2+3 and 4*5."},
            {"type": "tool_use", "id": "call_1", "name": "calculate", "input": {"expression": "2+3"}},
            {"type": "tool_use", "id": "call_2", "name": "calculate", "input": {"expression": "4*5 — “é”"}},
        ])
    );
    assert_eq!(body["thinking"], json!({"type": "adaptive"}));
    assert_eq!(body["output_config"], json!({"effort": "low"}));
}

#[test]
fn encrypted_reasoning_is_given_back_with_its_items() {
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "abc"});
    let item = json!({"type": "function_call", "call_id": "a", "name": "calculate", "arguments": "{}"});
    let text: String = [
        json!({"type": "response.output_item.done", "output_index": 0, "item": reasoning}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": item}),
        json!({"type": "response.completed", "response": {}}),
    ]
    .iter()
    .map(|data| format!("data: {data}\n\n"))
    .collect();
    assert_eq!(sum(&decode(&OpenAiResponses, &text)).response.carried, [reasoning, item]);
}

#[test]
fn messages_of_errors_are_short_and_without_secrets() {
    let key = quintet_upstream::Secret::new("sk-0123456789", "key").unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", "Bearer hidden-token".parse().unwrap());
    let redactor = redactor(Some(&key), &headers);
    assert_eq!(redactor.line("bad key sk-0123456789,\n\tand hidden-token\0", 300), "bad key …, and …");
    assert_eq!(redactor.line(&"é".repeat(1_000), 300).chars().count(), 301);
}
