//! RUN-4: a call is closed once.

use quintet_agent::{AfterClose, AgentError, Executed, ExecutingTools, Run};

async fn course(run: Run<ExecutingTools>, executed: Executed) -> Result<(), AgentError> {
    let AfterClose::ExecutingTools(run) = run.close(executed).await?.0 else { return Ok(()) };
    let (_run, _result) = run.close(executed).await?;
    Ok(())
}

fn main() {}
