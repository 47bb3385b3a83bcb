//! Citations of rules in the tree, and the items that cite them.
//!
//! Code is cited in comments. A test belongs to a rule by its name or a comment over or in it; so do the
//! judges, which check a campaign's results against the rules. A specification's definition belongs to the
//! rules that the comment over it, behind it or in it names.

use std::{collections::BTreeSet, sync::LazyLock};

use quintet::kernel::rules::Rule;
use regex::Regex;

use super::{Column, Table};

static ID: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(RUN|DEL|ISO|CONN|AUTH)-(\d+)\b"));
static RANGE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(RUN|DEL|ISO|CONN|AUTH)-(\d+) … (?:RUN|DEL|ISO|CONN|AUTH)-(\d+)\b"));
static IN_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(run|del|iso|conn|auth)_(\d+)_"));
static ITEM: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^\s*(?:pub(?:\([^)]*\))? )?(?:const |async |unsafe )*(?:fn|struct|enum|trait|mod|type|const|static|macro_rules!) ([A-Za-z_]\w*)",
    )
});
static FUNCTION: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(\s*)(?:pub(?:\([^)]*\))? )?(?:const |async )*fn ([a-z_]\w*)"));
static MEMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*(?:pub(?:\([^)]*\))? )?([A-Za-z_]\w*)"));
static SCRIPT_TEST: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^\s*(?:test|it)\("([^"]+)""#));
static DEFINITION: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\w+)(?:\([^)]*\))? +=="));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of this file is well-formed")
}

impl Table {
    pub(super) fn rust(&mut self, name: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let mut in_tests = !name.starts_with("src/")
            || name.starts_with("src/testkit/")
            || name.contains("/tests/")
            || name.ends_with("/tests.rs");
        for (at, line) in lines.iter().enumerate() {
            in_tests |= line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
            let comment = line.find("//").map_or("", |comment| &line[comment..]);
            if in_tests {
                self.test(name, &lines, at, comment);
                continue;
            }
            if line.trim_start().starts_with("//!") {
                continue;
            }
            let (column, cited) = match name.starts_with("src/audit/") {
                true => (Column::Audit, *line),
                false => (Column::Code, comment),
            };
            for rule in ids(cited) {
                let what =
                    if column == Column::Audit { enclosing(&lines, at) } else { described(&lines, at) };
                self.add(&rule, column, name, at + 1, &what);
            }
        }
    }

    fn test(&mut self, name: &str, lines: &[&str], at: usize, comment: &str) {
        if let Some(function) = FUNCTION.captures(lines[at])
            && let Some(found) = IN_NAME.captures(&function[2])
        {
            let rule = format!("{}-{}", found[1].to_uppercase(), &found[2]);
            self.add(&rule, Column::Test, name, at + 1, &function[2]);
        }
        let rules = ids(comment);
        if rules.is_empty() {
            return;
        }
        let what = described(lines, at);
        if JUDGES.iter().any(|judge| name.starts_with(judge)) || is_test(lines, &what) {
            for rule in rules {
                self.add(&rule, Column::Test, name, at + 1, &what);
            }
        }
    }

    pub(super) fn specification(&mut self, name: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let rules = ids(line);
            if rules.is_empty() {
                continue;
            }
            let is_comment = line.starts_with("\\*") || line.starts_with("(*");
            let defines = |at: usize| Some((at, DEFINITION.captures(lines[at])?[1].to_owned()));
            let below = || (at..lines.len().min(at + 4)).find_map(defines).filter(|_| is_comment);
            let above = || (0..at).rev().find_map(defines);
            let Some((line, definition)) = defines(at).or_else(below).or_else(above) else { continue };
            for rule in rules {
                self.add(&rule, Column::Specification, name, line + 1, &definition);
            }
        }
    }

    pub(super) fn script(&mut self, name: &str, text: &str) {
        for (at, line) in text.lines().enumerate() {
            let Some(test) = SCRIPT_TEST.captures(line) else { continue };
            for rule in ids(&test[1]) {
                self.add(&rule, Column::Test, name, at + 1, &test[1]);
            }
        }
    }
}

/// Whether `what` is a function of this file that is run as a test.
fn is_test(lines: &[&str], what: &str) -> bool {
    let defined = lines.iter().position(|line| FUNCTION.captures(line).is_some_and(|f| &f[2] == what));
    let above = defined.map_or(&[][..], |at| &lines[..at]);
    let attributes = above.iter().rev().map(|line| line.trim());
    let mut attributes = attributes.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    attributes.any(|line| line.starts_with("#[") && line.contains("test"))
}

/// The ids in a text; `RUN-1 … RUN-4` names four.
fn ids(text: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = ID.find_iter(text).map(|id| id.as_str().to_owned()).collect();
    for range in RANGE.captures_iter(text) {
        if let (Ok(from), Ok(to)) = (range[2].parse::<u32>(), range[3].parse::<u32>()) {
            found.extend((from..=to).map(|number| format!("{}-{number}", &range[1])));
        }
    }
    found.retain(|id| Rule::find(id).is_some());
    found
}

/// The item that the comment in line `at` describes.
fn described(lines: &[&str], at: usize) -> String {
    let line = lines[at].trim_start();
    if line.starts_with("//!") {
        return THE_FILE.to_owned();
    }
    if !line.starts_with("//") {
        return enclosing(lines, at);
    }
    let Some(code) = code_after(&lines[at..]) else { return enclosing(lines, at) };
    if let Some(item) = ITEM.captures(code) {
        return item[1].to_owned();
    }
    if line.starts_with("///")
        && let Some(member) = MEMBER.captures(code)
    {
        return member[1].to_owned();
    }
    enclosing(lines, at)
}

/// The first line that is neither a comment nor an attribute, which may span several lines.
fn code_after<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let mut in_attribute = false;
    for line in lines {
        let code = line.trim();
        in_attribute |= code.starts_with("#[");
        if in_attribute {
            in_attribute = !code.ends_with(']');
        } else if !code.starts_with("//") && !code.is_empty() {
            return Some(line);
        }
    }
    None
}

/// The function, or failing that the item, in which line `at` stands.
fn enclosing(lines: &[&str], at: usize) -> String {
    let indent = indent(lines[at]);
    let function = lines[..=at].iter().rev().find_map(|line| {
        let found = FUNCTION.captures(line)?;
        (found[1].len() < indent || std::ptr::eq(*line, lines[at])).then(|| found[2].to_owned())
    });
    function
        .or_else(|| {
            lines[..=at].iter().rev().find_map(|line| ITEM.captures(line).map(|item| item[1].to_owned()))
        })
        .unwrap_or_else(|| THE_FILE.to_owned())
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The name for a file, or for a comment without an item of its own.
pub(super) const THE_FILE: &str = "the file";

/// The judges of campaigns: each of their lines is part of every test that uses them.
const JUDGES: &[&str] = &["src/testkit/", "src/agent/tests/ui", "src/user/tests/ui", "tests/page/"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stands_for_what_follows_it_or_what_it_is_in() {
        let text = "/// Opens (RUN-4).\n#[must_use]\npub fn open() {\n    // RUN-5, and DEL-1 … DEL-3\n    x();\n}\n";
        let mut table = Table::default();
        table.rust("src/a.rs", text);
        let derived = "/// A number (RUN-2).\n#[derive(\n    Clone,\n    Debug,\n)]\npub struct Seq(u64);\n";
        table.rust("src/b.rs", derived);
        assert_eq!(table.places(Rule::RUN_2, Column::Code).next().map(|(p, _)| p.what.as_str()), Some("Seq"));
        let what =
            |id| table.places(Rule::find(id).unwrap(), Column::Code).next().map(|(p, _)| p.what.clone());
        for id in ["RUN-4", "RUN-5", "DEL-1", "DEL-2", "DEL-3"] {
            assert_eq!(what(id).as_deref(), Some("open"), "{id}");
        }
        assert_eq!(what("DEL-4"), None);
    }

    #[test]
    fn a_test_stands_for_the_rule_in_its_name() {
        let mut table = Table::default();
        table.rust("tests/a.rs", "#[test]\nfn del_2_in_order() {}\n");
        assert_eq!(table.places(Rule::DEL_2, Column::Test).count(), 1);
        assert_eq!(table.places(Rule::DEL_2, Column::Code).count(), 0);
    }

    #[test]
    fn a_helper_of_tests_stands_for_nothing_and_a_test_s_comment_does() {
        let mut table = Table::default();
        table.rust("tests/a.rs", "/// RUN-4\nfn help() {}\n\n#[test]\nfn tries() {\n    // RUN-5\n}\n");
        assert_eq!(table.places(Rule::RUN_4, Column::Test).count(), 0);
        assert_eq!(
            table.places(Rule::RUN_5, Column::Test).next().map(|(p, line)| (p.what.as_str(), *line)),
            Some(("tries", 6))
        );
    }

    #[test]
    fn a_definition_stands_for_what_its_own_comment_names() {
        let text = "Before == 1\n\nOpens(c)   == 2 \\* RUN-4\n\n\\* RUN-5, of what follows\nEnds ==\n  /\\ 3 \\* RUN-7\nAfter == 4\n";
        let mut table = Table::default();
        table.specification("model/A.tla", text);
        let what = |id| {
            let (place, line) = table.places(Rule::find(id).unwrap(), Column::Specification).next().unwrap();
            (place.what.clone(), *line)
        };
        assert_eq!(what("RUN-4"), ("Opens".to_owned(), 3));
        assert_eq!(what("RUN-5"), ("Ends".to_owned(), 6));
        assert_eq!(what("RUN-7"), ("Ends".to_owned(), 6));
    }

    #[test]
    fn an_empty_column_is_a_gap() {
        let gaps = Table::default().gaps();
        assert!(gaps.iter().any(|gap| gap.starts_with("RUN-1 has nothing")), "{gaps:?}");
    }
}
