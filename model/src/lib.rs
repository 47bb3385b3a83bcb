//! The machine that ships is the machine that is checked: the kernel of `quintet`, not a copy,
//! inside environments that may do anything, explored to the last state.
//!
//! - [`machine`]: the kernel as a parameter, so that a defect can take its place
//! - [`vocabulary`], [`ask`]: small names, and all that may be asked
//! - [`law`], [`verdict`]: the contract as predicates over a log, and over one command to it
//! - [`checks`]: properties with their rules as data; [`catalogue`]: all of them, as a table reads them
//! - [`models`]: one environment each, as a stateright model
//! - [`charts`]: the machines drawn and tabulated for people
//! - [`graph`]: exhaustive exploration with the shortest path to whatever goes wrong
//! - [`fair`]: leads-to under weak and strong fairness; [`liveness`]: what has to happen in the end
//! - [`instances`]: the models, as large as is asked for; [`claims`]: what is claimed of which, with numbers
//! - [`mutants`]: defects of machines, shell and specifications, and the checks that they turn red
//! - [`planted`]: defects in the shipped source, and the tests that have to see them
//! - [`docs`]: tables of the documents, generated
//! - [`spec`]: the TLA+ specifications, explored in-process, and compared edge for edge
//! - [`specified`]: what the specifications claim of themselves, and that each of it can fail
//! - [`trace`]: what the running service wrote down, against both
//! - [`traceability`]: from each rule to all that stands for it
//! - [`refine`]: the kernel's types as the specifications write them

pub mod ask;
pub mod catalogue;
pub mod charts;
pub mod checks;
pub mod claims;
pub mod docs;
pub mod fair;
pub mod graph;
pub mod instances;
pub mod law;
pub mod liveness;
pub mod machine;
pub mod models;
pub mod mutants;
pub mod planted;
pub mod refine;
pub mod spec;
pub mod specified;
pub mod trace;
pub mod traceability;
pub mod verdict;
pub mod vocabulary;
