//! The places of each rule: the code that enforces it, the model's property, the line of the specification,
//! the tests that try to break it, the mutants that break it.
//!
//! Guarantee: every listed place exists in the tree. A place is found by the rule's id in a comment, or in
//! the name of a test (`del_2_…`); a property and a mutant name their rules as data. A rule without a place
//! in a column is a gap, unless [`beyond`] has a reason.

mod beyond;
mod places;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use quintet::kernel::rules::Rule;

use crate::{
    catalogue,
    checks::Kind,
    mutants::{self, CLASSES},
    planted,
};
use beyond::reason;
use places::THE_FILE;

/// The relation of a place to a rule.
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

/// One thing that stands for a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// A path in the project.
    pub path: String,
    /// A function, a type, a property, a mutant.
    pub what: String,
}

/// Every rule with what stands for it.
#[derive(Debug, Default)]
pub struct Table {
    /// Each with its first line.
    places: BTreeMap<(String, Column), BTreeMap<Place, usize>>,
    classes: Vec<(&'static str, Vec<String>)>,
}

impl Table {
    /// Looks through the project at `root`.
    pub fn of_tree(root: &Path) -> io::Result<Self> {
        let mut table = Self::default();
        for path in files(root, &["src", "tests", "model", "fuzz"])? {
            let name = name_in(root, &path);
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
    pub fn add(&mut self, rule: &str, column: Column, path: &str, line: usize, what: &str) {
        let place = Place { path: path.to_owned(), what: what.to_owned() };
        self.places.entry((rule.to_owned(), column)).or_default().entry(place).or_insert(line);
    }

    /// The places of a rule in a column, each with its line.
    pub fn places(&self, rule: Rule, column: Column) -> impl Iterator<Item = (&Place, &usize)> {
        self.places.get(&(rule.id.to_owned(), column)).into_iter().flatten()
    }

    /// Rules without a place in a column, and without a reason for that.
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
        let mut by_path: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
        for (place, line) in self.places(rule, column) {
            by_path.entry(&place.path).or_default().push((&place.what, *line));
        }
        if by_path.is_empty() {
            return format!("nothing: {}", reason(rule, column).unwrap_or("A GAP"));
        }
        let cells = by_path.iter().map(|(path, places)| {
            let links = places.iter().map(|(what, line)| match *what {
                THE_FILE => format!("[the file](../../{path}#L{line})"),
                what => format!("[`{what}`](../../{path}#L{line})"),
            });
            format!("{path} {}", links.collect::<Vec<_>>().join(", "))
        });
        cells.collect::<Vec<_>>().join(" · ")
    }
}

/// All that stands for the rules in the project at `root`.
pub fn whole(root: &Path) -> io::Result<Table> {
    let mut table = Table::of_tree(root)?;
    let sources = Sources::of(root)?;
    for property in catalogue::properties().into_iter().filter(|property| property.kind != Kind::Sometimes) {
        let (path, line) = sources.property(property.model, &property.name);
        table.add(property.rule, Column::Model, path, line, &property.name);
    }
    for property in catalogue::spec_properties()? {
        let path = format!("model/{}.tla", property.module);
        table.add(&property.rule, Column::Specification, &path, property.line, &property.name);
    }
    // Those of the specifications are among the planted defects.
    for hunted in mutants::all().iter().filter(|hunted| !hunted.mutant.caught_by.ends_with(".tla")) {
        let (path, line) = sources.quoted("model/src/mutants/", hunted.mutant.id);
        for rule in &hunted.mutant.rules {
            table.add(rule, Column::Mutant, path, line, hunted.mutant.id);
        }
    }
    for defect in planted::all() {
        let (path, line) = sources.quoted(PLANTED, &defect.name);
        for rule in &defect.rules {
            table.add(rule, Column::Mutant, path, line, &defect.name);
        }
    }
    table.classes = classes();
    Ok(table)
}

/// The text in which properties and mutants are written down.
struct Sources(Vec<(String, String)>);

impl Sources {
    fn of(root: &Path) -> io::Result<Self> {
        let mut sources = Vec::new();
        for path in files(root, &["model/src"])?.into_iter().chain([root.join(PLANTED)]) {
            sources.push((name_in(root, &path), fs::read_to_string(&path)?));
        }
        Ok(Self(sources))
    }

    /// The place of a property of a model, or of its liveness claim.
    fn property(&self, model: &str, name: &str) -> (&str, usize) {
        let text = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
        let own = self.find(&format!("model/src/models/{model}"), text);
        own.or_else(|| self.find("model/src/", text)).unwrap_or((CLAIMS, 1))
    }

    fn quoted(&self, under: &str, name: &str) -> (&str, usize) {
        self.find(under, &format!("\"{name}\"")).unwrap_or((MUTANTS, 1))
    }

    fn find(&self, under: &str, text: &str) -> Option<(&str, usize)> {
        let mut own = self.0.iter().filter(|(path, _)| path.starts_with(under));
        own.find_map(|(path, source)| {
            let at = source.lines().position(|line| line.contains(text))?;
            Some((path.as_str(), at + 1))
        })
    }
}

fn name_in(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
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

const CLAIMS: &str = "model/src/claims.rs";
const MUTANTS: &str = "model/src/mutants/mod.rs";
const PLANTED: &str = "model/planted.toml";

/// Every file below the folders, in order. What tests have installed there may have links that lead nowhere: links are left out.
fn files(root: &Path, folders: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> =
        folders.iter().map(|folder| root.join(folder)).filter(|f| f.exists()).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            match kind.is_dir() {
                true if path.file_name().is_some_and(|name| name == "target" || name == "node_modules") => {}
                true => open.push(path),
                false if kind.is_file() => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Files that cite rules without standing for them.
const NOT_READ: &[&str] = &[
    "src/kernel/rules.rs",
    "src/ops/metrics.rs",
    "src/ops/config/table.rs",
    "src/wire/openapi",
    "model/src/",
    "src/agent/tests/ui/",
    "src/user/tests/ui/",
];

const HEAD: &str = "# From each rule to all that stands for it

Generated by `UPDATE_DOCS=1 cargo test -p quintet-model --test traceability`, and compared with the tree by the
same test without `UPDATE_DOCS`, which fails for a rule that has nothing in a column and no reason for it.
Code is found by the rule's id in a comment, a test by its name or a comment of its own; properties and mutants name
their rules as data. Each link leads to a line. A dash is explained in the rule's own section.

";

const CLASSES_HEAD: &str = "
## The predecessor's defects

Each class of defects that made this project necessary, and the small defects of that class that the checks
catch: mutants of the machines (`cargo run -p quintet-model --bin mutants`), and defects planted in the shipped
source (`cargo run -p quintet-model --bin planted`).

| class | mutants |
|---|---|
";
