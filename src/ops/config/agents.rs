//! The agents and tool servers of the configuration file, `[[agents]]` and `[[mcp_servers]]`, and the settings of one
//! language model.
//!
//! Guarantee: a key is never the value of a flag, which every user of the machine could read in the list of processes.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::{
    Raw, Settings,
    setting::Setting,
    value::{quoted, without_secrets},
};

/// One table of the file. Its keys are checked when the service is built, by the package of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTable(pub Map<String, Value>);

/// The settings of agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSettings {
    /// The `[[agents]]` of the file.
    pub agents: Vec<AgentTable>,
    /// The `[[mcp_servers]]` of the file.
    pub mcp_servers: Vec<AgentTable>,
    /// The default agent; `None` for the assistant.
    pub default_agent: Option<String>,
    /// Address of the language model that takes the place of the built-in assistant.
    pub llm_url: Option<String>,
    /// Its name at that address.
    pub llm_model: Option<String>,
    /// Its interface.
    pub llm_api: Option<String>,
    /// File with its key.
    pub llm_key_file: Option<PathBuf>,
    /// Its key, from a variable or the configuration file.
    pub llm_key: Option<Key>,
    /// Proxy of all requests to models, tool servers and remote agents.
    pub upstream_proxy: Option<String>,
    /// File with further certificate authorities for them.
    pub upstream_ca_file: Option<PathBuf>,
}

/// A key. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub String);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The setting whose value is a key.
pub const KEY: &str = "llm_key";

/// The array of tables of agents.
pub const AGENTS: &str = "agents";
/// The array of tables of MCP servers.
pub const MCP_SERVERS: &str = "mcp_servers";

impl AgentSettings {
    /// Takes an array of tables of the file.
    ///
    /// # Errors
    /// When the value is another one. The error text completes a sentence that begins with the name.
    pub fn take(&mut self, name: &str, value: &toml::Value) -> Result<(), String> {
        let needed = || format!("is not an array of tables; write [[{name}]]");
        let items = value.as_array().ok_or_else(needed)?;
        let tables: Option<Vec<AgentTable>> = items.iter().map(|item| table(item.as_table()?)).collect();
        let tables = tables.ok_or_else(needed)?;
        if tables.len() > TABLES_MAX {
            return Err(format!("has {} tables; at most {TABLES_MAX} are possible", tables.len()));
        }
        match name {
            AGENTS => self.agents = tables,
            _ => self.mcp_servers = tables,
        }
        Ok(())
    }

    /// Formats the tables as comments for `check-config`: their names and kinds.
    pub fn show(&self) -> String {
        let name = |table: &AgentTable| match table.0.get("name").and_then(Value::as_str) {
            Some(name) => format!("{name:?}"),
            None => "without a name".to_owned(),
        };
        let mut shown = String::new();
        for table in &self.agents {
            let kind = table.0.get("kind").and_then(Value::as_str).unwrap_or("without a kind");
            shown.push_str(&format!("# [[agents]] {}: {kind}\n", name(table)));
        }
        for table in &self.mcp_servers {
            shown.push_str(&format!("# [[mcp_servers]] {}\n", name(table)));
        }
        shown
    }
}

fn table(table: &toml::Table) -> Option<AgentTable> {
    // Everything in TOML but a date is also in JSON.
    match serde_json::to_value(table).ok()? {
        Value::Object(map) => Some(AgentTable(map)),
        _ => None,
    }
}

/// Returns the settings in this module that are single values.
pub fn rows() -> Vec<Setting> {
    vec![
        Setting {
            name: "default_agent",
            doc: "The agent of messages without an `agent_name`. Default: `assistant`.",
            range: "the name of an agent".to_owned(),
            read: Box::new(|s| s.agent_settings.default_agent.clone().map(quoted)),
            write: Box::new(|s, raw| raw.text().map(|name| s.agent_settings.default_agent = Some(name))),
        },
        Setting {
            name: "llm_url",
            doc: "Address of a language model, which then takes the place of the built-in assistant, with the same tools. Needs `llm_model`. More models are `[[agents]]` of the configuration file.",
            range: "an http or https URL, as `http://127.0.0.1:11434/v1`".to_owned(),
            read: Box::new(|s| s.agent_settings.llm_url.as_deref().map(|url| quoted(without_secrets(url)))),
            write: Box::new(|s, raw| http_url(raw).map(|url| s.agent_settings.llm_url = Some(url))),
        },
        Setting {
            name: "llm_model",
            doc: "Name of the model at `llm_url`.",
            range: "text".to_owned(),
            read: Box::new(|s| s.agent_settings.llm_model.clone().map(quoted)),
            write: Box::new(|s, raw| raw.text().map(|model| s.agent_settings.llm_model = Some(model))),
        },
        Setting {
            name: "llm_api",
            doc: "Interface of the model at `llm_url`. Default: `openai-chat`, which Ollama, vLLM, llama.cpp and most gateways have.",
            range: "`openai-chat`, `openai-responses` or `anthropic`".to_owned(),
            read: Box::new(|s| s.agent_settings.llm_api.clone().map(quoted)),
            write: Box::new(|s, raw| {
                let api = raw.text()?;
                if !APIS.contains(&&*api) {
                    return Err(format!("is {api:?}; one of {} is needed", APIS.join(", ")));
                }
                s.agent_settings.llm_api = Some(api);
                Ok(())
            }),
        },
        Setting {
            name: "llm_key_file",
            doc: "File with the key for `llm_url`, one line.",
            range: "a path".to_owned(),
            read: Box::new(|s| path(s.agent_settings.llm_key_file.as_ref())),
            write: Box::new(|s, raw| {
                raw.text().map(|path| s.agent_settings.llm_key_file = Some(path.into()))
            }),
        },
        Setting {
            name: KEY,
            doc: "The key for `llm_url`, as the variable `QUINTET_LLM_KEY`. Refused as a flag, which every user of the machine could read.",
            range: "one line of visible ASCII characters".to_owned(),
            read: Box::new(|s| s.agent_settings.llm_key.as_ref().map(|_| quoted("(hidden)"))),
            write: Box::new(|s, raw| match raw.text()? {
                key if key.bytes().all(|b| b.is_ascii_graphic()) => {
                    s.agent_settings.llm_key = Some(Key(key));
                    Ok(())
                }
                _ => Err("is not one line of visible ASCII characters".to_owned()),
            }),
        },
        Setting {
            name: "upstream_proxy",
            doc: "Proxy of all requests to models, MCP servers and remote agents. Default: the variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.",
            range: "an http, https or socks5 URL".to_owned(),
            read: Box::new(|s| {
                s.agent_settings.upstream_proxy.as_deref().map(|url| quoted(without_secrets(url)))
            }),
            write: Box::new(|s, raw| {
                url(raw, &["http", "https", "socks5"]).map(|url| s.agent_settings.upstream_proxy = Some(url))
            }),
        },
        Setting {
            name: "upstream_ca_file",
            doc: "File with certificate authorities in PEM that are trusted for models, MCP servers and remote agents, in addition to those of the system.",
            range: "a path".to_owned(),
            read: Box::new(|s| path(s.agent_settings.upstream_ca_file.as_ref())),
            write: Box::new(|s, raw| {
                raw.text().map(|path| s.agent_settings.upstream_ca_file = Some(path.into()))
            }),
        },
    ]
}

impl Settings {
    /// Returns why a value from a flag is refused, if it is.
    pub(super) fn refused_flag(name: &str) -> Option<String> {
        (name == KEY).then(|| {
            "would be visible to every user of this machine; use llm_key_file or the variable QUINTET_LLM_KEY"
                .to_owned()
        })
    }
}

fn path(path: Option<&PathBuf>) -> Option<String> {
    path.map(|path| quoted(path.display().to_string()))
}

fn http_url(raw: Raw) -> Result<String, String> {
    url(raw, &["http", "https"])
}

fn url(raw: Raw, schemes: &[&str]) -> Result<String, String> {
    let text = raw.text()?;
    let url = url::Url::parse(&text).map_err(|error| format!("is not a URL: {error}"))?;
    if !schemes.contains(&url.scheme()) || !url.has_host() {
        return Err(format!("has the scheme {:?}; {} is needed", url.scheme(), schemes.join(" or ")));
    }
    Ok(text)
}

/// The interfaces of language models.
const APIS: [&str; 3] = ["openai-chat", "openai-responses", "anthropic"];

/// Greatest number of tables of one kind.
const TABLES_MAX: usize = 1_000;
