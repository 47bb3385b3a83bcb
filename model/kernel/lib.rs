//! The kernel of `quintet`, the same files, without the service around it.
//!
//! Guarantee: it compiles with neither runtime nor clock among its dependencies, so it uses none. And
//! what changes in it is built and tested in seconds, which makes it possible to try every mutant of it:
//! `cargo mutants -p quintet-kernel` (docs/model/results.md).

#[path = "../../src/kernel/mod.rs"]
pub mod kernel;
