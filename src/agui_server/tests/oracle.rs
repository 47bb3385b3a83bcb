//! The rules of AG-UI's verifiers of 0.0.59 and 1.0, read from `verify.ts` and written anew, with the rules that they leave
//! to the producer.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Dialect, Event};

/// Returns the events as a front end reads them.
pub(super) fn decoded(events: &[Event]) -> Vec<Value> {
    events.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
}

/// Checks a complete stream of one run.
///
/// # Errors
///
/// Returns the rule that is broken, and the position.
pub(super) fn check(dialect: Dialect, events: &[Value]) -> Result<(), String> {
    let mut open = Open::default();
    for (at, event) in events.iter().enumerate() {
        open.take(dialect, at, event).map_err(|rule| format!("event {at} {event}: {rule}"))?;
    }
    if open.is_over { Ok(()) } else { Err("the stream ends without a terminal event".to_owned()) }
}

#[derive(Default)]
struct Open {
    texts: BTreeSet<String>,
    calls: BTreeSet<String>,
    spans: BTreeSet<String>,
    reasonings: BTreeSet<String>,
    /// Calls that a result may name.
    known: BTreeSet<String>,
    returned: BTreeSet<String>,
    is_over: bool,
}

impl Open {
    fn take(&mut self, dialect: Dialect, at: usize, event: &Value) -> Result<(), &'static str> {
        let text = |name: &str| event[name].as_str().map(str::to_owned).ok_or("a member is missing");
        let kind = text("type")?;
        let rule = |holds: bool, rule| if holds { Ok(()) } else { Err(rule) };
        rule((at == 0) == (kind == "RUN_STARTED"), "RUN_STARTED is the first event, and only that")?;
        rule(!self.is_over, "no event after the terminal one")?;
        match &*kind {
            "RUN_STARTED" => {
                rule(text("threadId")? == "t" && text("runId")? == "r", "ids of the request")?;
                let declares = event.get("protocolVersion").is_some();
                rule(declares == (dialect == Dialect::V1), "protocolVersion in 1.0 only")
            }
            "TEXT_MESSAGE_START" => rule(self.texts.insert(text("messageId")?), "no double start of a text"),
            "TEXT_MESSAGE_CONTENT" => {
                rule(!text("delta")?.is_empty(), "deltas are not empty")?;
                rule(self.texts.contains(&text("messageId")?), "content of an open text")
            }
            "TEXT_MESSAGE_END" => rule(self.texts.remove(&text("messageId")?), "end of an open text"),
            "REASONING_START" => rule(self.spans.insert(text("messageId")?), "no double start of a span"),
            "REASONING_MESSAGE_START" => {
                rule(text("role")? == "reasoning", "the role of reasoning")?;
                rule(self.reasonings.insert(text("messageId")?), "no double start of reasoning")
            }
            "REASONING_MESSAGE_CONTENT" => {
                rule(!text("delta")?.is_empty(), "deltas are not empty")?;
                rule(self.reasonings.contains(&text("messageId")?), "content of open reasoning")
            }
            "REASONING_MESSAGE_END" => {
                rule(self.reasonings.remove(&text("messageId")?), "end of open reasoning")
            }
            "REASONING_END" => rule(self.spans.remove(&text("messageId")?), "end of an open span"),
            "TOOL_CALL_START" => {
                text("toolCallName")?;
                self.known.insert(text("toolCallId")?);
                rule(self.calls.insert(text("toolCallId")?), "no double start of a call")
            }
            "TOOL_CALL_ARGS" => {
                text("delta")?;
                rule(self.calls.contains(&text("toolCallId")?), "arguments of an open call")
            }
            "TOOL_CALL_END" => rule(self.calls.remove(&text("toolCallId")?), "end of an open call"),
            // The next two are not checked by AG-UI's verifiers.
            "TOOL_CALL_RESULT" => {
                let call = text("toolCallId")?;
                text("messageId")?;
                text("content")?;
                rule(!self.calls.contains(&call), "the call has ended before its result")?;
                rule(self.known.contains(&call), "the result is that of a known call")?;
                rule(self.returned.insert(call), "one result for each call")
            }
            "MESSAGES_SNAPSHOT" => self.snapshot(event),
            "CUSTOM" => {
                text("name")?;
                rule(event.get("value").is_some(), "a custom event has a value")
            }
            "RUN_FINISHED" => {
                let open = [&self.texts, &self.calls, &self.spans, &self.reasonings];
                rule(open.iter().all(|open| open.is_empty()), "nothing is open at the end")?;
                self.is_over = true;
                outcome(dialect, event)
            }
            "RUN_ERROR" => {
                text("message")?;
                self.is_over = true;
                rule(!text("code")?.is_empty(), "an error has a code")
            }
            _ => Err("unknown event"),
        }
    }

    /// Messages have unique ids, and the roles have their members.
    fn snapshot(&mut self, event: &Value) -> Result<(), &'static str> {
        let messages = event["messages"].as_array().ok_or("a snapshot has messages")?;
        let mut ids = BTreeSet::new();
        for message in messages {
            let id = message["id"].as_str().ok_or("a message has an id")?;
            if !ids.insert(id) {
                return Err("ids of messages are unique");
            }
            match message["role"].as_str() {
                Some("user" | "reasoning") if message["content"].is_string() => {}
                Some("assistant") => {
                    for call in message["toolCalls"].as_array().into_iter().flatten() {
                        let parts = [&call["id"], &call["function"]["name"], &call["function"]["arguments"]];
                        if call["type"] != "function" || !parts.iter().all(|part| part.is_string()) {
                            return Err("a call has its members");
                        }
                        self.known.insert(call["id"].as_str().unwrap_or_default().to_owned());
                    }
                }
                Some("tool") if message["content"].is_string() && message["toolCallId"].is_string() => {
                    self.returned.insert(message["toolCallId"].as_str().unwrap_or_default().to_owned());
                }
                _ => return Err("a message has the members of its role"),
            }
        }
        Ok(())
    }
}

fn outcome(dialect: Dialect, event: &Value) -> Result<(), &'static str> {
    let Some(outcome) = event.get("outcome") else { return Ok(()) };
    match (outcome["type"].as_str(), dialect) {
        (Some("interrupt"), _) if outcome["interrupts"].as_array().is_some_and(|list| !list.is_empty()) => {
            Ok(())
        }
        (Some("cancelled"), Dialect::V1) => Ok(()),
        (Some("success"), Dialect::V1) => Ok(()),
        // The schema of 0.0.59 is strict.
        _ => Err("the outcome is one of the generation"),
    }
}
