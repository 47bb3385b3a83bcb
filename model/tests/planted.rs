//! The table of planted defects fits the source as it is: each can be planted, and its test exists.

use std::{collections::BTreeSet, fs, path::Path};

use quintet::kernel::rules::Rule;
use quintet_model::planted;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn every_defect_can_be_planted_where_it_says() {
    let mut names = BTreeSet::new();
    for defect in planted::all() {
        assert!(names.insert(defect.name.clone()), "{} stands twice", defect.name);
        assert!(!defect.rules.is_empty(), "{} breaks no rule", defect.name);
        for rule in &defect.rules {
            assert!(Rule::find(rule).is_some(), "{}: there is no rule {rule}", defect.name);
        }
        assert!(exists(&defect.test), "{}: no test is called {:?}", defect.name, defect.test);
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
    }
}

/// Whether the source has the test, or the module of tests, that these arguments of `cargo test` name.
fn exists(test: &[String]) -> bool {
    let (sources, name) = match test {
        [lib, name] if lib == "--lib" => (sources(&root().join("src")), name),
        [test, of] if test == "--test" => return root().join(format!("tests/{of}.rs")).exists(),
        [test, of, name] if test == "--test" => (sources(&root().join("tests").join(of)), name),
        _ => return false,
    };
    let module = root().join("src").join(name.replace("::", "/"));
    module.is_dir()
        || module.with_extension("rs").exists()
        || sources.iter().any(|source| source.contains(&format!("fn {name}(")))
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
    let mut defect = planted::all().remove(0);
    defect.find = "x".into();
    assert!(defect.plant("abc").is_err());
    assert!(defect.plant("x x").is_err());
    assert!(defect.plant("a x b").is_ok());
}
