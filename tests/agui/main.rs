//! Remote agents over AG-UI, on real users' machines over a journal in memory: against an upstream that injects faults,
//! and against agents of other projects (`run.sh`).

mod agents;
mod faults;
mod langgraph;
mod peers;
mod resumed;
mod rounds;
mod upstream;

use quintet_testkit::{peer_process as process, stage};
