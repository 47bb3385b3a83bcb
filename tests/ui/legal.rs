//! All legal steps, so that the illegal ones fail for their own reason.

use quintet::agent::{AfterClose, Completed, OpenCall, Run, Started, Unfinished};
use quintet::kernel::{entry::ThoughtKind, ids::ToolName, json::Json};

async fn course(run: Run<Started>, tool: ToolName) -> Result<Run<Completed>, Unfinished> {
    let run = run.think(ThoughtKind::Reasoning, "I need two tools.").await?;
    let (run, first) = run.open(tool.clone(), Json::empty_object()).await?;
    let run = run.think(ThoughtKind::Progress, "One is open.").await?;
    let (run, second): (_, OpenCall) = run.open(tool, Json::empty_object()).await?;
    let first = first.execute(async { Ok(Json::null()) }).await;
    let second = second.execute(async { Err("broken".to_owned()) }).await;
    let AfterClose::ExecutingTools(run) = run.close(second).await?.0 else { panic!("one is open") };
    let AfterClose::Thinking(run) = run.close(first).await?.0 else { panic!("none is open") };
    Ok(run.answer("Done.").await?.complete().await?)
}

async fn gives_up(run: Run<Started>) -> Result<Run<Completed>, Unfinished> {
    Ok(run.fail("There is nothing to do.").await?)
}

fn main() {
    let _ = (course, gives_up);
}
