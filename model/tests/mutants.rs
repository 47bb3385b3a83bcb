//! Every mutant is caught by the check that it names, the original is caught by none of them, and a mutant
//! that does what the original does survives, so that the command can fail.

use std::{collections::BTreeSet, sync::LazyLock};

use quintet::kernel::rules::Rule;
use quintet_model::{
    catalogue,
    checks::{Kind, OWN_TERMS},
    docs,
    machine::Shipped,
    models::{
        connection::ShippedConnection, delivery::DeliveryModel, fence::FenceModel, isolation::IsolationModel,
        ticket::ShippedTickets,
    },
    mutants::{self, CLASSES, Verdict, suites, table, user::Equivalent},
};
use stateright::Model;

static VERDICTS: LazyLock<Vec<Verdict>> = LazyLock::new(mutants::verdicts);

#[test]
fn every_mutant_is_caught_by_the_check_that_it_names() {
    let verdicts = &*VERDICTS;
    let survivors: Vec<&str> =
        verdicts.iter().filter(|v| v.caught().is_none()).map(|v| v.mutant.id).collect();
    assert!(survivors.is_empty(), "{survivors:?} survived:\n{}", table::plain(verdicts));
    docs::hold("docs/model/results.md", "mutants", &table::markdown(verdicts));
}

/// A check that nothing turns red may be unable to.
#[test]
fn every_always_is_red_under_a_mutant() {
    let red: BTreeSet<&str> = VERDICTS.iter().flat_map(|v| &v.red).map(|catch| &*catch.check).collect();
    let never: Vec<String> = catalogue::properties()
        .into_iter()
        .filter(|property| property.kind == Kind::Always)
        .map(|property| format!("{}: {}", property.model, property.name))
        .filter(|check| !red.contains(&**check))
        .collect();
    assert!(never.is_empty(), "red under no mutant: {never:#?}");
}

/// A mutant is listed under no rule that the checks do not show it to break. The comparison with a
/// specification cites none: a mutant of the text is listed under the rule that stands at its guard.
#[test]
fn every_rule_of_a_mutant_is_cited_by_a_red_check() {
    let mut unshown = Vec::new();
    for verdict in VERDICTS.iter().filter(|verdict| !verdict.mutant.caught_by.ends_with(".tla")) {
        let cited: BTreeSet<&str> = verdict.red.iter().flat_map(|catch| catch.rules()).collect();
        let extra = verdict.mutant.rules.iter().filter(|rule| !cited.contains(**rule));
        unshown.extend(extra.map(|rule| format!("{} {rule}: {cited:?}", verdict.mutant.id)));
    }
    assert!(unshown.is_empty(), "{unshown:#?}");
}

#[test]
fn the_original_passes_every_check_of_every_suite() {
    let red = [
        suites::run(&Shipped),
        suites::user(&Shipped),
        suites::fence(FenceModel::next_state),
        suites::delivery(DeliveryModel::next_state),
        suites::isolation(IsolationModel::next_state),
        suites::connection(&ShippedConnection),
        suites::ticket(&ShippedTickets),
    ];
    assert_eq!(red.concat(), []);
}

#[test]
fn an_equivalent_mutant_survives() {
    assert_eq!(suites::user(&Equivalent), []);
}

/// Sockets, origins, settings and disks are not in the models: those rules have their mutants in
/// `planted.toml`.
#[test]
fn every_rule_and_every_class_has_a_mutant() {
    let beyond = ["ISO-4", "ISO-6", "CONN-5", "AUTH-4", "AUTH-6"];
    let all = mutants::all();
    let broken: BTreeSet<&str> = all.iter().flat_map(|hunted| hunted.mutant.rules.clone()).collect();
    let missing: Vec<&str> = Rule::ALL.iter().map(|rule| rule.id).filter(|id| !broken.contains(id)).collect();
    assert_eq!(missing, beyond);
    let own = |id: &str| OWN_TERMS.iter().any(|(term, _)| *term == id);
    let strange: Vec<&&str> = broken.iter().filter(|id| Rule::find(id).is_none() && !own(id)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    let classes: BTreeSet<&str> = all.iter().filter_map(|hunted| hunted.mutant.class).collect();
    assert_eq!(classes, BTreeSet::from(CLASSES));
}

#[test]
fn ids_are_unique_and_every_check_that_is_named_exists() {
    let properties = catalogue::properties();
    let mut ids = BTreeSet::new();
    for hunted in mutants::all() {
        let mutant = &hunted.mutant;
        assert!(ids.insert(mutant.id), "{} twice", mutant.id);
        let exists = mutant.caught_by.ends_with(".tla")
            || mutant.caught_by.starts_with("user: a witness")
            || properties.iter().any(|p| format!("{}: {}", p.model, p.name).starts_with(mutant.caught_by));
        assert!(exists, "{}: no check begins with {}", mutant.id, mutant.caught_by);
    }
}
