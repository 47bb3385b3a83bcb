//! A second opinion is worth something if it accepts every journal that the service writes, and no
//! other.

#[path = "../cases/mod.rs"]
mod cases;
mod clean;
mod evidence;
mod planted;
mod refused;
#[path = "../journal/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the journal")]
mod support;
mod tampered;
