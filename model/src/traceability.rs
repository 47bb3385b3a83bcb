//! From each rule to all that stands for it: the code that enforces it, the model's property, the line
//! of the specification, the tests that try to break it, the mutants that break it.
//!
//! Guarantee: what is listed is in the tree now. A place is found by the rule's id in a comment, or in the
//! name of a test (`del_2_…`); a property and a mutant name their rules as data. A rule without a place in
//! a column is a gap, unless [`BEYOND`] says why there can be none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use quintet::kernel::rules::Rule;
use regex::Regex;

use crate::{
    catalogue,
    checks::Kind,
    mutants::{self, CLASSES},
    planted,
};

/// What a place does for a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    Code,
    Audit,
    Model,
    Specification,
    Test,
    Mutant,
}

impl Column {
    pub const ALL: [Column; 6] =
        [Column::Code, Column::Audit, Column::Model, Column::Specification, Column::Test, Column::Mutant];

    fn title(self) -> &'static str {
        match self {
            Column::Code => "Enforced in",
            Column::Audit => "Checked in a journal by `quintet audit`",
            Column::Model => "Model",
            Column::Specification => "Specification",
            Column::Test => "Tests",
            Column::Mutant => "Mutants",
        }
    }

    fn short(self) -> &'static str {
        match self {
            Column::Code => "code",
            Column::Audit => "audit",
            Column::Model => "model",
            Column::Specification => "specification",
            Column::Test => "tests",
            Column::Mutant => "mutants",
        }
    }
}

/// Why a rule has nothing in a column. What is not proved is said in the same words as here.
pub const BEYOND: &[(&str, Column, &str)] = &[
    ("RUN-9", Column::Audit, "a journal shows that a call was recorded, not when its tool acted"),
    ("RUN-10", Column::Audit, "an illegal step never reaches a journal; that the run failed is RUN-5"),
    ("DEL-1", Column::Audit, "a journal does not show what was sent"),
    ("DEL-3", Column::Audit, "a journal does not show what was sent"),
    ("DEL-4", Column::Audit, "a journal does not show who read it"),
    ("DEL-5", Column::Audit, "a journal does not show what was promised"),
    ("DEL-7", Column::Audit, "a journal does not show what was answered"),
    ("ISO-3", Column::Audit, "a journal does not show what was answered"),
    ("ISO-4", Column::Audit, "a property of types, not of data"),
    ("ISO-5", Column::Audit, "a property of memory, not of data"),
    ("ISO-6", Column::Audit, "a property of time, not of data"),
    ("CONN-1", Column::Audit, "connections are not in a journal"),
    ("CONN-2", Column::Audit, "connections are not in a journal"),
    ("CONN-3", Column::Audit, "connections are not in a journal"),
    ("CONN-4", Column::Audit, "connections are not in a journal"),
    ("CONN-5", Column::Audit, "connections are not in a journal"),
    ("CONN-6", Column::Audit, "connections are not in a journal"),
    ("AUTH-1", Column::Audit, "tickets are not in a journal"),
    ("AUTH-2", Column::Audit, "tickets are not in a journal"),
    ("AUTH-3", Column::Audit, "credentials are not in a journal"),
    ("AUTH-4", Column::Audit, "origins are not in a journal"),
    ("AUTH-5", Column::Audit, "credentials are not in a journal"),
    ("ISO-4", Column::Model, "a property of types: programs that break it do not compile"),
    ("ISO-6", Column::Model, "a property of time: who waits how long is not a state"),
    ("CONN-5", Column::Model, "a property of time: the machine only hears that a timer has run out"),
    ("AUTH-4", Column::Model, "an origin is looked at before there is a machine"),
    ("ISO-1", Column::Specification, BY_ONE_USER),
    ("ISO-2", Column::Specification, BY_ONE_USER),
    ("ISO-3", Column::Specification, BY_ONE_USER),
    ("ISO-4", Column::Specification, "a property of types: programs that break it do not compile"),
    (
        "ISO-5",
        Column::Specification,
        "a property of memory; the model has it, and every schedule of the registry",
    ),
    ("ISO-6", Column::Specification, "a property of time: who waits how long is not a state"),
    ("CONN-1", Column::Specification, BY_ITSELF),
    ("CONN-2", Column::Specification, BY_ITSELF),
    ("CONN-3", Column::Specification, BY_ITSELF),
    ("CONN-4", Column::Specification, BY_ITSELF),
    ("CONN-5", Column::Specification, BY_ITSELF),
    ("AUTH-3", Column::Specification, BY_ITSELF),
    ("AUTH-4", Column::Specification, "an origin is looked at before there is a machine"),
    ("AUTH-5", Column::Specification, BY_ITSELF),
];

const BY_ONE_USER: &str = "the specification is of one user's log, which has no name for another; two users side by side are \
                           explored in the model";
const BY_ITSELF: &str = "the connection machine is explored itself, with every input in every state; the specification begins with its deliveries";

/// One thing that stands for a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// A path in the project; empty if the text says it all.
    pub path: String,
    /// A function, a type, a property, a mutant.
    pub what: String,
}

/// Every rule with what stands for it.
#[derive(Debug, Default)]
pub struct Table {
    places: BTreeMap<(String, Column), BTreeSet<Place>>,
    classes: Vec<(&'static str, Vec<String>)>,
}

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
static DEFINITION: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\w+)(?:\([^)]*\))? =="));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of this file is well-formed")
}

impl Table {
    /// Looks through the project at `root`.
    pub fn of_tree(root: &Path) -> io::Result<Self> {
        let mut table = Self::default();
        for path in files(root, &["src", "tests", "model", "fuzz"])? {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            if NOT_READ.iter().any(|skipped| name.starts_with(skipped)) {
                continue;
            }
            let read: fn(&mut Self, &str, &str) =
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("rs") => Self::rust,
                    Some("tla") => Self::specification,
                    Some("js") if name.starts_with("tests/") => Self::script,
                    _ => continue,
                };
            read(&mut table, &name, &fs::read_to_string(&path)?);
        }
        Ok(table)
    }

    /// Adds what names its rules as data.
    pub fn add(&mut self, rule: &str, column: Column, path: &str, what: &str) {
        let place = Place { path: path.to_owned(), what: what.to_owned() };
        self.places.entry((rule.to_owned(), column)).or_default().insert(place);
    }

    pub fn places(&self, rule: Rule, column: Column) -> impl Iterator<Item = &Place> {
        self.places.get(&(rule.id.to_owned(), column)).into_iter().flatten()
    }

    /// Rules for which nothing stands in a column, and nothing says why.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for rule in Rule::ALL {
            for column in Column::ALL {
                let empty = self.places(*rule, column).next().is_none();
                match (empty, reason(*rule, column)) {
                    (true, None) => gaps.push(format!("{rule} has nothing under {:?}", column.short())),
                    (false, Some(_)) => gaps.push(format!(
                        "{rule} has something under {:?}, and a reason why it cannot",
                        column.short()
                    )),
                    _ => {}
                }
            }
        }
        for (class, _) in self.classes.iter().filter(|(_, own)| own.is_empty()) {
            gaps.push(format!("the class {class:?} has no mutant"));
        }
        gaps
    }

    fn rust(&mut self, name: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let is_model = name.starts_with("model/src/");
        let mut in_tests = !name.starts_with("src/") || name.ends_with("/tests.rs");
        for (at, line) in lines.iter().enumerate() {
            in_tests |= line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
            let column = match (is_model, in_tests) {
                (true, _) => Column::Model,
                (false, true) => Column::Test,
                (false, false) => Column::Code,
            };
            if name.starts_with("src/audit/") && !in_tests {
                let rules = if line.starts_with("//!") { BTreeSet::new() } else { ids(line) };
                for rule in rules {
                    self.add(&rule, Column::Audit, name, &enclosing(&lines, at));
                }
                continue;
            }
            if let (Column::Test, Some(function)) = (column, FUNCTION.captures(line))
                && let Some(found) = IN_NAME.captures(&function[2])
            {
                let rule = format!("{}-{}", found[1].to_uppercase(), &found[2]);
                self.add(&rule, column, name, &function[2]);
            }
            let Some(comment) = line.find("//") else { continue };
            let rules = ids(&line[comment..]);
            if line.trim_start().starts_with("//!") && column != Column::Test {
                continue;
            }
            for rule in rules {
                self.add(&rule, column, name, &described(&lines, at));
            }
        }
    }

    fn specification(&mut self, name: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let rules = ids(line);
            if rules.is_empty() {
                continue;
            }
            // The definition that the comment stands over, or in.
            let own = DEFINITION.captures(line);
            let below = || lines[at..].iter().take(4).find_map(|line| DEFINITION.captures(line));
            let above = || lines[..at].iter().rev().find_map(|line| DEFINITION.captures(line));
            let Some(definition) = own.or_else(below).or_else(above) else { continue };
            for rule in rules {
                self.add(&rule, Column::Specification, name, &definition[1]);
            }
        }
    }

    fn script(&mut self, name: &str, text: &str) {
        for line in text.lines() {
            let Some(test) = SCRIPT_TEST.captures(line) else { continue };
            for rule in ids(&test[1]) {
                self.add(&rule, Column::Test, name, &test[1]);
            }
        }
    }

    /// The document.
    pub fn render(&self) -> String {
        let mut text = String::from(HEAD);
        text.push_str("| rule |");
        for column in Column::ALL {
            text.push_str(&format!(" {} |", column.short()));
        }
        text.push_str("\n|---|---|---|---|---|---|---|\n");
        for rule in Rule::ALL {
            text.push_str(&format!("| [{rule}](#{}) |", rule.id.to_lowercase()));
            for column in Column::ALL {
                match self.places(*rule, column).count() {
                    0 => text.push_str(" – |"),
                    n => text.push_str(&format!(" {n} |")),
                }
            }
            text.push('\n');
        }
        text.push_str(CLASSES_HEAD);
        for (class, own) in &self.classes {
            let own: Vec<String> = own.iter().map(|name| format!("`{name}`")).collect();
            text.push_str(&format!("| {class} | {} |\n", own.join(", ")));
        }
        text.push_str("\n## The rules\n");
        for rule in Rule::ALL {
            text.push_str(&format!("\n### {rule}\n\n{}\n\n", rule.text));
            for column in Column::ALL {
                text.push_str(&format!("- **{}:** {}\n", column.title(), self.cell(*rule, column)));
            }
        }
        text
    }

    fn cell(&self, rule: Rule, column: Column) -> String {
        let mut by_path: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for place in self.places(rule, column) {
            by_path.entry(&place.path).or_default().push(&place.what);
        }
        if by_path.is_empty() {
            return format!("nothing: {}", reason(rule, column).unwrap_or("A GAP"));
        }
        let cells = by_path.iter().map(|(path, whats)| {
            let named = whats.iter().any(|what| *what != THE_FILE);
            let whats = whats.iter().filter(|what| !named || **what != THE_FILE);
            let whats: Vec<String> = whats.map(|what| format!("`{what}`")).collect();
            if path.is_empty() {
                whats.join(", ")
            } else {
                format!("[{path}](../../{path}) {}", whats.join(", "))
            }
        });
        cells.collect::<Vec<_>>().join(" · ")
    }
}

/// All that stands for the rules in the project at `root`.
pub fn whole(root: &Path) -> io::Result<Table> {
    let mut table = Table::of_tree(root)?;
    for property in catalogue::properties().into_iter().filter(|property| property.kind != Kind::Sometimes) {
        let own = format!("model/src/models/{}/properties.rs", property.model);
        let beside = format!("model/src/models/{}.rs", property.model);
        let path = if root.join(&own).exists() { own } else { beside };
        table.add(property.rule, Column::Model, &path, &property.name);
    }
    for property in catalogue::spec_properties()? {
        let path = format!("model/{}.tla", property.module);
        table.add(&property.rule, Column::Specification, &path, &property.name);
    }
    for hunted in mutants::all() {
        for rule in hunted.mutant.rules {
            table.add(rule, Column::Mutant, MUTANTS, hunted.mutant.id);
        }
    }
    for defect in planted::all() {
        for rule in &defect.rules {
            table.add(rule, Column::Mutant, PLANTED, &defect.name);
        }
    }
    table.classes = classes();
    Ok(table)
}

/// The classes of the predecessor's defects, each with the mutants and planted defects that belong to it.
fn classes() -> Vec<(&'static str, Vec<String>)> {
    let (hunted, planted) = (mutants::all(), planted::all());
    let of = |class: &&'static str| {
        let hunted = hunted.iter().map(|hunted| (hunted.mutant.class, hunted.mutant.id.to_owned()));
        let planted = planted.iter().map(|defect| (defect.class.as_deref(), defect.name.clone()));
        let own = hunted.chain(planted).filter(|(of, _)| *of == Some(*class)).map(|(_, name)| name);
        (*class, own.collect())
    };
    CLASSES.iter().map(of).collect()
}

const MUTANTS: &str = "model/src/mutants/mod.rs";
const PLANTED: &str = "model/planted.toml";

fn reason(rule: Rule, column: Column) -> Option<&'static str> {
    let mut reasons = BEYOND.iter();
    reasons.find(|(id, of, _)| *id == rule.id && *of == column).map(|(_, _, why)| *why)
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

/// What the comment in line `at` is about.
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

/// Every file below the folders, in order.
fn files(root: &Path, folders: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> =
        folders.iter().map(|folder| root.join(folder)).filter(|f| f.exists()).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true if path.file_name().is_some_and(|name| name == "target" || name == "node_modules") => {}
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

const THE_FILE: &str = "the file";

/// Files that cite rules without standing for them.
const NOT_READ: &[&str] = &[
    "src/kernel/rules.rs",
    "src/ops/metrics.rs",
    "src/ops/config/table.rs",
    "src/wire/openapi",
    "model/src/traceability.rs",
    "model/src/planted.rs",
    "model/src/mutants",
    "model/src/bin",
    "tests/ui/",
];

const HEAD: &str = "# From each rule to all that stands for it

Generated by `UPDATE_DOCS=1 cargo test -p quintet-model --test traceability`, and compared with the tree by the
same test without `UPDATE_DOCS`, which fails for a rule that has nothing in a column and no reason for it.
A place is found by the rule's id in a comment or in a test's name; properties and mutants name their rules as
data. A dash is explained in the rule's own section.

";

const CLASSES_HEAD: &str = "
## The predecessor's defects

Each class of defects that made this project necessary, and the small defects of that class that the checks
catch: mutants of the machines (`cargo run -p quintet-model --bin mutants`), and defects planted in the shipped
source (`cargo run -p quintet-model --bin planted`).

| class | mutants |
|---|---|
";

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
        assert_eq!(table.places(Rule::RUN_2, Column::Code).next().map(|p| p.what.as_str()), Some("Seq"));
        let what = |id| table.places(Rule::find(id).unwrap(), Column::Code).next().map(|p| p.what.clone());
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
    fn an_empty_column_is_a_gap() {
        let gaps = Table::default().gaps();
        assert!(gaps.iter().any(|gap| gap.starts_with("RUN-1 has nothing")), "{gaps:?}");
    }
}
