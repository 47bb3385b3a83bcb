//! The frames as [JSON Schema, draft 2020-12], generated from the types that encode and decode them.
//!
//! Guarantee: each schema is self-contained, fixes `type` to its frame's name, and allows unknown fields.
//!
//! [JSON Schema, draft 2020-12]: https://json-schema.org/draft/2020-12

use std::{collections::BTreeMap, sync::LazyLock};

use quintet_kernel::user::NewMessage;
use schemars::{
    JsonSchema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Map, Value, json};

use super::{
    client::form::{CallForm, CancelForm, EraseForm, HelloForm, PingForm, RenewForm, UpdateForm},
    server::{Accepted, CaughtUp, Draining, Error, Pong, Ready, Renewed},
    shapes::{
        AgentCompleted, AgentStarted, AgentThinking, Erased, LogErased, ThreadErased, ThreadUpdated,
        ToolCompleted, ToolExecuting, UserMessage,
    },
};

/// Returns the schema of `/schema/{name}.json`, or `None` for an unknown name. A name is that of a frame or
/// entry, or of a union: `client` (frames from clients), `entry` (entries of a log), `server` (frames and
/// entries from the service).
pub fn frame(name: &str) -> Option<Value> {
    SCHEMAS.get(name).cloned()
}

/// Returns every name for which [`frame`] has a schema.
pub fn names() -> impl Iterator<Item = &'static str> {
    SCHEMAS.keys().copied()
}

/// The names of client frames.
pub const CLIENT: [&str; 8] = [
    "hello",
    "send_message",
    "cancel_run",
    "complete_call",
    "update_thread",
    "erase_thread",
    "renew",
    "ping",
];
/// The names of the service's frames that are not entries.
pub const SERVER: [&str; 7] = ["ready", "caught_up", "accepted", "error", "renewed", "pong", "draining"];
/// The names of entries.
pub const ENTRY: [&str; 10] = [
    "user_message",
    "agent_started",
    "agent_thinking",
    "tool_executing",
    "tool_completed",
    "agent_completed",
    "thread_updated",
    "thread_erased",
    "log_erased",
    "erased",
];

static SCHEMAS: LazyLock<BTreeMap<&'static str, Value>> = LazyLock::new(|| {
    let mut schemas = BTreeMap::from([
        ("hello", tagged("hello", read::<HelloForm<'_>>())),
        ("send_message", tagged("send_message", read::<NewMessage>())),
        ("cancel_run", tagged("cancel_run", read::<CancelForm>())),
        ("complete_call", tagged("complete_call", read::<CallForm<'_>>())),
        ("update_thread", tagged("update_thread", read::<UpdateForm<'_>>())),
        ("erase_thread", tagged("erase_thread", read::<EraseForm<'_>>())),
        ("renew", tagged("renew", read::<RenewForm<'_>>())),
        ("ping", tagged("ping", read::<PingForm<'_>>())),
        ("ready", tagged("ready", written::<Ready>())),
        ("caught_up", tagged("caught_up", written::<CaughtUp>())),
        ("accepted", tagged("accepted", written::<Accepted>())),
        ("error", tagged("error", written::<Error>())),
        ("renewed", tagged("renewed", written::<Renewed>())),
        ("pong", tagged("pong", written::<Pong>())),
        ("draining", tagged("draining", written::<Draining>())),
        ("user_message", tagged("user_message", written::<UserMessage<'_>>())),
        ("agent_started", tagged("agent_started", written::<AgentStarted<'_>>())),
        ("agent_thinking", tagged("agent_thinking", written::<AgentThinking<'_>>())),
        ("tool_executing", tagged("tool_executing", written::<ToolExecuting<'_>>())),
        ("tool_completed", tagged("tool_completed", written::<ToolCompleted<'_>>())),
        ("agent_completed", tagged("agent_completed", written::<AgentCompleted<'_>>())),
        ("thread_updated", tagged("thread_updated", written::<ThreadUpdated<'_>>())),
        ("thread_erased", tagged("thread_erased", written::<ThreadErased<'_>>())),
        ("log_erased", tagged("log_erased", written::<LogErased<'_>>())),
        ("erased", tagged("erased", written::<Erased>())),
    ]);
    let client = union("client", "A frame from a client.", &schemas, &CLIENT);
    let entry = union("entry", "One entry of a user's log.", &schemas, &ENTRY);
    let server =
        union("server", "A frame or entry from the service.", &schemas, &[&SERVER[..], &ENTRY].concat());
    schemas.extend([("client", client), ("entry", entry), ("server", server)]);
    schemas
});

/// Returns the schema of a type that the service decodes; an optional field may be null.
pub(super) fn read<T: JsonSchema>() -> Value {
    generate::<T>(Contract::Deserialize)
}

/// Returns the schema of a type that the service encodes.
pub(super) fn written<T: JsonSchema>() -> Value {
    generate::<T>(Contract::Serialize)
}

fn generate<T: JsonSchema>(contract: Contract) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.contract = contract;
    });
    SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value()
}

/// Adds the `type` tag to the schema of a frame's fields.
pub(crate) fn tagged(name: &'static str, mut schema: Value) -> Value {
    let object = schema.as_object_mut().expect("a struct has an object for a schema");
    object.insert("title".to_owned(), json!(name));
    let properties = object.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("type".to_owned(), json!({"const": name}));
    }
    let required = object.entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut() {
        required.insert(0, json!("type"));
    }
    schema
}

fn union(
    name: &str,
    description: &str,
    schemas: &BTreeMap<&'static str, Value>,
    names: &[&'static str],
) -> Value {
    let mut defs = Map::new();
    for name in names {
        let mut schema = schemas[name].clone();
        if let Some(object) = schema.as_object_mut() {
            object.remove("$schema");
        }
        defs.insert((*name).to_owned(), schema);
    }
    let one_of: Vec<_> = names.iter().map(|name| json!({"$ref": format!("#/$defs/{name}")})).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name, "description": description, "oneOf": one_of, "$defs": defs,
    })
}

#[cfg(test)]
mod tests;
