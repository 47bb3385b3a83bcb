//! RUN-3: the client is asked only after a thought.

use quintet::agent::{AgentError, Run, Started};
use quintet::kernel::json::Json;

async fn course(run: Run<Started>, tool: &str) -> Result<(), AgentError> {
    let (_run, _answer) = run.ask(tool, Json::empty_object()).await?;
    Ok(())
}

fn main() {}
