//! RUN-4: nothing is closed where nothing is open.

use quintet_agent::{AgentError, Executed, Run, Thinking};

async fn course(run: Run<Thinking>, executed: Executed) -> Result<(), AgentError> {
    let (_run, _result) = run.close(executed).await?;
    Ok(())
}

fn main() {}
