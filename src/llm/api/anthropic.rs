//! Anthropic [Messages](https://docs.anthropic.com/en/api/messages-streaming).
//!
//! A response with thinking is given back as it came, signatures included, because the service verifies them.
//! If a response of the run is without its thinking, as after a restart, the request does not ask for
//! thinking.

use http::{HeaderMap, HeaderName};
use quintet_agent::Usage;
use quintet_upstream::{Secret, sse::SseEvent};
use serde_json::{Map, Value, json};

use super::{
    Decoder, EndReason, ModelError, ModelEvent, ModelRequest, Protocol, ProtocolOptions, Response,
    ToolResult, Turn, fields, protocol::plain,
};

/// Anthropic Messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anthropic;

impl Protocol for Anthropic {
    fn path(&self) -> &'static str {
        "messages"
    }

    fn headers(&self, key: Option<&Secret>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("anthropic-version"), plain("2023-06-01"));
        if let Some(key) = key {
            headers.insert(HeaderName::from_static("x-api-key"), key.header(""));
        }
        headers
    }

    fn encode(&self, request: &ModelRequest, options: &ProtocolOptions) -> Map<String, Value> {
        let messages = request.turns.iter().map(|turn| match turn {
            Turn::User(text) => json!({"role": "user", "content": text}),
            Turn::Assistant(response) => json!({"role": "assistant", "content": blocks(response)}),
            Turn::Results(results) => {
                json!({"role": "user", "content": results.iter().map(result).collect::<Value>()})
            }
        });
        let mut body = Map::new();
        body.insert("model".into(), options.model.clone().into());
        body.insert("messages".into(), messages.collect());
        body.insert("stream".into(), true.into());
        body.insert("max_tokens".into(), request.output_tokens_max.unwrap_or(OUTPUT_TOKENS_MAX).into());
        if let Some(instructions) = &request.instructions {
            body.insert("system".into(), instructions.clone().into());
        }
        if !request.tools.is_empty() {
            let tools = request.tools.iter().map(|tool| {
                json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters})
            });
            body.insert("tools".into(), tools.collect());
        }
        if let Some(temperature) = options.temperature {
            body.insert("temperature".into(), temperature.into());
        }
        if let Some(effort) = options.reasoning_effort.as_deref().filter(|_| may_think(&request.turns)) {
            if effort == "none" {
                body.insert("thinking".into(), json!({"type": "disabled"}));
            } else {
                body.insert("thinking".into(), json!({"type": "adaptive"}));
                body.insert("output_config".into(), json!({"effort": effort}));
            }
        }
        body
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(MessageDecoder::default())
    }
}

/// Returns false if a call since the user's last message is without the thinking that led to it.
fn may_think(turns: &[Turn]) -> bool {
    let run = turns.iter().rev().take_while(|turn| !matches!(turn, Turn::User(_)));
    run.into_iter().all(|turn| match turn {
        Turn::Assistant(response) => !response.carried.is_empty(),
        Turn::User(_) | Turn::Results(_) => true,
    })
}

fn blocks(response: &Response) -> Value {
    if !response.carried.is_empty() {
        return response.carried.clone().into();
    }
    // The service refuses a text without visible characters.
    let text = (!response.text.trim().is_empty()).then(|| json!({"type": "text", "text": response.text}));
    let calls = response.calls.iter().map(|call| {
        let input = serde_json::from_str(&call.arguments).ok().filter(Value::is_object);
        let input = input.unwrap_or_else(|| json!({}));
        json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
    });
    text.into_iter().chain(calls).collect()
}

fn result(result: &ToolResult) -> Value {
    let mut block = json!({"type": "tool_result", "tool_use_id": result.id, "content": result.content});
    if result.is_error {
        block["is_error"] = true.into();
    }
    block
}

/// Decodes the events of one message.
#[derive(Default)]
struct MessageDecoder {
    blocks: Vec<(u64, Block)>,
    calls: usize,
    usage: Usage,
    stop_reason: Option<EndReason>,
    is_over: bool,
}

/// A content block, as it is given back.
enum Block {
    Text(String),
    Thinking {
        thinking: String,
        signature: String,
    },
    Call {
        number: usize,
        id: String,
        name: String,
        input: String,
        whole: Value,
    },
    /// A block that has no deltas, such as `redacted_thinking`.
    Other(Value),
}

impl Decoder for MessageDecoder {
    fn decode(&mut self, event: &SseEvent, out: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        let data = fields::parse(event)?;
        let null = Value::Null;
        match fields::filled(&data, "type").unwrap_or(&event.event) {
            "message_start" => {
                let usage = data.get("message").and_then(|message| message.get("usage"));
                self.count(usage);
            }
            "content_block_start" => {
                let block = data.get("content_block").unwrap_or(&null);
                self.begin(position(&data)?, block, out)?;
            }
            "content_block_delta" => {
                self.delta(position(&data)?, data.get("delta").unwrap_or(&null), out)?;
            }
            "content_block_stop" => self.stop(position(&data)?, out),
            "message_delta" => {
                self.count(data.get("usage"));
                if let Some(reason) = data.get("delta").and_then(|delta| fields::filled(delta, "stop_reason"))
                {
                    self.stop_reason = Some(end_reason(reason)?);
                }
            }
            "message_stop" => {
                self.is_over = true;
                let has_thinking =
                    |(_, block): &(u64, Block)| matches!(block, Block::Thinking { .. } | Block::Other(_));
                if self.blocks.iter().any(has_thinking) {
                    out.push(ModelEvent::Carry(
                        self.blocks.iter().filter_map(|(_, block)| block.value()).collect(),
                    ));
                }
                if self.usage != Usage::default() {
                    out.push(ModelEvent::Usage(self.usage));
                }
            }
            "error" => return Err(fields::reported(data.get("error").unwrap_or(&data))),
            // `ping`, and events that the service adds later.
            _ => {}
        }
        Ok(())
    }

    fn end(&self) -> Option<EndReason> {
        self.stop_reason.filter(|_| self.is_over)
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

impl MessageDecoder {
    /// Takes the counts of a message so far; each replaces the one before.
    fn count(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage else { return };
        let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"];
        let cached = cached.iter().filter_map(|name| fields::tokens(usage, name));
        if let Some(input) = fields::tokens(usage, "input_tokens") {
            self.usage.input_tokens = cached.fold(input, u64::saturating_add);
        }
        if let Some(output) = fields::tokens(usage, "output_tokens") {
            self.usage.output_tokens = output;
        }
    }

    fn begin(&mut self, index: u64, block: &Value, out: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        if self.blocks.iter().any(|(known, _)| *known == index) {
            return Err(ModelError::Malformed("a content block begins twice".into()));
        }
        if self.blocks.len() >= BLOCKS_MAX {
            return Err(ModelError::TooLarge("10,000 content blocks"));
        }
        let begun = match fields::text(block, "type") {
            "text" => {
                let text = fields::text(block, "text").to_owned();
                if !text.is_empty() {
                    out.push(ModelEvent::Text(text.clone()));
                }
                Block::Text(text)
            }
            "thinking" => {
                let thinking = fields::text(block, "thinking").to_owned();
                if !thinking.is_empty() {
                    out.push(ModelEvent::Reasoning(thinking.clone()));
                }
                Block::Thinking { thinking, signature: fields::text(block, "signature").to_owned() }
            }
            "tool_use" => {
                let (id, name) =
                    (fields::text(block, "id").to_owned(), fields::text(block, "name").to_owned());
                let (number, whole) = (self.calls, block.get("input").cloned().unwrap_or_default());
                self.calls += 1;
                out.push(ModelEvent::ToolCallDelta {
                    index: number,
                    id: Some(id.clone()),
                    name: Some(name.clone()),
                    arguments: String::new(),
                });
                Block::Call { number, id, name, input: String::new(), whole }
            }
            _ => Block::Other(block.clone()),
        };
        self.blocks.push((index, begun));
        Ok(())
    }

    fn delta(&mut self, index: u64, delta: &Value, out: &mut Vec<ModelEvent>) -> Result<(), ModelError> {
        let Some((_, block)) = self.blocks.iter_mut().find(|(known, _)| *known == index) else {
            return Err(ModelError::Malformed("a delta belongs to no content block".into()));
        };
        match (block, fields::text(delta, "type")) {
            (Block::Text(all), "text_delta") => {
                let text = fields::text(delta, "text");
                all.push_str(text);
                out.push(ModelEvent::Text(text.to_owned()));
            }
            (Block::Thinking { thinking, .. }, "thinking_delta") => {
                let text = fields::text(delta, "thinking");
                thinking.push_str(text);
                out.push(ModelEvent::Reasoning(text.to_owned()));
            }
            (Block::Thinking { signature, .. }, "signature_delta") => {
                signature.push_str(fields::text(delta, "signature"));
            }
            (Block::Call { number, input, .. }, "input_json_delta") => {
                let piece = fields::text(delta, "partial_json");
                input.push_str(piece);
                out.push(ModelEvent::ToolCallDelta {
                    index: *number,
                    id: None,
                    name: None,
                    arguments: piece.to_owned(),
                });
            }
            (_, "text_delta" | "thinking_delta" | "signature_delta" | "input_json_delta") => {
                return Err(ModelError::Malformed("a delta does not fit its content block".into()));
            }
            // Deltas that the service adds later, such as citations.
            _ => {}
        }
        Ok(())
    }

    fn stop(&mut self, index: u64, out: &mut Vec<ModelEvent>) {
        let block = self.blocks.iter_mut().find(|(known, _)| *known == index);
        // Some services send the whole input at the start of the block.
        if let Some((_, Block::Call { number, input, whole, .. })) = block
            && input.is_empty()
            && whole.as_object().is_some_and(|whole| !whole.is_empty())
        {
            *input = whole.to_string();
            out.push(ModelEvent::ToolCallDelta {
                index: *number,
                id: None,
                name: None,
                arguments: input.clone(),
            });
        }
    }
}

impl Block {
    /// Returns the block as it is given back; a text without visible characters is not.
    fn value(&self) -> Option<Value> {
        Some(match self {
            Block::Text(text) if text.trim().is_empty() => return None,
            Block::Text(text) => json!({"type": "text", "text": text}),
            Block::Thinking { thinking, signature } => {
                json!({"type": "thinking", "thinking": thinking, "signature": signature})
            }
            Block::Call { id, name, input, .. } => {
                let input =
                    serde_json::from_str(input).ok().filter(Value::is_object).unwrap_or_else(|| json!({}));
                json!({"type": "tool_use", "id": id, "name": name, "input": input})
            }
            Block::Other(block) => block.clone(),
        })
    }
}

fn position(data: &Value) -> Result<u64, ModelError> {
    fields::index(data, "index").ok_or_else(|| ModelError::Malformed("a content block has no index".into()))
}

/// Maps a stop reason. An unknown one is an error, since it may mean that the answer is not complete.
fn end_reason(reason: &str) -> Result<EndReason, ModelError> {
    match reason {
        "end_turn" | "stop_sequence" => Ok(EndReason::Stop),
        "tool_use" => Ok(EndReason::ToolCalls),
        "max_tokens" | "model_context_window_exceeded" => Ok(EndReason::Length),
        "refusal" => Ok(EndReason::Filtered),
        _ => Err(ModelError::Reported { message: "unknown stop reason".into(), is_temporary: false }),
    }
}

/// The length of a response for which no limit is set, in tokens, since the protocol demands one.
const OUTPUT_TOKENS_MAX: u64 = 8_192;

/// Content blocks of one response. Each is compared with those before it.
const BLOCKS_MAX: usize = 10_000;
