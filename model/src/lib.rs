//! The machine that ships is the machine that is checked: the kernel of `quintet`, not a copy, inside
//! environments that may do anything, explored to the last state.
//!
//! - [`machine`]: the kernel as a parameter, so that a mutant can replace it
//! - [`vocabulary`], [`ask`]: small names, and all commands
//! - [`law`], [`verdict`]: the contract as predicates over a log, and over one command to it
//! - [`checks`]: properties with their rules as data; [`catalogue`]: all of them, as a table
//! - [`models`]: one environment each, as a stateright model
//! - [`charts`]: the machines drawn and tabulated
//! - [`graph`]: exhaustive exploration with the shortest path to a violation
//! - [`fair`]: leads-to under weak and strong fairness; [`liveness`]: the liveness properties
//! - [`instances`]: the models, in any size; [`claims`]: the claims about each, with numbers
//! - [`mutants`]: defects of machines, shell and specifications, and the checks that fail for them
//! - [`planted`]: defects in the shipped source, and the tests that have to find them
//! - [`docs`]: tables of the documents, generated
//! - [`spec`]: the TLA+ specifications, explored in-process, and compared edge for edge
//! - [`specified`]: the specifications' own claims, each shown to fail for a defect
//! - [`trace`]: traces of the running service, checked against both
//! - [`traceability`]: the places of each rule in the tree
//! - [`refine`]: the kernel's types in the form of the specifications

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
