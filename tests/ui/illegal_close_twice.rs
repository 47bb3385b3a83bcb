//! RUN-4: a call is closed once.

use quintet::agent::{AfterClose, Executed, ExecutingTools, Run, Unfinished};

async fn course(run: Run<ExecutingTools>, executed: Executed) -> Result<(), Unfinished> {
    let AfterClose::ExecutingTools(run) = run.close(executed).await?.0 else { return Ok(()) };
    let (_run, _result) = run.close(executed).await?;
    Ok(())
}

fn main() {}
