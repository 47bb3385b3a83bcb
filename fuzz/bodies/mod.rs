//! What each fuzz target does with its bytes: the same code under libFuzzer (`fuzz/targets`) and in
//! the stable replay of the corpora (`tests/fuzz.rs`).
//!
//! A body panics if something is wrong and returns if nothing is. It is a function of its bytes alone.

pub mod calculator;
pub mod journal_readback;
mod kernel;
pub mod kernel_steps;
mod kernel_steps_connection;
mod program;
pub mod questions;
pub mod rehearsal_scripts;
pub mod resume_cursors;
pub mod wire_decoder;
mod wire_tree;

/// What a target does with its bytes.
pub type Body = fn(&[u8]);

/// The targets, each with its name, which is that of its corpus.
pub const TARGETS: [(&str, Body); 7] = [
    ("calculator", calculator::run),
    ("journal_readback", journal_readback::run),
    ("kernel_steps", kernel_steps::run),
    ("questions", questions::run),
    ("rehearsal_scripts", rehearsal_scripts::run),
    ("resume_cursors", resume_cursors::run),
    ("wire_decoder", wire_decoder::run),
];
