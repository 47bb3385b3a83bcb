//! The names in a query of Prometheus. Prometheus itself checks the syntax; this finds what a query is about.

use std::collections::BTreeSet;

/// The names in one query.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub metrics: BTreeSet<String>,
    /// Metric, label, and the value or pattern that it is compared with.
    pub matchers: Vec<(String, String, String)>,
    /// The labels of `by`, `on` and the like.
    pub grouped: BTreeSet<String>,
    /// The labels that an outer `by` leaves; `None` without one.
    pub left: Option<BTreeSet<String>>,
}

const GROUPING: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: &[&str] = &["and", "or", "unless", "offset", "bool", "atan2"];

/// Returns the names in a query. Variables of a dashboard must have been replaced.
pub fn names(query: &str) -> Names {
    let tokens = tokens(query);
    let mut names = Names::default();
    let mut at = 0;
    while at < tokens.len() {
        let token = &*tokens[at];
        let next = tokens.get(at + 1).map(String::as_str);
        if GROUPING.contains(&token) && next == Some("(") {
            let labels = list(&tokens, at + 2, ")");
            if token == "by" {
                names.left.get_or_insert_default().extend(labels.clone());
            }
            // To the closing parenthesis.
            at += 1 + 2 * labels.len();
            names.grouped.extend(labels);
        } else if token == "[" {
            at += tokens[at..].iter().position(|token| token == "]").expect("a range is closed");
        } else if is_name(token)
            && !matches!(next, Some("(" | "by" | "without"))
            && !OPERATORS.contains(&token)
            && !is_number(token)
        {
            names.metrics.insert(token.to_owned());
            if next == Some("{") {
                let end = at + tokens[at..].iter().position(|token| token == "}").expect("braces are closed");
                for matcher in tokens[at + 2..end].split(|token| token == ",") {
                    let [label, .., value] = matcher else { panic!("{query}") };
                    names.matchers.push((
                        token.to_owned(),
                        label.clone(),
                        value.trim_matches('"').to_owned(),
                    ));
                }
                at = end;
            }
        }
        at += 1;
    }
    names
}

/// Returns the names from `at` to `end`, which commas separate.
fn list(tokens: &[String], at: usize, end: &str) -> Vec<String> {
    tokens[at..].iter().take_while(|token| *token != end).filter(|token| *token != ",").cloned().collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn is_number(token: &str) -> bool {
    matches!(token.to_ascii_lowercase().as_str(), "inf" | "nan")
}

fn tokens(query: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut left = query.trim_start();
    while let Some(first) = left.chars().next() {
        let length = match first {
            '"' => 2 + left[1..].find('"').expect("a string is closed"),
            c if c.is_ascii_alphanumeric() || c == '_' => left
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.')))
                .unwrap_or(left.len()),
            c => c.len_utf8(),
        };
        tokens.push(left[..length].to_owned());
        left = left[length..].trim_start();
    }
    tokens
}

#[test]
fn names_of_queries_are_found() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let found = names(
        "sum by (job, le) (rate(a_total{x=~\"p|q\",y!=\"z\"}[5m])) / on (job) group_left (v) b offset 10m > 1e9 or vector(0)",
    );
    assert_eq!(found.metrics, set(&["a_total", "b"]));
    assert_eq!(found.grouped, set(&["job", "le", "v"]));
    assert_eq!(found.left, Some(set(&["job", "le"])));
    let matcher = |label: &str, value: &str| ("a_total".to_owned(), label.to_owned(), value.to_owned());
    assert_eq!(found.matchers, [matcher("x", "p|q"), matcher("y", "z")]);
    assert_eq!(names("time() - c < 3600").metrics, set(&["c"]));
}
