//! The structure of `src`: no files import each other in a circle, and the table in `docs/architecture.md` lists
//! exactly the folders that each folder uses.

mod imports;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::imports::Tree;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let tree = Tree::read(&root().join("src"));
    assert!(tree.files().count() > 200, "the sources were not found");
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (file, imported) in tree.imports() {
        graph.entry(file).or_default().insert(imported);
    }
    let wrong = circles(&graph);
    assert!(wrong.is_empty(), "circles of imports:\n{}", wrong.join("\n"));
}

#[test]
fn the_tables_of_packages_are_those_of_the_manifests() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let dependencies = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let mut wrong = Vec::new();
    for row in table::rows(&text) {
        let manifest = root().join("src").join(&row.folder).join("Cargo.toml");
        let Ok(manifest) = std::fs::read_to_string(manifest) else {
            if row.package != "quintet" {
                wrong.push(format!("{} has no manifest of its own", row.folder));
            }
            continue;
        };
        let manifest: toml::Table = manifest.parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap();
        let mut used: Vec<&str> = manifest["dependencies"]
            .as_table()
            .unwrap()
            .keys()
            .filter_map(|dependency| dependency.strip_prefix("quintet-"))
            .collect();
        used.sort_unstable();
        if row.package != name || row.uses != used {
            wrong.push(format!("docs/architecture.md: {name} depends on {}", used.join(", ")));
        }
        let listed = table::uses_of_ours(&dependencies, name);
        if listed.as_deref() != Some(&used[..]) {
            wrong.push(format!("docs/dependencies.md: {name} depends on {}", used.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_architecture_table_lists_what_each_folder_uses() {
    let tree = Tree::read(&root().join("src"));
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows = table::rows(&text);
    let mut wrong = Vec::new();
    for (folder, used) in tree.folders() {
        let used: Vec<_> = used.into_iter().collect();
        match rows.iter().find(|row| row.folder == folder) {
            Some(row) if row.uses == used => {}
            Some(row) => wrong.push(format!(
                "{folder} uses {}; the table has {}",
                used.join(", "),
                row.uses.join(", ")
            )),
            None => wrong.push(format!("{folder} has no row; it uses {}", used.join(", "))),
        }
    }
    for row in &rows {
        if !tree.folders().contains_key(&*row.folder) {
            wrong.push(format!("{} is not a folder with sources", row.folder));
        }
        for used in &row.uses {
            let lower = rows.iter().find(|other| other.folder == *used).map(|other| other.layer);
            if lower.is_none_or(|lower| lower >= row.layer) {
                wrong.push(format!("{} uses {used}, which is not in a lower layer", row.folder));
            }
        }
    }
    assert!(wrong.is_empty(), "docs/architecture.md, Layers:\n{}", wrong.join("\n"));
}

/// Returns each circle of a graph as one line: a shortest path from its first node back to itself, and the other
/// nodes that are connected with it both ways.
fn circles(graph: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut circles = Vec::new();
    for start in graph.keys().copied() {
        if seen.contains(start) {
            continue;
        }
        if let Some(path) = path_back(graph, start) {
            let others: Vec<&str> = graph
                .keys()
                .copied()
                .filter(|node| reaches(graph, start, node) && reaches(graph, node, start))
                .collect();
            seen.extend(&others);
            circles.push(format!("{} (of {} files: {})", path.join(" -> "), others.len(), others.join(", ")));
        }
    }
    circles
}

/// Returns a shortest path from `start` back to it, if there is one.
fn path_back<'a>(graph: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.get(node).into_iter().flatten().copied() {
            if next == start {
                let mut path = vec![start, node];
                while path[path.len() - 1] != start {
                    path.push(before[path[path.len() - 1]]);
                }
                path.reverse();
                return Some(path);
            }
            if !before.contains_key(next) {
                before.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}

fn reaches(graph: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> bool {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(node) = left.pop() {
        for next in graph.get(node).into_iter().flatten().copied() {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                left.push(next);
            }
        }
    }
    false
}

#[test]
fn a_circle_is_found_and_a_diamond_is_none() {
    let graph = |edges: &[(&'static str, &'static str)]| {
        let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry(from).or_default().insert(to);
        }
        graph
    };
    assert!(circles(&graph(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])).is_empty());
    let found = circles(&graph(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]));
    assert_eq!(found, ["b -> c -> b (of 2 files: b, c)"]);
}
