//! The agents that come with the service, and agents that misbehave, on real users' machines over a
//! journal in memory: what the log says of them, and what is left when they are gone.

mod assistant;
mod authoring;
mod durable;
mod fairness;
mod limits;
mod rehearsal;
mod restart;
mod stage;
mod supervision;
