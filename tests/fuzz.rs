//! Replay of the corpora of the fuzz targets on a stable compiler: findings of a campaign stay covered.
//! `docs/model/fuzzing.md` describes the check of each target, and longer runs.

use std::{collections::BTreeSet, fs, path::Path};

use quintet_testkit::fuzz as bodies;

/// Plays every file of a target's corpus; a failure names the file.
fn replay(target: &str) {
    let (_, body) = bodies::TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: BTreeSet<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 10, "a corpus of {} files checks nothing", files.len());
    for file in &files {
        let bytes = fs::read(file).unwrap();
        let played = std::panic::catch_unwind(|| body(&bytes));
        assert!(played.is_ok(), "{}", file.display());
    }
}

#[test]
fn calculator() {
    replay("calculator");
}

#[test]
fn journal_readback() {
    replay("journal_readback");
}

#[test]
fn kernel_steps() {
    replay("kernel_steps");
}

#[test]
fn legacy_decoder() {
    replay("legacy_decoder");
}

#[test]
fn questions() {
    replay("questions");
}

#[test]
fn rehearsal_scripts() {
    replay("rehearsal_scripts");
}

#[test]
fn resume_cursors() {
    replay("resume_cursors");
}

#[test]
fn wire_decoder() {
    replay("wire_decoder");
}

/// Finds a target without a corpus, and a corpus without a target.
#[test]
fn every_target_has_its_corpus_and_its_dictionary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| -> BTreeSet<String> {
        let files = fs::read_dir(root.join(folder)).unwrap();
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let targets: BTreeSet<String> = bodies::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("targets"), targets);
    assert_eq!(names("corpus"), targets);
    assert!(names("dictionaries").is_subset(&targets));
}
