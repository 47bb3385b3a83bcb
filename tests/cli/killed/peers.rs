//! The peers of the agents, which outlive the service.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use quintet_testkit::upstream::{Reply, Then, Upstream};
use serde_json::{Value, json};

use super::Place;

/// A switch of what a peer does: it holds its answers back until it is released.
#[derive(Clone, Default)]
pub struct Release(Arc<AtomicBool>);

impl Release {
    pub fn now(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A chunk of chat completions.
fn chunk(delta: Value, reason: Option<&str>) -> String {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5});
    let chunk = json!({
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        "usage": if reason.is_some() { usage } else { Value::Null },
    });
    format!("data: {chunk}\n\n")
}

fn calls(name: &str, arguments: &str) -> Reply {
    let call = json!({"index": 0, "id": "call", "type": "function", "function": {"name": name, "arguments": arguments}});
    Reply::stream(&(chunk(json!({"tool_calls": [call]}), Some("tool_calls")) + "data: [DONE]\n\n"))
}

fn answer(text: &str) -> Reply {
    Reply::stream(&(chunk(json!({"content": text}), Some("stop")) + "data: [DONE]\n\n"))
}

/// A language model. Told `tell`, it begins a story and says no more until it is released; then it tells another one.
/// Told the name of a tool, it calculates 6 * 7, calls the tool, and answers with what it has got.
pub async fn model(release: &Release) -> Upstream {
    let release = release.clone();
    Upstream::start_with(move |request| {
        let messages = request["messages"].as_array().unwrap();
        let asked = messages.iter().rposition(|message| message["role"] == "user").unwrap();
        let text = messages[asked].get("content").and_then(Value::as_str).unwrap();
        if text == "tell" {
            if release.is_set() {
                return answer("Another story.");
            }
            let begun = chunk(json!({"reasoning_content": "I think."}), None)
                + &chunk(json!({"content": "Once upon a time"}), None);
            return Reply::stream(&begun).then(Then::Silence);
        }
        let results: Vec<&str> = messages[asked..]
            .iter()
            .filter(|message| message["role"] == "tool")
            .map(|message| message["content"].as_str().unwrap())
            .collect();
        match results.len() {
            0 => calls("calculate", r#"{"expression":"6*7"}"#),
            1 => calls(text, "{}"),
            _ => answer(&format!("I have {}.", results.join(" and "))),
        }
    })
    .await
}

/// The table of the model in the configuration.
pub fn model_table(model: &Upstream, more: &str) -> String {
    format!(
        "[[agents]]\nkind = 'model'\nname = 'tiny'\napi = 'openai-chat'\nurl = 'http://{}/v1'\nmodel = 'tiny'\n\
         tools = ['*']\n{more}\n",
        model.address
    )
}

/// A remote agent that holds back its events from number `held` on, until it is released. A second request of a run has
/// the events from the start.
pub async fn remote(release: &Release, events: Vec<Value>, held: usize) -> Upstream {
    let release = release.clone();
    Upstream::start_with(move |request| {
        let is_whole = release.is_set();
        let mut body = String::new();
        for event in &events[..if is_whole { events.len() } else { held }] {
            let mut event = event.clone();
            if event["type"].as_str().unwrap().starts_with("RUN_") {
                event["threadId"] = request["threadId"].clone();
                event["runId"] = request["runId"].clone();
            }
            body.push_str(&format!("data: {event}\n\n"));
        }
        let reply = Reply::stream(&body);
        if is_whole { reply } else { reply.then(Then::Silence) }
    })
    .await
}

pub fn remote_table(remote: &Upstream, more: &str) -> String {
    format!("[[agents]]\nkind = 'agui'\nname = 'far'\nurl = 'http://{}/run'\n{more}\n", remote.address)
}

/// An MCP server in shell with the tools `look`, which only reads, and `act`. It writes each call into the file `calls`,
/// and answers none while the file `hold` is there. It shows the
/// credential `NOTES_KEY` wherever it can.
const SERVER: &str = r#"
say() { printf '%s\n' "$1"; }
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/^{"jsonrpc":"2.0","id":\([0-9]*\),.*/\1/p')
  case "$line" in
  *'"method":"initialize"'*)
    say '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}}' ;;
  *'"method":"tools/list"'*)
    printf '%s\n' "$$" >"$PROCESS"
    say '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[{"name":"look","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}},{"name":"act","inputSchema":{"type":"object"}}]}}' ;;
  *'"method":"tools/call"'*)
    printf '%s\n' "$line" >>"$CALLS"
    printf 'the key is %s\n' "$NOTES_KEY" >&2
    [ -f "$HOLD" ] || say '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"text","text":"seen '$NOTES_KEY'"}]}}' ;;
  esac
done
# The work of an end in order.
sleep 0.2
printf 'ended\n' >"$PROCESS.ended"
"#;

/// The table of the MCP server in the configuration; its files are in `place`.
pub fn server_table(place: &Place, more: &str) -> String {
    let script = place.write("server.sh", SERVER);
    let file = |name: &str| place.path(name).to_str().unwrap().to_owned();
    format!(
        "[[mcp_servers]]\nname = 'notes'\ncommand = ['sh', '{script}']\nprotocol = '2025-11-25'\n{more}\n\
         env = {{ CALLS = '{}', HOLD = '{}', PROCESS = '{}' }}\n",
        file("calls"),
        file("hold"),
        file("process"),
    )
}
