//! Processes with a remote agent, and what users see of its runs.

use std::time::Duration;

use quintet::{
    agent::{AgentRegistry, Executor},
    kernel::entry::{CallOwner, CallStatus, Event, ThoughtKind},
};
use quintet_agui::{RemoteAgent, RemoteConfig};
use quintet_upstream::{HttpClient, HttpOptions};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::stage::{Stage, Talk, Watch};

/// The agent `remote` at an address, with more keys.
pub fn remote(url: &str, keys: Value) -> RemoteAgent {
    let mut all = json!({"name": "remote", "url": url, "delta_pause_ms": 0, "retry_pause_ms": 1});
    all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let config: RemoteConfig = serde_json::from_value(all).unwrap();
    RemoteAgent::new(config, HttpClient::new(&HttpOptions::default()).unwrap()).unwrap()
}

pub fn registry(url: &str, keys: Value) -> AgentRegistry {
    AgentRegistry::new(remote(url, keys), Executor::shared()).unwrap()
}

pub fn stage(url: &str, keys: Value) -> Stage {
    Stage::with(registry(url, keys))
}

/// The events of a run of the remote agent, from a message to its end.
pub async fn play(talk: &mut Talk, text: &str) -> Vec<Event> {
    bounded(talk.play("remote", text)).await
}

pub async fn finish(watch: Watch) -> Vec<Event> {
    bounded(watch.finish()).await
}

/// Bounds a wait.
pub async fn bounded<T>(wait: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), wait).await.expect("a run ends in time")
}

/// The text of a kind at the end of a run.
pub fn text_of(events: &[Event], kind: ThoughtKind) -> String {
    events.iter().fold(String::new(), |text, event| match event {
        Event::Thinking(thought) if thought.kind == kind && thought.reset => thought.delta.clone(),
        Event::Thinking(thought) if thought.kind == kind => text + &thought.delta,
        _ => text,
    })
}

/// The calls of a run in the order in which they were opened: the tool, the parameters, `client` or `agent`, the status and
/// the results or the error.
pub fn calls(events: &[Event]) -> Vec<String> {
    let opened = events.iter().filter_map(|event| match event {
        Event::ToolExecuting(call) => Some(call),
        _ => None,
    });
    let closed = |id| {
        let mut results = events.iter().filter_map(move |event| match event {
            Event::ToolCompleted { call_id, result, .. } if *call_id == id => Some(result.clone()),
            _ => None,
        });
        let result = results.next().expect("RUN-5: every call is closed");
        assert!(results.next().is_none(), "RUN-4: a call is closed once");
        result
    };
    opened
        .map(|call| {
            let result = closed(call.call_id.clone());
            let by = if call.by == CallOwner::Client { "client" } else { "agent" };
            let outcome = match result.status {
                CallStatus::Ok => result.results.as_str().to_owned(),
                _ => result.error.unwrap_or_default(),
            };
            let status = format!("{:?}", result.status).to_lowercase();
            format!("{by} {}({}) {status} {outcome}", call.tool_name, call.parameters.as_str())
        })
        .collect()
}
