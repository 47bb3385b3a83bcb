//! A real agent of LangGraph, served by `ag-ui-langgraph`, as a process.

use quintet::kernel::entry::{Event, RunStatus, ThoughtKind};
use serde_json::{Value, json};

use crate::{
    agents::{calls, finish, play, stage, text_of},
    peers::{answer_of, answering, declined, killed, ok},
    process::Process,
    stage::ending,
};

fn agent() -> Option<Process> {
    Process::python("AGUI_LANGGRAPH", "tests/agui/peers", "langgraph_peer")
}

/// The agent keeps its threads itself.
fn keys(more: Value) -> Value {
    let mut keys = json!({"conversation_bytes_max": 0});
    keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_of_langgraph_streams_calls_and_remembers() {
    let Some(agent) = agent() else { return };
    let stage = stage(&agent.url, keys(json!({})));
    let mut talk = stage.ann();
    assert_eq!(answer_of(&play(&mut talk, "hello").await), "You sent 1 messages. ");
    let events = play(&mut talk, "both").await;
    assert_eq!(
        calls(&events),
        [r#"agent add({"a": 1, "b": 2}) ok 3"#, r#"agent add({"a": 3, "b": 4}) ok 7"#]
    );
    assert_eq!(answer_of(&events), "The results are 3, 7. ");
    assert_eq!(answer_of(&play(&mut talk, "again").await), "You sent 3 messages. ");
    let (_, code, message) = ending(&play(&mut talk, "fail").await);
    assert_eq!((&*code, &*message), ("agent_error", "no model today"));
}

/// RUN-11: an interrupt in a tool, with an answer and with a refusal. The agent announces the interrupted call again when it
/// goes on, and the log has it once (RUN-4).
#[tokio::test(flavor = "multi_thread")]
async fn run_11_agent_of_langgraph_asks_the_client() {
    let Some(agent) = agent() else { return };
    let stage = stage(&agent.url, keys(json!({"declined_resume": "nowhere"})));
    for (user, answer, city) in [("ann", ok(json!("Rome")), "Rome"), ("bob", declined(), "nowhere")] {
        let mut talk = stage.user(user);
        let events = answering(&mut talk, "book", &[("city", answer)]).await;
        let [book, question] = &calls(&events)[..] else { panic!("{:?}", calls(&events)) };
        assert_eq!(*book, format!(r#"agent book({{"nights": 2}}) ok "2 nights in {city}""#));
        assert!(question.contains(r#""message":"Which city for 2 nights?""#), "{question}");
        assert_eq!(answer_of(&events), format!("The results are 2 nights in {city}. "));
        // The thread goes on.
        assert_eq!(answer_of(&play(&mut talk, "more").await), "You sent 2 messages. ");
    }
}

/// RUN-11: without a value that the agent knows as a refusal, a refusal ends the run.
#[tokio::test(flavor = "multi_thread")]
async fn run_11_a_refusal_is_no_answer_for_langgraph() {
    let Some(agent) = agent() else { return };
    let stage = stage(&agent.url, keys(json!({})));
    let events = answering(&mut stage.ann(), "book", &[("city", declined())]).await;
    let (status, code, message) = ending(&events);
    assert_eq!((status, &*code), (RunStatus::Failed, "agent_error"), "{message}");
    assert!(!calls(&events)[0].contains(" ok "), "{:?}", calls(&events));
}

/// The text is there while the agent still works.
#[tokio::test(flavor = "multi_thread")]
async fn run_6_agent_of_langgraph_is_killed() {
    let Some(mut process) = agent() else { return };
    let streaming = stage(&process.url, keys(json!({})));
    let is_answer =
        |event: &Event| matches!(event, Event::Thinking(thought) if thought.kind == ThoughtKind::Answer);
    let events = killed(&streaming, &mut process, "slow", is_answer).await;
    assert_eq!(text_of(&events, ThoughtKind::Answer), "You ");
    let mut process = agent().unwrap();
    let working = stage(&process.url, keys(json!({})));
    let is_call = |event: &Event| matches!(event, Event::ToolExecuting(_));
    let events = killed(&working, &mut process, "slow tool", is_call).await;
    assert_eq!(calls(&events).len(), 1);
}

/// A cancel closes the request, and the agent goes on with the next message.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_an_agent_of_langgraph_is_cancelled() {
    let Some(agent) = agent() else { return };
    let stage = stage(&agent.url, keys(json!({})));
    let mut talk = stage.ann();
    let mut watch = talk.send("remote", "slow").await;
    watch
        .until(|event| matches!(event, Event::Thinking(thought) if thought.kind == ThoughtKind::Answer))
        .await;
    talk.user.cancel(watch.run_id).await.unwrap();
    assert_eq!(ending(&finish(watch).await).0, RunStatus::Cancelled);
    assert_eq!(ending(&play(&mut talk, "hello").await).0, RunStatus::Succeeded);
}
