//! RUN-5: a run completes with no call open.

use quintet::agent::{Completed, ExecutingTools, Run, Unfinished};

async fn course(run: Run<ExecutingTools>) -> Result<Run<Completed>, Unfinished> {
    Ok(run.complete().await?)
}

fn main() {}
