//! The audit accepts every journal that the service writes, and no other.

mod clean;
mod erased;
mod evidence;
mod planted;
mod refused;
mod tampered;

use quintet_testkit::{cases, journal as support};
