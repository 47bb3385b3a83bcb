//! The bodies of the fuzz targets: the same code under libFuzzer (`fuzz/targets`) and in the stable replay of
//! the corpora (`tests/fuzz.rs`).
//!
//! A body panics on an error and otherwise returns. It depends on its bytes alone.

#[cfg(feature = "service")]
pub mod calculator;
#[cfg(feature = "service")]
pub mod journal_readback;
pub mod kernel_steps;
mod kernel_steps_connection;
#[cfg(feature = "service")]
pub mod legacy_decoder;
pub mod program;
#[cfg(feature = "service")]
pub mod questions;
#[cfg(feature = "service")]
pub mod rehearsal_scripts;
#[cfg(feature = "service")]
pub mod resume_cursors;
#[cfg(feature = "service")]
pub mod wire_decoder;
#[cfg(feature = "service")]
mod wire_tree;

use crate::kernel;

/// The body of a target.
pub type FuzzTarget = fn(&[u8]);

/// The targets, each with its name, which is that of its corpus.
#[cfg(feature = "service")]
pub const TARGETS: [(&str, FuzzTarget); 8] = [
    ("calculator", calculator::run),
    ("journal_readback", journal_readback::run),
    ("kernel_steps", kernel_steps::run),
    ("legacy_decoder", legacy_decoder::run),
    ("questions", questions::run),
    ("rehearsal_scripts", rehearsal_scripts::run),
    ("resume_cursors", resume_cursors::run),
    ("wire_decoder", wire_decoder::run),
];
