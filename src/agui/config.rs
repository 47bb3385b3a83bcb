//! The configuration of a remote agent, and its checks.

use std::{collections::BTreeSet, path::PathBuf};

use quintet_kernel::ids::{AgentName, InvalidId, ToolName};
use quintet_upstream::{
    Redactor, Secret, SecretError,
    config::{OutOfRange, check_address, take_limits},
    reqwest::Url,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::limits::RemoteLimits;

/// The configuration of a remote agent. All keys stand side by side, those of [`RemoteLimits`] included; an unknown key
/// is an error.
///
/// # Examples
///
/// ```
/// use quintet_agui::RemoteConfig;
///
/// let config: RemoteConfig = serde_json::from_value(serde_json::json!({
///     "name": "weather",
///     "url": "http://127.0.0.1:8000/",
///     "delta_pause_ms": 100,
/// }))?;
/// assert_eq!(config.limits.delta_pause_ms, 100);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct RemoteConfig {
    /// The keys without a range.
    pub options: RemoteOptions,
    /// The limits.
    pub limits: RemoteLimits,
}

/// The keys of a [`RemoteConfig`] that are not limits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteOptions {
    /// The name by which clients choose the agent.
    pub name: String,
    /// One or two sentences for users who choose an agent.
    #[serde(default = "default_description")]
    pub description: String,
    /// The address to which runs are posted, `http` or `https`, without a user name or password.
    pub url: String,
    /// The generation of the protocol that the agent speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// A file with the key that is sent as `Authorization: Bearer`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// An environment variable with that key.
    #[serde(default)]
    pub key_variable: Option<String>,
    /// A file with the key that signs requests ([`crate::signature`]). Only signed requests carry the user's id.
    #[serde(default)]
    pub signing_key_file: Option<PathBuf>,
    /// An environment variable with that key.
    #[serde(default)]
    pub signing_key_variable: Option<String>,
    /// The tools that the user's client executes (RUN-11).
    #[serde(default)]
    pub client_tools: Vec<ClientTool>,
    /// Sent with each request as `forwardedProps`.
    #[serde(default = "empty_object")]
    pub forwarded_props: Value,
    /// For agents of LangGraph, which report interrupts by `CUSTOM` events: the value that the agent gets as the answer to
    /// a question that the user has declined or not answered. Without it such a run fails, since an agent could take any
    /// value for consent (RUN-11).
    #[serde(default)]
    pub declined_resume: Option<Value>,
    /// True if the agent promises: a second request with the same `runId` does not execute the run again, but sends its
    /// events from the start and continues. Then a response that breaks is requested again, and so is a run that the
    /// service resumes after a crash. False without this: such a run fails, or is interrupted.
    #[serde(default)]
    pub resumable: bool,
    /// False for agents that send ids of threads and runs other than those of the request.
    #[serde(default = "yes")]
    pub check_ids: bool,
}

/// A generation of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// The request declares `protocolVersion`, so that the agent may send what 1.0 has added.
    #[default]
    #[serde(rename = "1.0")]
    V1,
    /// The request has the fields of 0.0.59 only.
    #[serde(rename = "0.0.59")]
    V0,
}

/// A tool of the front end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTool {
    /// The name of the tool.
    pub name: String,
    /// What the tool does.
    pub description: String,
    /// The JSON Schema of the parameters, an object.
    #[serde(default = "empty_object")]
    pub parameters: Value,
}

/// The reason for which a configuration is refused. Operator fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key is unknown, missing or of another type.
    #[error("{0}")]
    Malformed(String),
    /// A limit is not a number in its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The name of the agent is invalid.
    #[error("the name {name:?} of a remote agent is invalid: {source}")]
    Name {
        /// The name.
        name: String,
        /// The rule.
        source: InvalidId,
    },
    /// The address is not usable. The message does not contain it, since it may hold a password.
    #[error("url of the remote agent {name:?}: {problem}")]
    Url {
        /// The agent.
        name: String,
        /// The mistake.
        problem: &'static str,
    },
    /// A key is configured twice.
    #[error("{file} and {variable} exclude each other")]
    TwoKeys {
        /// The key for a file.
        file: &'static str,
        /// The key for a variable.
        variable: &'static str,
    },
    /// A key cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A tool of the front end has an invalid name, a name that occurs twice, or parameters that are not an object.
    #[error("client_tools: {name:?} {problem}")]
    Tool {
        /// The tool.
        name: String,
        /// The mistake.
        problem: &'static str,
    },
}

/// A configuration that was checked, with its keys.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) options: RemoteOptions,
    pub(crate) limits: RemoteLimits,
    pub(crate) url: Url,
    pub(crate) bearer: Option<Secret>,
    pub(crate) signing_key: Option<Secret>,
    pub(crate) client_tools: BTreeSet<String>,
    /// Removes the keys from messages of the agent.
    pub(crate) redactor: Redactor,
}

impl TryFrom<Map<String, Value>> for RemoteConfig {
    type Error = ConfigError;

    fn try_from(mut keys: Map<String, Value>) -> Result<Self, ConfigError> {
        let mut limits = RemoteLimits::DEFAULT;
        take_limits(RemoteLimits::TABLE, &mut keys, &mut limits)?;
        let options = serde_json::from_value(Value::Object(keys))
            .map_err(|error| ConfigError::Malformed(error.to_string()))?;
        Ok(Self { options, limits })
    }
}

impl RemoteConfig {
    /// Returns the name of the agent.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Checks the configuration and reads its keys.
    pub(crate) fn check(self) -> Result<Checked, ConfigError> {
        let Self { options, limits } = self;
        let name = options.name.clone();
        AgentName::parse(&name).map_err(|source| ConfigError::Name { name: name.clone(), source })?;
        let url = url(&options.url).map_err(|problem| ConfigError::Url { name, problem })?;
        let bearer =
            secret(["key_file", "key_variable"], options.key_file.as_ref(), options.key_variable.as_ref())?;
        let signing_key = secret(
            ["signing_key_file", "signing_key_variable"],
            options.signing_key_file.as_ref(),
            options.signing_key_variable.as_ref(),
        )?;
        let mut client_tools = BTreeSet::new();
        for tool in &options.client_tools {
            let refused = |problem| ConfigError::Tool { name: tool.name.clone(), problem };
            if ToolName::parse(&tool.name).is_err() {
                return Err(refused("is not 1 to 128 visible ASCII characters"));
            }
            if !tool.parameters.is_object() {
                return Err(refused("has parameters that are not a schema"));
            }
            if !client_tools.insert(tool.name.clone()) {
                return Err(refused("occurs twice"));
            }
        }
        let redactor = Redactor::of(bearer.iter().chain(&signing_key));
        Ok(Checked { options, limits, url, bearer, signing_key, client_tools, redactor })
    }
}

fn url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "not an absolute address")?;
    check_address(&url)?;
    Ok(url)
}

fn secret(
    [file, variable]: [&'static str; 2],
    path: Option<&PathBuf>,
    name: Option<&String>,
) -> Result<Option<Secret>, ConfigError> {
    match (path, name) {
        (Some(_), Some(_)) => Err(ConfigError::TwoKeys { file, variable }),
        (Some(path), None) => Ok(Some(Secret::from_file(path)?)),
        (None, Some(name)) => Ok(Some(Secret::from_variable(name)?)),
        (None, None) => Ok(None),
    }
}

fn default_description() -> String {
    "An agent of another service.".to_owned()
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<RemoteConfig, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    fn refusal(mut keys: Value) -> String {
        keys["name"] = json!("a");
        if keys.get("url").is_none() {
            keys["url"] = json!("http://h/");
        }
        match parse(keys) {
            Ok(config) => config.check().unwrap_err().to_string(),
            Err(error) => error,
        }
    }

    #[test]
    fn configuration_has_defaults_and_ranges() {
        let config = parse(json!({"name": "a", "url": "http://h/x?y=1", "run_events_max": 7})).unwrap();
        let checked = config.check().unwrap();
        assert_eq!((checked.limits.run_events_max, checked.limits.delta_pause_ms), (7, 40));
        assert_eq!(checked.options.protocol, Protocol::V1);
        assert!(checked.options.check_ids && !checked.options.resumable);
        for limit in RemoteLimits::TABLE {
            let value = (limit.read)(&RemoteLimits::DEFAULT);
            assert!((limit.min..=limit.max).contains(&value), "{}", limit.name);
        }
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        for (keys, message) in [
            (json!({"colour": 1}), "unknown field `colour`"),
            (json!({"delta_pause_ms": 10_001}), "delta_pause_ms is not a number from 0 to 10000"),
            (json!({"delta_pause_ms": "40"}), "delta_pause_ms is not a number"),
            (json!({"protocol": "2.0"}), "unknown variant `2.0`"),
            (json!({"url": "ftp://h/"}), "neither http nor https"),
            (json!({"url": "/run"}), "not an absolute address"),
            (json!({"url": "http://h/#x"}), "a fragment has no meaning"),
            (json!({"key_file": "a", "key_variable": "B"}), "key_file and key_variable exclude each other"),
            (json!({"signing_key_variable": "NOT_SET_HERE"}), "the variable NOT_SET_HERE is not set"),
            (json!({"client_tools": [{"name": "a b", "description": ""}]}), "visible ASCII"),
            (json!({"client_tools": [{"name": "a", "description": "", "parameters": 1}]}), "not a schema"),
            (
                json!({"client_tools": [{"name": "a", "description": ""}, {"name": "a", "description": ""}]}),
                "occurs twice",
            ),
        ] {
            let refusal = refusal(keys);
            assert!(refusal.contains(message), "{refusal}");
        }
        let refusal = refusal(json!({"url": "http://ann:secret@h/"}));
        assert!(!refusal.contains("secret") && refusal.contains("belongs into key_file"), "{refusal}");
    }
}
