//! RUN-11: the answer to a question is no result of a tool, so that a refusal cannot pass for one.

use quintet_agent::{AgentError, CallResult, ExecutingTools, AskedCall, Run};

async fn course(run: Run<ExecutingTools>, asked: AskedCall) -> Result<CallResult, AgentError> {
    Ok(run.close(asked.answered().await?).await?.1)
}

fn main() {}
