//! The specifications hold, liveness needs the fairness that they assume, and each has the same graph
//! as the shipped kernel: the keystone of all claims made here.

use std::hash::Hash;

use quintet_model::{
    graph::explore,
    instances,
    models::delivery::DeliveryModel,
    spec::{Comparison, Outcome, Refines, Spec, compare},
};
use stateright::Model;
use tla_checker::ast::Value;

fn equals<M>(name: &str, constants: &[(&str, Value)], model: &M, states: usize, edges: usize)
where
    M: Model + Refines<M::State, M::Action>,
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    let spec = Spec::load(name, name, constants).unwrap();
    let comparison = compare(&explore(model), &spec.explore().unwrap(), model);
    assert_eq!(comparison, Comparison::Equal { states, edges }, "{comparison}");
}

fn user_equals(messages: u8, threads: u8, calls: u8, events_max: u64, states: usize, edges: usize) {
    let model = instances::user(messages, threads, calls, events_max);
    equals("User", &model.constants(), &model, states, edges);
}

fn fence_equals(nodes: u8, messages: u8, events_max: u64, states: usize, edges: usize) {
    let model = instances::fence(nodes, messages, events_max);
    equals("Fence", &model.constants(), &model, states, edges);
}

fn delivery_equals(model: &DeliveryModel, states: usize, edges: usize) {
    equals("Delivery", &model.constants(), model, states, edges);
}

fn ticket_equals(tickets: u8, time_max: u8, states: usize, edges: usize) {
    let model = instances::ticket(tickets, time_max);
    equals("Ticket", &model.constants(), &model, states, edges);
}

#[test]
fn run_equals_its_specification() {
    let model = instances::run(2, 6);
    equals("Run", &model.constants(), &model, 2003, 2002);
}

#[test]
fn user_equals_its_specification_with_two_messages() {
    user_equals(2, 1, 1, 2, 1143, 1552);
}

#[test]
fn user_equals_its_specification_with_two_threads() {
    user_equals(1, 2, 1, 4, 359, 480);
}

#[test]
fn user_equals_its_specification_with_two_calls() {
    user_equals(1, 1, 2, 4, 1395, 1969);
}

#[test]
fn fence_equals_its_specification() {
    fence_equals(1, 1, 3, 480, 1262);
    fence_equals(2, 1, 2, 1698, 8358);
}

#[test]
fn delivery_equals_its_specification() {
    delivery_equals(&DeliveryModel { reads_singly: true, ..instances::delivery(1) }, 6281, 30659);
}

#[test]
fn delivery_equals_its_specification_with_a_drain() {
    delivery_equals(&DeliveryModel { drains: true, ..instances::delivery(1) }, 12494, 65139);
}

#[test]
fn delivery_equals_its_specification_with_retention() {
    delivery_equals(&DeliveryModel { trims: true, ..instances::delivery(1) }, 5286, 24939);
}

#[test]
fn ticket_equals_its_specification() {
    ticket_equals(2, 4, 3129, 7155);
}

mod at_large {
    use super::*;

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn user_equals_its_specification() {
        user_equals(2, 2, 1, 2, 6545, 8812);
        user_equals(1, 1, 2, 5, 5464, 7645);
        user_equals(2, 1, 1, 3, 42985, 57346);
    }

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn fence_equals_its_specification() {
        fence_equals(2, 1, 3, 19940, 106351);
    }

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn delivery_equals_its_specification() {
        let all = DeliveryModel { drains: true, trims: true, ..instances::delivery(1) };
        delivery_equals(&all, 20574, 110953);
    }

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn ticket_equals_its_specification() {
        ticket_equals(3, 4, 56601, 163355);
    }
}

/// Invariants, and liveness under the fairness that `FairSpec` assumes.
fn spec_holds(name: &str, states: usize, property: &str) {
    match Spec::load(name, name, &[]).unwrap().check().unwrap() {
        Outcome::Holds { states: found, properties, .. } => {
            assert_eq!(found, states, "{name}");
            assert!(properties.iter().any(|p| p == property), "{name} checked {properties:?}");
        }
        violated => panic!("{name}: {violated:?}"),
    }
}

#[test]
fn the_specifications_hold() {
    spec_holds("Run", 2003, "Ends");
    spec_holds("User", 1143, "EveryRunEnds");
    spec_holds("Fence", 1698, "EveryRunEnds");
    spec_holds("Ticket", 3129, "NoneStays");
}

#[test]
fn delivery_holds() {
    spec_holds("Delivery", 6281, "CatchUp");
}

/// Without fairness, or with less, nothing has to happen: a property that held here would be vacuous.
#[test]
fn without_fairness_liveness_fails() {
    for (name, config, property) in [
        ("Run", "RunUnfair", "Ends"),
        ("User", "UserUnfair", "EveryRunEnds"),
        ("Fence", "FenceUnfair", "EveryRunEnds"),
        ("Fence", "FenceWeak", "EveryRunEnds"),
        ("Delivery", "DeliveryUnfair", "CatchUp"),
        ("Delivery", "DeliveryWeak", "CatchUp"),
        ("Ticket", "TicketUnfair", "NoneStays"),
    ] {
        match Spec::load(name, config, &[]).unwrap().check().unwrap() {
            Outcome::Violated { what, .. } => assert_eq!(what, property, "{config}"),
            holds => panic!("{config}: {holds:?}"),
        }
    }
}
