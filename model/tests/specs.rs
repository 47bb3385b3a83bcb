//! The specifications hold, liveness needs the fairness that they assume, and each has the same graph
//! as the shipped kernel: the keystone of all claims made here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use quintet_model::{
    claims::EQUALITIES,
    planted,
    spec::folder,
    specified::{Config, SPECIFIED, Specified, violated_by},
};
use regex::Regex;

fn equal(spec: &str) {
    let small = EQUALITIES.iter().filter(|equality| equality.spec == spec && !equality.is_large);
    assert!(small.map(|equality| equality.verify()).count() > 0, "{spec} is compared");
}

#[test]
fn run_equals_its_specification() {
    equal("Run");
}

#[test]
fn user_equals_its_specification() {
    equal("User");
}

#[test]
fn erasure_equals_its_specification() {
    equal("Erasure");
}

#[test]
fn fence_equals_its_specification() {
    equal("Fence");
}

#[test]
fn delivery_equals_its_specification() {
    equal("Delivery");
}

#[test]
fn ticket_equals_its_specification() {
    equal("Ticket");
}

#[test]
#[ignore = "minutes: part of the long campaign"]
fn equal_at_large() {
    EQUALITIES.iter().filter(|equality| equality.is_large).for_each(|equality| equality.verify());
}

/// TLA+ forbids it, and TLC refuses such a module; `tla-checker` takes the last definition.
#[test]
fn no_module_defines_an_operator_of_a_module_that_it_extends() {
    let definition = Regex::new(r"(?m)^(\w+)(?:\([^)]*\))?\s*==").unwrap();
    let extends = Regex::new(r"(?m)^EXTENDS (.+)$").unwrap();
    let text = |module: &str| fs::read_to_string(folder().join(format!("{module}.tla"))).ok();
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let modules: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "tla"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(modules.len() > 8, "{modules:?}");
    for module in modules {
        // The modules of TLA+ itself are in no file here.
        let (mut chain, mut found) = (vec![module.clone()], BTreeMap::<String, String>::new());
        while let Some(name) = chain.pop() {
            let Some(text) = text(&name) else { continue };
            for operator in definition.captures_iter(&text) {
                let first = found.insert(operator[1].to_owned(), name.clone());
                assert_eq!(first, None, "{module}: {} is defined in {name}, too", &operator[1]);
            }
            let extended = extends.captures(&text).map_or(String::new(), |list| list[1].to_owned());
            chain.extend(extended.split(',').map(|name| name.trim().to_owned()));
        }
    }
}

/// Invariants, and liveness under the fairness that each configuration assumes.
#[test]
fn the_specifications_hold() {
    SPECIFIED.iter().for_each(Specified::verify);
}

/// Without fairness, or with less, nothing has to happen: a property that held here would be vacuous.
#[test]
fn without_fairness_liveness_fails() {
    SPECIFIED.iter().for_each(Specified::needs_its_fairness);
}

/// An invariant, or a refinement, that no defect of its specification breaks would be vacuous.
#[test]
fn every_invariant_can_fail() {
    planted::of_specifications().for_each(violated_by);
    let spec = |config: &str| SPECIFIED.iter().find(|specified| specified.config == config).unwrap().spec;
    let checks = planted::of_specifications().flat_map(|defect| &defect.checks);
    let broken = checks.filter_map(|check| check.split_once(".cfg "));
    let broken: BTreeSet<(&str, &str)> = broken.map(|(config, name)| (spec(config), name)).collect();
    let configs = SPECIFIED.iter().map(|of| (of, Config::read(of.config).unwrap()));
    for (specified, config) in configs {
        let safety = config.named("PROPERTY").into_iter().filter(|p| ["Refines", "Grows"].contains(p));
        for name in config.named("INVARIANT").into_iter().chain(safety) {
            assert!(broken.contains(&(specified.spec, name)), "{name} of {}", specified.spec);
        }
    }
}

/// A log is what `EventLog.tla` promises, in every specification that has one.
#[test]
fn every_specification_of_a_log_refines_the_abstract_log() {
    for specified in SPECIFIED.iter().filter(|of| ["User", "Fence", "Delivery"].contains(&of.spec)) {
        let config = Config::read(specified.config).unwrap();
        assert!(config.named("PROPERTY").contains(&"Refines"), "{}", specified.config);
    }
}

/// The types of all variables are checked, and what is claimed stands in the module as theorems.
#[test]
fn every_specification_has_its_types_and_theorems() {
    for specified in SPECIFIED {
        let config = Config::read(specified.config).unwrap();
        assert!(config.named("INVARIANT").contains(&"TypeOK"), "{}", specified.config);
        let module = fs::read_to_string(folder().join(format!("{}.tla", specified.spec))).unwrap();
        let theorems: String = module.lines().filter(|line| line.starts_with("THEOREM ")).collect();
        for name in [config.named("INVARIANT"), config.named("PROPERTY")].concat() {
            assert!(theorems.contains(name), "{}.tla has no theorem about {name}", specified.spec);
        }
    }
}

/// A property in an unused configuration would never be checked.
#[test]
fn every_configuration_is_checked() {
    let mut named: Vec<&str> = SPECIFIED.iter().map(|specified| specified.config).collect();
    named.sort_unstable();
    assert_eq!(named, configurations());
}

/// A constant is a number, a truth value, a set of numbers, or a definition of the module: TLC's
/// configurations take no sequence and no function.
#[test]
fn the_configurations_are_in_the_subset_that_tlc_reads() {
    for name in configurations() {
        for constant in Config::read(&name).unwrap().constants() {
            let simple = constant.split_once(" = ").is_some_and(|(_, value)| {
                let of_numbers = value.trim_matches(['{', '}']).split(", ").all(|n| n.parse::<u32>().is_ok());
                of_numbers || ["TRUE", "FALSE"].contains(&value)
            });
            assert!(simple || constant.contains(" <- "), "{name}.cfg: {constant}");
        }
    }
}

/// The names of all configurations, in order.
fn configurations() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let configurations = files.filter(|path| path.extension().is_some_and(|e| e == "cfg"));
    let mut names: Vec<String> =
        configurations.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
