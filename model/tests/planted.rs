//! The table of planted defects fits the source as it is: each can be planted, and its test exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use quintet::kernel::rules::Rule;
use quintet_model::{checks::OWN_TERMS, planted, specified::Config};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn every_defect_can_be_planted_where_it_says() {
    let mut names = BTreeSet::new();
    for defect in planted::all() {
        assert!(names.insert(&defect.name), "{} stands twice", defect.name);
        assert!(!defect.rules.is_empty(), "{} breaks no rule", defect.name);
        for rule in &defect.rules {
            let is_own = OWN_TERMS.iter().any(|(term, _)| term == rule);
            assert!(is_own || Rule::find(rule).is_some(), "{}: there is no rule {rule}", defect.name);
        }
        if defect.compiles {
            let source = fs::read_to_string(root().join(&defect.file)).unwrap();
            assert_ne!(defect.plant(&source).unwrap(), source, "{} changes nothing", defect.name);
        } else {
            assert!(!defect.cases.is_empty());
            for case in &defect.cases {
                let refused = Path::new(case).with_extension("stderr");
                assert!(root().join(case).exists() && root().join(refused).exists(), "{case}");
            }
        }
        let is_of_a_specification = defect.file.ends_with(".tla");
        assert_eq!(is_of_a_specification, !defect.checks.is_empty(), "{}", defect.name);
        assert_eq!(is_of_a_specification, defect.test.is_empty(), "{}", defect.name);
        assert!(defect.checks.iter().all(|check| is_a_check(check)), "{}: {:?}", defect.name, defect.checks);
        assert!(is_of_a_specification || exists(&defect.test), "{}: no test {:?}", defect.name, defect.test);
        assert_eq!(defect.cfg.is_some(), explores_schedules(&defect.test), "{}", defect.name);
        assert!(defect.cfg.as_deref().is_none_or(is_declared), "{}: no cfg {:?}", defect.name, defect.cfg);
    }
}

/// A graph, or a name of a configuration.
fn is_a_check(check: &str) -> bool {
    match check.split_once(".cfg ") {
        None => root().join("model").join(check).exists(),
        Some((config, name)) => Config::read(config).is_ok_and(|config| {
            [config.named("INVARIANT"), config.named("PROPERTY")].concat().contains(&name)
        }),
    }
}

/// Returns whether the test is one of a package that is empty without its cfg.
fn explores_schedules(test: &[String]) -> bool {
    test.get(1).is_some_and(|package| ["quintet-schedules", "quintet-hub"].contains(&package.as_str()))
}

/// Returns whether the workspace declares a cfg of this name.
fn is_declared(cfg: &str) -> bool {
    fs::read_to_string(root().join("Cargo.toml")).unwrap().contains(&format!("\"cfg({cfg})\""))
}

/// Returns whether the source has the test, or the module of tests, that these arguments of `cargo test`
/// name.
fn exists(test: &[String]) -> bool {
    let arguments: Vec<&str> = test.iter().map(String::as_str).collect();
    let (package, rest) = match arguments[..] {
        ["-p", package, ref rest @ ..] => (folder_of(package), rest),
        ref rest => (Some(root().to_path_buf()), rest),
    };
    let Some(package) = package else { return false };
    // The root package has its sources below `src`, the others beside their manifest or below it.
    let own = if package.join("src").is_dir() { package.join("src") } else { package.clone() };
    match *rest {
        ["--test", of] => {
            package.join(format!("tests/{of}.rs")).exists() || package.join("tests").join(of).is_dir()
        }
        ["--test", of, name] => {
            let alone = fs::read_to_string(package.join(format!("tests/{of}.rs"))).into_iter();
            has_a_test(alone.chain(sources(&package.join("tests").join(of))), name)
        }
        ["--lib", name] => {
            let module = own.join(name.replace("::", "/"));
            module.is_dir() || module.with_extension("rs").exists() || has_a_test(sources(&own), name)
        }
        _ => false,
    }
}

fn has_a_test(sources: impl IntoIterator<Item = String>, name: &str) -> bool {
    sources.into_iter().any(|source| source.contains(&format!("fn {name}(")))
}

/// The folder of a package of the workspace.
fn folder_of(package: &str) -> Option<PathBuf> {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).ok()?;
    let workspace: toml::Table = workspace.parse().ok()?;
    let members = workspace["workspace"]["members"].as_array()?.iter().filter_map(|member| member.as_str());
    members.map(|member| root().join(member)).find(|folder| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.contains(&format!("name = \"{package}\""))
    })
}

fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
    found
}

#[test]
fn a_place_that_is_gone_or_there_twice_is_an_error() {
    let mut defect = planted::all()[0].clone();
    defect.find = "x".into();
    assert!(defect.plant("abc").is_err());
    assert!(defect.plant("x x").is_err());
    assert!(defect.plant("a x b").is_ok());
}

#[test]
fn a_sample_has_the_defects_of_schedules_and_another_seed_selects_others() {
    let names = |count, seed| -> BTreeSet<&str> {
        planted::sample_of_schedules(count, seed).iter().map(|defect| defect.name.as_str()).collect()
    };
    let all = names(usize::MAX, 0);
    assert!(all.len() >= 9 && names(2, 1).is_subset(&all));
    assert_eq!((names(2, 1).len(), names(2, 1)), (2, names(2, 1)));
    let seen: BTreeSet<&str> = (0..100).flat_map(|seed| names(2, seed)).collect();
    assert_eq!(seen, all);
}
