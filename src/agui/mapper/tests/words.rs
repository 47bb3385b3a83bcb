//! A short notation for events and steps.
//!
//! `T+a`, `T.a=text`, `T-a`: a text message (`U` of the user, `B` of a subagent); `Tc.a=text`, `Tc=text`: its chunks;
//! `R…` reasoning, `K…` thinking of 0.0.59, `C…` a call, `C=c` its result, `S…` a step. `f` is a tool of the front end.

use super::super::*;

/// A mapper for the run `r` of the thread `t`.
pub(super) fn mapper() -> EventMapper {
    let settings = MapperSettings {
        limits: RemoteLimits::DEFAULT,
        thread_id: Some("t".into()),
        client_tools: ["f".to_owned()].into(),
    };
    EventMapper::new(settings, "r")
}

/// The steps of a response up to the first mistake, as words.
pub(super) fn outcome(mapper: &mut EventMapper, response: &str) -> String {
    let mut words = Vec::new();
    for event in events(response) {
        match mapper.apply(event) {
            Ok(steps) => words.extend(steps.iter().map(word)),
            Err(error) => {
                words.push(format!("!{error}"));
                break;
            }
        }
    }
    words.join(" ")
}

fn word(step: &Step) -> String {
    match step {
        Step::Text(Text { kind, delta, separator, .. }) => {
            let separator = if separator.is_empty() { "" } else { "|" };
            format!("{kind:?}:{separator}{delta}").to_lowercase().replace("hello", "Hello")
        }
        Step::Call(call) => {
            format!("{}:{}({})", if call.by_client { "client" } else { "open" }, call.id, call.arguments)
        }
        Step::Result { call_id, .. } => format!("close:{call_id}"),
        Step::Fail { .. } => "fail".into(),
        Step::Finish(Finish { end, waiting, .. }) => {
            let waiting = if waiting.is_empty() { String::new() } else { format!("({})", waiting.join(",")) };
            match end {
                End::Success => format!("finish{waiting}"),
                End::Interrupt(all) | End::CustomInterrupt(all) => {
                    let ids: Vec<_> = all.iter().map(|interrupt| &*interrupt.id).collect();
                    format!("finish?{}{waiting}", ids.join(","))
                }
                End::Cancelled => "cancelled".into(),
                End::Unknown => "unknown".into(),
            }
        }
    }
}

/// The events of a response in words.
pub(super) fn events(response: &str) -> Vec<Event> {
    response.split(' ').map(event).collect()
}

fn event(word: &str) -> Event {
    if let Some(outcome) = word.strip_prefix("end") {
        return end(outcome);
    }
    match word {
        "run" => return Event::RunStarted { thread_id: "t".into(), run_id: "r".into() },
        "run:other" => return Event::RunStarted { thread_id: "t".into(), run_id: "x".into() },
        "err" => return Event::RunError { message: "no".into(), code: None },
        "raw" => return Event::Raw {},
        "state" => return Event::StateSnapshot {},
        "asks" => {
            return Event::Custom {
                name: Some("on_interrupt".into()),
                value: Some("Which?".into()),
                raw_event: Some(serde_json::json!({"id": "q"})),
            };
        }
        "custom" => return Event::Custom { name: None, value: None, raw_event: None },
        "new" => return Event::Unknown,
        "K+" => return Event::ThinkingTextMessageStart {},
        "K-" => return Event::ThinkingTextMessageEnd {},
        _ => {}
    }
    let (sort, rest) = word.split_at(word.find(['+', '-', '.', '=']).unwrap());
    let (sign, rest) = rest.split_at(1);
    let (id, text) = if sign == "." {
        let (id, text) = rest.split_once('=').unwrap();
        (id.to_owned(), text.to_owned())
    } else {
        (rest.to_owned(), rest.to_owned())
    };
    let chunk_id = (sign == ".").then(|| id.clone());
    match (sort, sign) {
        ("T" | "U" | "B", "+") => Event::TextMessageStart {
            message_id: id,
            role: Some(if sort == "U" { "user" } else { "assistant" }.into()),
            subagent_run_id: (sort == "B").then(|| "sub".into()),
        },
        ("T" | "U" | "B", ".") => Event::TextMessageContent { message_id: id, delta: text },
        ("T" | "U" | "B", "-") => Event::TextMessageEnd { message_id: id },
        ("Tc", _) => Event::TextMessageChunk {
            message_id: chunk_id,
            role: None,
            delta: Some(text),
            subagent_run_id: None,
        },
        ("R", "+") => Event::ReasoningMessageStart { message_id: id },
        ("R", ".") => Event::ReasoningMessageContent { message_id: id, delta: text },
        ("R", "-") => Event::ReasoningMessageEnd { message_id: id },
        ("Rc", _) => Event::ReasoningMessageChunk { message_id: chunk_id, delta: Some(text) },
        ("K", "=") => Event::ThinkingTextMessageContent { delta: text },
        ("C", "+") => Event::ToolCallStart {
            tool_call_name: if id == "bad" { "not a name".into() } else { id.clone() },
            tool_call_id: id,
            parent_message_id: None,
        },
        ("C", ".") => Event::ToolCallArgs { tool_call_id: id, delta: text },
        ("C", "-") => Event::ToolCallEnd { tool_call_id: id },
        ("C", "=") => Event::ToolCallResult {
            message_id: None,
            tool_call_id: id,
            content: ToolContent::Text("done".into()),
        },
        ("Cc", _) => Event::ToolCallChunk {
            tool_call_name: chunk_id.clone(),
            tool_call_id: chunk_id,
            parent_message_id: None,
            delta: Some(text),
        },
        ("S", "+") => Event::StepStarted { step_name: id },
        ("S", "-") => Event::StepFinished { step_name: id },
        _ => panic!("{word}"),
    }
}

fn end(outcome: &str) -> Event {
    let interrupt = |id: &str, call: Option<&str>| Interrupt {
        id: id.into(),
        reason: "tool_call".into(),
        message: None,
        tool_call_id: call.map(Into::into),
        response_schema: None,
        expires_at: None,
        metadata: None,
    };
    let (name, inside) = outcome.trim_end_matches(')').split_once('(').unwrap_or((outcome, ""));
    let listed: Vec<&str> = inside.split(',').filter(|id| !id.is_empty()).collect();
    let outcome = match name {
        "" | ":other" => None,
        ":cancelled" => Some(Outcome::Cancelled),
        ":later" => Some(Outcome::Unknown),
        ":pending" => Some(Outcome::Success {
            pending_tool_call_ids: Some(listed.iter().map(|id| (*id).to_owned()).collect()),
        }),
        ":interrupt" => Some(Outcome::Interrupt {
            interrupts: listed.iter().map(|id| interrupt(&format!("i-{id}"), Some(id))).collect(),
        }),
        ":interrupts" => {
            Some(Outcome::Interrupt { interrupts: listed.iter().map(|id| interrupt(id, None)).collect() })
        }
        other => panic!("{other}"),
    };
    let thread_id = if name == ":other" { "x" } else { "t" };
    Event::RunFinished { thread_id: thread_id.into(), run_id: "r".into(), outcome, usage: None }
}
