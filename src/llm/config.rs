//! The configuration of a model agent.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use quintet_agent::{Tool, ToolPattern};
use quintet_kernel::ids::{AgentName, InvalidId};
use quintet_upstream::{
    HttpClient, Secret, SecretError,
    config::{OutOfRange, check_address, take_limits},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use crate::{
    api::{
        ModelApi, Protocol, ProtocolOptions,
        anthropic::Anthropic,
        http::{HttpModel, redactor},
        openai_chat::OpenAiChat,
        openai_responses::OpenAiResponses,
    },
    limits::ModelLimits,
};

/// The configuration of a [`ModelAgent`](crate::ModelAgent). The limits of [`ModelLimits`] are fields beside
/// the others.
///
/// # Examples
///
/// ```
/// let config: quintet_llm::ModelConfig = serde_json::from_value(serde_json::json!({
///     "name": "qwen",
///     "api": "openai-chat",
///     "url": "http://127.0.0.1:11434/v1",
///     "model": "qwen3",
///     "tools": ["calculate", "files/*"],
///     "context_tokens_max": 8_000,
/// }))?;
/// assert_eq!(config.limits.context_tokens_max, 8_000);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct ModelConfig {
    /// The name of the agent, of 1 to 128 visible ASCII characters.
    pub name: String,
    /// One or two sentences for users who choose an agent.
    pub description: Option<String>,
    /// The protocol of the service.
    pub api: ApiKind,
    /// The address of the service, such as `https://api.openai.com/v1`; requests go to paths below it.
    pub url: Url,
    /// The model, as the service names it.
    pub model: String,
    /// The file of the key.
    pub key_file: Option<PathBuf>,
    /// The environment variable of the key.
    pub key_variable: Option<String>,
    /// The key itself, from a program; excludes both places.
    pub key: Option<Secret>,
    /// Headers of each request. Values of 8 bytes and more count as secret in messages.
    pub headers: BTreeMap<String, String>,
    /// The system prompt.
    pub instructions: Option<String>,
    /// The tools that the model may call, as patterns of names. None by default.
    pub tools: Vec<ToolPattern>,
    /// The tools whose calls the client has to approve, as patterns of names (RUN-11).
    pub approve: Vec<ToolPattern>,
    /// The temperature, 0 to 2; the provider's own by default.
    pub temperature: Option<f64>,
    /// The effort of reasoning, such as `low`; the provider's own by default.
    pub reasoning_effort: Option<String>,
    /// True if the model's reasoning is given back to it within a run, as some services of `openai-chat`
    /// demand.
    pub return_reasoning: bool,
    /// False if the service of `openai-chat` refuses requests with `stream_options`, which ask for token
    /// counts.
    pub request_usage: bool,
    /// Further fields of each request. They replace fields of the same name.
    pub extra: Map<String, Value>,
    /// The limits.
    pub limits: ModelLimits,
}

/// A protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiKind {
    /// OpenAI chat completions, which most services speak: `openai-chat`.
    OpenaiChat,
    /// OpenAI Responses: `openai-responses`.
    OpenaiResponses,
    /// Anthropic Messages: `anthropic`.
    Anthropic,
}

/// The reason for which a configuration is refused. Operator fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The name is not that of an agent.
    #[error("the name {name:?} of an agent is invalid: {source}")]
    Name {
        /// The name.
        name: String,
        /// The rule.
        source: InvalidId,
    },
    /// The address is not usable. The message does not contain it, since it may hold a password.
    #[error("the url of agent {name:?}: {problem}")]
    Url {
        /// The agent.
        name: String,
        /// The mistake.
        problem: &'static str,
    },
    /// The model has no name.
    #[error("the model of agent {0:?} is empty")]
    Model(String),
    /// Several places of a key are given.
    #[error("agent {0:?} has several of key_file, key_variable and a key of its own")]
    SeveralKeys(String),
    /// The key cannot be read.
    #[error("the key of agent {name:?} is missing: {source}")]
    Key {
        /// The agent.
        name: String,
        /// The reason.
        source: SecretError,
    },
    /// A header is invalid.
    #[error("the header {header:?} of agent {name:?} is invalid")]
    Header {
        /// The agent.
        name: String,
        /// The name of the header.
        header: String,
    },
    /// The temperature is out of range.
    #[error("the temperature of agent {0:?} is not in 0 to 2")]
    Temperature(String),
    /// A field of `extra` is set by the agent itself.
    #[error("the field {field:?} in extra of agent {name:?} is set by the agent itself")]
    Extra {
        /// The agent.
        name: String,
        /// The field.
        field: String,
    },
    /// A limit is out of its range.
    #[error("agent {name:?}: {source}")]
    Limit {
        /// The agent.
        name: String,
        /// The limit.
        source: OutOfRange,
    },
    /// A tool does not exist.
    #[error("the pattern {pattern:?} of agent {name:?} matches no tool")]
    NoTool {
        /// The agent.
        name: String,
        /// The pattern.
        pattern: String,
    },
}

impl ModelConfig {
    /// Creates a configuration with the defaults.
    pub fn new(name: impl Into<String>, api: ApiKind, url: Url, model: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            api,
            url,
            model: model.into(),
            key_file: None,
            key_variable: None,
            key: None,
            headers: BTreeMap::new(),
            instructions: None,
            tools: Vec::new(),
            approve: Vec::new(),
            temperature: None,
            reasoning_effort: None,
            return_reasoning: false,
            request_usage: true,
            extra: Map::new(),
            limits: ModelLimits::DEFAULT,
        }
    }

    /// Checks the configuration against the tools of the service; `may_change` if others may come later.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] for the first invalid field.
    pub(crate) fn check(&self, tools: &[Arc<dyn Tool>], may_change: bool) -> Result<(), ConfigError> {
        let name = || self.name.clone();
        AgentName::parse(&self.name).map_err(|source| ConfigError::Name { name: name(), source })?;
        check_address(&self.url).map_err(|problem| ConfigError::Url { name: name(), problem })?;
        if self.model.trim().is_empty() {
            return Err(ConfigError::Model(name()));
        }
        if self.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            return Err(ConfigError::Temperature(name()));
        }
        if let Some(field) = self.extra.keys().find(|field| OWN_FIELDS.contains(&field.as_str())) {
            return Err(ConfigError::Extra { name: name(), field: field.clone() });
        }
        for limit in ModelLimits::TABLE {
            if !(limit.min..=limit.max).contains(&(limit.read)(&self.limits)) {
                let source = OutOfRange { name: limit.name, min: limit.min, max: limit.max };
                return Err(ConfigError::Limit { name: name(), source });
            }
        }
        let matches = |pattern: &&ToolPattern| tools.iter().any(|tool| pattern.matches(tool.name()));
        let unknown = self.tools.iter().chain(&self.approve).find(|pattern| !matches(pattern));
        match unknown.filter(|pattern| !may_change && pattern.as_str() != "*") {
            Some(pattern) => Err(ConfigError::NoTool { name: name(), pattern: pattern.as_str().to_owned() }),
            None => Ok(()),
        }
    }

    /// Creates the model.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the address, the key or a header is invalid.
    pub(crate) fn model_api(&self, http: HttpClient) -> Result<Arc<dyn ModelApi>, ConfigError> {
        let protocol: Box<dyn Protocol> = match self.api {
            ApiKind::OpenaiChat => Box::new(OpenAiChat),
            ApiKind::OpenaiResponses => Box::new(OpenAiResponses),
            ApiKind::Anthropic => Box::new(Anthropic),
        };
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| ConfigError::Url {
                name: self.name.clone(),
                problem: "not an address with a path",
            })?
            .pop_if_empty()
            .extend(protocol.path().split('/'));
        let key = self.key()?;
        let configured = self.header_map()?;
        let redactor = redactor(key.as_ref(), &configured);
        let mut headers = protocol.headers(key.as_ref());
        headers.extend(configured);
        let host = self.url.host_str().unwrap_or_default();
        let options = ProtocolOptions {
            model: self.model.clone(),
            temperature: self.temperature,
            reasoning_effort: self.reasoning_effort.clone(),
            returns_reasoning: self.return_reasoning,
            asks_usage: self.request_usage,
            completion_tokens: host == "api.openai.com" || host.ends_with(".openai.azure.com"),
        };
        let (extra, limits) = (self.extra.clone(), self.limits);
        Ok(Arc::new(HttpModel { protocol, options, extra, http, url, headers, redactor, limits }))
    }

    fn key(&self) -> Result<Option<Secret>, ConfigError> {
        let key = match (&self.key, &self.key_file, &self.key_variable) {
            (key, None, None) => return Ok(key.clone()),
            (None, Some(file), None) => Secret::from_file(file),
            (None, None, Some(variable)) => Secret::from_variable(variable),
            _ => return Err(ConfigError::SeveralKeys(self.name.clone())),
        };
        key.map(Some).map_err(|source| ConfigError::Key { name: self.name.clone(), source })
    }

    fn header_map(&self) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        for (header, value) in &self.headers {
            let invalid = || ConfigError::Header { name: self.name.clone(), header: header.clone() };
            let header = HeaderName::try_from(header).map_err(|_| invalid())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        Ok(headers)
    }
}

/// The fields as they are written, the limits among them.
#[derive(Deserialize)]
struct Fields {
    name: String,
    description: Option<String>,
    api: ApiKind,
    url: Url,
    model: String,
    key_file: Option<PathBuf>,
    key_variable: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    instructions: Option<String>,
    #[serde(default)]
    tools: Vec<ToolPattern>,
    #[serde(default)]
    approve: Vec<ToolPattern>,
    temperature: Option<f64>,
    reasoning_effort: Option<String>,
    #[serde(default)]
    return_reasoning: bool,
    #[serde(default = "yes")]
    request_usage: bool,
    #[serde(default)]
    extra: Map<String, Value>,
    #[serde(flatten)]
    limits: Map<String, Value>,
}

impl TryFrom<Fields> for ModelConfig {
    type Error = String;

    fn try_from(mut fields: Fields) -> Result<Self, String> {
        let mut limits = ModelLimits::DEFAULT;
        take_limits(ModelLimits::TABLE, &mut fields.limits, &mut limits)
            .map_err(|error| error.to_string())?;
        if let Some(name) = fields.limits.keys().next() {
            return Err(format!("unknown field `{name}`"));
        }
        Ok(Self {
            name: fields.name,
            description: fields.description,
            api: fields.api,
            url: fields.url,
            model: fields.model,
            key_file: fields.key_file,
            key_variable: fields.key_variable,
            key: None,
            headers: fields.headers,
            instructions: fields.instructions,
            tools: fields.tools,
            approve: fields.approve,
            temperature: fields.temperature,
            reasoning_effort: fields.reasoning_effort,
            return_reasoning: fields.return_reasoning,
            request_usage: fields.request_usage,
            extra: fields.extra,
            limits,
        })
    }
}

fn yes() -> bool {
    true
}

/// Fields of requests that `extra` may not replace, because the agent relies on them.
const OWN_FIELDS: [&str; 9] =
    ["messages", "input", "system", "instructions", "tools", "stream", "store", "n", "previous_response_id"];

#[cfg(test)]
mod tests {
    use quintet_upstream::HttpOptions;
    use serde_json::json;

    use super::*;

    fn parsed(more: Value) -> Result<ModelConfig, String> {
        let mut fields = json!({
            "name": "gpt", "api": "openai-chat", "url": "http://127.0.0.1:11434/v1", "model": "qwen3",
        });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(fields).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_are_fields_and_unknown_fields_are_refused() {
        let config =
            parsed(json!({"retries_max": 7, "tools": ["a", "b/*"], "extra": {"top_p": 0.5}})).unwrap();
        assert_eq!((config.limits.retries_max, config.tools.len()), (7, 2));
        assert_eq!(config.limits.delta_pause_ms, 40);
        for (field, error) in [
            (json!({"retrys_max": 7}), "unknown field `retrys_max`"),
            (json!({"retries_max": 101}), "retries_max is not a number from 0 to 100"),
            (json!({"retries_max": -1}), "retries_max is not a number from 0 to 100"),
            (json!({"retries_max": "7"}), "retries_max is not a number from 0 to 100"),
            (json!({"kind": "model"}), "unknown field `kind`"),
        ] {
            assert_eq!(parsed(field).unwrap_err(), error);
        }
        assert!(parsed(json!({"api": "soap"})).unwrap_err().contains("unknown variant `soap`"));
    }

    #[test]
    fn invalid_settings_are_refused_by_name() {
        for (field, expected) in [
            (json!({"name": "a b"}), "the name \"a b\" of an agent is invalid"),
            (json!({"url": "ftp://host/"}), "the url of agent \"gpt\": neither http nor https"),
            (json!({"url": "http://user:pass@host/"}), "the url of agent \"gpt\": a user name"),
            (json!({"model": " "}), "the model of agent \"gpt\" is empty"),
            (json!({"temperature": 2.5}), "the temperature of agent \"gpt\""),
            (json!({"extra": {"messages": []}}), "the field \"messages\" in extra"),
            (json!({"tools": ["missing"]}), "the pattern \"missing\" of agent \"gpt\" matches no tool"),
            (json!({"approve": ["missing/*"]}), "the pattern \"missing/*\" of agent \"gpt\" matches no tool"),
        ] {
            let error = parsed(field).unwrap().check(&[], false).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let mut config = parsed(json!({})).unwrap();
        config.limits.context_tokens_max = 1;
        assert!(matches!(
            config.check(&[], false),
            Err(ConfigError::Limit { source: OutOfRange { name: "context_tokens_max", .. }, .. })
        ));
        assert!(
            parsed(json!({"tools": ["later/*"]})).unwrap().check(&[], true).is_ok(),
            "a server may add tools"
        );
    }

    #[test]
    fn a_missing_key_is_an_error_and_never_no_key() {
        let http = HttpClient::new(&HttpOptions::default()).unwrap();
        let refused = |more: Value| parsed(more).unwrap().model_api(http.clone()).err().unwrap();
        let missing = json!({"key_variable": "QUINTET_TEST_NO_SUCH_VARIABLE"});
        assert!(matches!(refused(missing), ConfigError::Key { .. }));
        assert!(matches!(refused(json!({"key_file": "/does/not/exist"})), ConfigError::Key { .. }));
        let both = json!({"key_file": "/x", "key_variable": "X"});
        assert!(matches!(refused(both), ConfigError::SeveralKeys(_)));
        assert!(matches!(refused(json!({"headers": {"a b": "x"}})), ConfigError::Header { .. }));
        assert!(matches!(refused(json!({"headers": {"a": "x\ny"}})), ConfigError::Header { .. }));
    }
}
