//! What the service really exposes: metrics, their labels, and the values of these.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

/// Metrics with their labels, and labels with their values.
#[derive(Debug, Default)]
pub struct Exposed {
    pub labels: BTreeMap<String, BTreeSet<String>>,
    pub values: BTreeMap<String, BTreeSet<String>>,
}

impl Exposed {
    /// Adds the text of `/metrics`.
    pub fn add(&mut self, text: &str) {
        let label = Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)""#).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let known = self.labels.entry(name.to_owned()).or_default();
            for found in label.captures_iter(labels) {
                known.insert(found[1].to_owned());
                self.values.entry(found[1].to_owned()).or_default().insert(found[2].to_owned());
            }
        }
    }
}

/// Returns the labels of each metric by the macros that record it, with the endings of histograms.
pub fn recorded() -> BTreeMap<String, BTreeSet<String>> {
    let macros = Regex::new(r#"(counter|gauge|histogram)!\(\s*"(quintet_\w+)"((?s:.)*?)\)\s*\.(?:set|increment|absolute|record)\("#).unwrap();
    let label = Regex::new(r#""(\w+)" =>"#).unwrap();
    let mut recorded: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                for found in macros.captures_iter(&text) {
                    let labels: BTreeSet<String> =
                        label.captures_iter(&found[3]).map(|label| label[1].to_owned()).collect();
                    let is_histogram = &found[1] == "histogram";
                    let endings: &[&str] = if is_histogram { &["_bucket", "_count", "_sum"] } else { &[""] };
                    for ending in endings {
                        let all = recorded.entry(format!("{}{ending}", &found[2])).or_default();
                        all.extend(labels.clone());
                        if *ending == "_bucket" {
                            all.insert("le".to_owned());
                        }
                    }
                }
            }
        }
    }
    recorded
}
