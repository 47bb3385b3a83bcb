//! What every engine of the journal promises, tried on each of them.

mod conformance;
mod crash;
mod folder;
mod reference;
mod retention;
mod support;
