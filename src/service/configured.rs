//! The agents of the settings: language models, remote agents, and the MCP servers whose tools the models call.
//!
//! Guarantee: all tables are checked before anything starts, and an error names the table and what to change.

use std::sync::Arc;

#[cfg(feature = "llm")]
use quintet_llm::{ApiKind, ModelAgent, ModelConfig};
#[cfg(any(feature = "llm", feature = "mcp", feature = "agui"))]
use quintet_upstream::{HttpClient, HttpOptions};
#[cfg(any(feature = "agui", feature = "llm", feature = "mcp"))]
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ServiceError;
use crate::{
    agent::{Agent, Tool, ToolSource},
    ops::config::{AgentSettings, agents::AgentTable},
};

/// The agents that the settings name, checked.
pub(crate) struct ConfiguredAgents {
    #[cfg(any(feature = "llm", feature = "mcp", feature = "agui"))]
    http: HttpClient,
    #[cfg(feature = "llm")]
    models: Vec<ModelConfig>,
    #[cfg(feature = "agui")]
    remotes: Vec<quintet_agui::RemoteConfig>,
    #[cfg(feature = "mcp")]
    servers: Vec<quintet_mcp::ServerConfig>,
}

/// The agents of the settings, and the sources of their tools.
pub(crate) struct Started {
    pub(crate) agents: Vec<Arc<dyn Agent>>,
    pub(crate) sources: Vec<Arc<dyn ToolSource>>,
}

/// The name of the built-in assistant, and of an agent that takes its place.
pub(crate) const ASSISTANT: &str = "assistant";

impl ConfiguredAgents {
    /// Checks the settings.
    ///
    /// # Errors
    /// When a table has an unknown or invalid key, or this program is built without what it needs.
    pub(crate) fn check(settings: &AgentSettings) -> Result<Self, ServiceError> {
        let mut configured = Self {
            #[cfg(any(feature = "llm", feature = "mcp", feature = "agui"))]
            http: http(settings)?,
            #[cfg(feature = "llm")]
            models: Vec::new(),
            #[cfg(feature = "agui")]
            remotes: Vec::new(),
            #[cfg(feature = "mcp")]
            servers: Vec::new(),
        };
        for (place, table) in settings.agents.iter().enumerate() {
            let table = Table::new("agents", place, table);
            let mut keys = table.keys.clone();
            match keys.remove("kind").as_ref().and_then(Value::as_str) {
                Some("model") => configured.add_model(&table, keys)?,
                Some("agui") => configured.add_remote(&table, keys)?,
                _ => return Err(table.error("its `kind` is \"model\" or \"agui\"")),
            }
        }
        for (place, table) in settings.mcp_servers.iter().enumerate() {
            configured.add_server(&Table::new("mcp_servers", place, table))?;
        }
        configured.add_model_of_settings(settings)?;
        Ok(configured)
    }

    /// Creates the agents, the models first, and starts the tool servers, which are returned as well. `tools` are those
    /// of the program.
    /// Must be called within the runtime of the agents.
    ///
    /// # Errors
    /// When a key cannot be read, or a value does not fit the tools.
    #[cfg_attr(not(feature = "llm"), expect(unused_variables, reason = "models alone use the tools"))]
    pub(crate) fn start(self, tools: &[Arc<dyn Tool>]) -> Result<Started, ServiceError> {
        #[cfg_attr(
            not(any(feature = "llm", feature = "agui")),
            expect(unused_mut, reason = "no agent can be configured")
        )]
        let mut agents: Vec<Arc<dyn Agent>> = Vec::new();
        let sources: Vec<Arc<dyn ToolSource>> = Vec::new();
        #[cfg(feature = "mcp")]
        let sources = {
            let mut sources = sources;
            for server in self.servers {
                let name = server.name.clone();
                let started = quintet_mcp::McpServer::start(server, self.http.clone());
                let started = started.map_err(|error| named(&format!("[[mcp_servers]] {name:?}"), error))?;
                sources.push(Arc::new(started) as Arc<dyn ToolSource>);
            }
            sources
        };
        #[cfg(feature = "llm")]
        let ledger = quintet_llm::Ledger::default();
        #[cfg(feature = "llm")]
        for model in self.models {
            let name = model.name.clone();
            let agent = ModelAgent::new(model, tools.to_vec(), sources.clone(), self.http.clone())
                .map_err(|error| named(&format!("agent {name:?}"), error))?;
            agents.push(Arc::new(agent.with_ledger(ledger.clone())));
        }
        #[cfg(feature = "agui")]
        for remote in self.remotes {
            let name = remote.name().to_owned();
            let agent = quintet_agui::RemoteAgent::new(remote, self.http.clone());
            agents.push(Arc::new(agent.map_err(|error| named(&format!("agent {name:?}"), error))?));
        }
        Ok(Started { agents, sources })
    }

    #[cfg(feature = "llm")]
    fn add_model(&mut self, table: &Table<'_>, keys: Map<String, Value>) -> Result<(), ServiceError> {
        self.models.push(table.parse(keys)?);
        Ok(())
    }

    #[cfg(not(feature = "llm"))]
    fn add_model(&mut self, table: &Table<'_>, _: Map<String, Value>) -> Result<(), ServiceError> {
        Err(table.without("llm"))
    }

    /// Adds the model of `llm_url`, which takes the place of the assistant, with all tools.
    #[cfg(feature = "llm")]
    fn add_model_of_settings(&mut self, settings: &AgentSettings) -> Result<(), ServiceError> {
        let (Some(url), Some(model)) = (&settings.llm_url, &settings.llm_model) else { return Ok(()) };
        let invalid = |error: &dyn std::fmt::Display| named("llm_url", error);
        let api = match &settings.llm_api {
            Some(api) => serde_json::from_value(Value::from(&**api)).map_err(|error| invalid(&error))?,
            None => ApiKind::OpenaiChat,
        };
        let url = url::Url::parse(url).map_err(|error| invalid(&error))?;
        let mut config = ModelConfig::new(ASSISTANT, api, url, model);
        config.key_file = settings.llm_key_file.clone();
        config.key = match &settings.llm_key {
            Some(key) => {
                Some(quintet_upstream::Secret::new(&*key.0, "llm_key").map_err(|error| invalid(&error))?)
            }
            None => None,
        };
        config.tools = vec![crate::agent::ToolPattern::new("*")];
        self.models.insert(0, config);
        Ok(())
    }

    #[cfg(not(feature = "llm"))]
    fn add_model_of_settings(&mut self, settings: &AgentSettings) -> Result<(), ServiceError> {
        match &settings.llm_url {
            Some(_) => Err(named("llm_url", "this program is built without the feature `llm`")),
            None => Ok(()),
        }
    }

    #[cfg(feature = "agui")]
    fn add_remote(&mut self, table: &Table<'_>, keys: Map<String, Value>) -> Result<(), ServiceError> {
        self.remotes.push(table.parse(keys)?);
        Ok(())
    }

    #[cfg(not(feature = "agui"))]
    fn add_remote(&mut self, table: &Table<'_>, _: Map<String, Value>) -> Result<(), ServiceError> {
        Err(table.without("agui"))
    }

    #[cfg(feature = "mcp")]
    fn add_server(&mut self, table: &Table<'_>) -> Result<(), ServiceError> {
        let server: quintet_mcp::ServerConfig = table.parse(table.keys.clone())?;
        // The names of its tools begin with it.
        if self.servers.iter().any(|other| other.name == server.name) {
            return Err(table.error("another MCP server has this name"));
        }
        self.servers.push(server);
        Ok(())
    }

    #[cfg(not(feature = "mcp"))]
    fn add_server(&mut self, table: &Table<'_>) -> Result<(), ServiceError> {
        Err(table.without("mcp"))
    }
}

/// One table of the configuration file.
struct Table<'a> {
    /// How an error names it.
    name: String,
    keys: &'a Map<String, Value>,
}

impl<'a> Table<'a> {
    fn new(array: &str, place: usize, table: &'a AgentTable) -> Self {
        let name = match table.0.get("name").and_then(Value::as_str) {
            Some(name) => format!("[[{array}]] {name:?}"),
            None => format!("[[{array}]], number {}", place + 1),
        };
        Self { name, keys: &table.0 }
    }

    #[cfg(any(feature = "agui", feature = "llm", feature = "mcp"))]
    fn parse<T: DeserializeOwned>(&self, keys: Map<String, Value>) -> Result<T, ServiceError> {
        serde_json::from_value(Value::Object(keys)).map_err(|error| self.error(error))
    }

    fn error(&self, why: impl std::fmt::Display) -> ServiceError {
        named(&self.name, why)
    }

    #[cfg(not(all(feature = "llm", feature = "mcp", feature = "agui")))]
    fn without(&self, feature: &str) -> ServiceError {
        self.error(format!("this program is built without the feature `{feature}`"))
    }
}

fn named(name: &str, why: impl std::fmt::Display) -> ServiceError {
    ServiceError::Agent { name: name.to_owned(), why: why.to_string() }
}

/// Builds the client of all upstreams.
#[cfg(any(feature = "llm", feature = "mcp", feature = "agui"))]
fn http(settings: &AgentSettings) -> Result<HttpClient, ServiceError> {
    let proxy = settings.upstream_proxy.as_deref().map(url::Url::parse).transpose();
    let proxy = proxy.map_err(|error| named("upstream_proxy", error))?;
    let ca_file = settings.upstream_ca_file.clone();
    let options = HttpOptions { proxy, ca_file, ..HttpOptions::default() };
    HttpClient::new(&options).map_err(|error| named("upstream_ca_file, upstream_proxy", error))
}
