//! Checks `docs/tour.md`: every stop names a file that exists and functions and types that this file defines.

use std::{collections::BTreeSet, fs, path::Path};

/// The most files through which a message may pass.
const STOPS_MAX: usize = 12;

/// One line `[file](../file) defines …` of the tour.
#[derive(Debug)]
struct Stop {
    file: String,
    link: String,
    names: Vec<String>,
}

fn stops(tour: &str) -> Vec<Stop> {
    tour.lines().filter_map(stop).collect()
}

fn stop(line: &str) -> Option<Stop> {
    let (file, rest) = line.strip_prefix('[')?.split_once("](")?;
    let (link, names) = rest.split_once(") defines ")?;
    let names = names.split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
    Some(Stop { file: file.to_owned(), link: link.to_owned(), names })
}

/// Returns true if `source` defines the function or type `name`, or the method `Type::name` in an `impl` of
/// `Type`.
fn defines(source: &str, name: &str) -> bool {
    match name.split_once("::") {
        Some((owner, method)) => source
            .split("\nimpl")
            .skip(1)
            .map(|block| block.split("\n}").next().unwrap_or_default())
            .any(|block| heads(block, owner) && has_item(block, "fn", method)),
        None => ["fn", "struct", "enum", "trait", "type"].iter().any(|kind| has_item(source, kind, name)),
    }
}

/// Returns true if the first line of an `impl` block, without the keyword, is about `owner`.
fn heads(block: &str, owner: &str) -> bool {
    let head = block.lines().next().unwrap_or_default();
    words(head).any(|word| word == owner)
}

fn has_item(source: &str, kind: &str, name: &str) -> bool {
    source.lines().any(|line| {
        let mut words = words(line);
        words.any(|word| word == kind) && words.next() == Some(name)
    })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

#[test]
fn every_stop_of_the_tour_names_a_file_and_what_it_defines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tour = fs::read_to_string(root.join("docs/tour.md")).unwrap();
    let stops = stops(&tour);
    assert_eq!(stops.len(), tour.matches("\n## ").count() - 1, "one stop for each section except the last");
    let files: BTreeSet<_> = stops.iter().map(|stop| &stop.file).collect();
    assert!(files.len() <= STOPS_MAX, "a message passes through {} files", files.len());

    let mut wrong = Vec::new();
    for Stop { file, link, names } in &stops {
        if *link != format!("../{file}") {
            wrong.push(format!("{file} links to {link}"));
        }
        match fs::read_to_string(root.join(file)) {
            Ok(source) => wrong.extend(
                names.iter().filter(|name| !defines(&source, name)).map(|name| format!("{file}: no {name}")),
            ),
            Err(error) => wrong.push(format!("{file}: {error}")),
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// A link with a line number would be wrong after the next edit.
#[test]
fn links_of_the_tour_name_existing_pages_and_no_lines() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let tour = fs::read_to_string(docs.join("tour.md")).unwrap();
    for link in tour.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(!link.contains('#'), "{link}");
        assert!(docs.join(link).exists(), "{link}");
    }
}

#[test]
fn a_wrong_name_is_found() {
    let source = "pub struct Hub {}\n\nimpl Hub {\n    pub async fn run(self) {}\n}\n\nimpl<P: Payload> Log<P> \
                  for Disk {\n    fn append(&self) {}\n}\n\nfn free() {}\n";
    for name in ["Hub", "Hub::run", "Disk::append", "append", "free"] {
        assert!(defines(source, name), "{name}");
    }
    for name in ["Hu", "Hub::append", "Disk::run", "Hub::free", "ran", "Payload"] {
        assert!(!defines(source, name), "{name}");
    }
}
