//! OpenAI [chat completions](https://platform.openai.com/docs/api-reference/chat/streaming), and the dialects
//! of vLLM, Ollama, llama.cpp and gateways.
//!
//! Tolerated: calls without `index` or id, several calls under one `index`, arguments as an object, reasoning
//! as `reasoning_content`, `reasoning` or `thinking`, a missing usage, and a missing `[DONE]` after a finish
//! reason. Not tolerated: a response without a finish reason, and one that is unknown.

use quintet_upstream::sse::SseEvent;
use serde_json::{Map, Value, json};

use super::{
    Decoder, EndReason, ModelError, ModelEvent, ModelRequest, Protocol, ProtocolOptions, Response, Turn,
    fields,
};

/// Chat completions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenAiChat;

impl Protocol for OpenAiChat {
    fn path(&self) -> &'static str {
        "chat/completions"
    }

    fn encode(&self, request: &ModelRequest, options: &ProtocolOptions) -> Map<String, Value> {
        let mut messages = Vec::new();
        if let Some(instructions) = &request.instructions {
            messages.push(json!({"role": "system", "content": instructions}));
        }
        for turn in &request.turns {
            match turn {
                Turn::User(text) => messages.push(json!({"role": "user", "content": text})),
                Turn::Assistant(response) => messages.push(assistant(response, options.returns_reasoning)),
                Turn::Results(results) => messages.extend(results.iter().map(
                    |result| json!({"role": "tool", "tool_call_id": result.id, "content": result.content}),
                )),
            }
        }
        let mut body = Map::new();
        body.insert("model".into(), options.model.clone().into());
        body.insert("messages".into(), messages.into());
        body.insert("stream".into(), true.into());
        if options.asks_usage {
            body.insert("stream_options".into(), json!({"include_usage": true}));
        }
        if !request.tools.is_empty() {
            let tools = request.tools.iter().map(|tool| {
                json!({"type": "function", "function": {
                    "name": tool.name, "description": tool.description, "parameters": tool.parameters,
                }})
            });
            body.insert("tools".into(), tools.collect());
        }
        if let Some(tokens) = request.output_tokens_max {
            let name = if options.completion_tokens { "max_completion_tokens" } else { "max_tokens" };
            body.insert(name.into(), tokens.into());
        }
        if let Some(temperature) = options.temperature {
            body.insert("temperature".into(), temperature.into());
        }
        if let Some(effort) = &options.reasoning_effort {
            body.insert("reasoning_effort".into(), effort.clone().into());
        }
        body
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(ChatDecoder::default())
    }
}

fn assistant(response: &Response, returns_reasoning: bool) -> Value {
    let mut message = json!({"role": "assistant", "content": response.text});
    if !response.calls.is_empty() {
        let calls = response.calls.iter().map(|call| {
            json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
        });
        message["tool_calls"] = calls.collect();
        if response.text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    if returns_reasoning && !response.reasoning.is_empty() {
        message["reasoning_content"] = response.reasoning.clone().into();
    }
    message
}

/// Decodes the chunks of one completion.
#[derive(Default)]
struct ChatDecoder {
    calls: Vec<Place>,
    has_deltas: bool,
    end: Option<EndReason>,
    is_over: bool,
}

/// A call, as its service refers to it.
struct Place {
    index: Option<u64>,
    id: String,
}

impl Decoder for ChatDecoder {
    fn decode(&mut self, event: &SseEvent, out: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        if event.data.trim() == "[DONE]" {
            self.is_over = true;
            return Ok(());
        }
        if event.data.trim().is_empty() {
            return Ok(());
        }
        let chunk = fields::parse(event)?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(fields::reported(error));
        }
        if event.event == "error" {
            return Err(fields::reported(&chunk));
        }
        let choices = chunk.get("choices").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // Requests ask for one choice; further ones would mix two answers.
        for choice in choices.iter().filter(|choice| fields::index(choice, "index").unwrap_or(0) == 0) {
            self.choice(choice, out)?;
        }
        // Sent in a chunk without choices by OpenAI, repeated in every chunk by some services: the last one
        // counts.
        if let Some(usage) = fields::usage(chunk.get("usage"), "prompt_tokens", "completion_tokens") {
            out.push(ModelEvent::Usage(usage));
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

impl ChatDecoder {
    fn choice(&mut self, choice: &Value, out: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        let null = Value::Null;
        // Some services send a whole message instead of deltas, others after them.
        let whole = choice.get("message").filter(|_| !self.has_deltas);
        let delta = choice.get("delta").or(whole).unwrap_or(&null);
        self.has_deltas |= choice.get("delta").is_some();
        let reasoning = ["reasoning_content", "reasoning", "thinking"]
            .iter()
            .find_map(|name| fields::filled(delta, name));
        if let Some(reasoning) = reasoning {
            out.push(ModelEvent::Reasoning(reasoning.to_owned()));
        }
        if let Some(text) = fields::filled(delta, "content") {
            out.push(ModelEvent::Text(text.to_owned()));
        }
        let calls = delta.get("tool_calls").and_then(Value::as_array);
        for call in calls.map_or(&[][..], Vec::as_slice) {
            out.push(self.call(call));
        }
        if let Some(refusal) = fields::filled(delta, "refusal") {
            out.push(ModelEvent::Text(refusal.to_owned()));
        }
        if let Some(reason) = fields::filled(choice, "finish_reason") {
            self.end = Some(end_reason(reason)?);
        }
        Ok(())
    }

    /// Returns the piece of a call, under the number of its call.
    fn call(&mut self, call: &Value) -> ModelEvent {
        let null = Value::Null;
        let function = call.get("function").unwrap_or(&null);
        let (index, id, name) =
            (fields::index(call, "index"), fields::text(call, "id"), fields::filled(function, "name"));
        let known = match index {
            Some(_) => self.calls.iter().rposition(|place| place.index == index),
            None if id.is_empty() => self.calls.len().checked_sub(1),
            None => self.calls.iter().rposition(|place| place.id == id),
        };
        // A piece with a name begins a call, unless it repeats the id of the call.
        let begins = name.is_some()
            && known.is_none_or(|at| match index {
                Some(_) => !id.is_empty() && self.calls[at].id != id,
                None => id.is_empty() || self.calls[at].id != id,
            });
        let at = match known {
            Some(at) if !begins => at,
            _ => {
                self.calls.push(Place { index, id: id.to_owned() });
                self.calls.len() - 1
            }
        };
        ModelEvent::ToolCallDelta {
            index: at,
            id: Some(id).filter(|id| !id.is_empty()).map(str::to_owned),
            name: name.map(str::to_owned),
            arguments: fields::arguments(function.get("arguments")),
        }
    }
}

/// Maps a finish reason. An unknown one is an error, since it may mean that the answer is not complete.
fn end_reason(reason: &str) -> Result<EndReason, ModelError> {
    match reason {
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "COMPLETE" => Ok(EndReason::Stop),
        "tool_calls" | "function_call" | "tool_use" => Ok(EndReason::ToolCalls),
        "length" | "max_tokens" | "model_length" | "MAX_TOKENS" => Ok(EndReason::Length),
        "content_filter" | "safety" | "refusal" => Ok(EndReason::Filtered),
        _ => Err(ModelError::Reported { message: "unknown finish reason".into(), is_temporary: false }),
    }
}
