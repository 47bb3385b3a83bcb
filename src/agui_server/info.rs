//! The list of agents that a CopilotKit runtime answers at `/info`.

use std::collections::BTreeMap;

use serde::Serialize;

/// The name under which CopilotKit asks for an agent if the page names none.
pub const DEFAULT_AGENT: &str = "default";

/// The body of `/info`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeInfo {
    version: &'static str,
    agents: BTreeMap<String, InfoAgent>,
    audio_file_transcription_enabled: bool,
    mode: &'static str,
    thread_endpoints: ThreadEndpoints,
    suggestions: bool,
    a2ui_enabled: bool,
    telemetry_disabled: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InfoAgent {
    name: String,
    description: String,
    class_name: &'static str,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadEndpoints {
    list: bool,
    inspect: bool,
    mutations: bool,
    realtime_metadata: bool,
}

impl RuntimeInfo {
    /// Creates the body for agents with a name, a description and whether they are the default. The default agent
    /// has the name [`DEFAULT_AGENT`] as well, unless an agent is named so.
    pub fn new<'a>(version: &'static str, agents: impl Iterator<Item = (&'a str, &'a str, bool)>) -> Self {
        let mut named = BTreeMap::new();
        let mut default = None;
        for (name, description, is_default) in agents {
            let agent = |name: &str| InfoAgent {
                name: name.to_owned(),
                description: description.to_owned(),
                class_name: "HttpAgent",
            };
            default = default.or_else(|| is_default.then(|| agent(DEFAULT_AGENT)));
            named.insert(name.to_owned(), agent(name));
        }
        if let Some(default) = default {
            named.entry(DEFAULT_AGENT.to_owned()).or_insert(default);
        }
        let none =
            ThreadEndpoints { list: false, inspect: false, mutations: false, realtime_metadata: false };
        Self {
            version,
            agents: named,
            audio_file_transcription_enabled: false,
            mode: "sse",
            thread_endpoints: none,
            suggestions: false,
            a2ui_enabled: false,
            telemetry_disabled: true,
        }
    }
}
