//! Tools of an MCP server in runs: their progress and questions in the log, a cancel, and a server that dies (RUN-7,
//! RUN-9, RUN-11).

use std::{sync::Arc, time::Duration};

use quintet::{
    agent::{AgentRegistry, Executor, tool::ToolSource},
    kernel::{
        entry::{Call, CallOwner, CallResult, CallStatus, Event, RunStatus},
        ids::CallId,
    },
    prelude::*,
};
use quintet_mcp::{McpServer, ServerConfig, ServerState};
use quintet_upstream::{HttpClient, HttpOptions};
use serde_json::json;

use crate::stage::{Stage, completion, words};

/// A server in shell, of revision 2025-11-25. The first call is number 2, with the progress token 1.
const SERVER: &str = r#"
say() { printf '%s\n' "$1"; }
read -r initialize
say '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}}'
read -r initialized
read -r list
say '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"book","inputSchema":{"type":"object"}},{"name":"die","inputSchema":{"type":"object"}},{"name":"hang","inputSchema":{"type":"object"}}]}}'
read -r call
case "$call" in
*die*) kill -s KILL $$ ;;
*hang*) read -r cancelled; exec sleep 1000 ;;
esac
say '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1,"message":"looking"}}'
say '{"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{"message":"Where?","requestedSchema":{"type":"object","properties":{"city":{"type":"string"}}}}}'
read -r answer
case "$answer" in
*'"accept"'*Rome*) text=Rome ;;
*'"decline"'*) text=nowhere ;;
*) text=cancelled ;;
esac
say '{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"'$text'"}]}}'
cat >/dev/null
"#;

/// Calls the tool that the message names, and answers with the status and the result.
struct Traveller {
    tools: Arc<McpServer>,
}

#[async_trait]
impl Agent for Traveller {
    fn name(&self) -> &str {
        "traveller"
    }

    fn description(&self) -> &str {
        "Calls a tool."
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let run = run.think(ThoughtKind::Reasoning, "hm").await?;
        let tools = self.tools.tools();
        let tool = tools.iter().find(|tool| tool.name() == task.text).expect("the tool is listed");
        let (run, result) = run.call(&**tool, json!({})).await?;
        let said = result.error.unwrap_or_else(|| result.results.as_str().to_owned());
        Ok(run.answer(said).await?.complete().await?)
    }
}

async fn server() -> Arc<McpServer> {
    let config = json!({
        "name": "trips", "command": ["sh", "-c", SERVER], "protocol": "2025-11-25", "restart_pause_ms": 1,
        "restart_pause_max_ms": 1,
    });
    let config: ServerConfig = serde_json::from_value(config).unwrap();
    let server = McpServer::start(config, HttpClient::new(&HttpOptions::default()).unwrap()).unwrap();
    assert_eq!(server.tried().await, ServerState::Ready);
    Arc::new(server)
}

fn stage(server: &Arc<McpServer>) -> Stage {
    Stage::with(AgentRegistry::new(Traveller { tools: server.clone() }, Executor::shared()).unwrap())
}

async fn within<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test takes too long")
}

fn question(event: &Event) -> Option<&Call> {
    match event {
        Event::ToolExecuting(call) if call.by == CallOwner::Client => Some(call),
        _ => None,
    }
}

#[tokio::test]
async fn run_11_a_question_of_an_mcp_server_is_a_call_of_the_client() {
    let declined = CallResult { status: CallStatus::Declined, results: Json::null(), error: None };
    let rome = CallResult::ok(Json::parse(r#"{"city":"Rome"}"#).unwrap());
    for (answer, word, said) in [(rome, "ok", "\"Rome\""), (declined, "declined", "\"nowhere\"")] {
        within(async {
            let server = server().await;
            let stage = stage(&server);
            let mut ann = stage.ann();
            let mut run = ann.send("traveller", "trips/book").await;
            let events = run.until(|event| question(event).is_some()).await;
            let asked = events.iter().find_map(question).unwrap().clone();
            assert_eq!(asked.tool_name.as_str(), "trips/elicit");
            let parameters = asked.parameters.to_value();
            assert_eq!(parameters["message"], "Where?");
            assert_eq!(parameters["tool"], "trips/book");
            ann.user.answer(run.run_id, asked.call_id, answer).await.unwrap();
            let events = run.finish().await;
            assert_eq!(completion(&events).final_response.as_deref(), Some(said));
            let closed = format!("{word}:c1.q1");
            let expected =
                ["started", "reasoning:hm", "open:c1", "progress:looking\n", "open:c1.q1", &closed, "ok:c1"];
            assert_eq!(words(&events)[..expected.len()], expected);
            server.stop().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_dies_in_mid_call_ends_the_call_and_not_the_run() {
    within(async {
        let server = server().await;
        let stage = stage(&server);
        let mut ann = stage.ann();
        let events = ann.play("traveller", "trips/die").await;
        let said = "the MCP server stopped during the call";
        assert_eq!(completion(&events).final_response.as_deref(), Some(said));
        assert!(words(&events).contains(&"error:c1".to_owned()));
        // It is started again, and the next call succeeds.
        server.reached(|state| state == ServerState::Ready).await;
        let mut run = ann.send("traveller", "trips/book").await;
        run.until(|event| question(event).is_some()).await;
        let rome = CallResult::ok(Json::parse(r#"{"city":"Rome"}"#).unwrap());
        ann.user.answer(run.run_id, CallId::parse("c1.q1").unwrap(), rome).await.unwrap();
        assert_eq!(completion(&run.finish().await).status, RunStatus::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn run_7_a_cancel_closes_the_call_of_a_server_that_hangs() {
    within(async {
        let server = server().await;
        let stage = stage(&server);
        let mut ann = stage.ann();
        let mut run = ann.send("traveller", "trips/hang").await;
        run.until(|event| matches!(event, Event::ToolExecuting(_))).await;
        ann.user.cancel(run.run_id).await.unwrap();
        let events = run.finish().await;
        assert_eq!(completion(&events).status, RunStatus::Cancelled);
        assert!(words(&events).contains(&"cancelled:c1".to_owned()));
        server.stop().await;
    })
    .await;
}
