//! The English of the comments, measured: the rates of words that plain technical English does without, against
//! twice the rates of rustls (6868ee84, comment lines counted the same way).

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;

/// The comment lines of a set of files, counted.
#[derive(Default)]
struct Count {
    /// Lines of `//`, `///` and `//!`.
    lines: usize,
    /// First lines of a `///` or `//!` comment.
    firsts: usize,
    speaking: Vec<String>,
    indefinite: Vec<String>,
    questions: Vec<String>,
}

/// The folders with Rust code; absent ones are skipped. The product is also measured alone.
const FOLDERS: &[&str] = &["src", "tests", "benches", "fuzz", "examples", "model"];

/// Twice the rates of rustls: 0.8 and 0.1 in 1,000 comment lines, 3.6 % of first lines.
const SPEAKING_PER_1000_MAX: f64 = 1.6;
const INDEFINITE_PER_1000_MAX: f64 = 0.2;
const QUESTIONS_PERCENT_MAX: f64 = 7.2;

#[test]
fn comments_are_plain_technical_english() {
    let mut report = String::new();
    for folders in [&["src"][..], FOLDERS] {
        let mut count = Count::default();
        for folder in folders {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            sources(&root).iter().for_each(|file| count.file(file));
        }
        assert!(count.lines > 1_000, "the comments were not found");
        count.report(&mut report);
    }
    assert!(report.is_empty(), "house style, Words:\n{report}");
}

#[test]
fn counted_words_are_recognised() {
    let mut count = Count::default();
    for line in [
        "/// Why somebody is not let in.",
        "/// What it says goes on here.",
        "let x = 1; // whoever asks is told",
        "    // Nobody tells.",
        "//! Returns the head.",
    ] {
        count.line(line, false, "here");
    }
    assert_eq!((count.lines, count.firsts), (4, 3), "a comment behind code is not a comment line");
    assert_eq!((count.speaking.len(), count.indefinite.len(), count.questions.len()), (2, 2, 2));
}

impl Count {
    /// Adds each rate that is above its maximum, with the lines.
    fn report(&self, report: &mut String) {
        let per_1000 = |found: usize| found as f64 * 1_000.0 / self.lines as f64;
        let percent = self.questions.len() as f64 * 100.0 / self.firsts as f64;
        let rates = [
            ("say, tell", per_1000(self.speaking.len()), SPEAKING_PER_1000_MAX, &self.speaking),
            ("whoever, somebody", per_1000(self.indefinite.len()), INDEFINITE_PER_1000_MAX, &self.indefinite),
            ("What, Who, Why at the start", percent, QUESTIONS_PERCENT_MAX, &self.questions),
        ];
        for (what, rate, max, places) in rates {
            if rate > max {
                writeln!(report, "{what}: {rate:.1}, at most {max}\n  {}", places.join("\n  ")).unwrap();
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let text = fs::read_to_string(path).unwrap();
        let mut in_doc = false;
        for (number, line) in text.lines().enumerate() {
            in_doc = self.line(line, in_doc, &format!("{}:{}", path.display(), number + 1));
        }
    }

    /// Counts a line and returns whether it is one of a doc comment.
    fn line(&mut self, line: &str, in_doc: bool, place: &str) -> bool {
        let Some(comment) = line.trim_start().strip_prefix("//") else { return false };
        let (doc, text) = match comment.strip_prefix(['/', '!']) {
            Some(text) => (true, text),
            None => (false, comment),
        };
        let found = || format!("{place}: {}", line.trim());
        self.lines += 1;
        if SPEAKING.is_match(text) {
            self.speaking.push(found());
        }
        if INDEFINITE.is_match(text) {
            self.indefinite.push(found());
        }
        if doc && !in_doc {
            self.firsts += 1;
            if QUESTION.is_match(text) {
                self.questions.push(found());
            }
        }
        doc
    }
}

static SPEAKING: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(say|says|said|saying|tell|tells|told|telling)\b"));
static INDEFINITE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(whoever|whatever|somebody|nobody|anybody|whom)\b"));
static QUESTION: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*(What|Who|Why|How|Whether|Where)\b"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// Every Rust file below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if !folder.is_dir() {
        return found;
    }
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
