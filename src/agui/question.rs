//! Questions of an agent as calls of the client, and the client's answers as the agent expects them (RUN-11).
//!
//! | the agent waits for | the client's call | the answer `ok` | `declined` | any other end |
//! |---|---|---|---|---|
//! | a call of a tool | the tool, with the arguments | a `tool` message with the results | a `tool` message whose `error` is the refusal | a `tool` message with the `error` |
//! | an interrupt about a call, or a confirmation | `approve` | `resolved`, the results with `approved` | `resolved`, `{"approved": false}` with the `reason` | `cancelled` |
//! | an interrupt of a `CUSTOM` event | as the others | [`crate::langgraph`] | `declined_resume`, or the run fails | the same |
//! | any other interrupt | its `reason` | `resolved`, the results | `cancelled` | `cancelled` |
//!
//! The entry of a refusal and of a missing answer has the `metadata` `{"quintet": {"status", "reason"}}`.

use quintet_agent::{Answer, CallResult, Json};
use quintet_kernel::{entry::CallStatus, ids::ToolName};
use serde_json::{Map, Value, json};

use crate::{
    calls::RemoteCall,
    event::Interrupt,
    input::{ResumeEntry, ResumeStatus},
};

/// A question to the client.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// A call of a tool that the agent does not execute.
    Call(RemoteCall),
    /// An interrupt, with the call that it is about.
    Interrupt(Interrupt, Option<RemoteCall>),
    /// An interrupt that a `CUSTOM` event has reported.
    Custom(Interrupt),
}

impl Question {
    /// Returns the name of the client's call.
    pub(crate) fn tool_name(&self) -> &str {
        match self {
            Question::Call(call) => &call.name,
            Question::Interrupt(interrupt, _) | Question::Custom(interrupt) => match &interrupt.reason {
                _ if is_approval(interrupt) => "approve",
                reason if ToolName::parse(reason).is_ok() => reason,
                _ => "input_required",
            },
        }
    }

    /// Returns the parameters of the client's call.
    pub(crate) fn parameters(&self) -> Json {
        let (interrupt, call) = match self {
            Question::Call(call) => return parameters(&call.arguments),
            Question::Interrupt(interrupt, call) => (interrupt, call.as_ref()),
            Question::Custom(interrupt) => (interrupt, None),
        };
        let Interrupt { id: _, reason, message, tool_call_id: _, response_schema, expires_at, metadata } =
            interrupt;
        let mut shown = Map::new();
        shown.insert("reason".to_owned(), json!(reason));
        let parts = [
            ("message", message.as_ref().map(|message| json!(message))),
            ("tool_name", call.map(|call| json!(call.name))),
            ("parameters", call.map(|call| parameters(&call.arguments).to_value())),
            ("response_schema", response_schema.as_ref().map(|schema| json!(schema))),
            ("expires_at", expires_at.as_ref().map(|time| json!(time))),
            ("metadata", metadata.as_ref().map(|metadata| json!(metadata))),
        ];
        for (name, part) in parts {
            // A part that is nested too deep would make the whole unreadable.
            let part = part.filter(|part| Json::parse(&json!([part]).to_string()).is_ok());
            shown.extend(part.map(|part| (name.to_owned(), part)));
        }
        Json::from(&Value::Object(shown))
    }
}

/// Returns the arguments of a call as parameters. Arguments that are not a JSON object, which the protocol allows,
/// become the member `arguments`.
pub(crate) fn parameters(arguments: &str) -> Json {
    if arguments.trim().is_empty() {
        return Json::empty_object();
    }
    match Json::parse(arguments).and_then(Json::object) {
        Ok(parameters) => parameters,
        Err(_) => Json::from(&json!({ "arguments": arguments })),
    }
}

/// Returns the entry of `resume` for an answer.
pub(crate) fn resume(interrupt: &Interrupt, answer: &Answer) -> ResumeEntry {
    let (status, payload) = match answer {
        Answer::Given(results) if is_approval(interrupt) => {
            (ResumeStatus::Resolved, Some(approved(interrupt, results.to_value())))
        }
        Answer::Given(results) => (ResumeStatus::Resolved, Some(results.to_value())),
        Answer::Declined { reason } if is_approval(interrupt) => {
            let mut payload = json!({ "approved": false });
            if let Some(reason) = reason {
                payload["reason"] = json!(reason);
            }
            (ResumeStatus::Resolved, Some(payload))
        }
        Answer::Declined { .. } | Answer::Failed { .. } | Answer::Unanswered { .. } => {
            (ResumeStatus::Cancelled, None)
        }
    };
    let note = |status: &str, reason: Option<&String>| {
        Some(json!({"quintet": {"status": status, "reason": reason}}))
    };
    let metadata = match answer {
        Answer::Given(_) => None,
        Answer::Declined { reason } => note("declined", reason.as_ref()),
        Answer::Failed { error } => note("error", Some(error)),
        Answer::Unanswered { why } => note("unanswered", Some(why)),
    };
    ResumeEntry { interrupt_id: interrupt.id.clone(), status, payload, metadata }
}

/// Returns an answer as the result of the agent's call.
pub(crate) fn result_of(answer: &Answer) -> CallResult {
    let (status, error) = match answer {
        Answer::Given(results) => return CallResult::ok(results.clone()),
        Answer::Declined { reason } => (CallStatus::Declined, reason.as_deref().unwrap_or_default()),
        Answer::Failed { error } => (CallStatus::Error, &**error),
        Answer::Unanswered { why } => (CallStatus::TimedOut, &**why),
    };
    CallResult::cut_short(status, error)
}

/// Returns true if an interrupt asks for a yes or no.
fn is_approval(interrupt: &Interrupt) -> bool {
    matches!(&*interrupt.reason, "tool_call" | "confirmation")
}

/// Returns the payload of a consent. The status `ok` is the consent, so results without `approved` get it; what the
/// client itself has stated is kept. A confirmation without a schema is a plain yes.
fn approved(interrupt: &Interrupt, results: Value) -> Value {
    match results {
        Value::Null if interrupt.reason == "confirmation" && interrupt.response_schema.is_none() => {
            json!(true)
        }
        Value::Null => json!({ "approved": true }),
        Value::Object(mut results) => {
            results.entry("approved").or_insert(Value::Bool(true));
            Value::Object(results)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupt(reason: &str, extra: Value) -> Interrupt {
        let mut interrupt = json!({"id": "i", "reason": reason});
        interrupt.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(interrupt).unwrap()
    }

    #[test]
    fn parameters_are_always_an_object() {
        for (arguments, expected) in [
            ("", "{}"),
            (" ", "{}"),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("[1]", r#"{"arguments":"[1]"}"#),
            ("{\"a\":", r#"{"arguments":"{\"a\":"}"#),
            ("[[[[", r#"{"arguments":"[[[["}"#),
        ] {
            assert_eq!(parameters(arguments).as_str(), expected);
        }
    }

    #[test]
    fn question_without_its_deepest_part_is_still_readable() {
        let deep = (0..80).fold(json!(1), |inner, _| json!({ "a": inner }));
        let extra = json!({"message": "Which?", "responseSchema": deep, "expiresAt": "2026-12-01"});
        let question = Question::Interrupt(interrupt("input_required", extra), None);
        let shown = json!({"reason": "input_required", "message": "Which?", "expires_at": "2026-12-01"});
        assert_eq!(question.parameters().to_value(), shown);
        assert_eq!(question.tool_name(), "input_required");
    }

    /// RUN-11: for any question, only `ok` is a consent.
    #[test]
    fn run_11_no_refusal_becomes_a_consent() {
        let answers = [
            Answer::Declined { reason: None },
            Answer::Failed { error: "x".into() },
            Answer::Unanswered { why: "x".into() },
        ];
        for reason in ["tool_call", "confirmation", "input_required", "other"] {
            for answer in &answers {
                let entry = resume(&interrupt(reason, json!({})), answer);
                let consents =
                    entry.payload.as_ref().is_some_and(|payload| payload["approved"] != json!(false));
                assert!(!consents && entry.metadata.is_some(), "{reason}: {entry:?}");
                assert_ne!(result_of(answer).status, CallStatus::Ok);
            }
        }
    }

    #[test]
    fn consent_keeps_what_the_client_has_stated() {
        let payload = |reason: &str, schema: Value, results: Value| {
            let answer = Answer::Given(Json::from(results));
            resume(&interrupt(reason, json!({ "responseSchema": schema })), &answer).payload.unwrap()
        };
        assert_eq!(payload("tool_call", json!({}), json!(null)), json!({"approved": true}));
        assert_eq!(
            payload("tool_call", json!({}), json!({"editedArgs": {}})),
            json!({"approved": true, "editedArgs": {}})
        );
        assert_eq!(payload("tool_call", json!({}), json!({"approved": false})), json!({"approved": false}));
        assert_eq!(payload("confirmation", json!(null), json!(null)), json!(true));
        assert_eq!(payload("input_required", json!({}), json!([1])), json!([1]));
    }
}
