//! The imports between the files of `src`, by their paths (`use` lines and others).
//!
//! A path is resolved to the file of its longest module prefix; a name that this file re-exports is followed to
//! its origin. A module that is declared by a file counts as imported by it. Tests are left out. A module is a
//! part of the modules that contain it, as the methods of one type in several files are, so it may use their
//! items; those imports are left out as well.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

/// An absolute path: the name of its crate, then modules and an item.
type Segments = Vec<String>;

/// The files of `src`.
pub struct Tree {
    /// Files by their path below `src`.
    files: BTreeMap<String, File>,
    /// Files by the path of their module.
    modules: HashMap<Segments, String>,
}

#[derive(Default)]
struct File {
    module: Segments,
    /// Names in scope by `use`, with their origins.
    names: HashMap<String, Segments>,
    globs: Vec<Segments>,
    /// Names that the file defines.
    items: HashSet<String>,
    paths: BTreeSet<Segments>,
}

impl Tree {
    /// Reads the packages below `src`: each folder with a `Cargo.toml`, and the other files, which are the package
    /// `quintet`.
    pub fn read(src: &Path) -> Self {
        let mut tree = Self { files: BTreeMap::new(), modules: HashMap::new() };
        tree.package(src, src, "quintet");
        let crates: HashSet<String> = tree.modules.keys().map(|module| module[0].clone()).collect();
        let modules: HashSet<Segments> = tree.modules.keys().cloned().collect();
        for (path, file) in &mut tree.files {
            let text = fs::read_to_string(src.join(path)).unwrap();
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            let module = file.module.clone();
            let mut reader = Reader { file, crates: &crates, modules: &modules, module };
            reader.visit_file(&parsed);
        }
        tree
    }

    fn package(&mut self, src: &Path, root: &Path, name: &str) {
        for path in rust_files(root) {
            let inside = path.strip_prefix(root).unwrap().with_extension("");
            let parts = inside.components().map(|part| part.as_os_str().to_str().unwrap().to_owned());
            let mut module = vec![name.to_owned()];
            module.extend(parts);
            if module.last().is_some_and(|last| last == "mod") || (module.len() == 2 && module[1] == "lib") {
                module.pop();
            }
            let path = path.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
            self.modules.insert(module.clone(), path.clone());
            self.files.insert(path, File { module, ..File::default() });
        }
        for folder in folders(root).filter(|folder| folder.join("Cargo.toml").exists()) {
            let name = format!("quintet_{}", folder.file_name().unwrap().to_str().unwrap());
            self.package(src, &folder, &name);
        }
    }

    /// Returns the paths of all files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Returns each import of another file: the file and the imported file.
    pub fn imports(&self) -> BTreeSet<(&str, &str)> {
        let mut found = BTreeSet::new();
        for (path, file) in &self.files {
            for used in &file.paths {
                let Some(target) = self.resolve(used, 0) else { continue };
                let contains = file.module.starts_with(&self.files[target].module);
                if target != path && !contains {
                    found.insert((path.as_str(), target));
                }
            }
        }
        found
    }

    /// Returns the folders directly below `src`, each with the other folders that its files use. The files
    /// directly below `src` are `main.rs`; `lib.rs` only declares modules and is left out, and so is test code.
    pub fn folders(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for path in self.files().filter(|path| *path != "lib.rs") {
            found.entry(folder(path)).or_default();
        }
        found.remove("testkit");
        for (from, to) in self.imports() {
            let (from, to) = (folder(from), folder(to));
            if from != to
                && let Some(uses) = found.get_mut(from)
            {
                uses.insert(to);
            }
        }
        found
    }

    fn resolve(&self, path: &[String], depth: usize) -> Option<&str> {
        let module = (1..=path.len()).rev().find(|len| self.modules.contains_key(&path[..*len]))?;
        let target = &self.modules[&path[..module]];
        let file = &self.files[target];
        let Some(name) = path.get(module).filter(|name| depth < 8 && !file.items.contains(*name)) else {
            return Some(target);
        };
        let rest = &path[module + 1..];
        if let Some(origin) = file.names.get(name) {
            let origin: Segments = origin.iter().chain(rest).cloned().collect();
            return self.resolve(&origin, depth + 1);
        }
        for glob in &file.globs {
            if let Some(origin) = self.resolve(glob, depth + 1)
                && self.files[origin].items.contains(name)
            {
                return Some(origin);
            }
        }
        Some(target)
    }
}

fn folder(path: &str) -> &str {
    path.split_once('/').map_or("main.rs", |(folder, _)| folder)
}

/// Reads the paths of one file.
struct Reader<'a> {
    file: &'a mut File,
    crates: &'a HashSet<String>,
    modules: &'a HashSet<Segments>,
    /// The module at the current place: that of the file, or an inline module in it.
    module: Segments,
}

impl Reader<'_> {
    /// Returns an absolute path, or `None` if it leads out of `src`.
    fn absolute(&self, path: &[String]) -> Option<Segments> {
        let (first, rest) = path.split_first()?;
        let mut base = match &**first {
            "crate" => vec![self.module[0].clone()],
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len() - 1].to_vec(),
            name if self.crates.contains(name) => vec![name.to_owned()],
            name => {
                let child: Segments =
                    self.module.iter().map(String::as_str).chain([name]).map(str::to_owned).collect();
                self.modules.contains(&child).then_some(child)?
            }
        };
        for part in rest {
            match &**part {
                "super" => drop(base.pop()),
                part => base.push(part.to_owned()),
            }
        }
        Some(base)
    }

    fn use_tree(&mut self, tree: &UseTree, prefix: &mut Vec<String>) {
        let depth = prefix.len();
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.use_tree(&path.tree, prefix);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(tree, prefix)),
            UseTree::Glob(_) => {
                if let Some(path) = self.absolute(prefix) {
                    self.file.globs.push(path.clone());
                    self.file.paths.insert(path);
                }
            }
            UseTree::Name(name) => self.import(prefix, &name.ident.to_string(), None),
            UseTree::Rename(rename) => {
                self.import(prefix, &rename.ident.to_string(), Some(rename.rename.to_string()));
            }
        }
        prefix.truncate(depth);
    }

    fn import(&mut self, prefix: &[String], name: &str, renamed: Option<String>) {
        let mut path = prefix.to_vec();
        if name != "self" {
            path.push(name.to_owned());
        }
        if let Some(path) = self.absolute(&path) {
            let name = renamed.unwrap_or_else(|| path[path.len() - 1].clone());
            self.file.names.insert(name, path.clone());
            self.file.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(item) {
            return;
        }
        if self.module == self.file.module
            && let Some(name) = name_of(item)
        {
            self.file.items.insert(name);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        if item.content.is_none() {
            self.file.paths.insert(self.module.clone());
        }
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.use_tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1
            && let Some(path) = self.absolute(&segments)
        {
            self.file.paths.insert(path);
        }
        visit::visit_path(self, path);
    }
}

/// Returns the name that an item adds to its module, but that of a module itself.
fn name_of(item: &Item) -> Option<String> {
    match item {
        Item::Const(item) => Some(item.ident.to_string()),
        Item::Enum(item) => Some(item.ident.to_string()),
        Item::Fn(item) => Some(item.sig.ident.to_string()),
        Item::Static(item) => Some(item.ident.to_string()),
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Trait(item) => Some(item.ident.to_string()),
        Item::Type(item) => Some(item.ident.to_string()),
        _ => None,
    }
}

fn is_test(item: &Item) -> bool {
    let attributes = match item {
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(is_test_only)
}

/// Returns true for `#[cfg(test)]`, and for `#[cfg(all(test, …))]`.
fn is_test_only(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let condition = list.tokens.to_string().replace(' ', "");
    list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
}

/// Returns the Rust files of one package, without tests and build scripts.
fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "tests" && !path.join("Cargo.toml").exists() {
                found.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && name != "tests.rs"
            && name != "build.rs"
        {
            found.push(path);
        }
    }
    found
}

fn folders(root: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
}
