//! RUN-4: an open call is closed by its execution.

use quintet_agent::{AgentError, ExecutingTools, OpenCall, Run};

async fn course(run: Run<ExecutingTools>, call: OpenCall) -> Result<(), AgentError> {
    let (_run, _result) = run.close(call).await?;
    Ok(())
}

fn main() {}
