//! The guarantees of the journal, tested on each engine.

mod conformance;
mod crash;
mod epochs;
mod executors;
mod folder;
mod killed;
mod migration;
mod postgres;
mod reference;
mod retention;
mod size;
mod threads;
mod trees;

use quintet_testkit::{cases, journal as support};
