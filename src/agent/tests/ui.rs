//! Illegal code does not compile: one case for each illegal step of an agent (RUN-3, RUN-4, RUN-5, RUN-9).

use quintet_agent::{AfterClose, AgentError, Answer, Completed, OpenCall, Run, Started, Thinking, ToolError};
use quintet_kernel::{entry::ThoughtKind, json::Json};

#[test]
fn illegal_steps_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/illegal_*.rs");
}

/// All legal steps compile, so that the illegal ones fail for their own reason.
#[test]
fn legal_steps_compile() {
    let _ = (course, gives_up, asks);
}

async fn course(run: Run<Started>, tool: &str) -> Result<Run<Completed>, AgentError> {
    let run = run.think(ThoughtKind::Reasoning, "I need two tools.").await?;
    let (run, first) = run.open(tool, Json::empty_object()).await?;
    let run = run.think(ThoughtKind::Progress, "One is open.").await?;
    let (run, second): (_, OpenCall) = run.open(tool, Json::empty_object()).await?;
    let first = first.execute(async { Ok(Json::null()) }).await;
    let second = second.execute(async { Err(ToolError::user_facing("broken")) }).await;
    let AfterClose::ExecutingTools(run) = run.close(second).await?.0 else { panic!("one is open") };
    let AfterClose::Thinking(run) = run.close(first).await?.0 else { panic!("none is open") };
    Ok(run.answer("Done.").await?.complete().await?)
}

async fn gives_up(run: Run<Started>) -> Result<Run<Completed>, AgentError> {
    Ok(run.fail("There is nothing to do.").await?)
}

async fn asks(run: Run<Thinking>, tool: &str) -> Result<Run<Completed>, AgentError> {
    let (run, asked) = run.open_for_client(tool, Json::empty_object()).await?;
    let AfterClose::Thinking(run) = run.close_answered(asked.answered().await?).await?.0 else { panic!() };
    let (run, answer) = run.ask(tool, Json::empty_object()).await?;
    match answer {
        Answer::Given(_) => Ok(run.complete().await?),
        Answer::Declined { .. } | Answer::Failed { .. } | Answer::Unanswered { .. } => {
            Ok(run.fail("no").await?)
        }
    }
}
