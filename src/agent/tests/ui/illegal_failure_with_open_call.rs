//! RUN-5: a run fails with no call open; giving up closes them.

use quintet_agent::{AgentError, Completed, ExecutingTools, Run};

async fn course(run: Run<ExecutingTools>) -> Result<Run<Completed>, AgentError> {
    Ok(run.fail("no").await?)
}

fn main() {}
