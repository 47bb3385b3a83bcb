//! RUN-9: a result is visible when its tool_completed is durable.

use quintet_agent::Executed;

fn course(executed: Executed) -> bool {
    executed.result.error.is_some()
}

fn main() {}
