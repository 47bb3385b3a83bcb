//! The routes for front ends that speak [AG-UI](https://docs.ag-ui.com). Its own specification describes the bodies.

use serde_json::{Value, json};

use super::routes::{RequestBody, ResponseBody, Route};

/// Returns the routes.
pub(super) fn routes() -> impl Iterator<Item = Route> {
    let post = |path, id, summary, parameters, body, answer, errors| Route {
        method: "post",
        path,
        tag: "agui",
        id,
        summary,
        parameters,
        body,
        answer,
        errors,
    };
    let events = |description| (200, description, ResponseBody::Text("text/event-stream"));
    let all = [
        post(
            "/agui/agent/{agent_name}/run",
            "runAgui",
            "Sends the last message of the user, answers interrupts, and streams the run as AG-UI events",
            &["agentName"],
            RequestBody::Required("RunAgentInput"),
            events("The events of the run"),
            &[400, 401, 403, 404, 408, 409, 413, 415, 429, 503],
        ),
        post(
            "/agui/agent/{agent_name}/connect",
            "connectAgui",
            "Streams a conversation and its active run as AG-UI events, without starting a run",
            &["agentName"],
            RequestBody::Required("RunAgentInput"),
            events("A snapshot, and the events of the active run"),
            &[400, 401, 403, 404, 408, 413, 415, 429, 503],
        ),
        post(
            "/agui/agent/{agent_name}/stop/{thread_id}",
            "stopAgui",
            "Cancels the run of a request, or all open runs of a thread",
            &["agentName", "threadId"],
            RequestBody::Optional("AguiStop"),
            (200, "The ends of the runs are durable", ResponseBody::Json("AguiStopped")),
            &[400, 401, 403, 404, 408, 413, 415, 429, 503],
        ),
        post(
            "/agui",
            "callAgui",
            "Calls one of the routes for AG-UI by its method: the single endpoint of a CopilotKit runtime",
            &[],
            RequestBody::Required("AguiEnvelope"),
            events("The answer of the method: events, or JSON"),
            &[400, 401, 403, 404, 408, 409, 413, 415, 429, 503],
        ),
        Route {
            method: "get",
            path: "/agui/info",
            tag: "agui",
            id: "showAgui",
            summary: "Lists the agents as a CopilotKit runtime does",
            parameters: &[],
            body: RequestBody::None,
            answer: (200, "The agents", ResponseBody::Json("AguiInfo")),
            errors: &[401, 403, 429, 503],
        },
    ];
    all.into_iter()
}

/// Returns the schemas of the bodies. Members that AG-UI defines are described there.
pub(super) fn schemas() -> [(&'static str, Value); 5] {
    let run_id = json!({"type": "string", "minLength": 1, "maxLength": 256});
    let input = json!({
        "description": "AG-UI's RunAgentInput, of 0.0.59 or 1.0. Agents receive the last message of the user only.",
        "externalDocs": {"url": "https://docs.ag-ui.com"},
        "type": "object",
        "required": ["threadId", "runId", "messages"],
        "properties": {
            "threadId": {"type": "string", "pattern": "^[!-~]{1,128}$"},
            "runId": run_id,
            "protocolVersion": {"type": "string", "description": "Sent by clients of 1.0."},
            "messages": {"type": "array", "items": {"type": "object"}},
            "resume": {"type": "array", "items": {"type": "object"}},
        },
    });
    let stop = json!({
        "type": "object", "additionalProperties": false, "properties": {"runId": {"type": ["string", "null"]}},
    });
    let stopped = json!({
        "type": "object", "required": ["stopped"],
        "properties": {"stopped": {"type": "boolean"}, "message": {"type": "string"}},
    });
    let envelope = json!({
        "type": "object",
        "required": ["method"],
        "properties": {
            "method": {"enum": ["info", "agent/run", "agent/connect", "agent/stop"]},
            "params": {
                "type": "object",
                "properties": {"agentId": {"type": "string"}, "threadId": {"type": "string"}},
            },
            "body": {"type": "object"},
        },
    });
    let agent = json!({
        "type": "object", "required": ["name", "description"],
        "properties": {"name": {"type": "string"}, "description": {"type": "string"}},
    });
    let info = json!({
        "type": "object",
        "required": ["version", "agents", "mode"],
        "properties": {
            "version": {"type": "string"},
            "agents": {"type": "object", "additionalProperties": agent},
            "mode": {"const": "sse"},
        },
    });
    [
        ("RunAgentInput", input),
        ("AguiStop", stop),
        ("AguiStopped", stopped),
        ("AguiEnvelope", envelope),
        ("AguiInfo", info),
    ]
}
