//! RUN-3: a question to the client needs an earlier thought.

use quintet_agent::{AgentError, Run, Started};
use quintet_kernel::json::Json;

async fn course(run: Run<Started>, tool: &str) -> Result<(), AgentError> {
    let (_run, _answer) = run.ask(tool, Json::empty_object()).await?;
    Ok(())
}

fn main() {}
