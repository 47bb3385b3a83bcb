//! Every property names existing rules, every claimed rule has a case in which it is not vacuous, and the
//! documents have the tables of the code.

use std::collections::BTreeSet;

use quintet::kernel::rules::Rule;
use quintet_model::{
    catalogue::{properties, spec_properties},
    checks::{Kind, OWN_TERMS},
    claims::INSTANCES,
    docs,
};

#[test]
fn the_documents_have_the_numbers_of_the_code() {
    docs::hold("docs/model/README.md", "instances", &docs::instances());
    docs::hold("docs/model/README.md", "equalities", &docs::equalities());
    docs::hold("docs/model/README.md", "endings", &docs::endings());
    docs::hold("docs/model/README.md", "properties", &docs::properties());
    docs::hold("docs/model/README.md", "connection", &docs::connection_states());
}

#[test]
fn every_property_names_rules_that_exist_and_begins_with_them() {
    for property in properties() {
        let exists =
            Rule::find(property.rule).is_some() || OWN_TERMS.iter().any(|(term, _)| *term == property.rule);
        assert!(exists && property.name.contains(property.rule), "{property:?}");
    }
}

/// The rules that the issue asks the models for.
#[test]
fn every_rule_that_the_models_can_hold_has_a_property() {
    let mut claimed: BTreeSet<&str> = BTreeSet::new();
    claimed.extend(properties().iter().filter(|p| p.kind != Kind::Sometimes).map(|p| p.rule));
    let runs = (1..=11).map(|n| format!("RUN-{n}"));
    let others = ["DEL-1", "DEL-2", "DEL-3", "DEL-4", "DEL-5", "DEL-6", "ISO-1", "ISO-2", "ISO-3", "ISO-5"];
    let more = ["CONN-1", "CONN-2", "CONN-3", "AUTH-1", "AUTH-2", "FOLD", "RECOVERY", "UNCHANGED"];
    for rule in runs.chain(others.into_iter().chain(more).map(str::to_owned)) {
        assert!(claimed.contains(&*rule), "{rule} has no property");
    }
}

/// An `always` without its case would be vacuous: each names its case, a `sometimes` of the same model.
#[test]
fn every_always_names_a_case_in_its_model() {
    let all = properties();
    for property in all.iter().filter(|property| property.kind == Kind::Always) {
        let case =
            property.case.unwrap_or_else(|| panic!("{}: {} names none", property.model, property.name));
        let is_there = all.iter().any(|witness| {
            (witness.kind, witness.model) == (Kind::Sometimes, property.model) && claim(&witness.name) == case
        });
        assert!(is_there, "{} has no `sometimes` that says {case:?}", property.model);
    }
}

/// The claim of a property, without the rules in front of it.
fn claim(name: &str) -> &str {
    name.trim_start_matches(|c: char| !c.is_ascii_lowercase())
}

/// A `sometimes` may be left out of an instance that is too small for it, but not of all.
#[test]
fn every_witness_is_found_with_every_commit() {
    for witness in properties().into_iter().filter(|property| property.kind == Kind::Sometimes) {
        let mut small = INSTANCES.iter().filter(|i| i.model == witness.model && !i.is_large);
        let is_found = small.any(|instance| !instance.unwitnessed.contains(&&*witness.name));
        assert!(is_found, "{}: {} is found in no instance", witness.model, witness.name);
    }
}

#[test]
fn names_are_unique_within_a_model() {
    let mut seen = BTreeSet::new();
    for property in properties() {
        assert!(seen.insert((property.model, property.name.clone(), property.rule)), "{property:?}");
    }
}

#[test]
fn every_property_of_a_specification_cites_its_rules() {
    let cited = spec_properties().unwrap();
    for rule in ["RUN-1", "RUN-6", "RUN-8", "RUN-9", "DEL-1", "DEL-4", "DEL-5", "DEL-6", "AUTH-1", "AUTH-2"] {
        assert!(cited.iter().any(|property| property.rule == rule), "{rule}");
    }
}
