//! RUN-5: a run completes once.

use quintet::agent::{Completed, Run, Thinking, Unfinished};

async fn course(run: Run<Thinking>) -> Result<Run<Completed>, Unfinished> {
    let _first = run.complete().await?;
    Ok(run.complete().await?)
}

fn main() {}
