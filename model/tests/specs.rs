//! The specifications hold, liveness needs the fairness that they assume, and each has the same graph
//! as the shipped kernel: the keystone of all claims made here.

use quintet_model::claims::{EQUALITIES, SPECIFIED};

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

/// Invariants, and liveness under the fairness that `FairSpec` assumes.
#[test]
fn the_specifications_hold() {
    SPECIFIED.iter().for_each(|specified| specified.verify());
}

/// Without fairness, or with less, nothing has to happen: a property that held here would be vacuous.
#[test]
fn without_fairness_liveness_fails() {
    SPECIFIED.iter().for_each(|specified| specified.needs_its_fairness());
}
