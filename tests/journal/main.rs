//! What every engine of the journal promises, tried on each of them.

#[path = "../cases/mod.rs"]
mod cases;
mod conformance;
mod crash;
mod epochs;
mod folder;
mod migration;
mod reference;
mod retention;
mod size;
#[allow(dead_code, reason = "shared with the tests of the audit")]
mod support;
