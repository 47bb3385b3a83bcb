//! The built-in agents, and agents that misbehave, on real users' machines over a journal in memory: the log
//! of their runs, and the resources left afterwards.

mod assistant;
mod authoring;
mod durable;
mod fairness;
mod limits;
mod mcp;
mod mcp_cuts;
mod rehearsal;
mod requests;
mod restart;
mod steering;
mod supervision;

use quintet_testkit::stage;
