//! The [OpenAPI 3.1] document of the HTTP routes, assembled from the schemas of the types that the routes use.
//!
//! Guarantee: each route of the contract is listed with every response it can give; every error response is
//! a [`Problem`].
//!
//! [OpenAPI 3.1]: https://spec.openapis.org/oas/v3.1.0

mod agui;
mod routes;

use quintet_kernel::user::NewMessage;
use serde_json::{Map, Value, json};

use self::routes::{LEGACY_SOCKET, RequestBody, ResponseBody, Route, SOCKET, routes};
use super::{
    client::form::{AnswerForm, ThreadUpdateForm},
    http::{
        AgentsList, CallCompleted, EntriesPage, EntriesPageBefore, EntriesPageBeforeEnd, EntriesPageEnd,
        ExportEnd, ExportGap, ExportHeader, LoggedIn, LoginRequest, MessageAccepted, PAGE_ENTRIES_DEFAULT,
        PAGE_ENTRIES_MAX, RunCancelled, RunInfo, TicketIssued, TicketRequest,
    },
    problem::{PROBLEM_JSON, Problem},
    schema::{self, read, tagged, written},
    threads::{
        CallsPage, ErasureInfo, PAGE_CALLS_DEFAULT, PAGE_CALLS_MAX, PAGE_RUNS_DEFAULT, PAGE_RUNS_MAX,
        PAGE_THREADS_DEFAULT, PAGE_THREADS_MAX, RunsPage, RunsPageEnd, ThreadInfo, ThreadRun, ThreadsPage,
    },
};

/// Returns the document of `GET /openapi.json`.
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in routes().into_iter().chain(agui::routes()) {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(&route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Quintet",
            "version": super::server::PROTOCOL,
            "summary": "Delivers the events of every agent run to its owner: in legal order, durably, once.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "messages", "description": "Send messages and control their runs."},
            {"name": "log", "description": "Read the user's log."},
            {"name": "access", "description": "Credentials."},
            {"name": "agui", "description": "Front ends that speak AG-UI, such as CopilotKit."},
            {"name": "contract", "description": "The machine-readable contract."},
            {"name": "operations", "description": "Probes and metrics, on a separate listener."},
        ],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "The user id is the `sub` claim.",
                },
                "ticket": {
                    "type": "apiKey", "in": "query", "name": "ticket",
                    "description": "Opens one connection, for clients that cannot set a header (AUTH-1).",
                },
                "subprotocol": {
                    "type": "apiKey", "in": "header", "name": "Sec-WebSocket-Protocol",
                    "description": "`jwt-auth, jwt.<token>`, as the predecessor's clients offer it.",
                },
            },
            "schemas": schemas(),
            "parameters": parameters(),
            "responses": problems(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut responses = Map::new();
    let (status, description, answer) = &route.answer;
    let mut success = json!({"description": description});
    match answer {
        ResponseBody::Json(name) => {
            success["content"] = json!({"application/json": {"schema": component("schemas", name)}})
        }
        ResponseBody::JsonOneOf(names) => {
            success["content"] = json!({"application/json": {"schema": one_of(names)}})
        }
        ResponseBody::Lines(names) => {
            // OpenAPI 3.1 has no keyword for a sequence; the schema is that of one line.
            success["content"] = json!({"application/x-ndjson": {"schema": one_of(names)}})
        }
        ResponseBody::Text(media) => success["content"] = json!({*media: {}}),
        ResponseBody::Empty => {}
    }
    responses.insert(status.to_string(), success);
    for error in route.errors {
        responses.insert(error.to_string(), component("responses", &error.to_string()));
    }
    if route.tag == "operations" {
        for response in responses.values_mut() {
            // Probes read the status only.
            *response = json!({"description": response["description"].as_str().unwrap_or("Not ready"), "content": {"text/plain": {}}});
        }
    } else {
        responses.insert("default".to_owned(), component("responses", "500"));
    }
    let parameters: Vec<_> = route.parameters.iter().map(|name| component("parameters", name)).collect();
    let mut operation = json!({
        "operationId": route.id, "summary": route.summary, "tags": [route.tag],
        "parameters": parameters, "responses": responses,
    });
    match route.body {
        RequestBody::None => {}
        RequestBody::Optional(name) => operation["requestBody"] = request_body(name, false),
        RequestBody::Required(name) => operation["requestBody"] = request_body(name, true),
    }
    if route.path == SOCKET {
        // The empty alternative: the credential may also be in `hello`.
        operation["security"] = json!([{"bearer": []}, {"ticket": []}, {}]);
    } else if route.path == LEGACY_SOCKET {
        operation["security"] = json!([{"bearer": []}, {"ticket": []}, {"subprotocol": []}]);
        operation["deprecated"] = json!(true);
    } else if !needs_credential(route.path) {
        operation["security"] = json!([]);
    }
    if route.tag == "operations" {
        operation["servers"] = json!([{"url": "http://localhost:9090", "description": "`--admin-listen`"}]);
    }
    operation
}

/// Returns whether a route needs a credential.
fn needs_credential(path: &str) -> bool {
    path.starts_with("/v1/") || path == LEGACY_SOCKET || path == "/agui" || path.starts_with("/agui/")
}

fn request_body(name: &str, required: bool) -> Value {
    json!({"required": required, "content": {"application/json": {"schema": component("schemas", name)}}})
}

fn one_of(names: &[&str]) -> Value {
    let schemas: Vec<_> = names.iter().map(|name| component("schemas", name)).collect();
    json!({"oneOf": schemas})
}

fn component(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// Returns the named schemas of the document; those of entries have the entry's name.
fn schemas() -> Map<String, Value> {
    let named = [
        ("TicketRequest", read::<TicketRequest>()),
        ("TicketIssued", written::<TicketIssued>()),
        ("NewMessage", read::<NewMessage>()),
        ("MessageAccepted", written::<MessageAccepted>()),
        (
            "EntriesPage",
            page(written::<EntriesPage>(), written::<EntriesPageEnd>(), ("entries", "entry"), "next_after"),
        ),
        (
            "EntriesPageBefore",
            page(
                written::<EntriesPageBefore>(),
                written::<EntriesPageBeforeEnd>(),
                ("entries", "entry"),
                "next_before",
            ),
        ),
        ("ExportHeader", tagged("export", written::<ExportHeader>())),
        ("ExportGap", tagged("gap", written::<ExportGap>())),
        ("ExportEnd", tagged("export_end", written::<ExportEnd>())),
        ("ThreadsPage", written::<ThreadsPage>()),
        ("ThreadInfo", written::<ThreadInfo>()),
        (
            "RunsPage",
            page(written::<RunsPage>(), written::<RunsPageEnd>(), ("runs", "ThreadRun"), "next_before"),
        ),
        ("ThreadRun", written::<ThreadRun>()),
        ("CallsPage", written::<CallsPage>()),
        ("ErasureInfo", written::<ErasureInfo>()),
        ("RunInfo", written::<RunInfo>()),
        ("RunCancelled", written::<RunCancelled>()),
        ("Answer", read::<AnswerForm<'_>>()),
        ("ThreadUpdate", read::<ThreadUpdateForm<'_>>()),
        ("CallCompleted", written::<CallCompleted>()),
        ("AgentsList", written::<AgentsList>()),
        ("LoginRequest", read::<LoginRequest>()),
        ("LoggedIn", written::<LoggedIn>()),
        ("Problem", written::<Problem>()),
    ];
    let entries = schema::ENTRY.into_iter().filter_map(|name| Some((name, schema::frame(name)?)));
    let one_of: Vec<_> = schema::ENTRY.iter().map(|name| component("schemas", name)).collect();
    let mapping: Map<_, _> = schema::ENTRY
        .iter()
        .map(|name| (name.to_string(), json!(format!("#/components/schemas/{name}"))))
        .collect();
    let entry = json!({
        "description": "One entry of a user's log.", "oneOf": one_of,
        "discriminator": {"propertyName": "type", "mapping": mapping},
    });
    let all = named.into_iter().chain(agui::schemas()).chain(entries).chain([("entry", entry)]);
    all.map(|(name, schema)| (name.to_owned(), embedded(schema))).collect()
}

/// Joins the schemas of the two parts of a page around its items: the field of the items, and the schema of each. `next` is
/// the field of the second part.
fn page(mut page: Value, mut end: Value, (items, schema): (&str, &str), next: &str) -> Value {
    page["properties"][items] = json!({"type": "array", "items": component("schemas", schema)});
    page["properties"][next] = end["properties"][next].take();
    if let Some(required) = page["required"].as_array_mut() {
        required.extend([json!(items), json!(next)]);
    }
    page
}

/// Removes `$schema`, because the enclosing document names the dialect.
pub(super) fn embedded(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
    }
    schema
}

fn parameters() -> Value {
    let name = json!({"type": "string", "pattern": "^[!-~]{1,128}$"});
    let uuid = json!({"type": "string", "format": "uuid"});
    let offset = json!({"type": "integer", "format": "uint64", "minimum": 0});
    let path =
        |name: &str, schema: &Value| json!({"name": name, "in": "path", "required": true, "schema": schema});
    let query = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let limit =
        |default: u32, max: u32| json!({"type": "integer", "minimum": 1, "maximum": max, "default": default});
    let frames: Vec<_> = schema::names().collect();
    json!({
        "threadId": path("thread_id", &name),
        "agentName": path("agent_name", &name),
        "callId": path("call_id", &name),
        "runId": path("run_id", &uuid),
        "frame": path("frame", &json!({"enum": frames})),
        "after": query("after", "Entries after this offset.", offset.clone()),
        "cursorAfter": query(
            "after", "Entries after this offset; without it, entries from the head on.", offset.clone(),
        ),
        "cursorEpoch": query(
            "epoch", "The epoch of `after`.", json!({"type": "string", "pattern": "^[!-~]{1,64}$"}),
        ),
        "beforeEntry": query(
            "before", "The last entries before this offset, in ascending order; excludes `after`.", offset.clone(),
        ),
        "start": query(
            "start",
            "`head` starts at the head of the log and sends `ready` with its offset; excludes `after`.",
            json!({"enum": ["beginning", "head"], "default": "beginning"}),
        ),
        "threadsBefore": query("before", "Threads whose last entry is before this offset.", offset.clone()),
        "archived": query("archived", "Only threads that are archived, or are not.", json!({"type": "boolean"})),
        "runsBefore": query("before", "Runs whose message is before this offset.", offset.clone()),
        "runsLimit": query("limit", "Runs on the page.", limit(PAGE_RUNS_DEFAULT, PAGE_RUNS_MAX)),
        "open": {
            "name": "open", "in": "query", "required": true, "schema": {"const": true},
            "description": "Calls that wait for an answer. No other calls can be listed.",
        },
        "callsAfter": query("after", "Calls whose `tool_executing` is after this offset.", offset),
        "callsLimit": query("limit", "Calls on the page.", limit(PAGE_CALLS_DEFAULT, PAGE_CALLS_MAX)),
        "entriesLimit": query("limit", "Entries on the page.", limit(PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX)),
        "threadsLimit": query("limit", "Threads on the page.", limit(PAGE_THREADS_DEFAULT, PAGE_THREADS_MAX)),
        "lastEventId": {
            "name": "Last-Event-ID", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,64}:[0-9]+$"},
            "description": "The `id` of the last event applied, `epoch:offset`; takes precedence over `after` and `start`.",
        },
    })
}

/// Returns the error responses, by status.
fn problems() -> Map<String, Value> {
    let statuses = [
        (400, "The request is malformed, or names an unknown agent"),
        (401, "No valid credential"),
        (403, "The origin or the credential is not allowed"),
        (404, "The resource does not exist, or belongs to another user"),
        (408, "The body was not received in time"),
        (409, "The thread is busy, the run has ended, or the call is closed"),
        (413, "The body or a field of it is too large"),
        (415, "The body is not `application/json`"),
        (426, "The request asks for no WebSocket, or for another version of the protocol than 13"),
        (429, "Too many requests, or a limit of the user is reached"),
        (500, "An internal error"),
        (503, "Draining, or the journal is unavailable; retrying the same request is safe"),
    ];
    let response = |status: u16, description: &str| {
        let schema = component("schemas", "Problem");
        let mut response = json!({"description": description, "content": {PROBLEM_JSON: {"schema": schema}}});
        if [429, 503].contains(&status) {
            response["headers"] = json!({"Retry-After": {
                "description": "Seconds, rounded up.", "schema": {"type": "integer", "minimum": 0},
            }});
        }
        response
    };
    statuses.into_iter().map(|(status, text)| (status.to_string(), response(status, text))).collect()
}

#[cfg(test)]
mod tests;
