//! The list of a server's tools.
//!
//! Guarantees: at most `tools_max` tools, with names that are unique and fit into `server/tool`, bounded descriptions,
//! and schemas that are objects of bounded length. A tool that does not fit is left out; the others stay.

use std::collections::{BTreeSet, HashSet};

use quintet_kernel::json::Json;
use rmcp::{
    Peer, RoleClient,
    model::{ClientRequest, ListToolsRequest, PaginatedRequestParams},
    service::{PeerRequestOptions, ServiceError},
};
use serde_json::{Value, json};

use crate::{config::ServerConfig, results::clipped};

/// One tool of a server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolSpec {
    /// The name at the server.
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) schema: Value,
    /// True if a call may be repeated after a crash (RUN-9).
    pub(crate) is_idempotent: bool,
}

/// The tools of a server, and the number of those left out by reason.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) tools: Vec<ToolSpec>,
    pub(crate) left_out: BTreeSet<(&'static str, String)>,
    names: HashSet<String>,
}

/// The reason for which there is no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// The request failed.
    #[error("{}", failure(.0))]
    Request(#[from] ServiceError),
    /// The result is not a list of tools.
    #[error("the server's list of tools is malformed")]
    Malformed,
    /// The server closed the connection.
    #[error("the connection ended")]
    Closed,
}

/// Lists the tools, page by page.
pub(crate) async fn list(peer: &Peer<RoleClient>, config: &ServerConfig) -> Result<Catalog, ListError> {
    let mut catalog = Catalog::default();
    let mut cursors: HashSet<String> = HashSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let params = PaginatedRequestParams::default().with_cursor(cursor.take());
        let request = ClientRequest::ListToolsRequest(ListToolsRequest::with_param(params));
        let sent = peer.send_request_with_option(request, PeerRequestOptions::no_options()).await?;
        let result = sent.rx.await.map_err(|_| ListError::Closed)??;
        // As JSON, since one malformed tool makes the typed list fail as a whole.
        let mut page = serde_json::to_value(result).map_err(|_| ListError::Malformed)?;
        let Some(Value::Array(tools)) = page.get_mut("tools").map(Value::take) else {
            return Err(ListError::Malformed);
        };
        for tool in tools {
            catalog.add(tool, config);
        }
        match page.get_mut("nextCursor").map(Value::take) {
            Some(Value::String(next)) if !catalog.is_full(config) && cursors.insert(next.clone()) => {
                cursor = Some(next);
            }
            _ => return Ok(catalog),
        }
        if cursors.len() > config.limits.tools_max {
            return Ok(catalog);
        }
    }
}

impl Catalog {
    fn is_full(&self, config: &ServerConfig) -> bool {
        self.tools.len() >= config.limits.tools_max
    }

    fn add(&mut self, tool: Value, config: &ServerConfig) {
        let name = tool["name"].as_str().unwrap_or_default().to_owned();
        match self.checked(name, tool, config) {
            Ok(None) => {}
            Ok(Some(spec)) => {
                self.names.insert(spec.name.clone());
                self.tools.push(spec);
            }
            Err((why, name)) => {
                if self.left_out.len() < LEFT_OUT_MAX {
                    self.left_out.insert((why, clipped(&name, LOGGED_NAME_BYTES_MAX)));
                }
            }
        }
    }

    /// Returns a tool, `None` if it is not for agents, or the reason for which it is left out.
    fn checked(
        &self,
        name: String,
        mut tool: Value,
        config: &ServerConfig,
    ) -> Result<Option<ToolSpec>, (&'static str, String)> {
        let limits = &config.limits;
        let is_visible = name.bytes().all(|byte| byte.is_ascii_graphic());
        if name.is_empty() || !is_visible || full_name(config, &name).len() > TOOL_NAME_BYTES_MAX {
            return Err(("its name is not usable", name));
        }
        if !config.is_allowed(&name) {
            return Ok(None);
        }
        if self.names.contains(&name) {
            return Err(("its name is not unique", name));
        }
        if self.is_full(config) {
            return Err(("there are more than tools_max", name));
        }
        let mut schema = tool.get_mut("inputSchema").map(Value::take).unwrap_or_default();
        match schema.as_object_mut() {
            Some(object) if object.is_empty() => schema = json!({"type": "object"}),
            Some(object) => match object.get("type") {
                None => drop(object.insert("type".to_owned(), "object".into())),
                Some(kind) if kind == "object" => {}
                Some(_) => return Err(("its schema is not one of an object", name)),
            },
            None => return Err(("its schema is not an object", name)),
        }
        let text = schema.to_string();
        if text.len() > limits.schema_bytes_max {
            return Err(("its schema is longer than schema_bytes_max", name));
        }
        if Json::parse(&text).is_err() {
            return Err(("its schema is nested too deeply", name));
        }
        let described = tool["description"].as_str().or(tool["title"].as_str()).unwrap_or_default();
        let description = clipped(described.trim(), limits.description_bytes_max);
        let hint = |name: &str| tool["annotations"][name].as_bool() == Some(true);
        // The hints of a server that the operator does not trust mean nothing (RUN-9).
        let is_idempotent = config.trust_hints && (hint("readOnlyHint") || hint("idempotentHint"));
        Ok(Some(ToolSpec { name, description, schema, is_idempotent }))
    }
}

/// Returns the name of a tool as agents see it.
pub(crate) fn full_name(config: &ServerConfig, tool: &str) -> String {
    format!("{}/{tool}", config.name)
}

/// Formats a failure of a request without texts of the server, which may be those of users.
pub(crate) fn failure(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(error) => format!("the server answered with error {}", error.code.0),
        ServiceError::TransportSend(_) if error.is_authorization_required() => {
            "the server refused the credentials".to_owned()
        }
        ServiceError::TransportSend(_) => "the request could not be sent".to_owned(),
        ServiceError::TransportClosed => "the connection ended".to_owned(),
        ServiceError::Cancelled { .. } => "the request was cancelled".to_owned(),
        ServiceError::Timeout { .. } => "the request took too long".to_owned(),
        _ => "the server's answer has an unexpected form".to_owned(),
    }
}

/// Longest name of a tool, in bytes, as the log of a run allows.
const TOOL_NAME_BYTES_MAX: usize = 128;

/// Tools left out that are named in the log.
const LEFT_OUT_MAX: usize = 16;

/// Longest name of a tool in the log, in bytes.
const LOGGED_NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(keys: Value) -> ServerConfig {
        let mut config = json!({"name": "s", "command": ["x"]});
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        serde_json::from_value(config).unwrap()
    }

    fn catalog(config: &ServerConfig, tools: Value) -> Catalog {
        let mut catalog = Catalog::default();
        for tool in tools.as_array().unwrap() {
            catalog.add(tool.clone(), config);
        }
        catalog
    }

    fn names(catalog: &Catalog) -> Vec<&str> {
        catalog.tools.iter().map(|tool| tool.name.as_str()).collect()
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_rest_stays() {
        let config = config(json!({"schema_bytes_max": 100, "deny": ["danger*"]}));
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        let schema = json!({"type": "object"});
        let tools = json!([
            {"name": "good", "description": " ok ", "inputSchema": schema},
            {"name": "good", "description": "again", "inputSchema": schema},
            {"name": "danger_zone", "inputSchema": schema},
            {"name": "a b", "inputSchema": schema},
            {"name": "", "inputSchema": schema},
            {"name": "x".repeat(127), "inputSchema": schema},
            {"name": "no_schema"},
            {"name": "list", "inputSchema": []},
            {"name": "array", "inputSchema": {"type": "array"}},
            {"name": "long", "inputSchema": {"title": "x".repeat(100)}},
            {"name": "deep", "inputSchema": {"default": deep}},
            {"name": "bare", "inputSchema": {}},
            {"name": 7},
            "tool",
            {"name": "untyped", "inputSchema": {"properties": {}}},
        ]);
        let catalog = catalog(&config, tools);
        assert_eq!(names(&catalog), ["good", "bare", "untyped"]);
        assert_eq!(catalog.tools[0].description, "ok");
        assert_eq!(catalog.tools[1].schema, json!({"type": "object"}));
        assert_eq!(catalog.tools[2].schema, json!({"type": "object", "properties": {}}));
        assert!(catalog.left_out.contains(&("its name is not unique", "good".to_owned())));
        assert!(catalog.left_out.iter().all(|(_, name)| name != "danger_zone"));
    }

    #[test]
    fn a_thousand_tools_are_cut_at_the_limit() {
        let config = config(json!({"tools_max": 10, "description_bytes_max": 16}));
        let tools: Vec<Value> = (0..1000)
            .map(|n| json!({"name": format!("t{n}"), "description": "é".repeat(99), "inputSchema": {}}))
            .collect();
        let catalog = catalog(&config, json!(tools));
        assert_eq!(catalog.tools.len(), 10);
        assert_eq!(catalog.tools[0].description, "éééééééé…");
        assert_eq!(catalog.left_out.len(), LEFT_OUT_MAX);
    }

    #[test]
    fn run_9_hints_count_only_for_a_trusted_server() {
        let tools = json!([
            {"name": "read", "inputSchema": {}, "annotations": {"readOnlyHint": true}},
            {"name": "put", "inputSchema": {}, "annotations": {"idempotentHint": true}},
            {"name": "post", "inputSchema": {}, "annotations": {"idempotentHint": "true"}},
        ]);
        let idempotent = |trust: bool| {
            let catalog = catalog(&config(json!({"trust_hints": trust})), tools.clone());
            catalog.tools.iter().map(|tool| tool.is_idempotent).collect::<Vec<_>>()
        };
        assert_eq!(idempotent(true), [true, true, false]);
        assert_eq!(idempotent(false), [false, false, false]);
    }

    proptest! {
        #[test]
        fn names_of_tools_are_valid_and_unique(given in prop::collection::vec("[a-c é\n]{0,3}", 0..40)) {
            let config = config(json!({}));
            let tools: Vec<Value> = given.iter().map(|name| json!({"name": name, "inputSchema": {}})).collect();
            let catalog = catalog(&config, json!(tools));
            let unique: HashSet<&str> = names(&catalog).into_iter().collect();
            prop_assert_eq!(unique.len(), catalog.tools.len());
            for name in unique {
                let full = full_name(&config, name);
                prop_assert!(full.len() <= 128 && full.bytes().all(|byte| byte.is_ascii_graphic()), "{full}");
            }
        }
    }
}
