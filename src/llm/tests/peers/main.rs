//! Runs of model agents against services that are not part of this project: a mock of all three protocols
//! with faults, and a small language model. `tests/models/run.sh` starts them.

use std::{sync::Arc, time::Duration};

use quintet_agent::ToolPattern;
use quintet_agent::{AgentRegistry, CallStatus, ThoughtKind, Tool, ToolError, tool};
use quintet_kernel::entry::{Event, RunErrorCode, RunStatus};
use quintet_llm::{ApiKind, ModelAgent, ModelConfig};
use quintet_upstream::{HttpClient, HttpOptions};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use quintet_testkit::live_run::{calls, launch, play, registry, text};

const ALL: [ApiKind; 3] = [ApiKind::OpenaiChat, ApiKind::OpenaiResponses, ApiKind::Anthropic];

/// Returns the address of a peer; without it the test is skipped, except under CI.
fn peer(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok();
    if address.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: see tests/models/run.sh");
        println!("skipped: {variable} is not set, see tests/models/run.sh");
    }
    address
}

fn config(api: ApiKind, address: &str) -> ModelConfig {
    let mut config = ModelConfig::new("model", api, format!("{address}/v1").parse().unwrap(), "m");
    config.tools = vec![ToolPattern::new("*")];
    (config.limits.retries_max, config.limits.retry_pause_ms) = (0, 10);
    config
}

#[derive(Deserialize, JsonSchema)]
struct Sum {
    expression: String,
}

fn agents(config: ModelConfig) -> AgentRegistry {
    let calculate = tool("calculate", "Calculates.", |Sum { expression }, _| async move {
        match expression.as_str() {
            "2+3" => Ok(5),
            "4*5" => Ok(20),
            _ => Err(ToolError::user_facing("another sum")),
        }
    });
    let tools = vec![Arc::new(calculate) as Arc<dyn Tool>];
    let client = HttpClient::new(&HttpOptions::default()).unwrap();
    registry(ModelAgent::new(config, tools, vec![], client).unwrap())
}

#[tokio::test]
async fn the_mock_plays_a_conversation_with_parallel_calls_over_each_protocol() {
    let Some(address) = peer("MODEL_MOCK") else { return };
    for api in ALL {
        let mut config = config(api, &address);
        config.reasoning_effort = (api == ApiKind::Anthropic).then(|| "low".to_owned());
        let (events, end) = play(&agents(config), "two sums").await;
        assert_eq!((end.status, end.message.as_str()), (RunStatus::Succeeded, ""), "{api:?}");
        assert_eq!(
            end.answer.as_deref(),
            Some("I will calculate both. \n\nThe sums are 5 and 20."),
            "{api:?}"
        );
        let results: Vec<_> = calls(&events).into_iter().map(|(_, result)| result.unwrap()).collect();
        assert!(
            results.iter().all(|result| result.status == CallStatus::Ok) && results.len() == 2,
            "{results:?}"
        );
        assert_eq!(text(&events, ThoughtKind::Reasoning), "Two sums are wanted, so two calls.");
        let usage = end.usage.expect("the mock counts tokens");
        assert_eq!((usage.input_tokens, usage.output_tokens), (60, 19), "{api:?}");
    }
}

#[tokio::test]
async fn the_faults_of_the_mock_end_runs_as_failures_of_the_upstream() {
    let Some(address) = peer("MODEL_MOCK") else { return };
    for api in ALL {
        for (fault, message) in [
            ("drop", "the model's service refused the request with status 500"),
            ("malformed", ""),
            ("disconnect", ""),
            ("ratelimit", "the model's service refused the request with status 429"),
        ] {
            let mut config = config(api, &address);
            config.headers.insert(format!("x-aimock-chaos-{fault}"), "1".into());
            let (_, end) = play(&agents(config), "two sums").await;
            assert_eq!(
                (end.status, end.code),
                (RunStatus::Failed, Some(RunErrorCode::Upstream)),
                "{api:?} {fault}"
            );
            assert!(end.message.starts_with(message), "{api:?} {fault}: {}", end.message);
        }
        // A response that is cut after some of its chunks.
        let (events, end) = play(&agents(config(api, &address)), "cut").await;
        assert_eq!(
            (end.status, end.code),
            (RunStatus::Failed, Some(RunErrorCode::Upstream)),
            "{api:?}: {end:?}"
        );
        let answer = text(&events, ThoughtKind::Answer);
        let whole = "This answer is longer than the connection lives, which ends after some of its chunks.";
        assert!(
            !answer.is_empty() && answer.len() < whole.len() && whole.starts_with(&answer),
            "{api:?}: {answer}"
        );
        // A response that begins late.
        let mut config = config(api, &address);
        config.headers.insert("x-aimock-chaos-latency".into(), "300".into());
        config.limits.first_byte_timeout_ms = 100;
        let (_, end) = play(&agents(config.clone()), "two sums").await;
        assert_eq!(end.message, "the model's service did not answer within 100 ms", "{api:?}");
        config.limits.first_byte_timeout_ms = 10_000;
        assert_eq!(play(&agents(config), "two sums").await.1.status, RunStatus::Succeeded, "{api:?}");
    }
}

/// Half of the requests fail: the others are what the run is made of, and nothing is doubled.
#[tokio::test]
async fn runs_survive_a_mock_that_refuses_every_other_request() {
    let Some(address) = peer("MODEL_MOCK") else { return };
    for api in ALL {
        for fault in ["drop", "disconnect"] {
            let mut config = config(api, &address);
            config.headers.insert(format!("x-aimock-chaos-{fault}"), "0.5".into());
            config.limits.retries_max = 30;
            config.limits.retry_pause_max_ms = 20;
            let agents = agents(config);
            for _ in 0..5 {
                let (_, end) = play(&agents, "two sums").await;
                assert_eq!(
                    end.answer.as_deref(),
                    Some("I will calculate both. \n\nThe sums are 5 and 20."),
                    "{end:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_small_model_answers_and_its_text_streams() {
    let Some(address) = peer("MODEL_SMALL") else { return };
    let mut config = config(ApiKind::OpenaiChat, &address);
    config.tools.clear();
    config.instructions = Some("You are a helpful assistant. Answer in one short sentence.".into());
    (config.temperature, config.limits.output_tokens_max) = (Some(0.0), 200);
    let (events, end) = play(&agents(config), "What is the capital of France?").await;
    assert_eq!((end.status, end.message.as_str()), (RunStatus::Succeeded, ""));
    let answer = end.answer.unwrap();
    assert!(answer.contains("Paris"), "{answer}");
    let deltas = events.iter().filter(|event| matches!(event, Event::Thinking(_))).count();
    assert!(deltas > 1, "the answer came in {deltas} deltas");
    assert!(end.usage.unwrap().output_tokens > 0);
    println!("{answer:?} in {deltas} deltas");
}

/// A cancel stops the computation of the model.
#[tokio::test]
async fn a_cancel_stops_a_small_model() {
    let Some(address) = peer("MODEL_SMALL") else { return };
    let client = HttpClient::new(&HttpOptions::default()).unwrap();
    let abandoned = async || {
        let stats =
            client.repeatable().get(format!("{address}/stats")).send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<serde_json::Value>(&stats).unwrap()["abandoned"].as_u64().unwrap()
    };
    let before = abandoned().await;
    let mut config = config(ApiKind::OpenaiChat, &address);
    config.tools.clear();
    config.limits.output_tokens_max = 1_500;
    let agents = agents(config);
    let mut live = launch(&agents, "Tell me a very long story about a river.");
    live.until(|event| matches!(event, Event::Thinking(_))).await;
    let cancelled = Instant::now();
    live.cancel();
    let stopped = async {
        while abandoned().await == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), stopped).await.expect("the model stops");
    println!("the model stopped after {:?}", cancelled.elapsed());
}
