//! The kernel's tests, and the corpus of its fuzz target, over the kernel by itself.

#[path = "../../../tests/kernel/account.rs"]
mod account;
#[path = "../../../tests/cases/mod.rs"]
mod cases;
#[path = "../../../tests/kernel/limits.rs"]
mod limits;
#[path = "../../../tests/kernel/make.rs"]
mod make;
#[path = "../../../tests/kernel/oracle.rs"]
mod oracle;
#[path = "../../../tests/kernel/policies.rs"]
mod policies;
#[path = "../../../tests/kernel/sequences.rs"]
mod sequences;
#[path = "../../../tests/kernel/words.rs"]
mod words;

/// As `fuzz/bodies/kernel.rs` has them.
mod kernel {
    pub(crate) use super::{account, make, oracle};
}
#[path = "../../../fuzz/bodies/kernel_steps.rs"]
mod kernel_steps;
#[path = "../../../fuzz/bodies/kernel_steps_connection.rs"]
mod kernel_steps_connection;
#[path = "../../../fuzz/bodies/program.rs"]
#[allow(dead_code, reason = "other targets use the rest of it")]
mod program;

#[test]
fn the_corpus_of_the_fuzz_target() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/kernel_steps");
    for file in std::fs::read_dir(folder).unwrap() {
        kernel_steps::run(&std::fs::read(file.unwrap().path()).unwrap());
    }
}
