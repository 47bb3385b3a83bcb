//! Runs that call a tool of an MCP server over HTTP whose response is cut, reset or held back at each byte: the call closes
//! once, as `ok` with its result or as `error` or `timed_out`, the run has one end, and no call is made twice (RUN-4 to RUN-7,
//! RUN-9).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use quintet::{
    agent::{AgentRegistry, Executor, tool::ToolSource},
    kernel::entry::{CallStatus, Event, RunStatus},
    prelude::*,
};
use quintet_mcp::{McpServer, ServerConfig, ServerState};
use quintet_testkit::upstream::{Reply, Then, Upstream};
use quintet_upstream::{HttpClient, HttpOptions};
use serde_json::{Value, json};

use crate::stage::{Stage, completion};

/// Calls the tool with the message, and answers with the status of the call.
struct Caller {
    tools: Arc<McpServer>,
}

#[async_trait]
impl Agent for Caller {
    fn name(&self) -> &str {
        "caller"
    }

    fn description(&self) -> &str {
        "Calls a tool."
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let run = run.think(ThoughtKind::Reasoning, "hm").await?;
        let tools = self.tools.tools();
        let (run, result) = run.call(&*tools[0], json!({ "message": task.text })).await?;
        Ok(run.answer(format!("{:?} {}", result.status, result.results.as_str())).await?.complete().await?)
    }
}

/// A response in JSON whose length does not depend on the number of its request.
fn response(request: &Value, result: &Value) -> Vec<u8> {
    let id = request["id"].to_string();
    let pad = " ".repeat(8 - id.len());
    let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{pad}\"result\":{result}}}");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head, body].concat().into_bytes()
}

fn called() -> Value {
    json!({"content": [{"type": "text", "text": "dön€"}]})
}

fn reply(request: &Value, calls: &Mutex<HashMap<String, usize>>) -> Reply {
    let whole = |result| Reply { pieces: vec![response(request, &result)], then: Then::Close };
    match request["method"].as_str().unwrap() {
        "initialize" => whole(json!({
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "cut", "version": "1"},
        })),
        "tools/list" => whole(json!({"tools": [{"name": "act", "inputSchema": {"type": "object"}}]})),
        "tools/call" => {
            let message = request["params"]["arguments"]["message"].as_str().unwrap();
            *calls.lock().unwrap().entry(message.to_owned()).or_default() += 1;
            let (fault, at) = message.split_once(' ').unwrap();
            let then = match fault {
                "cut" => Then::Close,
                "reset" => Then::Reset,
                "silence" => Then::Silence,
                other => panic!("{other}"),
            };
            let bytes = response(request, &called());
            Reply { pieces: vec![bytes[..at.parse::<usize>().unwrap()].to_vec()], then }
        }
        _ => Reply::refusal("202 Accepted", "", ""),
    }
}

async fn stage(upstream: &Upstream, call_timeout_ms: u64) -> Stage {
    let config = json!({
        "name": "far", "url": format!("http://{}/mcp", upstream.address), "protocol": "2025-11-25",
        "call_timeout_ms": call_timeout_ms,
    });
    let config: ServerConfig = serde_json::from_value(config).unwrap();
    let server = McpServer::start(config, HttpClient::new(&HttpOptions::default()).unwrap()).unwrap();
    assert_eq!(server.tried().await, ServerState::Ready);
    Stage::with(AgentRegistry::new(Caller { tools: Arc::new(server) }, Executor::shared()).unwrap())
}

/// Plays runs whose responses have a fault, at positions of the response, so many at a time.
async fn break_off(faults: &[&'static str], step: usize, call_timeout_ms: u64, at_once: usize) {
    let calls = Arc::new(Mutex::new(HashMap::new()));
    let made = calls.clone();
    let upstream = Upstream::start_with(move |request| reply(request, &made)).await;
    let stage = stage(&upstream, call_timeout_ms).await;
    let length = response(&json!({"id": 1}), &called()).len();
    // A whole response may be late on a busy machine.
    let last = |fault| if fault == "silence" { length - 1 } else { length };
    let all = faults.iter().flat_map(|fault| (0..=last(*fault)).step_by(step).map(move |at| (*fault, at)));
    let mut runs = stream::iter(all)
        .map(|(fault, at)| {
            let mut talk = stage.user(&format!("{fault}{at}"));
            async move {
                let run = async { talk.play("caller", &format!("{fault} {at}")).await };
                let events = tokio::time::timeout(Duration::from_secs(60), run).await;
                (fault, at, events.expect("a run ends in time"))
            }
        })
        .buffer_unordered(at_once);
    let mut seen = 0;
    while let Some((fault, at, events)) = runs.next().await {
        let place = format!("{fault} at byte {at} of {length}: {events:?}");
        let results: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::ToolCompleted { result, .. } => Some(result),
                _ => None,
            })
            .collect();
        let [result] = results[..] else { panic!("{place}") };
        match result.status {
            CallStatus::Ok => assert!(at == length && result.results.as_str() == "\"dön€\"", "{place}"),
            // A reset may overtake bytes that were sent before it.
            CallStatus::Error => assert!(fault != "silence" && (at < length || fault == "reset"), "{place}"),
            CallStatus::TimedOut => assert!(fault == "silence" && at < length, "{place}"),
            other => panic!("{place}: {other:?}"),
        }
        let end = completion(&events);
        let expected = format!("{:?} {}", result.status, result.results.as_str());
        assert_eq!(
            (end.status, end.final_response.as_deref()),
            (RunStatus::Succeeded, Some(&*expected)),
            "{place}"
        );
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Completed(_))).count(), 1, "{place}");
        seen += 1;
    }
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), seen, "no call is lost");
    assert!(calls.values().all(|count| *count == 1), "RUN-9: no call is made twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_7_a_response_that_breaks_off_at_any_byte_closes_its_call_once() {
    break_off(&["cut", "reset"], 1, 60_000, 32).await;
}

/// More calls than may be open at once, one after another: a call that has timed out takes no place for long.
#[tokio::test(flavor = "multi_thread")]
async fn run_7_a_response_that_falls_silent_closes_its_call_as_timed_out() {
    break_off(&["silence"], 2, 150, 1).await;
}
