//! Explores the shipped kernel of `quintet`, not a copy, in environments that may take any step at any time, to
//! the last state.
//!
//! The reading order is in `model/README.md`.
//!
//! - [`machine`]: the kernel as a parameter, so that a defect can take its place
//! - [`vocabulary`], [`ask`]: small names, and all commands that may be given
//! - [`law`], [`verdict`]: the rules as predicates over a log, and over one command to it
//! - [`checks`]: properties with their rules as data; [`catalogue`]: all of them, as a table
//! - [`models`]: one environment each, as a stateright model
//! - [`charts`]: the machines drawn and tabulated from the code
//! - [`graph`]: exhaustive exploration with a shortest path to each failure
//! - [`fair`]: leads-to under weak and strong fairness; [`liveness`]: what has to happen in the end
//! - [`instances`]: the environments with their numbers; [`claims`]: what each claims, with numbers
//! - [`mutants`]: defects that run in process, and the checks that they turn red
//! - [`planted`]: the table of defects that are edits of a file, and its runner
//! - [`docs`]: tables of the documents, generated
//! - [`spec`]: the TLA+ specifications, explored in-process, and compared edge for edge
//! - [`specified`]: the claims of the specifications themselves, and that each of them can fail
//! - [`trace`]: recordings of the running service, held against kernel and specifications
//! - [`traceability`]: from each rule to all that stands for it
//! - [`words`]: the words of small instances, for the tests of client libraries
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
pub mod words;
