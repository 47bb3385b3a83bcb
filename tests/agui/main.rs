//! Remote agents over AG-UI, on real users' machines over a journal in memory: against an upstream that injects faults,
//! and against agents of other projects (`run.sh`).

mod agents;
mod faults;
mod peers;
mod process;
mod resumed;
mod rounds;
#[path = "../agents/stage.rs"]
#[expect(dead_code, reason = "shared with the tests of other agents")]
mod stage;
mod upstream;
