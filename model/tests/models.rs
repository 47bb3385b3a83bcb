//! Every model, every property, to the last state: by the explorer of this crate, which keeps states
//! whole, and by stateright's checker, which must count the same.

use std::{fmt::Debug, hash::Hash};

use quintet_model::{
    graph::{Until, examine},
    instances::{self, Size, large_sizes, sizes},
    models::delivery::DeliveryModel,
};
use stateright::{Checker, Model};

fn holds<M>(model: M, size: Size, unwitnessed: &[&str])
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Eq + Hash + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    examine(&model, Until::Exhausted).assert_all(size.states, size.edges, unwitnessed);
    let checker = model.checker().threads(2).spawn_bfs().join();
    assert_eq!(checker.unique_state_count(), size.states, "stateright counts the same states");
    for name in checker.discoveries().keys() {
        let witness = checker.model().property(name).expectation == stateright::Expectation::Sometimes;
        assert!(witness, "stateright finds that {name} fails");
    }
}

#[test]
fn run() {
    holds(instances::run(2, 6), sizes::RUN, &[]);
}

#[test]
fn user() {
    holds(instances::user(2, 1, 1, 3), sizes::USER, &[]);
}

#[test]
fn fence() {
    holds(instances::fence(2, 1, 3), sizes::FENCE, &[]);
}

#[test]
fn delivery() {
    let all = DeliveryModel { drains: true, trims: true, ..instances::delivery(1) };
    holds(all, sizes::DELIVERY, &[]);
    holds(DeliveryModel { reads_singly: true, ..instances::delivery(1) }, sizes::DELIVERY_SINGLY, &[]);
}

#[test]
fn isolation() {
    // Two connections each, with runs too short for a question; and one each, with a question.
    holds(instances::isolation(2, 2), sizes::ISOLATION, &["a client has answered its own question"]);
    holds(instances::isolation(1, 3), sizes::ISOLATION_ANSWERS, &[]);
}

#[test]
fn connection() {
    holds(instances::connection(false, 1), sizes::CONNECTION, &[]);
    holds(instances::connection(true, 2), sizes::CONNECTION_KNOWN, &[]);
}

#[test]
fn ticket() {
    holds(instances::ticket(2, 4), sizes::TICKET, &[]);
}

mod at_large {
    use super::*;

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn run() {
        holds(instances::run(3, 8), large_sizes::RUN, &[]);
    }

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn user() {
        // Two threads, with runs too short for a call.
        let unseen = ["a client answers", "a call closes as unknown"];
        holds(instances::user(2, 2, 1, 2), large_sizes::USER_THREADS, &unseen);
    }

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn fence() {
        holds(instances::fence(1, 2, 3), large_sizes::FENCE, &[]);
        let unseen = ["a call closes as unknown", "a tool acts for a node that has lost the log"];
        holds(instances::fence(2, 2, 2), large_sizes::FENCE_NODES, &unseen);
    }

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn delivery() {
        let all = DeliveryModel { drains: true, trims: true, reads_singly: true, ..instances::delivery(1) };
        holds(all, large_sizes::DELIVERY, &[]);
        holds(instances::delivery(2), large_sizes::DELIVERY_TWO, &[]);
    }

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn connection() {
        holds(instances::connection(false, 2), large_sizes::CONNECTION, &[]);
    }

    #[test]
    #[ignore = "minutes: part of the long campaign"]
    fn ticket() {
        holds(instances::ticket(3, 6), large_sizes::TICKET, &[]);
    }
}
