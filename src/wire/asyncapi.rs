//! The [AsyncAPI 3.0] document of the WebSocket and the event stream, assembled from the schemas of the frames.
//!
//! [AsyncAPI 3.0]: https://www.asyncapi.com/docs/reference/specification/v3.0.0

use serde_json::{Map, Value, json};

use super::{
    openapi::embedded,
    schema::{self, CLIENT, ENTRY, SERVER},
    server::PROTOCOL,
};

/// Returns the document of `GET /asyncapi.json`.
pub fn document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Quintet",
            "version": PROTOCOL,
            "description": "The user's log as a live stream: entries in `offset` order, each once, without a gap.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "websocket": {"host": "localhost:8080", "protocol": "ws", "security": security()},
            "http": {"host": "localhost:8080", "protocol": "http", "security": security()},
        },
        "channels": {
            "socket": {
                "address": "/v1/ws",
                "description": "Text frames of UTF-8 JSON, one object a frame, tagged by `type`.",
                "servers": [{"$ref": "#/servers/websocket"}],
                "messages": channel_messages(CLIENT.iter().chain(&SERVER).chain(&ENTRY)),
                "bindings": {"ws": {"method": "GET", "query": {
                    "type": "object", "properties": {"ticket": {"type": "string"}},
                }}},
            },
            "stream": {
                "address": "/v1/stream",
                "description": "Server-sent events: `id` is `epoch:offset`, `event` the entry's type, `data` the entry. \
                    An event `gap` with `{from, to}` takes the place of missing entries; with `start=head`, an event `ready` with \
                    `{resumed_after, head}` comes first.",
                "servers": [{"$ref": "#/servers/http"}],
                "messages": channel_messages(ENTRY.iter()),
            },
        },
        "operations": {
            "fromClient": {
                "action": "receive",
                "channel": {"$ref": "#/channels/socket"},
                "summary": "`hello` first, exactly once; then the others in any order.",
                "messages": operation_messages("socket", CLIENT.iter()),
            },
            "toClient": {
                "action": "send",
                "channel": {"$ref": "#/channels/socket"},
                "summary": "`ready` first, then the entries after the cursor, `caught_up`, and live entries.",
                "messages": operation_messages("socket", SERVER.iter().chain(&ENTRY)),
            },
            "toReader": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "summary": "The entries after the cursor, then live entries.",
                "messages": operation_messages("stream", ENTRY.iter()),
            },
        },
        "components": {
            "messages": messages(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "ticket": {"type": "httpApiKey", "in": "query", "name": "ticket"},
            },
        },
    })
}

fn security() -> Value {
    json!([{"$ref": "#/components/securitySchemes/bearer"}, {"$ref": "#/components/securitySchemes/ticket"}])
}

fn messages() -> Map<String, Value> {
    let names = CLIENT.iter().chain(&SERVER).chain(&ENTRY);
    let message = |name: &'static str| {
        let payload = embedded(schema::frame(name)?);
        let summary = payload["description"].clone();
        Some((name.to_owned(), json!({"name": name, "summary": summary, "payload": payload})))
    };
    names.filter_map(|name| message(name)).collect()
}

fn channel_messages<'a>(names: impl Iterator<Item = &'a &'static str>) -> Map<String, Value> {
    names.map(|name| (name.to_string(), json!({"$ref": format!("#/components/messages/{name}")}))).collect()
}

fn operation_messages<'a>(channel: &str, names: impl Iterator<Item = &'a &'static str>) -> Vec<Value> {
    names.map(|name| json!({"$ref": format!("#/channels/{channel}/messages/{name}")})).collect()
}
