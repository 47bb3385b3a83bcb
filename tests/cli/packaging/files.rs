//! The queries in the files of `packaging/`.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;

/// A query, where it stands, and the labels that its texts show.
#[derive(Debug)]
pub struct Query {
    pub place: String,
    pub text: String,
    pub shown: Vec<String>,
}

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

pub fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// Returns the queries of the dashboard, with its variables replaced.
pub fn dashboard() -> Vec<Query> {
    let dashboard: Value = serde_json::from_str(&read("grafana/quintet.json")).unwrap();
    let label = Regex::new(r"\{\{\s*(\w+)\s*\}\}").unwrap();
    let mut queries = Vec::new();
    let mut add = |place: String, text: &Value, shown: &str| {
        let text = text.as_str().unwrap().replace("$__rate_interval", "5m");
        let text = text.replace("\"$job\"", "\"quintet\"").replace("\"$instance\"", "\".+\"");
        assert!(!text.contains('$'), "a variable is not known: {text}");
        let shown = label.captures_iter(shown).map(|found| found[1].to_owned()).collect();
        queries.push(Query { place, text, shown });
    };
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            add(panel["title"].to_string(), &target["expr"], target["legendFormat"].as_str().unwrap());
        }
    }
    for note in dashboard["annotations"]["list"].as_array().unwrap() {
        add(note["name"].to_string(), &note["expr"], note["textFormat"].as_str().unwrap());
    }
    queries
}

/// Returns the metric and the label of each list of values that the dashboard offers.
pub fn variables() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("grafana/quintet.json")).unwrap();
    let values = Regex::new(r"^label_values\((\w+)(?:\{.*\})?, (\w+)\)$").unwrap();
    let lists = dashboard["templating"]["list"].as_array().unwrap().iter();
    let lists = lists.filter_map(|variable| variable["definition"].as_str());
    lists.map(|text| values.captures(text).map(|found| (found[1].into(), found[2].into())).unwrap()).collect()
}

/// Returns the query of each alert.
pub fn alerts() -> Vec<Query> {
    let text = read("prometheus/quintet.rules.yml");
    let label = Regex::new(r"\$labels\.(\w+)").unwrap();
    let alerts = text.split("\n      - alert: ").skip(1);
    let alerts = alerts.map(|alert| {
        let (name, rest) = alert.split_once('\n').unwrap();
        let (_, rest) = rest.split_once("expr: ").unwrap();
        let end = Regex::new(r"\n        (?:for|labels): ").unwrap().find(rest).unwrap().start();
        let query = rest[..end].trim_start_matches(">\n").replace('\n', " ");
        let shown = label.captures_iter(rest).map(|found| found[1].to_owned()).collect();
        Query { place: name.to_owned(), text: query, shown }
    });
    let alerts: Vec<Query> = alerts.collect();
    assert_eq!(alerts.len(), text.matches("alert:").count());
    alerts
}
