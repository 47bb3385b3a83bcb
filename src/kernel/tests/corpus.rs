//! The corpus of the kernel's fuzz target, replayed.

use std::{fs, path::Path};

use quintet_testkit::fuzz::kernel_steps;

#[test]
fn the_corpus_of_kernel_steps() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/kernel_steps");
    for file in fs::read_dir(folder).unwrap() {
        kernel_steps::run(&fs::read(file.unwrap().path()).unwrap());
    }
}
