//! RUN-5: nothing follows the completion.

use quintet_agent::{AgentError, Completed, Run};

async fn course(run: Run<Completed>) -> Result<(), AgentError> {
    let _run = run.answer("one more thing").await?;
    Ok(())
}

fn main() {}
