//! The configuration of one server.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use quintet_agent::ToolPattern;
use quintet_upstream::{
    Redactor, Secret, SecretError,
    config::{OutOfRange, check_address, take_limits},
    reqwest::Url,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};

quintet_runtime::limits! {
    /// Limits of one MCP server.
    pub struct McpLimits {
        /// Timeout of one call, in milliseconds, without the time of questions to the client.
        pub call_timeout_ms: u64 = 60_000, in 1..=86_400_000;
        /// Timeout of a start, in milliseconds: process, handshake, and list of tools.
        pub start_timeout_ms: u64 = 30_000, in 10..=600_000;
        /// Time that a child process has to exit after the end of its input, in milliseconds; then it is killed.
        pub stop_timeout_ms: u64 = 2_000, in 1..=60_000;
        /// Pause before the first restart, in milliseconds; it doubles with each failure in a row.
        pub restart_pause_ms: u64 = 500, in 1..=600_000;
        /// Longest pause before a restart, in milliseconds.
        pub restart_pause_max_ms: u64 = 60_000, in 1..=3_600_000;
        /// Time after which a server that is ready counts as stable, in milliseconds: its next failure is a first one.
        pub stable_ms: u64 = 60_000, in 1..=3_600_000;
        /// Time between two lists of tools without a notice of a change, in milliseconds. A list that fails restarts
        /// the server. None is made during a call.
        pub refresh_ms: u64 = 300_000, in 1_000..=86_400_000;
        /// Shortest time between two lists of tools, in milliseconds, however often the server announces a change.
        pub list_pause_ms: u64 = 1_000, in 1..=600_000;
        /// Concurrent calls; a further one closes as `error`.
        pub calls_max: usize = 64, in 1..=1_024;
        /// Concurrent calls of one user; a further one closes as `error` (ISO-6).
        pub user_calls_max: usize = 16, in 1..=1_024;
        /// Cancellations of ended calls that the server has not taken. With more, calls hold their places until their
        /// cancellation is taken.
        pub cancels_max: usize = 256, in 1..=65_536;
        /// Those of the calls of one user (ISO-6).
        pub user_cancels_max: usize = 64, in 1..=65_536;
        /// Tools of the server; further ones are left out.
        pub tools_max: usize = 256, in 1..=10_000;
        /// Length of one message of the server, in bytes; a longer one ends the connection.
        pub frame_bytes_max: usize = 4 * 1024 * 1024, in 1_024..=268_435_456;
        /// Length of a result, in bytes; a call with a longer one closes as `error`.
        pub result_bytes_max: usize = 256 * 1024, in 1_024..=16_777_216;
        /// Length of an image, a sound or a binary resource that is copied into a result, in bytes of base64; a longer
        /// one is named by its type and length.
        pub media_bytes_max: usize = 0, in 0..=16_777_216;
        /// Length of the description of a tool, in bytes; a longer one is cut.
        pub description_bytes_max: usize = 4_096, in 16..=1_048_576;
        /// Length of the schema of a tool, in bytes; a tool with a longer one is left out.
        pub schema_bytes_max: usize = 64 * 1024, in 64..=1_048_576;
        /// Notices of progress of one call; further ones are left out.
        pub progress_max: usize = 1_000, in 0..=1_000_000;
        /// Shortest time between two notices of progress of a call, in milliseconds; the latest one is taken.
        pub progress_pause_ms: u64 = 250, in 0..=60_000;
        /// Length of a notice of progress, in bytes; a longer one is cut.
        pub progress_bytes_max: usize = 1_024, in 16..=16_384;
        /// Questions of one call to the client; a further one is refused.
        pub questions_max: usize = 16, in 0..=1_000;
        /// Length of a question with its schema, in bytes; a longer one is refused.
        pub question_bytes_max: usize = 16 * 1024, in 64..=1_048_576;
        /// Requests of the server that are not answered; one more ends the connection.
        pub requests_max: usize = 64, in 1..=10_000;
        /// Lines of a child's standard error that are logged in a second; further ones are counted.
        pub log_lines_max: u32 = 20, in 0..=10_000;
        /// Length of a logged line of a child's standard error, in bytes; a longer one is cut.
        pub log_line_bytes_max: usize = 1_024, in 16..=65_536;
    }
}

/// One MCP server, as in `[[mcp_servers]]` of the configuration file. Besides the fields below, each limit of
/// [`McpLimits`] is a key.
#[derive(Clone)]
pub struct ServerConfig {
    /// The name: 1 to 32 characters of `a-z`, `A-Z`, `0-9`, `_` and `-`. Its tools are named `name/tool`.
    pub name: String,
    /// The way to the server: `command` or `url`.
    pub endpoint: Endpoint,
    /// The revision of the protocol; by default the newest that the server has.
    pub protocol: Protocol,
    /// True if the operator trusts the server's hints about its tools: a tool with `readOnlyHint` or `idempotentHint`
    /// counts as idempotent (RUN-9).
    pub trust_hints: bool,
    /// Patterns of the tools that agents may call; none for all. `*` stands for any characters.
    pub allow: Vec<ToolPattern>,
    /// Patterns of tools that agents may not call, also if `allow` has them.
    pub deny: Vec<ToolPattern>,
    /// The limits.
    pub limits: McpLimits,
}

/// The way to a server.
#[derive(Clone)]
#[non_exhaustive]
pub enum Endpoint {
    /// A child process.
    Command {
        /// `command`: the program and its arguments. A program without `/` is looked up in `PATH`.
        command: Vec<String>,
        /// `folder`: the working folder; by default that of the service.
        folder: Option<PathBuf>,
        /// `env`: environment variables. Besides them the child gets `PATH`, `HOME`, `LANG` and `TMPDIR` of the
        /// service, and no others.
        env: BTreeMap<String, String>,
        /// `env_files`: environment variables whose values, credentials of one line, are in these files.
        env_files: BTreeMap<String, PathBuf>,
    },
    /// Streamable HTTP.
    Url {
        /// `url`: the address, `http` or `https`.
        url: Url,
        /// `key_file` or `key_variable`: the place of the bearer token, if the server wants one.
        key: Option<KeySource>,
    },
    /// A server in the process of a test, which gets the other end of each connection.
    #[cfg(test)]
    Duplex(tokio::sync::mpsc::UnboundedSender<tokio::io::DuplexStream>),
}

/// The place of a bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `key_file`: a file of one line.
    File(PathBuf),
    /// `key_variable`: an environment variable of the service.
    Variable(String),
}

/// The revisions of the protocol that are offered to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// `auto`: 2026-07-28, or else 2025-11-25 or what the server has instead.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// `2025-11-25`: the handshake `initialize`, for servers that do not survive an unknown first request.
    #[serde(rename = "2025-11-25")]
    Initialize,
    /// `2026-07-28` alone.
    #[serde(rename = "2026-07-28")]
    Discover,
}

/// The reason for which a configuration is refused. Operator fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The name is missing or not usable in the names of tools.
    #[error("the name of an MCP server is 1 to 32 characters of a-z, A-Z, 0-9, _ and -, not {0:?}")]
    Name(String),
    /// Neither `command` nor `url` is set, or both are.
    #[error("the MCP server {0} needs either `command` or `url`")]
    Endpoint(String),
    /// A key does not belong to this kind of endpoint.
    #[error("the MCP server {name} has `{key}`, which needs `{needs}`")]
    Misplaced {
        /// The server.
        name: String,
        /// The key.
        key: &'static str,
        /// The key that would make it meaningful.
        needs: &'static str,
    },
    /// `url` is not an address of HTTP.
    #[error("the `url` of the MCP server {0} is not an http or https address without a user name")]
    Url(String),
    /// `command` is empty.
    #[error("the `command` of the MCP server {0} is empty")]
    EmptyCommand(String),
    /// A name of an environment variable has `=` or a zero byte, or is empty.
    #[error("the MCP server {name} has the environment variable {variable:?}, which is not a name")]
    Variable {
        /// The server.
        name: String,
        /// The variable.
        variable: String,
    },
    /// A limit is out of its range.
    #[error("an MCP server: {0}")]
    OutOfRange(#[from] OutOfRange),
    /// A key is unknown, missing, or of the wrong type.
    #[error("an MCP server: {0}")]
    Key(#[from] serde_json::Error),
    /// A credential cannot be read.
    #[error("a credential of the MCP server {name}: {source}")]
    Secret {
        /// The server.
        name: String,
        /// The reason.
        source: SecretError,
    },
}

impl ServerConfig {
    /// Creates the configuration of a child process, with default limits.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the name or the command is not usable.
    pub fn command(
        name: &str,
        command: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, ConfigError> {
        let command: Vec<String> = command.into_iter().map(Into::into).collect();
        Self::from_map(Map::from_iter([("name".into(), name.into()), ("command".into(), command.into())]))
    }

    /// Creates the configuration of a server at an address, with default limits.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the name or the address is not usable.
    pub fn url(name: &str, url: &str) -> Result<Self, ConfigError> {
        Self::from_map(Map::from_iter([("name".into(), name.into()), ("url".into(), url.into())]))
    }

    /// Creates a configuration of its keys.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if a key is unknown, missing, of the wrong type, or out of range.
    pub fn from_map(mut keys: Map<String, Value>) -> Result<Self, ConfigError> {
        let mut limits = McpLimits::DEFAULT;
        take_limits(McpLimits::TABLE, &mut keys, &mut limits)?;
        let keys: Keys = serde_json::from_value(Value::Object(keys))?;
        let name = keys.name;
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_valid) {
            return Err(ConfigError::Name(name));
        }
        let misplaced = |key, needs| ConfigError::Misplaced { name: name.clone(), key, needs };
        let endpoint = match (keys.command, keys.url) {
            (Some(command), None) => {
                if keys.key_file.is_some() || keys.key_variable.is_some() {
                    return Err(misplaced("key_file or key_variable", "url"));
                }
                if command.first().is_none_or(String::is_empty) {
                    return Err(ConfigError::EmptyCommand(name));
                }
                for variable in keys.env.keys().chain(keys.env_files.keys()) {
                    if variable.is_empty() || variable.contains(['=', '\0']) {
                        return Err(ConfigError::Variable { name, variable: variable.clone() });
                    }
                }
                Endpoint::Command { command, folder: keys.folder, env: keys.env, env_files: keys.env_files }
            }
            (None, Some(url)) => {
                if !keys.env.is_empty() || !keys.env_files.is_empty() || keys.folder.is_some() {
                    return Err(misplaced("env, env_files or folder", "command"));
                }
                let key = match (keys.key_file, keys.key_variable) {
                    (None, None) => None,
                    (Some(path), None) => Some(KeySource::File(path)),
                    (None, Some(variable)) => Some(KeySource::Variable(variable)),
                    (Some(_), Some(_)) => return Err(misplaced("key_file", "no key_variable")),
                };
                let url = Url::parse(&url).map_err(|_| ConfigError::Url(name.clone()))?;
                check_address(&url).map_err(|_| ConfigError::Url(name.clone()))?;
                Endpoint::Url { url, key }
            }
            (None, None) | (Some(_), Some(_)) => return Err(ConfigError::Endpoint(name)),
        };
        let (protocol, trust_hints) = (keys.protocol, keys.trust_hints);
        Ok(Self { name, endpoint, protocol, trust_hints, allow: keys.allow, deny: keys.deny, limits })
    }

    /// Returns true if agents may call the tool of this name, without the name of the server.
    pub fn is_allowed(&self, tool: &str) -> bool {
        let any = |patterns: &[ToolPattern]| patterns.iter().any(|pattern| pattern.matches(tool));
        (self.allow.is_empty() || any(&self.allow)) && !any(&self.deny)
    }

    /// Reads the credentials from their files and variables.
    pub(crate) fn secrets(&self) -> Result<Secrets, ConfigError> {
        let failed = |source| ConfigError::Secret { name: self.name.clone(), source };
        let mut secrets = Secrets::default();
        match &self.endpoint {
            Endpoint::Command { env_files, .. } => {
                for (variable, path) in env_files {
                    secrets.env.push((variable.clone(), Secret::from_file(path).map_err(failed)?));
                }
            }
            Endpoint::Url { key, .. } => {
                secrets.bearer = match key {
                    None => None,
                    Some(KeySource::File(path)) => Some(Secret::from_file(path).map_err(failed)?),
                    Some(KeySource::Variable(name)) => Some(Secret::from_variable(name).map_err(failed)?),
                };
            }
            #[cfg(test)]
            Endpoint::Duplex(_) => {}
        }
        Ok(secrets)
    }
}

/// The credentials of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    pub(crate) env: Vec<(String, Secret)>,
    pub(crate) bearer: Option<Secret>,
}

impl Secrets {
    /// Returns a redactor of the credentials, for the texts of the server.
    pub(crate) fn redactor(&self) -> Redactor {
        Redactor::of(self.env.iter().map(|(_, secret)| secret).chain(&self.bearer))
    }
}

/// The keys besides the limits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: String,
    command: Option<Vec<String>>,
    folder: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    env_files: BTreeMap<String, PathBuf>,
    url: Option<String>,
    key_file: Option<PathBuf>,
    key_variable: Option<String>,
    #[serde(default)]
    protocol: Protocol,
    #[serde(default)]
    trust_hints: bool,
    #[serde(default)]
    allow: Vec<ToolPattern>,
    #[serde(default)]
    deny: Vec<ToolPattern>,
}

impl<'de> Deserialize<'de> for ServerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = Map::deserialize(deserializer)?;
        Self::from_map(keys).map_err(D::Error::custom)
    }
}

/// Prints the names of variables without their values, which may be credentials.
impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ServerConfig");
        debug.field("name", &self.name);
        match &self.endpoint {
            Endpoint::Command { command, env, env_files, .. } => debug
                .field("program", &command.first())
                .field("env", &env.keys().collect::<Vec<_>>())
                .field("env_files", &env_files.keys().collect::<Vec<_>>()),
            Endpoint::Url { url, .. } => debug.field("host", &url.host_str()),
            #[cfg(test)]
            Endpoint::Duplex(_) => &mut debug,
        };
        debug.finish_non_exhaustive()
    }
}

/// Longest name of a server, in bytes.
const NAME_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(config: Value) -> Result<ServerConfig, String> {
        serde_json::from_value(config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_config_of_each_kind_is_read() {
        let config = parse(json!({
            "name": "files", "command": ["npx", "-y", "x"], "env": {"A": "1"}, "env_files": {"KEY": "/k"},
            "allow": ["read*"], "deny": ["read_secret"], "trust_hints": true, "call_timeout_ms": 5,
        }))
        .unwrap();
        assert_eq!(config.limits.call_timeout_ms, 5);
        assert_eq!(config.limits.tools_max, McpLimits::DEFAULT.tools_max);
        assert!(config.is_allowed("read_file") && !config.is_allowed("read_secret"));
        assert!(!config.is_allowed("write_file"));
        let config = parse(json!({"name": "a", "url": "https://example.org/mcp", "key_file": "/k"})).unwrap();
        assert!(matches!(config.endpoint, Endpoint::Url { key: Some(KeySource::File(_)), .. }));
        assert!(config.is_allowed("anything"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        let refused = [
            (json!({"command": ["x"]}), "name"),
            (json!({"name": "a b", "command": ["x"]}), "a b"),
            (json!({"name": "a/b", "command": ["x"]}), "a/b"),
            (json!({"name": "a"}), "either `command` or `url`"),
            (json!({"name": "a", "command": ["x"], "url": "http://x"}), "either"),
            (json!({"name": "a", "command": []}), "empty"),
            (json!({"name": "a", "command": ["x"], "key_file": "k"}), "key_file"),
            (json!({"name": "a", "command": ["x"], "env": {"A=B": "c"}}), "A=B"),
            (json!({"name": "a", "url": "http://x", "env": {"A": "c"}}), "env"),
            (json!({"name": "a", "url": "file:///etc/passwd"}), "http"),
            (json!({"name": "a", "url": "http://user:secret@host/"}), "user name"),
            (
                json!({"name": "a", "command": ["x"], "tools_max": 0}),
                "tools_max is not a number from 1 to 10000",
            ),
            (json!({"name": "a", "command": ["x"], "tools_max": "9"}), "tools_max"),
            (json!({"name": "a", "command": ["x"], "protocol": "1999"}), "1999"),
            (json!({"name": "a", "command": ["x"], "tool_max": 1}), "tool_max"),
        ];
        for (config, part) in refused {
            let error = parse(config.clone()).unwrap_err();
            assert!(error.contains(part), "{config}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn auth_6_values_of_variables_are_not_printed() {
        let config = parse(json!({"name": "a", "command": ["x", "t0ps3cret"], "env": {"KEY": "hunter2"}}));
        let printed = format!("{:?}", config.unwrap());
        assert!(!printed.contains("hunter2") && !printed.contains("t0ps3cret"), "{printed}");
    }
}
