//! RUN-4: an open call is closed by its execution.

use quintet::agent::{ExecutingTools, OpenCall, Run, Unfinished};

async fn course(run: Run<ExecutingTools>, call: OpenCall) -> Result<(), Unfinished> {
    let (_run, _result) = run.close(call).await?;
    Ok(())
}

fn main() {}
