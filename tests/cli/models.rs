//! A language model in place of the assistant, and agents of the configuration file, from outside.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use quintet::runtime::tasks::Tasks;
use serde_json::{Value, json};

use crate::command::{Service, on_free_ports, outcome, quintet, run};

const KEY: &str = "sk-test-5f1c9e7ab3";

/// A model with the interface of OpenAI chat completions: it calls `calculate`, then answers with its result.
#[derive(Clone, Default)]
pub struct Model {
    pub requests: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

impl Model {
    /// Starts it and returns it with its address.
    pub async fn start() -> (Self, String) {
        let model = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let answering = model.clone();
        let routes = Router::new().route(
            "/v1/chat/completions",
            post(move |headers: HeaderMap, body: Bytes| async move { answering.answer(headers, &body) }),
        );
        Tasks::default().spawn(async move { axum::serve(listener, routes).await });
        (model, url)
    }

    fn answer(&self, headers: HeaderMap, body: &[u8]) -> Response {
        let request: Value = serde_json::from_slice(body).unwrap();
        let messages = request["messages"].as_array().unwrap();
        let last = messages.last().unwrap();
        let delta = if last["role"] == "tool" {
            let result: Value = serde_json::from_str(last["content"].as_str().unwrap()).unwrap();
            json!({"content": format!("It is {}.", result["result"].as_str().unwrap())})
        } else {
            let call = json!({"name": "calculate", "arguments": "{\"expression\":\"6*7\"}"});
            json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": call}]})
        };
        let reason = if last["role"] == "tool" { "stop" } else { "tool_calls" };
        self.requests.lock().unwrap().push((headers, request));
        let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
        let usage = json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
        let body = format!("data: {chunk}\n\ndata: {usage}\n\ndata: [DONE]\n\n");
        ([("content-type", "text/event-stream")], body).into_response()
    }
}

/// Asks the default agent, and returns the end of the run.
pub async fn ask(service: &Service) -> Value {
    let token = service.login("ada").await;
    let message = json!({"message_id": "m1", "thread_id": "t1", "text": "What is 6 times 7?"});
    let (status, accepted) = service.post("/v1/messages", &token, &message).await;
    assert_eq!(status, 202, "{accepted}");
    let run_id = accepted["run_id"].as_str().unwrap();
    service.until_run(&token, run_id, "completed").await;
    let (_, page) = service.get("/v1/entries", &token).await;
    page["entries"].as_array().unwrap().last().unwrap().clone()
}

/// Returns whether any file below the folder contains the text.
fn is_in_files(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in_files(&path, text);
        }
        std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[tokio::test]
async fn auth_6_a_model_takes_the_place_of_the_assistant_and_its_key_appears_nowhere() {
    let (model, url) = Model::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, format!("{KEY}\n")).unwrap();
    let data = folder.path().join("data");
    for from_file in [true, false] {
        let mut command = on_free_ports("dev", &data);
        command.args(["--llm-url", &url, "--llm-model", "tiny", "--log", "trace"]);
        if from_file {
            command.arg("--llm-key-file").arg(&key_file);
        } else {
            command.env("QUINTET_LLM_KEY", KEY);
        }
        command.stderr(std::process::Stdio::piped());
        let service = Service::spawn(command);
        let token = service.login("ada").await;
        let (_, agents) = service.get("/v1/agents", &token).await;
        assert_eq!(agents["agents"][0]["agent_name"], "assistant", "{agents}");
        assert!(agents["agents"][0]["description"].as_str().unwrap().contains("tiny"), "{agents}");

        let end = ask(&service).await;
        assert_eq!((&end["status"], &end["final_response"]), (&json!("succeeded"), &json!("It is 42.")));
        assert_eq!(end["usage"], json!({"input_tokens": 20, "output_tokens": 10}));

        let metrics = service.admin("/metrics").await.unwrap().1;
        assert!(metrics.contains("quintet_model_tokens_total"), "{metrics}");
        let command_line = std::fs::read_to_string(format!("/proc/{}/cmdline", service.pid())).unwrap();
        let log = service.drained();
        for text in [&metrics, &command_line, &log] {
            assert!(!text.contains(KEY), "{text}");
        }
        assert!(!is_in_files(&data, KEY));
        std::fs::remove_dir_all(&data).unwrap();
    }
    let requests = model.requests.lock().unwrap();
    assert_eq!(requests.len(), 4);
    for (headers, request) in requests.iter() {
        assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
        let tools: Vec<_> = request["tools"].as_array().unwrap().iter().collect();
        let names: Vec<_> = tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["calculate", "current_time", "search_history"]);
    }
}

#[tokio::test]
async fn agents_of_the_file_are_listed_beside_the_assistant_and_one_may_be_the_default() {
    let (_, url) = Model::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("quintet.toml");
    let text = format!(
        "default_agent = 'tiny'\n[[agents]]\nkind = 'model'\nname = 'tiny'\napi = 'openai-chat'\nurl = '{url}'\nmodel = 'tiny'\n\
         description = 'A small model.'\ntools = ['calculate']\n"
    );
    std::fs::write(&config, text).unwrap();
    let service = Service::dev(&folder.path().join("data"), &["--config", config.to_str().unwrap()]);
    let token = service.login("ada").await;
    let (_, agents) = service.get("/v1/agents", &token).await;
    let listed = |agent: &Value| (agent["agent_name"].clone(), agent["default"].clone());
    let listed: Vec<_> = agents["agents"].as_array().unwrap().iter().map(listed).collect();
    assert_eq!(
        listed,
        [
            (json!("assistant"), json!(false)),
            (json!("rehearsal"), json!(false)),
            (json!("tiny"), json!(true))
        ]
    );
    assert_eq!(ask(&service).await["final_response"], "It is 42.");
    service.drained();
}

#[tokio::test]
async fn an_agent_of_the_file_takes_the_place_of_the_assistant_wherever_it_stands() {
    let (_, url) = Model::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("quintet.toml");
    let model = |name: &str| {
        format!(
            "[[agents]]\nkind = 'model'\nname = '{name}'\napi = 'openai-chat'\nurl = '{url}'\nmodel = 'tiny'\n"
        )
    };
    let remote = "[[agents]]\nkind = 'agui'\nname = 'assistant'\nurl = 'http://127.0.0.1:1/'\n".to_owned();
    for text in [model("other") + &model("assistant"), model("other") + &remote] {
        std::fs::write(&config, text).unwrap();
        let service = Service::dev(&folder.path().join("data"), &["--config", config.to_str().unwrap()]);
        let (_, agents) = service.get("/v1/agents", &service.login("ada").await).await;
        let listed = |agent: &Value| (agent["agent_name"].clone(), agent["default"].clone());
        let listed: Vec<_> = agents["agents"].as_array().unwrap().iter().map(listed).collect();
        assert_eq!(listed[0], (json!("assistant"), json!(true)), "{agents}");
        assert!(
            !agents["agents"][0]["description"].as_str().unwrap().contains("Calculates exactly"),
            "{agents}"
        );
        assert_eq!(listed.len(), 3, "{agents}");
        service.drained();
    }
}

#[tokio::test]
async fn run_10_a_violation_of_a_remote_agent_is_counted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let body = "data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"x\"}\n\n";
    let routes = Router::new().route(
        "/",
        post(move || async move { ([("content-type", "text/event-stream")], body).into_response() }),
    );
    Tasks::default().spawn(async move { axum::serve(listener, routes).await });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("quintet.toml");
    let text = format!("default_agent = 'r'\n[[agents]]\nkind = 'agui'\nname = 'r'\nurl = '{url}'\n");
    std::fs::write(&config, text).unwrap();
    let service = Service::dev(&folder.path().join("data"), &["--config", config.to_str().unwrap()]);
    let end = ask(&service).await;
    assert_eq!((&end["status"], &end["error"]["code"]), (&json!("failed"), &json!("violation")), "{end}");
    let metrics = service.admin("/metrics").await.unwrap().1;
    assert!(metrics.contains("quintet_violations_total 1"), "{metrics}");
    service.drained();
}

#[test]
fn an_invalid_agent_of_the_file_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("quintet.toml");
    let model =
        "kind = 'model'\nname = 'm'\napi = 'openai-chat'\nurl = 'http://127.0.0.1:1/v1'\nmodel = 'x'\n";
    for (text, why) in [
        ("[[agents]]\nname = 'x'".to_owned(), "[[agents]] \"x\": its `kind` is"),
        ("[[agents]]\nkind = 'oracle'".to_owned(), "[[agents]], number 1: its `kind` is"),
        (format!("[[agents]]\n{model}colour = 'red'"), "[[agents]] \"m\": unknown field `colour`"),
        (format!("[[agents]]\n{model}model_rounds_max = 0"), "[[agents]] \"m\": model_rounds_max"),
        ("[[agents]]\nkind = 'model'\nname = 'm'".to_owned(), "[[agents]] \"m\": missing field"),
        ("[[mcp_servers]]\nname = 'm'".to_owned(), "[[mcp_servers]] \"m\": "),
        (
            "[[mcp_servers]]\nname = 'm'\ncommand = ['x']\n[[mcp_servers]]\nname = 'm'\ncommand = ['y']"
                .to_owned(),
            "[[mcp_servers]] \"m\": another MCP server has this name",
        ),
        ("[[agents]]\nkind = 'agui'\nname = 'r'".to_owned(), "[[agents]] \"r\": "),
    ] {
        std::fs::write(&config, &text).unwrap();
        let config = config.to_str().unwrap();
        let data = folder.path().join("data");
        let mut dev = on_free_ports("dev", &data);
        dev.args(["--config", config]);
        for outcome in [run(&["check-config", "--config", config]), outcome(dev)] {
            assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{text}: {}", outcome.stderr);
            assert!(outcome.stderr.contains(why), "{text}: {}", outcome.stderr);
        }
    }
    // Found only once the tools are known, and the key is read.
    for (more, why) in [
        ("tools = ['calculator']", "\"calculator\""),
        ("key_file = '/does/not/exist'", "/does/not/exist"),
        ("key_variable = 'QUINTET_TEST_UNSET'", "QUINTET_TEST_UNSET"),
    ] {
        std::fs::write(&config, format!("[[agents]]\n{model}{more}")).unwrap();
        let mut dev = on_free_ports("dev", &folder.path().join("data"));
        dev.args(["--config", config.to_str().unwrap()]);
        let refused = outcome(dev);
        assert_eq!(refused.code, 2, "{more}: {}", refused.stderr);
        assert!(refused.stderr.contains("\"m\"") && refused.stderr.contains(why), "{}", refused.stderr);
    }
}

#[test]
fn auth_6_a_key_is_refused_as_a_flag() {
    let set = format!("llm_key={KEY}");
    let refused = outcome(quintet(["dev", "--set", &set]));
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("llm_key_file") && !refused.stderr.contains(KEY), "{}", refused.stderr);
}
