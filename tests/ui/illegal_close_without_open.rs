//! RUN-4: nothing is closed where nothing is open.

use quintet::agent::{Executed, Run, Thinking, Unfinished};

async fn course(run: Run<Thinking>, executed: Executed) -> Result<(), Unfinished> {
    let (_run, _result) = run.close(executed).await?;
    Ok(())
}

fn main() {}
