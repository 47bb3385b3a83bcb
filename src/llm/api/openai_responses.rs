//! OpenAI [Responses](https://platform.openai.com/docs/api-reference/responses-streaming).
//!
//! Nothing is stored at the provider (`store: false`): each request has the whole conversation. The items of
//! a response with encrypted reasoning are given back as they came within a run.

use std::collections::BTreeMap;

use quintet_upstream::sse::SseEvent;
use serde_json::{Map, Value, json};

use super::{
    Decoder, EndReason, ModelError, ModelEvent, ModelRequest, Protocol, ProtocolOptions, Response, Turn,
    fields,
};

/// OpenAI Responses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenAiResponses;

impl Protocol for OpenAiResponses {
    fn path(&self) -> &'static str {
        "responses"
    }

    fn encode(&self, request: &ModelRequest, options: &ProtocolOptions) -> Map<String, Value> {
        let mut input = Vec::new();
        for turn in &request.turns {
            match turn {
                Turn::User(text) => input.push(json!({"role": "user", "content": text})),
                Turn::Assistant(response) => input.extend(items(response)),
                Turn::Results(results) => input.extend(results.iter().map(|result| {
                    json!({"type": "function_call_output", "call_id": result.id, "output": result.content})
                })),
            }
        }
        let mut body = Map::new();
        body.insert("model".into(), options.model.clone().into());
        body.insert("input".into(), input.into());
        body.insert("stream".into(), true.into());
        body.insert("store".into(), false.into());
        if let Some(instructions) = &request.instructions {
            body.insert("instructions".into(), instructions.clone().into());
        }
        if !request.tools.is_empty() {
            let tools = request.tools.iter().map(|tool| {
                json!({
                    "type": "function", "name": tool.name, "description": tool.description,
                    "parameters": tool.parameters, "strict": false,
                })
            });
            body.insert("tools".into(), tools.collect());
        }
        if let Some(tokens) = request.output_tokens_max {
            body.insert("max_output_tokens".into(), tokens.into());
        }
        if let Some(temperature) = options.temperature {
            body.insert("temperature".into(), temperature.into());
        }
        if let Some(effort) = &options.reasoning_effort {
            body.insert("reasoning".into(), json!({"effort": effort, "summary": "auto"}));
            body.insert("include".into(), json!(["reasoning.encrypted_content"]));
        }
        body
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(ResponseDecoder::default())
    }
}

fn items(response: &Response) -> Vec<Value> {
    if !response.carried.is_empty() {
        return response.carried.clone();
    }
    let text = (!response.text.is_empty()).then(|| json!({"role": "assistant", "content": response.text}));
    let calls = response.calls.iter().map(|call| {
        json!({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments})
    });
    text.into_iter().chain(calls).collect()
}

/// Decodes the events of one response.
#[derive(Default)]
struct ResponseDecoder {
    /// The calls by the position of their item, and whether a piece of their arguments has come.
    calls: BTreeMap<u64, (usize, bool)>,
    /// Parts of the answer and of the reasoning of which a piece has come, by the positions of item and part.
    texts: BTreeMap<(u64, u64), ()>,
    /// Completed items, to be given back.
    items: Vec<Value>,
    /// True if a summary of reasoning has come, after which the next one begins with a blank line.
    has_summary: bool,
    end: Option<EndReason>,
    is_over: bool,
}

impl Decoder for ResponseDecoder {
    fn decode(&mut self, event: &SseEvent, out: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        // Not part of the protocol, but sent by gateways that also speak chat completions.
        if event.data.trim() == "[DONE]" {
            return Ok(());
        }
        let data = fields::parse(event)?;
        let null = Value::Null;
        let part = (position(&data), fields::index(&data, "content_index").unwrap_or(0));
        match fields::filled(&data, "type").unwrap_or(&event.event) {
            "response.output_text.delta" | "response.refusal.delta" => {
                self.texts.insert(part, ());
                out.push(ModelEvent::Text(fields::text(&data, "delta").to_owned()));
            }
            "response.output_text.done" if !self.texts.contains_key(&part) => {
                out.push(ModelEvent::Text(fields::text(&data, "text").to_owned()));
            }
            "response.reasoning_summary_part.added" => {
                let is_first = !std::mem::replace(&mut self.has_summary, true);
                out.extend((!is_first).then(|| ModelEvent::Reasoning("\n\n".into())));
            }
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                out.push(ModelEvent::Reasoning(fields::text(&data, "delta").to_owned()));
            }
            "response.output_item.added" => {
                self.added(position(&data), data.get("item").unwrap_or(&null), out)?
            }
            "response.function_call_arguments.delta" => {
                let Some((number, is_begun)) = self.calls.get_mut(&position(&data)) else {
                    return Err(ModelError::Malformed("arguments belong to no call".into()));
                };
                *is_begun = true;
                out.push(piece(*number, fields::text(&data, "delta")));
            }
            "response.output_item.done" => {
                self.done(position(&data), data.get("item").unwrap_or(&null), out)?
            }
            "response.completed" => self.complete(&data, None, out)?,
            "response.incomplete" => {
                let reason = data.pointer("/response/incomplete_details/reason").and_then(Value::as_str);
                let end = match reason {
                    Some("content_filter") => EndReason::Filtered,
                    _ => EndReason::Length,
                };
                self.complete(&data, Some(end), out)?;
            }
            "response.failed" => {
                return Err(fields::reported(data.pointer("/response/error").unwrap_or(&null)));
            }
            "error" => return Err(fields::reported(data.get("error").unwrap_or(&data))),
            // Other events repeat these, or belong to tools of the provider.
            _ => {}
        }
        Ok(())
    }

    fn end(&self) -> Option<EndReason> {
        self.end
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

impl ResponseDecoder {
    fn added(&mut self, at: u64, item: &Value, out: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        if fields::text(item, "type") != "function_call" {
            return Ok(());
        }
        let number = self.calls.len();
        if self.calls.insert(at, (number, false)).is_some() {
            return Err(ModelError::Malformed("an item begins twice".into()));
        }
        out.push(ModelEvent::ToolCallDelta {
            index: number,
            id: fields::filled(item, "call_id").map(str::to_owned),
            name: fields::filled(item, "name").map(str::to_owned),
            arguments: String::new(),
        });
        Ok(())
    }

    fn done(&mut self, at: u64, item: &Value, out: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        if fields::text(item, "type") == "function_call" {
            if !self.calls.contains_key(&at) {
                self.added(at, item, out)?;
            }
            // The arguments are whole here; they count if they did not come in pieces.
            if let Some((number, is_begun @ false)) = self.calls.get_mut(&at) {
                *is_begun = true;
                out.push(piece(*number, &fields::arguments(item.get("arguments"))));
            }
        }
        self.items.push(item.clone());
        Ok(())
    }

    fn complete(
        &mut self,
        data: &Value,
        end: Option<EndReason>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ModelError> {
        let response = data.get("response").unwrap_or(&Value::Null);
        if let Some(error) = response.get("error").filter(|error| !error.is_null()) {
            return Err(fields::reported(error));
        }
        let is_encrypted = |item: &Value| fields::filled(item, "encrypted_content").is_some();
        if self.items.iter().any(is_encrypted) {
            out.push(ModelEvent::Carry(std::mem::take(&mut self.items)));
        }
        if let Some(usage) = fields::usage(response.get("usage"), "input_tokens", "output_tokens") {
            out.push(ModelEvent::Usage(usage));
        }
        let whole = if self.calls.is_empty() { EndReason::Stop } else { EndReason::ToolCalls };
        self.end = Some(end.unwrap_or(whole));
        self.is_over = true;
        Ok(())
    }
}

fn position(data: &Value) -> u64 {
    fields::index(data, "output_index").unwrap_or(0)
}

fn piece(index: usize, arguments: &str) -> ModelEvent {
    ModelEvent::ToolCallDelta { index, id: None, name: None, arguments: arguments.to_owned() }
}
