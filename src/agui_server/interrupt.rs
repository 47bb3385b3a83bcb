//! Calls that wait for the client, as interrupts or as calls of the front end (RUN-11).

use std::collections::BTreeSet;

use quintet_kernel::{entry::Call, ids::RunId};
use serde_json::{Map, Value, json};

use crate::{
    event::{Dialect, Interrupt, Outcome},
    ids::CallRef,
};

/// Returns the outcome of a run that waits for `calls`, all of them of the client; `None` for no outcome.
///
/// If the front end has named all of their tools as its own, it executes them. Otherwise it answers questions.
pub(crate) fn outcome(
    dialect: Dialect,
    run_id: RunId,
    calls: &[&Call],
    front_end: &BTreeSet<String>,
) -> Option<Outcome> {
    let id = |call: &Call| CallRef { run_id, call_id: call.call_id.clone() }.to_string();
    if calls.iter().all(|call| front_end.contains(call.tool_name.as_str())) {
        let pending_tool_call_ids = calls.iter().map(|call| id(call)).collect();
        return match dialect {
            Dialect::V0 => None,
            Dialect::V1 => Some(Outcome::Success { pending_tool_call_ids }),
        };
    }
    Some(Outcome::Interrupt { interrupts: calls.iter().map(|call| interrupt(id(call), call)).collect() })
}

fn interrupt(id: String, call: &Call) -> Interrupt {
    let parameters = call.parameters.to_value();
    let is_approval = call.tool_name.as_str() == APPROVE;
    let text = |name: &str| parameters.get(name)?.as_str();
    let message = match text("message") {
        Some(message) => Some(message.to_owned()),
        None if is_approval => Some(match text("tool_name") {
            Some(tool_name) => format!("Allow the call of {tool_name}?"),
            None => "Allow this call?".to_owned(),
        }),
        None => text("question").map(str::to_owned),
    };
    let schema =
        ["response_schema", "requested_schema"].iter().find_map(|name| parameters.get(name)?.as_object());
    let response_schema = match schema {
        Some(schema) => Some(schema.clone()),
        None if is_approval => approval_schema(),
        None => None,
    };
    let metadata = json!({ "quintet": { "tool_name": call.tool_name, "parameters": parameters } });
    Interrupt { tool_call_id: id.clone(), id, reason: "tool_call", message, response_schema, metadata }
}

fn approval_schema() -> Option<Map<String, Value>> {
    let schema = json!({
        "type": "object",
        "properties": { "approved": { "type": "boolean" }, "reason": { "type": "string" } },
        "required": ["approved"],
    });
    match schema {
        Value::Object(schema) => Some(schema),
        _ => None,
    }
}

/// The name of the client's call that asks for consent.
const APPROVE: &str = "approve";
