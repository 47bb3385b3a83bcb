//! What authors of agents rely on: typed tools, errors that hide their cause, answers that keep a refusal apart, and
//! names that are checked at registration.

use std::{
    io,
    sync::{Arc, Mutex},
};

use quintet::{
    agent::{AgentRegistry, Executor, RegistrationError},
    kernel::{
        entry::{CallResult, Event, RunStatus},
        ids::CallId,
    },
    prelude::*,
    service::ServiceError,
};
use serde::Deserialize;
use serde_json::json;

use crate::stage::{Stage, ending, words};

#[derive(Debug, thiserror::Error)]
#[error("cannot load {what:?}")]
struct Unloadable {
    what: String,
    #[source]
    source: io::Error,
}

#[derive(Deserialize, JsonSchema)]
struct Load {
    what: String,
}

fn load(what: &str) -> Result<u32, Unloadable> {
    match what {
        "four" => Ok(4),
        _ => Err(Unloadable { what: what.to_owned(), source: io::Error::other("the disk is upside down") }),
    }
}

/// Takes the steps that the message names.
struct Author {
    name: &'static str,
    tools: Vec<Arc<dyn Tool>>,
}

impl Author {
    fn named(name: &'static str, tools: &[&'static str]) -> Self {
        let tools = tools.iter().map(|name| {
            let tool = tool(name, "Loads a number.", |args: Load, _| async move {
                match args.what.as_str() {
                    "nothing" => Err(ToolError::user_facing("there is nothing to load")),
                    what => Ok(load(what)?),
                }
            });
            Arc::new(tool) as Arc<dyn Tool>
        });
        Self { name, tools: tools.collect() }
    }
}

#[async_trait]
impl Agent for Author {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> &str {
        "Does what the message says."
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let run = run.think(ThoughtKind::Reasoning, "hm").await?;
        let (what, rest) = task.text.split_once(' ').unwrap_or((&task.text, ""));
        let run = match what {
            "load" => run.answer(load(rest)?.to_string()).await?,
            "json" => run.answer(serde_json::from_str::<u8>(rest)?.to_string()).await?,
            "call" => {
                let parameters = Json::parse(rest)?;
                let (run, result) = run.call(&*self.tools[0], parameters).await?;
                run.answer(result.error.unwrap_or(result.results.as_str().to_owned())).await?
            }
            "misname" => run.ask("not a name", json!({})).await?.0,
            _ => {
                let (run, answer) = run.ask("approve", json!({})).await?;
                run.answer(format!("{answer:?}")).await?
            }
        };
        Ok(run.complete().await?)
    }
}

fn stage() -> Stage {
    Stage::with(AgentRegistry::new(Author::named("author", &["load"]), Executor::shared()).unwrap())
}

/// Everything that is logged in this thread until the guard is dropped.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let captured = Self::default();
        let writer = captured.clone();
        let log = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (captured, tracing::subscriber::set_default(log))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_error_fails_the_run_is_hidden_from_the_user_and_logged_with_its_sources() {
    let (log, _guard) = Captured::start();
    let ended = ending(&stage().ann().play("author", "load my first diary").await);
    assert_eq!(ended, (RunStatus::Failed, "agent_error".into(), "The agent failed.".into()));
    let log = log.text();
    assert!(log.contains("cannot load") && log.contains("the disk is upside down"), "{log}");
    assert!(!log.contains("first diary"), "AUTH-6: {log}");
}

#[tokio::test(start_paused = true)]
async fn auth_6_no_error_carries_a_users_text_into_the_log() {
    let (log, _guard) = Captured::start();
    let stage = stage();
    let mut ann = stage.ann();
    for text in [r#"json "open sesame""#, r#"json "\u006fpen sesame""#, r#"call {"what":"open sesame"}"#] {
        ann.play("author", text).await;
    }
    let log = log.text();
    assert!(log.contains("error in JSON") && log.contains("a tool failed"), "{log}");
    assert!(!log.contains("sesame"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_typed_tool_names_malformed_arguments_and_hides_the_cause_of_its_failure() {
    let stage = stage();
    let mut ann = stage.ann();
    for (text, status, answer) in [
        (r#"call {"what":"four"}"#, "ok:c1", "4"),
        (r#"call {"what":"nothing"}"#, "error:c1", "there is nothing to load"),
        (r#"call {"what":"five"}"#, "error:c1", "the tool failed"),
        (r#"call {}"#, "error:c1", "the arguments are invalid: missing field `what` at line 1 column 2"),
    ] {
        let words = words(&ann.play("author", text).await);
        assert_eq!(words[3..], [status.to_owned(), format!("answer:{answer}"), "succeeded".to_owned()]);
    }
}

#[tokio::test(start_paused = true)]
async fn run_11_a_refusal_is_an_answer_of_its_own() {
    let (stage, call_id) = (stage(), CallId::parse("c1").unwrap());
    let mut ann = stage.ann();
    for (result, word, answer) in [
        (
            CallResult::declined(Some("not today".into())),
            "declined:c1",
            r#"answer:declined { reason: some("not today") }"#,
        ),
        (CallResult::declined(None), "declined:c1", "answer:declined { reason: none }"),
        (CallResult::error("broken"), "error:c1", r#"answer:failed { error: "broken" }"#),
        (CallResult::ok(Json::empty_object()), "ok:c1", "answer:given({})"),
    ] {
        let mut run = ann.send("author", "ask").await;
        run.until(|event| matches!(event, Event::ToolExecuting(_))).await;
        ann.user.answer(run.run_id, call_id.clone(), result).await.unwrap();
        let words = words(&run.finish().await);
        assert_eq!(words[3..], [word, answer, "succeeded"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_name_at_a_call_fails_the_run() {
    let ended = ending(&stage().ann().play("author", "misname").await);
    assert_eq!(ended, (RunStatus::Failed, "agent_error".into(), "The agent failed.".into()));
}

#[test]
fn names_are_checked_at_registration() {
    let refused = |name, tools: &[&'static str]| {
        let good = AgentRegistry::new(Author::named("author", &["load"]), Executor::shared()).unwrap();
        good.with(Author::named(name, tools)).map(|_| ()).unwrap_err()
    };
    assert!(matches!(refused("", &[]), RegistrationError::AgentName { .. }));
    assert!(matches!(refused("an author", &[]), RegistrationError::AgentName { .. }));
    assert!(matches!(refused("author", &[]), RegistrationError::DuplicateAgent { .. }));
    assert!(matches!(refused("other", &["a b"]), RegistrationError::ToolName { .. }));
    assert!(matches!(refused("other", &["a", "b", "a"]), RegistrationError::DuplicateTool { .. }));

    let built = Service::builder().agent(Author::named("an author", &[])).bind("127.0.0.1:0").dev().build();
    let error = built.map(|_| ()).unwrap_err();
    assert!(matches!(error, ServiceError::Registration(RegistrationError::AgentName { .. })), "{error}");
    assert!(error.is_configuration());
}
