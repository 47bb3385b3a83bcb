//! The specifications hold, liveness needs the fairness that they assume, and each has the same graph
//! as the shipped kernel: the keystone of all claims made here.

use quintet::kernel::limits::Limits;
use quintet_model::{
    graph::explore,
    machine::Shipped,
    models::{run::RunModel, user::UserModel},
    spec::{Comparison, Outcome, Spec, compare},
};

fn user(messages: u8, threads: u8, calls: u8, run_events_max: u64) -> UserModel {
    let limits = Limits { run_events_max, open_calls_max: calls.into(), ..UserModel::small_limits() };
    UserModel { machine: &Shipped, messages, threads, calls, limits }
}

fn user_equals_its_specification(model: &UserModel, states: usize, edges: usize) {
    let spec = Spec::load("User", "User", &model.constants()).unwrap();
    let comparison = compare(&explore(model), &spec.explore().unwrap(), model);
    assert_eq!(comparison, Comparison::Equal { states, edges }, "{comparison}");
}

#[test]
fn run_equals_its_specification() {
    let model = RunModel { machine: &Shipped, calls: 2, events_max: 6 };
    let spec = Spec::load("Run", "Run", &model.constants()).unwrap();
    let comparison = compare(&explore(&model), &spec.explore().unwrap(), &model);
    assert_eq!(comparison, Comparison::Equal { states: 2003, edges: 2002 }, "{comparison}");
}

#[test]
fn user_equals_its_specification_with_two_messages() {
    user_equals_its_specification(&user(2, 1, 1, 2), 1143, 1146);
}

#[test]
fn user_equals_its_specification_with_two_threads() {
    user_equals_its_specification(&user(1, 2, 1, 4), 359, 376);
}

#[test]
fn user_equals_its_specification_with_two_calls() {
    user_equals_its_specification(&user(1, 1, 2, 4), 1395, 1486);
}

#[test]
#[ignore = "minutes: part of the long campaign"]
fn user_equals_its_specification_at_large() {
    user_equals_its_specification(&user(2, 2, 1, 2), 6545, 6552);
    user_equals_its_specification(&user(1, 1, 2, 5), 5464, 5825);
}

/// Invariants, and RUN-6 under the fairness that `FairSpec` assumes.
#[test]
fn the_specifications_hold() {
    for (name, states, property) in [("Run", 2003, "Ends"), ("User", 1143, "EveryRunEnds")] {
        match Spec::load(name, name, &[]).unwrap().check().unwrap() {
            Outcome::Holds { states: found, properties, .. } => {
                assert_eq!(found, states, "{name}");
                assert!(properties.iter().any(|p| p == property), "{name} checked {properties:?}");
            }
            violated => panic!("{name}: {violated:?}"),
        }
    }
}

/// Without fairness nothing has to happen: a liveness property that held here would be vacuous.
#[test]
fn without_fairness_liveness_fails() {
    for (name, property) in [("Run", "Ends"), ("User", "EveryRunEnds")] {
        match Spec::load(name, &format!("{name}Unfair"), &[]).unwrap().check().unwrap() {
            Outcome::Violated { what, .. } => assert_eq!(what, property),
            holds => panic!("{name} without fairness: {holds:?}"),
        }
    }
}
