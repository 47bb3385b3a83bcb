//! The machine that ships is the machine that is checked: the kernel of `quintet`, not a copy,
//! inside environments that may do anything, explored to the last state.
//!
//! - [`machine`]: the kernel as a parameter, so that a defect can take its place
//! - [`vocabulary`], [`ask`]: small names, and all that may be asked
//! - [`law`], [`verdict`]: the contract as predicates over a log, and over one command to it
//! - [`models`]: one environment each, as a stateright model
//! - [`graph`]: exhaustive exploration with the shortest path to whatever goes wrong
//! - [`fair`]: leads-to under weak and strong fairness
//! - [`spec`]: the TLA+ specifications, explored in-process, and compared edge for edge
//! - [`refine`]: the kernel's types as the specifications write them

pub mod ask;
pub mod fair;
pub mod graph;
pub mod law;
pub mod machine;
pub mod models;
pub mod refine;
pub mod spec;
pub mod verdict;
pub mod vocabulary;
