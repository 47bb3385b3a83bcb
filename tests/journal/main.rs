//! What every engine of the journal promises, tried on each of them.

mod conformance;
mod crash;
mod epochs;
mod folder;
mod migration;
mod reference;
mod retention;
mod size;

use quintet_testkit::{cases, journal as support};
